"""Discounts: each on what the one before left, and split over the lines without losing a unit."""

from collections.abc import Sequence
from fractions import Fraction
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.pricing import Charge, Discount, FactsError, InvoiceDraft, draft
from tests.unit.pricing.values import (
    amount_off,
    as_redeemed_apart,
    charge,
    facts,
    percent_off,
    unit_price,
)


def discounted(
    amounts: Sequence[int], *redeemed: Discount, step: int = 1, carried: int = 0
) -> InvoiceDraft:
    charges = [charge(amount, item=f"item-{n}") for n, amount in enumerate(amounts)]
    return draft(facts(*charges, discounts=redeemed, step=step, carried=carried))


def test_one_takes_a_part_of_what_those_before_it_left() -> None:
    drafted = discounted([10000], percent_off(25), amount_off(1000, n=2), percent_off(10, n=3))

    assert [(each.base, each.amount) for each in drafted.discounts] == [
        (10000, 2500), (7500, 1000), (6500, 650),
    ]  # fmt: skip
    assert (drafted.discount, drafted.net, drafted.due) == (4150, 5850, 5850)


def test_the_sum_is_rounded_and_not_each_line() -> None:
    drafted = discounted([13, 13, 13, 13], percent_off(10))

    assert [line.discount for line in drafted.lines] == [2, 1, 1, 1]
    assert [line.net for line in drafted.lines] == [11, 12, 12, 12]


def test_it_takes_off_only_lines_of_the_items_it_names() -> None:
    drafted = discounted([1000, 2000, 3000], amount_off(900, on=["item-0", "item-2"]))

    assert [line.discount for line in drafted.lines] == [225, 0, 675]
    assert drafted.discounts[0].base == 4000


def test_it_takes_off_a_line_up_to_a_minimum_as_it_does_its_item() -> None:
    drafted = draft(
        facts(charge(unit_price(10, minimum=1000), 20), discounts=(percent_off(50, ["base"]),))
    )

    assert [line.net for line in drafted.lines] == [100, 400]


def test_a_once_item_has_a_discount_only_where_it_is_named() -> None:
    setup: Charge = charge(1000, item="setup", once=True)

    assert draft(facts(setup, discounts=(percent_off(50),))).net == 1000
    assert draft(facts(setup, discounts=(percent_off(50, ["setup"]),))).net == 500


def test_what_was_carried_over_has_no_discount() -> None:
    drafted = discounted([1000], amount_off(5000, on=["item-0", "carried"]), carried=30)

    assert (drafted.discount, drafted.due) == (1000, 30)


def test_one_that_finds_nothing_left_is_not_used() -> None:
    drafted = discounted([1000], amount_off(1500), percent_off(10, n=2), amount_off(5, n=3))

    assert [(each.coupon, each.amount) for each in drafted.discounts] == [("code-1", 1000)]
    assert drafted.net == 0


def test_one_that_finds_nothing_leaves_the_next_one_its_turn() -> None:
    drafted = discounted([1000], percent_off(10, on=["other"]), amount_off(1, n=2))

    assert [(each.redemption, each.amount) for each in drafted.discounts] == [(UUID(int=2), 1)]


def test_one_of_other_items_is_not_used() -> None:
    assert discounted([1000], percent_off(10, on=["other"])).discounts == ()


def test_all_of_it_can_be_taken_off_where_steps_are_large() -> None:
    drafted = discounted([1230, 4560], percent_off(100), step=10)

    assert (drafted.discount, drafted.net) == (5790, 0)


def test_steps_are_kept_by_total_and_lines() -> None:
    drafted = discounted([1230, 4560, 10], percent_off("33.3"), step=10)

    assert drafted.discount == 1930
    assert [line.discount % 10 for line in drafted.lines] == [0, 0, 0]


def test_an_amount_beside_the_steps_is_taken_off_all_the_same() -> None:
    drafted = discounted([10, 10], amount_off(15), step=10)

    assert [line.net for line in drafted.lines] == [2, 3]


@pytest.mark.parametrize(
    "wrong",
    [
        Discount(UUID(int=1), "none"),
        Discount(UUID(int=1), "both", percent=Fraction(10), amount=10),
        Discount(UUID(int=1), "nothing", amount=0),
        percent_off(101),
        percent_off(-1),
    ],
)
def test_what_takes_off_no_sensible_amount_is_no_fact(wrong: Discount) -> None:
    with pytest.raises(FactsError, match="takes off"):
        discounted([1000], wrong)


coupons = st.lists(
    st.one_of(
        st.builds(lambda n: percent_off(str(n / 100)), st.integers(1, 10000)),
        st.builds(amount_off, st.integers(1, 5000)),
        st.builds(lambda n: amount_off(n, on=["item-0", "item-2"]), st.integers(1, 5000)),
    ),
    max_size=4,
).map(as_redeemed_apart)


@given(st.lists(st.integers(0, 3000), min_size=1, max_size=6), coupons, st.sampled_from([1, 10]))
def test_a_discount_is_never_above_its_base_and_its_parts_add_up(
    amounts: list[int], redeemed: list[Discount], step: int
) -> None:
    drafted = discounted([amount * step for amount in amounts], *redeemed, step=step)

    for each in drafted.discounts:
        assert 0 < each.amount <= each.base
        assert sum(each.parts) == each.amount
        assert len(each.parts) == len(drafted.lines)
    for line in drafted.lines:
        assert 0 <= line.discount <= line.gross
    assert drafted.discount == sum(line.discount for line in drafted.lines)


@given(st.lists(st.integers(0, 3000), min_size=1, max_size=6), st.integers(0, 100))
def test_a_higher_percentage_never_leaves_more(amounts: list[int], percent: int) -> None:
    assert (
        discounted(amounts, percent_off(percent)).net
        >= discounted(amounts, percent_off(min(100, percent + 1))).net
    )
