"""`list --watch`: the jobs as they change, until a signal or `--timeout` ends it.

A terminal shows one table, drawn again in place; a pipe gets each row that changed, NDJSON each `job` line. What other
commands on this machine do is seen in the store, the rest is pushed by the server or asked for.
"""

import asyncio
import random
import select
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from exportctl.client.api import Api
from exportctl.client.history import HistoryWatch
from exportctl.client.job_status import JobStatus
from exportctl.commands.body.edges import put, write
from exportctl.commands.body.listing import Listing, cells, shown
from exportctl.commands.body.reaching import reached
from exportctl.commands.body.target import Settings
from exportctl.model.errors import ExportctlError, NotAllowed, NotFound
from exportctl.model.lines import JobRow, Log
from exportctl.output.redraw import Redraw, is_redrawable
from exportctl.output.table import table
from exportctl.store.jobs import ENDED, KnownJob

LOOK_SECONDS: Final = 0.5
"""Between looks into the store."""
LEAST_SECONDS: Final = 0.1
"""Between two drawings."""
AGAIN_SECONDS: Final = 2.0
"""Before a server that could not be reached is tried again."""


@dataclass(slots=True, kw_only=True)
class Watching:
    """One watch. `problems` are the servers that cannot be asked now, in words."""

    listing: Listing
    problems: dict[str, str] = field(init=False, default_factory=dict)
    _seen: dict[str, JobStatus] = field(init=False, default_factory=dict)
    _told: dict[str | None, JobRow] = field(init=False, default_factory=dict)
    _changed: asyncio.Event = field(init=False, default_factory=asyncio.Event)
    _watched: dict[str, frozenset[str]] = field(init=False, default_factory=dict)
    _redraw: Redraw | None = field(init=False, default=None)
    _before: list[str] | None = field(init=False, default=None)

    async def run(self) -> None:
        """Show what changes, for ever."""
        session = self.listing.session
        session.waiting_for = "changes"
        if is_redrawable() and not session.shared.ndjson:
            self._redraw = Redraw(put=_write)
            asyncio.get_running_loop().add_signal_handler(signal.SIGCONT, self._draw_below)
        async with asyncio.TaskGroup() as servers:
            while True:
                known = self.listing.known()
                for settings in self.listing.servers(known):
                    if settings.server is not None and settings.server not in self._watched:
                        self._watched[settings.server] = frozenset()
                        servers.create_task(self._server(settings))
                self._show(self.listing.merged(known, self._seen))
                await self._change()

    async def _change(self) -> None:
        """Wait for news, at most until the store is to be looked at again."""
        await asyncio.sleep(LEAST_SECONDS)
        _check_reader()
        try:
            async with asyncio.timeout(LOOK_SECONDS - LEAST_SECONDS):
                await self._changed.wait()
        except TimeoutError:
            pass
        self._changed.clear()

    async def _server(self, settings: Settings) -> None:
        """Watch one server."""
        listing, server = self.listing, settings.server or ""
        while True:
            try:
                async with reached(listing.session, settings) as api:
                    await api.meet()
                    self._fail(server, None)
                    await self._watch(api, server)
            except ExportctlError as error:
                if isinstance(error, NotFound | NotAllowed) and server == listing.settings.server and not self._told:
                    raise
                self._fail(server, error)
                await asyncio.sleep(AGAIN_SECONDS)

    async def _watch(self, api: Api, server: str) -> None:
        listing = self.listing
        is_configured = server == listing.settings.server
        projects = set[str]()
        if listing.project is not None and is_configured:
            projects.add((await api.find_project(listing.project)).id)
        else:
            projects |= {job.project_id for job in self._unfinished(server) if job.project_id}
        self._watched[server] = frozenset(projects)

        def tell(jobs: list[JobStatus]) -> None:
            # Without a project only what this machine knows is listed, whatever else a project's history holds.
            ours = {job.job_id for job in listing.known()} if listing.project is None else None
            self._seen |= {job.id: job for job in jobs if ours is None or job.id in ours}
            self._changed.set()

        watch = HistoryWatch(
            api=api,
            poll_interval=listing.connection.poll_interval,
            is_polling=listing.connection.transport == "polling",
            projects=projects,
            unfinished=lambda: self._may_change(server),
            tell=tell,
            fail=lambda error: self._fail(server, error),
            jitter=random.random,
        )
        running = asyncio.create_task(watch.run())
        try:
            # A job of another project may begin here: then that one is watched too.
            while listing.project is not None or self._is_covered(server):
                await asyncio.wait([running], timeout=LOOK_SECONDS)
                if running.done():
                    running.result()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    def _unfinished(self, server: str) -> list[KnownJob]:
        return [job for job in self.listing.known() if job.server == server and not job.has_ended]

    def _is_covered(self, server: str) -> bool:
        return {job.project_id for job in self._unfinished(server) if job.project_id} <= self._watched[server]

    def _may_change(self, server: str) -> list[tuple[str | None, str]]:
        """Return the jobs of which the server is to be asked: known here, or heard of, and not ended."""
        ours = {job.job_id: job.project_id for job in self._unfinished(server)}
        if server == self.listing.settings.server:
            ours |= {job.id: job.project_id for job in self._seen.values() if job.status not in ENDED}
        ended = {job.id for job in self._seen.values() if job.status in ENDED}
        return [(project_id, job_id) for job_id, project_id in ours.items() if job_id not in ended]

    def _fail(self, server: str, error: ExportctlError | None) -> None:
        before = self.problems.pop(server, None)
        if error is not None:
            self.problems[server] = error.message
            if before is None:
                session = self.listing.session
                session.tell(Log(level="warning", code="server-not-asked", message=error.message))
                if self._redraw is None:
                    session.say_now(f"Only what this machine knows: {error.message}")
        self._changed.set()

    def _show(self, rows: Sequence[JobRow]) -> None:
        """Tell the rows that are not as they were."""
        session = self.listing.session
        news: list[tuple[str, ...]] = []
        for row in rows:
            before = self._told.get(row.job_id)
            if before == row:
                continue
            self._told[row.job_id] = row
            session.tell(row)
            if before is None or cells(before) != cells(row):
                news.append(cells(row))
        if self._redraw is not None:
            lines = [*(shown(rows) if rows else ["No jobs"]), *self.problems.values()]
            if lines != self._before:
                self._before = lines
                self._redraw.draw(lines)
        elif news and not session.shared.ndjson:
            put(table(("",) * len(news[0]), news)[1:])

    def _draw_below(self) -> None:
        if self._redraw is not None:
            self._redraw.forget()
            self._before = None
            self._changed.set()


def _write(text: str) -> None:
    write(text.encode("utf-8", "replace"))


def _check_reader() -> None:
    """Raise `BrokenPipeError` where nobody reads standard output any more, though nothing is to be written now."""
    poll = select.poll()
    poll.register(1, 0)
    if any(event & select.POLLERR for _, event in poll.poll(0)):
        raise BrokenPipeError
