"""Lines: the share of a period, one rounding, and the least and the most that an item costs."""

from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.plans.items import PriceModel
from billing.pricing import Charge, DraftLine, FactsError, RowKind, draft
from billing.rules.periods import Period
from tests.unit.pricing.values import (
    JANUARY,
    charge,
    facts,
    figures,
    flat_price,
    percent_off,
    tiered,
    unit_price,
)


def lines(*charges: Charge, step: int = 1) -> tuple[DraftLine, ...]:
    return draft(facts(*charges, step=step)).lines


def gross(*charges: Charge, step: int = 1) -> list[int]:
    return [line.gross for line in lines(*charges, step=step)]


def test_a_line_shows_quantity_price_and_the_days_it_is_for() -> None:
    line = lines(charge(unit_price(999), 3))[0]

    assert line.description == "Base, 2027-01-01 to 2027-01-31"
    assert figures(line.quantity, line.unit_price, line.gross, line.net) == (3, 999, 2997, 2997)
    assert (line.charge, line.rows, line.period) == (0, (), JANUARY)


def test_a_stub_names_its_share() -> None:
    line = lines(charge(1000, share=(17, 31)))[0]

    assert line.description == "Base, 2027-01-01 to 2027-01-31 (17 of 31 days)"
    assert (line.part, line.whole, line.gross) == (17, 31, 548)


def test_days_are_those_of_the_zone() -> None:
    berlin = Period(datetime(2027, 1, 31, 23, tzinfo=UTC), datetime(2027, 2, 28, 23, tzinfo=UTC))

    drafted = draft(replace(facts(charge(1000, period=berlin)), zone="Europe/Berlin"))

    assert drafted.lines[0].description == "Base, 2027-02-01 to 2027-02-28"


def test_a_once_item_is_just_its_name_and_never_prorated() -> None:
    line = lines(charge(19900, item="setup", once=True, share=(1, 31)))[0]

    assert (line.description, line.gross) == ("Setup", 19900)


def test_a_tiered_line_has_rows_and_no_single_price() -> None:
    line = lines(charge(tiered(PriceModel.GRADUATED, (5, 0, 0), (None, 950, 0)), 8))[0]

    assert line.unit_price is None
    assert [row.quantity for row in line.rows] == [5, 3]


@pytest.mark.parametrize(
    ("price", "share", "step", "expected"),
    [
        (Fraction(2055, 2), (1, 1), 1, 1028),  # half a unit goes up
        (Fraction(10274, 10), (1, 1), 1, 1027),
        (1, (1, 2), 1, 1),
        (1, (1, 3), 1, 0),
        (12345, (1, 1), 10, 12350),  # what card networks take of a third decimal
        (12344, (1, 1), 10, 12340),
        (1000, (0, 31), 1, 0),
    ],
)
def test_a_line_is_rounded_once_half_up_to_what_can_be_charged(
    price: Fraction, share: tuple[int, int], step: int, expected: int
) -> None:
    assert gross(charge(price, share=share), step=step) == [expected]


def test_what_is_missing_to_a_minimum_is_a_line_of_its_own() -> None:
    found = lines(charge(unit_price(10, minimum=5000), 300))

    assert [line.gross for line in found] == [3000, 2000]
    assert found[1].description == "Base, 2027-01-01 to 2027-01-31, up to the minimum"
    assert (found[1].item, found[1].charge, found[1].unit_price) == ("base", 0, None)
    assert figures(found[1].part, found[1].whole, found[1].quantity) == (1, 1, 1)
    assert (found[1].period, found[1].rows) == (JANUARY, ())


def test_the_line_up_to_a_minimum_is_for_the_days_of_its_item() -> None:
    found = lines(charge(unit_price(10, minimum=5000), 300, share=(17, 31)))[1]

    assert (found.part, found.whole) == (17, 31)


def test_a_single_unit_of_money_is_missing() -> None:
    assert gross(charge(unit_price(10, minimum=101), 10)) == [100, 1]


def test_a_minimum_keeps_the_steps_that_can_be_charged() -> None:
    assert gross(charge(unit_price(10, minimum=1000), 1, share=(1, 3)), step=10) == [0, 330]


def test_what_a_once_item_lacks_to_its_minimum_has_no_discount_either() -> None:
    setup = charge(unit_price(10, minimum=100), 1, item="setup", once=True)

    drafted = draft(facts(setup, discounts=(percent_off(50),)))

    assert [line.net for line in drafted.lines] == [10, 90]


def test_a_minimum_that_is_reached_has_no_line() -> None:
    assert gross(charge(unit_price(10, minimum=3000), 300)) == [3000]


def test_a_stub_has_its_share_of_the_minimum() -> None:
    assert gross(charge(unit_price(10, minimum=5000), 300, share=(1, 2))) == [1500, 1000]


def test_what_was_used_has_no_share_and_its_minimum_and_maximum_have() -> None:
    used = charge(unit_price(10, minimum=2000, maximum=4000), share=(1, 2), metered=True)

    assert gross(replace(used, quantity=Fraction(50))) == [500, 500]
    assert gross(replace(used, quantity=Fraction(150))) == [1500]
    assert gross(replace(used, quantity=Fraction(300))) == [2000]


def test_more_than_the_maximum_is_not_charged_and_a_row_says_so() -> None:
    line = lines(charge(unit_price(10, maximum=2500), 300))[0]

    assert line.gross == 2500
    assert line.rows[0].quantity == 300
    assert [figures(row.kind, row.amount) for row in line.rows] == [
        (RowKind.UNITS, 3000), (RowKind.MAXIMUM, -500),
    ]  # fmt: skip


def test_the_row_above_a_maximum_counts_a_flat_price_once() -> None:
    line = lines(charge(flat_price(3000, maximum=2500), 7))[0]

    assert [row.quantity for row in line.rows] == [1, 1]


def test_a_stub_has_its_share_of_the_maximum() -> None:
    assert gross(charge(unit_price(10, maximum=2500), 300, share=(1, 2))) == [1250]


def test_units_that_come_after_others_cost_what_they_add() -> None:
    seats = tiered(PriceModel.GRADUATED, (5, 0, 0), (None, 950, 0))

    line = lines(charge(seats, 4, before=Fraction(3)))[0]

    assert figures(line.quantity, line.gross) == (4, 1900)
    assert [figures(row.quantity, row.unit) for row in line.rows] == [(2, 0), (2, 950)]


def test_a_minimum_that_was_charged_before_is_not_charged_again() -> None:
    price = unit_price(10, minimum=500, maximum=1000)

    assert gross(charge(price, 20, before=Fraction(20))) == [0]
    assert gross(charge(price, 50, before=Fraction(20))) == [200]
    assert gross(charge(price, 500, before=Fraction(20))) == [500]


def test_units_that_make_the_price_fall_are_no_charge() -> None:
    volume = tiered(PriceModel.VOLUME, (15, 10, 0), (None, 5, 0))

    with pytest.raises(FactsError, match="more units cost less"):
        lines(charge(volume, 1, before=Fraction(15)))


@pytest.mark.parametrize("share", [(2, 1), (-1, 31), (0, 0)])
def test_what_is_no_share_is_no_fact(share: tuple[int, int]) -> None:
    with pytest.raises(FactsError, match="is no share"):
        lines(charge(1000, share=share))


def test_a_quantity_before_is_not_below_zero() -> None:
    with pytest.raises(FactsError, match="before"):
        lines(charge(unit_price(1), 5, before=Fraction(-1)))


@given(
    st.fractions(min_value=0, max_value=100_000, max_denominator=1000),
    st.lists(st.integers(1, 50), min_size=1, max_size=6),
    st.integers(0, 31),
)
def test_units_added_one_after_another_cost_what_they_cost_together(
    unit: Fraction, added: list[int], part: int
) -> None:
    before, charged = 0, 0
    for quantity in added:
        charged += sum(
            gross(charge(unit_price(unit), quantity, before=Fraction(before), share=(part, 31)))
        )
        before += quantity

    assert [charged] == gross(charge(unit_price(unit), before, share=(part, 31)))
