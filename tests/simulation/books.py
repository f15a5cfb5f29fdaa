"""What is compared of refunds, of revenue, and of the closing of cycles."""

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Final
from uuid import NAMESPACE_OID, uuid5

from sqlalchemy import Connection, text

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation


def not_closed(conn: Connection) -> Iterator[str]:
    """Yield the cycles that stay open though everything of them is decided."""
    for row in conn.execute(_OPEN):
        yield f"period {row.n} of {row.external_id} is {row.state}, and all of it is settled"


def not_earned(conn: Connection, now: datetime) -> Iterator[str]:
    """Yield the invoices of periods whose revenue is earned too early, or not when it is due.

    What is charged once is earned as it is invoiced, as is usage; they are left out.
    """
    for row in conn.execute(_EARNED, {"now": now}):
        if row.early:
            yield f"invoice {row.number}: {row.early} is earned before {row.period_end}"
        elif row.due and row.earned != row.net:
            yield f"invoice {row.number}: {row.earned} of {row.net} is earned by {now}"


def not_expired(conn: Connection, now: datetime) -> Iterator[str]:
    """Yield the credit that could be used no more, and is still there."""
    for row in conn.execute(_EXPIRED, {"now": now}):
        yield f"{row.left} of the credit that expired on {row.expires_at} are still there"


def not_as_asked(conn: Connection, simulation: "Simulation") -> Iterator[str]:
    """Yield the refunds that aren't what was asked for, and those that nobody asked for."""
    rows = {row.id: row for row in conn.execute(_REFUNDS)}
    for fact in simulation.facts:
        if fact.event.kind != "refund":
            continue
        refund_id = uuid5(NAMESPACE_OID, f"{simulation.seed} refund {fact.number}")
        row, what = rows.pop(refund_id, None), f"refund {fact.number} of {fact.at}"
        if row is None:
            yield f"{what} was asked for, and isn't there"
            continue
        part = fact.event.part
        wanted = max(10, row.paid * part // 100 // 10 * 10) if part else row.paid
        if row.amount > wanted or (row.alone and row.amount != wanted):
            yield f"{what} gives back {row.amount} of {row.paid}, asked for was {wanted}"
    for row in rows.values():
        if row.note_id is None and row.invoice_id is not None:
            yield f"refund {row.id} of {row.amount} was made, and nobody asked for it"


_OPEN: Final = text(
    "SELECT c.n, c.state, s.external_id FROM cycles c"
    "  JOIN subscriptions s ON s.id = c.subscription_id"
    "  LEFT JOIN invoices i ON i.cycle_id = c.id LEFT JOIN payments p ON p.invoice_id = i.id"
    " WHERE c.state <> 'closed' AND (i.id IS NULL"
    "    OR i.status = 'paid' AND (p.id IS NULL OR p.settled_at IS NOT NULL))"
    "   AND NOT EXISTS (SELECT FROM breaks b WHERE b.cycle_id = c.id AND b.resolved_at IS NULL)"
)
# What was given back, disputed or voided has less to be earned; `books` leaves that to `prove`.
# Who is canceled at once is served no longer.
_END: Final = "least(c.period_end, coalesce(s.canceled_at, c.period_end))"
_USED: Final = "'calls', 'data', 'users', 'peak'"
_EARNED: Final = text(
    f"SELECT i.number, l.amount AS net, {_END} AS period_end,"
    "       c.period_end <= CAST(:now AS timestamptz) - interval '9 hours' AS due,"
    "       coalesce(sum(r.amount), 0) AS earned,"
    f"       coalesce(sum(r.amount) FILTER (WHERE r.through < {_END}"
    f"                                         OR {_END} > :now), 0) AS early"
    "  FROM invoices i JOIN cycles c ON c.id = i.cycle_id"
    "  JOIN subscriptions s ON s.id = c.subscription_id"
    f"  JOIN invoice_lines l ON l.invoice_id = i.id AND l.item NOT IN ('setup', {_USED})"
    "  LEFT JOIN revenue_recognitions r ON r.invoice_id = i.id AND r.line = l.line"
    " WHERE i.kind = 'cycle' AND i.status = 'paid'"
    "   AND NOT EXISTS (SELECT FROM cycle_cuts k"
    "                    WHERE k.subscription_id = c.subscription_id AND k.n = c.n)"
    "   AND NOT EXISTS (SELECT FROM credit_notes n WHERE n.invoice_id = i.id)"
    "   AND NOT EXISTS (SELECT FROM payments p JOIN refunds f ON f.payment_id = p.id"
    "                    WHERE p.invoice_id = i.id)"
    "   AND NOT EXISTS (SELECT FROM payments p JOIN disputes d ON d.payment_id = p.id"
    "                    WHERE p.invoice_id = i.id)"
    " GROUP BY i.id, c.id, s.id, l.invoice_id, l.line"
)
_EXPIRED: Final = text(
    "SELECT g.expires_at, m.left_after AS left FROM credit_grants g"
    "  JOIN credit_moves m ON m.grant_id = g.id"
    " WHERE g.expires_at < CAST(:now AS timestamptz) - interval '2 days'"
    "   AND m.at < CAST(:now AS timestamptz) - interval '2 days' AND m.left_after > 0"
    "   AND NOT EXISTS (SELECT FROM credit_moves o WHERE o.grant_id = g.id AND o.n > m.n)"
)
_REFUNDS: Final = text(
    "SELECT r.id, p.invoice_id, r.note_id, r.amount, p.amount_captured AS paid,"
    "       NOT EXISTS (SELECT FROM refunds o WHERE o.payment_id = p.id AND o.id <> r.id)"
    "       AND NOT EXISTS (SELECT FROM disputes d WHERE d.payment_id = p.id)"
    "       AND NOT EXISTS (SELECT FROM credit_notes n WHERE n.invoice_id = p.invoice_id) AS alone"
    "  FROM refunds r JOIN payments p ON p.id = r.payment_id"
)
