"""A job in the memory of a server of protocol 1, and what truly became of it."""

import asyncio
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime

from production.plan import Plan

ENDS = frozenset({"completed", "failed", "cancelled"})


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(kw_only=True, eq=False)
class Job:
    """One export. `became`: every end it came to, in order; `at_worst`: what happened to its archive since."""

    project_id: str
    plan: Plan
    options: dict
    project_name: str | None
    is_of_another_command: bool = False
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    status: str = "processing"
    progress: float = 0
    most: float = 0
    created_at: str = field(default_factory=now)
    completed_at: str | None = None
    message: str | None = None
    file_path: str | None = None
    is_working: bool = True
    step: int = 0
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    answered_at: float | None = None
    archive: bytes = b""
    became: list[str] = field(default_factory=list)
    cancels: list[tuple[float, float]] = field(default_factory=list)
    """Of each cancellation: the most progress so far, and the seconds since the POST was answered."""

    def end(self, status: str, *, message: str | None = None) -> None:
        """Come to an end, or to another one."""
        self.status, self.completed_at = status, now()
        self.message = message if message is not None else self.message
        self.became.append(status)

    def seen(self) -> dict:
        """Return what `status` and the history say."""
        facts = {
            "id": self.id,
            "projectId": self.project_id,
            "userId": "f6ff3965-8187-4891-b87a-d3267b283ca5",
            "status": self.status,
            "progress": self.progress,
            "createdAt": self.created_at,
            "options": self.options,
            "projectName": self.project_name,
        }
        more = {"message": self.message, "completedAt": self.completed_at, "filePath": self.file_path}
        facts |= {key: value for key, value in more.items() if value is not None}
        if self.plan.warnings and self.status == "completed":
            facts["warnings"] = list(self.plan.warnings)
        return facts
