"""A database that takes no more of something, as when a disk or a tablespace is full."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

FULL = """
CREATE FUNCTION disk_is_full() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device'
         USING ERRCODE = '53100'; END $$;
CREATE TRIGGER disk_is_full BEFORE INSERT OR UPDATE ON {table}
FOR EACH STATEMENT EXECUTE FUNCTION disk_is_full();
"""


@contextmanager
def full(owners_url: str, table: str) -> Iterator[None]:
    """Refuse every write to a table."""
    with psycopg.connect(owners_url, autocommit=True) as conn:
        conn.execute(FULL.format(table=table))
        try:
            yield
        finally:
            conn.execute(f"DROP TRIGGER disk_is_full ON {table}; DROP FUNCTION disk_is_full()")
