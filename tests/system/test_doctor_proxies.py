"""`doctor` says what a reverse proxy between it and a real server does wrong, one fault each, and what to do."""

import asyncio
import contextlib
import re

import pytest

from system.hostile import Peer
from system.processes import Served, command_in

PING_SECONDS = 1
"""Between the pings of the servers here."""


class ReverseProxy(Peer):
    """Stands in front of servers, and does well by them."""

    def __init__(self, *servers):
        super().__init__()
        self.ports = [served.port for served in servers]
        self.count = 0

    def passed(self, head):
        """Return the head of a request as the server gets it."""
        return head

    async def answer(self, there, writer):
        """Carry what the server says."""
        await carry(there, writer)

    async def taken(self, reader, writer):
        """Lead a request to a server, the next one each time; a connection for each."""
        head = await reader.readuntil(b"\r\n\r\n")
        port = self.ports[self.count % len(self.ports)]
        self.count += 1
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0] or 0)
        head = self.passed(head)
        if b"upgrade: websocket" not in head.lower():
            head = re.sub(rb"(?im)^connection: .*\r\n", b"", head).replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
        there, back = await asyncio.open_connection("127.0.0.1", port)
        try:
            back.write(head + await reader.readexactly(length))
            up = asyncio.create_task(carry(reader, back))
            await self.answer(there, writer)
            up.cancel()
        finally:
            back.close()


async def carry(reader, writer, patience=None):
    with contextlib.suppress(OSError):  # a time that ran out, too
        while data := await asyncio.wait_for(reader.read(65_536), patience):
            writer.write(data)
            await writer.drain()


class Stripping(ReverseProxy):
    """nginx without the two lines about the upgrade."""

    def passed(self, head):
        return re.sub(rb"(?im)^(upgrade|connection): .*\r\n", b"", head)


class Impatient(ReverseProxy):
    """Ends what is silent sooner than the server pings."""

    async def answer(self, there, writer):
        await carry(there, writer, PING_SECONDS / 2)


class Buffering(ReverseProxy):
    """Holds an answer back until it is whole; a socket's never is."""

    async def answer(self, there, writer):
        writer.write(await there.read())


class Mute(ReverseProxy):
    """Lets the upgrade through, and holds back what is said behind it."""

    async def answer(self, there, writer):
        head = await there.readuntil(b"\r\n\r\n")
        writer.write(head)
        await writer.drain()
        if b" 101 " in head:
            await there.read()
        else:
            await carry(there, writer)


class Naming(ReverseProxy):
    """Gives itself as the origin of what is asked."""

    def passed(self, head):
        return head.replace(b"\r\n", b"\r\nOrigin: https://proxy.example\r\n", 1)


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    """Two servers that know nothing of one another."""
    started = []
    for name in ("one", "two"):
        command = command_in(tmp_path_factory.mktemp(name))
        cells = command.folder / "cells"
        cells.mkdir()
        more = ["--ping-interval", PING_SECONDS]
        started.append(Served.start(command, cells, state=command.home / "state", more=more))
    yield started
    for served in started:
        served.end()


def examined(command, proxy, token, *more):
    """Return the status of `doctor` and its checks by name."""
    with proxy:
        ended = command.run("doctor", "--server", proxy.url, "--token", token, "--ndjson", *more)
    assert ended.status == ended.result["exitCode"]
    return ended.status, {line["name"]: line for line in ended.lines if line["event"] == "check"}


def test_a_proxy_that_does_well_by_everything_is_let_be(command, servers):
    status, found = examined(command, ReverseProxy(servers[0]), servers[0].token)
    assert (status, {line["status"] for line in found.values()}) == (0, {"ok"})
    assert [*found][-3:] == ["streaming", "socket", "polling"]


FAULTS = [
    (Stripping, "socket", "strip the upgrade's headers", "proxy_set_header Upgrade"),
    (Impatient, "socket", "before the server's ping at 1 s", "proxy_read_timeout"),
    (Mute, "socket", "hold back what is said", "proxy_buffering off"),
    (Naming, "socket", "refuses the Origin", "without an Origin"),
    (Buffering, "streaming", "held back until it is whole", "proxy_buffering off"),
    (Impatient, "polling", "before the server's ping at 1 s", "proxy_read_timeout"),
    (Naming, "polling", "no polling session", "without an Origin"),
    (ReverseProxy, "polling", "no stickiness", "sticky"),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault[0].__name__}-{fault[1]}")
def test_a_proxy_is_told_what_it_does_wrong_and_what_to_do(command, servers, fault):
    kind, check, said, hint = fault
    behind = servers if kind is ReverseProxy else servers[:1]
    way = "socket" if check == "socket" else "polling"
    status, found = examined(command, kind(*behind), servers[0].token, "--transport", way)
    row = found[check]
    # Where archives come late exports work all the same.
    assert (row["status"], status) == (("warning", 0) if check == "streaming" else ("failed", 7)), found
    assert said in row["message"]
    assert hint in row["hint"]
    if kind is not Impatient:  # which cuts the answer in two pieces, too
        assert {line["status"] for name, line in found.items() if name != check} == {"ok"}
