"""Servers whose events lack keys, have others, or hold what they should not: an end comes, soon, and in words."""

import json
import os
import shutil

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from system.hostile import ARCHIVE, JOB, PROJECT, Peer, history, packet, response, run
from system.processes import command_in
from system.telling import story

SERVERS = int(os.environ.get("EXPORTCTL_FAULTS", "10"))
GONE = "(gone)"
KEYS = sorted({key for _, data in history() for key in data} | {"extra", "stageProgress"})
VALUES = st.sampled_from(
    [
        GONE,
        None,
        True,
        -1,
        0,
        7,
        1e308,
        2**53,
        2**70,
        "",
        "x",
        "\x1b[2J\u202e",
        JOB,
        PROJECT,
        [],
        [None],
        {},
        {"a": [{}]},
    ]
)
EDITS = st.lists(st.tuples(st.integers(0, len(history()) - 1), st.sampled_from(KEYS), VALUES), min_size=1, max_size=12)


class Mangles(Peer):
    """Tells the edited log over the socket, and where `everywhere` in answers to polls too."""

    def __init__(self, edits, *, everywhere):
        super().__init__()
        self.wrong = [(name, dict(data)) for name, data in self.log]
        for at, key, value in edits:
            data = self.wrong[at][1]
            if value == GONE:
                data.pop(key, None)
            else:
                data[key] = value
        if everywhere:
            self.log = self.wrong

    async def events(self, request):
        found = [{"event": name, "data": data} for name, data in self.log[int(request.query["after"]) :]]
        return response(200, _json({"events": found, **self.facts()}))

    async def tell(self, web, after=0):
        for name, data in self.wrong[after:]:
            await web.send(packet(name, _json(data)))


def _json(data):
    """Return JSON as a server in another language writes it: its numbers know no bounds."""
    return json.dumps(data).encode()


@settings(max_examples=SERVERS, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(
    edits=EDITS,
    everywhere=st.booleans(),
    transport=st.sampled_from(["auto", "socket", "polling"]),
)
def test_an_end_comes_whatever_the_keys_of_the_events_hold(tmp_path_factory, edits, everywhere, transport):
    folder = tmp_path_factory.mktemp("mangled")
    command = command_in(folder)
    with Mangles(edits, everywhere=everywhere) as peer:
        ended = run(command, peer, "--transport", transport)
    told = [line["serverSeq"] for line in story(ended) if line["serverSeq"] is not None]
    assert told == sorted(set(told))
    if ended.status == 0:
        [path] = command.folder.iterdir()
        assert path.read_bytes() == ARCHIVE
    else:
        assert ended.status in {7, 8}
        assert "\x1b" not in ended.stderr
        assert not list(command.folder.glob("*.zip"))
    shutil.rmtree(folder)
