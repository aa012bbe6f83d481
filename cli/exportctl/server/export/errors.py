"""Why a project cannot be exported, in the user's terms."""


class ProjectError(Exception):
    """The folder cannot be exported at all.

    `code` is PROJECT_NOT_FOUND, PROJECT_EMPTY, PROJECT_UNREADABLE, PROJECT_TOO_LARGE or IMAGE_NOT_FOUND; of an export
    that was interrupted also PROJECT_CHANGED or SERVER_RESTARTED, which starting it again cures.
    """

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(code, message, hint)
        self.code = code
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message
