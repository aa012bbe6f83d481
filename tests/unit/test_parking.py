"""The folder of an embedded server: one server at a time, found again, and taken away when nobody wants it."""

import asyncio
import os

import pytest

from exportctl.client.parking import NEW_SECONDS, PREFIX, find_place, make_place, prune


@pytest.fixture
def home(tmp_path):
    return tmp_path / "embedded"


def test_a_place_in_the_state_folder_is_found_again_by_its_name(home):
    place = make_place(home)
    assert place.is_lasting
    assert find_place(home, place.folder.name) == place
    assert place.server == f"embedded:{place.folder.name}"
    assert find_place(home, "embedded-none") is None
    assert find_place(home, "../embedded-none") is None


def test_where_nothing_is_kept_it_is_made_in_the_temporary_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for home in (None, tmp_path / "file" / "state"):
        (tmp_path / "file").write_text("no folder")
        place = make_place(home)
        assert (place.is_lasting, place.server) == (False, "embedded")
        place.remove()
        assert not place.folder.exists()


def test_nobody_lives_in_a_new_place(home):
    place = make_place(home)
    assert place.is_free()
    assert not place.is_used()
    assert place.knock() is None
    assert place.address() is None


def test_who_uses_it_is_seen_until_the_last_one_has_left(home):
    place = make_place(home)
    users = [place.use(), place.use()]
    assert place.is_used()
    os.close(users.pop())
    assert place.is_used()
    os.close(users.pop())
    assert not place.is_used()


async def test_one_comes_in_at_a_time(home):
    place = make_place(home)
    entered = []

    async def enter(number):
        async with place.entrance() as is_there:
            assert is_there
            entered.append((number, "in"))
            await asyncio.sleep(0)
            entered.append((number, "out"))

    await asyncio.gather(*(enter(number) for number in range(5)))
    assert [what for _, what in entered] == ["in", "out"] * 5


async def test_whoever_comes_too_late_is_told_that_it_is_gone(home):
    place = make_place(home)
    place.remove()
    async with place.entrance() as is_there:
        assert not is_there


def test_only_what_is_unwanted_unused_and_not_just_being_made_is_taken_away(home):
    wanted, unwanted, used, new, old = (make_place(home) for _ in range(5))
    for place in (new, old):
        (place.folder / "door.lock").unlink()
    past = old.folder.stat().st_mtime - NEW_SECONDS - 1
    os.utime(old.folder, (past, past))
    (home / "of another").mkdir()
    import fcntl  # noqa: PLC0415 - for the one lock that a server would hold

    with (used.folder / "server.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        prune(home, lambda name: name == wanted.folder.name)
    left = {path.name for path in home.iterdir()}
    assert left == {wanted.folder.name, used.folder.name, new.folder.name, "of another"}
    assert unwanted.folder.name.startswith(PREFIX)
