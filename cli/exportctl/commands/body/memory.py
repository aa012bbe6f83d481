"""What a command tells this machine's store of jobs, and asks it. Whatever is wrong with it, the command goes on.

The first mishap is a warning to be told once, and the end of the store's use in this command. Nothing here is paid per
event: how far a job was seen is read from its watch, twice a second at most, and at the end.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeVar

from exportctl.client.claim import lock_of
from exportctl.client.partial import discard
from exportctl.commands.body.report import Report
from exportctl.commands.options import Shared
from exportctl.config import state_folder
from exportctl.model.eta import Usual
from exportctl.model.lines import Outcome
from exportctl.protocol.events import Cancelled, Completed, End, Failed
from exportctl.store.database import Database
from exportctl.store.errors import Unusable
from exportctl.store.jobs import Jobs, KnownJob, Status
from exportctl.store.usual import note_usual, usual

if TYPE_CHECKING:
    from pathlib import Path

T = TypeVar("T")

KEEP_SECONDS: Final = 0.5


@dataclass(slots=True, kw_only=True)
class Memory:
    """The store as one command uses it. `jobs` None: nothing is read or kept. `warning` waits to be told."""

    jobs: Jobs | None = None
    warning: str | None = None

    def ask(self, question: Callable[[Jobs], T], otherwise: T) -> T:
        """Return the answer; `otherwise` where there is no store, or none that can be used."""
        if self.jobs is None:
            return otherwise
        try:
            answer = question(self.jobs)
        except Unusable as problem:
            self.warning = f"what this machine knows of jobs is not used: {problem}"
            self.close()
            return otherwise
        if self.jobs.database.warnings:
            self.warning = self.jobs.database.warnings.pop()
        return answer

    def is_kept(self) -> bool:
        """Whether a later command will know what is noted now."""
        return self.ask(lambda jobs: jobs.can_keep(), otherwise=False)

    def keeps_parked(self, server: str) -> bool:
        """Whether a folder of this machine is still to be finished, or fetched; so it is where nobody knows."""
        return self.ask(lambda jobs: jobs.is_parked(server), otherwise=True)

    def begin(self, report: Report, job: KnownJob, *, key: str | None = None) -> None:
        """Note that this command deals with `job`, whose story is `report`; `key` is that of its start."""
        report.known = job
        self.ask(lambda jobs: jobs.begin(job, key=key), None)

    def keep(self, report: Report) -> None:
        """Note how far the job's events were seen. Busy with others' notes, the next time will do."""
        known, watch = report.known, report.watch
        if self.jobs is None or known is None or watch is None or not watch.sequencer.cursor:
            return
        try:
            self.jobs.note_cursor(known, watch.sequencer.cursor, watch.log)
        except Unusable:
            return

    def ended(self, report: Report, status: Status) -> None:
        """Note how the job ended on the server."""
        known = report.known
        if known is not None:
            report.known = replace(known, status=status)
            self.note_end(known, status)

    def note_end(self, known: KnownJob, status: Status) -> None:
        """Note how a job ended; what an earlier command has of an archive that there will not be goes."""
        nowhere: tuple[Path | None, Path | None] = (None, None)
        output, partial = self.ask(lambda jobs: jobs.note_end(known, status), nowhere)
        if status in {"failed", "cancelled"}:
            for left in (partial, None if output is None else lock_of(output)):
                if left is not None:
                    discard(left)

    def finish(self, report: Report, outcome: Outcome, exit_status: int) -> None:
        """Note how the command ended with the job."""
        known, saved = report.known, report.saved
        if known is None:
            return
        self.keep(report)
        is_saved = outcome is Outcome.COMPLETED and saved is not None

        def note(jobs: Jobs) -> None:
            jobs.note(known, exit_status=exit_status, **({"is_saved": True} if is_saved else {}))

        self.ask(note, None)

    def usual(self, server: str, project_id: str) -> Usual | None:
        """Return what the stages of the project's last job took, as far as this machine saw."""
        return self.ask(lambda jobs: usual(jobs.database, server, project_id), None)

    def note_usual(self, server: str, project_id: str, seen: Usual) -> None:
        """Note what the stages of a job took."""
        self.ask(lambda jobs: note_usual(jobs.database, server, project_id, seen), None)

    def close(self) -> None:
        """Close the store."""
        if self.jobs is not None:
            self.jobs.database.close()
            self.jobs = None


def open_memory(shared: Shared) -> Memory:
    """Return the memory of a command with these options. The file is opened when something is asked of it."""
    folder = None if shared.no_state else state_folder()
    return Memory(jobs=None if folder is None else Jobs(database=Database(folder=folder)))


def status_of(end: End) -> Status:
    """Return a job's end in the server's word."""
    match end:
        case Completed():
            return "completed"
        case Failed():
            return "failed"
        case Cancelled():
            return "cancelled"
