"""Payment states: one table of legal transitions, and who may cause each of them.

A declined attempt is no transition: the payment stays CREATED while its ladder has rungs. Nor is a
partial refund: only the refund that completes the amount is. That refund may still fail; then the
payment returns to its state before. A capture whose settlement is declined is undone: the payment
is CREATED again, and its ladder goes on. Automatic capture is recorded as two transitions,
AUTHORIZED and then CAPTURED.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from billing.errors import Conflict, ErrorCode


class State(StrEnum):
    """The state of a payment."""

    CREATED = "CREATED"
    AUTHORIZED = "AUTHORIZED"
    CAPTURED = "CAPTURED"
    SETTLED = "SETTLED"
    FAILED = "FAILED"
    REFUNDED = "REFUNDED"


class Cause(StrEnum):
    """The cause of a transition; stored with it."""

    OUTCOME = "outcome"
    """The provider's definite answer to an attempt, adopted late or at once."""
    LADDER_OVER = "ladder_over"
    """The last rung was declined, or the decline rules out another attempt."""
    VOID = "void"
    """The customer no longer owes the amount: the invoice was voided, the subscription ended, or an
    authorisation was given up.
    """
    EXPIRED = "expired"
    """The authorisation ran out before anybody captured it."""
    REOPENED_BY_OPERATOR = "reopened_by_operator"
    REOPENED_BY_PAYMENT_METHOD = "reopened_by_payment_method"
    FORCED_CORRECTION = "forced_correction"
    """Reconciliation, with its evidence, against what we had recorded."""
    SETTLEMENT = "settlement"
    """The provider's settlement record says the funds are ours."""
    REFUND = "refund"
    """The refund that brought the refunded amount up to the whole."""
    REFUND_FAILED = "refund_failed"
    """A refund that had succeeded came back, so not the whole amount is refunded any more."""
    SETTLEMENT_DECLINED = "settlement_declined"
    """The provider had said that it was captured, and could not settle it: the money never came."""


class PaymentStatus(StrEnum):
    """The provider's status of a payment; `UNKNOWN` stands for a word that we don't know."""

    WAITING = "waiting"
    """It waits for a payment method or for an attempt: it is not paid."""
    NEEDS_CUSTOMER = "needs_customer"
    PROCESSING = "processing"
    AUTHORIZED = "authorized"
    CAPTURED = "captured"
    CANCELED = "canceled"
    UNKNOWN = "unknown"


class RefusalReason(StrEnum):
    """Why the provider refused a request about a payment, as far as the engine distinguishes."""

    PAYMENT_CANCELED = "payment_canceled"
    """The payment was canceled at the provider and can never be paid: a new one is safe."""
    AUTHORIZATION_EXPIRED = "authorization_expired"
    """The authorisation expired before it was captured."""
    OTHER = "other"
    """The request is wrong; a person must look."""


class CaptureMethod(StrEnum):
    """Whether an authorisation is captured at once, or on request."""

    AUTOMATIC = "automatic"
    MANUAL = "manual"


class AttemptKind(StrEnum):
    """What a payment does next, and why an attempt was made."""

    FIRST = "first"
    LADDER = "ladder"
    """The next rung of the ladder, after a decline."""
    MANUAL = "manual"
    """Asked for by an operator; uses no rung."""
    NEW_METHOD = "new_method"
    """The payment method was changed; uses no rung."""
    ABSENT = "absent"
    """The last attempt is proven not to have been executed; uses no rung."""
    GIVE_UP = "give_up"
    """No attempt: the payment is given up, unless something is collected before."""
    CAPTURE = "capture"
    VOID = "void"


class CallKind(StrEnum):
    """What a call asks the provider to do."""

    CHARGE = "charge"
    CAPTURE = "capture"
    VOID = "void"
    CANCEL = "cancel"
    """What an earlier attempt left there is canceled, so that another account may be tried."""
    REFUND = "refund"
    CUSTOMER = "customer"
    PAYMENT_METHOD = "payment_method"


class AttemptOutcome(StrEnum):
    """The definite outcome of an attempt, or of another call to the provider."""

    SUCCEEDED = "succeeded"
    DECLINED = "declined"
    ACTION_REQUIRED = "action_required"
    """The customer has to authenticate first."""
    REJECTED = "rejected"
    """The provider refused the request itself as wrong."""
    ABSENT = "absent"
    """Proven by the provider's lists: nothing was executed."""


TRANSITIONS: Final[Mapping[tuple[State, State], frozenset[Cause]]] = MappingProxyType(
    {
        (State.CREATED, State.AUTHORIZED): frozenset({Cause.OUTCOME, Cause.FORCED_CORRECTION}),
        (State.AUTHORIZED, State.CAPTURED): frozenset({Cause.OUTCOME, Cause.FORCED_CORRECTION}),
        (State.CAPTURED, State.SETTLED): frozenset({Cause.SETTLEMENT}),
        (State.CAPTURED, State.REFUNDED): frozenset({Cause.REFUND}),
        (State.CAPTURED, State.CREATED): frozenset({Cause.SETTLEMENT_DECLINED}),
        (State.SETTLED, State.REFUNDED): frozenset({Cause.REFUND}),
        (State.CREATED, State.FAILED): frozenset({Cause.OUTCOME, Cause.LADDER_OVER, Cause.VOID}),
        (State.AUTHORIZED, State.FAILED): frozenset(
            {Cause.OUTCOME, Cause.LADDER_OVER, Cause.VOID, Cause.EXPIRED}
        ),
        (State.REFUNDED, State.CAPTURED): frozenset({Cause.REFUND_FAILED}),
        (State.REFUNDED, State.SETTLED): frozenset({Cause.REFUND_FAILED}),
        (State.FAILED, State.CREATED): frozenset(
            {Cause.REOPENED_BY_OPERATOR, Cause.REOPENED_BY_PAYMENT_METHOD}
        ),
        (State.FAILED, State.CAPTURED): frozenset({Cause.FORCED_CORRECTION}),
    }
)


class IllegalTransition(Conflict):
    """The payment can't go from that state to the other, or not for that cause."""

    code = ErrorCode.ILLEGAL_TRANSITION


def check_transition(from_: State, to: State, cause: Cause) -> None:
    """Check that a transition is legal. Raises: IllegalTransition, which lists the legal ones."""
    causes = TRANSITIONS.get((from_, to))
    if causes is None:
        raise IllegalTransition(
            f"a payment that is {from_} can't become {to}",
            state=from_,
            next_states=next_states(from_) or "nowhere",
        )
    if cause not in causes:
        raise IllegalTransition(
            f"{cause} can't move a payment from {from_} to {to}",
            code=ErrorCode.TRANSITION_CAUSE,
            causes=tuple(sorted(causes)),
        )


def next_states(from_: State) -> tuple[State, ...]:
    """Return the states that can follow directly, in the order of the table."""
    return tuple(to for start, to in TRANSITIONS if start is from_)
