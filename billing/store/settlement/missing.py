"""Captures and refunds in our books that a completely read span of the settlement lacks."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from billing.rules.payments import State
from billing.store.rows import reader


@dataclass(frozen=True, slots=True)
class MissingCapture:
    """A capture of ours without a settlement row."""

    id: UUID
    state: State
    amount_captured: int
    currency: str
    provider_payment_id: str | None
    provider_charge_id: str | None
    captured_at: datetime
    confirmed_at: datetime | None
    cycle_id: UUID | None


@dataclass(frozen=True, slots=True)
class MissingRefund:
    """A refund of ours that succeeded, without a settlement row."""

    id: UUID
    payment_id: UUID
    amount: int
    currency: str
    provider_refund_id: str | None
    finished_at: datetime


_capture = reader(MissingCapture)
_refund = reader(MissingRefund)

# A row's payment is at its account. An equality of accounts would become one with a constant, from
# which the planner expects few rows of a table that it has no statistics of, and reads all of it
# for each capture.
_CAPTURES: Final = text(
    """
    SELECT p.id, p.state, p.amount_captured, p.currency, p.provider_payment_id,
           p.provider_charge_id, p.captured_at, p.confirmed_at, i.cycle_id
      FROM payments p
      LEFT JOIN provider_calls a
             ON a.subject_id = p.id AND a.kind = 'charge' AND a.outcome = 'succeeded'
      LEFT JOIN invoices i ON i.id = p.invoice_id
     WHERE p.provider = :provider AND p.captured_at IS NOT NULL AND p.settled_at IS NULL
       AND coalesce(a.first_sent_at, p.captured_at) >= :since AND p.captured_at < :before
       AND NOT EXISTS (SELECT FROM breaks b WHERE b.payment_id = p.id AND b.resolved_at IS NULL)
       AND NOT EXISTS (SELECT FROM settlement_rows r
                        WHERE r.provider_payment_id = p.provider_payment_id
                          AND r.kind = 'charge' AND r.payment_id = p.id)
     ORDER BY p.id
     LIMIT :limit
    """
)
_REFUNDS: Final = text(
    """
    SELECT f.id, f.payment_id, f.amount, f.currency, f.provider_refund_id, f.finished_at
      FROM refunds f
     WHERE f.provider = :provider AND f.state = 'succeeded' AND f.settled_at IS NULL
       AND f.finished_at >= :since AND f.finished_at < :before
       AND NOT EXISTS (SELECT FROM settlement_rows r
                        WHERE r.provider IS NOT DISTINCT FROM f.provider
                          AND r.source_id = f.provider_refund_id AND r.kind <> 'charge')
       AND NOT EXISTS (SELECT FROM breaks b WHERE b.payment_id = f.payment_id
                          AND b.resolved_at IS NULL)
     ORDER BY f.id
     LIMIT :limit
    """
)


def captures(
    conn: Connection, provider: str, *, since: datetime, before: datetime, limit: int
) -> list[MissingCapture]:
    """Return captures of a span that was read completely, without a settlement or a break."""
    params = {"provider": provider, "since": since, "before": before, "limit": limit}
    return [_capture(row) for row in conn.execute(_CAPTURES, params)]


def refunds(
    conn: Connection, provider: str, *, since: datetime, before: datetime, limit: int
) -> list[MissingRefund]:
    """Return refunds of a span that was read completely, of which no money left."""
    params = {"provider": provider, "since": since, "before": before, "limit": limit}
    return [_refund(row) for row in conn.execute(_REFUNDS, params)]
