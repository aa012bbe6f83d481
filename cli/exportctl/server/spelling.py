"""What goes to a socket, spelled as Socket.IO's packet (protocol 5, EVENT, main namespace) once for all its followers.

python-socketio spells it anew for each socket, and makes a task for each: a third of what an event costs
(`tests/bench/crowd.py`).
"""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final

import orjson
from engineio.packet import MESSAGE, Packet

from exportctl.server.job import Event

_KEPT: Final = 256


class Spelling:
    """Spells events of jobs, and remembers the last ones."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, int], str] = OrderedDict()

    def of_event(self, job_id: str, event: Event) -> Packet:
        """Return the packet of a logged event, which never changes."""
        key = (job_id, event.seq)
        text = self._known.get(key)
        if text is None:
            text = self._known[key] = _text(event.name, event.data)
            if len(self._known) > _KEPT:
                self._known.popitem(last=False)
        return Packet(MESSAGE, data=text)

    @staticmethod
    def of(name: str, data: Mapping[str, Any]) -> Packet:
        """Return the packet of anything else."""
        return Packet(MESSAGE, data=_text(name, data))


def _text(name: str, data: Mapping[str, Any]) -> str:
    return "2" + orjson.dumps([name, dict(data)]).decode()
