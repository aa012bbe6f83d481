"""The tasks of an export: what the engine submits to its pool, and what comes back.

Every task is a module-level function with picklable arguments. It reads the project's folder and the plan file,
writes only under `parts`, and may run twice: an output has one name and is renamed into place. `plan_export` comes
first, alone; `steps` then says what is to be done, and `readme_task` comes last, when all warnings are known.
Importing this module loads no image library: each task imports what it needs, in the worker.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

from exportctl.server.export.aside import aside
from exportctl.server.export.effort import efforts, image_effort
from exportctl.server.export.limits import USUAL, Limits
from exportctl.server.export.options import ExportOptions
from exportctl.server.export.outcome import Entry, Outcome

STAGES = ("images", "visualizations", "annotations", "metrics", "compression")
SLICE = 32
"""Images of one annotation or metrics task: worth a trip to a worker, few enough for progress to be seen."""

_TRAVELS = 1 << 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A project that was read: small whatever the number of images, since it travels with every task.

    What is known of each image lies in the file `file`, with an index beside it. `polygons` counts annotations,
    `points` those of their outlines, `pixels` those of all images. `warnings` are those of reading; `steps` sends the
    tasks a plan without them.
    """

    folder: str
    file: str
    count: int
    polygons: int
    points: int = 0
    pixels: int = 0
    warnings: tuple[str, ...] = ()
    limits: Limits = USUAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One task to submit: `call(*args)`, which returns an Outcome.

    When it is done, each of `stages` has advanced by `images` images. A step with `after` may begin only when every
    step whose `group` is that name is done; all such steps come before it in the order of `steps`. `leaves` is a file
    that those behind it read. `effort` is what it is expected to cost (`export.effort`).
    """

    group: str
    stages: tuple[str, ...]
    images: int
    call: Callable[..., Outcome]
    args: tuple[object, ...]
    effort: float
    after: str | None = None
    leaves: str | None = None


def plan_export(folder: str, plan_file: str, options: ExportOptions, limits: Limits = USUAL) -> Plan:
    """Read the folder, find and repair every image's polygons, and write one line an image to `plan_file`.

    Raises ProjectError.
    """
    from exportctl.server.export.planning import write_plan  # noqa: PLC0415 - numpy and shapely belong to the worker

    return write_plan(folder, plan_file, options, limits)


def reopen_plan(folder: str, plan_file: str, options: ExportOptions, limits: Limits = USUAL) -> Plan | None:
    """Return the plan that an earlier server made; None where other code made it, so that all is to be made anew.

    Raises ProjectError where the project is another one by now, or the plan is lost.
    """
    from exportctl.server.export.reopening import reopened  # noqa: PLC0415 - as above

    return reopened(folder, plan_file, options, limits)


def stage_totals(plan: Plan, options: ExportOptions) -> dict[str, int]:
    """Count the images each stage will have worked through when all of `steps` are done.

    A stage without work is absent; every other counts the images of the export, whatever the number of its formats:
    people read "402/600", and know how many images they have.
    """
    totals: dict[str, int] = {}
    if options.images:
        totals["images"] = plan.count
    if options.visualizations:
        totals["visualizations"] = plan.count
    if options.annotations:
        totals["annotations"] = plan.count
    if options.metrics:
        totals["metrics"] = plan.count
    return totals


def steps(plan: Plan, options: ExportOptions, parts: str) -> Iterator[Step]:
    """Yield the tasks of an export but its README, in the order in which to submit them.

    It is a generator: 100,000 images need no list. Slices run ahead of the images, two for one, so that the tables,
    which need every slice, are made while images are still being drawn and no core idles at the end.
    """
    light, whole = replace(plan, warnings=()), efforts(plan, options)
    if "coco" in options.annotations:
        images = plan.count if _counts("coco", options) else 0
        args = (light, options, parts)
        yield Step(
            group="coco", stages=("annotations",), images=images, call=coco_task, args=args, effort=whole["coco"]
        )
    slices = _slices(light, options, parts, whole)
    stages = tuple(
        stage for stage, wanted in (("images", options.images), ("visualizations", options.visualizations)) if wanted
    )
    for start in range(0, plan.count, SLICE) if stages else ():
        for _ in range(2):
            yield from next(slices, ())
        for index in range(start, min(start + SLICE, plan.count)):
            one: tuple[object, ...] = (light, index, options, parts)
            effort = whole["images"] / plan.count
            yield Step(group="images", stages=stages, images=1, call=image_task, args=one, effort=effort)
    for rest in slices:
        yield from rest


def _slices(plan: Plan, options: ExportOptions, parts: str, whole: Mapping[str, float]) -> Iterator[tuple[Step, ...]]:
    """Yield the steps of one slice at a time, and those of the tables behind the last one."""
    for start in range(0, plan.count, SLICE):
        stop = min(start + SLICE, plan.count)
        share, made = (stop - start) / plan.count, []
        if options.metrics:
            made.append(
                Step(
                    group="rows",
                    stages=("metrics",),
                    images=stop - start,
                    call=metrics_task,
                    args=(plan, start, stop, options, parts),
                    effort=share * whole["rows"],
                    leaves=_part(parts, f"rows-{start}.jsonl"),
                )
            )
        made += [
            Step(
                group=name,
                stages=("annotations",),
                images=stop - start if _counts(name, options) else 0,
                call=annotation_task,
                args=(plan, name, start, stop, options, parts),
                effort=share * whole[name],
            )
            for name in options.annotations
            if name != "coco"
        ]
        yield tuple(made)
    yield tuple(
        Step(
            group=f"{name} table",
            stages=("metrics",),
            images=0,  # its rows were counted
            call=table_task,
            args=(plan, name, options, parts),
            effort=whole[f"{name} table"],
            after="rows",
        )
        for name in options.metrics
    )


def _counts(name: str, options: ExportOptions) -> bool:
    """Return whether it is this format whose slices the stage counts: the last one, that is done when all are."""
    return name == options.annotations[-1]


def image_task(plan: Plan, index: int, options: ExportOptions, parts: str) -> Outcome:
    """Hand on the original bytes of one image, and draw its overlay into `parts`."""
    from exportctl.server.export import overlay, pixels, planfile, png  # noqa: PLC0415 - OpenCV belongs to the worker

    seconds: dict[str, float] = {}
    image = planfile.read_image(plan.file, index)
    source = os.path.join(plan.folder, image.path)  # noqa: PTH118 - a path that need not be UTF-8
    entries = []
    warnings = []
    if options.images:
        with _timed(seconds, "images"):
            if os.access(source, os.R_OK):
                entries.append(Entry(name=f"images/{image.original}", file=source, within=plan.folder))
            elif not image.header.problem:
                warnings.append(f"{image.title} cannot be read any more and is not in the export")
    if options.visualizations and not image.header.problem and not warnings:
        with _timed(seconds, "visualizations"):
            path = _part(parts, f"overlay-{index}.png")
            try:
                # One drawn before the server, or this task, was interrupted will do.
                if not png.is_whole(path):
                    picture = pixels.decode_within(plan.folder, source, image.header, plan.limits.pixels)
                    overlay.draw(picture, image.annotations, options.style)
                    png.save_png(picture, path)
            except pixels.PixelsError as error:
                copied = "; its bytes are exported as they are, without an overlay" if options.images else ""
                warnings.append(f"{image.title} {error}{copied}")
            else:
                entries.append(Entry(name=f"visualizations/{image.stem}.png", file=path, owned=True))
    return Outcome(
        entries=tuple(entries),
        warnings=tuple(warnings),
        item=image.title,
        seconds=seconds,
        effort=image_effort(image.pixels, image.points, options),
    )


def undrawn_task(plan: Plan, index: int, options: ExportOptions, parts: str, why: str) -> Outcome:
    """Hand on the original bytes alone of an image that no worker can draw, with a warning that names it."""
    made = image_task(plan, index, replace(options, visualizations=False), parts)
    copied = "; its bytes are exported as they are, without an overlay" if options.images else ""
    return replace(made, warnings=(*made.warnings, f"{made.item}: {why}{copied}"))


def annotation_task(  # noqa: PLR0917 - the arguments of a task travel as a tuple
    plan: Plan,
    name: str,
    start: int,
    stop: int,
    options: ExportOptions,  # noqa: ARG001 - all tasks are called alike
    parts: str,
) -> Outcome:
    """Write the labels of the images start..stop-1 in the format `name`, `yolo` or `json`."""
    from exportctl.server.export import annotations, planfile  # noqa: PLC0415 - numpy belongs to the worker

    seconds: dict[str, float] = {}
    entries = []
    warnings = []
    item = ""
    with _timed(seconds, "annotations"):
        categories = planfile.read_categories(plan.file)
        if name == "yolo" and start == 0:
            dataset = annotations.yolo_dataset(categories)
            entries.append(_text_entry("annotations/yolo/data.yaml", dataset, _part(parts, "data.yaml")))
        for image in planfile.read_images(plan.file, start, stop):
            item = image.title
            if name == "yolo":
                entry_name, data = f"annotations/yolo/labels/{image.stem}.txt", annotations.yolo_labels(image)
                if image.annotations and not data:
                    warnings.append(f"{item}: the size of the image is not known, so it has no YOLO labels")
            else:
                entry_name, data = (
                    f"annotations/json/{image.stem}.json",
                    annotations.json_annotations(image, categories),
                )
            entries.append(_text_entry(entry_name, data, _part(parts, f"{name}-{image.index}")))
    return Outcome(entries=tuple(entries), warnings=tuple(warnings), item=item, seconds=seconds)


def coco_task(plan: Plan, options: ExportOptions, parts: str) -> Outcome:  # noqa: ARG001 - all tasks are called alike
    """Write the whole COCO file, image by image."""
    from exportctl.server.export import annotations, packing  # noqa: PLC0415 - numpy belongs to the worker

    seconds: dict[str, float] = {}
    path = _part(parts, "coco.json")
    with _timed(seconds, "annotations"):
        unpacked = packing.write_packed(path, lambda target: annotations.write_coco(plan.file, plan.count, target))
    entry = Entry(name="annotations/coco/annotations.json", file=path, owned=True, unpacked=unpacked)
    return Outcome(entries=(entry,), seconds=seconds)


def metrics_task(plan: Plan, start: int, stop: int, options: ExportOptions, parts: str) -> Outcome:
    """Measure the polygons of the images start..stop-1 and lay the rows aside for the tables."""
    from exportctl.server.export import tables  # noqa: PLC0415 - numpy belongs to the worker

    seconds: dict[str, float] = {}
    with _timed(seconds, "metrics"):
        item = tables.spool_rows(plan.file, start, stop, options.scale, _part(parts, f"rows-{start}.jsonl"))
    return Outcome(item=item, seconds=seconds)


def table_task(plan: Plan, name: str, options: ExportOptions, parts: str) -> Outcome:
    """Write one table, `excel`, `csv` or `json`, from the rows of all slices."""
    from exportctl.server.export import packing, tables  # noqa: PLC0415 - XlsxWriter belongs to the worker

    seconds: dict[str, float] = {}
    path = _part(parts, f"metrics.{name}")
    with _timed(seconds, "metrics"):
        rows = tables.read_rows([_part(parts, f"rows-{start}.jsonl") for start in range(0, plan.count, SLICE)])
        if name == "excel":
            tables.write_excel(rows, options.scale, path)
            # It is a ZIP already.
            entry = Entry(name="metrics/metrics.xlsx", file=path, owned=True)
        else:
            write = {"csv": tables.write_csv, "json": tables.write_json}[name]
            unpacked = packing.write_packed(path, lambda target: write(rows, options.scale, target))
            entry = Entry(name=f"metrics/metrics.{name}", file=path, owned=True, unpacked=unpacked)
    return Outcome(entries=(entry,), seconds=seconds)


def readme_task(
    plan: Plan, options: ExportOptions, project_name: str, warnings: tuple[str, ...], parts: str
) -> Outcome:
    """Write README.md of the archive; `warnings` are all of the job's, the plan's included."""
    from exportctl.server.export import planfile, readme  # noqa: PLC0415 - numpy belongs to the worker

    categories = planfile.read_categories(plan.file)
    text = readme.readme(
        project_name,
        images=plan.count,
        polygons=plan.polygons,
        categories=categories,
        options=options,
        warnings=warnings,
    )
    return Outcome(entries=(_text_entry("README.md", text.encode("utf-8", "replace"), _part(parts, "README.md")),))


def _part(parts: str, name: str) -> str:
    """Return the path of a file of the job; a task that runs again writes the same one."""
    return os.path.join(parts, name)  # noqa: PTH118 - paths are plain texts in tasks


def _text_entry(name: str, data: bytes, path: str) -> Entry:
    """Make an entry of a text: a small one travels with the outcome, a large one waits in a file."""
    from exportctl.server.export.packing import packed  # noqa: PLC0415 - the packer belongs to the worker

    text, unpacked = packed(data)
    if len(text) <= _TRAVELS:
        return Entry(name=name, data=text, unpacked=unpacked)
    with aside(path) as new:
        new.write_bytes(text)
    return Entry(name=name, file=path, owned=True, unpacked=unpacked)


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    """Add the wall seconds of the block to the stage."""
    begin = time.perf_counter()
    try:
        yield
    finally:
        seconds[stage] = seconds.get(stage, 0.0) + time.perf_counter() - begin
