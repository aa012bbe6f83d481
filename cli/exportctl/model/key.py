"""What the JSON Schema says of a key beside its type: an annotation, for developers' tools only.

    elapsed: Annotated[float, Key("Seconds since the command began.", minimum=0)]

Nothing reads it at run time. pydantic, which makes the schema at development time, asks it by the name of its method.
"""

from collections.abc import Callable
from typing import Any


class Key:
    """A key's meaning and its further rules, in the words of JSON Schema."""

    __slots__ = ("rules",)

    def __init__(self, said: str, **rules: object) -> None:
        self.rules = {"description": said, **rules}

    def __get_pydantic_json_schema__(self, core: Any, handler: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        """Return what pydantic makes of the type, with the rules."""
        return {**handler(core), **self.rules}
