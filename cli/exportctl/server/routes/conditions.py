"""What all answers with an archive's bytes share: whether there is one, its validator, conditions, its name."""

import re
from urllib.parse import quote

from starlette.requests import Request
from starlette.types import Receive

from exportctl.server.answers import Refusal
from exportctl.server.job import ArchiveFacts, JobRecord, Status

_LONGEST_NAME = 100


def archive_of(record: JobRecord, now: float) -> ArchiveFacts:
    """Return the job's finished archive; raises Refusal (409, 410)."""
    if record.status is not Status.COMPLETED or record.archive is None:
        raise Refusal(409, "NOT_COMPLETED", f"The export is {record.status}, so there is no archive to download")
    if record.archive.expires <= now:
        raise Refusal(410, "ARCHIVE_EXPIRED", "The archive's time is over", "Start the export again")
    return record.archive


def gone() -> Refusal:
    """Return the refusal for an archive whose file is not what it was."""
    return Refusal(410, "ARCHIVE_GONE", "The archive is no longer there", "Start the export again")


def etag_of(record: JobRecord) -> str:
    """Return the strong ETag of the one making of the job's archive."""
    return f'"{record.making}"'


def is_another(request: Request, etag: str) -> bool:
    """Say whether If-Match asks for another archive than this one; tags are compared as they are (RFC 9110, 13.1.1)."""
    wanted = _listed(request, "If-Match")
    return bool(wanted) and not wanted & {etag, "*"}


def is_known(request: Request, etag: str) -> bool:
    """Say whether If-None-Match holds this archive, compared weakly (13.1.2); asked after If-Match (13.2.2)."""
    return bool(_listed(request, "If-None-Match") & {etag, f"W/{etag}", "*"})


def _listed(request: Request, name: str) -> set[str]:
    return {tag.strip() for line in request.headers.getlist(name) for tag in line.split(",") if tag.strip()}


def name_for(request: Request, archive: ArchiveFacts) -> str:
    """Return the name that the client wants for the file (`filename=`), made one safe name; else the archive's."""
    wanted = re.sub(r"[\x00-\x1f\x7f-\x9f]", "", request.query_params.get("filename", ""))
    last = re.split(r"[/\\]", wanted)[-1].strip(" .").encode("utf-8", "replace").decode()[:_LONGEST_NAME]
    if not last:
        return archive.file_name
    return last if last.lower().endswith(".zip") else f"{last}.zip"


def disposition(name: str) -> str:
    """Spell a file name for every client (RFC 6266, RFC 8187): a plain one first, the true one beside it."""
    plain = re.sub(r'[^\x20-\x7e]|["\\%]', "_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


async def disconnected(receive: Receive) -> None:
    """Return when the client is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
