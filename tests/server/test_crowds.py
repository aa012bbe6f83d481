"""Thousands of connections that hold a server up in other ways than by silence, and a user who wants them all."""

import asyncio
import contextlib
import logging

import pytest

from exportctl.server import connections, doorkeeper, silence
from exportctl.server.answers import Refusal
from exportctl.server.crowd import Crowd
from exportctl.server.patience import Patience
from exportctl.server.people.database import open_people
from exportctl.server.people.passwords import Passwords
from exportctl.server.people.people import people_file
from exportctl.server.people.users import Users
from exportctl.server.reading import LARGEST_ATTACHED, Reading
from server.conftest import TOKEN, serving, write_images
from server.socket_client import connected
from server.test_auth_routes import CHEAP, signed_in, site  # noqa: F401 - a fixture
from server.test_bad_clients import all_of, raw
from waiting import until

UPGRADE = (
    b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
PLACES = ",".join(f'{{"_placeholder":true,"num":{number}}}' for number in range(3))
HALF = b"POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"


@pytest.fixture(autouse=True)
def _watchful(monkeypatch):
    monkeypatch.setattr(doorkeeper, "LOOK_SECONDS", 0.01)


@pytest.mark.parametrize("sent", [HALF, UPGRADE], ids=["half a body", "a socket that never connects"])
async def test_thousands_that_do_not_come_to_the_point_keep_nobody_out(settings_for, cells, monkeypatch, sent):
    monkeypatch.setattr(connections, "MOST_SILENT", 20)
    monkeypatch.setattr(silence, "MOST", 20)
    async with (
        serving(settings_for(cells, people=True)) as server,
        contextlib.AsyncExitStack() as held,
        connected(server.url, TOKEN) as socket,
        server.client() as client,
    ):
        readers = [(await held.enter_async_context(raw(server, sent)))[0] for _ in range(100)]
        await asyncio.gather(*map(all_of, readers[:60]))  # those that have waited longest are cut
        assert (await client.get("/api/health")).status_code == 200
        assert (await socket.call("export:history", {"projectId": server.project.id}))["ok"]


async def test_a_body_that_comes_late_is_taken(server):
    async with raw(server, HALF.replace(b"100", b"2")) as (reader, writer):
        await asyncio.sleep(0)
        writer.write(b"}GET /api/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        seen = await all_of(reader)
    assert seen.count(b"HTTP/1.1 ") == 2


async def test_nobody_has_thousands_of_requests_wait_on_one_connection(server):
    asked = b"GET /api/health HTTP/1.1\r\nHost: x\r\n\r\n"
    async with raw(server, 5000 * asked) as (reader, _):
        assert (await all_of(reader)).count(b"HTTP/1.1 200") <= connections.MOST_WAITING + 1


class Transport:
    """A transport whose client takes something at each look, `times` of them, then nothing."""

    def __init__(self, times):
        self.left = times
        self.looks = 0

    def get_write_buffer_size(self):
        self.looks += 1
        self.left = max(self.left - 1, 0)
        return self.left

    def get_extra_info(self, _name):
        return self

    def fileno(self):
        return -1


async def test_a_reader_that_takes_a_byte_now_and_then_is_waited_for_and_one_that_takes_nothing_is_not():
    cut = asyncio.Event()
    transport = Transport(times=50)
    patience = Patience(transport, 0.08, cut.set)
    patience.begin()
    await asyncio.wait_for(cut.wait(), 30)
    assert transport.looks > 50
    assert transport.left == 0


async def test_a_download_that_nobody_takes_is_cut(settings_for, tmp_path, caplog):
    caplog.set_level(logging.INFO, connections.logger.name)
    folder = write_images(tmp_path / "large", 4, size=1600)  # more than two kernels keep
    async with serving(settings_for(folder, patience=0.2)) as server, server.client() as client:
        job = await server.start(client)
        await server.events(client, job)
        ask = f"GET /api/export/{job}/download HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
        async with raw(server, ask.encode()) as (reader, _):
            await until(lambda: any("takes nothing" in record.message for record in caplog.records))
            seen = await all_of(reader)
        whole = (await client.get(f"/api/export/{job}/download")).content
        assert 0 < len(seen) < len(whole)


@pytest.mark.parametrize("size", [1, LARGEST_ATTACHED])
def test_what_is_attached_to_an_event_is_kept_only_while_it_is_small(size):
    reading = Reading()
    assert reading.is_packet(f'453-["x",{PLACES}]')
    assert reading.is_packet(bytes(size))
    assert reading.is_packet(bytes(size)) is (size == 1)


def test_one_user_has_not_all_sockets():
    keeper, right = doorkeeper.Doorkeeper(None, 2, None), doorkeeper.Pass(user="ana")
    for sid in ("1", "2"):
        keeper.admit(sid, right)
    with pytest.raises(doorkeeper.TooManySocketsError):
        keeper.admit("3", right)
    keeper.admit("4", doorkeeper.Pass(user="ben"))
    keeper.left("1")
    keeper.admit("3", right)


def test_one_user_has_not_all_requests():
    crowd = Crowd(2)
    first, second = {}, {}
    for scope in (first, first, second):  # one request is counted once, however often it is asked whose it is
        crowd.enter(scope, "ana")
    with pytest.raises(Refusal) as refused:
        crowd.enter({}, "ana")
    assert (refused.value.status, refused.value.headers) == (429, {"Retry-After": "5"})
    crowd.enter({}, "ben")


class Rights:
    """What a guard says; the first look at the people fails, and nothing ever changes them."""

    def __init__(self):
        self.faults = [OSError(5, "Input/output error")]
        self.over = set()

    def changes(self):
        if self.faults:
            raise self.faults.pop()
        return 1

    def holds(self, right):
        return right.user not in self.over


async def test_a_right_that_ends_by_itself_is_seen_to_end_and_a_fault_does_not_end_the_looking(monkeypatch, caplog):
    monkeypatch.setattr(doorkeeper, "LOOK_SECONDS", 0)
    out, rights = [], Rights()

    async def turn_out(sid):
        out.append(sid)

    keeper = doorkeeper.Doorkeeper(rights, 2, turn_out)
    for sid in ("ana", "ben"):
        keeper.admit(sid, doorkeeper.Pass(user=sid))
    looking = asyncio.create_task(keeper.run())
    await until(lambda: not rights.faults)
    rights.over.add("ana")
    await until(lambda: out == ["ana"])
    looking.cancel()
    assert "It cannot be seen whose right has ended" in caplog.text


async def test_a_socket_lasts_no_longer_than_the_right_it_was_opened_by(site):  # noqa: F811 - as above
    async with signed_in(site) as ana, signed_in(site) as other, contextlib.AsyncExitStack() as opened:
        token = (await ana.post("/api/auth/tokens", json={"name": "x"})).json()["data"]

        async def socket(token, **cookies):
            return await opened.enter_async_context(connected(site.url, token, **cookies))

        named, by_token = await socket(TOKEN), await socket(token["token"])
        by_cookie, by_another = await socket(None, cookies=ana.cookies), await socket(None, cookies=other.cookies)
        assert (await ana.delete(f"/api/auth/tokens/{token['id']}")).status_code == 200
        await asyncio.wait_for(by_token.left.wait(), 30)
        assert (await by_cookie.call("export:history", {"projectId": site.project.id}))["ok"]
        await ana.post("/api/auth/logout")
        await asyncio.wait_for(by_cookie.left.wait(), 30)
        assert (await by_another.call("export:history", {"projectId": site.project.id}))["ok"]
        # As `serve --remove-user` does it, beside the server.
        with contextlib.closing(open_people(people_file(site.settings.state))) as db:
            Users(db, Passwords(CHEAP), site.settings.clocks.now, site.settings.new_id).remove("ana@example.com")
        await asyncio.wait_for(by_another.left.wait(), 30)
        assert (await named.call("export:history", {"projectId": site.project.id}))["ok"]
