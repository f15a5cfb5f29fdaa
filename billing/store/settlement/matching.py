"""Judging settlement rows against our books, thousands in a statement.

`tests/oracles/settlement.py` specifies in Python what the statements return: `judge_charge`,
`judge_refund`, `judge_dispute` and `judge_payout`. A test compares the two. Every statement takes
the unmatched rows with ids in (after, upto], which the caller has locked.
"""
# ruff: noqa: S608  statements are put together from constants of this file

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Final

from sqlalchemy import Connection, Row, TextClause, text

from billing.rules.reconciliation import (
    DISPUTES,
    OF_CUSTOMERS,
    PAYOUTS,
    REFUNDS,
    BreakKind,
    MovementKind,
    RowOutcome,
)
from billing.store.arrays import literal
from plans.currencies import digits, known_currencies


@dataclass(frozen=True, slots=True)
class Batch:
    """The locked rows that are judged next: those with ids up to `upto`."""

    after: str
    upto: str
    rows: int


_LOCK = text(
    """
    SELECT count(*) AS n, max(provider_transaction_id) AS upto
      FROM (SELECT provider_transaction_id FROM settlement_rows
             WHERE matched_at IS NULL AND provider_transaction_id > :after
             ORDER BY provider_transaction_id LIMIT :limit FOR UPDATE) locked
    """
)


def lock_batch(conn: Connection, *, after: str, limit: int) -> Batch | None:
    """Lock the next unmatched rows by id; None when there are no more."""
    row = conn.execute(_LOCK, {"after": after, "limit": limit}).one()
    return None if row.upto is None else Batch(after, row.upto, int(row.n))


def _in(words: Sequence[str]) -> str:
    return "(" + ", ".join(f"'{word}'" for word in words) + ")"


_RANGE: Final = (
    "r.matched_at IS NULL AND r.provider_transaction_id > :after"
    " AND r.provider_transaction_id <= :upto"
)
_UUID: Final = "'^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'"
_SHOWN: Final = """coalesce(r.customer_amount, r.amount) AS shown,
             coalesce(r.customer_currency, r.currency) AS shown_in"""


def _own_id(key: str) -> str:
    """Return the SQL of our own id in the metadata, or NULL for what is no id."""
    return (
        f"CASE WHEN r.metadata ->> '{key}' ~ {_UUID} THEN CAST(r.metadata ->> '{key}' AS uuid) END"
    )


def _update(judged: str, payment: str = "j.payment_id") -> TextClause:
    return text(
        f"""
        WITH judged AS MATERIALIZED ({judged}), written AS (
          UPDATE settlement_rows AS r
             SET outcome = j.outcome, payment_id = coalesce({payment}, r.payment_id),
                 matched_at = CASE WHEN j.outcome = '{RowOutcome.MATCHED}'
                                   THEN CAST(:now AS timestamptz) END
            FROM judged j
           WHERE r.provider_transaction_id = j.provider_transaction_id
             AND (j.outcome = '{RowOutcome.MATCHED}' OR r.outcome IS DISTINCT FROM j.outcome
                  OR r.payment_id IS DISTINCT FROM j.payment_id)
        )
        SELECT outcome, count(*) AS n FROM judged GROUP BY outcome
        """
    )


# The row whose charge we know comes first, then the oldest: the others are duplicates. A row of
# another batch that matched, or is about to be booked, comes before those of this one.
_CHARGES = _update(
    f"""
    SELECT l.provider_transaction_id, l.payment_id,
           CASE
             WHEN l.payment_id IS NULL THEN '{BreakKind.UNKNOWN_AT_PROVIDER}'
             WHEN l.own_charge <> l.provider_charge_id OR l.nth > 1 OR l.taken
               THEN '{BreakKind.DUPLICATE_CHARGE}'
             WHEN l.state IN ('CREATED', 'AUTHORIZED') AND l.created > :young_after
               THEN '{RowOutcome.WAITING}'
             WHEN l.shown_in <> l.own_currency THEN '{BreakKind.CURRENCY_MISMATCH}'
             WHEN l.shown <> l.own_amount THEN '{BreakKind.AMOUNT_MISMATCH}'
             WHEN l.fee < 0 OR l.fee > l.amount THEN '{BreakKind.FEE_MISMATCH}'
             WHEN l.exchange_rate IS NULL AND l.shown_in = l.currency AND l.shown <> l.amount
               OR abs(abs(l.amount)
                      - abs(l.shown) * l.exchange_rate * power(10::numeric, l.places))
                  > 1 + abs(l.amount) / 10000.0
               THEN '{BreakKind.FX_MISMATCH}'
             WHEN l.state = 'FAILED' AND l.voided THEN '{BreakKind.CAPTURED_AT_PROVIDER_ONLY}'
             WHEN l.state IN ('CREATED', 'AUTHORIZED', 'FAILED') THEN '{RowOutcome.CORRECT}'
             ELSE '{RowOutcome.MATCHED}'
           END AS outcome
      FROM (
      SELECT r.provider_transaction_id, r.provider_charge_id, r.created, r.amount, r.fee,
             r.currency, r.exchange_rate, {_SHOWN},
             p.id AS payment_id, p.state, p.currency AS own_currency,
             coalesce(nullif(p.amount_captured, 0), p.capture_amount, p.amount) AS own_amount,
             p.provider_charge_id AS own_charge, i.status = 'void' AS voided,
             row_number() OVER (
               PARTITION BY coalesce(p.id::text, r.provider_transaction_id)
               ORDER BY (p.provider_charge_id = r.provider_charge_id) IS TRUE DESC,
                        r.created, r.provider_transaction_id) AS nth,
             EXISTS (SELECT FROM settlement_rows o
                      WHERE o.provider_payment_id IN (p.provider_payment_id,
                                                      r.provider_payment_id)
                        AND o.kind = '{MovementKind.CHARGE}' AND o.payment_id = p.id
                        AND (o.matched_at IS NOT NULL AND o.outcome <> '{RowOutcome.RESOLVED}'
                             OR o.outcome = '{RowOutcome.CORRECT}' AND NOT
                                (o.provider_transaction_id > :after
                                 AND o.provider_transaction_id <= :upto))) AS taken,
             coalesce(to_unit.places - from_unit.places, 0) AS places
        FROM settlement_rows r
        LEFT JOIN LATERAL (
             SELECT * FROM payments WHERE provider_payment_id = r.provider_payment_id
              UNION ALL
             SELECT * FROM payments WHERE id = {_own_id("payment")}
              UNION ALL
             SELECT * FROM payments WHERE provider_charge_id = r.provider_charge_id
              LIMIT 1) p ON true
        LEFT JOIN invoices i ON i.id = p.invoice_id
        LEFT JOIN unnest(CAST(:currencies AS text[]), CAST(:places AS integer[]))
                    AS to_unit(code, places)
               ON r.customer_currency <> r.currency AND to_unit.code = r.currency
        LEFT JOIN unnest(CAST(:currencies AS text[]), CAST(:places AS integer[]))
                    AS from_unit(code, places)
               ON r.customer_currency <> r.currency AND from_unit.code = r.customer_currency
       WHERE {_RANGE} AND r.kind = '{MovementKind.CHARGE}') l
    """
)

_REFUNDS = _update(
    f"""
    SELECT l.provider_transaction_id, l.payment_id,
           CASE
             WHEN l.refund_id IS NULL AND l.created > :young_after THEN '{RowOutcome.WAITING}'
             WHEN l.refund_id IS NULL THEN '{BreakKind.REFUND_UNKNOWN}'
             WHEN l.shown_in <> l.own_currency OR abs(l.shown) <> l.own_amount
               THEN '{BreakKind.REFUND_MISMATCH}'
             WHEN l.heard THEN '{RowOutcome.MATCHED}'
             WHEN l.created > :young_after THEN '{RowOutcome.WAITING}'
             ELSE '{BreakKind.REFUND_MISMATCH}'
           END AS outcome
      FROM (
      SELECT r.provider_transaction_id, r.created, {_SHOWN}, f.id AS refund_id,
             f.amount AS own_amount, f.currency AS own_currency,
             coalesce(f.payment_id, p.id) AS payment_id,
             CASE WHEN r.kind = '{MovementKind.REFUND_FAILURE}'
                  THEN f.state IN ('failed', 'canceled')
                  WHEN f.state IN ('failed', 'canceled')
                  THEN EXISTS (SELECT FROM settlement_rows b
                                WHERE b.source_id = r.source_id AND b.kind <> 'charge'
                                  AND b.kind = '{MovementKind.REFUND_FAILURE}')
                  ELSE f.state <> 'requested' END AS heard
        FROM settlement_rows r
        LEFT JOIN LATERAL (
             SELECT * FROM refunds WHERE provider_refund_id = r.source_id
              UNION ALL
             SELECT * FROM refunds WHERE id = {_own_id("refund")}
              LIMIT 1) f ON true
        LEFT JOIN payments p ON p.provider_payment_id = r.provider_payment_id
       WHERE {_RANGE} AND r.kind IN {_in(REFUNDS)}) l
    """
)

_DISPUTES = _update(
    f"""
    SELECT r.provider_transaction_id, coalesce(d.payment_id, p.id) AS payment_id,
           CASE
             WHEN d.payment_id IS NULL AND r.created > :young_after THEN '{RowOutcome.WAITING}'
             WHEN d.payment_id IS NULL THEN '{BreakKind.DISPUTE_UNKNOWN}'
             WHEN coalesce(r.customer_currency, r.currency) <> d.currency
               OR abs(coalesce(r.customer_amount, r.amount)) <> d.amount
               THEN '{BreakKind.DISPUTE_MISMATCH}'
             WHEN r.provider_transaction_id = ANY(d.transaction_ids) THEN '{RowOutcome.MATCHED}'
             WHEN r.created > :young_after THEN '{RowOutcome.WAITING}'
             ELSE '{BreakKind.DISPUTE_MISMATCH}'
           END AS outcome
      FROM settlement_rows r
      LEFT JOIN disputes d ON d.provider_dispute_id = r.source_id
      LEFT JOIN payments p ON p.provider_payment_id = r.provider_payment_id
     WHERE {_RANGE} AND r.kind IN {_in(DISPUTES)}
    """
)

# A payout that the list didn't show yet is judged by its transaction alone. What a row is about
# comes before the payout that carries it: money that came back is carried by a later one.
_OTHERS = _update(
    f"""
    SELECT r.provider_transaction_id, CAST(NULL AS uuid) AS payment_id,
           CASE
             WHEN r.kind = '{MovementKind.FEE}' THEN '{RowOutcome.MATCHED}'
             WHEN r.kind NOT IN {_in(PAYOUTS)} THEN '{BreakKind.UNKNOWN_AT_PROVIDER}'
             WHEN o.currency <> r.currency OR abs(o.amount) <> abs(r.amount)
               THEN '{BreakKind.PAYOUT_MISMATCH}'
             ELSE '{RowOutcome.MATCHED}'
           END AS outcome
      FROM settlement_rows r
      LEFT JOIN payouts o ON o.provider_payout_id = coalesce(r.source_id, r.provider_payout_id)
     WHERE {_RANGE}
       AND r.kind NOT IN {_in(OF_CUSTOMERS)}
    """
)


def judge(
    conn: Connection, batch: Batch, *, now: datetime, young_after: datetime
) -> dict[str, int]:
    """Write the outcome of every row of a batch and return how many have which.

    Rows created after `young_after` may still wait for our own side. What has a payment is
    linked to it; what matched is out of matching.
    """
    counts: dict[str, int] = {}
    params = {"after": batch.after, "upto": batch.upto, "now": now, "young_after": young_after}
    for statement, more in (
        (_CHARGES, _currencies()),
        (_REFUNDS, {}),
        (_DISPUTES, {}),
        (_OTHERS, {}),
    ):
        if statement is _OTHERS:
            given: Mapping[str, Any] = {k: v for k, v in params.items() if k != "young_after"}
        else:
            given = {**params, **more}
        for row in conn.execute(statement, given):
            counts[row.outcome] = counts.get(row.outcome, 0) + int(row.n)
    return counts


@cache
def _currencies() -> Mapping[str, str]:
    codes = sorted(known_currencies())
    return {"currencies": literal(codes), "places": literal([digits(code) for code in codes])}


# --- breaks of a batch --------------------------------------------------------------------------

_KINDS: Final = _in([str(kind) for kind in BreakKind])
_NEW_BREAKS = text(
    f"""
    SELECT r.*, p.state AS payment_state, p.provider_charge_id AS own_charge,
           p.currency AS own_currency,
           coalesce(nullif(p.amount_captured, 0), p.capture_amount, p.amount) AS own_amount,
           i.cycle_id, f.id AS refund_id, f.amount AS refund_amount,
           f.currency AS refund_currency, f.state AS refund_state, d.id AS dispute_id,
           d.amount AS dispute_amount, d.currency AS dispute_currency, d.state AS dispute_state,
           o.amount AS payout_amount, o.currency AS payout_currency, o.status AS payout_status
      FROM settlement_rows r
      LEFT JOIN payments p ON p.id = r.payment_id
      LEFT JOIN invoices i ON i.id = p.invoice_id
      LEFT JOIN refunds f ON r.kind IN {_in(REFUNDS)}
                         AND f.provider_refund_id = r.source_id
      LEFT JOIN disputes d ON r.kind IN {_in(DISPUTES)}
                          AND d.provider_dispute_id = r.source_id
      LEFT JOIN payouts o ON r.kind IN {_in(PAYOUTS)}
                         AND o.provider_payout_id = coalesce(r.source_id, r.provider_payout_id)
     WHERE {_RANGE} AND r.outcome IN {_KINDS}
       AND NOT EXISTS (SELECT FROM breaks b
                        WHERE b.provider_transaction_id = r.provider_transaction_id
                          AND b.kind = r.outcome
                          AND (b.resolved_at IS NULL OR b.resolved_by <> 'reconciler'))
     ORDER BY r.provider_transaction_id
    """
)


def new_breaks(conn: Connection, batch: Batch) -> list[Row[Any]]:
    """Return the rows of a batch that are breaks of which none is open or decided on."""
    return list(conn.execute(_NEW_BREAKS, {"after": batch.after, "upto": batch.upto}))


# What was matched just now isn't posted: without saying so all of history would be read.
_IN_BATCH: Final = (
    "r.provider_transaction_id > :after AND r.provider_transaction_id <= :upto"
    " AND r.matched_at = :now AND r.posted_at IS NULL"
)
# A row explains a break in four ways: it was the row's own, or the row turned out to be another
# kind of break; the list of charges had shown the charge too early; or the payment or the refund
# was thought to be missing.
_EXPLAINED: Final = (
    text(
        f"""
        UPDATE breaks AS b
           SET resolved_at = :now, resolved_by = 'reconciler',
               resolution = 'both sides agree by now'
          FROM settlement_rows r
         WHERE b.resolved_at IS NULL AND b.provider_transaction_id = r.provider_transaction_id
           AND {_IN_BATCH}
        """
    ),
    text(
        f"""
        UPDATE breaks AS b
           SET resolved_at = :now, resolved_by = 'reconciler',
               resolution = 'it is a ' || r.outcome
          FROM settlement_rows r
         WHERE b.resolved_at IS NULL AND b.provider_transaction_id = r.provider_transaction_id
           AND {_RANGE} AND r.outcome IN {_KINDS} AND b.kind <> r.outcome
        """
    ),
    text(
        f"""
        UPDATE breaks AS b
           SET resolved_at = :now, resolved_by = 'reconciler',
               provider_transaction_id = r.provider_transaction_id,
               resolution = 'both sides agree by now'
          FROM settlement_rows r
         WHERE b.resolved_at IS NULL AND b.provider_transaction_id IS NULL
           AND b.kind IN ('{BreakKind.UNKNOWN_AT_PROVIDER}', '{BreakKind.AMOUNT_MISMATCH}',
                          '{BreakKind.CURRENCY_MISMATCH}',
                          '{BreakKind.CAPTURED_AT_PROVIDER_ONLY}')
           AND b.provider ->> 'charge' = r.provider_charge_id
           AND {_IN_BATCH} AND r.kind = 'charge'
        """
    ),
    text(
        f"""
        UPDATE breaks AS b
           SET resolved_at = :now, resolved_by = 'reconciler',
               provider_transaction_id = r.provider_transaction_id,
               resolution = 'the provider shows it by now: ' || r.provider_transaction_id
          FROM settlement_rows r
         WHERE b.resolved_at IS NULL AND b.kind = '{BreakKind.MISSING_AT_PROVIDER}'
           AND b.payment_id = r.payment_id AND {_IN_BATCH} AND r.kind = 'charge'
        """
    ),
    text(
        f"""
        UPDATE breaks AS b
           SET resolved_at = :now, resolved_by = 'reconciler',
               provider_transaction_id = r.provider_transaction_id,
               resolution = 'the provider shows it by now: ' || r.provider_transaction_id
          FROM settlement_rows r
         WHERE b.resolved_at IS NULL AND b.kind = '{BreakKind.REFUND_MISSING}'
           AND b.ours ->> 'provider_refund' = r.source_id
           AND {_IN_BATCH} AND r.kind = '{MovementKind.REFUND}'
        """
    ),
)


def resolve_explained(conn: Connection, batch: Batch, now: datetime) -> int:
    """Resolve the open breaks that the rows of a batch, as they were judged `now`, explain."""
    params = {"after": batch.after, "upto": batch.upto, "now": now}
    return sum(conn.execute(statement, params).rowcount for statement in _EXPLAINED)


# --- what is missing ----------------------------------------------------------------------------

MISSING = text(
    """
    SELECT p.id, p.state, p.amount_captured, p.currency, p.provider_payment_id,
           p.provider_charge_id, p.captured_at, p.confirmed_at, i.cycle_id
      FROM payments p
      LEFT JOIN attempts a ON a.payment_id = p.id AND a.outcome = 'succeeded'
      LEFT JOIN invoices i ON i.id = p.invoice_id
     WHERE p.captured_at IS NOT NULL AND p.settled_at IS NULL
       AND coalesce(a.first_sent_at, p.captured_at) >= :since AND p.captured_at < :before
       AND NOT EXISTS (SELECT FROM breaks b WHERE b.payment_id = p.id AND b.resolved_at IS NULL)
       AND NOT EXISTS (SELECT FROM settlement_rows r
                        WHERE r.provider_payment_id = p.provider_payment_id
                          AND r.kind = 'charge' AND r.payment_id = p.id)
     ORDER BY p.id
     LIMIT :limit
    """
)
_REFUND_MISSING = text(
    """
    SELECT f.id, f.payment_id, f.amount, f.currency, f.provider_refund_id, f.finished_at
      FROM refunds f
     WHERE f.state = 'succeeded' AND f.settled_at IS NULL
       AND f.finished_at >= :since AND f.finished_at < :before
       AND NOT EXISTS (SELECT FROM settlement_rows r
                        WHERE r.source_id = f.provider_refund_id AND r.kind <> 'charge')
       AND NOT EXISTS (SELECT FROM breaks b WHERE b.payment_id = f.payment_id
                          AND b.resolved_at IS NULL)
     ORDER BY f.id
     LIMIT :limit
    """
)


def missing_captures(
    conn: Connection, *, since: datetime, before: datetime, limit: int
) -> list[Row[Any]]:
    """Return captures of a span that was read completely, without a settlement or a break."""
    return list(conn.execute(MISSING, {"since": since, "before": before, "limit": limit}))


def missing_refunds(
    conn: Connection, *, since: datetime, before: datetime, limit: int
) -> list[Row[Any]]:
    """Return refunds of a span that was read completely, of which no money left."""
    return list(conn.execute(_REFUND_MISSING, {"since": since, "before": before, "limit": limit}))
