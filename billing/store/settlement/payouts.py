"""Payouts of the provider as they are now, and which of them are to be booked as arrived."""
# ruff: noqa: S608  statements are put together from constants of `keys`

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, text

from billing.ledger.keys import EntryKind
from billing.rules.money import Money
from billing.rules.reconciliation import ENDED, PayoutStatus
from billing.store.arrays import literal
from billing.store.in_list import in_list
from billing.store.rows import reader
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

_UPSERT: Final = """
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
_UPSERT_PAYOUTS = text(_UPSERT)
# A report may have been made before what is known: a payout that failed stays so, and one that
# arrived can only have failed since.
_UPSERT_REPORTED = text(
    _UPSERT
    + f"""
       AND (payouts.status NOT IN {in_list(ENDED)}
            OR payouts.status = '{PayoutStatus.PAID}'
               AND excluded.status IN ('{PayoutStatus.FAILED}', '{PayoutStatus.CANCELED}')
            OR payouts.status = excluded.status)
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


def put_reported(conn: Connection, provider: str, now: datetime, columns: Mapping[str, Any]) -> int:
    """Insert or update payouts as a report shows them; return how many are new or changed."""
    params = {**columns, "provider": provider, "now": now}
    return conn.execute(_UPSERT_REPORTED, params).rowcount


def columns_of(
    payouts: Iterable[tuple[str, Money, PayoutStatus, datetime, datetime | None]],
) -> dict[str, str]:
    """Return payouts as the columns that `put_payouts` and `put_reported` take."""
    rows = list(payouts)
    return {
        "ids": literal([row[0] for row in rows]),
        "amounts": literal([row[1].amount for row in rows]),
        "currencies": literal([row[1].currency for row in rows]),
        "statuses": literal([str(row[2]) for row in rows]),
        "createds": literal([row[3] for row in rows]),
        "arrivals": literal([row[4] for row in rows]),
    }


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
