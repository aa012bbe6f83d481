"""How long to wait after failures in a row."""

import pytest

from exportctl.client.waiting import backoff


@pytest.mark.parametrize(("failures", "seconds"), [(0, 0.5), (1, 1.0), (5, 16.0), (6, 30.0), (7, 30.0)])
def test_each_failure_doubles_the_wait_up_to_the_most(failures, seconds):
    assert backoff(failures, first=0.5, most=30.0, jitter=1.0) == seconds
    assert backoff(failures, first=0.5, most=30.0, jitter=0.0) == seconds / 2


def test_a_socket_may_be_refused_for_days():
    assert backoff(100_000, first=0.5, most=30.0, jitter=1.0) == 30.0
