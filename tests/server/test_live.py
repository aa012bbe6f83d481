"""The archive over HTTP while it is made: early, in order, durable, and cut where there will be none."""

import asyncio

import httpx
import pytest

from exportctl.server.archive import ArchiveWriter
from server.conftest import OTHER_TOKEN, make_endless, serving, write_images

DRAWN = {"includeOriginalImages": False}


@pytest.fixture
def held(tmp_path):
    """A folder whose export stands still at its last image from `hold` until `go`."""
    folder = write_images(tmp_path / "held", 40, size=200)

    class Held:
        path = folder
        gate = None

        @classmethod
        def hold(cls, server, job_id):
            cls.gate = make_endless(server, job_id, 39)

        @classmethod
        async def go(cls):
            await asyncio.to_thread(cls.gate.write_bytes, b"")  # whoever reads it finds no overlay, and draws one

    return Held


async def begun(server, client, held):
    """Start the export, held at its last image; return the job's id and the path of its archive."""
    job_id = await server.start(client, DRAWN)
    await server.events_until(client, job_id, 1)
    held.hold(server, job_id)
    return job_id, server.job_path(job_id) + "/download"


def live(path, offset=0):
    return f"{path}?live=1&offset={offset}"


async def rest_of(stream):
    return b"".join([chunk async for chunk in stream])


async def test_bytes_come_while_images_are_made_and_are_the_finished_archives(settings_for, held):
    async with serving(settings_for(held.path, workers=1)) as server, server.client() as client:
        job_id, path = await begun(server, client, held)
        async with client.stream("GET", live(path)) as answer:
            stream = answer.aiter_raw()
            first = await anext(stream)
            status = (await client.get(server.job_path(job_id) + "/status")).json()["status"]
            assert (status, first[:4]) == ("processing", b"PK\3\4")
            assert (await client.get(path)).status_code == 409
            await held.go()
            whole = first + await rest_of(stream)
        finished = await client.get(path)
    assert answer.headers["Transfer-Encoding"] == "chunked"
    assert "Content-Length" not in answer.headers
    assert finished.content == whole
    assert finished.headers["ETag"] == answer.headers["ETag"]
    assert answer.headers["Export-Protocol"] == "2"


async def test_a_reader_goes_on_behind_what_it_has_and_many_may_read(settings_for, held):
    async with serving(settings_for(held.path, workers=1)) as server, server.client() as client:
        _, path = await begun(server, client, held)
        async with client.stream("GET", live(path)) as answer:
            first = await anext(answer.aiter_raw())
        etag = answer.headers["ETag"]

        async def go_on(offset):
            async with client.stream("GET", live(path, offset), headers={"If-Match": etag}) as going:
                assert going.status_code == 200
                return await rest_of(going.aiter_raw())

        readers = [asyncio.create_task(go_on(offset)) for offset in (0, 1, len(first) // 2, len(first), 0, 7)]
        await asyncio.sleep(0)
        await held.go()
        parts = await asyncio.gather(*readers)
        whole = (await client.get(path)).content
        assert parts == [whole, whole[1:], whole[len(first) // 2 :], whole[len(first) :], whole, whole[7:]]
        # One that has ended is sent the same way.
        late = await client.get(live(path, 5), headers={"If-Match": etag})
        assert (late.status_code, late.content) == (200, whole[5:])
        assert (await client.get(live(path, len(whole)))).content == b""


async def test_wrong_places_and_makings_are_refused(settings_for, held):
    async with serving(settings_for(held.path, workers=1)) as server, server.client() as client:
        job_id, path = await begun(server, client, held)
        for offset in ("-1", "x", "1.5"):
            assert (await client.get(live(path, offset))).status_code == 400
        assert (await client.get(live(path, 10**15))).status_code == 416
        anew = await client.get(live(path, 10**15), headers={"If-Match": '"another"'})
        assert (anew.status_code, anew.json()["code"]) == (412, "PRECONDITION_FAILED")
        head = await client.head(live(path))
        assert (head.status_code, head.headers["ETag"]) == (200, anew.headers["ETag"])
        await held.go()
        await server.events(client, job_id)
        size = int((await client.head(path)).headers["Content-Length"])
        past = await client.get(live(path, size + 1))
        assert (past.status_code, past.headers["Content-Range"]) == (416, f"bytes */{size}")


async def test_only_the_jobs_user_may_read_along(settings_for, held):
    async with serving(settings_for(held.path, workers=1)) as server, server.client() as client:
        _, path = await begun(server, client, held)
        async with server.client(token=None) as nobody, server.client(token=OTHER_TOKEN) as another:
            assert (await nobody.get(live(path))).status_code == 401
            assert (await another.get(live(path))).status_code == 404
        await held.go()


async def test_the_connection_is_cut_when_the_job_is_cancelled(settings_for, held):
    async with serving(settings_for(held.path, workers=1)) as server, server.client() as client:
        job_id, path = await begun(server, client, held)
        async with client.stream("GET", live(path)) as answer:
            stream = answer.aiter_raw()
            await anext(stream)
            await client.post(server.job_path(job_id) + "/cancel")
            with pytest.raises(httpx.RemoteProtocolError):
                await rest_of(stream)
        await server.events(client, job_id)
        assert (await client.get(live(path))).status_code == 409


async def test_the_connection_is_cut_when_the_job_fails_at_its_very_end(server, monkeypatch):
    def full(_self):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ArchiveWriter, "seal", full)
    async with server.client() as client:
        job_id = await server.start(client)
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get(live(server.job_path(job_id) + "/download"))
        assert (await server.events(client, job_id))[-1]["event"] == "export:failed"


async def test_a_job_that_waits_for_its_turn_can_be_read_along(settings_for, cells, held):
    settings = settings_for(held.path, cells, workers=1, jobs_at_once=1)
    async with serving(settings) as server, server.client() as client:
        await begun(server, client, held)
        waiting = await client.post(f"/api/projects/{settings.projects[1].id}/export", json={"options": {}})
        path = f"/api/export/{waiting.json()['jobId']}/download"
        async with client.stream("GET", live(path)) as answer:
            assert answer.status_code == 200
            await held.go()
            whole = await rest_of(answer.aiter_raw())
        assert (await client.get(path)).content == whole


async def test_a_reader_that_takes_nothing_holds_up_nobody(settings_for, held):
    async with serving(settings_for(held.path, workers=1)) as server, server.client() as client:
        job_id, path = await begun(server, client, held)
        host, port = server.url.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port), limit=1)
        token = client.headers["Authorization"]
        writer.write(f"GET {live(path)} HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n\r\n".encode())
        await held.go()
        whole = await client.get(live(path))
        assert (await server.events(client, job_id))[-1]["event"] == "export:completed"
        assert whole.content == (await client.get(path)).content
        writer.close()
