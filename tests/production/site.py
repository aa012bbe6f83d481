"""What a server of protocol 1 holds in memory and does: jobs that work step by step, and acts at counted moments.

Its clock is counts: a job takes a step when `pace` lets it, acts happen when so many steps, requests or pieces were.
A test turns the knobs while it runs, through `Production.do`.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from people_server import People
from production import acts
from production.archives import Shelf, zip_of
from production.jobs import ENDS, Job, now
from production.plan import BY_USER, FAILURE, Plan, Tell, Work

LAST = 10
"""Jobs in the history of a project."""
SAFE_PROGRESS, SAFE_SECONDS = 5, 0.03
"""A cancellation before either of these ends the process (`WIRE.md`, 6)."""
TRAILING = 3
"""Steps that a cancelled job goes on for."""
STOP_SECONDS = 0.5
"""How long a planned stop takes at most: where nobody asks for anything, nothing can be counted."""
FIRST, SECOND = "b60cedcb-19df-4be5-a661-c17647a2bb57", "b3308b73-3f33-497f-bec3-0e67ef16785c"
TITLES = {FIRST: "Spheroidy velké č. 2 / 2026", SECOND: "small"}


async def a_turn(_job: Job) -> None:
    """The fastest pace: others of the loop have their turn."""
    await asyncio.sleep(0)


def beat(seconds: float) -> Callable[[Job], Awaitable[None]]:
    """Return the pace of one step in so many seconds."""

    async def pace(_job: Job) -> None:
        await asyncio.sleep(seconds)

    return pace


@dataclass(kw_only=True)
class Site:
    """The server's side that a test sees. `plans` are for the next exports in turn; the last is used again."""

    shelf: Shelf
    people: People | None = None
    plans: list[Plan] = field(default_factory=lambda: [Plan()])
    events: list[acts.Event] = field(default_factory=list)
    pace: Callable[[Job], Awaitable[None]] = a_turn
    titles: dict[str, str] = field(default_factory=lambda: dict(TITLES))
    goes_on_when_cancelled_from: float = 101.0
    """From this progress on a job is made to its end, cancelled or not."""
    piece_bytes: int = 16_384
    counts: Counter = field(default_factory=Counter)
    happened: list[str] = field(default_factory=list)
    jobs: dict[str, Job] = field(default_factory=dict)
    all_jobs: list[Job] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)
    crashes: int = 0
    restarts: int = 0
    news: asyncio.Condition | None = None
    emit: Callable[[str, dict], Awaitable[None]] | None = None
    end_life: Callable[[], None] = lambda: None
    stop_listening: Callable[[], None] = lambda: None
    drop_sockets: Callable[[], Awaitable[None]] = a_turn  # replaced by each life
    refusals: int = 0
    losing: int = 0
    mute: int = 0
    slow: list[acts.Slow] = field(default_factory=list)
    left: int | None = None
    tasks: set[asyncio.Task] = field(default_factory=set)

    def first(self) -> Job:
        """Return the job that was asked for first."""
        return self.all_jobs[0]

    def running(self) -> Job | None:
        return next((job for job in self.jobs.values() if job.is_working), None)

    # What happens at counted moments.

    async def count(self, what: acts.Counted) -> None:
        self.counts[what] += 1
        for event in [one for one in self.events if self.counts[one.at.what] >= one.at.count]:
            self.events.remove(event)
            await self.act(event.act)
        await self.tell_news()

    async def tell_news(self) -> None:
        if self.news is not None:
            async with self.news:
                self.news.notify_all()

    async def wait_for(self, condition: Callable[[], object]) -> None:
        assert self.news is not None
        async with self.news:
            await self.news.wait_for(condition)

    async def act(self, act: acts.Act) -> None:
        self.happened.append(f"{act} at {dict(self.counts)}")
        match act:
            case acts.Restart():
                self.end_life()
            case acts.PlannedStop(requests=requests):
                await self.stop(requests)
            case acts.CancelElsewhere() | acts.Another():
                self.keep(self.cancel_when_safe() if isinstance(act, acts.CancelElsewhere) else self.another())
            case acts.CutArchive() | acts.RemoveArchive():
                for project_id in self.titles:
                    (self.shelf.cut if isinstance(act, acts.CutArchive) else self.shelf.remove)(project_id)
            case acts.DropSockets():
                await self.drop_sockets()
            case _:
                self.prepare(act)

    def prepare(self, act: acts.Act) -> None:
        """Turn a knob: what the act is shows later."""
        match act:
            case acts.EndAccess() if self.people is not None:
                self.people.end_access()
            case acts.EndSession() if self.people is not None:
                self.people.end_everything()
            case acts.Mute(events=events):
                self.mute += events
            case acts.LoseAnswer():
                self.losing += 1
            case acts.RefuseHandshakes(count=count):
                self.refusals += count
            case acts.Slow():
                self.slow.append(act)

    def keep(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def stop(self, requests: int) -> None:
        await self.tell("system-message", {"type": "warning", "message": "Server is shutting down for maintenance"})
        self.stop_listening()
        await self.drop_sockets()
        self.left = requests
        asyncio.get_running_loop().call_later(STOP_SECONDS, self.end_life)

    def hold(self, at: float, until: Callable[[], object]) -> None:
        """Let jobs go no further than this progress before `until` is true."""
        going = self.pace

        async def pace(job: Job) -> None:
            if job.most >= at:
                await self.wait_for(until)
            await going(job)

        self.pace = pace

    async def another(self) -> None:
        if self.all_jobs:
            await self.wait_for(lambda: self.running() is None)
            self.begin(self.all_jobs[0].project_id, {}, None, is_of_another_command=True)

    async def cancel_when_safe(self) -> None:
        job = self.running()
        if job is None or not job.answered.is_set():
            return
        await self.wait_for(lambda: job.most >= SAFE_PROGRESS or not job.is_working)
        await asyncio.sleep(SAFE_SECONDS)
        if job.status not in ENDS:
            await self.cancel(job, is_elsewhere=True)

    # Jobs.

    def begin(self, project_id: str, options: dict, name: str | None, *, is_of_another_command: bool = False) -> Job:
        """Make a job and let it work."""
        plan = self.plans.pop(0) if len(self.plans) > 1 else self.plans[0]
        job = Job(
            project_id=project_id,
            plan=plan,
            options=options,
            project_name=name,
            is_of_another_command=is_of_another_command,
        )
        self.jobs[job.id] = job
        self.all_jobs.append(job)
        self.keep(self.work(job))
        return job

    async def work(self, job: Job) -> None:
        trailing = TRAILING
        for number, step in enumerate(job.plan.steps()):
            if job.answered.is_set():
                await self.pace(job)
            job.step = number
            is_cancelled = "cancelled" in job.became and job.most < self.goes_on_when_cancelled_from
            if is_cancelled and trailing == TRAILING:
                await self.fail(job, BY_USER)
            if is_cancelled and not trailing:
                break
            trailing -= is_cancelled
            if job.plan.fails_after == number and not is_cancelled:
                await self.fail(job, FAILURE)
                break
            await self.take(job, step, is_cancelled=is_cancelled)
            await self.count("steps")
        else:
            await self.complete(job)
        job.answered.set()
        job.is_working = False
        await self.tell_news()

    async def take(self, job: Job, step: Tell | Work, *, is_cancelled: bool) -> None:
        match step:
            case Tell(name=name, data=data):
                job.progress = data.get("progress", job.progress)
                job.most = max(job.most, job.progress)
                when = {} if name == "export:started" else {"timestamp": now()}
                await self.tell(name, {"jobId": job.id} | data | when)
            case Work.ANSWER:
                job.answered_at = asyncio.get_running_loop().time()
                job.answered.set()
            case Work.OPEN_ARCHIVE if not is_cancelled:
                job.archive = zip_of(job.id, job.plan.images, job.plan.image_bytes)
                self.shelf.open(job.project_id, job.archive)
            case Work.CLOSE_ARCHIVE if not is_cancelled:
                self.shelf.close(job.project_id, job.archive)
            case _:
                pass

    async def complete(self, job: Job) -> None:
        """End well; a job that was cancelled and made to its end all the same stays as it is, its file there."""
        if job.status in ENDS:
            return
        job.file_path = f"/srv/exports/{self.titles[job.project_id]}.zip"
        job.end("completed")
        await self.tell("export:completed", {"jobId": job.id, "warnings": list(job.plan.warnings)})

    async def fail(self, job: Job, words: str) -> None:
        """End as failed, and say it twice (7), also of a job that was cancelled (4)."""
        if job.status == "cancelled":
            job.status, job.message, job.completed_at = "failed", words, now()
        else:
            job.end("failed", message=words)
        for _ in range(2):
            await self.tell("export:failed", {"jobId": job.id, "error": words})

    async def cancel(self, job: Job, *, is_elsewhere: bool = False) -> None:
        """Cancel a job, ended or not, as was seen; too early it ends the process (6)."""
        since = 0.0 if job.answered_at is None else asyncio.get_running_loop().time() - job.answered_at
        if not is_elsewhere:
            job.cancels.append((job.most, since))
        if job.is_working and (job.most < SAFE_PROGRESS or since < SAFE_SECONDS):
            self.crashes += 1
            self.end_life()
            return
        job.end("cancelled")
        told = {"jobId": job.id, "projectId": job.project_id, "cancelledBy": "user", "progress": job.progress}
        told |= {"cleanupCompleted": True, "message": BY_USER, "timestamp": now()}
        await self.tell("export:cancelled", told)

    async def tell(self, name: str, data: dict) -> None:
        """Tell every socket of the user; what is muted is lost for good."""
        if self.mute:
            self.mute -= 1
            return
        if self.emit is not None:
            await self.emit(name, data)
        await asyncio.sleep(0)

    def forget(self) -> None:
        """What the end of a process does: jobs live in memory (8)."""
        for job in self.jobs.values():
            job.became.append("forgotten")
            job.is_working = False
        self.jobs.clear()
        self.tasks.clear()
        self.slow.clear()
        self.left, self.refusals, self.losing, self.mute = None, 0, 0, 0

    def history(self, project_id: str) -> list[dict]:
        found = [job for job in self.jobs.values() if job.project_id == project_id]
        return [job.seen() for job in reversed(found)][:LAST]

    async def before(self, kind: acts.Counted) -> None:
        """Count a request, and hold it back where it is to be slow."""
        await self.count(kind)
        if self.left is not None:
            self.left -= 1
            if self.left <= 0:
                self.end_life()
        for act in [one for one in self.slow if one.kind == kind][:1]:
            self.slow.remove(act)
            await self.some_work(act.steps)

    async def some_work(self, steps: int) -> None:
        """Wait until so many more steps were taken, or nothing works."""
        until = self.counts["steps"] + steps
        await self.wait_for(lambda: self.counts["steps"] >= until or self.running() is None)

    async def never(self, what: str) -> None:
        """Leave a request without an answer, as some are (10)."""
        self.unanswered.append(what)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
