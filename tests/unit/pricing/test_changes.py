"""A change costs what is left of the period by civil days, and nothing when it is taken back."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.plans.items import ItemPrice, PriceModel
from billing.pricing import (
    ChangeLines,
    Charge,
    Charged,
    LineLeft,
    LineReturn,
    Noted,
    Return,
    credit_note,
    draft,
    lines_of_change,
    share_left,
    still_held,
)
from billing.rules.periods import Period
from tests.unit.pricing.values import (
    JANUARY,
    charge,
    facts,
    figures,
    percent_off,
    tiered,
    unit_price,
)

INVOICE = UUID(int=1)
MIDDAY = datetime(2027, 1, 15, 12, tzinfo=UTC)  # 17 of 31 days are left
SEATS = tiered(PriceModel.GRADUATED, (5, 0, 0), (50, 1200, 0), (None, 950, 0))


def charged(*charges: Charge) -> list[Charged]:
    """Return the charges as an invoice had them, of which nothing was returned."""
    lines = draft(facts(*charges)).lines
    return [
        Charged(
            INVOICE,
            tuple(LineLeft(n, line.gross) for n, line in enumerate(lines) if line.charge == index),
            each,
        )
        for index, each in enumerate(charges)
    ]


def change(
    before: Sequence[Charged], *after: Charge, at: datetime = MIDDAY, period: Period = JANUARY
) -> ChangeLines:
    return lines_of_change(before, after, period, at, "UTC")


def costs(changed: ChangeLines) -> list[int]:
    """Return what a change's invoice has, line by line, and below zero what it returns."""
    drafted = draft(facts(*changed.charges))
    return [*(-each.gross for each in changed.returns), *(line.gross for line in drafted.lines)]


def test_the_day_of_a_change_is_left_whatever_the_hour() -> None:
    days = [datetime(2027, 1, 15, hour, tzinfo=UTC) for hour in (0, 12, 23)]

    assert {share_left(JANUARY, at, "UTC") for at in days} == {(17, 31)}


def test_days_are_those_of_the_zone() -> None:
    period = Period(datetime(2027, 1, 1, 5, tzinfo=UTC), datetime(2027, 2, 1, 5, tzinfo=UTC))
    at = datetime(2027, 1, 15, 3, tzinfo=UTC)  # the 14th in New York

    assert share_left(period, at, "America/New_York") == (18, 31)


def test_days_of_23_and_25_hours_are_days() -> None:
    march = Period(datetime(2027, 3, 1, 5, tzinfo=UTC), datetime(2027, 4, 1, 4, tzinfo=UTC))

    assert share_left(march, datetime(2027, 3, 14, 12, tzinfo=UTC), "America/New_York") == (18, 31)


def test_all_is_left_at_the_start_and_nothing_at_the_end() -> None:
    assert share_left(JANUARY, JANUARY.start, "UTC") == (31, 31)
    assert share_left(JANUARY, JANUARY.end, "UTC") == (0, 31)


def test_a_period_without_a_midnight_has_no_days_left() -> None:
    short = Period(JANUARY.start, JANUARY.start + timedelta(hours=1))

    assert share_left(short, JANUARY.start, "UTC") == (0, 1)


@pytest.mark.parametrize("at", [JANUARY.start, JANUARY.end])
def test_an_instant_outside_the_period_has_no_share(at: datetime) -> None:
    outside = at + (timedelta(seconds=1) if at == JANUARY.end else -timedelta(seconds=1))

    with pytest.raises(ValueError, match="not in the period"):
        share_left(JANUARY, outside, "UTC")


def test_another_plan_returns_the_old_item_and_charges_the_new_one() -> None:
    new = charge(2000, source="plan:scale:2027-01-01")

    changed = change(charged(charge(1000)), new)

    assert costs(changed) == [-548, 1097]
    line = changed.charges[0]
    assert (line.part, line.whole, line.period) == (17, 31, Period(MIDDAY, JANUARY.end))


def test_more_units_are_charged_for_what_they_add() -> None:
    changed = change(charged(charge(unit_price(1000), 5)), charge(unit_price(1000), 8))

    assert costs(changed) == [1645]
    assert figures(changed.charges[0].before, changed.charges[0].quantity) == (5, 3)


def test_fewer_units_are_returned_from_those_charged_last() -> None:
    first, more = charge(unit_price(1000), 5), charge(unit_price(1000), 3, before=Fraction(5))
    pieces = [
        Charged(UUID(int=1), (LineLeft(0, 5000),), first),
        Charged(UUID(int=2), (LineLeft(0, 1645),), replace(more, part=17, whole=31)),
    ]

    changed = change(pieces, charge(unit_price(1000), 4), at=datetime(2027, 1, 22, tzinfo=UTC))

    assert changed.returns == (
        LineReturn(UUID(int=2), 0, 968),  # 3 of them for 10 days
        LineReturn(UUID(int=1), 0, 323),
    )
    assert changed.charges == ()


def test_units_of_two_invoices_are_of_one_item_whatever_period_share_and_name_they_have() -> None:
    price = unit_price(1000)
    rest = Period(MIDDAY, JANUARY.end)
    more = charge(price, 3, before=Fraction(5), share=(17, 31), period=rest, name="Seats of May")
    pieces = [*charged(charge(price, 5)), *charged(more)]

    assert costs(change(pieces, charge(price, 8))) == []
    assert costs(change(pieces, charge(price, 9))) == [548]


@pytest.mark.parametrize(
    "other",
    [{"item": "other"}, {"source": "plan:scale:2027-01-01"}, {"terms": "1" * 64}, {"once": True}],
)
def test_an_item_of_other_terms_is_another_though_it_costs_as_much(other: dict[str, Any]) -> None:
    new = replace(charge(1000), **other)

    assert costs(change(charged(charge(1000)), new))[0] == -548
    assert len(costs(change(charged(charge(1000)), new))) == 2


def test_all_that_was_added_is_charged() -> None:
    added = [charge(1000), charge(200, item="setup", once=True), charge(500, item="sso")]

    assert costs(change([], *added)) == [548, 200, 274]


def test_items_beside_the_metered_ones_are_charged() -> None:
    calls = charge(unit_price(3), 100, item="calls", metered=True)

    assert costs(change([*charged(calls), *charged(charge(900))], calls, charge(1000))) == [
        -494, 548,
    ]  # fmt: skip


def test_the_last_unit_of_money_is_returned() -> None:
    assert costs(change(charged(charge(1)), at=JANUARY.start)) == [-1]


def test_an_instant_of_any_zone_is_one() -> None:
    at = MIDDAY.astimezone(timezone(timedelta(hours=2)))

    changed = change([], charge(1000), at=at)

    assert changed.charges[0].period == Period(MIDDAY, JANUARY.end)


def test_units_go_on_in_the_tier_that_was_reached() -> None:
    assert costs(change(charged(charge(SEATS, 3)), charge(SEATS, 7))) == [1316]


def test_under_a_volume_price_all_units_are_charged_anew() -> None:
    volume = tiered(PriceModel.VOLUME, (15, 1000, 0), (None, 500, 0))

    changed = change(charged(charge(volume, 15)), charge(volume, 16))

    assert costs(changed) == [-8226, 4387]
    assert changed.charges[0].before == 0


def test_what_stays_as_it_is_has_no_lines() -> None:
    base, sso = charge(1000), charge(4900, item="sso")
    volume = charge(tiered(PriceModel.VOLUME, (None, 3, 0)), 4, item="calls")

    assert costs(change(charged(base, volume), base, volume, sso)) == [2687]


def test_once_items_are_charged_whole_and_never_returned() -> None:
    setup = charge(unit_price(5000), 2, item="setup", once=True)

    assert costs(change([], setup)) == [10000]
    assert costs(change(charged(setup))) == []
    assert costs(change(charged(setup), setup)) == []


def test_metered_items_have_no_lines() -> None:
    calls = charge(unit_price(3), 100, item="calls", metered=True)

    assert costs(change(charged(calls), replace(calls, terms="1" * 64))) == []


def test_at_the_end_of_the_period_nothing_changes_in_it() -> None:
    setup = charge(500, item="setup", once=True)

    assert costs(change(charged(charge(1000)), setup, at=JANUARY.end)) == []


def test_without_a_day_left_only_once_items_are_charged() -> None:
    noon = Period(datetime(2027, 1, 1, 12, tzinfo=UTC), datetime(2027, 2, 1, 12, tzinfo=UTC))
    setup, sso = charge(500, item="setup", once=True), charge(4900, item="sso")

    changed = change(
        charged(charge(1000)), setup, sso, at=noon.end - timedelta(hours=1), period=noon
    )

    assert costs(changed) == [500]


def test_days_left_of_a_stub_are_days_of_a_whole_period() -> None:
    stub = Period(datetime(2027, 1, 18, tzinfo=UTC), JANUARY.end)
    old = charge(3100, share=(14, 31), period=stub)
    new = charge(6200, share=(14, 31), period=stub, source="plan:scale:2027-01-01")

    changed = change(charged(old), new, at=datetime(2027, 1, 25, tzinfo=UTC), period=stub)

    assert costs(changed) == [-700, 1400]
    assert (changed.charges[0].part, changed.charges[0].whole) == (7, 31)
    assert changed.charges[0].period == Period(datetime(2027, 1, 25, tzinfo=UTC), stub.end)


def test_no_more_is_returned_than_is_left_of_the_line() -> None:
    piece = replace(charged(charge(1000))[0], lines=(LineLeft(0, 200),))

    assert costs(change([piece])) == [-200]


def test_what_filled_a_minimum_is_returned_with_the_units() -> None:
    few = charge(unit_price(1000, minimum=5000), 3)

    assert costs(change(charged(few))) == [-2742]
    assert costs(change(charged(few), replace(few, quantity=Fraction(2)))) == []
    assert costs(change(charged(few), replace(few, quantity=Fraction(8)))) == [1645]


def test_a_minimum_is_returned_from_both_of_its_lines() -> None:
    few = charge(unit_price(1000, minimum=5000), 1)

    changed = change(charged(few), at=JANUARY.start)

    assert [(each.line, each.gross) for each in changed.returns] == [(0, 1000), (1, 4000)]


def test_an_item_is_not_held_twice() -> None:
    with pytest.raises(ValueError, match="held twice"):
        change([], charge(1000), charge(1000))


def test_a_return_has_the_discount_the_line_had() -> None:
    invoice = draft(facts(charge(10000), discounts=(percent_off(25),)))
    half = datetime(2027, 6, 16, tzinfo=UTC)
    june = Period(datetime(2027, 6, 1, tzinfo=UTC), datetime(2027, 7, 1, tzinfo=UTC))
    piece = Charged(INVOICE, (LineLeft(0, 10000),), charge(10000, period=june))

    returned = change([piece], at=half, period=june).returns[0]

    assert credit_note(invoice, (), [Return(0, returned.gross)]).total == 3750


prices = st.sampled_from(
    [
        unit_price(Fraction(1, 3)),
        unit_price(999, included=Fraction(3)),
        unit_price(700, minimum=3000, maximum=9000),
        SEATS,
        tiered(PriceModel.GRADUATED, (3, 10, 500), (None, 7, 90)),
        tiered(PriceModel.VOLUME, (5, 1000, 10), (20, 700, 0), (None, 333, 0)),
        ItemPrice(PriceModel.PACKAGE, Fraction(777), size=4),
    ]
)
instants = st.integers(0, 31 * 24 - 1).map(lambda hours: JANUARY.start + timedelta(hours=hours))


class Account:
    """The pieces that are held, kept up through changes as their invoices and notes say."""

    def __init__(self, first: Charge) -> None:
        self.pieces, self.invoices = charged(first), 1
        self.cost = sum(line.left for piece in self.pieces for line in piece.lines)

    def change(self, after: Charge, at: datetime) -> None:
        changed = change(self.pieces, after, at=at)
        self.cost += sum(costs(changed))
        taken = {(each.invoice, each.line): each.gross for each in changed.returns}
        kept = Fraction(0) if after.price.model is PriceModel.VOLUME else after.quantity
        if sum(piece.charge.quantity for piece in self.pieces) == after.quantity:
            kept = after.quantity
        held = [self._left(piece, taken, kept) for piece in self.pieces]
        self.pieces = [piece for piece in held if piece.charge.quantity]
        for made in changed.charges:
            self.invoices += 1
            self.pieces += [
                replace(each, invoice=UUID(int=self.invoices)) for each in charged(made)
            ]

    def _left(self, piece: Charged, taken: dict[tuple[UUID, int], int], kept: Fraction) -> Charged:
        quantity = max(Fraction(0), min(piece.charge.quantity, kept - piece.charge.before))
        lines = tuple(
            LineLeft(line.line, line.left - taken.get((piece.invoice, line.line), 0))
            for line in piece.lines
        )
        return Charged(piece.invoice, lines, replace(piece.charge, quantity=quantity))


@given(prices, st.integers(1, 60), st.lists(st.integers(1, 60), max_size=5), instants)
def test_changes_on_one_day_that_are_taken_back_cost_nothing(
    price: ItemPrice, first: int, path: list[int], at: datetime
) -> None:
    account = Account(charge(price, first))
    before = account.cost
    for quantity in [*path, first]:
        account.change(charge(price, quantity), at)

    assert account.cost == before


@given(prices, st.integers(1, 60), st.lists(st.integers(1, 60), max_size=4), instants)
def test_changes_on_one_day_cost_what_one_change_does(
    price: ItemPrice, first: int, path: list[int], at: datetime
) -> None:
    stepwise, at_once = Account(charge(price, first)), Account(charge(price, first))
    for quantity in [*path, 7]:
        stepwise.change(charge(price, quantity), at)
    at_once.change(charge(price, 7), at)

    assert stepwise.cost == at_once.cost


@given(
    prices,
    st.integers(1, 60),
    st.lists(st.tuples(st.integers(1, 60), instants), max_size=5),
)
def test_no_course_of_changes_returns_more_than_was_charged(
    price: ItemPrice, first: int, path: list[tuple[int, datetime]]
) -> None:
    account = Account(charge(price, first))
    for quantity, at in sorted(path, key=lambda each: each[1]):
        account.change(charge(price, quantity), at)
        assert all(line.left >= 0 for piece in account.pieces for line in piece.lines)
        assert account.cost >= 0


def test_notes_and_returns_speak_of_the_same_gross() -> None:
    invoice = draft(facts(charge(1000)))

    assert credit_note(invoice, [Noted(0, 548)], [Return(0)]).total == 452


@given(
    prices,
    st.integers(1, 60),
    st.lists(st.tuples(st.integers(1, 60), instants), max_size=6),
)
def test_what_is_held_still_follows_from_the_invoices_alone(
    price: ItemPrice, first: int, path: list[tuple[int, datetime]]
) -> None:
    account = Account(charge(price, first))
    invoiced, held = list(account.pieces), charge(price, first)
    for quantity, at in sorted(path, key=lambda each: each[1]):
        known = {piece.invoice for piece in account.pieces}
        account.change(charge(price, quantity), at)
        invoiced += [piece for piece in account.pieces if piece.invoice not in known]
        held = charge(price, quantity)

    found = still_held(invoiced, [held])
    assert units(found) == units(account.pieces)


def units(pieces: Sequence[Charged]) -> list[tuple[UUID, Fraction, Fraction]]:
    """Return the units of each piece: of which invoice, from which one on, and how many."""
    return sorted((each.invoice, each.charge.before, each.charge.quantity) for each in pieces)


def test_what_another_plan_replaced_is_not_held_when_it_is_back() -> None:
    basic, pro = charge(1000, item="base"), replace(charge(3000, item="base"), terms="pro")
    pieces = [
        replace(piece, invoice=UUID(int=n))
        for n, each in enumerate((basic, pro, basic))
        for piece in charged(each)
    ]

    (held,) = still_held(pieces, [basic])

    assert (held.invoice, held.charge) == (UUID(int=2), basic)
    assert [each.charge for each in still_held(pieces, [pro])] == [pro]
