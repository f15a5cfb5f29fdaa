"""Adopting one object of the provider, each step in a transaction of its own.

Everything goes the way it went the first time: a cycle is opened as the scheduler opens it, and has
the payment that it had, because ids follow from subscription and period. The outcome of its attempt
is looked up in the provider's lists and written as a worker writes it. Nothing is sent.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from enum import StrEnum
from functools import partial
from uuid import UUID

from sqlalchemy import Connection

from billing.crash_points import CrashPoint, marked
from billing.flows.context import Context
from billing.flows.customers.customers import keep_payment_method
from billing.flows.cycles import holding
from billing.flows.cycles.charging import Holdings
from billing.flows.cycles.deciding import CannotOpen, Opening, decide
from billing.flows.cycles.ending import is_over
from billing.flows.cycles.opening import write
from billing.flows.disputes import dispute_updates
from billing.flows.payments import forgotten
from billing.flows.policy import Policy
from billing.flows.recovery.finding import Forgotten, Why
from billing.flows.refunds import refund_updates
from billing.flows.subscriptions.lifecycle import locked
from billing.gateway import (
    Absent,
    PaymentMethodDetails,
    ProviderCharge,
    ProviderCustomer,
    ProviderDispute,
    ProviderRefund,
    Succeeded,
    Unknown,
)
from billing.plans.terms import Plan
from billing.rules.payments import CaptureMethod, PaymentStatus, State
from billing.rules.reconciliation import BreakKind
from billing.rules.reconciliation.knowledge import EXTERNAL_ID, MadeKind
from billing.rules.request_marks import read_mark
from billing.rules.subscriptions import DatedChange, Status
from billing.store.access import idempotency
from billing.store.dispatch import NOT_HELD
from billing.store.payments import payments
from billing.store.settlement import breaks
from billing.store.subscriptions import changes, customers, cycles, plans, subscriptions
from billing.store.subscriptions.customers import payment_methods_of as methods_of
from billing.store.subscriptions.subscriptions import Subscription


class AdoptionResult(StrEnum):
    """What became of an object."""

    ADOPTED = "adopted"
    OPEN = "open"
    """Its outcome isn't definite: it is asked for again, and never sent anew."""
    PARKED = "parked"
    """What the provider did isn't what is asked for here; it is parked, with a break."""
    PASSED_OVER = "passed_over"
    HELD = "held"
    """It can't be adopted, and might be charged again: the fence stays closed."""


Done = tuple[AdoptionResult, Why | None]


# --- customers ----------------------------------------------------------------------------------


def customer(context: Context, found: ProviderCustomer) -> Done:
    """Adopt a customer who was made after the moment that this database shows.

    An external id that another customer has by now is left out. The cards are written in the same
    transaction: a customer who is known isn't found again.
    """
    now = context.clock.now()
    ours = UUID(found.metadata[MadeKind.CUSTOMER])
    cards = context.gateway.payment_methods_of(found.id)
    with marked(CrashPoint.CUSTOMER_ADOPTED), context.engine.begin() as conn:
        if customers.find(conn, str(ours)) is None:
            values = {
                "id": ours,
                "name": found.name or found.id,
                "email": found.email,
                "external_id": found.metadata.get(EXTERNAL_ID),
                "provider": context.account,
                "created_at": now,
            }
            if customers.add(conn, values) is None:
                customers.add(conn, values | {"external_id": None})
        customers.add_account(conn, ours, context.account, now)
        customers.set_provider_customer(conn, ours, context.account, found.id)
        _restore_key(context, conn, found.metadata, "customer.create", ours)
        _keep_cards(conn, ours, context.account, cards, now)
    return AdoptionResult.ADOPTED, None


def _restore_key(
    context: Context, conn: Connection, metadata: Mapping[str, str], operation: str, ours: UUID
) -> None:
    """Write down the caller's idempotency key: the request, repeated, makes nothing anew."""
    mark = read_mark(metadata)
    if mark is not None:
        idempotency.restore(conn, mark, operation, ours, at=context.clock.wall())


def _keep_methods(context: Context, customer_id: UUID, provider_customer_id: str) -> None:
    """Keep the cards that a customer has at the provider and not here; the newest is charged."""
    found = context.gateway.payment_methods_of(provider_customer_id)
    now = context.clock.now()
    with marked(CrashPoint.METHODS_ADOPTED), context.engine.begin() as conn:
        _keep_cards(conn, customer_id, context.account, found, now)


def _keep_cards(
    conn: Connection,
    customer_id: UUID,
    provider: str,
    found: Sequence[PaymentMethodDetails],
    now: datetime,
) -> None:
    known = _tokens(conn, customer_id, provider)
    for details in reversed(found):
        if details.token not in known:
            keep_payment_method(conn, customer_id, provider, details, at=now)


def _tokens(conn: Connection, customer_id: UUID, provider: str) -> set[str]:
    """Return the tokens of a customer's payment methods at an account."""
    rows = methods_of(conn, customer_id)
    return {row.provider_payment_method_id for row in rows if row.provider == provider}


# --- payments -----------------------------------------------------------------------------------


def payment(
    context: Context, found: Forgotten, payers: set[UUID], charged: AbstractSet[UUID]
) -> Done:
    """Adopt a payment: open its cycle where it isn't open, and write down what became of it.

    `payers` are the customers whose cards were kept; its own is added. `charged` are all payments
    that are adopted.
    """
    now = context.clock.now()
    owner = found.subscription_id
    unplaced = None
    with marked(CrashPoint.CYCLES_ADOPTED), context.engine.begin() as conn:
        row = payments.get(conn, found.ours)
        if row is None and owner is not None:
            unplaced = _open_cycle(context, conn, owner, found, charged, now)
    if row is None and owner is None:
        why = _add_one_off(context, found, now)
        unplaced = None if why is None else (AdoptionResult.PASSED_OVER, why)
    if unplaced is not None:
        return unplaced
    _keep_methods_of_payer(context, found, payers)
    return _attempts(context, found)


def _open_cycle(
    context: Context,
    conn: Connection,
    owner: UUID,
    found: Forgotten,
    charged: AbstractSet[UUID],
    now: datetime,
) -> Done | None:
    """Open a subscription's cycles up to the one of this payment; return why that can't be.

    Where it can't be, none is opened.
    """
    before = subscription = subscriptions.lock(conn, owner)
    if before is None or subscription is None:
        return AdoptionResult.PASSED_OVER, Why.SUBSCRIPTION_UNKNOWN
    plans.hold(conn)
    catalog, asked = plans.published(conn), changes.of(conn, owner)
    with conn.begin_nested() as all_of_them:
        while _has_next(subscription, now):
            try:
                held = holding.of(conn, subscription, now)
                opening = _as_it_was(
                    subscription, catalog, now, context.policy, asked, held, charged
                )
            except CannotOpen:
                all_of_them.rollback()
                return AdoptionResult.HELD, Why.CANNOT_OPEN
            write(conn, [opening], now)
            if opening.payment_id == found.ours:
                if payments.get(conn, found.ours) is not None:
                    return None
                break  # it passes unbilled by what is asked for here
            subscription = locked(conn, owner)
        all_of_them.rollback()
    return _why_not_opened(conn, before, subscription, found)


def _has_next(subscription: Subscription, now: datetime) -> bool:
    at = subscription.renews_at
    return at is not None and at <= now and not is_over(subscription)


def _why_not_opened(
    conn: Connection, before: Subscription, last: Subscription, found: Forgotten
) -> Done:
    """Return why a payment has no cycle, and whether its period might still be opened.

    `before` is the subscription as it is, `last` as it would be with all that can be opened.
    """
    starts = found.period_start
    opened_until = before.renews_at or cycles.last_end(conn, before.id)
    might_open = (
        starts is not None
        and (opened_until is None or starts >= opened_until)
        and before.status is not Status.CANCELED
        and not is_over(last)
    )
    if not might_open:
        return AdoptionResult.PASSED_OVER, Why.NO_CYCLE
    if before.status is Status.UNPAID:
        return AdoptionResult.HELD, Why.UNPAID
    if last.renews_at == starts:
        return AdoptionResult.PASSED_OVER, Why.NO_CYCLE
    return AdoptionResult.HELD, Why.OTHER_PERIODS


def _as_it_was(
    subscription: Subscription,
    catalog: Mapping[str, Plan],
    now: datetime,
    policy: Policy,
    asked: Sequence[DatedChange],
    held: Holdings,
    charged: AbstractSet[UUID],
) -> Opening:
    """Return the next cycle: billed where its payment was charged.

    One that was never charged, before one that was, isn't charged any more: it is skipped. Raises
    `CannotOpen`.
    """
    opened = partial(decide, subscription, catalog, now, policy, asked, held=held)
    unbilled = opened(unbilled=True)
    if unbilled.payment_id in charged:
        return opened(bill_missed=True)
    try:
        opening = opened()
    except CannotOpen:
        return unbilled
    return unbilled if opening.draft is not None and opening.draft.due > 0 else opening


def _add_one_off(context: Context, found: Forgotten, now: datetime) -> Why | None:
    """Write down a charge without an invoice that was asked for after the backup."""
    charge = found.newest
    theirs = None
    if charge.provider_payment_id is not None:
        theirs = context.gateway.payment(charge.provider_payment_id)
    if theirs is None or theirs.customer is None:
        return Why.CUSTOMER_UNKNOWN
    waits = theirs.status is PaymentStatus.AUTHORIZED
    with marked(CrashPoint.CHARGE_ADOPTED), context.engine.begin() as conn:
        payer = customers.lock_by_provider_id(conn, context.account, theirs.customer)
        if payer is None:
            return Why.CUSTOMER_UNKNOWN
        payments.add(
            conn,
            [
                {
                    "id": found.ours,
                    "customer_id": payer.customer_id,
                    "payment_method_id": payer.payment_method_id,
                    "amount": theirs.amount.amount,
                    "currency": theirs.amount.currency,
                    "state": str(State.CREATED),
                    "capture_method": CaptureMethod.MANUAL if waits else CaptureMethod.AUTOMATIC,
                    "description": "",
                    "next_attempt_at": now,
                    "next_attempt_kind": "first",
                    "dispatch_after": NOT_HELD,
                    "created_at": now,
                    "updated_at": now,
                }
            ],
        )
        _restore_key(context, conn, charge.metadata, "payments.charge", found.ours)
    return None


def _attempts(context: Context, found: Forgotten) -> Done:
    outcome = forgotten.adopt(
        context,
        found.ours,
        sent_at=found.charges[0].created,
        last_attempt=found.last_attempt,
        told=_told(found),
    )
    if outcome is None:
        return _not_collected(context, found)
    if isinstance(outcome, Absent):
        return AdoptionResult.HELD, Why.NOT_FOUND_AGAIN
    _explain_breaks(context, found.charges)
    if isinstance(outcome, Unknown):
        return AdoptionResult.OPEN, None
    with context.engine.connect() as conn:
        row = payments.get(conn, found.ours)
    is_parked = row is not None and row.parked_at is not None
    return (AdoptionResult.PARKED if is_parked else AdoptionResult.ADOPTED), None


def _told(found: Forgotten) -> Succeeded | None:
    """Return the outcome of a renewal that was captured, as the list has it: nearly all are."""
    charge = next((each for each in found.charges if each.succeeded and each.captured), None)
    if charge is None or charge.provider_payment_id is None or found.subscription_id is None:
        return None
    return Succeeded(charge.provider_payment_id, charge.amount, provider_charge_id=charge.id)


def _not_collected(context: Context, found: Forgotten) -> Done:
    with context.engine.connect() as conn:
        row = payments.get(conn, found.ours)
    assert row is not None, "it was read or added before"
    if row.state is State.CREATED and row.parked_at is None:
        return AdoptionResult.HELD, Why.NO_PAYMENT_METHOD
    return AdoptionResult.PASSED_OVER, Why.NOT_COLLECTED


def _keep_methods_of_payer(context: Context, found: Forgotten, payers: set[UUID]) -> None:
    """Keep the cards of a payment's customer where it was charged with one that isn't here."""
    with context.engine.connect() as conn:
        row = payments.get(conn, found.ours)
        payer = None if row is None else customers.account(conn, row.customer_id, context.account)
        if payer is None or payer.customer_id in payers or payer.provider_customer_id is None:
            return
        known = _tokens(conn, payer.customer_id, payer.provider)
    charged = {each.payment_method for each in found.charges}
    if payer.payment_method_id is None or not charged <= known:
        _keep_methods(context, payer.customer_id, payer.provider_customer_id)
        payers.add(payer.customer_id)


def _explain_breaks(context: Context, charges: Sequence[ProviderCharge]) -> None:
    now = context.clock.now()
    with marked(CrashPoint.BREAKS_EXPLAINED), context.engine.begin() as conn:
        for charge in charges:
            breaks.explain(
                conn,
                context.account,
                BreakKind.UNKNOWN_AT_PROVIDER,
                charge.id,
                now=now,
                resolution="adopted by a recovery",
            )


# --- refunds and disputes -----------------------------------------------------------------------


def refund(context: Context, found: ProviderRefund) -> Done:
    """Adopt a refund of a payment that is here."""
    now = context.clock.now()
    with marked(CrashPoint.REFUND_ADOPTED), context.engine.begin() as conn:
        state = refund_updates.apply(conn, found, provider=context.account, now=now)
        if state is not None:
            ours = UUID(found.metadata[MadeKind.REFUND])
            _restore_key(context, conn, found.metadata, "payments.refund", ours)
    if state is None:
        return AdoptionResult.PASSED_OVER, Why.PAYMENT_UNKNOWN
    return AdoptionResult.ADOPTED, None


def dispute(context: Context, found: ProviderDispute) -> Done:
    """Adopt a dispute of a payment that is here."""
    now = context.clock.now()
    with marked(CrashPoint.DISPUTE_ADOPTED), context.engine.begin() as conn:
        applied = dispute_updates.apply(conn, found, provider=context.account, now=now)
    if applied.state is None:
        return AdoptionResult.PASSED_OVER, Why.PAYMENT_UNKNOWN
    return AdoptionResult.ADOPTED, None
