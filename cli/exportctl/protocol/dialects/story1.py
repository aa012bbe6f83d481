"""A protocol 1 job's events in the order of protocol 2: started first and once, then progress, then one end.

Pure. The server tells progress 0 before it says that the job started, and may lose either (`WIRE.md`, 1 and 12); a
cancellation is followed by failures and more progress (4), and every failure comes twice (7).
"""

from dataclasses import dataclass, field

from exportctl.protocol.events import Cancelled, Data, End, Failed, Progress, Started


@dataclass(slots=True, kw_only=True)
class Story:
    """What was told of one job. `project_name` and `options` are what the client knows of it by itself."""

    job_id: str
    project_id: str | None = None
    project_name: str | None = None
    options: Data | None = None
    heard: End | None = None
    has_started: bool = False
    _held: list[Progress] = field(default_factory=list)

    def take(self, event: Started | Progress) -> list[Started | Progress]:
        """Return what is to be told now, in order. Behind an end, or told already: nothing."""
        if self.heard is not None:
            return []
        match event:
            case Started():
                return [] if self.has_started else self._begin(event.timestamp, event.project_id)
            case Progress():
                if self.has_started:
                    return [event]
                if not event.progress and event.stage is None:
                    self._held = [event]
                    return []
                return [*self.begin(), event]

    def begin(self) -> list[Started | Progress]:
        """Return the start that was never told, with what waited for it; nothing where it was."""
        return [] if self.has_started else self._begin(None, None)

    def _begin(self, timestamp: str | None, project_id: str | None) -> list[Started | Progress]:
        self.has_started = True
        held, self._held = self._held, []
        started = Started(
            job_id=self.job_id,
            project_id=project_id or self.project_id,
            timestamp=timestamp,
            project_name=self.project_name,
            options=self.options,
        )
        return [started, *held]

    def end(self, event: End) -> bool:
        """Note an end; return whether it is news. The first counts, but a cancellation is final (4).

        A failure that means the cancellation may come ahead of it: the event itself says more, and takes its place.
        """
        heard = self.heard
        is_news = heard is None or (
            isinstance(event, Cancelled)
            and (isinstance(heard, Failed) or (isinstance(heard, Cancelled) and _says_more(event, heard)))
        )
        if is_news:
            self.heard = event
        return is_news


def _says_more(event: Cancelled, heard: Cancelled) -> bool:
    return heard.cleanup_completed is None and event.cleanup_completed is not None


def judge(heard: End | None, confirmed: End | None) -> End | None:
    """Return the end of a job of which the socket said `heard` and REST says `confirmed`; None while it has none.

    REST is the judge, but `cancelled` is final: the server itself goes on to call such a job failed (4). Where both say
    the same, the event says more.
    """
    if confirmed is None or heard is None:
        return confirmed
    if isinstance(heard, Cancelled) and isinstance(confirmed, Failed):
        return heard
    return heard if type(heard) is type(confirmed) else confirmed
