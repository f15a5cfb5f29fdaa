"""The days of usage: their tables, made ahead."""

from datetime import date

from sqlalchemy import Connection, text

# A database without usage needs none.
_MAKE = text("SELECT make_usage_days(:first, :last) WHERE EXISTS (SELECT FROM usage_counts)")


def make(conn: Connection, first: date, last: date) -> int:
    """Make the tables of days, both included, that aren't there yet; return how many were made."""
    return int(conn.execute(_MAKE, {"first": first, "last": last}).scalar() or 0)
