"""Exchanges the provider made of money it holds: one row each, never changed."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, select, text

from billing.ids import new_id
from billing.store.arrays import literal
from billing.store.tables import fx_events

_ADD = text(
    """
    INSERT INTO fx_events (id, source_key, source, from_currency, from_amount, to_currency,
                           to_amount, rate, at, payment_id)
    SELECT x.id, x.source_key, x.source, x.from_currency, x.from_amount, x.to_currency,
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


def add(conn: Connection, events: Sequence[Mapping[str, Any]]) -> int:
    """Write down exchanges, once each; `rate` is exact decimal text. Returns how many are new."""
    if not events:
        return 0
    columns = {name: literal([event[name] for event in events]) for name in _NAMES}
    columns["id"] = literal([new_id() for _ in events])
    return conn.execute(_ADD, columns).rowcount


def of_payment(conn: Connection, payment_id: Any) -> list[Row[Any]]:
    """Return the exchanges of a payment's money, oldest first."""
    query = select(fx_events).where(fx_events.c.payment_id == payment_id)
    return list(conn.execute(query.order_by(fx_events.c.at, fx_events.c.id)))
