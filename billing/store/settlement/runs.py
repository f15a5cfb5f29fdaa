"""Settlement: reconciliation runs with their steps, and the provider's balance transactions.

A run's steps are rows, so where it stands is visible and outlives the process. Whoever works on
a step holds a lease on it and counts its tries up; the count is the token without which nothing
can be written, so a worker that was thought dead can't write over its successor. A run's own
times are domain time; the times of its steps are real, because they are for seeing what is slow.
"""
# ruff: noqa: S608  statements are put together from constants of this file

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from json import dumps
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Row, TextClause, select, text

from billing.ids import new_id
from billing.ledger.keys import EntryKind
from billing.rules.reconciliation import REFUNDS
from billing.store.arrays import literal
from billing.store.bulk import bulk_insert
from billing.store.tables import reconciliation_runs, reconciliation_steps

STEPS: Final = ("fetch", "stage", "match", "correct", "post", "close")


# --- runs ---------------------------------------------------------------------------------------

_START = text(
    """
    INSERT INTO reconciliation_runs (id, source, reference, window_from, window_to, state,
                                     started_at)
    VALUES (:id, :source, :reference, :window_from, :window_to, 'running', :now)
    ON CONFLICT (source, reference) DO NOTHING
    RETURNING id
    """
)
_BY_REFERENCE = text(
    "SELECT id FROM reconciliation_runs WHERE source = :source AND reference = :reference"
)


def start(
    conn: Connection,
    *,
    source: str,
    reference: str,
    window_from: datetime,
    window_to: datetime,
    now: datetime,
    facts: Mapping[str, Any] | None = None,
) -> UUID:
    """Create a run with its steps, or return the one that has this source and reference.

    `facts` are kept in the cursor of the first step.
    """
    run_id = new_id()
    made = conn.execute(
        _START,
        {
            "id": run_id,
            "source": source,
            "reference": reference,
            "window_from": window_from,
            "window_to": window_to,
            "now": now,
        },
    ).one_or_none()
    if made is None:
        found: UUID = conn.execute(
            _BY_REFERENCE, {"source": source, "reference": reference}
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
                "state": "waiting",
                "cursor": dict(facts or {}) if position == 1 else {},
            }
            for position, step in enumerate(STEPS, start=1)
        ],
    )
    return run_id


def get_run(conn: Connection, run_id: UUID) -> Row[Any]:
    """Return a run."""
    return conn.execute(select(reconciliation_runs).where(reconciliation_runs.c.id == run_id)).one()


def find_run(conn: Connection, run_id: UUID) -> Row[Any] | None:
    """Return a run, or None."""
    query = select(reconciliation_runs).where(reconciliation_runs.c.id == run_id)
    return conn.execute(query).one_or_none()


def runs(conn: Connection, *, limit: int = 10, source: str | None = None) -> list[Row[Any]]:
    """Return the latest runs, newest first."""
    query = select(reconciliation_runs).order_by(reconciliation_runs.c.id.desc()).limit(limit)
    if source is not None:
        query = query.where(reconciliation_runs.c.source == source)
    return list(conn.execute(query))


def steps(conn: Connection, run_id: UUID) -> list[Row[Any]]:
    """Return a run's steps in order."""
    query = select(reconciliation_steps).where(reconciliation_steps.c.run_id == run_id)
    return list(conn.execute(query.order_by(reconciliation_steps.c.position)))


_LAST_WINDOW = text(
    """
    SELECT max(window_to) FROM reconciliation_runs
     WHERE source = 'provider' AND state = 'succeeded'
    """
)
_RUNNING = text("SELECT id, source FROM reconciliation_runs WHERE state = 'running' ORDER BY id")


def read_until(conn: Connection) -> datetime | None:
    """Return up to where the provider's transactions were read and worked through."""
    return conn.execute(_LAST_WINDOW).scalar()


def running(conn: Connection) -> list[Row[Any]]:
    """Return the runs that are not over, oldest first."""
    return list(conn.execute(_RUNNING))


_BEGUN_AT = text(
    """
    SELECT count(*) FROM reconciliation_runs
     WHERE source = 'provider'
       AND window_to >= date_trunc('second', CAST(:now AS timestamptz))
       AND window_to < date_trunc('second', CAST(:now AS timestamptz)) + interval '1 second'
    """
)


def begun_at(conn: Connection, now: datetime) -> int:
    """Count the runs over the provider's lists that were begun within this very second."""
    return int(conn.execute(_BEGUN_AT, {"now": now}).scalar_one())


# The first send counts, not the capture: an answer may be adopted a day after the charge.
# What has long been known to be missing no longer stretches the window.
OLDEST_UNSETTLED = text(
    """
    SELECT least(
      (SELECT min(coalesce(a.first_sent_at, p.captured_at))
         FROM payments p
         LEFT JOIN attempts a ON a.payment_id = p.id AND a.outcome = 'succeeded'
        WHERE p.captured_at IS NOT NULL AND p.settled_at IS NULL
          AND NOT EXISTS (SELECT FROM breaks b WHERE b.payment_id = p.id AND b.resolved_at IS NULL
                             AND (b.kind <> 'missing_at_provider' OR b.found_at < :long_known))),
      (SELECT min(least(f.first_sent_at, f.finished_at))
         FROM refunds f
        WHERE f.state = 'succeeded' AND f.settled_at IS NULL
          AND NOT EXISTS (SELECT FROM breaks b
                           WHERE b.payment_id = f.payment_id AND b.resolved_at IS NULL
                             AND (b.kind <> 'refund_missing' OR b.found_at < :long_known))))
    """
)
_BEGINNING = text(
    """
    SELECT least((SELECT min(first_sent_at) FROM attempts),
                 (SELECT min(captured_at) FROM payments WHERE captured_at IS NOT NULL))
    """
)


def oldest_unsettled(conn: Connection, long_known: datetime) -> datetime | None:
    """Return when the oldest capture or refund was sent that has no settlement and no open break.

    One that went missing is looked for again, until its break was found before `long_known`.
    """
    return conn.execute(OLDEST_UNSETTLED, {"long_known": long_known}).scalar()


def beginning(conn: Connection) -> datetime | None:
    """Return when money could first have moved."""
    return conn.execute(_BEGINNING).scalar()


# --- steps --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StepClaim:
    """A step that a worker holds: where it stands, and the token (`tries`) to write with."""

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
       AND s.state <> 'succeeded' AND (s.lease_until IS NULL OR s.lease_until <= :wall)
    RETURNING s.step, s.tries, s.cursor, s.counts
    """
)


def claim(conn: Connection, run_id: UUID, *, wall: datetime, until: datetime) -> StepClaim | None:
    """Take the run's next step until `until` (real time); None when it is over or taken."""
    row = conn.execute(_CLAIM, {"run": run_id, "wall": wall, "until": until}).one_or_none()
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
    """Note how far a step came and hold it on; False when somebody else has taken it over."""
    values = {"cursor": cursor, "counts": counts, "until": until}
    return conn.execute(_ADVANCE, _key(held) | values).rowcount == 1


def finish(conn: Connection, held: StepClaim, *, cursor: str, counts: str, wall: datetime) -> bool:
    """Note the end of a step; False when somebody else has taken it over."""
    values = {"cursor": cursor, "counts": counts, "wall": wall}
    return conn.execute(_FINISH, _key(held) | values).rowcount == 1


def fail(conn: Connection, held: StepClaim, *, error: str, again_at: datetime) -> None:
    """Note an error and let nobody try again before `again_at` (real time)."""
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


def end(conn: Connection, run_id: UUID, *, state: str, now: datetime) -> bool:
    """Close a run, as succeeded only if every step did."""
    return conn.execute(_END, {"run": run_id, "state": state, "now": now}).rowcount == 1


def reopen(conn: Connection, run_id: UUID) -> None:
    """Let a failed run go on, and a failed step be tried at once."""
    conn.execute(_REOPEN, {"run": run_id})
    conn.execute(_RETRY_NOW, {"run": run_id})


_WIDEN = text(
    """
    UPDATE reconciliation_runs SET window_from = :window_from, window_to = :window_to
     WHERE id = :run
    """
)


def set_window(conn: Connection, run_id: UUID, window_from: datetime, window_to: datetime) -> None:
    """Note which span of time a report turned out to cover."""
    conn.execute(_WIDEN, {"run": run_id, "window_from": window_from, "window_to": window_to})


# --- rows ---------------------------------------------------------------------------------------

_COLUMNS: Final = (
    "provider_transaction_id", "run_id", "category", "source_id", "provider_payment_id",
    "provider_charge_id", "amount", "fee", "net", "currency", "customer_amount",
    "customer_currency", "exchange_rate", "provider_payout_id", "created", "available_on",
    "metadata",
)  # fmt: skip
_STAGE_TABLE: Final = text(
    "CREATE TEMPORARY TABLE settlement_staging (LIKE settlement_rows INCLUDING DEFAULTS)"
    " ON COMMIT DROP"
)
# A page at a time, a table of its own would cost more than the page.
_PAGE: Final = f"""
    unnest(CAST(:provider_transaction_id AS text[]), CAST(:run_id AS uuid[]),
           CAST(:category AS text[]), CAST(:source_id AS text[]),
           CAST(:provider_payment_id AS text[]), CAST(:provider_charge_id AS text[]),
           CAST(:amount AS bigint[]), CAST(:fee AS bigint[]), CAST(:net AS bigint[]),
           CAST(:currency AS text[]), CAST(:customer_amount AS bigint[]),
           CAST(:customer_currency AS text[]), CAST(:exchange_rate AS numeric[]),
           CAST(:provider_payout_id AS text[]), CAST(:created AS timestamptz[]),
           CAST(:available_on AS timestamptz[]), CAST(:metadata AS jsonb[]))
      AS s({", ".join(_COLUMNS)})"""


# What reports leave out unless they are asked for it.
_LEARNED: Final = (
    "source_id", "provider_payment_id", "provider_charge_id", "customer_amount",
    "customer_currency", "exchange_rate", "available_on",
)  # fmt: skip


def _learns(name: str) -> str:
    return f"r.{name} IS NULL AND s.{name} IS NOT NULL"


def _merging(source: str) -> tuple[TextClause, TextClause, TextClause]:
    """Return the statements that take in what stands in `source`.

    Transactions are taken in one order, so that two sources at once can't deadlock.
    A transaction that was read before stays as it is. What a source left out may be learned from
    another: its payout at any time, what it is about until it is matched. The last one returns
    what `source` shows otherwise than it was read before.
    """
    names = ", ".join(_COLUMNS)
    return (
        text(
            f"""
            UPDATE settlement_rows AS r
               SET provider_payout_id = coalesce(r.provider_payout_id, s.provider_payout_id)
                   {"".join(f", {name} = coalesce(r.{name}, s.{name})" for name in _LEARNED)},
                   metadata = s.metadata || r.metadata
              FROM {source}
             WHERE r.provider_transaction_id = s.provider_transaction_id
               AND (r.provider_payout_id IS NULL AND s.provider_payout_id IS NOT NULL
                    OR r.matched_at IS NULL
                       AND ((s.metadata || r.metadata) <> r.metadata
                            {"".join(f" OR {_learns(name)}" for name in _LEARNED)}))
            """
        ),
        text(
            f"""
            INSERT INTO settlement_rows ({names})
            SELECT {names} FROM {source} ORDER BY s.provider_transaction_id
                ON CONFLICT (provider_transaction_id) DO NOTHING
            """
        ),
        text(
            f"""
            SELECT r.provider_transaction_id, r.payment_id, r.category, r.amount, r.fee, r.net,
                   r.currency, s.category AS their_category, s.amount AS their_amount,
                   s.fee AS their_fee, s.net AS their_net, s.currency AS their_currency
              FROM {source}
              JOIN settlement_rows r ON r.provider_transaction_id = s.provider_transaction_id
             WHERE (r.amount, r.fee, r.net, r.currency) <> (s.amount, s.fee, s.net, s.currency)
             ORDER BY 1
            """
        ),
    )


_FROM_PAGE: Final = _merging(_PAGE)
_FROM_STAGING: Final = _merging("settlement_staging AS s")


@dataclass(frozen=True, slots=True)
class Merged:
    """What staging brought: transactions new to us, and those that look otherwise than before."""

    new: int
    changed: Sequence[Row[Any]]


def make_staging(conn: Connection) -> None:
    """Create this transaction's staging table; it writes no log and is gone at the end."""
    conn.execute(_STAGE_TABLE)


def copy_into_staging() -> str:
    """Return the COPY that fills the staging table, in text form."""
    return f"COPY settlement_staging ({', '.join(_COLUMNS)}) FROM STDIN"


def merge_staging(conn: Connection) -> Merged:
    """Take what is staged into the settlement rows, once each."""
    return _merge(conn, _FROM_STAGING, {})


def stage(conn: Connection, rows: Sequence[Mapping[str, Any]]) -> Merged:
    """Take a page of balance transactions into the settlement rows, once each."""
    if not rows:
        return Merged(0, ())
    columns = {name: [row[name] for row in rows] for name in _COLUMNS}
    columns["metadata"] = [dumps(value) for value in columns["metadata"]]
    return _merge(conn, _FROM_PAGE, {name: literal(values) for name, values in columns.items()})


def _merge(
    conn: Connection,
    statements: tuple[TextClause, TextClause, TextClause],
    params: Mapping[str, Any],
) -> Merged:
    learn, insert, changed = statements
    conn.execute(learn, params)
    new = conn.execute(insert, params).rowcount
    return Merged(new, conn.execute(changed, params).all())


_STAGED_SPAN = text("SELECT min(created) AS first, max(created) AS last FROM settlement_staging")


def staged_span(conn: Connection) -> tuple[datetime, datetime] | None:
    """Return the first and the last instant of what is staged."""
    row = conn.execute(_STAGED_SPAN).one()
    return None if row.first is None else (row.first, row.last)


# --- payouts ------------------------------------------------------------------------------------

_UPSERT_PAYOUTS = text(
    """
    INSERT INTO payouts (provider_payout_id, amount, currency, status, created, arrival, updated_at)
    SELECT id, amount, currency, status, created, arrival, :now
      FROM unnest(CAST(:ids AS text[]), CAST(:amounts AS bigint[]), CAST(:currencies AS text[]),
                  CAST(:statuses AS text[]), CAST(:createds AS timestamptz[]),
                  CAST(:arrivals AS timestamptz[]))
             AS x(id, amount, currency, status, created, arrival)
    ON CONFLICT (provider_payout_id) DO UPDATE
       SET status = excluded.status, arrival = excluded.arrival, updated_at = excluded.updated_at
     WHERE (payouts.status, payouts.arrival) IS DISTINCT FROM (excluded.status, excluded.arrival)
    """
)
_UNDECIDED_PAYOUT = text(
    """
    SELECT min(created) FROM payouts WHERE status NOT IN ('paid', 'failed', 'canceled')
    """
)


def put_payouts(conn: Connection, now: datetime, columns: Mapping[str, Any]) -> int:
    """Write down payouts as they are now and return how many are new or changed."""
    return conn.execute(_UPSERT_PAYOUTS, {**columns, "now": now}).rowcount


def oldest_undecided_payout(conn: Connection) -> datetime | None:
    """Return when the oldest payout was made that may still change."""
    return conn.execute(_UNDECIDED_PAYOUT).scalar()


# A payout is entered as arrived once its leaving is; what failed after that is taken back.
_ARRIVED = text(
    f"""
    SELECT o.* FROM payouts o
      JOIN ledger.entries sent
        ON sent.source_key = '{EntryKind.PAYOUT_SENT.prefix}' || o.provider_payout_id
     WHERE o.status = 'paid'
       AND NOT EXISTS (SELECT FROM ledger.entries e
                        WHERE e.source_key
                              = '{EntryKind.PAYOUT_ARRIVED.prefix}' || o.provider_payout_id)
       AND NOT EXISTS (SELECT FROM ledger.entries e
                        WHERE e.source_key
                              = '{EntryKind.PAYOUT_FAILED.prefix}' || o.provider_payout_id)
     ORDER BY o.provider_payout_id
    """
)


def payouts_to_book(conn: Connection) -> list[Row[Any]]:
    """Return the payouts that arrived and are not booked as arrived."""
    return list(conn.execute(_ARRIVED))


# --- posting ------------------------------------------------------------------------------------

_UNPOSTED = text(
    """
    SELECT * FROM settlement_rows
     WHERE matched_at IS NOT NULL AND posted_at IS NULL
       AND provider_transaction_id > :after
       AND (category = 'payout_reversal') = :payout_reversals
     ORDER BY provider_transaction_id
     LIMIT :limit
       FOR UPDATE
    """
)
_SETTLE = text(
    """
    WITH due AS MATERIALIZED (
      SELECT DISTINCT ON (r.payment_id) r.payment_id, r.provider_transaction_id,
             r.provider_charge_id, r.run_id, r.outcome
        FROM settlement_rows r
       WHERE r.provider_transaction_id = ANY(CAST(:ids AS text[]))
         AND r.category = 'charge' AND r.payment_id IS NOT NULL
       ORDER BY r.payment_id, r.provider_transaction_id
    ), locked AS MATERIALIZED (
      SELECT p.id, p.state, d.provider_transaction_id, d.provider_charge_id, d.run_id, d.outcome
        FROM payments p JOIN due d ON d.payment_id = p.id
       WHERE p.captured_at IS NOT NULL AND p.settled_at IS NULL
       ORDER BY p.id FOR UPDATE OF p
    ), settled AS (
      UPDATE payments AS p
         SET state = CASE WHEN l.state = 'CAPTURED' THEN 'SETTLED' ELSE l.state END,
             settled_at = :now, confirmed_at = coalesce(p.confirmed_at, :now), updated_at = :now,
             provider_charge_id = coalesce(p.provider_charge_id, l.provider_charge_id)
        FROM locked l WHERE p.id = l.id
      RETURNING p.id
    ), history AS (
      INSERT INTO payment_transitions (payment_id, from_state, to_state, at, actor, cause, evidence)
      SELECT l.id, 'CAPTURED', 'SETTLED', :now, 'reconciler', 'settlement',
             jsonb_build_object('balance_transaction', l.provider_transaction_id,
                                'charge', l.provider_charge_id, 'run', l.run_id,
                                'outcome', l.outcome)
        FROM locked l JOIN settled s ON s.id = l.id
       WHERE l.state = 'CAPTURED'
    )
    SELECT count(*) FROM settled
    """
)
# By the provider's id, or by ours where a report shows no source.
_SETTLE_REFUNDS = text(
    f"""
    WITH shown AS MATERIALIZED (
      SELECT r.source_id, CAST(r.metadata ->> 'refund' AS uuid) AS own_id
        FROM settlement_rows r
       WHERE r.provider_transaction_id = ANY(CAST(:ids AS text[]))
         AND r.category IN ({", ".join(f"'{category}'" for category in REFUNDS)})
         AND r.payment_id IS NOT NULL
    ), locked AS MATERIALIZED (
      SELECT f.id FROM refunds f
       WHERE f.settled_at IS NULL
         AND f.id IN (SELECT o.id FROM shown s JOIN refunds o ON o.provider_refund_id = s.source_id
                       UNION ALL
                      SELECT own_id FROM shown WHERE source_id IS NULL)
       ORDER BY f.id FOR UPDATE
    )
    UPDATE refunds AS f SET settled_at = :now FROM locked l WHERE f.id = l.id
    """
)
_POSTED = text(
    """
    UPDATE settlement_rows SET posted_at = :now
     WHERE provider_transaction_id = ANY(CAST(:ids AS text[]))
    """
)


def lock_unposted(
    conn: Connection, *, after: str, limit: int, payout_reversals: bool
) -> list[Row[Any]]:
    """Lock the next matched rows that are not in the books, by id."""
    params = {"after": after, "limit": limit, "payout_reversals": payout_reversals}
    return list(conn.execute(_UNPOSTED, params))


def settle_payments(conn: Connection, ids: str, now: datetime) -> int:
    """Make the captured payments of these (locked) charge rows SETTLED, with their history.

    `ids` is an array literal. A payment that was refunded meanwhile keeps its state.
    """
    return int(conn.execute(_SETTLE, {"ids": ids, "now": now}).scalar_one())


def settle_refunds(conn: Connection, ids: str, now: datetime) -> None:
    """Note which refunds these (locked) rows are the settlement of."""
    conn.execute(_SETTLE_REFUNDS, {"ids": ids, "now": now})


def mark_posted(conn: Connection, ids: str, now: datetime) -> None:
    """Note that these (locked) rows are in the books."""
    conn.execute(_POSTED, {"ids": ids, "now": now})


# --- correcting ---------------------------------------------------------------------------------

_TO_CORRECT = text(
    """
    SELECT provider_transaction_id FROM settlement_rows
     WHERE matched_at IS NULL AND outcome = 'correct' AND provider_transaction_id > :after
     ORDER BY provider_transaction_id LIMIT :limit
    """
)
_LOCK_ROW = text("SELECT * FROM settlement_rows WHERE provider_transaction_id = :id FOR UPDATE")
_LOCK_ROWS = text(
    """
    SELECT * FROM settlement_rows
     WHERE provider_transaction_id = ANY(CAST(:ids AS text[]))
     ORDER BY provider_transaction_id FOR UPDATE
    """
)
_UNKNOWN_WITH_NET = text(
    """
    SELECT provider_transaction_id FROM settlement_rows
     WHERE matched_at IS NULL AND outcome = 'unknown_at_provider' AND category <> 'charge'
       AND currency = :currency AND net = :net
     ORDER BY provider_transaction_id
    """
)
_DECIDE = text(
    """
    UPDATE settlement_rows
       SET outcome = :outcome,
           matched_at = CASE WHEN :done THEN CAST(:now AS timestamptz) END,
           posted_at = CASE WHEN :nothing_to_post THEN CAST(:now AS timestamptz) ELSE posted_at END
     WHERE provider_transaction_id = :id
    """
)


def to_correct(conn: Connection, *, after: str, limit: int) -> list[str]:
    """Return the next rows whose payment is to be corrected, by id."""
    rows = conn.execute(_TO_CORRECT, {"after": after, "limit": limit})
    return [row.provider_transaction_id for row in rows]


def lock_row(conn: Connection, transaction_id: str) -> Row[Any]:
    """Lock one settlement row."""
    return conn.execute(_LOCK_ROW, {"id": transaction_id}).one()


def lock_rows(conn: Connection, transaction_ids: Sequence[str]) -> dict[str, Row[Any]]:
    """Lock settlement rows, in the order of their ids; those that aren't there are left out."""
    rows = conn.execute(_LOCK_ROWS, {"ids": literal(transaction_ids)})
    return {row.provider_transaction_id: row for row in rows}


def unknown_with_net(conn: Connection, currency: str, net: int) -> list[str]:
    """Return the transactions of this net amount that nobody has explained yet."""
    rows = conn.execute(_UNKNOWN_WITH_NET, {"currency": currency, "net": net})
    return [row.provider_transaction_id for row in rows]


def decide_row(
    conn: Connection,
    transaction_id: str,
    outcome: str,
    now: datetime,
    *,
    done: bool,
    nothing_to_post: bool = False,
) -> None:
    """Write what became of one (locked) row; `done` takes it out of matching."""
    conn.execute(
        _DECIDE,
        {
            "id": transaction_id,
            "outcome": outcome,
            "now": now,
            "done": done,
            "nothing_to_post": nothing_to_post,
        },
    )
