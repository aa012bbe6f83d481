"""Passwords, by argon2id with its library's parameters (RFC 9106, 4: 64 MiB, three passes)."""

import asyncio
from collections.abc import Callable

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError


class Passwords:
    """Hash and check. It is slow on purpose, so `is_right` works beside the event loop."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._nobodys = self._hasher.hash("a password that nobody has")
        # One at a time: each takes 64 MiB, and cores for four threads, which the loop must not have to wait for.
        self._turn = asyncio.Lock()

    def hash(self, password: str) -> str:
        """Return what is kept of a password."""
        return self._hasher.hash(password)

    async def is_right(self, hashed: str | None, password: str, allow: Callable[[], None]) -> bool:
        """Say whether it is the password of a hash. With no hash it is not, which takes as long to find out.

        `allow` is called first, when it is the password's turn, and may raise.
        """
        async with self._turn:
            allow()
            return await asyncio.to_thread(self._verify, hashed or self._nobodys, password) and hashed is not None

    def _verify(self, hashed: str, password: str) -> bool:
        try:
            return self._hasher.verify(hashed, password)
        except (VerificationError, InvalidHashError):
            return False
