"""Granting credit: a row, its first move and an entry, in one transaction."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from billing.crash_points import CrashPoint, marked
from billing.errors import BadInput, Conflict, ErrorCode
from billing.flows.customers.customers import existing_customer, refuse_anything_like_a_card
from billing.ids import new_id
from billing.ledger import recipes
from billing.plans.currencies import CurrencyError, charge_limit, check_sold
from billing.queries.subscriptions import find_subscription
from billing.rules.actor import Actor
from billing.rules.credit import PRIORITIES, PRIORITY, CreditSource
from billing.rules.money import Money
from billing.rules.subscriptions import Status
from billing.store.journal import posting
from billing.store.payments import credit
from billing.store.payments.credit import Grant
from billing.store.subscriptions.subscriptions import Subscription
from billing.store.transactions import Transactions


@dataclass(frozen=True, slots=True)
class GrantOrder:
    """Credit of `amount` minor units that is given away to a customer.

    It pays invoices from `effective` (None: now) up to but not including `expires`, of one
    `subscription` or of all. `customer` and `subscription` are ids or external ids. With an `id` of
    the caller's a repetition grants nothing more.
    """

    customer: str
    amount: int
    currency: str
    reason: str
    priority: int = PRIORITY
    effective: datetime | None = None
    expires: datetime | None = None
    subscription: str | None = None
    id: UUID | None = None


def grant(engine: Transactions, order: GrantOrder, *, now: datetime, actor: Actor) -> UUID:
    """Grant credit as goodwill and return the grant's id.

    Raises `NotFound`, `BadInput`, `Conflict`.
    """
    refuse_anything_like_a_card(reason=order.reason)
    with marked(CrashPoint.CREDIT_GRANTED), engine.begin() as conn:
        _check_values(order)
        customer = existing_customer(conn, order.customer)
        scope = _scope(conn, order, customer.id)
        wanted = _wanted(order, customer.id, scope, now, actor)
        credit.lock(conn, customer.id)
        known = credit.get(conn, wanted.id)
        if known is None:
            _check_can_pay(wanted, scope, now)
            _write(conn, wanted)
        elif _terms(known) != _terms(wanted):
            raise Conflict(
                f"grant {wanted.id} exists and grants something else",
                code=ErrorCode.GRANT_ID_TAKEN,
                grant_id=wanted.id,
            )
    return wanted.id


def _wanted(
    order: GrantOrder, customer_id: UUID, scope: Subscription | None, now: datetime, actor: Actor
) -> Grant:
    return Grant(
        id=order.id or new_id(),
        customer_id=customer_id,
        currency=order.currency,
        amount=order.amount,
        source=CreditSource.GOODWILL,
        priority=order.priority,
        subscription_id=None if scope is None else scope.id,
        effective_at=order.effective or now,
        expires_at=order.expires,
        reason=order.reason,
        invoice_id=None,
        actor=str(actor),
        created_at=now,
    )


def _terms(grant: Grant) -> tuple[object, ...]:
    """Return what a repetition has to repeat: not when it came, nor who asked and why."""
    return (
        grant.source, grant.customer_id, grant.currency, grant.amount, grant.priority,
        grant.subscription_id, grant.expires_at,
    )  # fmt: skip


def _check_values(order: GrantOrder) -> None:
    try:
        check_sold(order.currency)
    except CurrencyError as error:
        raise BadInput(str(error), where="currency") from error
    most = Money(charge_limit(order.currency), order.currency)
    if not 0 < order.amount <= most.amount:
        raise BadInput(f"a grant is above zero and at most {most}", where="amount")
    if order.priority not in PRIORITIES:
        raise BadInput(f"a priority is from 1 to 100, not {order.priority}", where="priority")


def _check_can_pay(grant: Grant, scope: Subscription | None, now: datetime) -> None:
    """Refuse a new grant that could never pay; a repetition is one of a grant that could."""
    if scope is not None and scope.status is Status.CANCELED:
        raise Conflict(
            f"subscription {scope.id} is canceled",
            where="subscription",
            code=ErrorCode.SUBSCRIPTION_ENDED,
        )
    if grant.effective_at < now:
        raise BadInput("nothing is granted for the past", where="effective")
    if grant.expires_at is not None and grant.expires_at <= grant.effective_at:
        raise BadInput("it expires after it begins, and after now", where="expires")


def _scope(conn: Connection, order: GrantOrder, customer_id: UUID) -> Subscription | None:
    """Return the subscription whose invoices alone it pays, or None."""
    if order.subscription is None:
        return None
    found = find_subscription(conn, order.subscription)
    if found.customer_id != customer_id or found.currency != order.currency:
        raise BadInput(
            "the subscription is another customer's, or in another currency",
            where="subscription",
            code=ErrorCode.GRANT_PAYS_NOTHING,
            customer_id=customer_id,
        )
    return found


def _write(conn: Connection, grant: Grant) -> None:
    credit.add_grants(
        conn,
        [
            {
                "id": grant.id,
                "customer_id": grant.customer_id,
                "currency": grant.currency,
                "amount": grant.amount,
                "source": grant.source,
                "priority": grant.priority,
                "subscription_id": grant.subscription_id,
                "effective_at": grant.effective_at,
                "expires_at": grant.expires_at,
                "reason": grant.reason,
                "invoice_id": grant.invoice_id,
                "actor": grant.actor,
                "created_at": grant.created_at,
            }
        ],
    )
    entry = recipes.credit_granted(
        grant_id=grant.id,
        customer_id=grant.customer_id,
        amount=Money(grant.amount, grant.currency),
        effective_at=grant.created_at,
    )
    posting.post(conn, [entry])
