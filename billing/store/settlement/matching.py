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
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, TextClause, text

from billing.ledger.accounts import AccountCode
from billing.ledger.keys import EntryKind
from billing.plans.currencies import book_currencies, digits
from billing.rules.reconciliation import (
    BOOKED_BY_KIND,
    BOOKED_BY_RULE,
    DISPUTES,
    MARK,
    OF_CUSTOMERS,
    PAYOUTS,
    REFUNDS,
    BreakKind,
    MovementKind,
    RowOutcome,
)
from billing.store.arrays import literal
from billing.store.in_list import in_list
from billing.store.settlement.partial_captures import REVERSALS, REVERSED_OF_PARTIAL
from billing.store.settlement.row_sql import PAYMENT, RANGE, SHOWN, TO_CAPTURE, own_id


@dataclass(frozen=True, slots=True)
class Batch:
    """The locked rows of an account that are judged next: those with ids up to `upto`."""

    provider: str
    after: str
    upto: str
    rows: int


_LOCK = text(
    """
    SELECT count(*) AS n, max(provider_transaction_id) AS upto
      FROM (SELECT provider_transaction_id FROM settlement_rows
             WHERE provider = :provider AND matched_at IS NULL AND provider_transaction_id > :after
             ORDER BY provider_transaction_id LIMIT :limit FOR UPDATE) locked
    """
)


def lock_batch(conn: Connection, provider: str, *, after: str, limit: int) -> Batch | None:
    """Lock the account's next unmatched rows by id; None when there are no more."""
    row = conn.execute(_LOCK, {"provider": provider, "after": after, "limit": limit}).one()
    return None if row.upto is None else Batch(provider, after, row.upto, int(row.n))


def _dispute_key(kind: EntryKind) -> str:
    """Return the SQL of the source key under which a movement of a dispute is in the books."""
    return f"'{kind.prefix}' || d.id || ':' || r.provider_transaction_id"


def _update(judged: str, payment: str = "j.payment_id", *, learns: bool = False) -> TextClause:
    """Return the statement that writes outcomes; one that `learns` fills in customer's amounts."""
    learned = (
        """, customer_amount = coalesce(r.customer_amount, j.customer_amount),
                 customer_currency = coalesce(r.customer_currency, j.customer_currency)"""
        if learns
        else ""
    )
    return text(
        f"""
        WITH judged AS MATERIALIZED ({judged}), written AS (
          UPDATE settlement_rows AS r
             SET outcome = j.outcome, payment_id = coalesce({payment}, r.payment_id),
                 matched_at = CASE WHEN j.outcome = '{RowOutcome.MATCHED}'
                                   THEN CAST(:now AS timestamptz) END{learned}
            FROM judged j
           WHERE r.provider = :provider
             AND r.provider_transaction_id = j.provider_transaction_id
             AND (j.outcome = '{RowOutcome.MATCHED}' OR r.outcome IS DISTINCT FROM j.outcome
                  OR r.payment_id IS DISTINCT FROM j.payment_id)
        )
        SELECT outcome, count(*) AS n FROM judged GROUP BY outcome
        """
    )


# A refund or a dispute without a mark is whose the charge is. What has an id of ours is ours.
_OF_OTHERS = text(
    f"""
    WITH passed AS (
      UPDATE settlement_rows AS r
         SET outcome = '{RowOutcome.OTHER_ENGINE}', matched_at = CAST(:now AS timestamptz),
             posted_at = CAST(:now AS timestamptz)
       WHERE {RANGE} AND r.kind IN {in_list(OF_CUSTOMERS)}
         AND (r.metadata ->> '{MARK}' <> :engine
              OR r.kind <> '{MovementKind.CHARGE}' AND NOT r.metadata ? '{MARK}'
                 AND EXISTS (SELECT FROM settlement_rows o
                              WHERE o.provider = r.provider
                                AND o.provider_payment_id = r.provider_payment_id
                                AND o.kind = '{MovementKind.CHARGE}'
                                AND o.metadata ->> '{MARK}' <> :engine))
         AND NOT EXISTS (SELECT FROM payments p
                          WHERE p.provider = r.provider
                            AND p.provider_payment_id = r.provider_payment_id)
         AND NOT EXISTS (SELECT FROM payments p
                          WHERE p.provider = r.provider AND p.id = {own_id("payment")})
      RETURNING 1
    )
    SELECT count(*) FROM passed
    """
)


def pass_over(conn: Connection, batch: Batch, *, engine: UUID, now: datetime) -> int:
    """Mark the rows of a batch that another engine made than `engine`; return how many.

    They are matched and posted from then on, so that nobody judges or posts them.
    """
    params = {
        "provider": batch.provider,
        "after": batch.after,
        "upto": batch.upto,
        "engine": str(engine),
        "now": now,
    }
    return int(conn.execute(_OF_OTHERS, params).scalar_one())


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
             WHEN l.shown + l.reversed <> l.own_amount THEN
               CASE WHEN l.shown = l.authorized AND l.created > :young_after
                    THEN '{RowOutcome.WAITING}' ELSE '{BreakKind.AMOUNT_MISMATCH}' END
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
             r.currency, r.exchange_rate, {SHOWN},
             p.id AS payment_id, p.state, p.currency AS own_currency,
             {TO_CAPTURE} AS own_amount,
             p.provider_charge_id AS own_charge, i.status = 'void' AS voided,
             p.amount AS authorized,
             {REVERSED_OF_PARTIAL} AS reversed,
             row_number() OVER (
               PARTITION BY coalesce(p.id::text, r.provider_transaction_id)
               ORDER BY (p.provider_charge_id = r.provider_charge_id) IS TRUE DESC,
                        r.created, r.provider_transaction_id) AS nth,
             EXISTS (SELECT FROM settlement_rows o
                      WHERE o.provider = r.provider
                        AND o.provider_payment_id IN (p.provider_payment_id,
                                                      r.provider_payment_id)
                        AND o.kind = '{MovementKind.CHARGE}' AND o.payment_id = p.id
                        AND (o.matched_at IS NOT NULL AND o.outcome <> '{RowOutcome.RESOLVED}'
                             OR o.outcome = '{RowOutcome.CORRECT}' AND NOT
                                (o.provider_transaction_id > :after
                                 AND o.provider_transaction_id <= :upto))) AS taken,
             coalesce(to_unit.places - from_unit.places, 0) AS places
        FROM settlement_rows r
        LEFT JOIN LATERAL {PAYMENT} p ON true
        LEFT JOIN invoices i ON i.id = p.invoice_id
        LEFT JOIN unnest(CAST(:currencies AS text[]), CAST(:places AS integer[]))
                    AS to_unit(code, places)
               ON r.customer_currency <> r.currency AND to_unit.code = r.currency
        LEFT JOIN unnest(CAST(:currencies AS text[]), CAST(:places AS integer[]))
                    AS from_unit(code, places)
               ON r.customer_currency <> r.currency AND from_unit.code = r.customer_currency
       WHERE {RANGE} AND r.kind = '{MovementKind.CHARGE}') l
    """
)

_REVERSALS = _update(REVERSALS)

_REFUNDS = _update(
    f"""
    SELECT l.provider_transaction_id, l.payment_id,
           CASE
             WHEN l.refund_id IS NULL AND l.created > :young_after THEN '{RowOutcome.WAITING}'
             WHEN l.refund_id IS NULL THEN '{BreakKind.REFUND_UNKNOWN}'
             WHEN l.shown_in <> l.own_currency OR abs(l.shown) <> l.own_amount
               THEN '{BreakKind.REFUND_MISMATCH}'
             WHEN l.known THEN '{RowOutcome.MATCHED}'
             WHEN l.created > :young_after THEN '{RowOutcome.WAITING}'
             ELSE '{BreakKind.REFUND_MISMATCH}'
           END AS outcome
      FROM (
      SELECT r.provider_transaction_id, r.created, {SHOWN}, f.id AS refund_id,
             f.amount AS own_amount, f.currency AS own_currency,
             coalesce(f.payment_id, p.id) AS payment_id,
             CASE WHEN r.kind = '{MovementKind.REFUND_FAILURE}'
                  THEN f.state IN ('failed', 'canceled')
                  WHEN f.state IN ('failed', 'canceled')
                  THEN EXISTS (SELECT FROM settlement_rows b
                                WHERE b.provider = r.provider AND b.source_id = r.source_id
                                  AND b.kind <> 'charge'
                                  AND b.kind = '{MovementKind.REFUND_FAILURE}')
                  ELSE f.state <> 'requested' END AS known
        FROM settlement_rows r
        LEFT JOIN LATERAL (
             SELECT * FROM refunds
              WHERE provider = r.provider AND provider_refund_id = r.source_id
              UNION ALL
             SELECT * FROM refunds WHERE provider = r.provider AND id = {own_id("refund")}
              LIMIT 1) f ON true
        LEFT JOIN payments p ON p.provider = r.provider
                            AND p.provider_payment_id = r.provider_payment_id
       WHERE {RANGE} AND r.kind IN {in_list(REFUNDS)}) l
    """
)

# A movement of a dispute is compared with the entry that it made. Where nothing says how much that
# is in the customer's currency, the entry does.
_DISPUTES = _update(
    f"""
    SELECT r.provider_transaction_id, coalesce(d.payment_id, p.id) AS payment_id,
           CASE
             WHEN d.payment_id IS NULL AND r.created > :young_after THEN '{RowOutcome.WAITING}'
             WHEN d.payment_id IS NULL THEN '{BreakKind.DISPUTE_UNKNOWN}'
             WHEN r.customer_currency <> d.currency THEN '{BreakKind.DISPUTE_MISMATCH}'
             WHEN b.booked
              AND b.returned = coalesce(r.customer_amount,
                                        CASE WHEN r.currency = d.currency THEN r.amount
                                             ELSE b.returned END)
              AND b.fee = r.fee THEN '{RowOutcome.MATCHED}'
             WHEN b.booked THEN '{BreakKind.DISPUTE_MISMATCH}'
             WHEN r.created > :young_after THEN '{RowOutcome.WAITING}'
             ELSE '{BreakKind.DISPUTE_MISMATCH}'
           END AS outcome,
           CASE WHEN b.booked AND r.currency <> d.currency THEN b.returned END AS customer_amount,
           CASE WHEN b.booked AND r.currency <> d.currency THEN d.currency END AS customer_currency
      FROM settlement_rows r
      LEFT JOIN disputes d ON d.provider = r.provider AND d.provider_dispute_id = r.source_id
      LEFT JOIN payments p ON p.provider = r.provider
                          AND p.provider_payment_id = r.provider_payment_id
      LEFT JOIN LATERAL (
           SELECT r.provider_transaction_id = ANY(d.transaction_ids) AS booked,
                  coalesce(-sum(l.amount) FILTER (
                    WHERE a.code = '{AccountCode.DISPUTE_RECEIVABLE}'), 0) AS returned,
                  coalesce(sum(l.amount) FILTER (
                    WHERE a.code = '{AccountCode.DISPUTE_FEES}'), 0) AS fee
             FROM ledger.entries e
             JOIN ledger.postings l ON l.entry_id = e.id
             JOIN ledger.accounts a ON a.id = l.account_id
            WHERE e.source_key IN ({_dispute_key(EntryKind.DISPUTE_OPENED)},
                                   {_dispute_key(EntryKind.DISPUTE_WON)})) b ON true
     WHERE {RANGE} AND r.kind IN {in_list(DISPUTES)}
    """,
    learns=True,
)

# A payout that the list didn't show yet is judged by its transaction alone. The payout of a row's
# own movement comes before the payout that contains the row: a later payout contains money that
# came back.
_OTHERS = _update(
    f"""
    SELECT r.provider_transaction_id, CAST(NULL AS uuid) AS payment_id,
           CASE
             WHEN r.kind IN {in_list(BOOKED_BY_KIND)} THEN '{RowOutcome.MATCHED}'
             WHEN r.kind IN {in_list(BOOKED_BY_RULE)} AND r.category = ANY(CAST(:ruled AS text[]))
               THEN '{RowOutcome.MATCHED}'
             WHEN r.kind NOT IN {in_list(PAYOUTS)} THEN '{BreakKind.UNKNOWN_AT_PROVIDER}'
             WHEN o.currency <> r.currency OR abs(o.amount) <> abs(r.amount)
               THEN '{BreakKind.PAYOUT_MISMATCH}'
             ELSE '{RowOutcome.MATCHED}'
           END AS outcome
      FROM settlement_rows r
      LEFT JOIN payouts o ON o.provider = r.provider
                         AND o.provider_payout_id = coalesce(r.source_id, r.provider_payout_id)
     WHERE {RANGE}
       AND r.kind NOT IN {in_list(OF_CUSTOMERS)}
    """
)


def judge(
    conn: Connection,
    batch: Batch,
    *,
    now: datetime,
    young_after: datetime,
    ruled: Sequence[str] = (),
) -> dict[str, int]:
    """Write the outcome of every row of a batch and return how many have which.

    `ruled` are the categories of the provider for which a rule names an account.
    Rows created after `young_after` may still wait for our own side. A row with a payment is linked
    to it; a matched row is judged no more.
    """
    counts: dict[str, int] = {}
    params = {
        "provider": batch.provider,
        "after": batch.after,
        "upto": batch.upto,
        "now": now,
        "young_after": young_after,
    }
    for statement, more in (
        (_CHARGES, _currencies()),
        (_REVERSALS, {}),
        (_REFUNDS, {}),
        (_DISPUTES, {}),
        (_OTHERS, {}),
    ):
        if statement is _OTHERS:
            given: Mapping[str, Any] = {k: v for k, v in params.items() if k != "young_after"}
            given = {**given, "ruled": literal(list(ruled))}
        else:
            given = {**params, **more}
        for row in conn.execute(statement, given):
            counts[row.outcome] = counts.get(row.outcome, 0) + int(row.n)
    return counts


@cache
def _currencies() -> Mapping[str, str]:
    codes = sorted(book_currencies())
    return {"currencies": literal(codes), "places": literal([digits(code) for code in codes])}
