"""The event log in one SQLite database, for one server process.

Write-ahead log with `synchronous=NORMAL`: a commit survives the death of this process, SIGKILL included, and costs no
fsync (the power failing may take the last commits, never the database). Statements run on two threads, each with a
connection of its own, so that they need no lock: what is asked waits neither for a commit nor for a checkpoint's fsync.
"""

import asyncio
import contextlib
import sqlite3
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

import orjson

from exportctl.server.ballast import Ballast
from exportctl.server.job import (
    ENDS,
    ArchiveFacts,
    Cancellation,
    Event,
    EventName,
    JobError,
    JobRecord,
    Status,
    timestamp,
)
from exportctl.server.log import (
    IdempotencyKey,
    JobEndedError,
    KeptArchive,
    KeyConflictError,
    LogFullError,
    UnknownJobError,
)
from exportctl.server.log_database import as_log_errors, connect, open_database, transaction
from exportctl.server.tails import Tails

T = TypeVar("T")

KEY_SECONDS = 24 * 3600
_LAST_WORDS = ENDS | {EventName.PHASE_CHANGED, EventName.DOWNLOAD_READY}
_ENDED_HEADS = 1000
_FORGOTTEN_AT_ONCE = 500
"""Rows, of jobs and events."""
_ENDED = tuple(status.value for status in Status if status.ended)


class SqliteLog:
    """An EventLog in the file at `path`. `clock` gives Unix seconds. Call `open` first, `close` last."""

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        self._path = path
        self._ballast = Ballast(path.with_name("ballast"))
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="event-log")
        self._readers_thread = ThreadPoolExecutor(1, thread_name_prefix="event-log-reading")
        self._heads: dict[str, int] = {}
        self._last_ended: deque[str] = deque()
        self._tails = Tails()
        self.appended = 0
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}

    async def open(self) -> None:
        """See EventLog: the database is made if it is not there."""
        self._db = await self._do(self._open)
        self._reading = await self._ask(lambda: connect(self._path))

    async def create(self, record: JobRecord, key: IdempotencyKey | None = None) -> JobRecord:
        """See EventLog."""
        return await self._do(lambda: self._create(record, key))

    async def keyed(self, key: IdempotencyKey) -> JobRecord | None:
        """See EventLog."""
        return await self._ask(lambda: self._keyed(self._reading, key))

    async def append(self, record: JobRecord, name: str, data: Mapping[str, Any]) -> JobRecord:
        """See EventLog."""
        loop = asyncio.get_running_loop()

        def work() -> JobRecord:
            appended, event = self._append(record, name, data)
            # Told from here, not after the await: a caller's cancellation must not cost the readers their notice.
            loop.call_soon_threadsafe(self._announce, record.id, event)
            return appended

        return await self._do(work)

    async def amend(self, record: JobRecord) -> None:
        """See EventLog."""
        await self._do(lambda: self._amend(record))

    async def job(self, job_id: str, *, user: str | None = None) -> JobRecord | None:
        """See EventLog."""
        found = await self._records("WHERE id = ? AND user = ifnull(?, user)", job_id, user)
        return found[0] if found else None

    async def newest(self, user: str, project: str | None, limit: int) -> Sequence[str]:
        """See EventLog."""
        query = "SELECT id FROM jobs WHERE user = ? AND project = ifnull(?, project) ORDER BY created DESC LIMIT ?"
        return [job_id for (job_id,) in await self._rows(query, user, project, limit)]

    async def unfinished(self) -> Sequence[JobRecord]:
        """See EventLog."""
        return await self._records("WHERE status NOT IN (?, ?, ?) ORDER BY created", *_ENDED)

    async def archives(self) -> Sequence[KeptArchive]:
        """See EventLog."""
        query = (
            "SELECT id, expires, json_extract(record, '$.archive.size') FROM jobs "
            "WHERE expires IS NOT NULL AND status = ? ORDER BY json_extract(record, '$.completed'), created"
        )
        rows = await self._rows(query, Status.COMPLETED)
        return [KeptArchive(job=job_id, expires=expires, size=size) for job_id, expires, size in rows]

    async def retire(self, job_id: str, now: float) -> None:
        """See EventLog."""
        await self._do(lambda: self._retire(job_id, now))

    async def keep_until(self, times: Mapping[str, float]) -> None:
        """See EventLog."""
        await self._do(lambda: self._keep_until(times))

    async def forget(self, before: float) -> None:
        """See EventLog."""
        while await self._do(lambda: self._forget(before)):
            pass

    async def read(self, job_id: str, after: int, limit: int) -> Sequence[Event]:
        """See EventLog."""
        known = self._tails.read(job_id, after, limit)
        if known is not None:
            return known
        query = "SELECT seq, name, data FROM events WHERE job = ? AND seq > ? ORDER BY seq LIMIT ?"
        # Decoded on the thread too: a page of a long log must not keep the loop from others.
        return await self._ask(
            lambda: [
                Event(seq=seq, name=name, data=orjson.loads(data))
                for seq, name, data in self._reading.execute(query, (job_id, after, limit))
            ]
        )

    async def wait(self, job_id: str, after: int) -> None:
        """See EventLog."""
        while self._heads.get(job_id, 0) <= after:
            future = asyncio.get_running_loop().create_future()
            waiting = self._waiting.setdefault(job_id, set())
            waiting.add(future)
            try:
                await future
            finally:
                waiting.discard(future)
                if not waiting and self._waiting.get(job_id) is waiting:
                    del self._waiting[job_id]

    async def close(self) -> None:
        """See EventLog."""
        try:
            if hasattr(self, "_reading"):
                await self._ask(self._reading.close)
            if hasattr(self, "_db"):
                await self._do(self._db.close)
        finally:
            self._thread.shutdown()
            self._readers_thread.shutdown()

    def _announce(self, job_id: str, event: Event) -> None:
        self.appended += 1
        self._heads[job_id] = max(event.seq, self._heads.get(job_id, 0))
        self._tails.add(job_id, event)
        for future in self._waiting.get(job_id, ()):
            if not future.done():
                future.set_result(None)
        if event.name in ENDS:
            # Not at once: somebody may have read just before, and wait now.
            self._last_ended.append(job_id)
            if len(self._last_ended) > _ENDED_HEADS:
                self._heads.pop(self._last_ended.popleft(), None)

    async def _do(self, work: Callable[[], T]) -> T:
        with as_log_errors():
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _ask(self, work: Callable[[], T]) -> T:
        with as_log_errors():
            return await asyncio.get_running_loop().run_in_executor(self._readers_thread, work)

    async def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        return await self._ask(lambda: self._reading.execute(query, values).fetchall())

    async def _records(self, where: str, *values: object) -> list[JobRecord]:
        query = f"SELECT record, options FROM jobs {where}"  # noqa: S608 - `where` is one of the constants above
        return await self._ask(lambda: [_load(*row) for row in self._reading.execute(query, values)])

    # Everything below runs on the log's thread.

    def _open(self) -> sqlite3.Connection:
        with contextlib.ExitStack() as undo:
            db = open_database(self._path)
            undo.callback(db.close)
            self._ballast.keep()
            undo.pop_all()
        return db

    def _create(self, record: JobRecord, key: IdempotencyKey | None) -> JobRecord:
        now = self._clock()
        if not self._ballast.keep():
            raise LogFullError("The disk with the event log is full")
        with transaction(self._db):
            if key is not None:
                known = self._keyed(self._db, key)
                if known is not None:
                    return known
                self._db.execute("DELETE FROM keys WHERE created < ?", (now - KEY_SECONDS,))
                insert = "INSERT INTO keys (user, key, body, job, created) VALUES (?, ?, ?, ?, ?)"
                self._db.execute(insert, (key.user, key.key, key.body, record.id, now))
            self._db.execute(
                "INSERT INTO jobs (id, user, project, created, status, last_seq, options, record) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    record.id,
                    record.user,
                    record.project,
                    record.created,
                    record.status,
                    record.last_seq,
                    orjson.dumps(dict(record.options)).decode(),
                    _dump(record),
                ),
            )
        return record

    def _keyed(self, db: sqlite3.Connection, key: IdempotencyKey) -> JobRecord | None:
        query = (
            "SELECT keys.body, record, options FROM keys JOIN jobs ON jobs.id = keys.job "
            "WHERE keys.user = ? AND key = ? AND keys.created >= ?"
        )
        row = db.execute(query, (key.user, key.key, self._clock() - KEY_SECONDS)).fetchone()
        if row is None:
            return None
        body, *stored = row
        if body != key.body:
            raise KeyConflictError("This Idempotency-Key was used for another request")
        return _load(*stored)

    def _append(self, record: JobRecord, name: str, data: Mapping[str, Any]) -> tuple[JobRecord, Event]:
        try:
            return self._appended(record, name, data)
        except LogFullError:
            if name not in _LAST_WORDS or not self._ballast.drop():
                raise
            return self._appended(record, name, data)

    def _appended(self, record: JobRecord, name: str, data: Mapping[str, Any]) -> tuple[JobRecord, Event]:
        with transaction(self._db):
            row = self._db.execute("SELECT last_seq, status FROM jobs WHERE id = ?", (record.id,)).fetchone()
            if row is None:
                raise UnknownJobError(record.id)
            if Status(row[1]).ended:
                raise JobEndedError(record.id)
            if record.status.ended != (name in ENDS):
                raise ValueError(f"{name} does not go with a job that is {record.status}")
            appended = replace(record, last_seq=row[0] + 1)
            whole = {
                "jobId": record.id,
                "projectId": record.project,
                "seq": appended.last_seq,
                "timestamp": timestamp(self._clock()),
                "correlationId": record.correlation,
                **data,
            }
            insert = "INSERT INTO events (job, seq, name, data) VALUES (?, ?, ?, ?)"
            stored = orjson.dumps(whole).decode()
            self._db.execute(insert, (record.id, appended.last_seq, name, stored))
            expires = record.archive.expires if record.archive else None
            update = "UPDATE jobs SET status = ?, expires = ?, last_seq = ?, record = ? WHERE id = ?"
            self._db.execute(update, (record.status, expires, appended.last_seq, _dump(appended), record.id))
        # As whoever asks the database has it.
        return appended, Event(seq=appended.last_seq, name=name, data=orjson.loads(stored))

    def _amend(self, record: JobRecord) -> None:
        with transaction(self._db):
            row = self._db.execute("SELECT last_seq, status FROM jobs WHERE id = ?", (record.id,)).fetchone()
            if row is None:
                raise UnknownJobError(record.id)
            if Status(row[1]).ended:
                raise JobEndedError(record.id)
            stored = _dump(replace(record, last_seq=row[0]))
            self._db.execute("UPDATE jobs SET record = ? WHERE id = ?", (stored, record.id))

    def _retire(self, job_id: str, now: float) -> None:
        # Beside the column, which says no more than that there is something to remove.
        update = (
            "UPDATE jobs SET expires = NULL, record = json_set(record, '$.archive.expires', min(expires, ?)) "
            "WHERE id = ? AND expires IS NOT NULL"
        )
        with transaction(self._db):
            self._db.execute(update, (now, job_id))

    def _keep_until(self, times: Mapping[str, float]) -> None:
        update = (
            "UPDATE jobs SET expires = ?1, record = json_set(record, '$.archive.expires', ?1) "
            "WHERE id = ?2 AND expires IS NOT NULL"
        )
        with transaction(self._db):
            self._db.executemany(update, [(expires, job_id) for job_id, expires in times.items()])

    def _forget(self, before: float) -> bool:
        """Remove some; true where there may be more. A few at a time: others have something to log meanwhile."""
        ended = ", ".join("?" * len(_ENDED))
        query = (
            f"SELECT id FROM jobs WHERE status IN ({ended}) AND expires IS NULL "  # noqa: S608 - marks
            "AND json_extract(record, '$.completed') < ? LIMIT ?"
        )
        events = "DELETE FROM events WHERE job = ? AND seq IN (SELECT seq FROM events WHERE job = ? LIMIT ?)"
        room = _FORGOTTEN_AT_ONCE
        with transaction(self._db):
            for (job_id,) in self._db.execute(query, (*_ENDED, before, room)).fetchall():
                room -= self._db.execute(events, (job_id, job_id, room)).rowcount
                if room <= 0:
                    return True
                self._db.execute("DELETE FROM jobs WHERE id = ?", (job_id,))
                room -= 1
        return room < _FORGOTTEN_AT_ONCE


def _dump(record: JobRecord) -> str:
    # The options never change and may be long (a selection of images): they have a column of their own.
    return orjson.dumps(asdict(replace(record, options={}))).decode()


def _load(stored: str, options: str) -> JobRecord:
    facts = orjson.loads(stored)
    archive, error, cancellation = facts["archive"], facts["error"], facts.get("cancellation")
    return JobRecord(
        **{
            **facts,
            "options": orjson.loads(options),
            "status": Status(facts["status"]),
            "warnings": tuple(facts["warnings"]),
            "archive": archive and ArchiveFacts(**archive),
            "error": error and JobError(**error),
            "cancellation": cancellation and Cancellation(**cancellation),
        }
    )
