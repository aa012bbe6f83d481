"""Where `login` has email and password from: options, the environment, standard input, or a person at a terminal.

Asked before the command's loop and its signal handlers run: at the prompt Ctrl-C ends the command as it ends any
other, and whatever ends it, the terminal shows again what is typed.
"""

import getpass
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from exportctl.client.authority import Credentials
from exportctl.model.errors import Usage

_LONGEST: Final = 4096
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def ask(*, email: str | None, password_stdin: bool) -> Credentials:
    """Return email and password. Raises `Usage` where they are not given and nobody can be asked."""
    known_email = os.environ.get("EXPORTCTL_EMAIL", "").strip()
    email = known_email if email is None else email.strip()
    with _prompting():
        if not email:
            email = _line("Email: ") if _is_person() and not password_stdin else ""
        if not email:
            raise Usage("login needs an email", hint="--email ADDRESS, or EXPORTCTL_EMAIL")
        if password_stdin:
            password = _piped()
        elif os.environ.get("EXPORTCTL_PASSWORD") and email == known_email:
            password = os.environ["EXPORTCTL_PASSWORD"]
        else:
            password = _asked(email)
    return Credentials(email=email, password=password)


def ask_new_password(email: str, *, password_stdin: bool) -> str:
    """Return a password that somebody shall have from now on, typed twice. Raises `Usage`."""
    with _prompting():
        if password_stdin:
            return _piped()
        password = _asked(email)
        if getpass.getpass("Once more: ") != password:
            raise Usage("the two passwords differ", hint="nothing was changed; try again")
    return password


def _is_person() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def _asked(email: str) -> str:
    if not _is_person():
        raise Usage(
            "a password is needed, and standard input is no terminal to ask at",
            hint="--password-stdin reads it, EXPORTCTL_EMAIL and EXPORTCTL_PASSWORD give it",
        )
    try:
        password = getpass.getpass(f"Password of {email}: ")
    except EOFError:
        password = ""
    if not password:
        raise Usage("no password was given")
    return password


def _line(prompt: str) -> str:
    os.write(2, prompt.encode())
    return sys.stdin.readline().strip()


def _piped() -> str:
    if sys.stdin is None or sys.stdin.isatty():
        raise Usage("--password-stdin reads a pipe or a file, and standard input is none", hint="leave it out")
    given = sys.stdin.buffer.read(_LONGEST + 1)
    if len(given) > _LONGEST:
        raise Usage(f"--password-stdin: more than {_LONGEST} bytes are no password")
    try:
        password = given.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise Usage("--password-stdin: standard input is no UTF-8") from error
    if not password:
        raise Usage("--password-stdin: standard input is empty")
    return password


class _Ended(BaseException):
    """A signal came at the prompt."""


@contextmanager
def _prompting() -> Iterator[None]:
    """Let a signal unwind the prompt, which gives the terminal back, before it ends the command."""
    caught: list[int] = []

    def end(number: int, _frame: object) -> None:
        caught.append(number)
        raise _Ended

    before = {number: signal.getsignal(number) for number in _SIGNALS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, end)
    try:
        yield
    except _Ended:
        os.write(2, b"\n")
        signal.signal(caught[0], signal.SIG_DFL)
        os.kill(os.getpid(), caught[0])
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
