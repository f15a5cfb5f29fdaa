"""What processes, PostgreSQL and Valkey hold at a moment, and the figures that are judged of it."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Final

import psutil
import psycopg
import redis
from psycopg import sql

from tests.soak.flatness import Figure, Point, judged

MEGABYTE: Final = 1 << 20
JUDGED_BYTES: Final = MEGABYTE // 4
"""The size from which on the space of a table, or of its indexes, is judged."""

# What a figure may grow by in the time that is judged: a share of it, or a fixed amount.
MEMORY_SHARE, MEMORY_LEAST = 0.05, 8 * MEGABYTE
HANDLES, THREADS = 3.0, 2.0
CONNECTIONS: Final = 10.0  # pools that were cut or started again fill up to their size
SPACE_SHARE: Final = 0.10
LINE_POINTER: Final = 4  # bytes of a page for each row in it


@dataclass(frozen=True, slots=True)
class Held:
    """What a process holds."""

    pid: int
    memory: int
    handles: int
    threads: int


@dataclass(frozen=True, slots=True)
class Space:
    """What a table takes, in bytes, how many rows live in it, and what these alone would take."""

    heap: int
    indexes: int
    rows: int
    live: int

    @property
    def dead(self) -> float:
        """The space that no live row takes, for each live row: dead rows, and free space."""
        return (self.heap - self.live) / self.rows


@dataclass(frozen=True, slots=True)
class Stored:
    """What PostgreSQL holds."""

    connections: int
    cycles: int
    dead_rows: int
    tables: Mapping[str, Space]


@dataclass(slots=True)
class Samples:
    """Everything that was sampled, each kind with its own moments (seconds since the begin)."""

    processes: dict[str, list[tuple[float, Held]]] = field(default_factory=dict)
    stored: list[tuple[float, Stored]] = field(default_factory=list)
    queue_memory: list[Point] = field(default_factory=list)

    def figures(self, spared: Sequence[str], begin: float, end: float) -> list[Figure]:
        """Return what is judged: of processes, those that nobody struck in that time."""
        found = list(self._of_processes(spared, begin, end))
        found += self._of_database(begin, end)
        memory = judged(self.queue_memory, begin, end)
        found.append(Figure("valkey memory", "B", memory, _share(memory, 0.05, MEGABYTE)))
        return found

    def ended(self, name: str, begin: float, end: float) -> int:
        """Count how often a process was another one in the time that is judged."""
        samples = [(at, float(each.pid)) for at, each in self.processes.get(name, ())]
        found = judged(samples, begin, end)
        return max(0, len({pid for _, pid in found}) - 1)

    def _of_processes(self, spared: Sequence[str], begin: float, end: float) -> Iterator[Figure]:
        for name in spared:
            last = self.processes[name][-1][1].pid if self.processes.get(name) else None
            held = [(at, each) for at, each in self.processes.get(name, ()) if each.pid == last]
            memory = judged([(at, each.memory) for at, each in held], begin, end)
            handles = judged([(at, each.handles) for at, each in held], begin, end)
            threads = judged([(at, each.threads) for at, each in held], begin, end)
            allowed = _share(memory, MEMORY_SHARE, MEMORY_LEAST)
            yield Figure(f"{name} memory", "B", memory, allowed)
            yield Figure(f"{name} file handles", "", handles, HANDLES)
            yield Figure(f"{name} threads", "", threads, THREADS)

    def _of_database(self, begin: float, end: float) -> Iterator[Figure]:
        connections = [(at, float(each.connections)) for at, each in self.stored]
        yield Figure("database connections", "", judged(connections, begin, end), CONNECTIONS)
        if not self.stored:
            return
        for table, last in sorted(self.stored[-1][1].tables.items()):
            rows = [(at, each.tables[table]) for at, each in self.stored if table in each.tables]
            rows = [(at, space) for at, space in rows if space.rows]
            if last.heap >= JUDGED_BYTES:
                dead = judged([(at, space.dead) for at, space in rows], begin, end)
                allowed = SPACE_SHARE * last.heap / max(1, last.rows)
                yield Figure(f"{table}, dead space a row", "B", dead, allowed)
            if last.indexes >= JUDGED_BYTES:
                index = judged([(at, space.indexes / space.rows) for at, space in rows], begin, end)
                yield Figure(
                    f"{table}, its indexes a row", "B", index, _share(index, SPACE_SHARE, 0)
                )


def _share(points: Sequence[Point], share: float, least: float) -> float:
    values = [value for _, value in points]
    return max(least, share * median(values)) if values else least


def held_by(pid: int) -> Held | None:
    """Return what a process holds, with its children, or None when it is gone."""
    try:
        first = psutil.Process(pid)
        processes = [first, *first.children(recursive=True)]
        return Held(
            pid,
            sum(each.memory_info().rss for each in processes),
            sum(each.num_fds() for each in processes),
            sum(each.num_threads() for each in processes),
        )
    except psutil.Error:
        return None


_TABLES: Final = """
    SELECT n.nspname, c.relname, pg_relation_size(c.oid), pg_indexes_size(c.oid)
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind = 'r' AND n.nspname IN ('public', 'ledger')
"""
_CONNECTIONS: Final = (
    "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
    " AND pid <> pg_backend_pid()"
)
_DEAD: Final = "SELECT coalesce(sum(n_dead_tup), 0) FROM pg_stat_user_tables"


def stored_in(url: str) -> Stored | None:
    """Return what a database holds, or None while it can't be asked."""
    with (
        contextlib.suppress(psycopg.OperationalError),
        psycopg.connect(url, connect_timeout=5) as conn,
    ):
        tables = {
            f"{schema}.{name}": Space(heap, indexes, *_live(conn, schema, name))
            for schema, name, heap, indexes in conn.execute(_TABLES).fetchall()
        }
        return Stored(
            _number(conn, _CONNECTIONS),
            tables["public.cycles"].rows,
            _number(conn, _DEAD),
            tables,
        )
    return None


def _live(conn: psycopg.Connection, schema: str, name: str) -> tuple[int, int]:
    """Return how many rows live in a table, and what they take with their line pointers."""
    query = sql.SQL("SELECT count(*), coalesce(sum(pg_column_size(t.*) + {}), 0) FROM {} AS t")
    row = conn.execute(query.format(LINE_POINTER, sql.Identifier(schema, name))).fetchone()
    assert row is not None
    return int(row[0]), int(row[1])


def _number(conn: psycopg.Connection, query: str) -> int:
    row = conn.execute(query.encode()).fetchone()
    assert row is not None
    return int(row[0])


def queue_memory(client: redis.Redis) -> float | None:
    """Return what Valkey has allocated, or None while it can't be asked."""
    with contextlib.suppress(redis.RedisError):
        return float(client.info("memory")["used_memory"])
    return None
