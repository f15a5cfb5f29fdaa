"""Recognition rules: when the deferred revenue of a line of an invoice is earned. Pure.

`period_end` earns all of a line when its period is over. `daily` earns an equal share when each
civil day of the subscription's zone has passed; the first days get the minor units that don't
divide. What is left is spread over the days that are left, so a refund lowers every later day, and
a run after a pause earns what the missed days would have.
"""

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from functools import lru_cache
from typing import Final, Literal

from billing.rules.periods import Period, to_local, to_utc

Mode = Literal["period_end", "daily"]

TICK: Final = timedelta(microseconds=1)
"""The least distance between two recognitions of one invoice."""

Once = Literal["issue", "period"]
"""When what is charged once is earned: when it is invoiced, or over the period it is charged in."""


@dataclass(frozen=True, slots=True)
class RecognitionStep:
    """What is earned now, up to `through`, and when more may be earned (None: nothing is left)."""

    amount: int
    through: datetime | None
    next_at: datetime | None


@dataclass(frozen=True, slots=True)
class Service:
    """The period that a line of an invoice pays for, and the zone whose civil days count."""

    period: Period
    zone: str


def service_of(period: Period | None, issued_at: datetime, zone: str) -> Service:
    """Return the service of a line: what is of no period, or of one that was over when it was
    issued, is earned as soon as it is issued.
    """
    if period is None or period.end <= issued_at:
        period = Period(issued_at - TICK, issued_at)
    return Service(period, zone)


def first_at(service: Service, mode: Mode) -> datetime:
    """Return when the first part of a new line is earned."""
    if mode == "period_end":
        return service.period.end
    return min(_midnight_after(service.period.start, service.zone), service.period.end)


def placed(done: RecognitionStep, *, last_of_invoice: datetime | None, now: datetime) -> datetime:
    """Return up to when a step of a line counts as earned: after all that was earned before.

    The steps of one invoice that have an instant in common are one entry, so a line that is earned
    after the others (a refund of it failed, say) can't have an instant of theirs.
    """
    assert done.through is not None, "something is earned"
    if last_of_invoice is None or last_of_invoice < done.through:
        return done.through
    return max(now, last_of_invoice + TICK)


def step(
    left: int, service: Service, mode: Mode, *, last: datetime | None, now: datetime
) -> RecognitionStep:
    """Return what of `left` minor units is earned by `now`.

    `last` is the instant up to which something was recognised before. What is left when the
    period is over (a refund failed, say) is earned at once.
    """
    if left <= 0:
        return RecognitionStep(0, None, None)
    period = service.period
    if now >= period.end:
        through = period.end if last is None or last < period.end else max(now, last + TICK)
        return RecognitionStep(left, through, None)
    if mode == "period_end":
        return RecognitionStep(0, None, period.end)
    return _daily(left, service, last or period.start, now)


def _daily(left: int, service: Service, since: datetime, now: datetime) -> RecognitionStep:
    """Earn the days that have passed since, of those that were left then."""
    period, zone = service.period, service.zone
    midnight = _midnight_before(now, zone)
    next_at = min(_midnight_after(now, zone), period.end)
    day = _day(since, zone)
    passed = _day(midnight, zone) - day
    if passed <= 0:
        return RecognitionStep(0, None, next_at)
    days = max(passed, _day(period.end, zone) - day)
    share, rest = divmod(left, days)
    amount = share * passed + min(rest, passed)
    return RecognitionStep(amount, midnight, next_at if amount < left else None)


# Most lines of a run have their instants in common, and a zone's rules are slow to ask.
_KEPT: Final = 4096


@lru_cache(maxsize=_KEPT)
def _day(at: datetime, zone: str) -> int:
    """Return the number of the civil day of an instant in a zone."""
    return to_local(at, zone).date().toordinal()


@lru_cache(maxsize=_KEPT)
def _midnight_before(at: datetime, zone: str) -> datetime:
    return to_utc(datetime.combine(to_local(at, zone).date(), time.min), zone)


@lru_cache(maxsize=_KEPT)
def _midnight_after(at: datetime, zone: str) -> datetime:
    tomorrow = to_local(at, zone).date() + timedelta(days=1)
    return to_utc(datetime.combine(tomorrow, time.min), zone)
