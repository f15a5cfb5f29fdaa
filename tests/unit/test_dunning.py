"""Dunning: the ladder, the budget of a card, and the words for each."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.plans.terms import Cadence, Dunning, GiveUp
from billing.presenters.decisions import in_words
from billing.rules.decisions import DecisionKind, decided
from billing.rules.dunning import (
    Budget,
    DeclineClass,
    Next,
    RetryAt,
    Stop,
    WaitForCustomer,
    decide,
    earliest_by_budget,
    hold_to_budget,
    hold_to_end,
    ladder_end,
    stops_method,
)

SOFT, NEEDS_CUSTOMER, HARD = DeclineClass
NOW = datetime(2026, 3, 1, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("steps", "days"),
    [
        # P11: polar server/polar/config.py DUNNING_RETRY_INTERVALS
        ([2, 5, 7, 7], [2, 7, 14, 21]),
        ([3, 5, 7], [3, 8, 15]),
        ([], []),
    ],
)
def test_the_ladder_in_days_after_the_first_decline(steps: list[int], days: list[int]) -> None:
    plan = ladder(*steps)

    assert climb(plan) == [NOW + timedelta(days=day) for day in days]


def test_a_ladder_without_rungs_ends_with_the_first_decline() -> None:
    stop = decide(SOFT, ladder(then="unpaid"), 0, NOW)

    assert stop == Stop(
        decided(DecisionKind.LADDER_OVER, code=None, decline_class=SOFT, rungs=0, then="unpaid")
    )
    assert words_of(stop) == (
        "the decline is soft; the plan has no later attempts; the subscription becomes unpaid"
    )


def test_a_soft_decline_climbs_one_rung() -> None:
    retry = decide(SOFT, ladder(3, 5, 7), 0, NOW, code="insufficient_funds")

    at = datetime(2026, 3, 4, 10, tzinfo=UTC)
    assert retry == RetryAt(
        at,
        1,
        decided(
            DecisionKind.RETRY,
            code="insufficient_funds",
            decline_class=SOFT,
            rung=1,
            rungs=3,
            step="3 days",
            at=at,
            zone="UTC",
        ),
    )
    assert words_of(retry) == (
        "insufficient_funds is soft; rung 1 of 3; next attempt in 3 days on 2026-03-04 10:00 UTC"
    )


def test_a_manual_attempt_uses_no_rung() -> None:
    plan = ladder(3, 5, 7)
    first = decide(SOFT, plan, 0, NOW)
    assert isinstance(first, RetryAt)

    after_a_manual_one = decide(SOFT, plan, first.rung, NOW + timedelta(days=1))

    assert isinstance(after_a_manual_one, RetryAt)
    assert after_a_manual_one.rung == 2


@pytest.mark.parametrize(
    ("then", "words"), [("cancel", "subscription is canceled"), ("unpaid", "becomes unpaid")]
)
def test_after_the_last_rung_the_plan_says_what_becomes_of_it(then: GiveUp, words: str) -> None:
    over = decide(SOFT, ladder(3, 5, 7, then=then), 3, NOW, code="do_not_honor")

    assert isinstance(over, Stop)
    assert words_of(over).startswith("do_not_honor is soft; all 3 rungs are used; ")
    assert words in words_of(over)


def test_a_plan_without_a_ladder_gives_up_at_once() -> None:
    for decline_class in DeclineClass:
        assert isinstance(decide(decline_class, ladder(), 0, NOW), Stop)


def test_what_needs_the_customer_waits_as_long_as_the_ladder_would_have() -> None:
    waits = decide(NEEDS_CUSTOMER, ladder(3, 5, 7), 1, NOW, code="expired_card")

    assert isinstance(waits, WaitForCustomer)
    assert waits.until == NOW + timedelta(days=12)
    assert "expired_card is for the customer to put right" in words_of(waits)
    assert "2026-03-13 10:00 UTC" in words_of(waits)


def test_a_hard_decline_stops_whatever_is_left_of_the_ladder() -> None:
    stop = decide(HARD, ladder(3, 5, 7), 0, NOW, code="stolen_card")

    assert isinstance(stop, Stop)
    assert words_of(stop) == "stolen_card is hard; no further attempt; the subscription is canceled"


def test_a_step_is_civil_time_where_the_customer_lives() -> None:
    before_the_change = datetime(2026, 3, 7, 15, tzinfo=UTC)  # 10:00 in New York

    retry = decide(SOFT, ladder(3), 0, before_the_change, "America/New_York")

    assert isinstance(retry, RetryAt)
    assert retry.at == datetime(2026, 3, 10, 14, tzinfo=UTC)
    assert "2026-03-10 10:00 America/New_York" in words_of(retry)


@pytest.mark.parametrize(
    ("declined_days_ago", "wait"),
    [
        ([], timedelta(0)),
        ([3], timedelta(0)),
        ([0.5], timedelta(hours=12)),
        ([0], timedelta(days=1)),
        # the eighth decline back leaves the window of 30 days tomorrow
        ([2, 5, 8, 11, 14, 17, 20, 29], timedelta(days=1)),
        ([2, 5, 8, 11, 14, 17, 20, 30], timedelta(0)),
        ([20, 2, 29, 11, 5, 17, 14, 8], timedelta(days=1)),  # in any order
        ([1, 2, 3, 4, 5, 6, 7, 8, 9], timedelta(days=22)),
    ],
)
def test_the_budget_of_a_card(declined_days_ago: list[float], wait: timedelta) -> None:
    declined_at = [NOW - timedelta(days=days) for days in declined_days_ago]

    assert earliest_by_budget(Budget(), declined_at, NOW) == NOW + wait


@given(
    st.lists(st.integers(0, 60 * 24).map(lambda hours: NOW - timedelta(hours=hours))),
    st.builds(
        Budget,
        st.integers(1, 10),
        st.integers(1, 40).map(lambda days: timedelta(days=days)),
        st.integers(0, 48).map(lambda hours: timedelta(hours=hours)),
    ),
)
def test_the_budget_is_kept_and_an_hour_less_would_break_it(
    declined_at: list[datetime], budget: Budget
) -> None:
    earliest = earliest_by_budget(budget, declined_at, NOW)

    assert keeps(budget, declined_at, earliest)
    if earliest > NOW:
        assert not keeps(budget, declined_at, earliest - timedelta(hours=1))


def test_a_retry_is_held_to_the_budget_and_says_so() -> None:
    retry = decide(SOFT, ladder(1, 2, 3), 1, NOW - timedelta(days=2))
    assert isinstance(retry, RetryAt)
    assert retry.at == NOW

    held = hold_to_budget(retry, Budget(), [NOW - timedelta(hours=1)])

    assert (held.at, held.rung) == (NOW + timedelta(hours=23), 2)
    assert words_of(held) == (
        "the decline is soft; rung 2 of 3; next attempt in 2 days on 2026-03-01 10:00 UTC; "
        "held until 2026-03-02 09:00 UTC: "
        "the card's budget is 8 attempts in 30 days, 24 h apart"
    )
    assert hold_to_budget(retry, Budget(), []) == retry


def test_a_held_retry_says_the_hour_of_the_subscriptions_zone() -> None:
    retry = decide(SOFT, ladder(1, 2, 3), 1, NOW - timedelta(days=2))
    assert isinstance(retry, RetryAt)

    held = hold_to_budget(retry, Budget(), [NOW - timedelta(hours=1)], "Asia/Tokyo")

    assert "held until 2026-03-02 18:00 Asia/Tokyo" in words_of(held)


def test_the_budget_moves_no_attempt_behind_the_end_of_the_ladder() -> None:
    first = decide(SOFT, ladder(3, 5, 7), 0, NOW)
    assert isinstance(first, RetryAt)
    ends_at = ladder_end(ladder(3, 5, 7), 0, NOW)
    assert ends_at == NOW + timedelta(days=15)

    assert hold_to_end(first, ends_at, NOW) is first
    assert hold_to_end(replace(first, at=ends_at), ends_at, NOW) == replace(first, at=ends_at)

    late = replace(first, at=ends_at + timedelta(days=1))
    waits = hold_to_end(late, ends_at, NOW)
    assert isinstance(waits, WaitForCustomer)
    assert waits.until == ends_at
    assert "given up at 2026-03-16 10:00 UTC, when the ladder ends" in words_of(waits)
    stop = hold_to_end(late, ends_at, ends_at)
    assert isinstance(stop, Stop)
    assert stop.decision == decided(DecisionKind.LADDER_ENDED, ends_at=ends_at)


def test_the_end_of_a_ladder_is_counted_over_the_rungs_that_are_left() -> None:
    assert ladder_end(ladder(3, 5, 7), 2, NOW) == NOW + timedelta(days=7)
    assert ladder_end(ladder(3, 5, 7), 3, NOW) == NOW
    spring = datetime(2026, 3, 28, 10, tzinfo=UTC)
    assert ladder_end(ladder(1, 1), 0, spring, "Europe/Berlin") == datetime(
        2026, 3, 30, 9, tzinfo=UTC
    )
    waits = decide(NEEDS_CUSTOMER, ladder(1, 1), 0, spring, "Europe/Berlin")
    assert isinstance(waits, WaitForCustomer)
    assert waits.until == datetime(2026, 3, 30, 9, tzinfo=UTC)


def test_a_decline_for_good_stops_the_method_and_a_soft_one_does_not() -> None:
    assert stops_method(HARD, "stolen_card")
    assert stops_method(NEEDS_CUSTOMER, "expired_card")
    assert not stops_method(SOFT, "do_not_honor")
    assert not stops_method(NEEDS_CUSTOMER, "authentication_required")
    assert not stops_method(NEEDS_CUSTOMER, "currency_not_supported"), "it pays in others"


def words_of(follows: Next) -> str:
    return str(in_words(str(follows.decision.kind), follows.decision.facts))


def ladder(*days: int, then: GiveUp = "cancel") -> Dunning:
    return Dunning(tuple(Cadence(day, "day") for day in days), then)


def climb(plan: Dunning) -> list[datetime]:
    """Take the decisions one after the other, each attempt declined at once."""
    at, rung, made = NOW, 0, []
    while isinstance(decision := decide(SOFT, plan, rung, at), RetryAt):
        at, rung = decision.at, decision.rung
        made.append(at)
    return made


def keeps(budget: Budget, declined_at: list[datetime], at: datetime) -> bool:
    recent = [decline for decline in declined_at if decline > at - budget.window]
    spaced = all(at - decline >= budget.spacing for decline in declined_at)
    return len(recent) < budget.max_attempts and spaced
