"""What ends a job, in the user's words: code, message and hint, and no path of this machine."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from exportctl.server.archive import SourceChangedError
from exportctl.server.export.errors import ProjectError
from exportctl.server.full_disk import is_full
from exportctl.server.job import JobError
from exportctl.server.log import LogFullError
from exportctl.server.pool import TaskTooLongError, WorkerDiedError

logger = logging.getLogger(__name__)


class JobFailedError(Exception):
    """The job cannot go on."""

    def __init__(self, error: JobError, stage: str | None = None, item: str | None = None) -> None:
        super().__init__(error.message)
        self.error = error
        self.stage = stage
        self.item = item


@contextmanager
def told_to_users(stage: str | None = None, item: str | None = None) -> Iterator[None]:
    """Turn whatever goes wrong in the block into a JobFailedError."""
    try:
        yield
    except Exception as error:
        raise failure_of(error, stage, item) from error


def failure_of(error: Exception, stage: str | None = None, item: str | None = None) -> JobFailedError:
    """Say in the user's terms why the job cannot go on."""
    match error:
        case JobFailedError():
            return error
        case ProjectError():
            again = error.code in {"PROJECT_CHANGED", "PROJECT_NOT_SERVED", "SERVER_RESTARTED"}
            known = JobError(code=error.code, message=error.message, hint=error.hint or None, retryable=again)
        case LogFullError():
            known = _disk_full()
        case OSError() if is_full(error):
            known = _disk_full()
        case SourceChangedError():
            known = JobError(
                code="SOURCE_CHANGED",
                message=str(error),
                hint="Start the export again when the folder is at rest",
                retryable=True,
            )
        case WorkerDiedError():
            known = JobError(
                code="WORKER_DIED",
                message="A worker process of the server died twice at the same task",
                hint="Give the server more memory, or export fewer images at once",
                retryable=True,
            )
        case TaskTooLongError():
            known = JobError(
                code="TASK_TOO_LONG",
                message=f"A step of the export took longer than {_spelled(error.limit)}, and was ended",
                hint="Export fewer images at once, or have the server started with more --image-minutes",
                retryable=True,
            )
        case OSError():
            logger.warning("A job failed: %s", error)
            known = JobError(
                code="SERVER_FILE_ERROR",
                message=f"The server could not read or write a file: {error.strerror or type(error).__name__}",
                hint="Look into the server's own messages",
                retryable=True,
            )
        case _:
            logger.error("A job failed unexpectedly: %s: %s", type(error).__name__, error)
            known = JobError(
                code="INTERNAL_ERROR",
                message=f"The export failed unexpectedly ({type(error).__name__})",
                hint="This is a fault of the server: please report it",
                retryable=True,
            )
    return JobFailedError(known, stage, item)


def reason_of(end: WorkerDiedError | TaskTooLongError) -> str:
    """Say why an image could not be drawn, to be read behind its name."""
    if isinstance(end, TaskTooLongError):
        return f"drawing it took longer than {_spelled(end.limit)}, and was ended"
    return "its worker process died twice, perhaps for want of memory"


def _spelled(seconds: float) -> str:
    for unit, name in ((3600, "hour"), (60, "minute")):
        if seconds >= unit and seconds % unit == 0:
            return f"{seconds / unit:g} {name}" + ("s" if seconds > unit else "")
    return f"{seconds:g} s"


def _disk_full() -> JobError:
    return JobError(
        code="DISK_FULL",
        message="The server's disk is full",
        hint="Free some space on the server, then start the export again",
        retryable=True,
    )
