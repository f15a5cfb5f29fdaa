"""Prepared statements that outlive a ROLLBACK.

psycopg forgets what it prepared on a connection at every ROLLBACK, because a table that was made in
the transaction may be made anew with other columns. Each look-up here ends with a ROLLBACK, and no
connection makes tables that it then reads. Without this nothing would stay prepared, and planning
was half of the server's work for a charge.
"""

from typing import Any, Final

import psycopg
from psycopg._preparing import PrepareManager  # has no public name; tests hold what it does

STALE: Final = (
    psycopg.errors.FeatureNotSupported,  # "cached plan must not change result type"
    psycopg.errors.InvalidSqlStatementName,  # the server forgot them
)
"""Errors of a prepared statement that has to be prepared anew.

So it is after a migration that changed the columns that a statement returns: it is refused once.
"""


class KeptStatements(PrepareManager):
    """The prepared statements of a connection that makes no tables."""

    def clear(self) -> bool:
        """Keep everything, at a ROLLBACK and after DDL. Return that nothing was dropped."""
        return False

    def drop(self) -> None:
        """Drop everything here and in the server's session."""
        super().clear()


def keep_prepared(connection: "psycopg.Connection[Any]") -> None:
    """Let a new connection keep its prepared statements."""
    connection._prepared = KeptStatements()


def drop_prepared(connection: "psycopg.Connection[Any]") -> None:
    """Let a connection prepare its statements anew."""
    if isinstance(connection._prepared, KeptStatements):
        connection._prepared.drop()
