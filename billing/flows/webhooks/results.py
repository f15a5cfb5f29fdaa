"""The values of handling events: their results, what they wait for, and their effects.

A handler asks the provider first, outside any transaction, and returns a function that writes the
effects. That runs in one transaction with the update of the event's row, so an event is handled if
and only if its effects are there.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Connection

from billing.flows.payments.collecting import ChargeSend
from billing.gateway import EventKind, Outcome


class EventOutcome(StrEnum):
    """The result of an event; its row keeps the word."""

    IGNORED = "ignored"
    OBJECT_GONE = "object_gone"
    """The provider no longer has the object."""
    NOT_OURS = "not_ours"
    """The object, or its customer, isn't ours."""
    UNCHANGED = "unchanged"
    """Both sides agree already."""

    ALREADY_BOOKED = "already_booked"
    ANSWER_ADOPTED = "answer_adopted"
    """An open attempt got its answer."""
    ATTEMPT_NOT_THERE = "attempt_not_there"
    """The open attempt is not among the provider's charges: the event is about an earlier one."""
    AUTHORIZATION_ENDED = "authorization_ended"
    """An authorised payment was captured or canceled at the provider."""
    CAPTURE_UNDONE = "capture_undone"
    """The settlement of a captured payment was declined: it is collected again."""
    BREAK_RECORDED = "break_recorded"

    REFUND_APPLIED = "refund_applied"
    DISPUTE_APPLIED = "dispute_applied"
    PAYOUT_RECORDED = "payout_recorded"

    METHOD_ADDED = "method_added"
    """A payment method is new to us; `default` says whether it is the one to charge now."""
    METHOD_UPDATED = "method_updated"
    METHOD_DETACHED = "method_detached"
    """`default` says whether it was the one to charge: then the customer has none any more."""
    METHOD_NOT_KEPT = "method_not_kept"
    """A payment method that we have no reason to keep."""
    DEFAULT_KEPT = "default_kept"
    """The provider has another default; the one that we were told to charge stays."""
    DEFAULT_RESTORED = "default_restored"
    """The customer had no method to charge; the provider's default is charged again."""


class Waiting(StrEnum):
    """What an event waits for."""

    WORKER_HAS_PAYMENT = "worker_has_payment"
    CHARGE_UNANSWERED = "charge_unanswered"
    ATTEMPT_UNANSWERED = "attempt_unanswered"
    ATTEMPT_IS_NEW = "attempt_is_new"
    REFUND_UNDECIDED = "refund_undecided"
    METHOD_JUST_ATTACHED = "method_just_attached"
    """The command that attached it may be about to store it."""


class EventWaits(Exception):
    """The event has to wait for something else, and is tried again."""

    def __init__(self, waiting: Waiting, subject: object) -> None:
        super().__init__(f"{waiting} {subject}")
        self.waiting = waiting


@dataclass(frozen=True, slots=True)
class Adopted:
    """The definite outcome of an open attempt, looked up because of an event."""

    sending: ChargeSend
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Handled:
    """The result of one object's events, with its facts as JSON."""

    outcome: EventOutcome
    facts: Mapping[str, str | int | bool] = field(default_factory=dict)
    adopted: Adopted | None = None


Effects = Callable[[Connection], Handled]
"""Writes the effects in the caller's transaction."""


@dataclass(frozen=True, slots=True)
class ObjectEvents:
    """All unhandled events of one object: their number doesn't matter.

    `types` are the provider's own words; `at` is the instant of the youngest.
    """

    provider: str
    object_id: str
    event_ids: tuple[str, ...]
    kinds: frozenset[EventKind]
    types: frozenset[str]
    at: datetime
    tries: int = 1


def only(outcome: EventOutcome, **facts: str | int | bool) -> Effects:
    """Return the effects of events without a change, or whose change is written already."""
    return lambda _conn: Handled(outcome, facts)
