"""Customers and their payment methods, at the provider and in our rows.

Our row and the call's are committed first (see `at_provider`). A command that died half-way is
finished by running it again.
"""

from collections.abc import Mapping
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
from billing.store.payments.provider_calls import ProviderCall
from billing.store.subscriptions import customers
from billing.store.subscriptions.customers import Customer


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
    context.gateways.of(provider)  # an account that isn't configured gets no customers
    fence.require(context, provider)
    wanted = {"name": name, "email": email, "external_id": external_id, "provider": provider}
    now = context.clock.now()
    with marked(CrashPoint.CUSTOMER_CLAIMED), context.engine.begin() as conn:
        customer = _claim(conn, customer_id or new_id(), wanted, payment_method is not None, now)
        order = at_provider.the_customer(customer, idempotency.mark_of(conn, customer.id))
        is_there = customer.provider_customer_id is not None
        call = None if is_there else at_provider.begin(conn, context, order, now)
    if call is not None:
        call, provider_customer_id = at_provider.send(context, order, call)
        with marked(CrashPoint.CUSTOMER_RECORDED), context.engine.begin() as conn:
            at_provider.end(conn, call, context.clock.now())
            customers.set_provider_customer(conn, customer.id, provider_customer_id)
    if payment_method is not None:
        set_payment_method(context, str(customer.id), payment_method)
    return customer.id


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
    existing = None if external_id is None else customers.find(conn, external_id)
    if existing is None:
        added = customers.add(conn, {"id": customer_id, "created_at": now, **wanted})
        if added is not None:
            return added
    assert external_id is not None, "only an external id can be taken"
    existing = existing or customers.find(conn, external_id)
    assert existing is not None
    found = (existing.name, existing.email, existing.provider)
    same = found == (wanted["name"], wanted["email"], wanted["provider"])
    lacks_method = with_method and existing.default_payment_method_id is None
    if same and (existing.provider_customer_id is None or lacks_method):
        return existing
    raise Conflict(
        f"a customer with external id {external_id!r} exists: {existing.id}",
        where="external_id",
        code=ErrorCode.CUSTOMER_EXISTS,
        customer_id=existing.id,
    )


def set_payment_method(
    context: Context, customer: str, token: str
) -> tuple[PaymentMethodDetails, int]:
    """Attach a token as the customer's default and retry the payments that waited for one.

    Returns what a person recognises the payment method by, and the number of payments that are
    retried. Raises `NotFound`, `BadInput`, `Unavailable`.
    """
    refuse_card_number(token, "payment_method")
    now = context.clock.now()

    def begin() -> tuple[Customer, at_provider.Wanted[PaymentMethodDetails], ProviderCall]:
        with marked(CrashPoint.METHOD_CALL_BEGUN), context.engine.begin() as conn:
            row = _known_at_provider(conn, customer)
            order = at_provider.the_payment_method(row, token)
            return row, order, at_provider.begin(conn, context, order, now)

    row, order, call = fence.insisted(context, begin)
    call, details = at_provider.send(context, order, call)
    now = context.clock.now()
    with marked(CrashPoint.METHOD_RECORDED), context.engine.begin() as conn:
        at_provider.end(conn, call, now)
        keep_payment_method(conn, row.id, details, at=now)
        retried = retry_with_new_method(conn, row.id, now)
    return details, retried


def _known_at_provider(conn: Connection, customer: str) -> Customer:
    row = customers.find(conn, customer)
    if row is None:
        raise NotFound(
            f"no customer {customer!r}", code=ErrorCode.CUSTOMER_NOT_FOUND, customer=customer
        )
    if row.provider_customer_id is None:
        raise Conflict(
            f"customer {customer!r} is not at the provider yet",
            code=ErrorCode.CUSTOMER_UNFINISHED,
            customer=customer,
        )
    return row


def keep_payment_method(
    conn: Connection,
    customer_id: UUID,
    details: PaymentMethodDetails,
    *,
    at: datetime,
    make_default: bool = True,
) -> UUID:
    """Keep a payment method that was attached at that instant, as the one to charge from now on."""
    return customers.add_payment_method(
        conn,
        {
            "id": new_id(),
            "customer_id": customer_id,
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


def retry_with_new_method(conn: Connection, customer_id: UUID, now: datetime) -> int:
    """Make every payment that failed with the old payment method due now; no rung is used.

    Returns the number of these payments.
    """
    made_due = 0
    for payment in payments.lock_waiting_for_method(conn, customer_id):
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
        made_due += 1
    return made_due


def rung_given_back(pending_kind: AttemptKind | None, rung: int) -> int:
    """Return the number of rungs used, after an unscheduled attempt replaces a scheduled one."""
    return rung - 1 if pending_kind is AttemptKind.LADDER else rung
