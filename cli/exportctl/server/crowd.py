"""How many requests of one user are being answered: a part of all connections at most, so that others have some."""

from collections import Counter

from starlette.types import ASGIApp, Receive, Scope, Send

from exportctl.server.answers import Refusal

_KEY = "exportctl.counted"


class Crowd:
    """The users whose requests are being answered, `most` of one user."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._inside: Counter[str] = Counter()

    def enter(self, scope: Scope, user: str) -> None:
        """Count a request once; raises Refusal (429)."""
        if _KEY in scope:
            return
        if self._inside[user] >= self._most:
            message = f"{self._most} requests of yours are being answered already"
            raise Refusal(429, "TOO_MANY_REQUESTS", message, "End some of them", {"Retry-After": "5"})
        self._inside[user] += 1
        scope[_KEY] = user

    def counted(self, app: ASGIApp) -> ASGIApp:
        """Return the application, requests that have entered forgotten at their end."""

        async def counting(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await app(scope, receive, send)
            finally:
                user = scope.get(_KEY)
                if user is not None:
                    self._inside[user] -= 1
                    if not self._inside[user]:
                        del self._inside[user]

        return counting
