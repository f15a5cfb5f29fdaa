"""Sending the capture or the void that an authorised payment is due.

    begin       transaction 1: leased
    attempt     the call, outside any transaction

`authorization_outcomes.finish` is transaction 2. At the provider a payment is captured once, so
asking again is safe whatever became of the answer.
"""

from dataclasses import dataclass
from typing import Final, Literal
from uuid import UUID

from billing.crash_points import CrashPoint, marked
from billing.errors import BillingError
from billing.flows import fence
from billing.flows.context import Context
from billing.gateway import Absent, Gateway, Outcome, Succeeded, Unknown, canceled
from billing.rules.money import Money
from billing.rules.payments import AttemptKind, CallKind, PaymentStatus
from billing.store.payments import payment_steps, payments, provider_calls
from billing.store.payments.provider_calls import ProviderCall

AuthorizedKind = Literal[AttemptKind.CAPTURE, AttemptKind.VOID]

CAPTURE: Final = AttemptKind.CAPTURE
VOID: Final = AttemptKind.VOID


@dataclass(frozen=True, slots=True)
class AuthorizationStep:
    """A capture or a void that may be sent now; without a `call` an event told its outcome."""

    payment_id: UUID
    provider: str
    kind: AuthorizedKind
    provider_payment_id: str
    amount: Money
    call: ProviderCall | None = None

    @property
    def idempotency_key(self) -> str:
        """The key of its call."""
        assert self.call is not None, "what is sent was committed before"
        return self.call.idempotency_key

    @property
    def sends(self) -> int:
        """How often it was sent; an answer without a call counts as one to a first send."""
        return 1 if self.call is None else self.call.sends


def begin(context: Context, payment_id: UUID) -> AuthorizationStep | None:
    """Lease the capture or void of an authorised payment; None when there is no call to make."""
    return fence.begun(context, lambda: _begin(context, payment_id))


def _begin(context: Context, payment_id: UUID) -> AuthorizationStep | None:
    policy, now, wall = context.policy, context.clock.now(), context.clock.wall()
    with marked(CrashPoint.STEP_BEGUN), context.engine.begin() as conn:
        held_until = wall + policy.longest_hold
        row = payment_steps.lock_for_step(
            conn, payment_id, now=now, wall=wall, held_until=held_until
        )
        if row is None:
            return None
        lease = wall + policy.lease
        payments.change(conn, payment_id, now, lease_until=lease, dispatch_after=lease)
        assert row.provider_payment_id is not None, "what is authorised is known at the provider"
        kind: AuthorizedKind = CAPTURE if row.next_attempt_kind is CAPTURE else VOID
        call = provider_calls.begin(
            conn,
            kind=CallKind(kind),
            subject_id=row.id,
            customer_id=row.customer_id,
            provider=row.provider,
            key=f"{policy.mode}:payment:{row.id}:{kind}:{row.to_capture.amount}:c",
            request={
                "provider_payment_id": row.provider_payment_id,
                "amount": row.to_capture.amount,
                "currency": row.currency,
            },
            now=now,
        )
        return AuthorizationStep(
            payment_id=row.id,
            provider=row.provider,
            kind=kind,
            provider_payment_id=call.request["provider_payment_id"],
            amount=Money(call.request["amount"], call.request["currency"]),
            call=call,
        )


def attempt(context: Context, step: AuthorizationStep) -> Outcome | Absent:
    """Send a capture or a void. Holds no transaction.

    The provider may replay nothing but an error under a key, so after an indefinite answer the
    payment itself is retrieved: captured and canceled are final states.
    """
    gateway = context.gateways.of(step.provider)
    if step.kind is CAPTURE:
        answer: Outcome | Absent = gateway.capture(
            step.provider_payment_id, step.amount, idempotency_key=step.idempotency_key
        )
    else:
        answer = gateway.cancel(step.provider_payment_id, idempotency_key=step.idempotency_key)
    return _looked_at(gateway, step, answer) if isinstance(answer, Unknown) else answer


def _looked_at(gateway: Gateway, step: AuthorizationStep, unknown: Unknown) -> Outcome | Absent:
    try:
        found = gateway.payment(step.provider_payment_id)
    except BillingError:
        return unknown
    if found is None:
        return unknown
    if found.status is PaymentStatus.CAPTURED and (
        step.kind is VOID or found.amount_received == step.amount
    ):
        return Succeeded(found.id, found.amount_received, provider_charge_id=found.latest_charge_id)
    if found.status is PaymentStatus.CANCELED:
        return Absent() if step.kind is VOID else canceled(f"{found.id} is canceled")
    return unknown
