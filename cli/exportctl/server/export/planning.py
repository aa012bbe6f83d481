"""Planning an export: the folder is read once, and what the tasks need of each image goes into the plan file.

Runs in a worker, before everything else. Memory holds the list of names and the COCO files, never all polygons of
LabelMe or YOLO files; the server itself sees only the small Plan.
"""

import os

from exportctl.server.export.headers import Header, read_header
from exportctl.server.export.limits import Limits
from exportctl.server.export.names import entry_names
from exportctl.server.export.opening import HeldFolder
from exportctl.server.export.options import ExportOptions
from exportctl.server.export.planfile import PlannedImage, PlanWriter
from exportctl.server.export.remarks import Remarks, printable, some_names
from exportctl.server.export.reopening import digest_of, keep_facts
from exportctl.server.export.repair import repaired
from exportctl.server.export.selection import check_amount, open_folder, selected_images
from exportctl.server.export.shapes import Annotation
from exportctl.server.export.sources import open_sources
from exportctl.server.export.tasks import Plan


def write_plan(folder: str, plan_file: str, options: ExportOptions, limits: Limits) -> Plan:
    """Do the work of `plan_export`."""
    remarks = Remarks()
    listing = open_folder(folder)
    for path in listing.unreadable:
        remarks.say(f"{printable(path)} cannot be read and was left out")
    if listing.outside:
        names = some_names(map(printable, listing.outside), len(listing.outside))
        links = "1 symbolic link leads" if len(listing.outside) == 1 else f"{len(listing.outside)} symbolic links lead"
        remarks.say(f"{links} out of the folder, or to folders; left out: {names}")
    images = selected_images(listing.images, options.selected)
    check_amount(folder, images, limits)
    # Before anything is read: what changes from here on is noticed by a server that takes the export up.
    digest = digest_of(folder, listing, images)
    originals, stems = entry_names(images)
    bare: list[str] = []
    bare_count = 0
    with HeldFolder(folder) as held, PlanWriter(plan_file) as writer:
        sources = open_sources(held, listing, remarks)
        for name in sources.categories:
            writer.category(name)
        for index, path in enumerate(images):
            title = printable(path)
            header = read_header(path, held.open)
            there = os.access(os.path.join(folder, path), os.R_OK)  # noqa: PTH118 - a path that need not be UTF-8
            _remark(header, title, remarks, copied=options.images and there)
            sketches, header = sources.sketches(path, header, title, remarks)
            annotations = tuple(
                Annotation(category=writer.category(category), parts=parts)
                for category, parts in repaired(sketches, header, title, remarks)
            )
            if not annotations:
                bare_count += 1
                bare += [title] if len(bare) < 3 else []  # noqa: PLR2004 - as many as are shown
            writer.add(
                PlannedImage(
                    index=index,
                    path=path,
                    title=title,
                    original=originals[index],
                    stem=stems[index],
                    header=header,
                    first=writer.annotations + 1,
                    annotations=annotations,
                )
            )
            remarks.settle()
    if bare_count:
        remarks.say(f"no polygons in {bare_count} of {len(images)} images: {some_names(bare, bare_count)}")
    plan = Plan(
        folder=folder,
        file=plan_file,
        count=len(images),
        polygons=writer.annotations,
        points=writer.points,
        pixels=writer.pixels,
        warnings=remarks.lines(),
        limits=limits,
    )
    keep_facts(plan, digest)
    return plan


def _remark(header: Header, title: str, remarks: Remarks, *, copied: bool) -> None:
    if header.problem:
        exported = "; its bytes are exported as they are, without an overlay" if copied else ""
        remarks.say(f"{title} {header.problem}{exported}")
    elif header.pages > 1:
        remarks.say(f"{title} has more than one page; polygons, overlay and size are of the first")
