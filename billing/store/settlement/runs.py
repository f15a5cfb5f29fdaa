"""Reconciliation runs and their steps.

A run's steps are rows, so its progress is visible and outlives the process. A process that works on
a step holds its lease and has incremented its `tries`. Every write needs the present count, so a
process whose lease was taken over can't write any more. A run's own times are domain time; the
times of its steps are real time, to show which step is slow.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, select, text

from billing.ids import new_id
from billing.rules.reconciliation import STEPS, RunSource, RunState, StepState
from billing.store.bulk import bulk_insert
from billing.store.rows import reader
from billing.store.tables import reconciliation_runs, reconciliation_steps


@dataclass(frozen=True, slots=True)
class SettlementRun:
    """One run as stored; `reference` names the report or the instant that it was begun for."""

    id: UUID
    provider: str
    source: RunSource
    reference: str
    window_from: datetime
    window_to: datetime
    state: RunState
    started_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class SettlementStep:
    """One step of a run as stored: its place, how far it came, and its last error."""

    run_id: UUID
    step: str
    position: int
    state: StepState
    tries: int
    cursor: Mapping[str, Any]
    counts: Mapping[str, int]
    last_error: str | None
    started_at: datetime | None
    finished_at: datetime | None
    lease_until: datetime | None


_run = reader(SettlementRun)
_step = reader(SettlementStep)

# --- runs ---------------------------------------------------------------------------------------

_START = text(
    """
    INSERT INTO reconciliation_runs (id, provider, source, reference, window_from, window_to, state,
                                     started_at)
    VALUES (:id, :provider, :source, :reference, :window_from, :window_to, 'running', :now)
    ON CONFLICT (provider, source, reference) DO NOTHING
    RETURNING id
    """
)
_ONE_AT_A_TIME = text(
    "SELECT pg_advisory_xact_lock(hashtextextended('settlement ' || :provider, 0))"
)
_BY_REFERENCE = text(
    "SELECT id FROM reconciliation_runs"
    " WHERE provider = :provider AND source = :source AND reference = :reference"
)


def one_at_a_time(conn: Connection, provider: str) -> None:
    """Wait until no other transaction begins a run of the account, and hold that until the end."""
    conn.execute(_ONE_AT_A_TIME, {"provider": provider})


def start(
    conn: Connection,
    *,
    provider: str,
    source: RunSource,
    reference: str,
    window_from: datetime,
    window_to: datetime,
    now: datetime,
    facts: Mapping[str, Any] | None = None,
) -> UUID:
    """Create a run with its steps, or return the account's with this source and reference.

    `facts` are kept in the cursor of the first step.
    """
    run_id = new_id()
    made = conn.execute(
        _START,
        {
            "id": run_id,
            "provider": provider,
            "source": source,
            "reference": reference,
            "window_from": window_from,
            "window_to": window_to,
            "now": now,
        },
    ).one_or_none()
    if made is None:
        found: UUID = conn.execute(
            _BY_REFERENCE, {"provider": provider, "source": source, "reference": reference}
        ).scalar_one()
        return found
    bulk_insert(
        conn,
        reconciliation_steps,
        [
            {
                "run_id": run_id,
                "step": step,
                "position": position,
                "state": StepState.WAITING,
                "cursor": dict(facts or {}) if position == 1 else {},
            }
            for position, step in enumerate(STEPS, start=1)
        ],
    )
    return run_id


def get_run(conn: Connection, run_id: UUID) -> SettlementRun:
    """Return a run."""
    query = select(reconciliation_runs).where(reconciliation_runs.c.id == run_id)
    return _run(conn.execute(query).one())


def find_run(conn: Connection, run_id: UUID) -> SettlementRun | None:
    """Return a run, or None."""
    query = select(reconciliation_runs).where(reconciliation_runs.c.id == run_id)
    row = conn.execute(query).one_or_none()
    return None if row is None else _run(row)


def runs(
    conn: Connection,
    *,
    limit: int = 10,
    source: RunSource | None = None,
    provider: str | None = None,
) -> list[SettlementRun]:
    """Return the latest runs, newest first; of one account where `provider` names it."""
    query = select(reconciliation_runs).order_by(reconciliation_runs.c.id.desc()).limit(limit)
    if provider is not None:
        query = query.where(reconciliation_runs.c.provider == provider)
    if source is not None:
        query = query.where(reconciliation_runs.c.source == source)
    return [_run(row) for row in conn.execute(query)]


def steps(conn: Connection, run_id: UUID) -> list[SettlementStep]:
    """Return a run's steps in order."""
    query = select(reconciliation_steps).where(reconciliation_steps.c.run_id == run_id)
    rows = conn.execute(query.order_by(reconciliation_steps.c.position))
    return [_step(row) for row in rows]


_AS_OF = text(
    """
    SELECT * FROM reconciliation_runs
     WHERE provider = :provider AND source = 'provider' AND window_to = :as_of
     ORDER BY id DESC LIMIT 1
    """
)
_COVERING = text(
    """
    SELECT * FROM reconciliation_runs
     WHERE provider = :provider AND source = 'provider' AND state = 'succeeded'
       AND window_to >= :as_of
     ORDER BY window_to, id LIMIT 1
    """
)


def as_of(conn: Connection, provider: str, instant: datetime) -> SettlementRun | None:
    """Return the account's latest run over the provider's lists up to exactly that instant."""
    row = conn.execute(_AS_OF, {"provider": provider, "as_of": instant}).one_or_none()
    return None if row is None else _run(row)


def covering(conn: Connection, provider: str, instant: datetime) -> SettlementRun | None:
    """Return the first succeeded run that read the provider's lists up to that instant or later."""
    row = conn.execute(_COVERING, {"provider": provider, "as_of": instant}).one_or_none()
    return None if row is None else _run(row)


_RUNNING = text(
    "SELECT * FROM reconciliation_runs WHERE state = 'running' AND provider = :provider ORDER BY id"
)


def running(conn: Connection, provider: str) -> list[SettlementRun]:
    """Return the account's runs that are not over, oldest first."""
    return [_run(row) for row in conn.execute(_RUNNING, {"provider": provider})]


_BEGUN_AT = text(
    """
    SELECT count(*) FROM reconciliation_runs
     WHERE provider = :provider AND source = 'provider'
       AND window_to >= date_trunc('second', CAST(:now AS timestamptz))
       AND window_to < date_trunc('second', CAST(:now AS timestamptz)) + interval '1 second'
    """
)


def begun_at(conn: Connection, provider: str, now: datetime) -> int:
    """Count the runs over the account's lists that were begun within this very second."""
    return int(conn.execute(_BEGUN_AT, {"provider": provider, "now": now}).scalar_one())


# --- steps --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StepClaim:
    """A step that a process has leased: its cursor, and the `tries` that its writes need."""

    run_id: UUID
    step: str
    tries: int
    cursor: Mapping[str, Any]
    counts: Mapping[str, int]


# A step depends on the one before it. A lease that ran out is taken over.
_CLAIM = text(
    """
    UPDATE reconciliation_steps AS s
       SET state = 'running', tries = s.tries + 1, lease_until = :until,
           started_at = coalesce(s.started_at, :wall)
     WHERE s.run_id = :run
       AND s.position = (SELECT min(o.position) FROM reconciliation_steps o
                          WHERE o.run_id = :run AND o.state <> 'succeeded')
       AND s.state <> 'succeeded'
       AND (CAST(:step AS text) IS NULL OR s.step = :step)
       AND (s.lease_until IS NULL OR s.lease_until <= :wall
            -- Set by a wrong clock: a lease is no longer than the one that is taken now.
            OR s.state = 'running'
               AND s.lease_until > CAST(:until AS timestamptz) + interval '5 minutes'
            OR s.lease_until > CAST(:wall AS timestamptz) + interval '1 day')
    RETURNING s.step, s.tries, s.cursor, s.counts
    """
)


def claim(
    conn: Connection, run_id: UUID, *, wall: datetime, until: datetime, step: str | None = None
) -> StepClaim | None:
    """Take the run's next step until `until` (real time); None when it is over or taken.

    With `step` only that one; None too where another step is the next.
    """
    params = {"run": run_id, "wall": wall, "until": until, "step": step}
    row = conn.execute(_CLAIM, params).one_or_none()
    if row is None:
        return None
    return StepClaim(run_id, row.step, row.tries, row.cursor, row.counts)


_ADVANCE = text(
    """
    UPDATE reconciliation_steps
       SET cursor = CAST(:cursor AS jsonb), counts = CAST(:counts AS jsonb), lease_until = :until,
           last_error = NULL
     WHERE run_id = :run AND step = :step AND tries = :tries AND state = 'running'
    """
)
_FINISH = text(
    """
    UPDATE reconciliation_steps
       SET cursor = CAST(:cursor AS jsonb), counts = CAST(:counts AS jsonb), state = 'succeeded',
           finished_at = :wall, lease_until = NULL, last_error = NULL
     WHERE run_id = :run AND step = :step AND tries = :tries AND state = 'running'
    """
)
_FAIL = text(
    """
    UPDATE reconciliation_steps
       SET state = 'failed', last_error = :error, lease_until = :again_at
     WHERE run_id = :run AND step = :step AND tries = :tries AND state = 'running'
    """
)


def advance(
    conn: Connection, held: StepClaim, *, cursor: str, counts: str, until: datetime
) -> bool:
    """Write a step's cursor and extend its lease; False when another process has taken it over."""
    values = {"cursor": cursor, "counts": counts, "until": until}
    return conn.execute(_ADVANCE, _key(held) | values).rowcount == 1


def finish(conn: Connection, held: StepClaim, *, cursor: str, counts: str, wall: datetime) -> bool:
    """Write the end of a step; False when another process has taken it over."""
    values = {"cursor": cursor, "counts": counts, "wall": wall}
    return conn.execute(_FINISH, _key(held) | values).rowcount == 1


def fail(conn: Connection, held: StepClaim, *, error: str, again_at: datetime) -> None:
    """Write a step's error; it isn't tried again before `again_at` (real time)."""
    conn.execute(_FAIL, _key(held) | {"error": error[:1000], "again_at": again_at})


def _key(held: StepClaim) -> dict[str, Any]:
    return {"run": held.run_id, "step": held.step, "tries": held.tries}


_END = text(
    """
    UPDATE reconciliation_runs SET state = :state, finished_at = :now
     WHERE id = :run AND state = 'running'
       AND (:state = 'failed' OR NOT EXISTS (SELECT FROM reconciliation_steps
                                              WHERE run_id = :run AND state <> 'succeeded'))
    """
)
_REOPEN = text(
    "UPDATE reconciliation_runs SET state = 'running', finished_at = NULL WHERE id = :run"
    " AND state = 'failed'"
)
_RETRY_NOW = text(
    """
    UPDATE reconciliation_steps SET lease_until = NULL, tries = tries + 1
     WHERE run_id = :run AND state = 'failed'
    """
)


def end(conn: Connection, run_id: UUID, *, state: RunState, now: datetime) -> bool:
    """Close a run, as succeeded only if every step did."""
    return conn.execute(_END, {"run": run_id, "state": state, "now": now}).rowcount == 1


def reopen(conn: Connection, run_id: UUID) -> None:
    """Make a failed run continue, with its failed step due at once."""
    conn.execute(_REOPEN, {"run": run_id})
    conn.execute(_RETRY_NOW, {"run": run_id})


_WIDEN = text(
    """
    UPDATE reconciliation_runs SET window_from = :window_from, window_to = :window_to
     WHERE id = :run
    """
)


def set_window(conn: Connection, run_id: UUID, window_from: datetime, window_to: datetime) -> None:
    """Write the span of time that a report covers."""
    conn.execute(_WIDEN, {"run": run_id, "window_from": window_from, "window_to": window_to})
