"""Whose turn it is: users take turns, whoever has how much to do, and within one user the oldest job goes first.

`Turns` decides for the jobs that begin, `Line` for the tasks of those that run.
"""

from collections import Counter, deque
from collections.abc import Iterable
from typing import Generic, Protocol, TypeVar


class _Owned(Protocol):
    @property
    def user(self) -> str: ...


J = TypeVar("J", bound=_Owned)
C = TypeVar("C")


class Turns:
    """Choose the job that begins next: of the user with the fewest running, who of those waited longest for a turn.

    `at_once`: jobs that may run; `per_user`: of one user.
    """

    def __init__(self, at_once: int, per_user: int) -> None:
        self._at_once = at_once
        self._per_user = per_user
        self._served: dict[str, int] = {}
        self._turn = 0

    def next(self, waiting: Iterable[J], running: Iterable[J]) -> J | None:
        """Return the job whose turn it is, None where nobody's is; `waiting` is in the order of age."""
        busy = Counter(job.user for job in running)
        oldest: dict[str, J] = {}
        for job in waiting:
            if busy[job.user] < self._per_user:
                oldest.setdefault(job.user, job)
        if not oldest or busy.total() >= self._at_once:
            return None
        user = min(oldest, key=lambda user: (busy[user], self._served.get(user, 0)))
        self._turn += 1
        # Whoever has nothing left to do has no turn to wait for: nobody is remembered for ever.
        self._served = {known: turn for known, turn in self._served.items() if known in oldest or busy[known]}
        self._served[user] = self._turn
        return oldest[user]


class Line(Generic[C]):
    """Calls that wait: users take turns, and among one user's jobs the jobs do."""

    def __init__(self) -> None:
        self._users: dict[str, dict[str, deque[C]]] = {}

    def __len__(self) -> int:
        return sum(len(queue) for jobs in self._users.values() for queue in jobs.values())

    def add(self, user: str, job: str, call: C, *, first: bool = False) -> None:
        """Put a call behind the others of its job, or before them."""
        queue = self._users.setdefault(user, {}).setdefault(job, deque())
        if first:
            queue.appendleft(call)
        else:
            queue.append(call)

    def next(self) -> C | None:
        """Take the call whose turn it is; its user and its job go to the end of their lines."""
        for user, jobs in self._users.items():
            job, queue = next(iter(jobs.items()))
            call = queue.popleft()
            del self._users[user], jobs[job]
            if queue:
                jobs[job] = queue
            if jobs:
                self._users[user] = jobs
            return call
        return None

    def remove(self, user: str, job: str, call: C) -> None:
        """Take a call out, wherever it stands, if it does."""
        queue = self._users.get(user, {}).get(job)
        if queue is not None and call in queue:
            queue.remove(call)
            if not queue:
                self.clear(user, job)

    def clear(self, user: str, job: str) -> Iterable[C]:
        """Take out all calls of a job, and return them."""
        jobs = self._users.get(user, {})
        left = jobs.pop(job, deque())
        if not jobs:
            self._users.pop(user, None)
        return left

    def everything(self) -> Iterable[C]:
        """Return all calls that wait."""
        return [call for jobs in self._users.values() for queue in jobs.values() for call in queue]
