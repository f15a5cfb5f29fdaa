"""What the tables' definitions share: the metadata and the usual kinds of column."""

from typing import Any

from sqlalchemy import Column, DateTime, MetaData, Text, Uuid

metadata = MetaData()


def text(name: str, **kw: Any) -> Column[str]:
    """Return a column of text."""
    return Column(name, Text, **kw)


def instant(name: str, **kw: Any) -> Column[Any]:
    """Return a column of an aware instant."""
    return Column(name, DateTime(timezone=True), **kw)


def identifier(name: str, **kw: Any) -> Column[Any]:
    """Return a column of a UUID."""
    return Column(name, Uuid, **kw)
