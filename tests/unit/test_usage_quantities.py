"""What usage comes to: the same whatever the order of events, and however often they are sent."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.plans.meters import Aggregate
from billing.rules.usage_quantities import NOTHING_COUNTED, MeteredSpan, quantity_of
from tests.oracles.counted_usage import OneEvent, counted

START = datetime(2027, 1, 1, tzinfo=UTC)
END = START + timedelta(days=31)
WHOLE = MeteredSpan(START, END, START, END)

events = st.lists(
    st.builds(
        OneEvent,
        st.integers(0, 2**128 - 1),
        st.integers(0, 31 * 86_400 - 1).map(lambda s: START + timedelta(seconds=s)),
        st.integers(-(10**6), 10**6).map(lambda n: Fraction(n, 1000)),
        st.sampled_from(["ada", "bob", "cy"]),
    ),
    max_size=12,
    unique_by=lambda each: each.id,
)


@given(events, st.data(), st.sampled_from(Aggregate))
def test_order_and_repetitions_change_no_quantity(
    sent: list[OneEvent], data: st.DataObject, aggregate: Aggregate
) -> None:
    again = data.draw(st.permutations([*sent, *sent[: len(sent) // 2]]))

    first, second = (
        quantity_of(aggregate, counted(each), Fraction(7), WHOLE) for each in (sent, again)
    )

    assert first == second >= 0


@given(events, st.integers(1, 30), st.integers(0, 1000))
def test_the_parts_of_a_level_add_up_to_the_whole(
    sent: list[OneEvent], day: int, opening: int
) -> None:
    """To within the rounding of each part, where no part is below zero."""
    middle = START + timedelta(days=day)
    before = counted(each for each in sent if each.at < middle)
    after = counted(each for each in sent if each.at >= middle)
    level = Fraction(opening + 10**7)

    first = quantity_of(Aggregate.LEVEL, before, level, MeteredSpan(START, middle, START, END))
    second = quantity_of(
        Aggregate.LEVEL, after, level + before.sum, MeteredSpan(middle, END, START, END)
    )
    whole = quantity_of(Aggregate.LEVEL, counted(sent), level, WHOLE)

    assert abs(first + second - whole) <= Fraction(2, 10**12)


@pytest.mark.parametrize("aggregate", Aggregate)
def test_without_events_there_is_nothing_but_the_level(aggregate: Aggregate) -> None:
    opening = Fraction(5)

    quantity = quantity_of(aggregate, NOTHING_COUNTED, opening, WHOLE)

    assert quantity == (opening if aggregate is Aggregate.LEVEL else 0)
