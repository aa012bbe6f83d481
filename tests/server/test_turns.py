"""Whose turn it is, of users with many jobs and users with one."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from exportctl.server.turns import Line, Turns


@dataclass(frozen=True)
class Job:
    user: str
    number: int


def jobs(user, count):
    return [Job(user, number) for number in range(count)]


def run_all(turns, waiting, at_once):
    """Run all jobs, the one that began first ending first; returns the order in which they began."""
    began, running = [], []
    while waiting or running:
        while (job := turns.next(waiting, running)) is not None:
            waiting.remove(job)
            running.append(job)
            began.append(job)
        assert len(running) <= at_once
        running.pop(0)
    return began


def test_a_user_with_one_job_does_not_wait_for_another_ones_hundred():
    began = run_all(Turns(1, 1), jobs("ana", 100) + jobs("ben", 1), 1)
    assert [job.user for job in began[:2]] == ["ana", "ben"]
    assert [job.number for job in began if job.user == "ana"] == list(range(100))


def test_a_user_who_comes_back_again_and_again_has_every_other_turn():
    turns, waiting, began = Turns(1, 1), jobs("ana", 10), []
    for number in range(6):
        waiting.append(Job("ben", number))
        job = turns.next(waiting, [])
        waiting.remove(job)
        began.append(job.user)
    assert began == ["ana", "ben"] * 3


def test_one_user_alone_may_have_fewer_running_than_all_together():
    turns, running = Turns(4, 2), jobs("ana", 2)
    assert turns.next(jobs("ana", 5)[2:], running) is None
    assert turns.next([*jobs("ana", 5)[2:], *jobs("ben", 1)], running).user == "ben"


@given(counts=st.lists(st.integers(1, 6), min_size=1, max_size=5), at_once=st.integers(1, 4))
def test_nobody_has_a_second_turn_before_all_who_wait_had_their_first(counts, at_once):
    waiting = [job for user, count in enumerate(counts) for job in jobs(str(user), count)]
    began = run_all(Turns(at_once, at_once), waiting, at_once)
    assert len(began) == sum(counts)
    assert {job.user for job in began[: len(counts)]} == {str(user) for user in range(len(counts))}


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xyz"), st.sampled_from(["add", "next", "remove"]))))
def test_a_line_gives_every_call_back_once_and_a_jobs_calls_in_order(acts):
    line, there, number = Line(), [], 0
    for user, job, act in acts:
        if act == "add":
            number += 1
            call = (user, job, number)
            line.add(user, job, call)
            there.append(call)
        elif act == "next":
            call = line.next()
            assert (call is None) == (not there)
            if call is not None:
                assert call == min(one for one in there if one[:2] == call[:2])
                there.remove(call)
        elif gone := [one for one in there if one[:2] == (user, job)]:
            line.remove(user, job, gone[-1])
            there.remove(gone[-1])
        assert len(line) == len(there)
        assert sorted(line.everything()) == sorted(there)
