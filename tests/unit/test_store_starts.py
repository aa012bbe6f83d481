"""What this machine knows of starts whose answer nobody saw, and of what is parked here."""

import contextlib
from pathlib import Path

import pytest

from exportctl.store import schema
from exportctl.store.database import Database
from exportctl.store.errors import Unusable
from exportctl.store.jobs import KEY_SECONDS, PARKED_SECONDS, Jobs, KnownJob, LostStart
from exportctl.store.parked import is_parked, parked_server
from exportctl.store.schema import MIGRATIONS

HERE = parked_server("embedded-x")


@pytest.fixture
def jobs(tmp_path, clock):
    jobs = Jobs(database=Database(folder=tmp_path / "state"), now=clock)
    yield jobs
    jobs.database.close()


def job(name="", server="https://export.example.org", **facts):
    return KnownJob(server=server, job_id=name, **facts)


def lost(key="k", **facts):
    wanted = job(project_id="p", options='{"a":1}', is_wanted=True, output=Path("/x/{job}.zip"), **facts)
    return LostStart(key=key, job=wanted, asked_at="2026-11-24T12:00:00.000Z")


class TestStarts:
    def test_a_start_is_lost_until_its_job_is_known(self, jobs):
        jobs.note_start(lost(extract=Path("/x/{job}")))
        [found] = jobs.interrupted()[0]
        assert (found.key, found.asked_at) == ("k", "2026-11-24T12:00:00.000Z")
        assert (found.job.output, found.job.extract) == (Path("/x/{job}.zip"), Path("/x/{job}"))
        assert (found.job.options, found.job.is_wanted, found.job.is_started_here) == ('{"a":1}', True, True)
        jobs.begin(job("job-1"), key="k")
        assert jobs.interrupted()[0] == []

    def test_one_that_was_refused_is_forgotten(self, jobs):
        jobs.note_start(lost("a"))
        jobs.note_start(lost("b"))
        jobs.forget_start("a")
        assert [start.key for start in jobs.interrupted()[0]] == ["b"]

    def test_one_is_asked_for_again_only_while_servers_know_its_key(self, jobs, clock):
        jobs.note_start(lost("old"))
        clock.time += KEY_SECONDS + 1
        assert jobs.interrupted()[0] == []
        jobs.note_start(lost("new"))
        assert [start.key for start in jobs.interrupted()[0]] == ["new"]

    def test_one_that_becomes_a_job_meanwhile_is_never_told_as_both(self, jobs):
        jobs.note_start(lost())
        other = Jobs(database=Database(folder=jobs.database.folder), now=jobs.now)
        seen = []

        def answer(statement):
            if any("FROM start" in before for before in seen):
                with contextlib.suppress(Unusable):  # it waits its turn
                    other.database.use(lambda _: None, patience=0)
                    other.begin(job("job-1", is_started_here=True), key="k")
            seen.append(statement)

        jobs.database.use(lambda connection: connection.set_trace_callback(answer))
        starts, known = jobs.interrupted()
        other.database.close()
        assert ([start.key for start in starts], known) == (["k"], [])


class TestParked:
    def test_a_folder_is_kept_until_its_job_is_fetched(self, jobs):
        assert not jobs.is_parked(HERE)
        jobs.begin(job("j", HERE))
        assert jobs.is_parked(HERE)
        jobs.note_end(job("j", HERE), "completed")
        assert jobs.is_parked(HERE)
        jobs.note(job("j", HERE), is_saved=True)
        assert not jobs.is_parked(HERE)

    @pytest.mark.parametrize("end", ["failed", "cancelled", "gone"])
    def test_a_job_that_left_nothing_keeps_nothing(self, jobs, end):
        jobs.begin(job("j", HERE))
        jobs.note_end(job("j", HERE), end)
        assert not jobs.is_parked(HERE)

    def test_a_start_that_may_have_been_made_keeps_its_folder(self, jobs):
        jobs.note_start(LostStart(key="k", job=job(server=HERE), asked_at=None))
        assert jobs.is_parked(HERE)

    def test_what_nobody_came_back_to_is_let_go(self, jobs, clock):
        jobs.begin(job("j", HERE))
        clock.time += PARKED_SECONDS + 1
        assert not jobs.is_parked(HERE)

    def test_other_servers_are_no_folders(self):
        assert is_parked(HERE)
        assert not is_parked("embedded")
        assert not is_parked("https://embedded:8080")


def test_a_store_of_before_is_brought_up_and_keeps_its_jobs(tmp_path, monkeypatch):
    with monkeypatch.context() as before:
        before.setattr(schema, "MIGRATIONS", MIGRATIONS[:1])
        old = Database(folder=tmp_path)
        old.use(
            lambda connection: connection.execute(
                "INSERT INTO job (server, job_id, began_at, touched, touched_at) VALUES ('s', 'j', 0, 1, 0)"
            )
        )
        old.close()
    jobs = Jobs(database=Database(folder=tmp_path))
    found = jobs.last()
    assert (found.job_id, found.extract) == ("j", None)
    assert jobs.interrupted()[0] == []
    jobs.database.close()
