"""Exchanges the provider made of money it holds: one row each, never changed.

The key of an exchange that a person recorded before the settlement showed it begins with
`UNMATCHED`, after the kind and the account. A resolved break of a settlement row that belongs to an
exchange has the exchange's key under `EXCHANGE_KEY`, so queries can tell which rows an exchange
accounts for.
"""
# ruff: noqa: S608  statements are put together from constants of this file

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal  # noqa: TID251  exchange rates are no money
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, text

from billing.ids import new_id
from billing.ledger.keys import EntryKind
from billing.store.arrays import literal
from billing.store.rows import reader
from billing.store.source_keys import key_sql


@dataclass(frozen=True, slots=True)
class RecordedExchange:
    """One exchange as stored, with its fee.

    `references` are the provider's transactions that a person said the exchange is.
    """

    id: UUID
    provider: str
    source_key: str
    source: str
    from_currency: str
    from_amount: int
    to_currency: str
    to_amount: int
    rate: Decimal
    at: datetime
    payment_id: UUID | None
    fee: int
    references: Sequence[str]


_exchange = reader(RecordedExchange)

UNMATCHED: Final = "conversion:"
EXCHANGE_KEY: Final = "fx_event"

_UNMATCHED_KEY: Final = key_sql(EntryKind.FX_EVENT, "x.provider", f"'{UNMATCHED}'")
# Of the exchanges `x`, those that the provider's settlement hasn't shown yet.
UNSHOWN: Final = f"""starts_with(x.source_key, {_UNMATCHED_KEY})
           AND NOT EXISTS (SELECT FROM breaks b WHERE b.ours ->> '{EXCHANGE_KEY}' = x.source_key)"""

_ADD = text(
    """
    INSERT INTO fx_events (id, provider, source_key, source, from_currency, from_amount,
                           to_currency, to_amount, rate, at, payment_id)
    SELECT x.id, :provider, x.source_key, x.source, x.from_currency, x.from_amount, x.to_currency,
           x.to_amount, x.rate, x.at, x.payment_id
      FROM unnest(CAST(:id AS uuid[]), CAST(:source_key AS text[]), CAST(:source AS text[]),
                  CAST(:from_currency AS text[]), CAST(:from_amount AS bigint[]),
                  CAST(:to_currency AS text[]), CAST(:to_amount AS bigint[]),
                  CAST(:rate AS numeric[]), CAST(:at AS timestamptz[]),
                  CAST(:payment_id AS uuid[]))
             AS x(id, source_key, source, from_currency, from_amount, to_currency, to_amount,
                  rate, at, payment_id)
    ON CONFLICT (source_key) DO NOTHING
    """
)
_NAMES = (
    "source_key", "source", "from_currency", "from_amount", "to_currency", "to_amount", "rate",
    "at", "payment_id",
)  # fmt: skip


def add(conn: Connection, provider: str, events: Sequence[Mapping[str, Any]]) -> int:
    """Insert exchanges of an account, once each; `rate` is exact decimal text. Returns how many are
    new.
    """
    if not events:
        return 0
    columns = {name: literal([event[name] for event in events]) for name in _NAMES}
    columns["id"] = literal([new_id() for _ in events])
    return conn.execute(_ADD, {**columns, "provider": provider}).rowcount


# The fee is part of the exchange's entry; an exchange without one has no posting of it.
_SHOWN = f"""
    SELECT x.*,
           coalesce((SELECT sum(l.amount)
              FROM ledger.entries e
              JOIN ledger.postings l ON l.entry_id = e.id
              JOIN ledger.accounts a ON a.id = l.account_id AND a.code = 'psp_fees'
             WHERE e.source_key = x.source_key), 0)::bigint AS fee,
           ARRAY(SELECT b.provider_transaction_id FROM breaks b
                  WHERE b.ours ->> '{EXCHANGE_KEY}' = x.source_key
                  ORDER BY b.provider_transaction_id) AS references
      FROM fx_events x
"""
_PAGE = text(
    _SHOWN
    + """
     WHERE CAST(:after AS uuid) IS NULL OR x.id > :after
     ORDER BY x.id LIMIT :limit
    """
)
_OF_PAYMENT = text(_SHOWN + " WHERE x.payment_id = :payment ORDER BY x.at, x.id")
_ONE = text(_SHOWN + " WHERE x.id = :id")
_BY_KEY = text(_SHOWN + " WHERE x.source_key = :key")
_ALIKE = text(
    _SHOWN
    + f"""
     WHERE x.provider = :provider AND x.payment_id IS NULL AND x.from_currency = :from_currency
       AND x.from_amount = :from_amount AND x.to_currency = :to_currency
       AND x.to_amount = :to_amount
       AND (x.at = CAST(:at AS timestamptz) OR CAST(:at AS timestamptz) IS NULL AND {UNSHOWN})
     ORDER BY x.id
    """
)
_WAITING_FOR = text(
    f"""
    SELECT w.source_key FROM ({_SHOWN} WHERE {UNSHOWN}) w
     WHERE w.provider = :provider
       AND (w.from_currency = :currency AND w.from_amount = -CAST(:net AS bigint)
            OR w.to_currency = :currency AND w.to_amount - w.fee = :net)
     ORDER BY w.id LIMIT 1
    """
)
_ONE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(hashtextextended('fx_events', 0))")


def one_at_a_time(conn: Connection) -> None:
    """Take the lock for recording exchanges, until the transaction ends."""
    conn.execute(_ONE_AT_A_TIME)


def of_payment(conn: Connection, payment_id: UUID) -> list[RecordedExchange]:
    """Return the exchanges of a payment's money, oldest first."""
    return [_exchange(row) for row in conn.execute(_OF_PAYMENT, {"payment": payment_id})]


def page(conn: Connection, *, limit: int = 50, after: UUID | None = None) -> list[RecordedExchange]:
    """Return up to `limit` exchanges in the order they were written down."""
    rows = conn.execute(_PAGE, {"limit": limit, "after": after})
    return [_exchange(row) for row in rows]


def get(conn: Connection, exchange_id: UUID) -> RecordedExchange | None:
    """Return one exchange."""
    row = conn.execute(_ONE, {"id": exchange_id}).one_or_none()
    return None if row is None else _exchange(row)


def by_key(conn: Connection, source_key: str) -> RecordedExchange | None:
    """Return the exchange of a source key."""
    row = conn.execute(_BY_KEY, {"key": source_key}).one_or_none()
    return None if row is None else _exchange(row)


def with_same_amounts(
    conn: Connection,
    provider: str,
    sold: tuple[int, str],
    bought: tuple[int, str],
    at: datetime | None,
) -> list[RecordedExchange]:
    """Return the account's exchanges of no payment with these amounts, made at an instant.

    Without an instant: those that the provider's settlement hasn't shown yet.
    """
    params = {
        "provider": provider,
        "from_amount": sold[0],
        "from_currency": sold[1],
        "to_amount": bought[0],
        "to_currency": bought[1],
        "at": at,
    }
    return [_exchange(row) for row in conn.execute(_ALIKE, params)]


def waiting_for(conn: Connection, provider: str, currency: str, net: int) -> str | None:
    """Return the key of an exchange that waits for a transaction of this net amount, if any."""
    params = {"provider": provider, "currency": currency, "net": net}
    return conn.execute(_WAITING_FOR, params).scalar()
