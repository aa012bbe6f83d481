"""Command lines that need no command line library: which they are, and what they print.

exportctl                       the list of commands; with EXPORTCTL_NDJSON it is the usage error it would be
exportctl [COMMAND] --help      the help, 80 columns wide in every window
exportctl completion SHELL      the shell's script
exportctl __complete SHELL ...  what that script asks for at each press of the tab key
"""

import os
import sys

_HERE = os.path.dirname(__file__)  # noqa: PTH120 - importing pathlib costs as much as a bare start
_HELP = ("--help", "-h")
FALSE = frozenset({"", "0", "false", "no", "off", "n", "f"})
"""What the environment variable of a switch says for no, in any case of letters; the same as typer's."""
SCRIPTS = {"bash": "exportctl.bash", "zsh": "_exportctl", "fish": "exportctl.fish"}
"""The script of each shell: its file's name, which zsh wants to be that of the function in it."""


def answer(arguments: list[str]) -> int | None:
    """Answer the command line and return the exit status; None when it is none of those above."""
    if len(arguments) > 1 and arguments[0] == "__complete":
        from exportctl.startup.completing import complete  # noqa: PLC0415 - not for --help

        return say(complete(arguments[1], arguments[2:]))
    text = _text(arguments)
    return None if text is None else say(text)


def _text(arguments: list[str]) -> str | None:
    match arguments:
        case [] if not says_yes("EXPORTCTL_NDJSON"):
            return read("help", "exportctl.txt")
        case [asked] if asked in _HELP:
            return read("help", "exportctl.txt")
        case [command, asked] if asked in _HELP and command.isalpha():
            return read("help", f"{command}.txt")
        case ["completion", shell] if shell in SCRIPTS:
            return read("shells", SCRIPTS[shell])
        case _:
            return None


def says_yes(variable: str) -> bool:
    """Whether the environment variable of a switch is set, and not to no."""
    return os.environ.get(variable, "").strip().lower() not in FALSE


def read(*path: str) -> str | None:
    """Return a text that lies beside this module; None where there is none of that name."""
    try:
        with open(os.path.join(_HERE, *path), encoding="utf-8") as file:  # noqa: PTH118, PTH123 - as above
            return file.read()
    except FileNotFoundError:
        return None


def say(text: str) -> int:
    """Print to standard output and return the exit status, which says whether all of it was written."""
    rest = text.encode(getattr(sys.stdout, "encoding", None) or "utf-8", "replace")
    try:
        # Not through sys.stdout, which would try again, and complain, when the interpreter ends.
        while rest:
            rest = rest[os.write(1, rest) :]
    except BrokenPipeError:
        import signal  # noqa: PLC0415 - only here

        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGPIPE)
    except OSError as error:
        if sys.stderr is not None:
            sys.stderr.write(f"exportctl: error: cannot write to standard output: {error.strerror}\n")
        return 11
    return 0
