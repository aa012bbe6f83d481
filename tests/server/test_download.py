"""The archive over HTTP: whole, in parts, and refused in the ways RFC 9110 names."""

import asyncio
import base64
import hashlib
import io
import os
import unicodedata
import zipfile
from urllib.parse import unquote

import pytest

from server.conftest import serving


@pytest.fixture
async def done(server):
    """A completed job, the bytes of its archive, and its path."""
    async with server.client() as client:
        job_id = await server.start(client)
        await server.events(client, job_id)
        path = server.job_path(job_id) + "/download"
        answer = await client.get(path)
        yield client, path, answer, job_id


async def test_the_whole_archive_is_what_the_events_said(server, done):
    client, path, answer, job_id = done
    events = await server.events(client, job_id)
    ready = next(event["data"] for event in events if event["event"] == "export:download-ready")
    digest = hashlib.sha256(answer.content).digest()
    assert answer.status_code == 200
    assert (len(answer.content), digest.hex()) == (ready["fileSize"], ready["sha256"])
    assert answer.headers["Content-Length"] == str(ready["fileSize"])
    assert answer.headers["Repr-Digest"] == f"sha-256=:{base64.b64encode(digest).decode()}:"
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["Content-Type"] == "application/zip"
    assert answer.headers["ETag"].startswith('"')
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
    assert sum(name.startswith("images/") for name in names) == 12
    assert sum(name.startswith("visualizations/") for name in names) == 12
    head = await client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert {name: head.headers[name] for name in ("ETag", "Content-Length", "Repr-Digest")} == {
        name: answer.headers[name] for name in ("ETag", "Content-Length", "Repr-Digest")
    }
    for wanted in ("bytes=0-9", f"bytes={len(answer.content)}-"):  # RFC 9110, 14.2: of GET only
        part = await client.head(path, headers={"Range": wanted})
        assert (part.status_code, part.headers["Content-Length"]) == (200, str(len(answer.content)))
        assert "Content-Range" not in part.headers
    # Nothing in between may hold the bytes back or pack them.
    assert answer.headers["X-Accel-Buffering"] == "no"
    assert "no-transform" in answer.headers["Cache-Control"]
    assert "Content-Encoding" not in answer.headers


@pytest.mark.parametrize(
    ("wanted", "part"),
    [
        ("bytes=0-", slice(None)),
        ("bytes=0-0", slice(0, 1)),
        ("bytes=10-19", slice(10, 20)),
        ("bytes=100-", slice(100, None)),
        ("bytes=-7", slice(-7, None)),
        ("bytes=5-999999999999", slice(5, None)),
        ("bytes=-999999999999", slice(None)),
        (f"bytes=5-{10**30}", slice(5, None)),
        (f"bytes=-{10**30}", slice(None)),
        (f"bytes={'0' * 30}1-{'0' * 30}2", slice(1, 3)),
        ("BYTES=1-2", slice(1, 3)),
        ("bytes= 1-2", slice(1, 3)),
    ],
)
async def test_one_range_is_answered_with_that_part(done, wanted, part):
    client, path, whole, _ = done
    data, size = whole.content, len(whole.content)
    answer = await client.get(path, headers={"Range": wanted})
    start, stop, _ = part.indices(size)
    assert (answer.status_code, answer.content) == (206, data[part])
    assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{size}"
    assert answer.headers["ETag"] == whole.headers["ETag"]
    assert answer.headers["Repr-Digest"] == whole.headers["Repr-Digest"]
    assert int(answer.headers["Content-Length"]) == stop - start


@pytest.mark.parametrize(
    "wanted", ["bytes=0-1,3-4", "bytes=5-2", "bytes=x-", "bytes=", "bytes=-", "items=0-1", "0-1", "bytes=\u0661-\u0662"]
)
async def test_several_ranges_and_nonsense_get_the_whole_archive(done, wanted):
    client, path, whole, _ = done
    answer = await client.get(path, headers={"Range": wanted.encode()})
    assert (answer.status_code, answer.content) == (200, whole.content)


async def test_a_range_said_twice_is_none(done):
    client, path, whole, _ = done
    answer = await client.get(path, headers=[("Range", "bytes=0-0"), ("Range", "bytes=1-1")])
    assert (answer.status_code, answer.content) == (200, whole.content)


@pytest.mark.parametrize("beyond", [0, 1, 10**15, 10**20, 10**4000])
async def test_a_range_past_the_end_is_416_with_the_size(done, beyond):
    client, path, whole, _ = done
    size = len(whole.content)
    answer = await client.get(path, headers={"Range": f"bytes={size + beyond}-"})
    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == f"bytes */{size}"
    assert answer.json()["code"] == "RANGE_NOT_SATISFIABLE"
    assert (await client.get(path, headers={"Range": "bytes=-0"})).status_code == 416


async def test_if_range_gives_the_part_of_this_archive_only(done):
    client, path, whole, _ = done
    etag = whole.headers["ETag"]
    for validator, status in [
        (etag, 206),
        ('"another"', 200),
        (f"W/{etag}", 200),
        ("Tue, 24 Nov 2026 06:00:00 GMT", 200),
    ]:
        answer = await client.get(path, headers={"Range": "bytes=3-5", "If-Range": validator})
        assert (answer.status_code, validator) == (status, validator)
        assert answer.content == (whole.content[3:6] if status == 206 else whole.content)
    past = await client.get(path, headers={"Range": f"bytes={len(whole.content)}-", "If-Range": '"another"'})
    assert past.status_code == 200


async def test_conditions_on_the_validator_are_kept(done):
    client, path, whole, _ = done
    etag = whole.headers["ETag"]
    for given in (etag, "*", f'"x", {etag}'):
        fresh = await client.get(path, headers={"If-None-Match": given})
        assert (fresh.status_code, fresh.content, fresh.headers["ETag"]) == (304, b"", etag)
        assert (await client.get(path, headers={"If-Match": given})).status_code == 200
    weak = await client.get(path, headers={"If-None-Match": f"W/{etag}"})  # compared weakly: a proxy packed it once
    assert weak.status_code == 304
    assert (await client.get(path, headers={"If-None-Match": '"x"'})).status_code == 200
    for given in ('"x"', f"W/{etag}"):
        assert (await client.get(path, headers={"If-Match": given})).status_code == 412
    both = await client.get(path, headers={"If-Match": '"x"', "If-None-Match": etag})
    assert both.status_code == 412
    assert (await client.get(path, headers=[("If-Match", '"x"'), ("If-Match", etag)])).status_code == 200


async def test_its_date_is_as_good_as_its_etag(done):
    client, path, whole, _ = done
    date = whole.headers["Last-Modified"]
    before, after = "Tue, 24 Nov 2020 06:00:00 GMT", "Tue, 24 Nov 2099 06:00:00 GMT"
    part = await client.get(path, headers={"Range": "bytes=3-5", "If-Range": date})
    assert (part.status_code, part.content, part.headers["Last-Modified"]) == (206, whole.content[3:6], date)
    for name, value, status in [
        ("If-Modified-Since", date, 304),
        ("If-Modified-Since", after, 304),
        ("If-Modified-Since", before, 200),
        ("If-Modified-Since", "yesterday", 200),
        ("If-Unmodified-Since", date, 200),
        ("If-Unmodified-Since", after, 200),
        ("If-Unmodified-Since", before, 412),
        ("If-Unmodified-Since", "Tue, 99 Nov 2020 06:00:00 GMT", 200),
    ]:
        assert (await client.get(path, headers={name: value})).status_code == status, (name, value)
    # An ETag goes before a date (RFC 9110, 13.2.2).
    both = {"If-None-Match": '"x"', "If-Modified-Since": after}
    assert (await client.get(path, headers=both)).status_code == 200
    both = {"If-Match": whole.headers["ETag"], "If-Unmodified-Since": before}
    assert (await client.get(path, headers=both)).status_code == 200


async def test_two_exports_of_one_project_are_two_archives(server, done):
    client, path, whole, _ = done
    job_id = await server.start(client, {"includeVisualizations": False})
    await server.events(client, job_id)
    other = await client.get(server.job_path(job_id) + "/download")
    again = await client.get(path)
    assert other.headers["ETag"] != whole.headers["ETag"]
    assert (again.content, again.headers["ETag"]) == (whole.content, whole.headers["ETag"])


async def test_the_file_name_is_offered_to_every_client_and_is_one_component(server):
    async with server.client() as client:
        path = f"/api/projects/{server.project.id}/export"
        body = {"projectName": 'Buňky "č. 1"/../x\\y\n', "options": {"includeVisualizations": False}}
        job_id = (await client.post(path, json=body)).json()["jobId"]
        await server.events(client, job_id)
        offered = (await client.head(server.job_path(job_id) + "/download")).headers["Content-Disposition"]
        archive = (await client.get(f"/api/export/{job_id}")).json()["archive"]
    assert archive["fileName"] == "Buňky _č. 1_.._x_y_.zip"
    assert offered == (
        "attachment; filename=\"Bu_ky __. 1_.._x_y_.zip\"; filename*=UTF-8''Bu%C5%88ky%20_%C4%8D.%201_.._x_y_.zip"
    )


@pytest.mark.parametrize(
    ("project", "stem"),
    [
        ("..", "export"),
        ("nul\0 \x1b[31m", "nul_ _[31m"),
        ("\u202egpj.exe", "_gpj.exe"),
        ("🙂" * 250, "🙂" * 50),
        ("x" * 1000, "x" * 200),
    ],
)
async def test_whatever_a_project_is_called_its_archive_is_saved_by_a_name_that_any_system_takes(server, project, stem):
    async with server.client() as client:
        path, options = f"/api/projects/{server.project.id}/export", {"includeVisualizations": False}
        job_id = (await client.post(path, json={"projectName": project, "options": options})).json()["jobId"]
        await server.events(client, job_id)
        answer = await client.get(server.job_path(job_id) + "/download")
        asked = await client.head(server.job_path(job_id) + "/download", params={"filename": project + ".ZIP"})
    names = [unquote(one.headers["Content-Disposition"].partition("''")[2]) for one in (answer, asked)]
    assert names[0] == f"{stem}.zip"
    assert len(names[1].encode()) <= 255
    assert not any(unicodedata.category(sign) in {"Cc", "Cf"} for sign in names[1])
    text = zipfile.ZipFile(io.BytesIO(answer.content)).read("README.md").decode()
    assert not any(unicodedata.category(sign) == "Cc" for sign in text.replace("\n", ""))


async def test_an_archive_that_is_not_ready_is_409_and_one_that_is_gone_410(settings_for, cells):
    now = 1_795_000_000.0

    class Clocks:
        @staticmethod
        def now():
            return now

        monotonic = staticmethod(asyncio.get_running_loop().time)

    async with serving(settings_for(cells, clocks=Clocks, retention=100)) as server, server.client() as client:
        job_id = await server.start(client)
        path = server.job_path(job_id) + "/download"
        early = await client.get(path)
        assert (early.status_code, early.json()["code"]) == (409, "NOT_COMPLETED")
        await server.events(client, job_id)
        assert (await client.get(path)).status_code == 200
        other = await server.start(client)
        await server.events(client, other)
        (server.settings.state / "jobs" / other / "archive.zip").unlink()
        gone = await client.get(server.job_path(other) + "/download")
        assert (gone.status_code, gone.json()["code"]) == (410, "ARCHIVE_GONE")
        gone = await client.post(server.job_path(other) + "/download-token")
        assert (gone.status_code, gone.json()["code"]) == (410, "ARCHIVE_GONE"), "a link would say nothing"
        now += 101
        expired = await client.get(path)
        assert (expired.status_code, expired.json()["code"]) == (410, "ARCHIVE_EXPIRED")


async def test_an_archive_cut_on_disk_is_never_served_as_whole(server, done):
    client, path, _, job_id = done
    os.truncate(server.settings.state / "jobs" / job_id / "archive.zip", 100)
    assert (await client.get(path)).status_code == 410
