"""What a user asks the engine for, and why it may not be taken."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from exportctl.server.export.options import ExportOptions
from exportctl.server.settings import Project


class TooManyJobsError(Exception):
    """There are as many jobs without an end as allowed: of this user, or (`of_all`) of all users."""

    def __init__(self, limit: int, *, of_all: bool) -> None:
        super().__init__(limit)
        self.limit = limit
        self.of_all = of_all


@dataclass(frozen=True, slots=True, kw_only=True)
class StartRequest:
    """What a user wants exported. `wire` is the options object as it was sent; `key` the `Idempotency-Key`."""

    user: str
    project: Project
    options: ExportOptions
    wire: Mapping[str, Any]
    project_name: str | None = None
    correlation: str | None = None
    key: str | None = None

    def digest(self) -> str:
        """Return what another request with the same key must have in common with this one."""
        body = [self.project.id, dict(self.wire), self.project_name]
        return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()
