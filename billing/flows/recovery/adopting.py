"""Adopting one object of the provider, each step in a transaction of its own.

Everything goes the way it went the first time: a cycle is opened as the scheduler opens it, and has
the payment that it had, because ids follow from subscription and period. The outcome of its attempt
is looked up in the provider's lists and written as a worker writes it. Nothing is sent.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from billing.crash_points import CrashPoint, marked
from billing.flows.context import Context
from billing.flows.customers.customers import keep_payment_method
from billing.flows.disputes import dispute_updates
from billing.flows.payments import forgotten
from billing.flows.recovery import reissuing, reopening
from billing.flows.recovery.finding import AdoptionResult, Done, Forgotten, Why
from billing.flows.recovery.reopening import Reopening
from billing.flows.refunds import refund_updates
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
from billing.rules.payments import CaptureMethod, PaymentStatus, State
from billing.rules.reconciliation import BreakKind
from billing.rules.reconciliation.knowledge import EXTERNAL_ID, MadeKind
from billing.rules.request_marks import NOTE, read_mark
from billing.store.access import idempotency
from billing.store.dispatch import NOT_HELD
from billing.store.payments import invoices, payments
from billing.store.settlement import breaks
from billing.store.subscriptions import customers
from billing.store.subscriptions.customers import payment_methods_of as methods_of

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
    context: Context, found: Forgotten, payers: set[UUID], charged: Mapping[UUID, datetime]
) -> Done:
    """Adopt a payment: open its cycle where it isn't open, or make its change again, and write down
    what became of it.

    `payers` are the customers whose cards were kept; its own is added. `charged` are all payments
    that are adopted, with when their invoices were issued.
    """
    now = context.clock.now()
    owner = found.subscription_id
    unplaced = None
    with marked(CrashPoint.CYCLES_ADOPTED), context.engine.begin() as conn:
        row = payments.get(conn, found.ours)
        if row is None and owner is not None:
            place = reopening.open_cycle if found.change is None else reopening.make_change
            unplaced = place(conn, owner, found, Reopening(context.policy, charged, now))
    if row is None and owner is None:
        why = _add_one_off(context, found, now)
        unplaced = None if why is None else (AdoptionResult.PASSED_OVER, why)
    if unplaced is not None:
        return unplaced
    _keep_methods_of_payer(context, found, payers)
    return _numbered(context, found, _attempts(context, found))


def _numbered(context: Context, found: Forgotten, done: Done) -> Done:
    """Tell where an invoice got another number than the one that its customer has.

    A series has no gaps: where an invoice before it isn't here any more, it gets that one's. One
    whose lines aren't known has no invoice here.
    """
    if done != (AdoptionResult.ADOPTED, None) or found.invoice_number is None:
        return done
    with context.engine.connect() as conn:
        row = payments.get(conn, found.ours)
        if row is None or row.invoice_id is None:
            return AdoptionResult.ADOPTED, Why.WITHOUT_INVOICE
        issued = invoices.find(conn, str(row.invoice_id))
    same = issued is not None and issued.number == found.invoice_number
    return done if same else (AdoptionResult.ADOPTED, Why.OTHER_NUMBER)


def _add_one_off(context: Context, found: Forgotten, now: datetime) -> Why | None:
    """Write down a charge of no subscription that was asked for after the backup.

    Its invoice is issued again, where its charge names one that can be; else it has none here.
    """
    charge = found.newest
    theirs = None
    if charge.provider_payment_id is not None:
        theirs = context.gateway.payment(charge.provider_payment_id)
    if theirs is None or theirs.customer is None:
        return Why.CUSTOMER_UNKNOWN
    # One that was canceled was an authorisation: whoever voided it wants no other one.
    is_held = theirs.status in (PaymentStatus.AUTHORIZED, PaymentStatus.CANCELED)
    with marked(CrashPoint.CHARGE_ADOPTED), context.engine.begin() as conn:
        payer = customers.lock_by_provider_id(conn, context.account, theirs.customer)
        if payer is None:
            return Why.CUSTOMER_UNKNOWN
        if reissuing.issue_again(context, conn, found, payer.customer_id, theirs.amount):
            return None
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
                    "capture_method": CaptureMethod.MANUAL if is_held else CaptureMethod.AUTOMATIC,
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
        mark=found.mark,
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
    return AdoptionResult.ADOPTED, Why.WITHOUT_NOTE if NOTE in found.metadata else None


def dispute(context: Context, found: ProviderDispute) -> Done:
    """Adopt a dispute of a payment that is here."""
    now = context.clock.now()
    with marked(CrashPoint.DISPUTE_ADOPTED), context.engine.begin() as conn:
        applied = dispute_updates.apply(conn, found, provider=context.account, now=now)
    if applied.state is None:
        return AdoptionResult.PASSED_OVER, Why.PAYMENT_UNKNOWN
    return AdoptionResult.ADOPTED, None
