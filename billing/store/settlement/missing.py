"""Captures and refunds in our books that a completely read span of the settlement lacks."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, text

_CAPTURES: Final = text(
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
_REFUNDS: Final = text(
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


def captures(conn: Connection, *, since: datetime, before: datetime, limit: int) -> list[Row[Any]]:
    """Return captures of a span that was read completely, without a settlement or a break."""
    return list(conn.execute(_CAPTURES, {"since": since, "before": before, "limit": limit}))


def refunds(conn: Connection, *, since: datetime, before: datetime, limit: int) -> list[Row[Any]]:
    """Return refunds of a span that was read completely, of which no money left."""
    return list(conn.execute(_REFUNDS, {"since": since, "before": before, "limit": limit}))
