"""The calls that make a customer, and attach a payment method, at the provider.

Whoever asked waits for the answer, so a call is sent at once. As every call it is a row of
`provider_calls` first. When its answer was lost, the same command, run again, sends the same
request under the same key, or looks it up once the provider may have forgotten the key.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Generic, TypeVar
from uuid import UUID

from sqlalchemy import Connection

from billing.crash_points import CrashPoint, marked
from billing.errors import BadInput, BillingError, Unavailable
from billing.flows import fence
from billing.flows.context import Context
from billing.flows.provider_calls import ask
from billing.gateway import Absent, Gateway, PaymentMethodDetails, Unknown
from billing.rules.payments import AttemptOutcome, CallKind
from billing.rules.reconciliation.knowledge import EXTERNAL_ID, METADATA_MAX
from billing.rules.request_marks import RequestMark
from billing.store.payments import provider_calls
from billing.store.payments.provider_calls import ProviderCall
from billing.store.subscriptions.customers import Customer, CustomerAccount

Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Wanted(Generic[Made]):
    """What a customer needs at an account: the call, how it is sent, and how it is looked up."""

    kind: CallKind
    subject_id: UUID
    at: CustomerAccount
    request: Mapping[str, Any]
    by_key: Callable[[Gateway, ProviderCall], Made]
    by_looking: Callable[[Gateway, ProviderCall], Made | Absent]


def the_customer(
    customer: Customer, at: CustomerAccount, mark: RequestMark | None = None
) -> Wanted[str]:
    """Return what makes the customer at an account; its result is the provider's id.

    Name, address and external id stay in the customer's own row: a call's row is kept for ever. A
    customer from before engines had ids carries nothing to be found by. `mark` names the request of
    the API that asked for it.
    """
    maker = customer.engine_id
    told = {} if maker is None else {"customer": str(customer.id), "engine": str(maker)}
    if told and mark is not None:
        told |= mark.as_metadata()
    return Wanted(
        kind=CallKind.CUSTOMER,
        subject_id=at.id,
        at=at,
        request={"metadata": told, "names_external_id": bool(told)},
        by_key=lambda gateway, call: gateway.create_customer(
            name=customer.name,
            email=customer.email,
            metadata=call.request["metadata"] | _external_id(customer, call),
            idempotency_key=call.idempotency_key,
        ),
        by_looking=lambda gateway, call: (
            gateway.look_up_customer(call.request["metadata"], since=call.first_sent_at)
            if call.request["metadata"]
            else Absent()
        ),
    )


def _external_id(customer: Customer, call: ProviderCall) -> Mapping[str, str]:
    """Return what names a customer's external id there; calls of before named none."""
    named = customer.external_id
    if not named or len(named) > METADATA_MAX or not call.request.get("names_external_id"):
        return {}
    return {EXTERNAL_ID: named}


def the_payment_method(at: CustomerAccount, token: str) -> Wanted[PaymentMethodDetails]:
    """Return what attaches the token there; its subject follows from the account and the token."""
    return Wanted(
        kind=CallKind.PAYMENT_METHOD,
        subject_id=at.method_call(token),
        at=at,
        request={"customer": at.provider_customer_id, "payment_method": token},
        by_key=lambda gateway, call: gateway.attach_payment_method(
            call.request["customer"],
            call.request["payment_method"],
            idempotency_key=call.idempotency_key,
        ),
        by_looking=_attached,
    )


def _attached(gateway: Gateway, call: ProviderCall) -> PaymentMethodDetails | Absent:
    found = gateway.payment_method_by_id(call.request["payment_method"])
    if found is None or found.provider_customer_id != call.request["customer"]:
        return Absent()
    return found


def begin(conn: Connection, context: Context, wanted: Wanted[Made], now: datetime) -> ProviderCall:
    """Count a send of the open call, or of a new one; the caller commits before it is sent."""
    return provider_calls.begin(
        conn,
        kind=wanted.kind,
        subject_id=wanted.subject_id,
        customer_id=wanted.at.customer_id,
        provider=wanted.at.provider,
        key=f"{context.policy.mode}:{wanted.kind}:{wanted.subject_id}:c",
        request=wanted.request,
        now=now,
    )


def send(context: Context, wanted: Wanted[Made], call: ProviderCall) -> tuple[ProviderCall, Made]:
    """Send a call that was begun; return the call that was answered, and what was made.

    Where the provider proves that nothing was made, another call follows under another key. The
    caller writes the result down, with `end`. Raises `BadInput` (refused),
    `Unavailable`; unless the refusal is of the only send, the call then stays open.
    """
    gateway = context.gateways.of(wanted.at.provider)
    while True:
        made = _answer(context, gateway, wanted, call)
        if not isinstance(made, Absent):
            return call, made
        call = fence.insisted(context, partial(_begin_anew, context, wanted, call))


def _begin_anew(context: Context, wanted: Wanted[Made], absent: ProviderCall) -> ProviderCall:
    """End a call under which nothing was made, and begin another one."""
    now = context.clock.now()
    with marked(CrashPoint.CALL_BEGUN_ANEW), context.engine.begin() as conn:
        end(conn, absent, now, AttemptOutcome.ABSENT)
        return begin(conn, context, wanted, now)


def _answer(
    context: Context, gateway: Gateway, wanted: Wanted[Made], call: ProviderCall
) -> Made | Absent:
    """Ask for the outcome. Holds no transaction, and writes one down that isn't definite."""
    try:
        answer = ask(
            sends=call.sends,
            age=context.clock.now() - call.first_sent_at,
            capabilities=gateway.capabilities,
            policy=context.policy,
            by_key=lambda: wanted.by_key(gateway, call),
            by_looking=lambda: wanted.by_looking(gateway, call),
        )
    except BadInput as refused:
        if call.never_executed:
            with marked(CrashPoint.CALL_REFUSED), context.engine.begin() as conn:
                end(conn, call, context.clock.now(), AttemptOutcome.REJECTED)
        else:
            _keep_open(context, call, "refused", refused)
        raise
    except Unavailable as unanswered:
        _keep_open(context, call, "not_answered", unanswered)
        raise
    if isinstance(answer, Unknown):
        error = Unavailable(answer.message, where="the provider")
        _keep_open(context, call, answer.error_class, error)
        raise error
    return answer


def end(
    conn: Connection,
    call: ProviderCall,
    now: datetime,
    outcome: AttemptOutcome = AttemptOutcome.SUCCEEDED,
) -> None:
    """End a call; one that has an end already keeps it."""
    provider_calls.finish_one(conn, call, outcome, now)


def _keep_open(context: Context, call: ProviderCall, error_class: str, error: BillingError) -> None:
    now = context.clock.now()
    with marked(CrashPoint.CALL_LEFT_OPEN), context.engine.begin() as conn:
        provider_calls.still_open(
            conn,
            call,
            error_class=error_class,
            error_message=error.what,
            unknown_since=now,
        )
