"""The claim on an output: from before an export is started, that no other command writes to the same place.

An empty lock file beside the output, gone with the command; what a killed one leaves is taken over. It names the job
once that is known, so that a second command for the very same job can wait for the first instead of giving up.
"""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from exportctl.client.locks import is_at, takes
from exportctl.client.partial import cannot_write
from exportctl.model.errors import CannotWrite

_LONGEST: Final = 200
"""Bytes of a job's id that are read."""


class Claimed(CannotWrite):
    """Another command writes there. `job_id` is that of its job, None while nobody knows it."""

    def __init__(self, path: Path, job_id: str | None) -> None:
        job = f", for job {job_id}" if job_id else ""
        super().__init__(
            f"another command writes to {path} right now{job}",
            hint="wait for it, or name another -o",
            code="LOCKED",
        )
        self.place = path
        self.job_id = job_id


class Claim:
    """The claim on some places at once, for a job where that is known. Use as a context manager.

    Raises `Claimed`, `CannotWrite`.
    """

    def __init__(self, places: Iterable[Path], job_id: str = "") -> None:
        self._places = sorted(set(places))
        self._job_id = job_id
        self._locks: list[tuple[int, Path]] = []

    def __enter__(self) -> Self:
        """Claim all of them, or none."""
        try:
            for place in self._places:
                self._claim(place)
        except BaseException:
            self._release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go."""
        self._release()

    def holds(self, place: Path) -> bool:
        """Whether `place` is among those claimed."""
        return place in self._places

    def name(self, job_id: str) -> None:
        """Say whose archive is to lie there."""
        for descriptor, _ in self._locks:
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, os.pwrite(descriptor, job_id.encode()[:_LONGEST], 0))

    def _claim(self, place: Path) -> None:
        path = lock_of(place)
        while True:
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
            except OSError as error:
                raise cannot_write(place, error) from error
            if takes(descriptor) and is_at(descriptor, path):
                break
            # Its holder, or that of another one at its name: it took its own away between the opening and the lock.
            job_id = os.pread(descriptor, _LONGEST, 0).decode("utf-8", "replace") or None
            is_taken = is_at(descriptor, path)
            os.close(descriptor)
            if is_taken:
                raise Claimed(place, job_id)
        self._locks.append((descriptor, path))
        self.name(self._job_id)

    def _release(self) -> None:
        while self._locks:
            descriptor, path = self._locks.pop()
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
            os.close(descriptor)


def lock_of(place: Path) -> Path:
    """Return the lock file of a place."""
    return place.with_name(f".{place.name}.lock")
