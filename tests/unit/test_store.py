"""What this machine knows of jobs: kept whatever happens to the file, and never a reason for a command to fail."""

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exportctl.store import database as database_module
from exportctl.store import schema
from exportctl.store.database import FILE_NAME, Database
from exportctl.store.disk import file_system_of
from exportctl.store.errors import Unusable
from exportctl.store.jobs import KEPT_ENDED, KEPT_SECONDS, Jobs, KnownJob
from exportctl.store.schema import MIGRATIONS

SERVER = "https://export.example.org"


def job(name="job-1", **facts):
    return KnownJob(server=SERVER, job_id=name, **facts)


@pytest.fixture
def make(tmp_path, clock):
    made = []

    def make(folder=tmp_path / "state"):
        jobs = Jobs(database=Database(folder=folder), now=clock)
        made.append(jobs)
        return jobs

    yield make
    for jobs in made:
        jobs.database.close()


@pytest.fixture
def jobs(make):
    return make()


def test_what_was_noted_is_known_to_the_next_command(jobs, make):
    jobs.begin(
        job(
            project_id="p",
            project_title="Buňky",
            options='{"a":1}',
            is_started_here=True,
            is_wanted=True,
            output=Path("/data/x.zip"),
            profile="lab",
        )
    )
    jobs.note_cursor(job(), 7, "log-1")
    jobs.database.close()
    found = make().last()
    assert found == job(
        project_id="p",
        project_title="Buňky",
        options='{"a":1}',
        is_started_here=True,
        is_wanted=True,
        output=Path("/data/x.zip"),
        profile="lab",
        cursor=7,
        log="log-1",
        began_at=1_000_000_000.0,
    )


def test_a_later_command_adds_and_takes_nothing_away(jobs):
    jobs.begin(job(project_id="p", is_started_here=True, options="{}", output=Path("/a")))
    jobs.begin(job(project_title="title"))
    found = jobs.last()
    assert (found.project_id, found.project_title, found.is_started_here, found.output) == (
        "p",
        "title",
        True,
        Path("/a"),
    )


def test_the_last_job_is_the_one_dealt_with_last_whatever_the_clock_does(jobs, clock):
    jobs.begin(job("a"))
    clock.time -= 3600
    jobs.begin(job("b"))
    assert jobs.last().job_id == "b"
    jobs.begin(job("a"))
    assert jobs.last().job_id == "a"


def test_a_prefix_finds_all_it_fits_and_a_whole_id_that_job_alone(jobs):
    for name in ("abcdef", "abcdef-1", "abcdeg"):
        jobs.begin(job(name, project_id="p"))
    assert [one.job_id for one in jobs.starting_with("abcdef-")] == ["abcdef-1"]
    assert {one.job_id for one in jobs.starting_with("abcde")} == {"abcdef", "abcdef-1", "abcdeg"}
    assert [one.job_id for one in jobs.starting_with("abcdef")] == ["abcdef"]
    assert jobs.starting_with("abcdeg", project_id="other") == []
    assert jobs.starting_with("%") == []


def test_the_same_id_on_two_servers_is_two_jobs(jobs):
    jobs.begin(job("same"))
    jobs.begin(KnownJob(server="https://other.example.org", job_id="same"))
    assert {one.server for one in jobs.starting_with("same")} == {SERVER, "https://other.example.org"}


def test_the_cursor_never_goes_back_within_a_log_and_begins_anew_in_another(jobs):
    jobs.begin(job())
    for cursor, log, expected in [(5, "one", 5), (3, "one", 5), (2, "two", 2)]:
        jobs.note_cursor(job(), cursor, log)
        assert (jobs.last().cursor, jobs.last().log) == (expected, log)


def test_the_first_end_of_a_job_stays(jobs):
    jobs.begin(job(is_started_here=True))
    assert [one.job_id for one in jobs.unfinished()] == ["job-1"]
    jobs.note_end(job(), "cancelled")
    jobs.note_end(job(), "failed")
    assert jobs.last().status == "cancelled"
    assert jobs.unfinished() == []


def test_what_was_interrupted_is_what_was_wanted_and_is_not_saved(jobs):
    jobs.begin(job("running", is_started_here=True))
    jobs.begin(job("followed"))
    jobs.begin(job("ready", is_wanted=True))
    jobs.note_end(job("ready"), "completed")
    jobs.begin(job("saved", is_wanted=True))
    jobs.note_end(job("saved"), "completed")
    jobs.note(job("saved"), is_saved=True)
    jobs.begin(job("failed", is_wanted=True))
    jobs.note_end(job("failed"), "failed")
    assert {one.job_id for one in jobs.interrupted()[1]} == {"running", "ready"}
    jobs.begin(job("saved"))  # a look at it changes nothing; to fetch it again, to the same place, does
    assert {one.job_id for one in jobs.interrupted()[1]} == {"running", "ready"}
    jobs.begin(job("saved", is_wanted=True, output=Path("/data/n.zip")))
    assert {one.job_id for one in jobs.interrupted()[1]} == {"running", "ready", "saved"}


def test_old_and_many_ended_jobs_are_let_go_and_unfinished_ones_stay(jobs, clock):
    jobs.begin(job("old"))
    jobs.note_end(job("old"), "completed")
    jobs.begin(job("old-unfinished", is_started_here=True))
    clock.time += KEPT_SECONDS + 1

    def fill(connection):
        connection.executemany(
            "INSERT INTO job (server, job_id, status, began_at, touched, touched_at) VALUES (?, ?, 'failed', 0, ?, ?)",
            [(SERVER, f"many-{number}", 100 + number, clock.time) for number in range(KEPT_ENDED + 5)],
        )

    jobs.database.use(fill)
    jobs.begin(job("new"))
    known = {one.job_id for one in jobs.all(limit=10_000)}
    assert "old" not in known
    assert {"old-unfinished", "new", "many-5"} <= known
    assert "many-4" not in known


@pytest.fixture(scope="module")
def one_store(tmp_path_factory):
    """Give one store for all that Hypothesis draws."""
    jobs = Jobs(database=Database(folder=tmp_path_factory.mktemp("any")))
    yield jobs
    jobs.database.close()


@given(st.text(min_size=1), st.text(), st.binary(min_size=1).filter(lambda name: b"\0" not in name))
def test_any_words_and_any_path_come_back_as_they_were(one_store, name, title, path):
    before = one_store.last()
    try:
        one_store.begin(job(name, project_title=title, output=Path(os.fsdecode(path))))
    except Unusable:  # a lone surrogate is no text; nothing was written
        assert one_store.last() == before
    else:
        assert one_store.last().job_id == name
        assert one_store.last().project_title == title
        assert one_store.last().output == Path(os.fsdecode(path))


class TestMishaps:
    def test_only_the_user_can_read_it(self, jobs):
        jobs.begin(job())
        assert jobs.database.path.stat().st_mode & 0o077 == 0
        assert jobs.database.folder.stat().st_mode & 0o077 == 0

    @pytest.mark.parametrize("content", [b"no database at all" * 100, b"SQLite format 3\0" + b"\xff" * 8000])
    def test_a_damaged_file_is_replaced_with_its_log_and_a_warning(self, make, tmp_path, content):
        folder = tmp_path / "state"
        folder.mkdir()
        for end in ("", "-wal", "-shm"):
            (folder / (FILE_NAME + end)).write_bytes(content)
        jobs = make()
        jobs.begin(job())
        assert jobs.last().job_id == "job-1"
        [warning] = jobs.database.warnings
        assert "was damaged" in warning

    def test_damage_in_its_middle_is_found_when_it_is_met(self, jobs, make):
        for number in range(300):
            jobs.begin(job(f"job-{number}", options="x" * 300))
        jobs.database.close()
        content = bytearray(jobs.database.path.read_bytes())
        content[4096:] = b"\xaa" * (len(content) - 4096)
        jobs.database.path.write_bytes(content)
        again = make()
        again.begin(job("after"))
        assert [one.job_id for one in again.all()] == ["after"]
        assert again.database.warnings

    def test_a_table_that_was_lost_is_damage(self, jobs, make):
        jobs.begin(job())
        jobs.database.use(lambda connection: connection.execute("DROP TABLE job"))
        jobs.database.close()
        again = make()
        again.begin(job("after"))
        assert again.last().job_id == "after"

    def test_an_empty_file_is_a_new_database(self, make, tmp_path):
        (tmp_path / "state").mkdir()
        (tmp_path / "state" / FILE_NAME).touch()
        jobs = make()
        jobs.begin(job())
        assert jobs.database.warnings == []

    def test_a_command_that_had_it_open_goes_on_with_the_replacement(self, jobs, make):
        jobs.begin(job("lost"))
        jobs.database._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        jobs.database.path.write_bytes(b"damaged" * 5000)
        other = make()
        other.begin(job("new"))
        jobs.begin(job("also new"))
        assert {one.job_id for one in make().all()} == {"new", "also new"}
        jobs.database.close()
        assert {one.job_id for one in make().all()} == {"new", "also new"}

    def test_a_newer_one_is_left_alone_and_not_used(self, jobs, make):
        jobs.begin(job())
        jobs.database.use(lambda connection: connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}"))
        jobs.database.close()
        before = jobs.database.path.read_bytes()
        with pytest.raises(Unusable, match="newer exportctl"):
            make().begin(job("x"))
        assert jobs.database.path.read_bytes() == before

    def test_another_program_s_database_is_left_alone(self, make, tmp_path):
        (tmp_path / "state").mkdir()
        with sqlite3.connect(tmp_path / "state" / FILE_NAME) as other:
            other.execute("CREATE TABLE theirs (x)")
        other.close()
        with pytest.raises(Unusable, match="no database of exportctl"):
            make().begin(job())

    def test_an_older_one_is_brought_up_and_keeps_what_it_knows(self, jobs, make, monkeypatch):
        jobs.begin(job())
        jobs.database.close()
        monkeypatch.setattr(schema, "MIGRATIONS", (*MIGRATIONS, "ALTER TABLE job ADD COLUMN later TEXT"))
        again = make()
        assert again.last().job_id == "job-1"
        columns = again.database.use(lambda connection: connection.execute("PRAGMA table_info(job)").fetchall())
        assert columns[-1][1] == "later"

    @pytest.mark.parametrize("place", ["file/state", "\0"])
    def test_a_place_where_nothing_can_be_is_unusable_and_no_crash(self, make, tmp_path, place):
        (tmp_path / "file").write_text("no folder")
        with pytest.raises(Unusable):
            make(tmp_path / place).begin(job())

    def test_a_full_disk_is_unusable_and_no_crash(self, jobs):
        jobs.begin(job())

        def fill(connection):
            connection.execute("PRAGMA max_page_count = 5")
            for number in range(1000):
                connection.execute(
                    "INSERT INTO job (server, job_id, began_at, touched, touched_at) VALUES ('', ?, 0, 0, 0)",
                    ("x" * 3000 + str(number),),
                )

        with pytest.raises(Unusable, match="full"):
            jobs.database.use(fill)
        assert jobs.last().job_id == "job-1"

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
    def test_a_read_only_home_can_be_read(self, jobs, make, tmp_path):
        jobs.begin(job())
        jobs.database.close()
        folder = tmp_path / "state"
        folder.chmod(0o500)
        try:
            again = make()
            assert again.last().job_id == "job-1"
            with pytest.raises(Unusable):
                again.begin(job("new"))
        finally:
            folder.chmod(0o700)

    def test_network_homes_do_without_a_write_ahead_log(self, make, tmp_path, monkeypatch):
        mounts = tmp_path / "mounts"
        mounts.write_text(f"/dev/a / ext4 rw 0 0\nserver:/x {tmp_path} nfs4 rw 0 0\n")
        assert file_system_of(tmp_path / "state", mounts) == "nfs4"
        assert file_system_of(Path("/elsewhere"), mounts) == "ext4"
        assert file_system_of(tmp_path, tmp_path / "none") is None
        monkeypatch.setattr(database_module, "file_system_of", lambda _folder: "nfs4")
        jobs = make()
        jobs.begin(job())
        assert not Path(f"{jobs.database.path}-wal").exists()
        assert jobs.last().job_id == "job-1"


WRITER = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from exportctl.store.database import Database
    from exportctl.store.jobs import Jobs, KnownJob
    jobs = Jobs(database=Database(folder=Path(sys.argv[1])))
    name, count = sys.argv[2], int(sys.argv[3])
    for number in range(count):
        job = KnownJob(server="s", job_id=f"{name}-{number}", is_started_here=True)
        jobs.begin(job)
        for cursor in range(1, 4):
            try:
                jobs.note_cursor(job, cursor, "log")
            except Exception:
                pass
        jobs.note_end(job, "completed")
        print(job.job_id, flush=True)
    assert not jobs.database.warnings, jobs.database.warnings
    """
)


def writer(folder, name, count):
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder), name, str(count)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def test_twenty_commands_at_once_lose_nothing(tmp_path, make):
    folder = tmp_path / "state"
    writers = [writer(folder, f"w{number}", 5) for number in range(20)]
    for process in writers:
        _, stderr = process.communicate()
        assert process.returncode == 0, stderr.decode()
    found = make().all()
    assert len(found) == 100
    assert {one.status for one in found} == {"completed"}


def test_twenty_commands_at_once_replace_a_damaged_file_once(tmp_path, make):
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / FILE_NAME).write_bytes(b"damaged" * 5000)

    def begin(number):
        jobs = Jobs(database=Database(folder=tmp_path / "state"))
        jobs.begin(job(f"job-{number}"))
        jobs.database.close()
        return jobs.database.warnings

    with ThreadPoolExecutor(20) as pool:
        warnings = list(pool.map(begin, range(20)))
    assert sum(map(len, warnings)) == 1
    assert len(make().all()) == 20


@pytest.mark.parametrize("moment", range(8))
def test_a_command_killed_at_any_instant_leaves_what_was_said_to_be_written(tmp_path, make, moment):
    process = writer(tmp_path / "state", "w", 10_000)
    said = [process.stdout.readline().decode().strip() for _ in range(moment * 7 + 1)]
    process.send_signal(signal.SIGKILL)
    rest = process.stdout.read()
    process.communicate()
    said += rest.decode().split("\n")[:-1]
    jobs = make()
    known = {one.job_id for one in jobs.all(limit=100_000)}
    assert set(said) <= known
    assert len(known) <= len(said) + 1
    assert jobs.database.warnings == []


def test_a_cursor_that_is_known_costs_no_write(jobs):
    jobs.begin(job())
    jobs.note_cursor(job(), 5, None)
    statements = []
    jobs.database.use(lambda connection: connection.set_trace_callback(statements.append))
    jobs.note_cursor(job(), 5, None)
    assert statements == ["COMMIT"]
