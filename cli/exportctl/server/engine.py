"""All jobs of this server: they are started, queued, run, cancelled and found here.

A job's end is decided once: from the moment its archive is sealed (or its cancellation, or failure, begins) it is
`settled`, and what comes later changes nothing. Files go before the word: `export:cancelled` and `export:failed` are
logged when the job's files are gone.

A job that has no end when the server ends, however that came, is parked: its files stay, and the next server on the
same state folder goes on with it. A cancellation is noted before it is answered, so that the next server does it.
"""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from exportctl.server.archive_store import ArchiveStore
from exportctl.server.ending import tell_cancelled, tell_failed, tell_made
from exportctl.server.expiry import Expiry
from exportctl.server.export.errors import ProjectError
from exportctl.server.export.options import ExportOptions, OptionsError, parse_options, to_wire
from exportctl.server.failures import JobFailedError, failure_of
from exportctl.server.files import JobFiles, shut
from exportctl.server.folders import Folders
from exportctl.server.growth import Growths
from exportctl.server.job import Cancellation, JobRecord, Status
from exportctl.server.journal import Journal
from exportctl.server.log import EventLog, IdempotencyKey, JobEndedError, LogError
from exportctl.server.logs import ABOUT, facts, say_of_job
from exportctl.server.pipeline import Pipeline
from exportctl.server.pool import Pool
from exportctl.server.request import StartRequest, TooManyJobsError
from exportctl.server.settings import Project, Settings
from exportctl.server.turns import Turns

logger = logging.getLogger(__name__)

_SWEEP = 3600.0
_AGAIN = 5.0
_MINUTE = 60.0


@dataclass(eq=False, slots=True)
class _Job:
    """A job without an end."""

    journal: Journal
    folder: Path
    options: ExportOptions
    files: JobFiles
    task: asyncio.Task[None] | None = None
    settled: bool = False
    cancelling: bool = False

    @property
    def user(self) -> str:
        """Whose job it is."""
        return self.journal.record.user


class Engine:
    """Run jobs. `open` first, `close` last."""

    def __init__(self, settings: Settings, log: EventLog, pool: Pool, archives: ArchiveStore) -> None:
        self._settings = settings
        self._log = log
        self._pool = pool
        self._archives = archives
        self._projects = {project.id: project for project in settings.projects}
        self._jobs: dict[str, _Job] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.growths = Growths()
        self.folders = Folders()
        self._listeners: list[Callable[[JobRecord], None]] = [self.growths.note, say_of_job]
        self._arriving: Counter[str] = Counter()
        self._turns = Turns(settings.jobs_at_once, settings.jobs_at_once_per_user)
        self._expiry = Expiry(settings, log, archives, self.is_running)
        self._news = asyncio.Event()
        self._closed = False
        self.on_begin: Callable[[float], None] = lambda _waited: None

    @property
    def projects(self) -> Mapping[str, Project]:
        """The projects by id."""
        return self._projects

    def on_change(self, listener: Callable[[JobRecord], None]) -> None:
        """Have `listener` called with the record of every job that is made or has ended."""
        self._listeners.append(listener)

    async def open(self) -> None:
        """Go on with what an earlier server left unfinished, and begin to remove archives whose time is over."""
        for record in await self._log.unfinished():
            journal = Journal(self._log, record)
            try:
                job = _Job(
                    journal, self._folder_of(record), parse_options(record.options), self._archives.files(record.id)
                )
            except (ProjectError, OptionsError) as error:
                self._keep(asyncio.create_task(self._fail(journal, failure_of(error))))
                continue
            self._jobs[record.id] = job
            if record.cancellation is not None:
                job.settled = job.cancelling = True
                self._keep(asyncio.create_task(self._cancel(job, record.cancellation)))
        self._begin_next()
        self._keep(asyncio.create_task(self._sweep()))

    async def close(self) -> None:
        """Stop all work. Jobs without an end are parked."""
        self._closed = True
        tasks = [*self._tasks, *(job.task for job in self._jobs.values() if job.task is not None)]
        for task in tasks:
            task.cancel()
        await self._pool.close()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def start(self, request: StartRequest) -> JobRecord:
        """Make a job, or find that of a known key. Raises ProjectError, TooManyJobsError, KeyConflictError."""
        key = request.key and IdempotencyKey(user=request.user, key=request.key, body=request.digest())
        if key and (known := await self._log.keyed(key)) is not None:
            return known
        await self.folders.check(request.project.folder, request.options.selected, self._settings.limits)
        self._check_room(request.user)
        record = self._new_record(request)
        # Counted before the next await: requests that come at once must not all find room.
        self._arriving[request.user] += 1
        try:
            made = await self._log.create(record, key or None)
        finally:
            self._arriving[request.user] -= 1
        if made.id == record.id:
            journal = Journal(self._log, made)
            self._jobs[record.id] = _Job(
                journal, request.project.folder, request.options, self._archives.files(made.id)
            )
            self._changed(made)
            self._begin_next()
        return made

    async def job(self, user: str, job_id: str) -> JobRecord | None:
        """Find a job of this user."""
        return await self._log.job(job_id, user=user)

    async def history(self, user: str, project: str | None, limit: int) -> Sequence[str]:
        """Return the ids of jobs of this user, newest first."""
        return await self._log.newest(user, project, limit)

    def running(self, user: str) -> Sequence[JobRecord]:
        """Return this user's unfinished jobs."""
        return [job.journal.record for job in self._jobs.values() if job.user == user]

    def is_running(self, job_id: str) -> bool:
        """Say whether the job is queued or worked on here."""
        return job_id in self._jobs

    def counts(self) -> Mapping[str, int]:
        """Count jobs by what they are doing."""
        running = sum(job.task is not None for job in self._jobs.values())
        return {"running": running, "waiting": len(self._jobs) - running}

    def oldest_wait(self) -> float:
        """Return for how many seconds the job that waits longest for its turn has waited, 0 where none does."""
        waiting = (job.journal.record.created for job in self._jobs.values() if job.task is None)
        oldest = min(waiting, default=None)
        return 0.0 if oldest is None else max(self._settings.clocks.now() - oldest, 0.0)

    async def cancel(self, record: JobRecord, *, by: str, reason: str | None) -> bool:
        """Begin to cancel a job, which a restart does not undo; False if it has ended or is ending.

        `export:cancelled` follows.
        """
        job = self._jobs.get(record.id)
        if job is None or self._closed:
            return False
        if not job.settled:
            job.settled = job.cancelling = True
            self._keep(asyncio.create_task(self._cancel(job, Cancellation(by=by, reason=reason))))
            with contextlib.suppress(LogError):
                # Shielded by the journal; where it cannot be noted, the job is cancelled all the same.
                await job.journal.note(cancellation=Cancellation(by=by, reason=reason))
        return job.cancelling

    def _check_room(self, user: str) -> None:
        theirs = sum(job.user == user for job in self._jobs.values()) + self._arriving[user]
        if theirs >= self._settings.jobs_per_user:
            raise TooManyJobsError(self._settings.jobs_per_user, of_all=False)
        if len(self._jobs) + self._arriving.total() >= self._settings.jobs:
            raise TooManyJobsError(self._settings.jobs, of_all=True)

    def _new_record(self, request: StartRequest) -> JobRecord:
        new = self._settings.new_id
        return JobRecord(
            id=new(),
            log=new(),
            making=new(),
            project=request.project.id,
            user=request.user,
            options=to_wire(request.options),
            project_name=request.project_name or request.project.title,
            correlation=request.correlation or new(),
            created=self._settings.clocks.now(),
        )

    def _folder_of(self, record: JobRecord) -> Path:
        project = self._projects.get(record.project)
        if project is None:
            raise ProjectError(
                "PROJECT_NOT_SERVED",
                "the project is no longer served, so the export cannot go on",
                "serve its folder again, then start the export again",
            )
        return project.folder

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _changed(self, record: JobRecord) -> None:
        for listener in self._listeners:
            listener(record)

    def _begin_next(self) -> None:
        """Begin waiting jobs while there is room; users take turns."""
        while not self._closed:
            running = [job for job in self._jobs.values() if job.task is not None]
            waiting = [job for job in self._jobs.values() if job.task is None and not job.settled]
            job = self._turns.next(waiting, running)
            if job is None:
                return
            job.task = asyncio.create_task(self._run(job))
            self._keep(job.task)

    async def _run(self, job: _Job) -> None:
        record = job.journal.record
        # Not what the request was about that made room for it.
        ABOUT.set({"jobId": record.id, "user": record.user, "correlationId": record.correlation})
        waited = max(self._settings.clocks.now() - record.created, 0)
        logger.info("A job is worked on", extra=facts(event="job-begun", waited=round(waited, 3)))
        if record.status is Status.PENDING:
            self.on_begin(waited)
        try:
            # Not on a thread: one that goes on behind a cancellation would make the folder again.
            job.files = job.files.take()
        except OSError as error:
            job.settled = True
            await self._fail(job.journal, failure_of(error))
            return
        pipeline = Pipeline(
            settings=self._settings,
            pool=self._pool,
            journal=job.journal,
            files=job.files,
            folder=job.folder,
            options=job.options,
            growths=self.growths,
        )
        failure = None
        try:
            made = await pipeline.run()
            if not job.cancelling:
                job.settled = True
                await tell_made(job.journal, made, self._settings)
                self._ended(job.journal.record)
        except Exception as error:  # noqa: BLE001 - whatever happened, the job must have an end
            failure = failure_of(error)
        finally:
            shut(job.files.gate)
            await pipeline.close(unwanted=job.cancelling or failure is not None)
        # A cancellation that has begun meanwhile has the end as its own; a server that ends parks the job.
        if failure is not None and not job.cancelling and not self._closed:
            job.settled = True
            await self._fail(job.journal, failure)
        elif failure is None and not job.cancelling:
            await asyncio.to_thread(self._archives.settle, record.id)

    async def _fail(self, journal: Journal, failure: JobFailedError) -> None:
        await asyncio.to_thread(self._archives.remove, journal.record.id)
        await self._insist(lambda: tell_failed(journal, failure, self._settings))
        self._ended(journal.record)

    async def _cancel(self, job: _Job, asked: Cancellation) -> None:
        shut(job.files.gate)
        if job.task is not None:
            # Its own `finally` waits until no worker and no thread of it writes any more.
            job.task.cancel()
            await asyncio.wait([job.task])
        clean = await asyncio.to_thread(self._archives.remove, job.journal.record.id)
        await self._insist(lambda: tell_cancelled(job.journal, asked, self._settings, clean=clean))
        self._ended(job.journal.record)

    async def _insist(self, tell: Callable[[], Awaitable[None]]) -> None:
        """Have a job's end logged, however long that takes: nobody may wait for it in vain."""
        while True:
            try:
                await tell()
            except JobEndedError:
                return
            except Exception:
                # A log has more ways to fail than it knows of: the disk under it, for one.
                logger.exception("The end of a job cannot be logged yet")
                await asyncio.sleep(_AGAIN)
            else:
                return

    def _ended(self, record: JobRecord) -> None:
        self._jobs.pop(record.id, None)
        self._news.set()
        self._changed(record)
        self._begin_next()

    async def _sweep(self) -> None:
        """Keep the disk free of what has had its time."""
        tidied = False
        while True:
            self._news.clear()
            try:
                if not tidied:
                    await self._expiry.tidy()
                tidied = True
                rest = await self._expiry.sweep()
            except Exception:
                # Tried again, whatever it was: a disk that is never freed fills up.
                logger.exception("What has had its time cannot be removed yet")
                rest = _MINUTE
            await self._expiry.wait(min(max(rest or _SWEEP, 1), _SWEEP), self._news)
