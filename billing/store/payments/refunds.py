"""Refunds, from the request to the provider's final status."""

from dataclasses import dataclass
from datetime import datetime
from typing import NotRequired, TypedDict, Unpack
from uuid import UUID

from sqlalchemy import Connection, insert, select, text, update

from billing.rules.money import Money
from billing.rules.refunds import RefundState
from billing.store import dispatch, paging
from billing.store.rows import reader
from billing.store.tables import refunds


@dataclass(frozen=True, slots=True)
class Refund:
    """One refund as stored; `recognised`, `deferred` and `tax` are the parts of its amount.

    One that a credit note asks for has none: the note has them.
    """

    id: UUID
    payment_id: UUID
    amount: int
    currency: str
    state: RefundState
    recognised: int
    deferred: int
    tax: int
    reason: str
    requested_by: str
    provider_refund_id: str | None
    failure_reason: str | None
    next_attempt_at: datetime | None
    dispatch_after: datetime
    lease_until: datetime | None
    created_at: datetime
    finished_at: datetime | None
    settled_at: datetime | None
    customer_id: UUID
    engine_id: UUID | None
    provider: str
    note_id: UUID | None

    @property
    def money(self) -> Money:
        """The amount refunded."""
        return Money(self.amount, self.currency)

    @property
    def is_open(self) -> bool:
        """Tell whether the provider has no final status of it yet."""
        return self.state in (RefundState.REQUESTED, RefundState.PENDING)


@dataclass(frozen=True, slots=True)
class RefundToSend(Refund):
    """A refund that is due to be sent or asked about, with the provider's id of its payment."""

    provider_payment_id: str


class RefundInsert(TypedDict):
    """The columns of a new refund."""

    id: UUID
    payment_id: UUID
    amount: int
    currency: str
    state: RefundState
    recognised: int
    deferred: int
    tax: int
    reason: str
    requested_by: str
    dispatch_after: datetime
    created_at: datetime
    next_attempt_at: NotRequired[datetime]
    provider_refund_id: NotRequired[str]
    failure_reason: NotRequired[str]
    finished_at: NotRequired[datetime]
    note_id: NotRequired[UUID]


class RefundChange(TypedDict, total=False):
    """The columns of a refund that change."""

    state: RefundState
    provider_refund_id: str | None
    failure_reason: str
    next_attempt_at: datetime | None
    dispatch_after: datetime
    lease_until: datetime | None
    finished_at: datetime
    settled_at: datetime


_refund = reader(Refund)
_refund_to_send = reader(RefundToSend)


def add(conn: Connection, **values: Unpack[RefundInsert]) -> Refund:
    """Insert a refund; at commit the database checks the sum of its payment's refunds."""
    return _refund(conn.execute(insert(refunds).values(**values).returning(refunds)).one())


def change(conn: Connection, refund_id: UUID, **values: Unpack[RefundChange]) -> None:
    """Write columns of one refund."""
    conn.execute(update(refunds).where(refunds.c.id == refund_id).values(**values))


_SUCCEED = text(
    """
    UPDATE refunds AS r
       SET state = 'succeeded', provider_refund_id = :provider_refund_id, finished_at = :now,
           next_attempt_at = NULL, lease_until = NULL
     WHERE r.id = :id
    RETURNING r.amount + (SELECT coalesce(sum(f.amount), 0) FROM refunds f
                           WHERE f.payment_id = r.payment_id AND f.id <> r.id
                             AND f.state = 'succeeded') AS of_payment
    """
)


def succeed(conn: Connection, refund_id: UUID, provider_refund_id: str, now: datetime) -> int:
    """Write that a locked refund succeeded; return how much of its payment was refunded so far."""
    values = {"id": refund_id, "provider_refund_id": provider_refund_id, "now": now}
    return int(conn.execute(_SUCCEED, values).scalar_one())


# --- dispatch -----------------------------------------------------------------------------------

DISPATCH_DUE = dispatch.due_statement("refunds")
_LEASE = text(
    """
    UPDATE refunds AS r SET lease_until = :until, dispatch_after = :until
      FROM (SELECT f.id, p.provider_payment_id
              FROM refunds f JOIN payments p ON p.id = f.payment_id
             WHERE f.id = :id AND f.state IN ('requested', 'pending')
               AND f.next_attempt_at <= :now
               AND (f.lease_until IS NULL OR f.lease_until <= :wall
                    OR f.lease_until > :held_until)
               FOR UPDATE OF f SKIP LOCKED) due
     WHERE r.id = due.id
    RETURNING r.*, due.provider_payment_id
    """
)


def lease(
    conn: Connection,
    refund_id: UUID,
    *,
    now: datetime,
    wall: datetime,
    until: datetime,
    held_until: datetime,
) -> RefundToSend | None:
    """Lease a refund that is due; None when it isn't or another process holds it.

    A lease that runs beyond `held_until` was set by a wrong clock, and is over.
    """
    values = {"id": refund_id, "now": now, "wall": wall, "until": until, "held_until": held_until}
    row = conn.execute(_LEASE, values).one_or_none()
    return None if row is None else _refund_to_send(row)


# --- reading ------------------------------------------------------------------------------------


def get(conn: Connection, refund_id: UUID) -> Refund | None:
    """Return one refund."""
    row = conn.execute(select(refunds).where(refunds.c.id == refund_id)).one_or_none()
    return None if row is None else _refund(row)


def lock(conn: Connection, refund_id: UUID) -> Refund:
    """Lock an existing refund; the caller has locked its payment."""
    query = select(refunds).where(refunds.c.id == refund_id).with_for_update()
    return _refund(conn.execute(query).one())


def by_provider_id(conn: Connection, provider: str, provider_refund_id: str) -> Refund | None:
    """Return the refund with this id of the provider."""
    query = select(refunds).where(
        refunds.c.provider == provider, refunds.c.provider_refund_id == provider_refund_id
    )
    row = conn.execute(query).one_or_none()
    return None if row is None else _refund(row)


def pending_ids(conn: Connection, provider: str) -> list[str]:
    """Return the ids at the provider of the account's refunds that are pending, as far as known."""
    query = select(refunds.c.provider_refund_id).where(
        refunds.c.provider == provider,
        refunds.c.state == RefundState.PENDING,
        refunds.c.provider_refund_id.is_not(None),
    )
    return list(conn.execute(query.order_by(refunds.c.id)).scalars())


def page(
    conn: Connection,
    *,
    payment_id: UUID | None = None,
    state: str | None = None,
    limit: int = 50,
    after: UUID | None = None,
) -> list[Refund]:
    """Return up to `limit` refunds in order of creation, after the id `after`."""
    equal = {"payment_id": payment_id, "state": state}
    rows = paging.page(conn, refunds, equal, limit=limit, after=after)
    return [_refund(row) for row in rows]


_OPEN_CYCLE = text("SELECT id FROM cycles WHERE id = :id AND state = 'opened' FOR SHARE")


def open_cycle(conn: Connection, cycle_id: UUID | None) -> UUID | None:
    """Return the cycle, locked against closing in this transaction; None when it is closed."""
    found: UUID | None = conn.execute(_OPEN_CYCLE, {"id": cycle_id}).scalar()
    return found
