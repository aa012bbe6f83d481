"""The tasks of an export: what the engine submits to its pool, and what comes back.

Every task is a module-level function with picklable arguments. It reads the project's folder and the plan file,
writes only under `parts`, and may run twice: an output has one name and is renamed into place. `plan_export` comes
first, alone; `steps` then says what is to be done, and `readme_task` comes last, when all warnings are known.
Importing this module loads no image library: each task imports what it needs, in the worker.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from exportctl.server.export.options import ExportOptions

STAGES = ("images", "visualizations", "annotations", "metrics", "compression")
SLICE = 32
"""Images of one annotation or metrics task: worth a trip to a worker, few enough for progress to be seen."""


class ProjectError(Exception):
    """The folder cannot be exported at all.

    `code` is PROJECT_NOT_FOUND, PROJECT_EMPTY, PROJECT_UNREADABLE or IMAGE_NOT_FOUND.
    """

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(code, message, hint)
        self.code = code
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file of the archive: its bytes, or the file that holds them; exactly one of the two.

    `name` is the path within the archive, with forward slashes. `owned` files are ours: delete them once they are
    appended. `deflate` is for text; images are stored as they are.
    """

    name: str
    data: bytes | None = None
    file: str | None = None
    owned: bool = False
    deflate: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a task made. `item` is the relative path of the image last worked on, or ''; `seconds` are by stage."""

    entries: tuple[Entry, ...] = ()
    warnings: tuple[str, ...] = ()
    item: str = ""
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A project that was read: small whatever the number of images, since it travels with every task.

    What is known of each image lies in the file `file`, with an index beside it, so a restarted server needs no
    more than this. `polygons` counts annotations. `warnings` are those of reading; `steps` sends the tasks a plan
    without them.
    """

    folder: str
    file: str
    count: int
    polygons: int
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One task to submit: `call(*args)`, which returns an Outcome.

    When it is done, each of `stages` has advanced by `images` images. A step with `after` may begin only when every
    step whose `group` is that name is done; all such steps come before it in the order of `steps`.
    """

    group: str
    stages: tuple[str, ...]
    images: int
    call: Callable[..., Outcome]
    args: tuple[object, ...]
    after: str | None = None


def plan_export(folder: str, plan_file: str, options: ExportOptions) -> Plan:
    """Read the folder, find and repair every image's polygons, and write one line an image to `plan_file`.

    Raises ProjectError.
    """
    from exportctl.server.export.planning import write_plan  # noqa: PLC0415 - numpy and shapely belong to the worker

    return write_plan(folder, plan_file, options)


def stage_totals(plan: Plan, options: ExportOptions) -> dict[str, int]:
    """Count the images each stage will have worked through when all of `steps` are done.

    A stage without work is absent. A slice counts once for each format, so two annotation formats make twice the images.
    """
    totals: dict[str, int] = {}
    if options.images:
        totals["images"] = plan.count
    if options.visualizations:
        totals["visualizations"] = plan.count
    if options.annotations:
        totals["annotations"] = plan.count * len(options.annotations)
    if options.metrics:
        totals["metrics"] = plan.count * (1 + len(options.metrics))
    return totals


def steps(plan: Plan, options: ExportOptions, parts: str) -> Iterator[Step]:
    """Yield the tasks of an export but its README, in the order in which to submit them.

    It is a generator: 100,000 images need no list. Slices run ahead of the images, two for one, so that the tables,
    which need every slice, are made while images are still being drawn and no core idles at the end.
    """
    light = replace(plan, warnings=())
    if "coco" in options.annotations:
        yield Step(
            group="coco", stages=("annotations",), images=plan.count, call=coco_task, args=(light, options, parts)
        )
    slices = _slices(light, options, parts)
    stages = tuple(
        stage for stage, wanted in (("images", options.images), ("visualizations", options.visualizations)) if wanted
    )
    for start in range(0, plan.count, SLICE) if stages else ():
        for _ in range(2):
            yield from next(slices, ())
        for index in range(start, min(start + SLICE, plan.count)):
            yield Step(group="images", stages=stages, images=1, call=image_task, args=(light, index, options, parts))
    for rest in slices:
        yield from rest


def _slices(plan: Plan, options: ExportOptions, parts: str) -> Iterator[tuple[Step, ...]]:
    """Yield the steps of one slice at a time, and those of the tables behind the last one."""
    for start in range(0, plan.count, SLICE):
        stop = min(start + SLICE, plan.count)
        made = []
        if options.metrics:
            args: tuple[object, ...] = (plan, start, stop, options, parts)
            made.append(Step(group="rows", stages=("metrics",), images=stop - start, call=metrics_task, args=args))
        for name in options.annotations:
            if name != "coco":
                args = (plan, name, start, stop, options, parts)
                made.append(
                    Step(group=name, stages=("annotations",), images=stop - start, call=annotation_task, args=args)
                )
        yield tuple(made)
    yield tuple(
        Step(
            group="tables",
            stages=("metrics",),
            images=plan.count,
            call=table_task,
            args=(plan, name, options, parts),
            after="rows",
        )
        for name in options.metrics
    )


def image_task(plan: Plan, index: int, options: ExportOptions, parts: str) -> Outcome:
    """Hand on the original bytes of one image, and draw its overlay into `parts`."""
    raise NotImplementedError


def annotation_task(  # noqa: PLR0917 - the arguments of a task travel as a tuple
    plan: Plan, name: str, start: int, stop: int, options: ExportOptions, parts: str
) -> Outcome:
    """Write the labels of the images start..stop-1 in the format `name`, `yolo` or `json`."""
    raise NotImplementedError


def coco_task(plan: Plan, options: ExportOptions, parts: str) -> Outcome:
    """Write the whole COCO file, image by image."""
    raise NotImplementedError


def metrics_task(plan: Plan, start: int, stop: int, options: ExportOptions, parts: str) -> Outcome:
    """Measure the polygons of the images start..stop-1 and lay the rows aside for the tables."""
    raise NotImplementedError


def table_task(plan: Plan, name: str, options: ExportOptions, parts: str) -> Outcome:
    """Write one table, `excel`, `csv` or `json`, from the rows of all slices."""
    raise NotImplementedError


def readme_task(
    plan: Plan, options: ExportOptions, project_name: str, warnings: tuple[str, ...], parts: str
) -> Outcome:
    """Write README.md of the archive; `warnings` are all of the job's, the plan's included."""
    raise NotImplementedError


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    """Add the wall seconds of the block to the stage."""
    begin = time.perf_counter()
    try:
        yield
    finally:
        seconds[stage] = seconds.get(stage, 0.0) + time.perf_counter() - begin
