"""What a client's event may hold, and how one that is wrong is answered."""

import re
from collections.abc import Mapping
from typing import Any, Final

LONGEST_TEXT: Final = 1000
_LONE: Final = re.compile(r"[\ud800-\udfff]")
"""Halves of a character, which JSON can spell and no log can keep."""

Answer = dict[str, Any]


class RefusedCallError(Exception):
    """A client's event is answered with `{ok: false, code, error}`."""

    def __init__(self, code: str, error: str) -> None:
        super().__init__(error)
        self.code = code


def refusal_of(code: str, error: str) -> Answer:
    """Spell a refused call's acknowledgement."""
    return {"ok": False, "code": code, "error": error}


def text_of(data: Mapping[str, Any], name: str) -> str | None:
    """Read a text that may be missing; raises RefusedCallError."""
    value = data.get(name)
    if value is None or (isinstance(value, str) and len(value) <= LONGEST_TEXT and _LONE.search(value) is None):
        return value
    raise RefusedCallError("BAD_DATA", f"{name} must be a text of at most {LONGEST_TEXT} characters")


def job_in(data: Mapping[str, Any]) -> str:
    """Read which job a call is about; raises RefusedCallError."""
    job_id = text_of(data, "jobId")
    if not job_id:
        raise RefusedCallError("BAD_DATA", "jobId must be a text")
    return job_id


def whole_of(data: Mapping[str, Any], name: str) -> int:
    """Read a whole number, 0 where it is missing; raises RefusedCallError."""
    value = data.get(name)
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**62:
        raise RefusedCallError("BAD_DATA", f"{name} must be a whole number, 0 or more")
    return value
