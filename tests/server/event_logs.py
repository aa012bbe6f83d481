"""Every event log there is, and what their tests have in common.

A second implementation is tested by one line in `LOGS`: what a log must do whoever keeps it stands in
`test_event_log.py`, what is SQLite's alone in `test_sqlite_log.py`.
"""

import contextlib

from exportctl.server.job import JobRecord
from exportctl.server.sqlite_log import SqliteLog

NOW = 1_795_000_000.123
LOGS = {"sqlite": lambda folder, clock: SqliteLog(folder / "events.sqlite3", clock)}
"""By name: makes the log that is kept in a folder, on a clock in Unix seconds."""


def record(job_id="job", **changes):
    known = {
        "id": job_id,
        "log": f"log of {job_id}",
        "making": "making",
        "project": "project",
        "user": "ana",
        "options": {"annotationFormats": ["coco"], "pixelToMicrometerScale": 0.5},
        "project_name": "Buňky",
        "correlation": "correlation",
        "created": NOW,
    }
    return JobRecord(**known | changes)


@contextlib.asynccontextmanager
async def opened(folder, clock=lambda: NOW, make=LOGS["sqlite"]):
    log = make(folder, clock)
    try:
        await log.open()
        yield log
    finally:
        await log.close()
