"""The Socket.IO side: signing in, subscriptions, cancelling, and what a socket is told unasked.

What a socket is told of a job comes from a cursor of its own, which pulls from the log as fast as the socket takes it
(`outgoing.py`). One that cannot be told is ended: it loses nothing, since it subscribes again with `after`.

A socket that has subscribed to nothing follows all jobs of its user, as in protocol 1, each from the moment it
connected or the job began. Its first subscription ends that: from then on it gets what it asks for.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, TypeVar

import socketio
from engineio.async_socket import AsyncSocket

from exportctl.server import bodies
from exportctl.server.answers import row_of, sync_of
from exportctl.server.auth import TOKEN_NEEDED, TOKEN_WRONG, SignInError
from exportctl.server.calls import Answer, RefusedCallError, job_in, refusal_of, text_of, whole_of
from exportctl.server.connections import most_connections
from exportctl.server.cursor import Cursor, start_of
from exportctl.server.doorkeeper import Doorkeeper, TooManySocketsError
from exportctl.server.doorway import Server
from exportctl.server.handshakes import signs_of
from exportctl.server.job import ENDS, JobRecord, Status, timestamp
from exportctl.server.outgoing import Outgoing, Reader, Replay
from exportctl.server.silence import Silent
from exportctl.server.site import Site

T = TypeVar("T")

logger = logging.getLogger(__name__)

# What peers do wrong is an error to it, and with no logger given it prints to standard error by itself.
_library = logging.getLogger(f"{__name__}.library")
_library.setLevel(logging.CRITICAL)

_PAGE = 100
_FAREWELL = {"type": "warning", "message": "The server is being stopped; exports go on when it is started again"}
_CALLS_AT_ONCE = 16
_HISTORY = 10
_LONGEST_HISTORY = 1000


class Sockets:
    """The server's sockets. `server` is the Socket.IO server to mount."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self._readers: dict[str, Reader] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self.server = Server(
            async_mode="asgi",
            logger=_library,
            engineio_logger=_library,
            ping_interval=site.settings.ping,
            cors_allowed_origins=[],  # looked at before it (`handshakes.py`), which knows of TLS
        )
        self._silent = Silent(self.server, site.settings.handshake)
        self._out = Outgoing(self.server, site.settings, self._cut)
        self._doorkeeper = Doorkeeper(site.guard, most_connections() // 2, self.server.disconnect)
        # Its own keeps no hold of its tasks, ping timers that run on for 25 s after a session's end among them.
        self.server.eio.start_background_task = self._start
        self.server.on("connect", self._connect)
        self.server.on("disconnect", self._disconnect)
        handlers = {
            "export:subscribe": self._subscribe,
            "export:unsubscribe": self._unsubscribe,
            "export:cancel": self._cancel,
            "export:history": self._history,
            "operation:cancel": self._cancel_operation,
        }
        for name, handler in handlers.items():
            self.server.on(name, self._guarded(handler))
        site.engine.on_change(self._on_change)
        self._start(self._silent.run)
        self._start(self._doorkeeper.run)
        site.meters.sockets.set_function(lambda: len(self._readers))
        site.meters.subscribers.set_function(lambda: sum(len(one.following) for one in self._readers.values()))

    def tell_of(self, stop: asyncio.Event) -> None:
        """Have everybody told, in protocol 1's words, when the server begins to stop."""
        self._start(self._say_farewell, stop)

    async def _say_farewell(self, stop: asyncio.Event) -> None:
        await stop.wait()
        for reader in list(self._readers.values()):
            self._start(self._out.emit, reader, "system-message", _FAREWELL)

    async def close(self) -> None:
        """Stop telling anyone anything."""
        for reader in list(self._readers.values()):
            self._drop(reader)
        await self.server.shutdown()
        left = list(self._tasks)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _start(self, work: Callable[..., Coroutine[Any, Any, T]], *args: Any, **options: Any) -> asyncio.Task[T]:
        """Run work as a task that ends with the server, at the latest."""
        task = asyncio.create_task(work(*args, **options))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        session = getattr(work, "__self__", None)
        if isinstance(session, AsyncSocket):
            self._silent.pinging(session, task)
        return task

    async def _connect(self, sid: str, environ: Mapping[str, Any], auth: object) -> None:
        try:
            given = self.site.guard.pass_of(*signs_of(environ, auth))
            self._doorkeeper.admit(sid, given)
        except TooManySocketsError as error:
            raise socketio.exceptions.ConnectionRefusedError("Too many sockets of one user") from error
        except SignInError as error:
            # In protocol 1's two texts: by "auth" in them its web client knows that it must renew its session.
            said = str(error) if str(error) == TOKEN_NEEDED else TOKEN_WRONG
            raise socketio.exceptions.ConnectionRefusedError(said) from error
        self._silent.connected(sid)
        reader = self._readers[sid] = Reader(sid, given.user)
        for record in self.site.engine.running(given.user):
            self._follow(reader, record.id, record.last_seq)

    async def _disconnect(self, sid: str, _reason: object = None) -> None:
        self._doorkeeper.left(sid)
        reader = self._readers.get(sid)
        if reader is not None:
            self._drop(reader)

    def _drop(self, reader: Reader) -> None:
        reader.gone = True
        self._readers.pop(reader.sid, None)
        for job_id in list(reader.following):
            reader.stop(job_id)

    def _cut(self, reader: Reader) -> None:
        """End a socket that cannot be told what it waits for."""
        self._drop(reader)
        session = self.server.manager.eio_sid_from_sid(reader.sid, "/")
        if session is not None:
            self._start(self._silent.end, session)

    def _guarded(
        self, handler: Callable[[Reader, Mapping[str, Any]], Awaitable[Answer]]
    ) -> Callable[..., Awaitable[Answer]]:
        """Let a handler see only objects, from sockets that do not flood; its refusals are acknowledgements."""

        async def guarded(sid: str, data: object = None, *_more: object) -> Answer:
            reader = self._readers.get(sid)
            if reader is None:
                return refusal_of("NOT_CONNECTED", "This socket is not connected")
            if not isinstance(data, dict):
                return refusal_of("BAD_DATA", "The event's data must be an object")
            if reader.calls >= _CALLS_AT_ONCE:
                return refusal_of("TOO_MANY_CALLS", f"{_CALLS_AT_ONCE} calls are being worked on already")
            reader.calls += 1
            try:
                return await handler(reader, data)
            except RefusedCallError as refusal:
                return refusal_of(refusal.code, str(refusal))
            except Exception:
                # The caller waits for an answer, whatever went wrong.
                logger.exception("A socket's call failed")
                return refusal_of("INTERNAL_ERROR", "The server made a mistake")
            finally:
                reader.calls -= 1

        return guarded

    async def _subscribe(self, reader: Reader, data: Mapping[str, Any]) -> Answer:
        # Noted before anything is waited for: calls begin in the order in which they were sent, and end in any.
        replay = reader.begin(job_in(data))
        try:
            return await self._replay(reader, data, replay)
        finally:
            reader.replays.discard(replay)

    async def _replay(self, reader: Reader, data: Mapping[str, Any], replay: Replay) -> Answer:
        record = await self._job(reader, data)
        after, gap = start_of(record, whole_of(data, "after"), text_of(data, "log"))
        if not reader.subscribed:
            reader.subscribed = True
            for job_id in list(reader.following):
                reader.stop(job_id)
        reader.stop(record.id)
        await self._out.emit(reader, "export:status-sync", sync_of(record))
        cursor = Cursor(self.site.log, record.id, after)
        while await self._tell(reader, cursor, replay) or (cursor.after < record.last_seq and not reader.gone):
            if not replay.is_wanted:
                raise RefusedCallError("UNSUBSCRIBED", "This job was unsubscribed meanwhile")
            record = await self._job(reader, data)  # which may be forgotten meanwhile
        if replay.is_last and replay.is_wanted:
            # Its task begins after the acknowledgement is queued: between this and that nothing is waited for.
            self._follow(reader, record.id, cursor.after)
        return {
            "ok": True,
            "protocol": 2,
            "log": record.log,
            "lastSeq": cursor.after,
            "status": record.status,
            "gap": gap,
        }

    async def _unsubscribe(self, reader: Reader, data: Mapping[str, Any]) -> Answer:
        reader.end(job_in(data))
        record = await self._job(reader, data)
        if not reader.subscribed:
            reader.subscribed = True
            reader.stop(record.id)
        return {"ok": True}

    async def _cancel(self, reader: Reader, data: Mapping[str, Any]) -> Answer:
        record = await self._job(reader, data)
        begun = await self.site.engine.cancel(record, by="user", reason=text_of(data, "reason"))
        return {"ok": True, "status": "cancelling" if begun else record.status}

    async def _history(self, reader: Reader, data: Mapping[str, Any]) -> Answer:
        project = text_of(data, "projectId")
        if project not in self.site.engine.projects:
            raise RefusedCallError("PROJECT_NOT_FOUND", "No such project")
        limit = min(whole_of(data, "limit") or _HISTORY, _LONGEST_HISTORY)
        reader.watching.add(project or "")
        ids = await self.site.engine.history(reader.user, project, limit)
        # One after another, and without what may be megabytes of each: all of it is one packet.
        rows = {each: await self._row(reader, each) for each in ids}
        for each in [each for each, row in rows.items() if row is not None and not Status(row["status"]).ended]:
            if not self.site.engine.is_running(each):
                rows[each] = await self._row(reader, each)  # it has ended meanwhile, and that was pushed
        now = self.site.now()
        running = {job.id: row_of(job, now) for job in self.site.engine.running(reader.user) if job.project == project}
        return {
            "ok": True,
            "jobs": [row for each in ids if (row := running.pop(each, rows[each])) is not None],
            # Older than the `limit` newest, and still without an end: who lists jobs must not miss those.
            "running": list(running.values()),
        }

    async def _row(self, reader: Reader, job_id: str) -> bodies.Job | None:
        job = await self.site.engine.job(reader.user, job_id)
        return None if job is None else row_of(job, self.site.now())

    async def _cancel_operation(self, reader: Reader, data: Mapping[str, Any]) -> Answer:
        """Answer as protocol 1 does, with events; but here the job really ends, and only then is it said."""
        told: dict[str, str] = {}
        for name in ("operationId", "operationType"):
            with contextlib.suppress(RefusedCallError):
                told |= {name: text} if (text := text_of(data, name)) is not None else {}
        said: Answer = {"ok": True}
        try:
            record = await self._job(reader, {"jobId": text_of(data, "operationId")})
            reader.ending.add(record.id)
            if not await self.site.engine.cancel(record, by="user", reason=None):
                reader.ending.discard(record.id)
        except RefusedCallError as refusal:
            # Protocol 1 has no acknowledgements: whoever waits is told by the event.
            said = refusal_of(refusal.code, str(refusal))
            told["error"] = str(refusal)
        told["timestamp"] = timestamp(self.site.now())
        await self._out.emit(reader, "operation:cancel-ack", {"success": said["ok"], **told})
        return said

    async def _job(self, reader: Reader, data: Mapping[str, Any]) -> JobRecord:
        record = await self.site.engine.job(reader.user, job_in(data))
        if record is None:
            raise RefusedCallError("JOB_NOT_FOUND", "No such export job")
        return record

    def _on_change(self, record: JobRecord) -> None:
        """Tell those whom it concerns that a job was made, or has ended."""
        for reader in list(self._readers.values()):
            if reader.user != record.user:
                continue
            if not reader.subscribed and not record.status.ended and record.id not in reader.following:
                self._follow(reader, record.id, 0)
            if record.id in reader.ending and record.status.ended:
                self._end_operation(reader, record)
            if record.project in reader.watching:
                self._start(self._out.emit, reader, "export:history", {"job": row_of(record, self.site.now())})

    def _end_operation(self, reader: Reader, record: JobRecord) -> None:
        reader.ending.discard(record.id)
        if record.status is Status.CANCELLED:
            ended = {"operationId": record.id, "message": record.message, "timestamp": timestamp(self.site.now())}
            self._start(self._out.emit, reader, "export:cancelled", ended)

    def _follow(self, reader: Reader, job_id: str, after: int) -> None:
        """Have the reader told of a job's events beyond `after` as they come."""
        reader.stop(job_id)
        if reader.gone:
            return
        reader.following[job_id] = self._start(self._live, reader, Cursor(self.site.log, job_id, after))

    async def _live(self, reader: Reader, cursor: Cursor) -> None:
        try:
            await self._tell_on(reader, cursor)
        except Exception:
            logger.exception("A socket cannot be told of a job, and is cut")
            self._cut(reader)
        finally:
            if reader.following.get(cursor.job_id) is asyncio.current_task():
                del reader.following[cursor.job_id]

    async def _tell_on(self, reader: Reader, cursor: Cursor) -> None:
        """Tell a reader of a job's events, and that the job is alive, until the job's end."""
        while not reader.gone:
            told = await self._tell(reader, cursor)
            if told in ENDS:
                break
            if told is None and not await cursor.wait(self.site.settings.heartbeat):
                if not self.site.engine.is_running(cursor.job_id):
                    # It ended before this reader's first look, or another server runs it no more.
                    break
                now = timestamp(self.site.now())
                beat = {"jobId": cursor.job_id, "lastSeq": cursor.after, "timestamp": now}
                await self._out.emit(reader, "export:heartbeat", beat)

    async def _tell(self, reader: Reader, cursor: Cursor, replay: Replay | None = None) -> str | None:
        """Send the next page of events; returns the name of the last one, None when there was nothing."""
        events = await cursor.take(_PAGE)
        for event in events:
            await self._out.tell(reader, cursor.job_id, event)
            if reader.gone or (replay is not None and not replay.is_wanted):
                return None
        return events[-1].name if events else None
