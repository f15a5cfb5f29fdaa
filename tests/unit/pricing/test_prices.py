"""What a quantity costs, exactly, and the rows that explain it."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.plans.items import ItemPrice, PriceModel
from billing.pricing import FactsError, PriceDetail, RowKind, quantity_price, rate_usage
from billing.pricing.prices import at_most
from tests.unit.pricing.values import figures, flat_price, tiered, unit_price

SEATS = tiered(PriceModel.GRADUATED, (5, 0, 0), (50, 1200, 0), (None, 950, 0))
MONOTONE = [
    flat_price(500),
    unit_price(Fraction(8, 100), included=Fraction(10)),
    SEATS,
    tiered(PriceModel.GRADUATED, (10, 3, 200), (None, 1, 50)),
    ItemPrice(PriceModel.PACKAGE, Fraction(500), size=100, included=Fraction(5)),
    ItemPrice(PriceModel.PACKAGE, Fraction(500), size=7, round="down"),
]
VOLUME = tiered(PriceModel.VOLUME, (100, 2, 10), (None, 1, 0))


def rows_of(detail: PriceDetail) -> list[tuple[object, ...]]:
    return [(row.kind, row.quantity, row.unit, row.flat, row.amount) for row in detail.rows]


quantities = st.fractions(min_value=0, max_value=1000, max_denominator=1000)


def test_a_flat_price_is_the_same_for_any_quantity() -> None:
    assert [quantity_price(flat_price(500), Fraction(q)).amount for q in (0, 1, 7)] == [500] * 3


def test_rows_tell_how_many_units_cost_what() -> None:
    detail = quantity_price(SEATS, Fraction(62))

    assert [figures(row.quantity, row.unit, row.amount) for row in detail.rows] == [
        (5, 0, 0), (45, 1200, 54000), (12, 950, 11400),
    ]  # fmt: skip


def test_a_row_has_its_units_price_flat_part_and_amount() -> None:
    graduated = tiered(PriceModel.GRADUATED, (10, 3, 200), (None, 1, 50))
    packages = ItemPrice(PriceModel.PACKAGE, Fraction(500), size=100)

    assert rows_of(quantity_price(graduated, Fraction(12))) == [
        (RowKind.UNITS, 10, 3, 200, 230), (RowKind.UNITS, 2, 1, 50, 52),
    ]  # fmt: skip
    assert rows_of(quantity_price(VOLUME, Fraction(7))) == [(RowKind.UNITS, 7, 2, 10, 24)]
    assert rows_of(quantity_price(packages, Fraction(101))) == [(RowKind.PACKAGES, 2, 500, 0, 1000)]
    assert rows_of(quantity_price(MONOTONE[1], Fraction(60))) == [
        (RowKind.INCLUDED, 10, 0, 0, 0), (RowKind.UNITS, 50, Fraction(8, 100), 0, 4),
    ]  # fmt: skip


def test_the_row_above_a_maximum_is_what_it_takes_off() -> None:
    three = quantity_price(unit_price(100), Fraction(3))

    assert rows_of(at_most(unit_price(100), three, Fraction(3), Fraction(250))) == [
        (RowKind.UNITS, 3, 100, 0, 300), (RowKind.MAXIMUM, 1, -50, 0, -50),
    ]  # fmt: skip
    assert at_most(unit_price(100), three, Fraction(3), Fraction(300)) == three


def test_rows_of_further_usage_have_what_it_adds_to_each_price() -> None:
    graduated = tiered(PriceModel.GRADUATED, (10, 3, 200), (20, 2, 90), (None, 1, 50))
    packages = ItemPrice(PriceModel.PACKAGE, Fraction(500), size=100)

    assert rows_of(rate_usage(graduated, Fraction(20), Fraction(5))) == [
        (RowKind.UNITS, 5, 3, 0, 15),
        (RowKind.UNITS, 10, 2, 90, 110),
        (RowKind.UNITS, 5, 1, 50, 55),
    ]
    assert rows_of(rate_usage(packages, Fraction(100), Fraction(150))) == [
        (RowKind.PACKAGES, 1, 500, 0, 500)
    ]
    assert rows_of(rate_usage(VOLUME, Fraction(1), Fraction(100))) == [
        (RowKind.UNITS, 101, 1, 0, 101), (RowKind.UNITS, -100, 2, -10, -210),
    ]  # fmt: skip


def test_included_units_are_taken_off_before_the_tiers() -> None:
    price = ItemPrice(PriceModel.GRADUATED, tiers=SEATS.tiers, included=Fraction(2))

    detail = quantity_price(price, Fraction(8))

    assert detail.amount == 1200
    assert detail.rows[0].kind is RowKind.INCLUDED
    assert [row.quantity for row in detail.rows] == [2, 5, 1]


def test_units_that_are_all_included_cost_nothing() -> None:
    detail = quantity_price(unit_price(8, included=Fraction(10)), Fraction(4))

    assert figures(detail.amount, *(row.quantity for row in detail.rows)) == (0, 4)


@pytest.mark.parametrize("price", [*MONOTONE[1:], VOLUME])
@pytest.mark.parametrize("quantity", [0, -5])
def test_a_quantity_of_zero_or_below_costs_nothing_not_even_what_is_flat(
    price: ItemPrice, quantity: int
) -> None:
    assert quantity_price(price, Fraction(quantity)).amount == 0


def test_a_tier_that_is_not_reached_adds_nothing_flat() -> None:
    price = tiered(PriceModel.GRADUATED, (10, 1, 100), (20, 1, 300), (None, 1, 500))

    assert quantity_price(price, Fraction(10)).amount == 110
    assert quantity_price(price, Fraction(21, 2)).amount == Fraction(821, 2)
    assert quantity_price(price, Fraction(21)).amount == 921


def test_packages_begun_are_charged_or_given_away() -> None:
    up = ItemPrice(PriceModel.PACKAGE, Fraction(500), size=100)
    down = ItemPrice(PriceModel.PACKAGE, Fraction(500), size=100, round="down")

    assert [quantity_price(up, Fraction(q)).amount for q in (1, 100, 101)] == [500, 500, 1000]
    assert [quantity_price(down, Fraction(q)).amount for q in (99, 100, 250)] == [0, 500, 1000]
    assert quantity_price(up, Fraction(1001, 10)).rows[0].kind is RowKind.PACKAGES


@pytest.mark.parametrize("model", [PriceModel.GRADUATED, PriceModel.VOLUME])
def test_a_quantity_that_no_tier_takes_is_no_fact(model: PriceModel) -> None:
    ended = tiered(model, (10, 1, 0))

    with pytest.raises(FactsError, match="no tier takes"):
        quantity_price(ended, Fraction(11))


@given(st.sampled_from([*MONOTONE, VOLUME]), quantities)
def test_rows_add_up_to_the_price(price: ItemPrice, quantity: Fraction) -> None:
    detail = quantity_price(price, quantity)

    assert not detail.rows or sum(row.amount for row in detail.rows) == detail.amount
    for row in detail.rows:
        assert row.quantity * row.unit + row.flat == row.amount


@given(st.sampled_from(MONOTONE), quantities, quantities)
def test_more_units_never_cost_less_but_by_volume(
    price: ItemPrice, some: Fraction, more: Fraction
) -> None:
    less, greater = sorted((some, more))

    assert quantity_price(price, less).amount <= quantity_price(price, greater).amount


@given(st.sampled_from([*MONOTONE, VOLUME]), st.lists(quantities, max_size=5))
def test_usage_rated_in_steps_costs_what_it_costs_at_once(
    price: ItemPrice, steps: list[Fraction]
) -> None:
    billed, before = quantity_price(price, Fraction(0)).amount, Fraction(0)
    for used in steps:
        billed += rate_usage(price, used, before).amount
        before += used

    assert billed == quantity_price(price, before).amount


@given(st.sampled_from([SEATS, VOLUME, MONOTONE[1], MONOTONE[4]]), quantities, quantities)
def test_rows_of_further_usage_add_up_to_its_price(
    price: ItemPrice, used: Fraction, before: Fraction
) -> None:
    detail = rate_usage(price, used, before)

    assert sum(row.amount for row in detail.rows) == detail.amount


def test_further_usage_begins_in_the_tier_that_was_reached() -> None:
    detail = rate_usage(SEATS, Fraction(10), Fraction(45))

    assert [figures(row.quantity, row.unit) for row in detail.rows] == [(5, 1200), (5, 950)]
