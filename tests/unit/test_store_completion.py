"""Jobs and projects at the cursor: those that this machine knows, read without a word to anybody."""

import pytest

from exportctl.config import state_folder
from exportctl.startup.completing import complete
from exportctl.startup.knowing import state_file
from exportctl.store.database import Database
from exportctl.store.jobs import Jobs, KnownJob


@pytest.fixture
def jobs(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.delenv("EXPORTCTL_STATE", raising=False)
    jobs = Jobs(database=Database(folder=state_folder()))
    yield jobs
    jobs.database.close()


def begin(jobs, name, **facts):
    jobs.begin(KnownJob(server="https://export.example.org", job_id=name, project_id="p", **facts))


def offered(*words):
    return [tuple(line.split("\t")) for line in complete("fish", list(words)).splitlines()[1:]]


def test_the_place_is_the_one_that_the_commands_use(jobs):
    assert state_file() == str(jobs.database.path)


def test_the_latest_job_is_offered_first_with_what_is_known_of_it(jobs):
    begin(jobs, "abcdef-1", project_title="nuclei")
    begin(jobs, "abcdef-2")
    jobs.note_end(KnownJob(server="https://export.example.org", job_id="abcdef-1"), "completed")
    assert offered("status", "") == [
        ("@last", "the last job"),
        ("abcdef-2", "p unfinished"),
        ("abcdef-1", "nuclei completed"),
    ]


def test_a_project_that_was_begun_is_gone_on_with(jobs):
    begin(jobs, "abcdef-1")
    assert ("p/abcdef-1", "p unfinished") in offered("follow", "p/")


def test_titles_of_projects_are_offered_once_and_none_that_would_break_the_answer(jobs):
    for name, title in [("1", "cells"), ("2", "cells"), ("3", "a\tb\nc"), ("4", None)]:
        begin(jobs, name, project_title=title)
    assert sorted(offered("start", "")) == [("cells", ""), ("p", "")]


def test_a_target_is_the_sample_a_folder_or_a_project_of_before(jobs):
    begin(jobs, "1", project_title="plate 7")
    begin(jobs, "2", project_title="sample")
    assert complete("fish", ["run", ""]).splitlines() == ["folders", "sample\t", "plate 7\t"]
    assert complete("fish", ["run", "--no-state", ""]).splitlines() == ["folders", "sample\t"]


@pytest.mark.parametrize("words", [["status", "--no-state", ""], ["follow", "--no-state", ""]])
def test_nothing_is_read_where_that_is_asked_for(jobs, words):
    begin(jobs, "abcdef-1")
    assert ("@last", "the last job") not in offered(*words)


def test_nothing_is_offered_where_nothing_is_kept_or_it_is_damaged(jobs, monkeypatch):
    assert offered("status", "") == []
    jobs.database.folder.mkdir(parents=True, exist_ok=True)
    jobs.database.path.write_bytes(b"no database" * 1000)
    assert offered("status", "") == []
    monkeypatch.setenv("EXPORTCTL_STATE", "off")
    assert state_file() is None
