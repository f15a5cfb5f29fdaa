"""Payouts against the movements that they carried, and against what their event told."""
# ruff: noqa: S608  a statement is put together from constants

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from billing.rules.provider_events import EventKind
from billing.rules.reconciliation import PAYOUTS, MovementKind
from billing.store.in_list import in_list
from billing.store.rows import reader


@dataclass(frozen=True, slots=True)
class PayoutSum:
    """A payout: what was paid out, what its movements come to, and what its event told, if it did.

    Amounts in minor units of the currency.
    """

    payout: str
    currency: str
    paid: int
    carried: int
    told: int | None

    @property
    def agrees(self) -> bool:
        """Tell whether all that is known of it is the same amount."""
        return self.paid == self.carried and self.told in (None, self.paid)


_payout_sum = reader(PayoutSum)

_SUMS = text(
    f"""
    SELECT o.source_id AS payout, o.currency, -o.amount AS paid,
           (SELECT coalesce(sum(r.amount - CASE WHEN :net THEN r.fee ELSE 0 END), 0)::bigint
              FROM settlement_rows r
             WHERE r.provider = o.provider AND r.provider_payout_id = o.source_id
               AND r.currency = o.currency AND r.created = o.created
               AND r.kind NOT IN {in_list(PAYOUTS)}) AS carried,
           (SELECT CAST(e.payload -> 'paid' ->> 'amount' AS bigint) FROM provider_events e
             WHERE e.provider = o.provider AND e.object_id = o.source_id
               AND e.kind = '{EventKind.PAYOUT_PAID}'
               AND e.payload -> 'paid' ->> 'currency' = o.currency
             ORDER BY e.created DESC, e.event_id LIMIT 1) AS told
      FROM settlement_rows o
     WHERE o.provider = :provider AND o.kind = '{MovementKind.PAYOUT}' AND o.created >= :since
       AND o.source_id IS NOT NULL
     ORDER BY payout, o.currency
    """
)


def sums(conn: Connection, provider: str, *, since: datetime, net: bool) -> Sequence[PayoutSum]:
    """Return the account's payouts dated since then; `net` takes fees off their movements."""
    rows = conn.execute(_SUMS, {"provider": provider, "since": since, "net": net})
    return [_payout_sum(row) for row in rows]
