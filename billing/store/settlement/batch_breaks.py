"""Breaks of a batch of judged settlement rows: those to record, and those to resolve."""
# ruff: noqa: S608  statements are put together from constants of this file

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from billing.rules.disputes import DisputeState
from billing.rules.payments import State
from billing.rules.reconciliation import (
    DISPUTES,
    PAYOUTS,
    REFUNDS,
    BreakKind,
    MovementKind,
    PayoutStatus,
    RowOutcome,
)
from billing.rules.refunds import RefundState
from billing.store.in_list import in_list
from billing.store.rows import reader
from billing.store.settlement.matching import Batch
from billing.store.settlement.row_sql import RANGE
from billing.store.settlement.rows import SettlementRow


@dataclass(frozen=True, slots=True)
class DifferingRow(SettlementRow):
    """A settlement row that is a break, and our side of it."""

    outcome: BreakKind
    payment_state: State | None
    own_charge: str | None
    own_currency: str | None
    own_amount: int | None
    cycle_id: UUID | None
    refund_id: UUID | None
    refund_amount: int | None
    refund_currency: str | None
    refund_state: RefundState | None
    dispute_id: UUID | None
    dispute_amount: int | None
    dispute_currency: str | None
    dispute_state: DisputeState | None
    payout_amount: int | None
    payout_currency: str | None
    payout_status: PayoutStatus | None


_differing = reader(DifferingRow)

_KINDS: Final = in_list([str(kind) for kind in BreakKind])
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
      LEFT JOIN refunds f ON r.kind IN {in_list(REFUNDS)} AND f.provider = r.provider
                         AND f.provider_refund_id = r.source_id
      LEFT JOIN disputes d ON r.kind IN {in_list(DISPUTES)} AND d.provider = r.provider
                          AND d.provider_dispute_id = r.source_id
      LEFT JOIN payouts o ON r.kind IN {in_list(PAYOUTS)} AND o.provider = r.provider
                         AND o.provider_payout_id = coalesce(r.source_id, r.provider_payout_id)
     WHERE {RANGE} AND r.outcome IN {_KINDS}
       AND NOT EXISTS (SELECT FROM breaks b
                        WHERE b.provider = r.provider
                          AND b.provider_transaction_id = r.provider_transaction_id
                          AND b.kind = r.outcome
                          AND (b.resolved_at IS NULL OR b.resolved_by <> 'reconciler'))
     ORDER BY r.provider_transaction_id
    """
)


def new_breaks(conn: Connection, batch: Batch) -> list[DifferingRow]:
    """Return the rows of a batch that are breaks of which none is open or decided on."""
    params = {"provider": batch.provider, "after": batch.after, "upto": batch.upto}
    rows = conn.execute(_NEW_BREAKS, params)
    return [_differing(row) for row in rows]


# A row matched just now isn't posted: without this condition the statement would read all history.
_IN_BATCH: Final = (
    "r.provider = :provider"
    " AND r.provider_transaction_id > :after AND r.provider_transaction_id <= :upto"
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
         WHERE b.provider = :provider AND b.resolved_at IS NULL
           AND b.provider_transaction_id = r.provider_transaction_id
           AND {_IN_BATCH}
        """
    ),
    text(
        f"""
        UPDATE breaks AS b
           SET resolved_at = :now, resolved_by = 'reconciler',
               resolution = 'it is a ' || r.outcome
          FROM settlement_rows r
         WHERE b.provider = :provider AND b.resolved_at IS NULL
           AND b.provider_transaction_id = r.provider_transaction_id
           AND {RANGE} AND r.outcome IN {_KINDS} AND b.kind <> r.outcome
        """
    ),
    text(
        f"""
        UPDATE breaks AS b
           SET resolved_at = :now, resolved_by = 'reconciler',
               provider_transaction_id = r.provider_transaction_id,
               resolution = 'both sides agree by now'
          FROM settlement_rows r
         WHERE b.provider = :provider AND b.resolved_at IS NULL
           AND b.provider_transaction_id IS NULL
           AND b.kind IN ('{BreakKind.UNKNOWN_AT_PROVIDER}', '{BreakKind.AMOUNT_MISMATCH}',
                          '{BreakKind.CURRENCY_MISMATCH}',
                          '{BreakKind.CAPTURED_AT_PROVIDER_ONLY}')
           AND b.theirs ->> 'charge' = r.provider_charge_id
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
         WHERE b.provider = :provider AND b.resolved_at IS NULL
           AND b.kind = '{BreakKind.MISSING_AT_PROVIDER}'
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
         WHERE b.provider = :provider AND b.resolved_at IS NULL
           AND b.kind = '{BreakKind.REFUND_MISSING}'
           AND b.ours ->> 'provider_refund' = r.source_id
           AND {_IN_BATCH} AND r.kind = '{MovementKind.REFUND}'
        """
    ),
)


_PASSED_OVER: Final = text(
    f"""
    UPDATE breaks AS b
       SET resolved_at = :now, resolved_by = 'reconciler',
           provider_transaction_id = coalesce(b.provider_transaction_id, r.provider_transaction_id),
           resolution = 'another engine on this account made it'
      FROM settlement_rows r
     WHERE b.provider = :provider AND b.resolved_at IS NULL AND b.payment_id IS NULL
       AND r.provider = :provider AND r.outcome = '{RowOutcome.OTHER_ENGINE}'
       AND r.provider_transaction_id > :after AND r.provider_transaction_id <= :upto
       AND r.matched_at = :now
       AND (b.provider_transaction_id = r.provider_transaction_id
            OR b.dedupe_key IN ('{BreakKind.UNKNOWN_AT_PROVIDER}:' || r.provider_charge_id,
                                '{BreakKind.REFUND_UNKNOWN}:' || r.source_id,
                                '{BreakKind.DISPUTE_UNKNOWN}:' || r.source_id))
    """
)


def resolve_passed_over(conn: Connection, batch: Batch, now: datetime) -> int:
    """Resolve the open breaks about rows of a batch that another engine made, as of `now`."""
    params = {
        "provider": batch.provider,
        "after": batch.after,
        "upto": batch.upto,
        "now": now,
    }
    return conn.execute(_PASSED_OVER, params).rowcount


_OF_OTHERS: Final = text(
    f"""
    UPDATE breaks AS b
       SET resolved_at = :now, resolved_by = 'reconciler',
           provider_transaction_id = r.provider_transaction_id,
           resolution = 'another engine on this account made it'
      FROM settlement_rows r
     WHERE b.provider = :provider AND b.resolved_at IS NULL AND b.payment_id IS NULL
       AND b.kind IN ('{BreakKind.REFUND_UNKNOWN}', '{BreakKind.DISPUTE_UNKNOWN}')
       AND r.provider = :provider AND r.kind <> '{MovementKind.CHARGE}'
       AND r.source_id = substr(b.dedupe_key, length(b.kind) + 2)
       AND r.outcome = '{RowOutcome.OTHER_ENGINE}'
    """
)


def resolve_of_others(conn: Connection, provider: str, now: datetime) -> int:
    """Resolve the open breaks about what another engine made, whose rows were passed over before.

    A webhook may tell of it after the rows were read.
    """
    return conn.execute(_OF_OTHERS, {"provider": provider, "now": now}).rowcount


def resolve_explained(conn: Connection, batch: Batch, now: datetime) -> int:
    """Resolve the open breaks that the rows of a batch, as they were judged `now`, explain."""
    params = {
        "provider": batch.provider,
        "after": batch.after,
        "upto": batch.upto,
        "now": now,
    }
    return sum(conn.execute(statement, params).rowcount for statement in _EXPLAINED)
