"""Web proxies: the socket through CONNECT, polling where that is not let through, and refusals in words."""

import asyncio
import contextlib

import pytest

from authority import found_authority
from system.hostile import TOKEN, Peer, check_good
from system.processes import end_of
from system.telling import check_form

HOST = "export.example"
"""A name that only a proxy knows."""


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return found_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def good(authority):
    return authority.context("good")


class WebProxy(Peer):
    """Leads whatever is asked for to one server. `refuses` is the status that CONNECT and upgrades are refused with."""

    def __init__(self, port: int, *, refuses: int | None = None, refuses_all: bool = False) -> None:
        super().__init__()
        self.port, self.refuses, self.refuses_all = port, refuses, refuses_all
        self.asked: list[bytes] = []

    async def taken(self, reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        self.asked.append(head.split(b"\r\n", 1)[0])
        is_socket = head.startswith(b"CONNECT") or b"upgrade: websocket" in head.lower()
        if self.refuses is not None and (is_socket or self.refuses_all):
            writer.write(b"HTTP/1.1 %d Proxy says no\r\nContent-Length: 0\r\n\r\n" % self.refuses)
            await writer.drain()
            return
        there, back = await asyncio.open_connection("127.0.0.1", self.port)
        if head.startswith(b"CONNECT"):
            writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
            with contextlib.suppress(OSError):
                await asyncio.gather(_pump(reader, back), _pump(there, writer))
        else:
            # One request a connection: nothing else comes this way unjudged.
            method, target, rest = head.split(b" ", 2)
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0] or 0)
            back.write(b" ".join([method, b"/" + target.split(b"/", 3)[3], rest]) + await reader.readexactly(length))
            answer = await there.readuntil(b"\r\n\r\n")
            length = int(answer.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
            body = b"" if method == b"HEAD" else await there.readexactly(length)
            writer.write(answer.replace(b"\r\n", b"\r\nConnection: close\r\n", 1) + body)
            await writer.drain()
            back.close()


async def _pump(reader, writer):
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


def run(command, url, proxy, *more, **environment):
    command.environment |= {"HTTP_PROXY": proxy, "HTTPS_PROXY": proxy} | environment
    arguments = ["run", "plates", "--server", url, "--token", TOKEN, "--ndjson", "--progress", "none", *more]
    ended = end_of(command.start(*arguments, "--poll-interval", "0.3"), 60, proxy)
    check_form(ended, command)
    return ended


def port_of(peer):
    return peer.url.rpartition(":")[2]


def states(ended):
    return [line["state"] for line in ended.lines if line["event"] == "connection:changed"]


def test_everything_goes_through_connect_to_a_server_with_tls(command, authority, good):
    with Peer(good) as peer, WebProxy(int(port_of(peer))) as proxy:
        ended = run(command, f"https://{HOST}", proxy.url, "--ca-bundle", authority.bundle)
    check_good(ended, command)
    assert states(ended) == ["connected"]
    assert len(peer.sockets) == 1
    assert set(proxy.asked) == {f"CONNECT {HOST}:443 HTTP/1.1".encode()}


def test_a_proxy_that_lets_no_socket_through_is_polled_through(command):
    with Peer() as peer, WebProxy(int(port_of(peer)), refuses=403) as proxy:
        ended = run(command, f"http://{HOST}", proxy.url)
    check_good(ended, command)
    assert set(states(ended)) == {"polling"}
    assert peer.sockets == []


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_wants_to_know_who_asks_is_told_of_at_once_without_its_password(command, scheme):
    with Peer() as peer, WebProxy(int(port_of(peer)), refuses=407, refuses_all=True) as proxy:
        ended = run(command, f"{scheme}://{HOST}", proxy.url.replace("://", "://ana:secret@"))
    assert (ended.status, ended.result["error"]["code"]) == (7, "PROXY")
    assert "407" in ended.stderr
    assert "HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT" in ended.stderr
    assert "secret" not in ended.stderr
    assert len(proxy.asked) == 1
    assert peer.requests == []


def test_a_proxy_that_is_not_there_is_named(command):
    ended = run(command, f"https://{HOST}", "http://ana:secret@127.0.0.1:9")
    assert ended.status == 7
    assert f"no answer from https://{HOST} through http://127.0.0.1:9: connection refused" in ended.stderr
    assert "secret" not in ended.stderr + ended.stdout.decode()


def test_servers_that_are_excepted_are_reached_without_the_proxy(command):
    with Peer() as peer, WebProxy(int(port_of(peer))) as proxy:
        ended = run(command, f"http://{HOST}.invalid", proxy.url, NO_PROXY=f"{HOST}.invalid")
        assert (ended.status, "its name is not known" in ended.stderr) == (7, True)
        check_good(run(command, peer.url, proxy.url), command)
    assert proxy.asked == []
