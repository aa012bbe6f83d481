"""Protocol 1 (`WIRE.md`, Protocol 1: observed): its events to the same facts that protocol 2 tells.

One event is read at a time here, and made fit: noise of fractions rounded, what the server calls `downloading` told as
the compression it is, a cancellation that calls itself a failure told as one. What needs more than one event, their
order above all, is `story1`'s. Numbers in brackets are the oddities of `WIRE.md`.
"""

import re
from collections.abc import Callable
from typing import Final

from exportctl.protocol.dialects import reading, wording
from exportctl.protocol.dialects.dialect2 import stage_progress
from exportctl.protocol.dialects.reading import Object
from exportctl.protocol.events import (
    AnyEvent,
    Cancelled,
    Completed,
    Data,
    Failed,
    Progress,
    StageProgress,
    Started,
    Unreadable,
)

DIGITS: Final = 2
"""Of a progress: enough for a stage of thousands of images, and none of binary fractions' noise (2)."""
COMPRESSION: Final = "compression"
_COMPRESSING: Final = "Creating archive"
_PERCENTAGE: Final = re.compile(r"(?:\.\.\.|…)?\s*\d+(?:\.\d+)?(?:e-\d+)?\s?%\s*$")
_STAGES: Final = frozenset({"images", "visualizations", "annotations", "metrics", COMPRESSION})


def decode(name: str, data: object) -> AnyEvent:
    """Return the event that `name` and `data` tell; `Unreadable` for what protocol 1 does not know."""
    if not isinstance(data, dict):
        return Unreadable(name=name, reason="its data is no object")
    job_id = data.get("jobId")
    if not isinstance(job_id, str) or not job_id:
        # The answer to `operation:cancel` is one: it names no job, and says nothing that is true of one.
        return Unreadable(name=name, reason="it names no job")
    reader = _READERS.get(name)
    if reader is None:
        return Unreadable(job_id=job_id, name=name, reason="unknown event")
    return reader(job_id, data)


def progress_of(source: Object) -> float | None:
    """Return `progress`, 0 to 100, without the noise of fractions (2)."""
    found = reading.percent(source, "progress")
    return None if found is None else round(found, DIGITS)


def _started(job_id: str, data: Object) -> AnyEvent:
    return Started(
        job_id=job_id,
        project_id=reading.text(data, "projectId"),
        timestamp=reading.moment(data, "timestamp"),
    )


def _progress(job_id: str, data: Object) -> AnyEvent:
    stage, message = reading.text(data, "stage"), reading.text(data, "message")
    if reading.text(data, "phase") == "downloading":
        # The server's own work still, and the longest part of it: nothing is downloaded yet (3).
        stage, message = COMPRESSION, message if stage == COMPRESSION else _COMPRESSING
    counted = stage_progress(data)
    template, values = template_of(stage, counted)
    return Progress(
        job_id=job_id,
        project_id=reading.text(data, "projectId"),
        timestamp=reading.moment(data, "timestamp"),
        stage=stage,
        progress=progress_of(data),
        stage_progress=counted,
        message=None if message is None else message_of(message, counted),
        template=template,
        data=values,
    )


def template_of(stage: str | None, counted: StageProgress | None) -> tuple[str | None, Data | None]:
    """Return protocol 2's template for a stage, and its data; without counts the message stands in for it."""
    if stage is None:
        return "export.phase.processing", {}
    if stage not in _STAGES:
        return None, None
    if counted is None:
        return f"export.stage.{stage}", {}
    return f"export.stage.{stage}", {
        "current": counted.current,
        "total": counted.total,
        "fileName": counted.item or "",
    }


def message_of(said: str, counted: StageProgress | None = None) -> str:
    """Return a message as protocol 2 words it: without the percentage, and with what is being worked on."""
    text = wording.shown(_PERCENTAGE.sub("", said))
    return f"{text}: {counted.item}" if counted is not None and counted.item else text


def _completed(job_id: str, data: Object) -> AnyEvent:
    return Completed(
        job_id=job_id,
        project_id=reading.text(data, "projectId"),
        timestamp=reading.moment(data, "timestamp"),
        warnings=tuple(wording.without_paths(one) for one in reading.texts(data, "warnings")),
    )


def _failed(job_id: str, data: Object) -> AnyEvent:
    text = reading.text(data, "error") or ""
    project_id, timestamp = reading.text(data, "projectId"), reading.moment(data, "timestamp")
    if wording.is_cancellation(text):
        return cancelled_by_word(job_id, text, project_id=project_id, timestamp=timestamp)
    return Failed(
        job_id=job_id,
        project_id=project_id,
        timestamp=timestamp,
        error=wording.shown(text) or "the server gave no reason",
    )


def cancelled_by_word(
    job_id: str, text: str, *, project_id: str | None = None, timestamp: str | None = None
) -> Cancelled:
    """Return the cancellation that a failure's text tells of (4); of a clean-up it says nothing."""
    return Cancelled(
        job_id=job_id,
        project_id=project_id,
        timestamp=timestamp,
        cancelled_by="user" if "user" in text.casefold() else None,
        message=wording.shown(text),
    )


def _cancelled(job_id: str, data: Object) -> AnyEvent:
    return Cancelled(
        job_id=job_id,
        project_id=reading.text(data, "projectId"),
        timestamp=reading.moment(data, "timestamp"),
        cancelled_by=reading.text(data, "cancelledBy"),
        progress=progress_of(data),
        message=None if (message := reading.text(data, "message")) is None else wording.shown(message),
        # Said before any clean-up, and the files stay (5): it is the server's claim, and told as no more.
        cleanup_completed=reading.flag(data, "cleanupCompleted"),
    )


_READERS: Final[dict[str, Callable[[str, Object], AnyEvent]]] = {
    "export:started": _started,
    "export:progress": _progress,
    "export:completed": _completed,
    "export:failed": _failed,
    "export:cancelled": _cancelled,
}
