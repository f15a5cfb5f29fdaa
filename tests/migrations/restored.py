"""Restores what the release before left: its database, and the provider's state beside it."""

import gzip
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import psycopg

RELEASE_0003 = Path(__file__).with_name("release_0003")
_ROLE = "billing_app"


def restore_database(url: str, release: Path = RELEASE_0003) -> None:
    """Run a plain dump of `pg_dump` in an empty database, as the owner of what it makes."""
    with psycopg.connect(url, autocommit=True) as conn:
        if conn.execute("SELECT FROM pg_roles WHERE rolname = %s", (_ROLE,)).fetchone() is None:
            conn.execute(f"CREATE ROLE {_ROLE} NOLOGIN")
        conn.execute(f"GRANT {_ROLE} TO CURRENT_USER")
        for statement, rows in _parts(_text(release / "database.sql.gz")):
            if rows is None:
                conn.execute(statement.encode())
            else:
                with conn.cursor() as cursor, cursor.copy(statement.encode()) as copy:
                    copy.write(rows)


def _parts(dump: str) -> Iterator[tuple[str, str | None]]:
    """Split a dump into (SQL, None), and (COPY, its rows) where data follow."""
    kept: list[str] = []
    lines = iter(dump.splitlines(keepends=True))
    for line in lines:
        if not line.startswith("COPY "):
            kept.append(line)
            continue
        yield "".join(kept), None
        kept.clear()
        yield line.rstrip().rstrip(";"), "".join(iter(lines.__next__, "\\.\n"))
    yield "".join(kept), None


def restore_provider(folder: Path, release: Path = RELEASE_0003) -> None:
    """Make the data directory of a sandbox that isn't running yet."""
    folder.mkdir(parents=True, exist_ok=True)
    with sqlite3.connect(folder / "sandbox.sqlite3") as state:
        state.executescript(_text(release / "provider.sql.gz"))
    state.close()


def _text(path: Path) -> str:
    return gzip.decompress(path.read_bytes()).decode()
