"""What is said of a state folder that a server cannot use: what is wrong, where, and what to do."""

import contextlib
import errno
import os
import pwd
import sqlite3

import pytest

from exportctl.server.log_database import open_database
from exportctl.server.people.database import open_people
from exportctl.server.preconditions import StartError, check_owner, unusable


def failed(code):
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("error", "code", "said", "hint"),
    [
        (OSError(errno.ENOSPC, "No space"), "DISK_FULL", "The disk of the state folder", "Free some space"),
        (failed(sqlite3.SQLITE_FULL), "DISK_FULL", "The disk of the state folder", "Free some space"),
        (OSError(errno.EROFS, "Read-only"), "STATE_UNUSABLE", "can only be read", "Let it be written"),
        (failed(sqlite3.SQLITE_READONLY), "STATE_UNUSABLE", "can only be read", "Let it be written"),
        (failed(sqlite3.SQLITE_IOERR), "STATE_UNUSABLE", "disk I/O error", "another folder"),
        (PermissionError(errno.EACCES, "Permission denied"), "STATE_UNUSABLE", "Permission denied", "who may do so"),
    ],
)
def test_each_trouble_is_told_as_what_it_is_and_with_the_folder(tmp_path, error, code, said, hint):
    told = unusable(tmp_path, error)
    assert told.code == code
    assert said in told.message
    assert hint in told.hint
    assert str(tmp_path) in told.message


def test_what_sqlite_calls_an_io_error_is_a_full_disk_where_the_disk_is_full(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _path: shutil_usage(free=4096))
    assert unusable(tmp_path, failed(sqlite3.SQLITE_IOERR)).code == "DISK_FULL"


def shutil_usage(*, free):
    return type("Usage", (), {"free": free})


@pytest.mark.parametrize("opened", [open_database, open_people])
def test_a_damaged_database_and_one_of_a_newer_version_say_what_to_do(tmp_path, opened):
    path = tmp_path / "db"
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(Exception, match="not a database") as damaged:
        opened(path)
    assert "saved one" in unusable(tmp_path, damaged.value).hint
    path.unlink()
    with contextlib.closing(sqlite3.connect(path)) as newer:
        newer.execute("PRAGMA user_version = 99")
    with pytest.raises(Exception, match="newer version") as refused:
        opened(path)
    assert "Use that version" in unusable(tmp_path, refused.value).hint


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a folder away")
def test_root_makes_nothing_in_another_users_state(tmp_path):
    check_owner(tmp_path)
    check_owner(tmp_path / "not there yet")
    os.chown(tmp_path, pwd.getpwnam("nobody").pw_uid, -1)
    with pytest.raises(StartError) as refused:
        check_owner(tmp_path)
    assert "sudo -u nobody" in refused.value.hint


@pytest.mark.skipif(os.geteuid() != 0, reason="a folder of root is needed")
def test_whose_state_is_roots_is_told_to_have_it_given_not_to_be_root(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: pwd.getpwnam("nobody").pw_uid)
    assert "chown -R nobody" in unusable(tmp_path, PermissionError(errno.EACCES, "Permission denied")).hint
