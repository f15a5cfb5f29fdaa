"""Revoking credit that was given away: what is left of it expires now."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from billing.crash_points import CrashPoint, marked
from billing.errors import Conflict, ErrorCode, NotFound
from billing.flows.credit import expiring
from billing.rules.actor import Actor
from billing.rules.money import Money
from billing.store.payments import credit
from billing.store.payments.credit import Grant, GrantLeft
from billing.store.transactions import Transactions


def existing_grant(conn: Connection, grant_id: UUID) -> Grant:
    """Return the grant with this id. Raises `NotFound`."""
    found = credit.get(conn, grant_id)
    if found is None:
        raise NotFound(
            f"no grant of credit {grant_id}", where="grant", code=ErrorCode.GRANT_NOT_FOUND
        )
    return found


def revocable(conn: Connection, grant_id: UUID) -> Money:
    """Return what is left of a grant that may be revoked. Raises `NotFound`, `Conflict`."""
    found = _locked(conn, grant_id)
    return Money(found.left, found.currency)


def revoke(engine: Transactions, grant_id: UUID, *, now: datetime, actor: Actor) -> Money:
    """Let what is left of a grant expire now, and return it; what it paid stays paid.

    Where an invoice that it paid is voided later, what comes back expires as well. Raises
    `NotFound`, `Conflict`.
    """
    with marked(CrashPoint.CREDIT_REVOKED), engine.begin() as conn:
        found = _locked(conn, grant_id)
        expiring.write_off(conn, [found], actor, at=now)
        credit.set_expiry_due(conn, [grant_id], None)
    return Money(found.left, found.currency)


def _locked(conn: Connection, grant_id: UUID) -> GrantLeft:
    """Lock the credit of a grant's customer and return the grant, if it may be revoked."""
    customer_id = existing_grant(conn, grant_id).customer_id
    held = credit.lock_left(conn, [customer_id])[customer_id]
    found = next(each for each in held if each.id == grant_id)
    if found.source.is_paid_for:
        raise Conflict(
            f"the customer paid for grant {grant_id}: it isn't ours to take",
            code=ErrorCode.GRANT_PAID_FOR,
        )
    if not found.left:
        raise Conflict(f"nothing is left of grant {grant_id}", code=ErrorCode.GRANT_USED_UP)
    return found
