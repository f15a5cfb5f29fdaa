"""Dunning: what to do after a decline. Pure.

Declines have three classes. After `soft`, a later attempt may succeed: the plan's ladder follows.
After `needs_customer`, none is made until the payment method changes, and then at once. After
`hard`, none can succeed: another attempt costs a fee and counts against us at the card networks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from billing.plans.terms import Dunning
from billing.rules.decisions import Decision, DecisionKind, decided
from billing.rules.periods import later


class DeclineClass(StrEnum):
    """What a decline means for a further attempt with the same payment method."""

    SOFT = "soft"
    NEEDS_CUSTOMER = "needs_customer"
    HARD = "hard"


class Advice(StrEnum):
    """What the card's issuer advises after a decline."""

    TRY_AGAIN_LATER = "try_again_later"
    CONFIRM_CARD_DATA = "confirm_card_data"
    DO_NOT_TRY_AGAIN = "do_not_try_again"


# The engine's own codes: the provider was not asked, the customer has to confirm the payment, the
# payment method doesn't take the payment's currency, or it is gone at the provider: detached from
# the customer, or deleted.
# The gateway of a provider classifies the provider's codes.
NO_PAYMENT_METHOD: Final = "no_payment_method"
METHOD_UNUSABLE: Final = "payment_method_unusable"
AUTHENTICATION_REQUIRED: Final = "authentication_required"
CURRENCY_NOT_SUPPORTED: Final = "currency_not_supported"
OWN_CODES: Final[Mapping[str, DeclineClass]] = MappingProxyType(
    {
        NO_PAYMENT_METHOD: DeclineClass.NEEDS_CUSTOMER,
        METHOD_UNUSABLE: DeclineClass.NEEDS_CUSTOMER,
        AUTHENTICATION_REQUIRED: DeclineClass.NEEDS_CUSTOMER,
        CURRENCY_NOT_SUPPORTED: DeclineClass.NEEDS_CUSTOMER,
    }
)


@dataclass(frozen=True, slots=True)
class RetryAt:
    """Try again at that instant; `rung` is the one used, counted from 1."""

    at: datetime
    rung: int
    decision: Decision


@dataclass(frozen=True, slots=True)
class WaitForCustomer:
    """Try nothing until the payment method changes; give up at `until`, when the ladder would."""

    until: datetime
    decision: Decision


@dataclass(frozen=True, slots=True)
class Stop:
    """Give up now: the payment fails and the plan's `then` applies."""

    decision: Decision


Next = RetryAt | WaitForCustomer | Stop


@dataclass(frozen=True, slots=True)
class Budget:
    """How often one payment method may be tried, over all its invoices; card networks set the
    limits.
    """

    max_attempts: int = 8
    window: timedelta = timedelta(days=30)
    spacing: timedelta = timedelta(hours=24)


def decide(
    decline_class: DeclineClass,
    ladder: Dunning,
    rung: int,
    now: datetime,
    zone: str = "UTC",
    *,
    code: str | None = None,
) -> Next:
    """Decide what follows a decline at `now`, when `rung` rungs of the ladder are used already.

    Steps are civil time in the customer's zone. A manual attempt uses no rung: pass the same `rung`
    again. `code` (decline or advice) is one of the facts only.
    """
    rungs = len(ladder.retry_after)
    why = {"code": code, "decline_class": decline_class}
    if decline_class is DeclineClass.HARD:
        return Stop(decided(DecisionKind.HARD_DECLINE, **why, then=ladder.then))
    if rung >= rungs:
        return Stop(decided(DecisionKind.LADDER_OVER, **why, rungs=rungs, then=ladder.then))
    if decline_class is DeclineClass.NEEDS_CUSTOMER:
        until = ladder_end(ladder, rung, now, zone)
        kind = DecisionKind.WAIT_FOR_CUSTOMER
        waits = decided(kind, **why, until=until, zone=zone, then=ladder.then)
        return WaitForCustomer(until, waits)
    step = ladder.retry_after[rung]
    at = later(now, step, zone)
    place = {"rung": rung + 1, "rungs": rungs, "step": str(step), "at": at, "zone": zone}
    return RetryAt(at, rung + 1, decided(DecisionKind.RETRY, **why, **place))


def stops_method(decline_class: DeclineClass, code: str) -> bool:
    """Tell whether a decline rules out attempts with the payment method for other invoices too.

    A payment that the customer has to confirm says nothing about the next one, and one in a
    currency that isn't taken nothing about those in others.
    """
    return decline_class is not DeclineClass.SOFT and code not in _OF_ONE_PAYMENT


_OF_ONE_PAYMENT: Final = frozenset({AUTHENTICATION_REQUIRED, CURRENCY_NOT_SUPPORTED})


def ladder_end(ladder: Dunning, rung: int, now: datetime, zone: str = "UTC") -> datetime:
    """Return when a ladder ends of which `rung` rungs are used, counted from a decline at `now`."""
    until = now
    for step in ladder.retry_after[rung:]:
        until = later(until, step, zone)
    return until


def hold_to_end(retry: RetryAt, ends_at: datetime, now: datetime) -> Next:
    """Return a retry that isn't behind the ladder's end, or the wait for that end, or a stop.

    Only the budget puts an attempt behind it: time that the budget took isn't added to the ladder.
    """
    if retry.at <= ends_at:
        return retry
    if ends_at <= now:
        return Stop(decided(DecisionKind.LADDER_ENDED, ends_at=ends_at))
    return WaitForCustomer(ends_at, retry.decision.and_also(gives_up_at=ends_at))


def earliest_by_budget(budget: Budget, declined_at: Sequence[datetime], now: datetime) -> datetime:
    """Return the first instant from `now` on at which the payment method may be tried again.

    `declined_at` are its declines on all invoices, in any order. An attempt that succeeded
    or has no known outcome isn't among them.
    """
    if not declined_at:
        return now
    declines = sorted(declined_at)
    earliest = max(now, declines[-1] + budget.spacing)
    if len(declines) >= budget.max_attempts:
        earliest = max(earliest, declines[-budget.max_attempts] + budget.window)
    return earliest


def hold_to_budget(
    retry: RetryAt, budget: Budget, declined_at: Sequence[datetime], zone: str = "UTC"
) -> RetryAt:
    """Return the retry, moved later where the budget requires it, which its decision then tells."""
    at = earliest_by_budget(budget, declined_at, retry.at)
    if at == retry.at:
        return retry
    held = retry.decision.and_also(
        held_until=at,
        zone=zone,
        budget_attempts=budget.max_attempts,
        budget_days=budget.window.days,
        budget_hours_apart=budget.spacing // timedelta(hours=1),
    )
    return RetryAt(at, retry.rung, held)
