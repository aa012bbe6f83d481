"""The JSON of signing in, as types; as `server/bodies.py` for all else."""

from collections.abc import Sequence
from typing import Annotated, Literal, NotRequired, TypedDict

from msgspec import Meta


class SignIn(TypedDict):
    """Email and password; with `rememberMe` the session lasts 30 days in place of 7."""

    email: Annotated[str, Meta(min_length=1, max_length=254)]
    password: Annotated[str, Meta(min_length=1, max_length=1024)]
    rememberMe: NotRequired[bool]


class User(TypedDict):
    """Who is signed in. `email` is null for a token that was named at the server's start: nobody is behind it."""

    id: str
    email: str | None
    emailVerified: Literal[False]
    isEmailVerified: Literal[False]
    createdAt: str | None


class SignedInUser(TypedDict):
    """The user of a new session."""

    user: User


class SignedIn(TypedDict):
    """The session's cookies come with it."""

    success: Literal[True]
    data: SignedInUser
    message: str


class Profile(TypedDict):
    """Who is signed in."""

    success: Literal[True]
    data: User
    message: str


class CheckedUser(TypedDict):
    """Who is signed in."""

    authenticated: Literal[True]
    user: User


class Checked(TypedDict):
    """Somebody is signed in."""

    success: Literal[True]
    data: CheckedUser
    message: str


class Done(TypedDict):
    """It is done, and there is nothing to say of it."""

    success: Literal[True]
    data: None
    message: str


class Token(TypedDict):
    """A personal token, as it is seen after it was made."""

    id: str
    name: str
    createdAt: str


class NewToken(Token):
    """A personal token with its secret, which is shown this once."""

    token: str


class TokenName(TypedDict):
    """What a new token shall be called."""

    name: Annotated[str, Meta(min_length=1, max_length=100)]


class Tokens(TypedDict):
    """A user's personal tokens, oldest first."""

    success: Literal[True]
    data: Sequence[Token]


class MadeToken(TypedDict):
    """The token that was made."""

    success: Literal[True]
    data: NewToken
