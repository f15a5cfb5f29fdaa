"""What needs a person, counted: each count is of a list that a page shows.

What merely waits for the engine or for time isn't counted. A count stops at `MANY`, so that each
takes the same time however many there are.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from sqlalchemy import Connection, text

from billing.store.payments.provider_calls import UNKNOWN_ATTEMPT
from billing.store.rows import reader

MANY: Final = 10_000


class Attention(StrEnum):
    """The kinds of what needs a person."""

    NEEDS_CUSTOMER = "needs_customer"
    ON_THE_LADDER = "on_the_ladder"
    GIVEN_UP = "given_up"
    UNKNOWN = "unknown"
    PARKED_SUBSCRIPTIONS = "parked_subscriptions"
    PARKED_PAYMENTS = "parked_payments"
    BREAKS = "breaks"
    DISPUTES = "disputes"
    REFUNDS_FAILED = "refunds_failed"


_ROWS: Final[Mapping[Attention, str]] = {
    Attention.NEEDS_CUSTOMER: "payments WHERE state = 'CREATED' AND decline_class IS NOT NULL"
    " AND decline_class = 'needs_customer'",
    Attention.ON_THE_LADDER: "payments WHERE state = 'CREATED' AND decline_class IS NOT NULL"
    " AND decline_class <> 'needs_customer'",
    # What was given up and can still be collected: its cycle is open.
    Attention.GIVEN_UP: "payments p JOIN invoices i ON i.id = p.invoice_id"
    " JOIN cycles c ON c.id = i.cycle_id WHERE p.state = 'FAILED' AND c.state = 'opened'",
    Attention.UNKNOWN: f"provider_calls WHERE {UNKNOWN_ATTEMPT}",
    Attention.PARKED_SUBSCRIPTIONS: "subscriptions WHERE parked_at IS NOT NULL",
    Attention.PARKED_PAYMENTS: "payments WHERE parked_at IS NOT NULL",
    Attention.BREAKS: "breaks WHERE resolved_at IS NULL",
    Attention.DISPUTES: "disputes WHERE state IN ('inquiry', 'opened')",
    Attention.REFUNDS_FAILED: "refunds WHERE state = 'failed'",
}
_COUNTED: Final = "(SELECT count(*) FROM (SELECT FROM {rows} LIMIT {limit}) x) AS {name}"
_COUNTS: Final = text(
    f"SELECT {', '.join(_COUNTED.format(rows=_ROWS[k], limit=MANY + 1, name=k) for k in _ROWS)}"
)


def counts(conn: Connection) -> dict[Attention, int]:
    """Count what needs a person, each up to one more than `MANY`."""
    row = conn.execute(_COUNTS).one()._mapping
    return {kind: int(row[str(kind)]) for kind in Attention}


@dataclass(frozen=True, slots=True)
class SettledUpTo:
    """Up to when an account's settlement was worked through, and how many runs failed since."""

    provider: str
    window_to: datetime | None
    failed: int


_settled = reader(SettledUpTo)
_SETTLED: Final = text(
    """
    SELECT f.provider,
           (SELECT max(window_to) FROM reconciliation_runs r
             WHERE r.provider = f.provider AND r.source = 'provider'
               AND r.state = 'succeeded') AS window_to,
           (SELECT count(*) FROM reconciliation_runs r
             WHERE r.provider = f.provider AND r.source = 'provider' AND r.state = 'failed'
               AND NOT EXISTS (SELECT FROM reconciliation_runs s
                                WHERE s.provider = r.provider AND s.source = 'provider'
                                  AND s.state = 'succeeded' AND s.id > r.id)) AS failed
      FROM provider_fences f ORDER BY f.provider
    """
)


def settled_up_to(conn: Connection) -> list[SettledUpTo]:
    """Return how far the settlement of each account is."""
    return [_settled(row) for row in conn.execute(_SETTLED)]
