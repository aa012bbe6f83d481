"""Jobs and projects that this machine knows, for completions: read from the store's file, without a word to anybody.

The place and the columns are those of `exportctl.store`, said again since nothing of ours may be imported here; a test
holds both equal. Whatever is wrong, nothing is offered. Read-only: it waits for nobody and mends nothing.
"""

import os
import sys

_MOST = 100
_THERE = (
    "(server NOT LIKE 'embedded%'"
    " OR (server LIKE 'embedded:%' AND NOT is_saved AND coalesce(status, 'completed') = 'completed'))"
)
"""A job of the embedded server is there only while it is parked."""


def known_jobs(current: str) -> list[tuple[str, str]]:
    """Return the jobs, the latest first, as `PROJECT/JOB` where that was begun, with project and status."""
    rows = _rows("SELECT project_id, job_id, project_title, coalesce(status, 'unfinished') FROM job")
    words = [
        (f"{project}/{job}" if "/" in current and project else job, f"{title or project or ''} {status}".strip())
        for project, job, title, status in rows
    ]
    return [*([("@last", "the last job")] if words else []), *words]


def known_projects() -> list[tuple[str, str]]:
    """Return the titles of the projects, or the ids of those without one."""
    rows = _rows("SELECT DISTINCT coalesce(project_title, project_id), '' FROM job")
    return [(title, meaning) for title, meaning in rows if title]


def state_file() -> str | None:
    """Return where the store lies; None where nothing is kept."""
    if os.environ.get("EXPORTCTL_STATE") == "off":
        return None
    if sys.platform == "darwin":
        folder = os.path.expanduser("~/Library/Application Support")  # noqa: PTH111 - pathlib costs a bare start
    else:
        folder = os.environ.get("XDG_STATE_HOME", "").strip() or os.path.expanduser("~/.local/state")  # noqa: PTH111
    return os.path.join(folder, "exportctl", "jobs.sqlite3") if folder.startswith("/") else None  # noqa: PTH118


def _rows(question: str) -> list[tuple[str, ...]]:
    path = state_file()
    if path is None or not os.path.exists(path):  # noqa: PTH110 - as above
        return []
    import sqlite3  # noqa: PLC0415 - only where a job or a project is completed
    from urllib.parse import quote  # noqa: PLC0415 - as above

    try:
        connection = sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True, timeout=0.1)
        try:
            rows = connection.execute(f"{question} WHERE {_THERE} ORDER BY touched DESC LIMIT {_MOST}").fetchall()
        finally:
            connection.close()
    except (sqlite3.Error, UnicodeError, ValueError):
        return []
    # A name that a line of the answer cannot hold is not offered.
    return [row for row in rows if all(word is None or (isinstance(word, str) and word.isprintable()) for word in row)]
