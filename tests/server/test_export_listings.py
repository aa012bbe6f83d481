"""A project's images are counted anew when its folder changed, and else not walked for everybody who asks."""

import os
import time

import pytest

from exportctl.server.export import listings
from exportctl.server.export.listings import Listings

HOUR = 3600 * 10**9


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "plates" / "b" / "c").mkdir(parents=True)
    for name in ("a.png", "b/a.png", "b/c/a.png", "b/c/notes.txt"):
        (tmp_path / "plates" / name).touch()
    return tmp_path / "plates"


@pytest.fixture
def walks(monkeypatch):
    """The folders that were walked."""
    seen, walk = [], listings.list_folder
    monkeypatch.setattr(listings, "list_folder", lambda folder: seen.append(folder) or walk(folder))
    return seen


def test_a_folder_at_rest_is_walked_once(folder, walks):
    listings = Listings(now=lambda: time.time_ns() + HOUR)
    assert [listings.count(str(folder)) for _ in range(5)] == [3] * 5
    assert len(walks) == 1


def test_a_folder_that_changed_just_now_is_walked_again(folder, walks):
    listings = Listings()
    assert [listings.count(str(folder)) for _ in range(2)] == [3, 3]
    assert len(walks) == 2


@pytest.mark.parametrize(
    ("change", "images"),
    [
        (lambda at: (at / "new.png").touch(), 4),
        (lambda at: (at / "b" / "c" / "new.png").touch(), 4),
        (lambda at: (at / "b" / "c" / "a.png").unlink(), 2),
        (lambda at: (at / "b" / "c" / "a.png").rename(at / "b" / "c" / "a.tar"), 2),
        (lambda at: (at / "b").rename(at / ".b"), 1),
        (lambda at: ((at / "d").mkdir(), (at / "d" / "a.jpg").touch()), 4),
    ],
    ids=["added", "added deep", "removed", "renamed", "folder hidden", "folder added"],
)
def test_whatever_changes_is_seen_at_once(folder, change, images):
    listings = Listings(now=lambda: time.time_ns() + HOUR)
    assert listings.count(str(folder)) == 3
    # As old as it pretends to be: a change within one tick of the clock is why nothing new is believed.
    before = {path: path.stat().st_ctime_ns for path in (folder, folder / "b", folder / "b" / "c")}
    while any(path.exists() and path.stat().st_ctime_ns == was for path, was in before.items()):
        for path in before:
            os.utime(path)
    assert listings.count(str(folder)) == 3
    change(folder)
    assert listings.count(str(folder)) == images


def test_a_folder_that_is_gone_is_an_error_and_counted_when_it_is_back(folder):
    listings = Listings(now=lambda: time.time_ns() + HOUR)
    assert listings.count(str(folder)) == 3
    folder.rename(folder.with_name("away"))
    with pytest.raises(FileNotFoundError):
        listings.count(str(folder))
    folder.with_name("away").rename(folder)
    assert listings.count(str(folder)) == 3


def test_of_many_images_only_their_number_is_kept(tmp_path, walks):
    folders = [str(tmp_path / name) for name in "abc"]
    for name in "abc":
        (tmp_path / name).mkdir()
        for number in range(3):
            (tmp_path / name / f"{number}.png").touch()
    known = Listings(now=lambda: time.time_ns() + HOUR, most_kept=6)
    for folder in folders:
        assert known.images(folder) == ["0.png", "1.png", "2.png"]
    assert [known.count(folder) for folder in folders] == [3, 3, 3]
    assert [known.images(folder) for folder in folders[1:]] == [["0.png", "1.png", "2.png"]] * 2
    assert walks == folders
    assert known.images(folders[0]) == ["0.png", "1.png", "2.png"]
    assert walks == [*folders, folders[0]]
