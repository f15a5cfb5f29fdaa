"""Everything the sandbox remembers, in one SQLite file.

One connection and one lock: a transaction is an endpoint's whole effect plus the answer kept
under its idempotency key, so after a `kill -9` either both are there or neither is.
Objects are kept as compact JSON records; the columns beside them are what lists filter on.
`owner` is the customer an object belongs to, or the payout that took a balance transaction.
The agenda is what the clock sets off later: a refund that fails, a payout that arrives.
"""

import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Record = dict[str, Any]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  kind TEXT NOT NULL,
  created INTEGER NOT NULL,
  owner TEXT,
  parent TEXT,
  subtype TEXT,
  body TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS objects_by_kind ON objects (kind, created, seq);
CREATE INDEX IF NOT EXISTS objects_by_owner ON objects (owner, kind, created, seq)
  WHERE owner IS NOT NULL;
CREATE INDEX IF NOT EXISTS objects_by_parent ON objects (parent, kind) WHERE parent IS NOT NULL;
CREATE INDEX IF NOT EXISTS money_not_paid_out ON objects (created, seq)
  WHERE kind = 'balance_transaction' AND owner IS NULL;
CREATE INDEX IF NOT EXISTS bt_transactions_by_order
  ON objects (json_extract(body, '$.order_id'), subtype, created, seq)
  WHERE kind = 'bt_transaction';
CREATE INDEX IF NOT EXISTS bt_transactions_by_disbursement
  ON objects (json_extract(body, '$.disbursed_on'), subtype, created, seq)
  WHERE kind = 'bt_transaction';
CREATE TABLE IF NOT EXISTS answers (
  key TEXT PRIMARY KEY,
  fingerprint BLOB NOT NULL,
  created INTEGER NOT NULL,
  status INTEGER NOT NULL,
  body BLOB NOT NULL,
  request_id TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS agenda (
  seq INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  action TEXT NOT NULL,
  object TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS agenda_in_order ON agenda (at, seq);
CREATE TABLE IF NOT EXISTS deliveries (
  seq INTEGER PRIMARY KEY,
  event TEXT NOT NULL,
  endpoint TEXT NOT NULL,
  state TEXT NOT NULL DEFAULT 'pending',
  attempts INTEGER NOT NULL DEFAULT 0,
  last_answer TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS deliveries_of_event ON deliveries (event);
CREATE INDEX IF NOT EXISTS deliveries_missed ON deliveries (event) WHERE state <> 'delivered';
CREATE INDEX IF NOT EXISTS deliveries_to_make ON deliveries (endpoint, seq)
  WHERE state = 'pending';
"""
_VERSION = 1
_INSERT = (
    "INSERT INTO objects (id, kind, created, owner, parent, subtype, body)"
    " VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_NEVER = 2**62


class Store:
    """Keep objects, answers and settings; every method but the first two needs the lock."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        path.touch(mode=0o600)  # it holds names and addresses of customers
        self._db = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, timeout=2, cached_statements=256
        )
        # EXCLUSIVE: a second sandbox on the same data directory fails at once.
        for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=NORMAL"):
            self._db.execute(f"PRAGMA {pragma}")
        self._db.execute("PRAGMA cache_size=-65536")
        self._migrate()
        self.first_due = self._first_due()

    def _migrate(self) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        old = self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'objects'").fetchone()
        if old and version < 1:
            self._db.execute("ALTER TABLE objects RENAME COLUMN customer TO owner")
            self._db.execute("DROP INDEX objects_by_customer")
        self._db.executescript(f"{_SCHEMA}PRAGMA user_version = {_VERSION};")

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Hold the store still, so that several reads see one state."""
        with self._lock:
            yield

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what happens inside, or nothing of it when it raises."""
        with self._lock:
            self._db.execute("BEGIN")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def insert(
        self,
        kind: str,
        record: Record,
        *,
        parent: str | None = None,
        subtype: str | None = None,
    ) -> None:
        """Add an object; `id`, `created` and the owner are taken from the record."""
        row = (record["id"], kind, record["created"], _owner(record), parent, subtype)
        self._db.execute(_INSERT, (*row, _dump(record)))

    def update(self, record: Record) -> None:
        """Replace an object's record; its owner stays."""
        self._db.execute("UPDATE objects SET body = ? WHERE id = ?", (_dump(record), record["id"]))

    def hand_over(self, record: Record) -> None:
        """Replace the record of an object whose owner changed."""
        self._db.execute(
            "UPDATE objects SET owner = ?, body = ? WHERE id = ?",
            (_owner(record), _dump(record), record["id"]),
        )

    def delete(self, object_id: str) -> None:
        """Remove an object."""
        self._db.execute("DELETE FROM objects WHERE id = ?", (object_id,))

    def find(self, kind: str, object_id: str) -> Record | None:
        """Return the record of one object."""
        row = self._db.execute(
            "SELECT body FROM objects WHERE id = ? AND kind = ?", (object_id, kind)
        ).fetchone()
        return None if row is None else load(row[0])

    def position(self, kind: str, object_id: str) -> tuple[int, int] | None:
        """Return where an object stands in its list: (created, seq)."""
        row = self._db.execute(
            "SELECT created, seq FROM objects WHERE id = ? AND kind = ?", (object_id, kind)
        ).fetchone()
        return None if row is None else (row[0], row[1])

    def select(
        self,
        kind: str,
        conditions: Sequence[tuple[str, Any]] = (),
        *,
        limit: int = -1,
        oldest_first: bool = False,
    ) -> list[Record]:
        """Return records of a kind that meet all conditions, newest first.

        A condition is an SQL comparison ending in its placeholders, with its value or tuple of
        values; the text comes from this package only, never from a request.
        """
        where = "".join(f" AND {text}" for text, _ in conditions)
        order = "created, seq" if oldest_first else "created DESC, seq DESC"
        query = f"SELECT body FROM objects WHERE kind = ?{where} ORDER BY {order} LIMIT ?"  # noqa: S608  see above
        values: list[Any] = [kind]
        for _, value in conditions:
            values.extend(value if isinstance(value, tuple) else (value,))
        return [load(row[0]) for row in self._db.execute(query, (*values, limit))]

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one fixed statement and return its rows."""
        return self._db.execute(query, tuple(values)).fetchall()

    def setting(self, name: str) -> str | None:
        """Return a saved setting."""
        rows = self.rows("SELECT value FROM settings WHERE name = ?", (name,))
        return str(rows[0][0]) if rows else None

    def save_setting(self, name: str, value: str | None) -> None:
        """Save a setting; None forgets it."""
        self.rows("DELETE FROM settings WHERE name = ?", (name,))
        if value is not None:
            self.rows("INSERT INTO settings (name, value) VALUES (?, ?)", (name, value))

    def remind(self, at: int, action: str, object_id: str) -> None:
        """Put something on the agenda, for when the sandbox's clock gets to `at`."""
        self.rows(
            "INSERT INTO agenda (at, action, object) VALUES (?, ?, ?)", (at, action, object_id)
        )
        self.first_due = min(self.first_due, at)

    def take_due(self, now: int) -> tuple[int, str, str] | None:
        """Take the earliest thing off the agenda that is due: (instant, action, object)."""
        rows = self.rows(
            "DELETE FROM agenda WHERE seq ="
            " (SELECT seq FROM agenda WHERE at <= ? ORDER BY at, seq LIMIT 1)"
            " RETURNING at, action, object",
            (now,),
        )
        if rows:
            return rows[0][0], rows[0][1], rows[0][2]
        self.first_due = self._first_due()
        return None

    def forget(self, action: str) -> None:
        """Take every reminder of an action off the agenda."""
        self.rows("DELETE FROM agenda WHERE action = ?", (action,))

    def _first_due(self) -> int:
        (at,) = self.rows("SELECT min(at) FROM agenda")[0]
        return _NEVER if at is None else int(at)

    def clear(self) -> None:
        """Forget all objects, answers and plans; settings stay."""
        for table in ("objects", "answers", "agenda", "deliveries"):
            self.rows(f"DELETE FROM {table}")  # noqa: S608  names from this line only
        self.first_due = _NEVER

    def close(self) -> None:
        """Close the file; what was committed is safe with or without this."""
        with self._lock:
            self._db.close()


def _owner(record: Record) -> Any:
    return record.get("customer") or record.get("payout")


def _dump(record: Record) -> str:
    return json.dumps(record, separators=(",", ":"))


def load(text: str) -> Record:
    """Return the record that a row's `body` holds."""
    record: Record = json.loads(text)
    return record
