"""What a server says of itself: one line a record on standard error, as text or as a JSON object.

A record is a message and facts, handed over as `extra=facts(event=…, …)`; what a request or a job is about stands in
`ABOUT`, so that whatever is said while it is served or worked on carries its ids. Nothing here is ever given a token, a
cookie, a password or a query (a download's token is one).
"""

import contextlib
import json
import logging
import queue
import sys
import threading
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final

from exportctl.server.growth import LostError
from exportctl.server.job import JobRecord
from exportctl.server.settings import Logging

ABOUT: Final[ContextVar[Mapping[str, Any]]] = ContextVar("ABOUT", default=MappingProxyType({}))
"""What the task at hand is about: `requestId`, `correlationId`, `jobId`, `user`."""
ACCESS: Final = logging.getLogger("exportctl.access")
_FACTS: Final = "exportctl_facts"
_OF_CLIENTS: Final = frozenset({"Invalid HTTP request received.", "Unsupported upgrade request."})
"""Uvicorn's warnings."""
_MOST_LINES: Final = 10_000
_LAST_SECONDS: Final = 1.0

logger = logging.getLogger(__name__)


def facts(**known: Any) -> dict[str, Any]:
    """Return the `extra` of a record; `event` names what happened, None is left out."""
    return {_FACTS: {name: value for name, value in known.items() if value is not None}}


def about(**known: Any) -> None:
    """Have all that this task says from here on carry these facts too."""
    ABOUT.set({**ABOUT.get(), **known})


def log_to_stderr(wanted: Logging | None = None) -> None:
    """Have what is said go to standard error, one line each; warnings and worse in words if nothing else is wanted."""
    wanted = wanted or Logging()
    handler = Aside()
    handler.setFormatter(JsonLine() if wanted.is_json else TextLine())
    # Libraries are heard where something is wrong, whatever the level here.
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("exportctl").setLevel(wanted.level.upper())
    ACCESS.setLevel(logging.INFO if wanted.access else logging.CRITICAL + 1)
    logging.getLogger("uvicorn.error").addFilter(_is_a_fault)


def say_of_job(record: JobRecord) -> None:
    """Write into the server's log that a job was made, or has ended."""
    seconds = None if record.completed is None else round(max(record.completed - record.created, 0), 3)
    known = facts(
        event="job-ended" if record.status.ended else "job-made",
        jobId=record.id,
        projectId=record.project,
        user=record.user,
        correlationId=record.correlation,
        status=record.status.value,
        seconds=seconds,
        code=record.error and record.error.code,
    )
    logger.info("A job has ended" if record.status.ended else "A job was made", extra=known)


class Aside(logging.Handler):
    """Writes lines to standard error on a thread: whoever reads them slowly, or not at all, keeps no server waiting.

    Lines beyond some thousands that wait are lost, and their number is said once there is room.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lines: queue.Queue[str | None] = queue.Queue(_MOST_LINES)
        self._lost = 0
        self._stream = sys.stderr
        self._thread = threading.Thread(target=self._write, name="log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Have a record written."""
        try:
            self._lines.put_nowait(self.format(record))
        except queue.Full:
            self._lost += 1
        except Exception:  # noqa: BLE001 - what is said of the work must not end it
            self.handleError(record)

    def flush(self) -> None:
        """Wait until all is written, for a second at most."""
        written = self._lines.all_tasks_done
        with written:
            written.wait_for(lambda: not self._lines.unfinished_tasks, _LAST_SECONDS)

    def close(self) -> None:
        """End the thread, if it can be ended."""
        with contextlib.suppress(queue.Full):
            self._lines.put_nowait(None)
        self._thread.join(_LAST_SECONDS)
        super().close()

    def _write(self) -> None:
        while (line := self._lines.get()) is not None:
            lost, self._lost = self._lost, 0
            more = f" ({lost} lines were lost before this one)" if lost and not line.startswith("{") else ""
            # Closed, or on a full disk: there is nobody to tell.
            with contextlib.suppress(OSError, ValueError):
                self._stream.write(f"{line}{more}\n")
                self._stream.flush()
            self._lines.task_done()


class JsonLine(logging.Formatter):
    """A record as one JSON object: time, level, event, message, and whatever facts are known."""

    def format(self, record: logging.LogRecord) -> str:
        """Spell it."""
        said = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")[:-6] + "Z",
            "level": record.levelname.lower(),
            "event": "message",
            "message": record.getMessage(),
            "logger": record.name,
            **_known(record),
        }
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            said |= {"error": f"{type(error).__name__}: {error}", "traceback": self.formatException(record.exc_info)}
        # Names of files need not be UTF-8: what JSON's faster writers refuse is escaped by this one.
        return json.dumps(said, default=str)


class TextLine(logging.Formatter):
    """A record as one line, its facts behind it, its exception as type and text."""

    def format(self, record: logging.LogRecord) -> str:
        """Spell it."""
        error = record.exc_info[1] if record.exc_info else None
        words = record.getMessage() + (f" ({type(error).__name__}: {error})" if error else "")
        known = " ".join(f"{name}={value}" for name, value in _known(record).items() if name != "event")
        line = " ".join(f"exportctl server: {record.levelname.lower()}: {words} {known}".split())
        # A path is its sender's choice, and this may be a terminal.
        return "".join(one if one.isprintable() else repr(one)[1:-1] for one in line)


def _known(record: logging.LogRecord) -> dict[str, Any]:
    return {**ABOUT.get(), **getattr(record, _FACTS, {})}


def _is_a_fault(record: logging.LogRecord) -> bool:
    """Pass over connections that are cut because their job has no archive any more: that is how it is said.

    And over what any client can do as often as it likes: it is answered, and would bury all else.
    """
    if record.msg in _OF_CLIENTS:
        return False
    return not (record.exc_info and isinstance(record.exc_info[1], LostError))
