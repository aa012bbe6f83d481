"""How a fact is declared: a record whose fields are named where it is made and never change.

`@fact` is a slotted, keyword-only dataclass that is frozen for the type checker, which CI runs over everything that
could assign to one. At run time nothing watches: a frozen dataclass sets each field by a call, which for the records
between socket and line was a quarter of all time (`tests/bench/follow.py`).
"""

from dataclasses import dataclass
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True)
def fact(kind: type[T]) -> type[T]:
    """Make a fact of a class that annotates its fields."""
    return dataclass(slots=True, kw_only=True, unsafe_hash=True)(kind)
