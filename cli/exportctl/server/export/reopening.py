"""Going on with an export that another server planned: the plan as it was, if the project is as it was.

Beside the plan file lies `.facts`: the Plan itself, the sizes of its files, a digest of the names, sizes and times of
all files it was made from, and one of the code that made it. A project that is another one by now cannot be gone on
with. Where only the code is another, everything is made anew: its parts and entries may be named differently.
"""

import hashlib
import os
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson

from exportctl.server.export.aside import aside
from exportctl.server.export.errors import ProjectError
from exportctl.server.export.folder import Listing
from exportctl.server.export.limits import Limits
from exportctl.server.export.options import ExportOptions
from exportctl.server.export.selection import open_folder, selected_images
from exportctl.server.export.tasks import Plan

_PLAN_FILES = ("", ".index", ".categories")


def keep_facts(plan: Plan, digest: str) -> None:
    """Write the facts of a plan; `digest` is what `digest_of` said before the folder was read."""
    facts = {
        "count": plan.count,
        "polygons": plan.polygons,
        "points": plan.points,
        "pixels": plan.pixels,
        "warnings": plan.warnings,
        "sizes": _sizes(plan.file),
        "project": digest,
        "code": _digest_of_code(),
    }
    with aside(plan.file + ".facts") as new:
        new.write_bytes(orjson.dumps(facts))


def digest_of(folder: str, listing: Listing, images: Iterable[str]) -> str:
    """Digest the names, sizes and times of the files that an export of these images is made from."""
    digest = hashlib.sha256()
    for path in (*images, *listing.documents, *listing.class_lists):
        digest.update(os.fsencode(path))
        try:
            facts = os.stat(os.path.join(folder, path))  # noqa: PTH116, PTH118 - a path that need not be UTF-8
        except OSError:
            digest.update(b"\0gone\0")
        else:
            digest.update(b"\0%d %d\0" % (facts.st_size, facts.st_mtime_ns))
    return digest.hexdigest()


def reopened(folder: str, plan_file: str, options: ExportOptions, limits: Limits) -> Plan | None:
    """Return the plan that was made of this folder, or None where other code made it.

    Raises ProjectError: PROJECT_CHANGED, SERVER_RESTARTED where the plan is not there any more, or as `open_folder`.
    """
    facts = _facts_of(plan_file)
    if facts is None:
        raise ProjectError(
            "SERVER_RESTARTED",
            "the server was restarted while the export was running, and what it had made is lost",
            "start the export again",
        )
    listing = open_folder(folder)
    images = selected_images(listing.images, options.selected)
    if digest_of(folder, listing, images) != facts["project"]:
        raise ProjectError(
            "PROJECT_CHANGED",
            "the project's folder was changed while the server was down, so the export cannot go on",
            "start the export again",
        )
    if facts["code"] != _digest_of_code():
        return None
    return Plan(
        folder=folder,
        file=plan_file,
        count=facts["count"],
        polygons=facts["polygons"],
        points=facts["points"],
        pixels=facts["pixels"],
        warnings=tuple(facts["warnings"]),
        limits=limits,
    )


def _facts_of(plan_file: str) -> dict[str, Any] | None:
    try:
        facts: dict[str, Any] = orjson.loads(Path(plan_file + ".facts").read_bytes())
        return facts if facts["sizes"] == _sizes(plan_file) else None
    except (OSError, orjson.JSONDecodeError):
        return None


def _sizes(plan_file: str) -> list[int]:
    return [Path(plan_file + end).stat().st_size for end in _PLAN_FILES]


@lru_cache(maxsize=1)
def _digest_of_code() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
