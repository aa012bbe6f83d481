"""The archive of a job brought to its place: fetched, waited for where another command fetches it, or there already."""

import asyncio
import contextlib
import functools
import os
import random
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from msgspec import structs

from exportctl.client.api import Api, Project
from exportctl.client.archive import Archive, Saved, check_space, present_archive
from exportctl.client.claim import Claim, Claimed
from exportctl.client.destination import Destination
from exportctl.client.download import Download
from exportctl.client.extracted import Extracted, forget, left_at
from exportctl.client.pace import Pace
from exportctl.client.partial import Partial, discard
from exportctl.client.pipe import BEGUN_ANEW
from exportctl.client.unpack import extract, tidy
from exportctl.client.watch import Watch
from exportctl.commands.body.exporting import destination_path, parse_rate, today
from exportctl.commands.body.report import Report, printable
from exportctl.commands.body.session import Session
from exportctl.commands.options import Saving
from exportctl.model.errors import CannotWrite, Damaged, ExportFailed
from exportctl.model.lines import DownloadProgress, Line, Log, Outcome
from exportctl.model.whole import whole_left

LOCKED_SECONDS: Final = 0.5
"""Between looks at a place that another command writes to."""
NAMED_SECONDS: Final = 0.1
"""How long the name of its job is waited for, once."""


async def fetch(
    session: Session,
    api: Api,
    archive: Archive,
    facts: asyncio.Future[Archive] | None = None,
    *,
    project: Project,
    destination: Destination,
    saving: Saving,
    report: Report,
    target: Path | None = None,
    accepts_present: bool = False,
    claim: Claim | None = None,
) -> int:
    """Bring the archive to its destination, or to `target` where one is given, and tell the end; return the status.

    `facts`: those of an archive that is still being made. `accepts_present`: a file that is there already, complete and
    verified, is success without a byte fetched. `claim`: the command's own on the output, where it has one already.
    """
    bringing = Bringing(
        session=session, api=api, saving=saving, destination=destination, project=project, report=report
    )
    folder: Path | None = None
    if destination.is_stdout:
        saved = await bringing.to_stdout(archive, facts)
    else:
        report.target = target = target or destination_path(destination, project, archive.job_id)
        folder = destination.folder(project=project.title or project.id, job_id=archive.job_id, today=today())
        saved = await bringing.to_place(target, folder, archive, facts, accepts_present=accepts_present, claim=claim)
        session.say(str(target))
    report.downloading_ended(saved)
    status = session.conclude(
        report, Outcome.COMPLETED, ExportFailed.exit_status if saving.strict and report.warnings else 0
    )
    forget(folder, archive.job_id)
    return status


def _with_whole_left(line: DownloadProgress, watch: Watch) -> DownloadProgress:
    """Return the line with the time until all is here, of an archive whose size nobody knows yet."""
    latest = watch.progress
    if line.total_bytes is not None or latest is None:
        return line
    now = time.monotonic()
    told = latest.estimated_time_remaining
    left = whole_left(
        processing=None if told is None else max(told - (now - watch.progress_at), 0.0),
        elapsed=now - watch.began_at,
        written=latest.bytes_written,
        fetched=line.bytes,
        rate=line.bytes_per_second,
    )
    return structs.replace(line, estimated_time_remaining=None if left is None else round(left, 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Bringing:
    """The fetching of one archive; it may take several downloads."""

    session: Session
    api: Api
    saving: Saving
    destination: Destination
    project: Project
    report: Report

    def download(self, archive: Archive, facts: asyncio.Future[Archive] | None = None) -> Download:
        """Return a download of the archive, of one still being made where `facts` are to come."""
        return Download(
            api=self.api,
            archive=archive,
            pace=Pace(
                job_id=archive.job_id,
                project_id=self.project.id,
                tell=functools.partial(self._tell_progress, is_whole=facts is None),
                monotonic=time.monotonic,
                sleep=asyncio.sleep,
                limit=parse_rate(self.saving.limit_rate),
            ),
            tell=self.session.tell,
            sleep=asyncio.sleep,
            jitter=random.random,
            verify=self.saving.verify,
            keeps_partial=self.session.outlives,
            facts=facts,
            connections=self.saving.connections,
            note=self.session.say_now if self.session.shared.verbose else lambda _: None,
        )

    def _tell_progress(self, line: Line, *, is_whole: bool) -> None:
        """Tell how far it is; of an archive in the making when its job is told to have begun: bytes outrun words."""
        report = self.report
        if is_whole:
            report.downloading_began()
            self.session.tell(line)
        elif report.watch is not None and report.watch.job.seq:
            report.downloading_began()
            self.session.tell(_with_whole_left(line, report.watch) if isinstance(line, DownloadProgress) else line)

    async def to_place(
        self,
        target: Path,
        folder: Path | None,
        archive: Archive,
        facts: asyncio.Future[Archive] | None,
        *,
        accepts_present: bool,
        claim: Claim | None,
    ) -> Saved:
        """Bring the archive to `target`, and what is in it into `folder` where one is given, both claimed meanwhile."""
        places = [target] if folder is None else [target, folder]
        was_free = folder is not None and not _holds_entries(folder)
        async with _claimed(self.session, archive, places, claim) as was_waited_for:
            left = _left_at(folder, archive)
            if folder is not None and not self.destination.is_folder and not was_waited_for and left is None:
                self.destination.check_free(
                    folder, is_folder=True
                )  # before a byte is fetched: its name may hold the job
            may_be_there = accepts_present or was_waited_for
            saved = None
            is_made = left is not None or (
                folder is not None and was_waited_for and was_free and _holds_entries(folder)
            )
            if facts is not None:
                if not (may_be_there and _is_there(target)):
                    saved = await self.ahead(target, archive, facts)
                archive = await asyncio.shield(facts)
            self.session.waiting_for = "the archive"
            if saved is None and may_be_there:
                made = replace(archive, size=left.size, sha256=left.sha256) if left is not None else archive
                saved = await _present(target, made, self.api, is_extracted=is_made and self.destination.is_folder)
            while saved is None:
                try:
                    saved = await self.save(target, archive)
                except CannotWrite as error:
                    if error.code != "LOCKED":
                        raise
                    saved = await _made_by_another(self.session, target, archive, self.api)
            if folder is not None and not self.destination.is_folder and not is_made:
                await extract(target, folder, archive.job_id, sha256=saved.sha256, overwrite=self.destination.overwrite)
        return saved

    async def save(self, target: Path, archive: Archive, facts: asyncio.Future[Archive] | None = None) -> Saved:
        """Fetch the archive to `target`, or what is in it where that is a folder of its own."""
        destination = self.destination
        destination.check(project=self.project.title or self.project.id, today=today())
        destination.check_free(target)
        check_space(target, archive)
        download = self.download(archive, facts)
        to = download.to_folder if destination.is_folder else download.to_file
        return await to(target, overwrite=destination.overwrite)

    async def to_stdout(self, archive: Archive, facts: asyncio.Future[Archive] | None) -> Saved:
        """Write the archive to standard output; what goes wrong with that is not the job's end."""
        try:
            return await self.download(archive, facts).to_descriptor(1)
        except Damaged as error:
            if error.code == BEGUN_ANEW and (way := self.session.resume_hint(self.report)) is not None:
                error.hint = f"nothing is lost on the server: {way}"
            raise

    async def ahead(self, target: Path, archive: Archive, facts: asyncio.Future[Archive]) -> Saved | None:
        """Bring an archive to `target` while it is made; None where that cannot be now.

        What is in the way may be gone when the archive is whole, and is judged then.
        """
        try:
            return await self.save(target, archive, facts)
        except CannotWrite as error:
            if facts.done():
                raise
            words = printable(f"{error.message}: tried again when the archive is whole")
            self.session.tell(
                Log(job_id=archive.job_id, project_id=self.project.id, level="warning", code="not-ahead", message=words)
            )
            return None


async def _present(target: Path, archive: Archive, api: Api, *, is_extracted: bool = False) -> Saved | None:
    """Return what lies at `target` where it is what was wanted; what a command killed as it published left goes."""
    saved = _extracted(target, archive) if is_extracted else await present_archive(target, archive, api)
    if saved is not None:
        discard(Partial(target, archive.job_id).path)
    return saved


def _extracted(folder: Path, archive: Archive) -> Saved | None:
    """Return the folder that another command has just made of this archive; None where nobody says what that is."""
    if archive.size is None or archive.sha256 is None:
        return None
    sha256 = archive.sha256.lower()
    return Saved(path=folder, bytes=archive.size, sha256=sha256, verified=True, resumed_from=archive.size)


def _left_at(folder: Path | None, archive: Archive) -> Extracted | None:
    """Return what a command that was killed before it noted so has extracted of this archive; None for nothing."""
    left = None if folder is None else left_at(folder, archive.job_id)
    if folder is None or left is None or archive.sha256 not in {None, left.sha256}:
        return None
    tidy(folder, archive.job_id)
    return left


def _holds_entries(folder: Path) -> bool:
    with contextlib.suppress(OSError):
        return any(os.scandir(folder))
    return False


def _is_there(target: Path) -> bool:
    return os.path.lexists(target)


@contextlib.asynccontextmanager
async def _claimed(session: Session, archive: Archive, places: list[Path], claim: Claim | None) -> AsyncIterator[bool]:
    """Claim the places that `claim` does not hold, and say whether another command for this very job was waited for."""
    lacking = [place for place in places if claim is None or not claim.holds(place)]
    was_waited_for, is_again = False, False
    while True:
        try:
            with Claim(lacking, archive.job_id):
                yield was_waited_for
                return
        except Claimed as claimed:
            if claimed.job_id is None and not is_again:
                is_again = True  # its holder is about to write the name
                await asyncio.sleep(NAMED_SECONDS)
                continue
            if claimed.job_id != archive.job_id:
                raise
            was_waited_for = True
            await _wait_for_another(session, claimed.place, archive)


async def _wait_for_another(session: Session, target: Path, archive: Archive) -> None:
    if session.waiting_for != "another command":
        session.waiting_for = "another command"
        words = printable(f"another command is fetching {target}: waiting for it")
        session.tell(
            Log(job_id=archive.job_id, project_id=archive.project_id, level="info", code="locked", message=words)
        )
    await asyncio.sleep(LOCKED_SECONDS)


async def _made_by_another(session: Session, target: Path, archive: Archive, api: Api) -> Saved | None:
    """Wait while another command fetches this very job to this place; return what it leaves, None for nothing."""
    await _wait_for_another(session, target, archive)
    return await _present(target, archive, api)
