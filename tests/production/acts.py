"""What a server of protocol 1 does, or what is done to it, at a counted moment: never at a time."""

from dataclasses import dataclass
from typing import Literal

Counted = Literal["steps", "status", "start", "history", "cancel", "head", "download", "pieces", "handshakes"]
Kind = Literal["status", "history", "cancel", "head", "download"]


@dataclass(frozen=True, slots=True)
class Moment:
    """`count` of these have been: steps of all jobs, requests of a kind, pieces of archives sent."""

    count: int
    what: Counted


@dataclass(frozen=True, slots=True)
class Restart:
    """End and begin again where it was: every connection is broken, every job forgotten."""


@dataclass(frozen=True, slots=True)
class PlannedStop:
    """Say so, close the sockets, take no new connections, serve those that are kept alive for so many requests."""

    requests: int


@dataclass(frozen=True, slots=True)
class CancelElsewhere:
    """Someone else of the same user cancels the running job, when that is safe."""


@dataclass(frozen=True, slots=True)
class EndAccess:
    """Every access token is over."""


@dataclass(frozen=True, slots=True)
class EndSession:
    """Every refresh token too."""


@dataclass(frozen=True, slots=True)
class Another:
    """Another command exports the same project, as soon as no job runs: its archive takes the place."""


@dataclass(frozen=True, slots=True)
class CutArchive:
    """The disk loses the end of the archive."""


@dataclass(frozen=True, slots=True)
class RemoveArchive:
    """The archive is gone from the disk."""


@dataclass(frozen=True, slots=True)
class DropSockets:
    """Close every socket, by 1005."""


@dataclass(frozen=True, slots=True)
class Mute:
    """Let the next events be lost."""

    events: int


@dataclass(frozen=True, slots=True)
class LoseAnswer:
    """Break off the connection of the next POST that starts a job, after the job was made."""


@dataclass(frozen=True, slots=True)
class RefuseHandshakes:
    """Answer the next handshakes with `44`, and leave the connections open."""

    count: int


@dataclass(frozen=True, slots=True)
class Slow:
    """Answer the next request of a kind only after so many more steps of work, while there is any."""

    kind: Kind
    steps: int


Act = (
    Restart
    | PlannedStop
    | CancelElsewhere
    | EndAccess
    | EndSession
    | Another
    | CutArchive
    | RemoveArchive
    | DropSockets
    | Mute
    | LoseAnswer
    | RefuseHandshakes
    | Slow
)


@dataclass(frozen=True, slots=True)
class Event:
    """What happens, and when."""

    at: Moment
    act: Act
