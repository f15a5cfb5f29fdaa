"""What the tables' definitions share: the metadata and the usual kinds of column."""

from typing import Any

from sqlalchemy import Column, Date, DateTime, MetaData, Text, Uuid
from sqlalchemy import text as sql

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


def month() -> Column[Any]:
    """Return the column of the month (UTC) in which the database wrote the row."""
    this_month = sql("(date_trunc('month', now() AT TIME ZONE 'UTC'))::date")
    return Column("month", Date, nullable=False, server_default=this_month)
