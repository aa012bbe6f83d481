"""What is too much: pictures that claim to be huge, too many of them, and links that lead out of the folder."""

import contextlib
import struct
import zlib

import cv2
import numpy as np
import pytest
import tifffile

from exportctl.server.export import limits
from exportctl.server.export.headers import read_header
from exportctl.server.export.limits import Limits
from exportctl.server.export.pixels import PixelsError, decode
from server.conftest import serving, write_images


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def write_bomb(path, side):
    """Write a PNG that is whole: some kilobytes that unpack to side² black pixels."""
    packer, rows = zlib.compressobj(9), b""
    for _ in range(side):
        rows += packer.compress(bytes(side // 8 + 1))
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", rows + packer.flush()) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + parts)


async def test_a_bomb_is_named_and_exported_as_it_is_and_all_else_is_drawn(settings_for, cells):
    write_bomb(cells / "bomb.png", 24_000)
    assert (cells / "bomb.png").stat().st_size < 200_000
    small = Limits(pixels=4_000_000)
    async with serving(settings_for(cells, limits=small)) as server, server.client() as client:
        job_id = await server.start(client, {"annotationFormats": [], "metricsFormats": []})
        end = (await server.events(client, job_id))[-1]
        assert end["event"] == "export:completed"
        [warning] = [text for text in end["data"]["warnings"] if "bomb.png" in text and "24000" in text]
        assert "the limit is 4000000 pixels" in warning


def test_a_tiff_that_is_larger_than_its_width_and_height_say_is_not_unpacked(tmp_path):
    many = np.zeros((8, 8, 300), np.float32)
    tifffile.imwrite(tmp_path / "x.tif", many, photometric="minisblack", planarconfig="contig")
    header = read_header(str(tmp_path / "x.tif"))
    with pytest.raises(PixelsError):
        decode(str(tmp_path / "x.tif"), header, header.width * header.height)


def test_the_limit_of_pixels_is_what_a_workers_share_of_the_memory_holds(monkeypatch, tmp_path):
    monkeypatch.setattr(limits, "_CGROUPS", tmp_path)
    monkeypatch.setattr(limits, "_OWN_CGROUP", tmp_path / "own")
    (tmp_path / "own").write_text("1:cpu:/elsewhere\n0::/a.slice/exportctl.service\n")
    (tmp_path / "a.slice" / "exportctl.service").mkdir(parents=True)
    alone = limits.pixels_for(1)
    assert 0 < limits.pixels_for(64) < alone <= Limits().pixels
    (tmp_path / "a.slice/exportctl.service/memory.max").write_text("1600000000\n")
    assert limits.pixels_for(2) == 50_000_000
    (tmp_path / "a.slice/exportctl.service/memory.max").write_text("max\n")
    assert limits.pixels_for(1) == alone


def test_there_are_no_more_workers_than_this_process_may_use_cores_and_a_container_has_a_share_of(
    monkeypatch, tmp_path
):
    monkeypatch.setattr(limits, "_CGROUPS", tmp_path)
    monkeypatch.setattr(limits, "_OWN_CGROUP", tmp_path / "own")
    (tmp_path / "own").write_text("1:cpu:/elsewhere\n0::/a.slice/exportctl.service\n")
    (tmp_path / "a.slice" / "exportctl.service").mkdir(parents=True)
    monkeypatch.setattr(limits.os, "sched_getaffinity", lambda _process: {0, 2, 5, 7}, raising=False)
    monkeypatch.setattr(limits.os, "cpu_count", lambda: 64)
    assert limits.cores() == 4
    for share, cores in {"max 100000": 4, "150000 100000": 2, "1000 100000": 1, "900000 100000": 4, "?": 4}.items():
        (tmp_path / "a.slice/exportctl.service/cpu.max").write_text(f"{share}\n")
        assert limits.cores() == cores
    monkeypatch.delattr(limits.os, "sched_getaffinity")
    (tmp_path / "a.slice/exportctl.service/cpu.max").unlink()
    assert limits.cores() == 64


@pytest.mark.parametrize("too_much", [Limits(images=11), Limits(total_bytes=1000)])
async def test_too_many_images_are_refused_before_anything_begins(settings_for, cells, too_much):
    async with serving(settings_for(cells, limits=too_much)) as server, server.client() as client:
        path = f"/api/projects/{server.project.id}/export"
        refused = await client.post(path, json={"options": {}})
        assert (refused.status_code, refused.json()["code"]) == (422, "PROJECT_TOO_LARGE")
        assert (await client.get(f"{path}/history")).json() == []
        one = {"selectedImageIds": ["cell 0001.png"], "annotationFormats": [], "metricsFormats": []}
        if too_much.images == 11:
            assert (await server.events(client, await server.start(client, one)))[-1]["event"] == "export:completed"


async def test_links_that_lead_out_of_the_folder_are_named_and_nothing_of_them_is_exported(
    settings_for, tmp_path, cells
):
    outside = write_images(tmp_path / "outside", 2)
    (cells / "stolen.png").symlink_to(outside / "cell 0001.png")
    (cells / "away").symlink_to(outside)
    (outside / "labels.txt").write_text("0 0.1 0.1 0.9 0.1 0.9 0.9\n")
    cv2.imwrite(str(cells / "bare.png"), np.zeros((64, 64), np.uint8))
    (cells / "bare.txt").symlink_to(outside / "labels.txt")
    async with serving(settings_for(cells)) as server, server.client() as client:
        job_id = await server.start(client)
        end = (await server.events(client, job_id))[-1]
        words = "\n".join(end["data"]["warnings"])
        assert "3 symbolic links lead out of the folder, or to folders; left out: away, bare.txt, stolen.png" in words
        assert "bare.txt cannot be read (it lies outside the project's folder)" in words
        assert str(tmp_path) not in words
        listed = (await client.get(f"/api/export/{job_id}/events")).json()["events"][0]["data"]["total"]
        assert listed == 13


def test_a_jpeg_of_endless_passes_is_not_decoded(tmp_path):
    picture = cv2.imencode(".jpg", np.zeros((64, 64), np.uint8), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    last = picture.rindex(b"\xff\xda")
    for more, problem in ((10, ""), (1000, "is damaged: it is drawn in more than 500 passes")):
        path = tmp_path / f"{more}.jpg"
        path.write_bytes(picture[:-2] + picture[last:-2] * more + b"\xff\xd9")
        refused = pytest.raises(PixelsError, match=problem) if problem else contextlib.nullcontext()
        with refused:
            assert decode(str(path), read_header(str(path))).shape == (64, 64, 3)


def test_a_tiff_that_gives_two_sizes_is_not_decoded(tmp_path):
    picture = cv2.imencode(".tif", np.zeros((64, 64), np.uint8))[1].tobytes()
    at = struct.unpack_from("<I", picture, 4)[0]
    twice = bytearray(picture)
    (count,) = struct.unpack_from("<H", picture, at)
    tags = [tag for tag, _ in struct.iter_unpack("<H10s", picture[at + 2 : at + 2 + 12 * count])]
    width, height = (at + 2 + 12 * tags.index(tag) for tag in (256, 257))
    twice[height : height + 12] = twice[width : width + 12]
    path = tmp_path / "x.tif"
    path.write_bytes(twice)
    assert read_header(str(path)).problem == "is damaged: its header is cut off or wrong"
