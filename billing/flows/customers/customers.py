"""Customers and their payment methods, at the provider and in our rows.

Our row and the call's are committed first (see `at_provider`). A command that died half-way is
finished by running it again.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from billing.crash_points import CrashPoint, marked
from billing.errors import BadInput, Conflict, ErrorCode, NotFound
from billing.flows import fence
from billing.flows.context import Context
from billing.flows.customers import at_provider
from billing.flows.payments.write_offs import reopen
from billing.gateway import PaymentMethodDetails
from billing.ids import new_id
from billing.pan import refuse_card_number
from billing.rules.actor import CUSTOMER
from billing.rules.decisions import DecisionKind, decided
from billing.rules.invoices import InvoiceStatus
from billing.rules.payments import AttemptKind, Cause, State
from billing.store.access import idempotency
from billing.store.dispatch import NOT_HELD
from billing.store.payments import payments
from billing.store.payments.payments import LockedPayment
from billing.store.payments.provider_calls import ProviderCall
from billing.store.subscriptions import customers
from billing.store.subscriptions.customers import Customer, CustomerAccount


def create(
    context: Context,
    *,
    name: str,
    email: str | None = None,
    external_id: str | None = None,
    payment_method: str | None = None,
    customer_id: UUID | None = None,
    provider: str | None = None,
) -> UUID:
    """Create a customer here and at a provider, with a payment method if one is given.

    `provider` is the account that collects from them; None is the context's.

    Where the caller gives the `customer_id`, a second call goes on where the first one stopped.
    Raises `BadInput` (a card number, a refused payment method), `Conflict` (external id taken),
    `Unavailable`. After `Unavailable` the caller may run the same command again.
    """
    refuse_anything_like_a_card(
        name=name, email=email, external_id=external_id, payment_method=payment_method
    )
    if not name.strip():
        raise BadInput("a customer needs a name", where="name")
    provider = provider or context.account
    wanted = {"name": name, "email": email, "external_id": external_id, "provider": provider}
    now = context.clock.now()
    customer = _make_at(
        context,
        provider,
        lambda conn: _claim(conn, customer_id or new_id(), wanted, payment_method is not None, now),
    )
    if payment_method is not None:
        set_payment_method(context, str(customer.id), payment_method)
    return customer.id


def _make_at(context: Context, provider: str, claim: Callable[[Connection], Customer]) -> Customer:
    """Make a customer at an account, unless they are there, and write down the id there.

    `claim` returns the customer's row, in the transaction that begins the call.
    """
    context.gateways.of(provider)  # an account that isn't configured gets no customers
    fence.require(context, provider)
    now = context.clock.now()
    with marked(CrashPoint.CUSTOMER_CLAIMED), context.engine.begin() as conn:
        customer = claim(conn)
        at = customers.add_account(conn, customer.id, provider, now)
        if at.provider_customer_id is not None:
            return customer
        order = at_provider.the_customer(customer, at, idempotency.mark_of(conn, customer.id))
        call = at_provider.begin(conn, context, order, now)
    call, provider_customer_id = at_provider.send(context, order, call)
    with marked(CrashPoint.CUSTOMER_RECORDED), context.engine.begin() as conn:
        at_provider.end(conn, call, context.clock.now())
        customers.set_provider_customer(conn, customer.id, provider, provider_customer_id)
    return customer


def refuse_anything_like_a_card(**texts: str | None) -> None:
    """Refuse a card number in any of the named texts. Raises `CardNumberRefused`."""
    for where, text in texts.items():
        if text is not None:
            refuse_card_number(text, where)


def _claim(
    conn: Connection,
    customer_id: UUID,
    wanted: Mapping[str, str | None],
    with_method: bool,
    now: datetime,
) -> Customer:
    """Write the customer's row, or return the one of an interrupted command.

    The row of an interrupted command has no provider id, or no payment method yet though one is
    wanted.
    """
    external_id = wanted["external_id"]
    claimed = customers.find(conn, str(customer_id))
    if claimed is not None:
        return claimed
    # Another customer's id is refused too: `find` looks for ids first and would never return
    # the new customer.
    taken = None if external_id is None else customers.find(conn, external_id)
    if taken is None:
        added = customers.add(conn, {"id": customer_id, "created_at": now, **wanted})
        if added is not None:
            return added
    assert external_id is not None, "only an external id can be taken"
    taken = taken or customers.find(conn, external_id)
    assert taken is not None
    found = (taken.name, taken.email, taken.provider)
    same = found == (wanted["name"], wanted["email"], wanted["provider"])
    lacks_method = with_method and taken.default_payment_method_id is None
    if same and (taken.provider_customer_id is None or lacks_method):
        return taken
    raise Conflict(
        f"a customer with external id {external_id!r} exists: {taken.id}",
        where="external_id",
        code=ErrorCode.CUSTOMER_EXISTS,
        customer_id=taken.id,
    )


def set_payment_method(
    context: Context,
    customer: str,
    token: str,
    *,
    provider: str | None = None,
    make_default: bool = True,
) -> tuple[PaymentMethodDetails, int]:
    """Attach a token at an account, charge it there, and retry the payments that waited for one.

    `provider` is the account; None is the customer's. One where they aren't yet, they are made at
    first. With `make_default` that account collects from them from now on; without, only what
    names it. Returns what a person recognises the payment method by, and the number of payments
    that are retried. Raises `NotFound`, `BadInput`, `Conflict`, `Unavailable`.
    """
    refuse_card_number(token, "payment_method")
    if provider is not None:
        _make_at(context, provider, lambda conn: existing_customer(conn, customer))
    now = context.clock.now()

    def begin() -> tuple[at_provider.Wanted[PaymentMethodDetails], ProviderCall]:
        with marked(CrashPoint.METHOD_CALL_BEGUN), context.engine.begin() as conn:
            order = at_provider.the_payment_method(_at_account(conn, customer, provider), token)
            return order, at_provider.begin(conn, context, order, now)

    order, call = fence.insisted(context, begin)
    call, details = at_provider.send(context, order, call)
    now, at = context.clock.now(), order.at
    with marked(CrashPoint.METHOD_RECORDED), context.engine.begin() as conn:
        at_provider.end(conn, call, now)
        keep_payment_method(conn, at.customer_id, at.provider, details, at=now)
        if make_default and provider is not None:
            customers.set_account(conn, at.customer_id, at.provider)
        retried = retry_with_new_method(conn, at.customer_id, at.provider, now)
    return details, retried


def existing_customer(conn: Connection, customer: str) -> Customer:
    """Return the customer with this id or external id. Raises `NotFound`."""
    row = customers.find(conn, customer)
    if row is None:
        raise NotFound(
            f"no customer {customer!r}",
            where="customer",
            code=ErrorCode.CUSTOMER_NOT_FOUND,
            customer=customer,
        )
    return row


def _at_account(conn: Connection, customer: str, provider: str | None) -> CustomerAccount:
    found = existing_customer(conn, customer)
    row = customers.account(conn, found.id, provider or found.provider)
    if row is None or row.provider_customer_id is None:
        raise Conflict(
            f"customer {customer!r} is not at the provider yet",
            code=ErrorCode.CUSTOMER_UNFINISHED,
            customer=customer,
        )
    return row


def keep_payment_method(
    conn: Connection,
    customer_id: UUID,
    provider: str,
    details: PaymentMethodDetails,
    *,
    at: datetime,
    make_default: bool = True,
) -> UUID:
    """Keep a payment method that was attached at that instant, as what its account charges."""
    return customers.add_payment_method(
        conn,
        {
            "id": new_id(),
            "customer_id": customer_id,
            "provider": provider,
            "provider_payment_method_id": details.token,
            "kind": str(details.kind),
            "brand": details.brand,
            "last4": details.last4,
            "exp_month": details.exp_month,
            "exp_year": details.exp_year,
            "created_at": at,
        },
        make_default=make_default,
    )


def retry_with_new_method(
    conn: Connection,
    customer_id: UUID,
    provider: str,
    now: datetime,
    *,
    tried_elsewhere: bool = False,
) -> int:
    """Make every payment due now that failed with the payment method before; no rung is used.

    `provider` is the account that has another method: payments due at others wait on. With
    `tried_elsewhere` those that were tried there wait, too. Returns the number of those that are
    due.
    """
    made_due = 0
    for payment in payments.lock_waiting_for_method(conn, customer_id, provider):
        if tried_elsewhere and payment.provider == provider:
            continue
        if payment.state is State.FAILED:
            if payment.invoice_status is not InvoiceStatus.UNCOLLECTIBLE:
                continue
            reopen(
                conn,
                payment,
                cause=Cause.REOPENED_BY_PAYMENT_METHOD,
                now=now,
                actor=CUSTOMER,
                why="the payment method was changed",
            )
        elif payment.open_attempt_n is not None:
            continue  # its outcome comes first; a decline tries the new method at once
        try_with_new_method(conn, payment, now)
        made_due += 1
    return made_due


def try_with_new_method(conn: Connection, payment: LockedPayment, now: datetime) -> None:
    """Make a locked payment due now, as its payment method was changed."""
    payments.change(
        conn,
        payment.id,
        now,
        rung=rung_given_back(payment.next_attempt_kind, payment.rung),
        next_attempt_at=now,
        next_attempt_kind=AttemptKind.NEW_METHOD,
        dispatch_after=NOT_HELD,
        decision=decided(DecisionKind.METHOD_CHANGED),
    )


def rung_given_back(pending_kind: AttemptKind | None, rung: int) -> int:
    """Return the number of rungs used, after an unscheduled attempt replaces a scheduled one."""
    return rung - 1 if pending_kind is AttemptKind.LADDER else rung
