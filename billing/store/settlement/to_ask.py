"""What the settlement shows otherwise than it is here, and the provider is asked about."""

from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from billing.rules.reconciliation import BreakKind, MovementKind

ASKED_MAX: Final = 1_000

_REFUNDS = text(
    f"""
    SELECT DISTINCT r.source_id
      FROM settlement_rows r
      JOIN refunds f ON f.provider = r.provider AND f.provider_refund_id = r.source_id
     WHERE r.provider = :provider AND r.matched_at IS NULL
       AND (r.kind = '{MovementKind.REFUND_FAILURE}' AND f.state NOT IN ('failed', 'canceled')
            OR r.kind = '{MovementKind.REFUND}' AND f.state = 'requested')
     ORDER BY r.source_id LIMIT :limit
    """  # noqa: S608  our constants
)


_CAPTURES = text(
    f"""
    SELECT DISTINCT p.id
      FROM breaks b JOIN payments p ON p.id = b.payment_id
     WHERE b.provider = :provider AND b.resolved_at IS NULL
       AND b.kind = '{BreakKind.MISSING_AT_PROVIDER}' AND p.state = 'CAPTURED'
     ORDER BY p.id LIMIT :limit
    """  # noqa: S608  our constants
)


def captures(conn: Connection, provider: str) -> list[UUID]:
    """Return at most `ASKED_MAX` captures of ours that are missing at the provider."""
    rows = conn.execute(_CAPTURES, {"provider": provider, "limit": ASKED_MAX})
    return [row.id for row in rows]


def refunds(conn: Connection, provider: str) -> list[str]:
    """Return the provider's ids of at most `ASKED_MAX` refunds whose state here is out of date."""
    rows = conn.execute(_REFUNDS, {"provider": provider, "limit": ASKED_MAX})
    return [row.source_id for row in rows]
