"""Payouts of the provider as they are now, and which of them are to be booked as arrived."""
# ruff: noqa: S608  statements are put together from constants of `keys`

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from billing.ledger.keys import EntryKind
from billing.rules.reconciliation import ENDED, PayoutStatus
from billing.store.rows import reader
from billing.store.settlement.row_sql import in_list
from billing.store.source_keys import key_sql


@dataclass(frozen=True, slots=True)
class Payout:
    """A payout as the provider showed it last."""

    provider: str
    provider_payout_id: str
    amount: int
    currency: str
    status: PayoutStatus
    created: datetime
    arrival: datetime | None
    updated_at: datetime


_payout = reader(Payout)

_UPSERT_PAYOUTS = text(
    """
    INSERT INTO payouts (provider, provider_payout_id, amount, currency, status, created, arrival,
                         updated_at)
    SELECT :provider, id, amount, currency, status, created, arrival, :now
      FROM unnest(CAST(:ids AS text[]), CAST(:amounts AS bigint[]), CAST(:currencies AS text[]),
                  CAST(:statuses AS text[]), CAST(:createds AS timestamptz[]),
                  CAST(:arrivals AS timestamptz[]))
             AS x(id, amount, currency, status, created, arrival)
    ON CONFLICT (provider, provider_payout_id) DO UPDATE
       SET status = excluded.status, arrival = excluded.arrival, updated_at = excluded.updated_at
     WHERE (payouts.status, payouts.arrival) IS DISTINCT FROM (excluded.status, excluded.arrival)
    """
)
_UNDECIDED_PAYOUT = text(
    f"""
    SELECT min(created) FROM payouts
     WHERE provider = :provider AND status NOT IN {in_list(ENDED)}
    """
)


def put_payouts(conn: Connection, provider: str, now: datetime, columns: Mapping[str, Any]) -> int:
    """Insert or update an account's payouts as they are now; return how many are new or changed."""
    params = {**columns, "provider": provider, "now": now}
    return conn.execute(_UPSERT_PAYOUTS, params).rowcount


def oldest_undecided_payout(conn: Connection, provider: str) -> datetime | None:
    """Return when the account's oldest payout was made that may still change."""
    return conn.execute(_UNDECIDED_PAYOUT, {"provider": provider}).scalar()


def _key(kind: EntryKind) -> str:
    return key_sql(kind, "o.provider", "o.provider_payout_id")


# The arrival of a payout is posted after its departure; a payout that failed later is reversed.
_ARRIVED = text(
    f"""
    SELECT o.* FROM payouts o
      JOIN ledger.entries sent
        ON sent.source_key = {_key(EntryKind.PAYOUT_SENT)}
     WHERE o.provider = :provider AND o.status = '{PayoutStatus.PAID}'
       AND NOT EXISTS (SELECT FROM ledger.entries e
                        WHERE e.source_key = {_key(EntryKind.PAYOUT_ARRIVED)})
       AND NOT EXISTS (SELECT FROM ledger.entries e
                        WHERE e.source_key = {_key(EntryKind.PAYOUT_FAILED)})
     ORDER BY o.provider_payout_id
    """
)


def payouts_to_book(conn: Connection, provider: str) -> list[Payout]:
    """Return the account's payouts that arrived and whose arrival isn't posted."""
    return [_payout(row) for row in conn.execute(_ARRIVED, {"provider": provider})]
