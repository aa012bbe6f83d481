"""The partial file: locked, its origin on disk before its first byte, and the target there or not, come what may."""

import errno
import fcntl
import hashlib
import os
import stat
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from exportctl.client import disk
from exportctl.client.partial import Origin, Partial, cannot_write
from exportctl.model.errors import CannotWrite

JOB = "6f0c2b7e-1111-4222-8333-944445555666"
ORIGIN = Origin(job_id=JOB, etag='"v1"', size=3, sha256="ab")
OLD, NEW = b"old archive", b"new archive, longer"
HOLD = """
import sys
from pathlib import Path
from exportctl.client.partial import Partial
with Partial(Path(sys.argv[1]), sys.argv[2]):
    print("held", flush=True)
    sys.stdin.read()
"""
DIE = """
import os, sys
from pathlib import Path
from exportctl.client.partial import Origin, Partial
left = int(sys.argv[3])
def counted(call):
    def step(*args, **options):
        global left
        if left == 0:
            os._exit(9)
        left -= 1
        return call(*args, **options)
    return step
for name in ("open", "write", "ftruncate", "fsync", "link", "unlink", "rename", "replace", "close", "lseek"):
    setattr(os, name, counted(getattr(os, name)))
with Partial(Path(sys.argv[1]), sys.argv[2]) as partial:
    partial.begin(Origin(job_id=sys.argv[2], etag='"v1"', size=19, sha256=None))
    partial.append(b"new archive,")
    partial.append(b" longer")
    partial.publish(overwrite=sys.argv[4] == "overwrite")
"""


@pytest.fixture
def target(tmp_path):
    return tmp_path / "n.zip"


def names(target):
    return sorted(path.name for path in target.parent.iterdir())


def test_it_is_named_after_job_and_target_and_hidden(target):
    assert Partial(target, JOB).path == target.parent / ".n.zip.6f0c2b7e.part"


def test_two_jobs_for_one_target_and_two_targets_of_one_job_have_partials_of_their_own(target):
    other = "7" + JOB[1:]
    paths = {Partial(place, job).path for place in (target, target.with_name("m.zip")) for job in (JOB, other)}
    assert len(paths) == 4


def test_what_was_written_is_there_for_the_next_command(target):
    with Partial(target, JOB) as partial:
        assert partial.origin() is None
        partial.begin(ORIGIN)
        partial.append(b"ab")
    with Partial(target, JOB) as again:
        assert (again.size, again.origin()) == (2, ORIGIN)
        again.go_on_at(2)
        again.append(b"c")
        again.publish(overwrite=False)
    assert target.read_bytes() == b"abc"
    assert names(target) == ["n.zip"]


def test_a_large_one_takes_no_more_of_the_disk_than_its_bytes_once_it_is_closed(target):
    block = bytes(1 << 22)
    with Partial(target, JOB) as partial:
        partial.begin(ORIGIN)
        for _ in range(7):
            partial.append(block)
        assert partial.size == 7 * len(block)
    left = partial.path.stat()
    assert (left.st_size, left.st_blocks * 512 - left.st_size <= len(block)) == (7 * len(block), True)
    with Partial(target, JOB) as again:
        again.go_on_at(6 * len(block))
        again.append(b"the end")
        again.publish(overwrite=False)
    there = target.stat()
    assert (there.st_size, there.st_blocks * 512 - there.st_size <= len(block)) == (6 * len(block) + 7, True)


@pytest.mark.parametrize("lacks", ["fallocate", "posix_fadvise"])
def test_a_system_that_knows_neither_room_ahead_nor_sending_off_writes_all_the_same(target, monkeypatch, lacks):
    if lacks == "fallocate":
        monkeypatch.setattr(disk, "_fallocate", lambda: None)
    else:
        monkeypatch.delattr(os, "posix_fadvise", raising=False)
    block = os.urandom(1 << 20)
    with Partial(target, JOB) as partial:
        partial.begin(ORIGIN)
        for _ in range(20):
            partial.append(block)
        partial.publish(overwrite=False)
    assert target.read_bytes() == 20 * block


def test_the_origin_is_on_disk_before_the_first_byte(target):
    with Partial(target, JOB) as partial:
        partial.begin(ORIGIN)
        assert Partial(target, JOB).origin() == ORIGIN
        assert partial.size == 0


def test_beginning_anew_forgets_every_byte_of_before(target):
    with Partial(target, JOB) as partial:
        partial.begin(ORIGIN)
        partial.append(b"old bytes")
        changed = Origin(job_id=JOB, etag='"v2"', size=3, sha256=None)
        partial.begin(changed)
        partial.append(b"new")
        assert (partial.path.read_bytes(), partial.origin()) == (b"new", changed)


@pytest.mark.parametrize(
    "said", [b"", b"{", b"[]", b"null", b"7", b'{"job_id":"x"}', b'{"job_id":1,"more":2}', b"\xff"]
)
def test_a_damaged_sidecar_is_none(target, said):
    with Partial(target, JOB) as partial:
        partial._sidecar.write_bytes(said)
        assert partial.origin() is None


def test_a_second_command_is_told_that_another_holds_it(target):
    command = [sys.executable, "-c", HOLD, str(target), JOB]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(CannotWrite) as caught, Partial(target, JOB):
            pass
        assert caught.value.code == "LOCKED"
        holder.stdin.close()
        holder.wait(20)
        with Partial(target, JOB) as partial:
            assert partial.size == 0


def test_a_killed_holder_leaves_no_lock(target):
    command = [sys.executable, "-c", HOLD, str(target), JOB]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        holder.kill()
        holder.wait(20)
    with Partial(target, JOB):
        pass


def test_a_disk_without_locks_is_written_all_the_same(target, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with Partial(target, JOB) as partial:
        partial.begin(ORIGIN)
        partial.append(b"abc")
        partial.publish(overwrite=False)
    assert target.read_bytes() == b"abc"


def test_a_link_put_where_the_partial_will_be_is_not_followed(target, tmp_path):
    precious = tmp_path / "precious"
    precious.write_bytes(OLD)
    Partial(target, JOB).path.symlink_to(precious)
    with pytest.raises(CannotWrite), Partial(target, JOB):
        pass
    assert precious.read_bytes() == OLD


def test_a_holder_that_published_between_opening_and_lock_is_not_written_into(target, monkeypatch):
    """The second opener has the published file in its hands, under the partial's name no more."""
    lock, calls = fcntl.flock, []

    def late(descriptor, how):
        calls.append(descriptor)
        if len(calls) == 1:
            Partial(target, JOB).path.rename(target)
        lock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with Partial(target, JOB) as partial:
        partial.begin(ORIGIN)
        partial.append(b"new")
        assert target.read_bytes() == b""
    assert len(calls) == 2


def open_files(folder):
    """Paths of this process's descriptors that lead into the folder; none where there is no such listing."""
    found = []
    for descriptor in Path("/proc/self/fd").iterdir() if Path("/proc/self/fd").exists() else ():
        with suppress(OSError):
            found.append(str(descriptor.readlink()))
    return [path for path in found if path.startswith(str(folder))]


def test_whatever_happens_no_descriptor_is_left_open(target, monkeypatch):
    lock = fcntl.flock
    with Partial(target, JOB), pytest.raises(CannotWrite), Partial(target, JOB):
        pass
    with Partial(target, JOB) as partial:
        partial.begin(ORIGIN)
        partial.append(b"abc")

    def published_meanwhile(descriptor, how):
        partial.path.rename(target)
        monkeypatch.setattr(fcntl, "flock", lock)
        lock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", published_meanwhile)
    with Partial(target, JOB):
        assert len(open_files(target.parent)) in {0, 1}
    assert open_files(target.parent) == []


class TestPublish:
    def make(self, target, *, overwrite, content=NEW):
        with Partial(target, JOB) as partial:
            partial.begin(ORIGIN)
            partial.append(content)
            partial.publish(overwrite=overwrite)

    def test_a_file_that_appeared_meanwhile_is_kept_and_so_is_the_partial(self, target):
        target.write_bytes(OLD)
        with pytest.raises(CannotWrite) as caught:
            self.make(target, overwrite=False)
        assert caught.value.code == "EXISTS"
        assert target.read_bytes() == OLD
        assert Partial(target, JOB).path.read_bytes() == NEW

    def test_it_is_replaced_where_the_user_said_so(self, target):
        target.write_bytes(OLD)
        self.make(target, overwrite=True)
        assert target.read_bytes() == NEW
        assert names(target) == ["n.zip"]

    def test_a_link_is_replaced_and_what_it_pointed_to_is_kept(self, target, tmp_path):
        precious = tmp_path / "precious"
        precious.write_bytes(OLD)
        target.symlink_to(precious)
        with pytest.raises(CannotWrite):
            self.make(target, overwrite=False)
        self.make(target, overwrite=True)
        assert (target.is_symlink(), target.read_bytes(), precious.read_bytes()) == (False, NEW, OLD)

    @pytest.mark.parametrize("overwrite", [False, True])
    def test_the_bytes_are_on_disk_before_they_have_the_name_and_the_name_before_it_is_told(
        self, target, monkeypatch, overwrite
    ):
        steps = []

        def noted(name, call):
            def step(*args, **options):
                kind = "folder" if name == "fsync" and stat.S_ISDIR(os.fstat(args[0]).st_mode) else "file"
                steps.append(f"{name} {kind}" if name == "fsync" else name)
                return call(*args, **options)

            return step

        with Partial(target, JOB) as partial:
            partial.begin(ORIGIN)
            partial.append(NEW)
            for name in ("fsync", "link", "replace"):
                monkeypatch.setattr(os, name, noted(name, getattr(os, name)))
            partial.publish(overwrite=overwrite)
        assert steps == ["fsync file", "replace" if overwrite else "link", "fsync folder"]

    @pytest.mark.parametrize("is_taken", [False, True])
    def test_a_disk_without_hard_links_never_overwrites_either(self, target, monkeypatch, is_taken):
        def refuse(*_, **__):
            raise OSError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(os, "link", refuse)
        if not is_taken:
            self.make(target, overwrite=False)
            assert target.read_bytes() == NEW
            assert names(target) == ["n.zip"]
            return
        target.write_bytes(OLD)
        with pytest.raises(CannotWrite) as caught:
            self.make(target, overwrite=False)
        assert (caught.value.code, target.read_bytes()) == ("EXISTS", OLD)

    @pytest.mark.parametrize("way", ["overwrite", "link"])
    def test_wherever_the_command_dies_the_target_is_the_old_the_whole_new_or_none(self, target, way):
        """Killed before each call to the system in turn; the next command then comes to its end."""
        for step in range(100):
            for path in target.parent.iterdir():
                path.unlink()
            if way == "overwrite":
                target.write_bytes(OLD)
            command = [sys.executable, "-S", "-c", DIE, str(target), JOB, str(step), way]
            ended = subprocess.run(command, env={"PYTHONPATH": os.pathsep.join(sys.path)}, check=False)
            found = target.read_bytes() if target.exists() else None
            assert found in ({OLD, NEW} if way == "overwrite" else {None, NEW}), f"killed before call {step}"
            before = hashlib.sha256(found or b"").digest()
            with suppress(CannotWrite), Partial(target, JOB) as partial:
                # What the next command writes never reaches a target that was published before.
                partial.begin(ORIGIN)
                partial.append(b"other")
                now = target.read_bytes() if target.exists() else b""
                assert hashlib.sha256(now).digest() == before, f"killed before call {step}"
                partial.remove()
            assert names(target) in ([], ["n.zip"]), f"killed before call {step}"
            if ended.returncode == 0:
                break
            assert ended.returncode == 9
        else:
            pytest.fail("it never came to its end")
        assert step > 8


def test_one_that_never_began_leaves_nothing(target):
    with Partial(target, JOB):
        pass
    assert list(target.parent.iterdir()) == []


def test_what_is_removed_leaves_nothing(target):
    with Partial(target, JOB) as partial:
        partial.begin(ORIGIN)
        partial.append(b"abc")
        partial.remove()
        partial.remove()
    assert names(target) == []


def test_a_sidecar_that_cannot_be_written_leaves_nothing_of_itself(target, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with Partial(target, JOB) as partial:
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(CannotWrite) as caught:
            partial.begin(ORIGIN)
        partial.remove()
    assert caught.value.code == "DISK_FULL"
    assert names(target) == []


@pytest.mark.parametrize(
    ("number", "code", "words"),
    [
        (errno.ENOSPC, "DISK_FULL", "the disk of .* is full"),
        (errno.EDQUOT, "DISK_FULL", "the disk of .* is full"),
        (errno.EACCES, "NO_PERMISSION", "no permission to write"),
        (errno.EROFS, "NO_PERMISSION", "no permission to write"),
        (errno.ENAMETOOLONG, "NAME_TOO_LONG", "too long"),
        (errno.EIO, "CANNOT_WRITE", "Input/output error"),
    ],
)
def test_the_systems_refusal_is_said_in_words(number, code, words):
    error = cannot_write(Path("/data/n.zip"), OSError(number, os.strerror(number)))
    assert (error.code, error.exit_status) == (code, 11)
    with pytest.raises(CannotWrite, match=words):
        raise error


def test_a_missing_folder_is_a_refusal_not_a_crash(tmp_path):
    with pytest.raises(CannotWrite), Partial(tmp_path / "missing" / "n.zip", JOB):
        pass
