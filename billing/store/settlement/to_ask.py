"""Refunds of ours that the settlement shows otherwise than they are here."""

from typing import Final

from sqlalchemy import Connection, text

from billing.rules.reconciliation import MovementKind

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


def refunds(conn: Connection, provider: str) -> list[str]:
    """Return the provider's ids of at most `ASKED_MAX` refunds whose state here is out of date."""
    rows = conn.execute(_REFUNDS, {"provider": provider, "limit": ASKED_MAX})
    return [row.source_id for row in rows]
