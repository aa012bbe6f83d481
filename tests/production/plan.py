"""The life of an export on a server of protocol 1, as steps: what is told, in the order and disorder that was seen.

Stages run side by side, so that progress goes backwards; some events name no stage; from 90 % the phase is called
`downloading`; 100 comes before the end (`WIRE.md`, 2 and 3).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

PATH_OF_A_FAILURE = "/srv/app/src/services/exportService.ts"
FAILURE = f"\nInvalid `prisma.project.findUnique()` invocation in\n{PATH_OF_A_FAILURE}:425:44\n\n  422 }}\n  423 \n"
BY_USER = "Export cancelled by user"


class Work(Enum):
    """What a job does beside telling."""

    ANSWER = auto()
    """The POST is answered."""
    OPEN_ARCHIVE = auto()
    """The project's one archive is cut to nothing and written anew, half of it."""
    CLOSE_ARCHIVE = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tell:
    """One event, without what is the same for all of a job."""

    name: str
    data: dict


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One export. `answer_after`: the events told before the POST's answer. `fails_after`: the step it fails at."""

    images: int = 3
    answer_after: int = 2
    fails_after: int | None = None
    warnings: tuple[str, ...] = ()
    image_bytes: int = 40_000

    def steps(self) -> list[Tell | Work]:
        """Return everything that happens, the end left out: it depends on what happens meanwhile."""
        steps: list[Tell | Work] = list(_told(self.images))
        steps.insert(min(self.answer_after, len(steps)), Work.ANSWER)
        return steps


def _told(images: int) -> Iterator[Tell | Work]:
    yield _progress(0, "Processing")
    yield Tell(name="export:started", data={})
    yield _progress(5, "Processing")
    for at in range(1, images + 1):
        yield _progress(5 + 18 * at / images, "Copying original images", "images", at, images)
    yield _progress(23, "Copying original images", "images")
    yield _progress(41, "Processing")
    for at in range(1, images + 1):
        noise = 6.4399999999999995 if at == 1 else 5 + 18 * at / images
        yield _progress(noise, "Creating annotation files", "annotations", at, images)
        yield _progress(23 + 36 * at / images, "Generating visualizations", "visualizations", at, images)
    for progress in (59, 5, 23, 77):
        yield _progress(progress, "Processing")
    yield _progress(90, "Processing", phase="downloading")
    yield Work.OPEN_ARCHIVE
    yield _progress(95, "Processing", phase="downloading")
    yield Work.CLOSE_ARCHIVE
    yield _progress(100, "Processing", phase="downloading")


def _progress(
    progress: float,
    words: str,
    stage: str | None = None,
    current: int | None = None,
    total: int | None = None,
    *,
    phase: str = "processing",
) -> Tell:
    count = "" if current is None else f" ({current}/{total})"
    data = {"progress": progress, "phase": phase, "message": f"{words}{count}... {progress}%"}
    if stage is not None:
        data["stage"] = stage
    if current is not None:
        data["stageProgress"] = {"current": current, "total": total}
        if stage == "visualizations":
            data["stageProgress"]["currentItem"] = f"cell_{current:03}.jpg"
    return Tell(name="export:progress", data=data)
