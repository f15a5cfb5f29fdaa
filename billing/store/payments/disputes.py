"""Disputes and inquiries of cardholders' banks."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypedDict, Unpack
from uuid import UUID

from sqlalchemy import Connection, select, text, update
from sqlalchemy.dialects.postgresql import insert

from billing.rules.disputes import DisputeStage, DisputeState
from billing.store import paging
from billing.store.rows import reader
from billing.store.tables import disputes, payments


@dataclass(frozen=True, slots=True)
class Dispute:
    """One dispute as stored; `payment_id` is None while we don't know its charge.

    `lost_recognised`, `lost_deferred` and `lost_tax` are the parts of the amount lost.
    """

    id: UUID
    provider_dispute_id: str
    payment_id: UUID | None
    provider_charge_id: str
    amount: int
    currency: str
    reason: str
    stage: DisputeStage
    state: DisputeState
    funds_withdrawn: bool
    fee: int
    fee_currency: str | None
    transaction_ids: Sequence[str]
    times_lost: int
    lost_recognised: int
    lost_deferred: int
    lost_tax: int
    opened_at: datetime
    closed_at: datetime | None
    updated_at: datetime
    customer_id: UUID | None
    provider: str


class DisputeInsert(TypedDict):
    """The columns of a new dispute, before any transaction is posted."""

    id: UUID
    provider: str
    provider_dispute_id: str
    payment_id: UUID | None
    provider_charge_id: str
    amount: int
    currency: str
    reason: str
    stage: DisputeStage
    state: DisputeState
    opened_at: datetime
    updated_at: datetime


class DisputeChange(TypedDict, total=False):
    """The columns of a dispute that change."""

    payment_id: UUID
    amount: int
    reason: str
    stage: DisputeStage
    state: DisputeState
    funds_withdrawn: bool
    fee: int
    fee_currency: str | None
    transaction_ids: Sequence[str]
    times_lost: int
    lost_recognised: int
    lost_deferred: int
    lost_tax: int
    closed_at: datetime | None


_dispute = reader(Dispute)


def claim(conn: Connection, **values: Unpack[DisputeInsert]) -> Dispute:
    """Lock the row of a dispute; insert it from `values` if there is none."""
    conn.execute(
        insert(disputes)
        .values(**values)
        .on_conflict_do_nothing(index_elements=["provider", "provider_dispute_id"])
    )
    query = select(disputes).where(
        disputes.c.provider == values["provider"],
        disputes.c.provider_dispute_id == values["provider_dispute_id"],
    )
    return _dispute(conn.execute(query.with_for_update()).one())


def change(
    conn: Connection, dispute_id: UUID, now: datetime, **values: Unpack[DisputeChange]
) -> None:
    """Write columns of one dispute."""
    conn.execute(
        update(disputes).where(disputes.c.id == dispute_id).values(updated_at=now, **values)
    )


def payment_of(
    conn: Connection,
    provider: str,
    *,
    provider_payment_id: str | None,
    provider_charge_id: str | None,
) -> UUID | None:
    """Return the id of our payment with this charge of the provider, if there is one."""
    if provider_payment_id is not None:
        same = payments.c.provider_payment_id == provider_payment_id
    elif provider_charge_id is not None:
        same = payments.c.provider_charge_id == provider_charge_id
    else:
        return None
    found: UUID | None = conn.execute(
        select(payments.c.id).where(payments.c.provider == provider, same)
    ).scalar()
    return found


def known_ids(conn: Connection, provider: str, provider_dispute_ids: Sequence[str]) -> set[str]:
    """Return those of the provider's ids of disputes that belong to a payment of ours."""
    query = select(disputes.c.provider_dispute_id).where(
        disputes.c.provider == provider,
        disputes.c.provider_dispute_id.in_(provider_dispute_ids),
        disputes.c.payment_id.is_not(None),
    )
    return set(conn.execute(query).scalars())


def open_ids(conn: Connection, provider: str) -> list[str]:
    """Return the provider's ids of the account's disputes that aren't decided here."""
    query = select(disputes.c.provider_dispute_id).where(
        disputes.c.provider == provider,
        disputes.c.state.in_([DisputeState.INQUIRY, DisputeState.OPENED]),
    )
    return list(conn.execute(query.order_by(disputes.c.opened_at)).scalars())


IN_DISPUTE: Final = """
    SELECT coalesce(sum(CASE WHEN d.currency = p.currency THEN d.amount
                             ELSE p.amount_captured END), 0)::bigint AS in_dispute
      FROM disputes d JOIN payments p ON p.id = d.payment_id
     WHERE d.payment_id = :payment
       AND (d.funds_withdrawn OR d.currency <> p.currency AND d.state IN ('opened', 'lost'))"""
_IN_DISPUTE = text(IN_DISPUTE)


def in_dispute(conn: Connection, payment_id: UUID) -> int:
    """Return how much of a payment is held by cardholders' banks, or was lost to them.

    A dispute in another currency holds all of it: nobody has said yet how much that is.
    """
    return int(conn.execute(_IN_DISPUTE, {"payment": payment_id}).scalar_one())


def get(conn: Connection, dispute_id: UUID) -> Dispute | None:
    """Return one dispute."""
    row = conn.execute(select(disputes).where(disputes.c.id == dispute_id)).one_or_none()
    return None if row is None else _dispute(row)


def id_of(conn: Connection, provider: str, provider_dispute_id: str) -> UUID | None:
    """Return our id of a dispute of the provider's, if it is known."""
    found: UUID | None = conn.execute(
        select(disputes.c.id).where(
            disputes.c.provider == provider,
            disputes.c.provider_dispute_id == provider_dispute_id,
        )
    ).scalar()
    return found


def page(
    conn: Connection,
    *,
    payment_id: UUID | None = None,
    state: str | None = None,
    open: bool | None = None,
    limit: int = 50,
    after: UUID | None = None,
) -> list[Dispute]:
    """Return up to `limit` disputes in the order of their rows, after the id `after`.

    `open` are those that aren't decided.
    """
    equal = {"payment_id": payment_id, "state": state}
    undecided = disputes.c.state.in_((DisputeState.INQUIRY, DisputeState.OPENED))
    rows = paging.page(
        conn, disputes, equal, limit=limit, after=after, also=undecided if open else None
    )
    return [_dispute(row) for row in rows]
