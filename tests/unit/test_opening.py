"""Opening a cycle late: how many periods were missed, at the boundary of every alignment."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import product
from uuid import UUID

import pytest

from billing.flows.cycles.charging import NOTHING_HELD
from billing.flows.cycles.deciding import CannotOpen, decide
from billing.flows.policy import Policy
from billing.plans.terms import Cadence, CatchUpPolicy, Plan, PlanVersion
from billing.rules.periods import nth
from billing.rules.subscriptions import Status
from billing.store.subscriptions.subscriptions import Subscription

TICK = timedelta(microseconds=1)
CAP = 3
PUBLISHED = date(2024, 1, 1)

# Aligned to a day that the anchor isn't on, a boundary is not a whole number of months away.
SCHEDULES = [
    *product(["1 month", "2 months", "1 year"], [None, 1, 14, 15, 16, 28, 29, 30, 31]),
    *product(["1 day", "2 weeks"], [None]),
]


def subscription(every: str, anchor_day: int | None, *, next_n: int) -> Subscription:
    made = Subscription(
        id=UUID(int=1),
        external_id=None,
        customer_id=UUID(int=2),
        plan="late",
        plan_version=PUBLISHED,
        currency="USD",
        quantity=1,
        invoice_prefix="LATE",
        status=Status.ACTIVE,
        anchor_local=datetime.fromisoformat("2024-01-15"),
        zone="UTC",
        every=every,
        trial=None,
        anchor_day=anchor_day,
        anchor_month=None,
        anchor_weekday=None,
        next_n=next_n,
        renews_at=None,
        cancels_at=None,
        ended_by=None,
        parked_at=None,
        parked_error=None,
        parked_reason=None,
        parked_facts={},
        canceled_at=None,
        created_at=datetime(2024, 1, 1, tzinfo=UTC),
        carried=0,
        provider=None,
    )
    return replace(made, renews_at=nth(made.schedule, next_n).period.start)


def opened(due: Subscription, catch_up: CatchUpPolicy, now: datetime) -> str:
    """Return the kind of the cycle that is opened, or why none is and how many were missed."""
    version = PlanVersion("late", PUBLISHED, "keep", Cadence(1, "month"), None, None, {"USD": 500})
    plan = Plan("late", "Story", "Late", None, catch_up, (version,))
    try:
        policy = Policy(catch_up_cap=CAP)
        return decide(due, {"late": plan}, now, policy, held=NOTHING_HELD).kind
    except CannotOpen as cannot:
        return f"{cannot.reason}: {cannot.facts['missed']}"


EXPECTED: list[tuple[CatchUpPolicy, int, str]] = [
    ("bill", 0, "regular"),
    ("bill", 1, "regular"),
    ("bill", CAP, "regular"),
    ("bill", CAP + 1, f"catch_up: {CAP + 1}"),
    ("skip", 0, "regular"),
    ("skip", 1, "skipped"),
    ("skip", CAP + 1, "skipped"),
    ("park", 0, "regular"),
    ("park", 1, "catch_up: 1"),
    ("park", CAP + 1, f"catch_up: {CAP + 1}"),
]


@pytest.mark.parametrize(("every", "anchor_day"), SCHEDULES)
@pytest.mark.parametrize(("catch_up", "missed", "expected"), EXPECTED)
def test_a_period_is_missed_from_the_instant_at_which_it_ends(
    every: str, anchor_day: int | None, catch_up: CatchUpPolicy, missed: int, expected: str
) -> None:
    for next_n in range(6):
        due = subscription(every, anchor_day, next_n=next_n)
        over = nth(due.schedule, next_n + missed).period.start
        current = nth(due.schedule, next_n + missed).period.end - TICK

        assert opened(due, catch_up, over) == expected, f"cycle {next_n} at its boundary"
        assert opened(due, catch_up, current) == expected, f"cycle {next_n} an instant before"
