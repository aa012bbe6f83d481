"""What all answers with an archive's bytes share: whether there is one, its validators, conditions, its name.

Its date is as strong as its ETag: the bytes of a job's archive are the same from the moment it is completed.
"""

import re
from email.utils import formatdate, parsedate_to_datetime
from urllib.parse import quote

from starlette.requests import Request

from exportctl.server.answers import Refusal
from exportctl.server.export.names import shortened, unturned
from exportctl.server.job import ArchiveFacts, JobRecord, Status


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


def date_of(record: JobRecord) -> str:
    """Return when the archive was completed, as HTTP spells it (RFC 9110, 5.6.7): in whole seconds."""
    return formatdate(int(record.completed or record.created), usegmt=True)


def is_newer(request: Request, date: str) -> bool:
    """Say whether the archive is newer than `If-Unmodified-Since`, which counts where there is no If-Match (13.1.4)."""
    since = _seconds(request.headers.get("If-Unmodified-Since"))
    return "If-Match" not in request.headers and since is not None and since < (_seconds(date) or 0)


def is_as_old(request: Request, date: str) -> bool:
    """Say whether it is no newer than `If-Modified-Since`, which counts where there is no If-None-Match (13.1.3)."""
    since = _seconds(request.headers.get("If-Modified-Since"))
    return "If-None-Match" not in request.headers and since is not None and since >= (_seconds(date) or 0)


def _seconds(date: str | None) -> float | None:
    """Return a date of HTTP in Unix seconds; what is none is as if it were not there."""
    try:
        return None if date is None else parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError):
        return None


def _listed(request: Request, name: str) -> set[str]:
    return {tag.strip() for line in request.headers.getlist(name) for tag in line.split(",") if tag.strip()}


def name_for(request: Request, archive: ArchiveFacts) -> str:
    """Return the name that the client wants for the file (`filename=`), made one safe name; else the archive's."""
    wanted = unturned(request.query_params.get("filename", ""), "")
    stem = shortened(re.sub(r"\.zip\s*\Z", "", re.split(r"[/\\]", wanted)[-1], flags=re.IGNORECASE))
    return f"{stem}.zip" if stem else archive.file_name


def disposition(name: str) -> str:
    """Spell a file name for every client (RFC 6266, RFC 8187): a plain one first, the true one beside it."""
    plain = re.sub(r'[^\x20-\x7e]|["\\%]', "_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
