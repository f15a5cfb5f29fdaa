"""What every connection relies on, set and verified when it is made.

A direct connection sends the settings in its startup packet. A pooler in between may drop them, so
each is set again, and read back where that changed anything. A pooler in transaction mode can't
keep settings, and is refused.

Its connections to the server keep what earlier clients set. So a mark that nobody else has tells
whether the startup packet arrived, and another one whether the connection stays.
"""

import secrets
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any, Final

import psycopg

from billing.errors import ErrorCode, Unavailable

MARK: Final = "billing.session"
"""A setting that is sent in the startup packet only, with a value that nobody else has."""
_PROBE: Final = "billing.probe"
OTHERS: Final = 3
"""The connections that a probe holds, so that a pooler needs another one for the next."""

Driver = psycopg.Connection[Any]


def new_mark() -> str:
    """Return a value that nobody else has."""
    return secrets.token_hex(8)


def verify(conn: Driver, wanted: Mapping[str, str], mark: str) -> bool:
    """Check that a new connection has these settings, and set those that it lacks.

    Returns whether its startup packet arrived, with this mark. Raises `Unavailable` when the
    settings don't stay.
    """
    # What a setting shows ("30s") differs from what was given ("30000"): setting it tells.
    names = list(wanted)
    pairs = ", ".join("current_setting(%s, true), set_config(%s, %s, false)" for _ in names)
    values = [part for name in names for part in (name, name, wanted[name])]
    row = conn.execute(f"SELECT current_setting(%s, true), {pairs}", [MARK, *values]).fetchone()
    assert row is not None
    conn.commit()
    arrived, before, shown = bool(row[0] == mark), row[1::2], row[2::2]
    if before == shown:
        return arrived
    columns = ", ".join("current_setting(%s)" for _ in names)
    now = conn.execute(f"SELECT {columns}", names).fetchone()
    conn.rollback()
    if now != shown:
        raise Unavailable(
            "a connection to the database doesn't keep its settings",
            where="[database] url",
            code=ErrorCode.DATABASE_SESSION,
        )
    return arrived


def refuse_transaction_pooling(connect: Callable[[], Driver]) -> None:
    """Check that what is set for a connection is still set in its next transaction.

    Raises `Unavailable` for a pooler that takes the server's connection away after a transaction.
    """
    mark = new_mark()
    with closing(connect()) as conn:
        conn.execute("SELECT set_config(%s, %s, false)", (_PROBE, mark))
        conn.commit()
        others = [connect() for _ in range(OTHERS)]
        try:
            for other in others:
                other.execute("SELECT 1")  # and it stays in its transaction
            kept = conn.execute("SELECT current_setting(%s, true)", (_PROBE,)).fetchone()
        finally:
            for other in others:
                other.close()
    if kept is None or kept[0] != mark:
        raise Unavailable(
            "the database is reached through a pooler that changes the connection with every"
            " transaction",
            where="[database] url",
            code=ErrorCode.DATABASE_SESSION,
        )
