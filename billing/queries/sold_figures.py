"""Figures of what is sold: invoices, changes, coupons and credit notes."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, text

from billing.pricing import InvoiceKind
from billing.queries.figures import Figure
from billing.rules.credit_notes import Destination
from billing.rules.item_changes import Applies
from billing.rules.subscriptions import DatedChangeKind

_CHANGES_MADE: Final = (
    DatedChangeKind.QUANTITY,
    DatedChangeKind.PLAN,
    DatedChangeKind.SCHEDULE,
)
# Most invoices are of cycles. They have no entry in the index by kind, so they are what is left.
INVOICES: Final = text(
    """
    WITH others AS MATERIALIZED (
      SELECT kind, count(*) AS n FROM invoices WHERE kind <> 'cycle' GROUP BY kind)
    SELECT kind, n FROM others
     UNION ALL
    SELECT 'cycle', (SELECT count(*) FROM invoices) - coalesce(sum(n), 0) FROM others
    """
)
_NOTES: Final = text("SELECT destination, count(*) AS n FROM credit_notes GROUP BY destination")
_REDEMPTIONS: Final = text("SELECT count(*) FROM redemptions")
CHANGES: Final = text(
    """
    SELECT c.kind, c.applies, count(*) AS n FROM subscription_changes c
     WHERE c.applies IS NOT NULL AND c.holds_from <= :now
       AND NOT EXISTS (SELECT FROM subscription_changes w WHERE w.withdraws = c.change_id)
     GROUP BY c.kind, c.applies
    """
)


def sold(conn: Connection, now: datetime) -> Iterator[Figure]:
    """Yield the figures of what is sold."""
    invoices = {row.kind: float(row.n) for row in conn.execute(INVOICES)}
    yield Figure(
        "billing_invoices",
        "Invoices that were issued, by kind.",
        ("kind",),
        [((str(kind),), invoices.get(str(kind), 0.0)) for kind in InvoiceKind],
    )
    changes = {(row.kind, row.applies): float(row.n) for row in conn.execute(CHANGES, {"now": now})}
    yield Figure(
        "billing_subscription_changes",
        "Changes of plan, quantities or periods that hold.",
        ("kind", "applies"),
        [
            ((str(kind), str(applies)), changes.get((str(kind), str(applies)), 0.0))
            for kind in _CHANGES_MADE
            for applies in Applies
        ],
    )
    redeemed = conn.execute(_REDEMPTIONS).scalar_one()
    yield Figure(
        "billing_coupon_redemptions", "Coupons that were redeemed.", (), [((), float(redeemed))]
    )
    notes = {row.destination: float(row.n) for row in conn.execute(_NOTES)}
    yield Figure(
        "billing_credit_notes",
        "Credit notes that were issued, by where what they give back goes.",
        ("destination",),
        [((str(each),), notes.get(str(each), 0.0)) for each in Destination],
    )
