"""Rows as values: a frozen dataclass a noun, made from a row in one place.

Its attributes are named as the columns; one whose type is an enum becomes a member of it.
"""

from collections.abc import Callable
from dataclasses import fields
from enum import Enum
from types import UnionType
from typing import Any, TypeAlias, TypeVar, get_args, get_type_hints

from sqlalchemy import Row

T = TypeVar("T")
Reader: TypeAlias = Callable[[Row[Any]], T]
"""Makes a value from a row."""


def names_of(kind: type[Any]) -> tuple[str, ...]:
    """Return the names of a dataclass's columns, in order."""
    return tuple(field.name for field in fields(kind))


def reader(kind: type[T]) -> Reader[T]:
    """Return the function that makes a value of that dataclass from a row.

    The row may hold more columns than the dataclass names.
    """
    names = names_of(kind)
    hints = get_type_hints(kind)
    enums = tuple((name, found) for name in names if (found := _enum_in(hints[name])) is not None)

    def read(row: Row[Any]) -> T:
        mapping = row._mapping
        values = {name: mapping[name] for name in names}
        for name, enum in enums:
            value = values[name]
            if value is not None:
                values[name] = enum(value)
        return kind(**values)

    return read


def _enum_in(hint: Any) -> type[Enum] | None:
    """Return the enum of an annotation such as `State` or `State | None`."""
    kinds = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    for kind in kinds:
        if isinstance(kind, type) and issubclass(kind, Enum):
            return kind
    return None
