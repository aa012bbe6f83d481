"""The system's keyring, where `login --keyring` keeps a session's cookies (extra `keyring`).

Imported where a session lies in it, and only there: the library and its back ends cost more than the rest of a
command. Its calls block, for as long as a person takes to unlock it: callers run them in a thread.
"""

from typing import Final

from exportctl.model.errors import ExportctlError, NotAllowed, Usage

_SERVICE: Final = "exportctl"
_CRON: Final = "EXPORTCTL_EMAIL and EXPORTCTL_PASSWORD sign in without it, exportctl login keeps a file instead"


def check() -> None:
    """Raise `Usage` where there is no keyring to keep anything in."""
    try:
        import keyring  # noqa: PLC0415 - see above
        import keyring.backends.fail  # noqa: PLC0415 - as above
    except ImportError as error:
        raise Usage(
            f"--keyring needs the extra 'keyring' ({error.name} is not installed)",
            hint="pip install 'exportctl[keyring]'",
            code="NO_KEYRING_EXTRA",
        ) from error
    if isinstance(keyring.get_keyring(), keyring.backends.fail.Keyring):
        raise Usage(
            "--keyring: this system has no keyring that is known here",
            hint="exportctl login without it keeps a file that only you can read",
            code="NO_KEYRING",
        )


def read(name: str) -> str | None:
    """Return what is kept under `name`. Raises `NotAllowed` where the keyring does not open."""
    try:
        import keyring  # noqa: PLC0415 - see above

        return keyring.get_password(_SERVICE, name)
    except Exception as error:  # every back end has errors of its own
        raise _closed(error) from error


def write(name: str, text: str) -> None:
    """Keep `text` under `name`. Raises `NotAllowed` where the keyring does not open."""
    try:
        import keyring  # noqa: PLC0415 - see above

        keyring.set_password(_SERVICE, name, text)
    except Exception as error:  # as above
        raise _closed(error) from error


def remove(name: str) -> None:
    """Forget what is kept under `name`, if anything. Raises `NotAllowed` where the keyring does not open."""
    try:
        import keyring  # noqa: PLC0415 - see above

        if keyring.get_password(_SERVICE, name) is not None:
            keyring.delete_password(_SERVICE, name)
    except Exception as error:  # as above
        raise _closed(error) from error


def _closed(error: Exception) -> ExportctlError:
    if isinstance(error, ImportError):
        return NotAllowed(
            f"the session lies in the system's keyring, which cannot be read ({error.name} is not installed)",
            hint="pip install 'exportctl[keyring]'",
            code="NO_KEYRING_EXTRA",
        )
    # Never the error's own words: a back end may quote what it was given.
    return NotAllowed(f"the system's keyring does not open ({type(error).__name__})", hint=_CRON, code="KEYRING")
