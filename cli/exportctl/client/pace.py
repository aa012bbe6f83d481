"""How far a download is and how fast, told as lines of the phase `downloading`, a few a second; and `--limit-rate`.

`monotonic` gives seconds. Progress never falls: where a download begins anew it waits at its highest, `bytes` falls.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from exportctl.model.eta import Throughput
from exportctl.model.lines import DownloadProgress, Line
from exportctl.protocol.events import DOWNLOADING

EVERY: Final = 0.2
"""Seconds between two lines."""
_SMOOTHING: Final = 0.3
"""Weight of the newest rate: a stall shows within a second, a hiccup does not."""

_BURST: Final = 1.0
"""Seconds of a stall that a limited download makes up for."""


@dataclass(slots=True, kw_only=True)
class Pace:
    """The numbers of one download. `limit` in bytes a second, None for none."""

    job_id: str
    project_id: str | None
    tell: Callable[[Line], None]
    monotonic: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]
    limit: float | None = None
    _total: int | None = field(init=False, default=None)
    _bytes: int = field(init=False, default=0)
    _highest: float = field(init=False, default=0.0)
    _rate: float | None = field(init=False, default=None)
    _told_at: float = field(init=False, default=float("-inf"))
    _told_bytes: int = field(init=False, default=0)
    _throughput: Throughput = field(init=False, default_factory=lambda: Throughput(began=0.0))
    _began_at: float = field(init=False, default=0.0)
    _began_bytes: int = field(init=False, default=0)
    _paid_at: float = field(init=False, default=0.0)
    _paid_bytes: int = field(init=False, default=0)

    def begin(self, at: int, total: int | None, *, quietly: bool = False) -> None:
        """Note where the download begins, of how many bytes, and say so unless `quietly`: with the first ones then."""
        self._total = total
        self._bytes = self._told_bytes = self._began_bytes = self._paid_bytes = at
        self._began_at = self._paid_at = self.monotonic()
        self._throughput = Throughput(began=self._began_at, first=at)
        if quietly:
            self._told_at = self._began_at
        else:
            self._tell()

    def expect(self, total: int | None) -> None:
        """Note of how many bytes it is, which was not known before."""
        self._total = total

    def at(self, size: int) -> None:
        """Note how many bytes there are now."""
        self._bytes = size
        now = self.monotonic()
        if self._total is None and size == self._told_bytes:
            return  # an archive in the making may not grow for minutes
        if now - self._told_at >= EVERY:
            fresh = max(0, size - self._told_bytes) / (now - self._told_at)
            self._rate = fresh if self._rate is None else self._rate + _SMOOTHING * (fresh - self._rate)
            self._tell()

    def finish(self, size: int) -> None:
        """Say that all bytes are there; the last line is always told."""
        self._bytes, self._total = size, size
        took = self.monotonic() - self._began_at
        self._rate = (size - self._began_bytes) / took if took > 0 else self._rate
        self._tell()

    async def hold(self) -> None:
        """Wait where the bytes come faster than `limit`."""
        fresh, self._paid_bytes = self._bytes - self._paid_bytes, self._bytes
        await self.spend(fresh)

    async def spend(self, count: int) -> None:
        """Wait until `count` bytes more are allowed; for who reads ahead of what `at` is told."""
        if self.limit is None:
            return
        now = self.monotonic()
        # The time at which the bytes so far were allowed; a stall is made up for by no more than a short burst.
        self._paid_at = max(self._paid_at, now - _BURST) + count / self.limit
        if self._paid_at > now:
            await self.sleep(self._paid_at - now)

    def _tell(self) -> None:
        self._told_at, self._told_bytes = self.monotonic(), self._bytes
        self._throughput.take(self._told_at, self._bytes)
        progress = None
        if self._total is not None:
            reached = 100.0 * self._bytes / self._total if self._total else 100.0
            self._highest = progress = max(self._highest, min(100.0, reached))
        left = None
        seconds = None if self._total is None else self._throughput.left(self._told_at, self._total)
        seconds = 0.0 if seconds is not None and self._bytes == self._total else seconds
        if seconds is not None:
            left = round(seconds, 1)
        self.tell(
            DownloadProgress(
                job_id=self.job_id,
                project_id=self.project_id,
                phase=DOWNLOADING,
                progress=None if progress is None else round(progress, 2),
                template="export.phase.downloading",
                message="Downloading the archive",
                data={"bytes": self._bytes, "totalBytes": self._total},
                estimated_time_remaining=left,
                bytes=self._bytes,
                total_bytes=self._total,
                bytes_per_second=None if self._rate is None else round(self._rate),
            )
        )
