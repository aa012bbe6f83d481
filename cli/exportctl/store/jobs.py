"""The jobs that were started or followed here, as facts; one short transaction for each question and each note."""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from exportctl.store.database import Database

if TYPE_CHECKING:
    import sqlite3

KEPT_SECONDS: Final = 90 * 86400.0
KEPT_ENDED: Final = 1000
"""Entries of ended jobs older, or more, than these are let go. Unfinished ones go when they are twice as old."""
CURSOR_PATIENCE: Final = 0.05
"""Seconds that the note of a cursor waits for others; the next note says the same again."""
ENDED: Final = frozenset({"completed", "failed", "cancelled", "gone"})
"""`gone`: the server knows it no longer."""
PARKED_SECONDS: Final = 30 * 86400.0
"""Jobs that were parked and not touched for longer are let go, with the disk that they take."""
_COLUMNS: Final = (
    "server, job_id, project_id, project_title, profile, options, is_started_here, is_wanted, output, partial,"
    " overwrites, is_saved, cursor, log, status, exit_status, began_at, ended_at, extract"
)
KEY_SECONDS: Final = 23 * 3600.0
"""How long a start can be asked for again: servers know its key for 24 h."""

Status = Literal["completed", "failed", "cancelled", "gone"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownJob:
    """What is known of one job. Times in seconds since the epoch; `cursor` is the number of the last event seen.

    `options` is the object that was sent, as JSON. `status` None: no end is known. `is_wanted`: its archive was asked
    for here, at `output`, its content at `extract` (where both are the same, that alone); `is_saved`: it was brought
    there, verified; `overwrites`: it may replace what lies there. `exit_status` is that of the last command with it.
    """

    server: str
    job_id: str
    project_id: str | None = None
    project_title: str | None = None
    profile: str | None = None
    options: str | None = None
    is_started_here: bool = False
    is_wanted: bool = False
    output: Path | None = None
    partial: Path | None = None
    overwrites: bool = False
    is_saved: bool = False
    cursor: int = 0
    log: str | None = None
    status: str | None = None
    exit_status: int | None = None
    began_at: float = 0.0
    ended_at: float | None = None
    extract: Path | None = None

    @property
    def has_ended(self) -> bool:
        """Whether nothing more is to come from the server."""
        return self.status in ENDED


@dataclass(frozen=True, slots=True, kw_only=True)
class LostStart:
    """A start that was asked for here and whose answer no command has seen.

    `job` has no id yet; its paths hold `{job}` where the id's first letters are to stand. `asked_at` is the server's
    own time just before, RFC 3339.
    """

    key: str
    job: KnownJob
    asked_at: str | None


@dataclass(slots=True, kw_only=True)
class Jobs:
    """All jobs known here. Every method raises `Unusable`. `now` gives seconds since the epoch."""

    database: Database
    now: Callable[[], float] = time.time
    _noted: dict[tuple[str, str], tuple[int, str | None]] = field(init=False, default_factory=dict)

    def can_keep(self) -> bool:
        """Return whether what is noted stays."""
        self.database.use(lambda connection: connection.execute("SELECT 1").fetchone())
        return not self.database.is_read_only

    def note_start(self, start: LostStart) -> None:
        """Note, before it is asked for, a start: lost until `begin` or `forget_start` says what became of it."""
        job = start.job
        values = (
            *(start.key, job.server, job.project_id, job.project_title, job.profile, job.options, job.is_wanted),
            *(_bytes(job.output), _bytes(job.extract), job.overwrites, start.asked_at, self.now()),
        )

        def write(connection: "sqlite3.Connection") -> None:
            connection.execute("DELETE FROM start WHERE began_at < ?", (self.now() - KEY_SECONDS,))
            connection.execute("INSERT OR REPLACE INTO start VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values)

        self.database.use(write)

    def forget_start(self, key: str) -> None:
        """Note that a start was refused, or never asked for."""
        self.database.use(lambda connection: connection.execute("DELETE FROM start WHERE key = ?", (key,)))

    def is_parked(self, server: str) -> bool:
        """Return whether a folder of this machine holds a job that is still to be finished, or fetched."""
        since = self.now() - PARKED_SECONDS
        found = self.database.use(
            lambda connection: connection.execute(
                "SELECT 1 FROM job WHERE server = ?1 AND touched_at > ?2"
                " AND (status IS NULL OR (status = 'completed' AND NOT is_saved))"
                " UNION ALL SELECT 1 FROM start WHERE server = ?1 AND began_at > ?2 LIMIT 1",
                (server, since),
            ).fetchone()
        )
        return found is not None

    def begin(self, job: KnownJob, *, key: str | None = None) -> None:
        """Note that a command deals with `job`; what was known stays where `job` says nothing.

        `key`: that of the start which the job came of; it is lost no more.
        """
        now = self.now()
        values = {
            **_values(job),
            "began_at": job.began_at or now,
            "touched_at": now,
        }

        def write(connection: "sqlite3.Connection") -> None:
            _prune(connection, now)
            connection.execute(_BEGIN, values)
            if key is not None:
                connection.execute("DELETE FROM start WHERE key = ?", (key,))

        self.database.use(write)

    def note_cursor(self, job: KnownJob, cursor: int, log: str | None) -> None:
        """Note how far the events were seen; cheap, and nothing where that is known already."""
        key = (job.server, job.job_id)
        if self._noted.get(key) == (cursor, log):
            return
        self.database.use(
            lambda connection: connection.execute(
                "UPDATE job SET cursor = CASE WHEN log IS ? THEN max(cursor, ?) ELSE ? END, log = ?"
                " WHERE server = ? AND job_id = ?",
                (log, cursor, cursor, log, *key),
            ),
            patience=CURSOR_PATIENCE,
        )
        self._noted[key] = (cursor, log)

    def note(self, job: KnownJob, **facts: str | float | bytes | bool | None) -> None:
        """Note facts by the names of `KnownJob`; paths as bytes."""
        if not facts:
            return
        names = ", ".join(f"{name} = ?" for name in facts)
        values = (*facts.values(), job.server, job.job_id)
        self.database.use(
            lambda connection: connection.execute(
                f"UPDATE job SET {names} WHERE server = ? AND job_id = ?",  # noqa: S608 - the names are our own
                values,
            )
        )

    def note_end(self, job: KnownJob, status: Status) -> tuple[Path | None, Path | None]:
        """Note how the job ended; the first end stays. Return where its output and its partial file would lie."""
        key = (job.server, job.job_id)

        def write(connection: "sqlite3.Connection") -> tuple[Path | None, Path | None]:
            connection.execute(
                "UPDATE job SET status = ?, ended_at = ?"
                " WHERE server = ? AND job_id = ? AND (status IS NULL OR status = 'gone')",
                (status, self.now(), *key),
            )
            question = "SELECT output, partial FROM job WHERE server = ? AND job_id = ?"
            output, partial = connection.execute(question, key).fetchone() or (None, None)
            return _path(output), _path(partial)

        return self.database.use(write)

    def last(self) -> KnownJob | None:
        """Return the job that a command began, followed or fetched last."""
        return next(iter(self._read("ORDER BY touched DESC LIMIT 1")), None)

    def starting_with(self, prefix: str, *, project_id: str | None = None) -> list[KnownJob]:
        """Return the jobs whose id begins so, the latest first; the one whose id is `prefix`, alone."""
        found = self._read(
            "WHERE substr(job_id, 1, length(?)) = ? AND (? IS NULL OR project_id = ?) ORDER BY touched DESC",
            prefix,
            prefix,
            project_id,
            project_id,
        )
        return [job for job in found if job.job_id == prefix] or found

    def unfinished(self) -> list[KnownJob]:
        """Return the jobs started here of which no end is known, the oldest first."""
        return self._read("WHERE status IS NULL AND is_started_here ORDER BY began_at, job_id")

    def interrupted(self) -> tuple[list[LostStart], list[KnownJob]]:
        """Return what `resume` has to do with, the oldest first: lost starts, and jobs unfinished or not yet saved.

        Both of one instant: a start becomes a job while others run, and is then never told as both.
        """
        where = (
            "WHERE (status IS NULL AND (is_started_here OR is_wanted))"
            " OR (status = 'completed' AND is_wanted AND NOT is_saved) ORDER BY began_at, job_id"
        )
        return self.database.use(lambda connection: (self._starts(connection), _jobs(connection, where)))

    def all(self, *, project: str | None = None, limit: int = KEPT_ENDED) -> list[KnownJob]:
        """Return the jobs of a project, by its id or title, or of all, the latest first."""
        return self._read(
            "WHERE ? IS NULL OR project_id = ? OR project_title = ? ORDER BY touched DESC LIMIT ?",
            project,
            project,
            project,
            limit,
        )

    def _read(self, rest: str, *values: str | int | None) -> list[KnownJob]:
        return self.database.use(lambda connection: _jobs(connection, rest, *values))

    def _starts(self, connection: "sqlite3.Connection") -> list[LostStart]:
        rows = connection.execute(
            "SELECT key, asked_at, server, project_id, project_title, profile, options, is_wanted, output, extract,"
            " overwrites, began_at FROM start WHERE began_at >= ? ORDER BY began_at, key",
            (self.now() - KEY_SECONDS,),
        )
        return [_lost(row) for row in rows]


def _jobs(connection: "sqlite3.Connection", rest: str, *values: str | int | None) -> list[KnownJob]:
    rows = connection.execute(f"SELECT {_COLUMNS} FROM job {rest}", values)  # noqa: S608 - both are our own words
    return [_job(row) for row in rows]


_BEGIN: Final = """
    INSERT INTO job (server, job_id, project_id, project_title, profile, options, is_started_here, is_wanted,
                     output, extract, partial, overwrites, began_at, touched, touched_at)
    VALUES (:server, :job_id, :project_id, :project_title, :profile, :options, :is_started_here, :is_wanted,
            :output, :extract, :partial, :overwrites, :began_at,
            (SELECT coalesce(max(touched), 0) + 1 FROM job), :touched_at)
    ON CONFLICT (server, job_id) DO UPDATE SET
        project_id = coalesce(excluded.project_id, project_id),
        project_title = coalesce(excluded.project_title, project_title),
        profile = coalesce(excluded.profile, profile),
        options = coalesce(excluded.options, options),
        is_started_here = max(is_started_here, excluded.is_started_here),
        is_wanted = max(is_wanted, excluded.is_wanted),
        is_saved = CASE WHEN excluded.output IS NULL THEN is_saved ELSE 0 END,
        extract = CASE WHEN excluded.output IS NULL THEN extract ELSE excluded.extract END,
        output = coalesce(excluded.output, output),
        partial = coalesce(excluded.partial, partial),
        overwrites = CASE WHEN excluded.output IS NULL THEN overwrites ELSE excluded.overwrites END,
        touched = excluded.touched, touched_at = excluded.touched_at
"""


def _prune(connection: "sqlite3.Connection", now: float) -> None:
    connection.execute("DELETE FROM job WHERE status IS NOT NULL AND touched_at < ?", (now - KEPT_SECONDS,))
    connection.execute("DELETE FROM job WHERE touched_at < ?", (now - 2 * KEPT_SECONDS,))
    connection.execute(
        "DELETE FROM job WHERE status IS NOT NULL AND touched <"
        " (SELECT touched FROM job WHERE status IS NOT NULL ORDER BY touched DESC LIMIT 1 OFFSET ?)",
        (KEPT_ENDED - 1,),
    )


def _values(job: KnownJob) -> Mapping[str, object]:
    return {
        "server": job.server,
        "job_id": job.job_id,
        "project_id": job.project_id,
        "project_title": job.project_title,
        "profile": job.profile,
        "options": job.options,
        "is_started_here": job.is_started_here,
        "is_wanted": job.is_wanted,
        "overwrites": job.overwrites,
        # Paths are bytes: a name need not be text.
        "output": _bytes(job.output),
        "extract": _bytes(job.extract),
        "partial": _bytes(job.partial),
    }


def _bytes(path: Path | None) -> bytes | None:
    return None if path is None else os.fsencode(path)


def _lost(row: tuple[object, ...]) -> LostStart:
    key, asked_at, server, project_id, title, profile, options, is_wanted, output, extract, overwrites, began_at = row
    job = KnownJob(
        server=str(server),
        job_id="",
        project_id=_text(project_id),
        project_title=_text(title),
        profile=_text(profile),
        options=_text(options),
        is_started_here=True,
        is_wanted=bool(is_wanted),
        output=_path(output),
        extract=_path(extract),
        overwrites=bool(overwrites),
        began_at=began_at if isinstance(began_at, float) else 0.0,
    )
    return LostStart(key=str(key), job=job, asked_at=_text(asked_at))


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _path(value: object) -> Path | None:
    return Path(os.fsdecode(value)) if isinstance(value, bytes) else None


def _job(row: tuple[object, ...]) -> KnownJob:
    facts = dict(zip(_COLUMNS.split(", "), row, strict=True))
    for name in ("is_started_here", "is_wanted", "overwrites", "is_saved"):
        facts[name] = bool(facts[name])
    for name in ("output", "partial", "extract"):
        facts[name] = _path(facts[name])
    return KnownJob(**facts)  # type: ignore[arg-type] # the columns are the fields, of the types that were written
