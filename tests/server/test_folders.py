"""Folders may be large and their disks slow: whoever asks about something else is not kept waiting."""

import asyncio
import json
import os
import threading

import pytest

from exportctl.server.export import listings
from exportctl.server.routes import projects
from server.conftest import serving, write_images


class Slow:
    """A function that does not return for the folders or files it is told until it is released."""

    def __init__(self, work):
        self.work = work
        self.held = None
        self.begun, self.released = threading.Event(), threading.Event()

    def __call__(self, path, *more):
        if self.held is not None and self.held in path:
            self.begun.set()
            self.released.wait()
        return self.work(path, *more)


@pytest.fixture
def slow(monkeypatch, request):
    """Have folders listed, or headers of images read, as slowly as a test wants."""
    module, name = request.param
    slow = Slow(getattr(module, name))
    monkeypatch.setattr(module, name, slow)
    yield slow
    slow.released.set()


listing = pytest.mark.parametrize("slow", [(listings, "list_folder")], indirect=True)
describing = pytest.mark.parametrize("slow", [(projects, "read_header")], indirect=True)


async def begun(slow):
    await asyncio.to_thread(slow.begun.wait)


@listing
async def test_projects_are_listed_while_the_folder_of_one_does_not_answer(settings_for, tmp_path, slow):
    folders = [write_images(tmp_path / name, 2) for name in ("away", "here")]
    async with serving(settings_for(*folders)) as server, server.client() as client:

        async def counted():
            rows = (await client.get("/api/projects")).json()["data"]
            return {row["title"]: row["imageCount"] for row in rows}

        assert await counted() == {"away": 2, "here": 2}
        (folders[0] / "new.png").touch()
        slow.held = "away"
        assert await counted() == {"away": 2, "here": 2}
        # However many ask: one look at it is under way, and threads are left for others.
        answers = await asyncio.gather(*(counted() for _ in range(60)))
        assert answers == [{"away": 2, "here": 2}] * 60
        here = server.settings.projects[1]
        answer = await client.post(f"/api/projects/{here.id}/export", json={"options": {}})
        assert answer.status_code == 200
        slow.released.set()
        while (await counted())["away"] != 3:
            pass


@describing
async def test_a_project_of_many_images_is_told_in_parts_and_others_are_answered_between(
    settings_for, tmp_path, slow, monkeypatch
):
    monkeypatch.setattr(projects, "_PIECE", 4)
    async with serving(settings_for(write_images(tmp_path / "many", 10))) as server, server.client() as client:
        path = f"/api/projects/{server.project.id}"
        slow.held = "cell 0006"
        async with client.stream("GET", path) as answer:
            parts = answer.aiter_bytes()
            told = await anext(parts)
            while b"cell 0004" not in told:
                told += await anext(parts)
            await begun(slow)
            assert (await client.get("/api/health")).status_code == 200
            slow.released.set()
            async for part in parts:
                told += part
        whole = (await client.get(path)).json()
        assert json.loads(told) == whole
        assert [image["id"] for image in whole["data"]["images"]] == [
            f"cell {number:04}.png" for number in range(1, 11)
        ]
        assert whole["data"]["imageCount"] == whole["project"]["imageCount"] == 10


@describing
async def test_images_that_go_while_they_are_told_are_left_out(settings_for, tmp_path, slow, monkeypatch):
    monkeypatch.setattr(projects, "_PIECE", 2)
    folder = write_images(tmp_path / "few", 6)
    async with serving(settings_for(folder)) as server, server.client() as client:
        slow.held = "cell 0003"
        asked = asyncio.create_task(client.get(f"/api/projects/{server.project.id}"))
        await begun(slow)
        for path in folder.glob("*.png"):
            path.unlink()
        slow.released.set()
        told = (await asked).json()["data"]
    assert [image["id"] for image in told["images"]] == ["cell 0001.png", "cell 0002.png", "cell 0003.png"]


async def test_a_time_that_no_calendar_has_is_told_as_the_nearest(settings_for, tmp_path):
    folder = write_images(tmp_path / "old", 1)
    try:
        os.utime(folder / "cell 0001.png", (1e12, 1e12))
        os.utime(folder, (-1e12, -1e12))
    except OSError:
        pytest.skip("this file system has no such times")
    async with serving(settings_for(folder)) as server, server.client() as client:
        told = (await client.get(f"/api/projects/{server.project.id}")).json()["data"]
    assert (told["createdAt"][:4], told["images"][0]["createdAt"][:4]) <= ("1970", "9999")
