"""Subscription status: how each event changes it, and what to do about missed periods. Pure."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

from billing.rules.periods import Kind
from plans.terms import CatchUpPolicy, GiveUp


class CycleKind(StrEnum):
    """The kind of a cycle: only a regular one is billed."""

    TRIAL = "trial"
    REGULAR = "regular"
    PAUSED = "paused"
    SKIPPED = "skipped"


class CycleState(StrEnum):
    """The state of a cycle. A closed one never changes again."""

    OPENED = "opened"
    CLOSED = "closed"


class SubscriptionEventKind(StrEnum):
    """The kinds of events in a subscription's history."""

    CREATED = "created"
    ACTIVE = "active"
    """Its trial is over."""
    PLAN_VERSION = "plan_version"
    """It moved to a later version of its plan."""
    PAST_DUE = "past_due"
    RECOVERED = "recovered"
    """The open payment was captured."""
    UNPAID = "unpaid"
    PAUSED = "paused"
    RESUMED = "resumed"
    CANCEL_AT_PERIOD_END = "cancel_at_period_end"
    KEPT = "kept"
    """The cancellation at the period's end was withdrawn."""
    CANCELED = "canceled"
    PARKED = "parked"
    RELEASED = "released"
    CORRECTED = "corrected"
    """A payment that we had given up turned out to be captured at the provider."""


class Status(StrEnum):
    """The status of a subscription."""

    TRIALING = "trialing"
    ACTIVE = "active"
    PAST_DUE = "past_due"
    UNPAID = "unpaid"
    PAUSED = "paused"
    CANCELED = "canceled"


_PAUSABLE: Final = frozenset({Status.TRIALING, Status.ACTIVE, Status.PAST_DUE})


class CatchUpReason(StrEnum):
    """Why missed periods are billed, skipped or left to a person."""

    NONE_MISSED = "none_missed"
    WITHIN_CAP = "within_cap"
    OVER_CAP = "over_cap"
    PLAN_SKIPS = "plan_skips"
    PLAN_PARKS = "plan_parks"


class ParkedReason(StrEnum):
    """Why a subscription is parked; each has its line in docs/operations.md."""

    PLAN_MISSING = "plan_missing"
    SCHEDULE_CHANGED = "schedule_changed"
    CATCH_UP = "catch_up"
    BELOW_MINIMUM = "below_minimum"
    REFUSED_BY_DATABASE = "refused_by_database"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class CatchUp:
    """What to do about periods that passed unopened.

    `bill` opens the next one as usual (the others follow, in order), `skip` opens it as
    skipped, `park` waits for an operator.
    """

    action: Literal["bill", "skip", "park"]
    reason: CatchUpReason


def initial(has_trial: bool) -> Status:
    """Return the status a subscription starts with."""
    return Status.TRIALING if has_trial else Status.ACTIVE


def cycle_kind(status: Status, scheduled: Kind) -> CycleKind:
    """Return the kind of the cycle to open: a paused subscription's periods pass unbilled."""
    return CycleKind.PAUSED if status is Status.PAUSED else CycleKind(scheduled)


def after_open(status: Status, kind: CycleKind) -> Status:
    """Return the status once a cycle of that kind is open; the first regular one ends the trial."""
    if kind is CycleKind.TRIAL and status is not Status.PAUSED:
        return Status.TRIALING
    return Status.ACTIVE if status is Status.TRIALING else status


def after_decline(status: Status) -> Status:
    """Return the status after a declined attempt, while the ladder goes on."""
    return Status.PAST_DUE if status in (Status.TRIALING, Status.ACTIVE) else status


def after_capture(status: Status, other_open_past_due: bool) -> Status:
    """Return the status after a payment; others past due or given up keep it where it is.

    A canceled subscription stays canceled: paying an old debt doesn't renew it.
    """
    if status in (Status.PAST_DUE, Status.UNPAID) and not other_open_past_due:
        return Status.ACTIVE
    return status


def after_give_up(status: Status, then: GiveUp) -> Status:
    """Return the status when collecting a payment was given up."""
    if status is Status.CANCELED or then == "cancel":
        return Status.CANCELED
    return Status.UNPAID


def after_resume(in_trial: bool, open_past_due: bool) -> Status:
    """Return the status of a paused subscription that goes on."""
    if open_past_due:
        return Status.PAST_DUE
    return Status.TRIALING if in_trial else Status.ACTIVE


def can_cancel(status: Status) -> bool:
    """Say whether the subscription can still be canceled."""
    return status is not Status.CANCELED


def can_pause(status: Status) -> bool:
    """Say whether the subscription can be paused from its next period on."""
    return status in _PAUSABLE


def can_resume(status: Status) -> bool:
    """Say whether the subscription is waiting to be resumed."""
    return status in (Status.PAUSED, Status.UNPAID)


def plan_catch_up(policy: CatchUpPolicy, cap: int, missed: int) -> CatchUp:
    """Decide about `missed` periods that went by wholly, the current one not counted.

    None missed is the ordinary renewal. The cap bounds what one customer can be billed at
    once; it doesn't apply to `skip`, which bills one period however many were missed.
    """
    if missed < 0:
        raise ValueError(f"missed periods are counted from 0, not {missed}")
    if missed == 0:
        return CatchUp("bill", CatchUpReason.NONE_MISSED)
    if policy == "skip":
        return CatchUp("skip", CatchUpReason.PLAN_SKIPS)
    if policy == "park":
        return CatchUp("park", CatchUpReason.PLAN_PARKS)
    if missed > cap:
        return CatchUp("park", CatchUpReason.OVER_CAP)
    return CatchUp("bill", CatchUpReason.WITHIN_CAP)
