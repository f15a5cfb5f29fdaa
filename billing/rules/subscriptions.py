"""Subscription status: how each event changes it, and what to do about missed periods. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Literal

from billing.plans.terms import CatchUpPolicy, GiveUp
from billing.rules.periods import Kind


class CycleKind(StrEnum):
    """The kind of a cycle: only a regular one is billed."""

    TRIAL = "trial"
    REGULAR = "regular"
    PAUSED = "paused"
    SKIPPED = "skipped"
    FREE = "free"
    """Its plan costs nothing."""


BILLED_KINDS: Final = (CycleKind.REGULAR, CycleKind.FREE)
"""The kinds of cycles whose period has a price, be it zero."""


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
    UNPAID_AT_PERIOD_END = "unpaid_at_period_end"
    """Collecting was given up; it is unpaid once what was paid for is served."""
    PAUSED = "paused"
    RESUMED = "resumed"
    RESUMES_LATER = "resumes_later"
    """It is paused, and goes on at an instant."""
    CANCEL_AT_PERIOD_END = "cancel_at_period_end"
    KEPT = "kept"
    """The cancellation at the period's end was withdrawn."""
    CANCELED = "canceled"
    CHANGE_SCHEDULED = "change_scheduled"
    """It holds another plan, or other quantities, from a period on."""
    CHANGED = "changed"
    """It holds them from now on."""
    CHANGE_WITHDRAWN = "change_withdrawn"
    PARKED = "parked"
    RELEASED = "released"
    REANCHORED = "reanchored"
    """Its boundaries follow the rules of its zone as they are today."""
    ACCOUNT_CHANGED = "account_changed"
    """It is collected over another account at a provider, or over its customer's."""
    COUPON_REDEEMED = "coupon_redeemed"
    """A coupon takes something off its invoices from now on."""
    USAGE_ALERT = "usage_alert"
    """Usage of a period passed a part of what its item includes, or all of it."""
    DISPUTE_LOST = "dispute_lost"
    """The customer took a payment back by way of the bank."""
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
    SCHEDULED = "scheduled"
    """Its first period hasn't begun."""


class DatedChangeKind(StrEnum):
    """What a dated change of a subscription is."""

    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    """It ends at that instant, unless that is taken back before."""
    KEEP = "keep"
    """The cancellation is taken back."""
    END = "end"
    """It ended at that instant."""
    UNPAID = "unpaid"
    """From that instant on it is unpaid: what was paid for is served until then."""
    PAID = "paid"
    """What was given up is paid after all, or it goes on all the same."""
    REANCHOR = "reanchor"
    """From that instant on, where a period starts, boundaries follow its zone as it is today."""
    HELD = "held"
    """What it held before its first change of plan or quantity."""
    QUANTITY = "quantity"
    PLAN = "plan"
    SCHEDULE = "schedule"
    """Its periods begin on another day, or in another zone."""
    WITHDRAW = "withdraw"
    """A change of plan, quantity or schedule that didn't hold yet is taken back."""


@dataclass(frozen=True, slots=True)
class DatedChange:
    """A change of a subscription, and the instant from which it holds."""

    kind: DatedChangeKind
    holds_from: datetime


class EndedBy(StrEnum):
    """What brings a subscription's end about."""

    OPERATOR = "operator"
    """It was canceled with immediate effect."""
    PERIOD_END = "period_end"
    """It was to end with a period, whose service is owed."""
    LADDER = "ladder"
    """Collecting was given up, and its plan says `cancel`."""
    DISPUTE = "dispute"
    """A dispute was lost, and its plan says `cancel`."""


_PAUSABLE: Final = frozenset({Status.SCHEDULED, Status.TRIALING, Status.ACTIVE, Status.PAST_DUE})
_OWING: Final = frozenset({DatedChangeKind.UNPAID, DatedChangeKind.PAID})
_PAUSING: Final = frozenset({DatedChangeKind.PAUSE, DatedChangeKind.RESUME})


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
    """Of earlier versions: today a period starts when it was announced to."""
    CATCH_UP = "catch_up"
    BELOW_MINIMUM = "below_minimum"
    ABOVE_MAXIMUM = "above_maximum"
    TAX_UNDECIDED = "tax_undecided"
    """Where the customer is, or what is levied there, isn't known; released once it is."""
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


def initial(has_trial: bool, *, starts_later: bool = False) -> Status:
    """Return the status a subscription starts with."""
    if starts_later:
        return Status.SCHEDULED
    return Status.TRIALING if has_trial else Status.ACTIVE


def is_paused(changes: Sequence[DatedChange], start: datetime) -> bool:
    """Tell whether a period that starts at that instant passes unbilled.

    `changes` are in the order in which they were asked for. A change holds for the periods that
    start after it: one that has begun stays what it is.
    """
    for change in reversed(changes):
        if change.kind in _PAUSING and change.holds_from < start:
            return change.kind is DatedChangeKind.PAUSE
    return False


def is_paused_from_now_on(changes: Sequence[DatedChange], now: datetime | None = None) -> bool:
    """Tell whether the last word on pausing is a pause; by `now`, what holds later isn't one."""
    asked = [
        change.kind
        for change in changes
        if change.kind in _PAUSING and (now is None or change.holds_from <= now)
    ]
    return bool(asked) and asked[-1] is DatedChangeKind.PAUSE


def resumes_with(changes: Sequence[DatedChange], start: datetime) -> bool:
    """Tell whether the last word on pausing is a resumption that holds for a period's start.

    Where the subscription is paused until then, it goes on with that period.
    """
    asked = [change for change in changes if change.kind in _PAUSING]
    return bool(asked) and asked[-1].kind is DatedChangeKind.RESUME and asked[-1].holds_from < start


def unpaid_from(changes: Sequence[DatedChange]) -> datetime | None:
    """Return from when on the subscription is unpaid, where that was decided and still holds."""
    asked = [change for change in changes if change.kind in _OWING]
    if not asked or asked[-1].kind is DatedChangeKind.PAID:
        return None
    return asked[-1].holds_from


def cycle_kind(changes: Sequence[DatedChange], start: datetime, scheduled: Kind) -> CycleKind:
    """Return the kind of the cycle of a period: what was asked for before it started decides.

    The status of today doesn't: a period may be opened long after it began.
    """
    return CycleKind.PAUSED if is_paused(changes, start) else CycleKind(scheduled)


def after_open(status: Status, kind: CycleKind) -> Status:
    """Return the status once a cycle of that kind is open; the first regular one ends the trial."""
    if kind is CycleKind.TRIAL and status is not Status.PAUSED:
        return Status.TRIALING
    return Status.ACTIVE if status in (Status.SCHEDULED, Status.TRIALING) else status


def after_decline(status: Status) -> Status:
    """Return the status after a declined attempt, while the ladder goes on."""
    return Status.PAST_DUE if status in (Status.TRIALING, Status.ACTIVE) else status


def after_capture(status: Status, other_open_past_due: bool, *, paused: bool = False) -> Status:
    """Return the status after a payment; others past due or given up keep it where it is.

    A canceled subscription stays canceled: paying an old debt doesn't renew it. One that is
    `paused` stays so: paying a debt doesn't resume it.
    """
    if status in (Status.PAST_DUE, Status.UNPAID) and not other_open_past_due:
        return Status.PAUSED if paused else Status.ACTIVE
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


def comes_first(ends_at: datetime | None, next_start: datetime | None) -> bool:
    """Tell whether a subscription ends before its next period, or at its start: it isn't opened."""
    return ends_at is not None and next_start is not None and ends_at <= next_start


def replaces(ended_by: EndedBy, decided: EndedBy | None) -> bool:
    """Tell whether an end has another cause from now on: only a ladder's is taken back again."""
    return decided is EndedBy.LADDER and ended_by is not EndedBy.LADDER


def still_collects(ended_by: EndedBy | None) -> bool:
    """Tell whether the open invoices of a subscription that ended are collected all the same.

    After a period's end they are: their periods were served as agreed. An operator's end has voided
    what was open, so what is left was served and not billed before. After the end of a ladder or a
    lost dispute they are voided, and an attempt that is open then is the last one.
    """
    return ended_by not in (EndedBy.LADDER, EndedBy.DISPUTE)


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
