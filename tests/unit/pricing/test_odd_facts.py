"""Facts that no invoice can be made of are refused in one sentence, whichever part is odd."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any
from uuid import UUID

import pytest

from billing.plans.items import ItemPrice, PriceModel
from billing.pricing import (
    BadReturn,
    Credit,
    Discount,
    Noted,
    Return,
    Tax,
    credit_note,
    draft,
    share_left,
)
from billing.rules.money import AmountOutOfRange
from billing.rules.periods import Period, to_utc
from tests.unit.pricing.values import (
    amount_off,
    charge,
    facts,
    flat_price,
    percent_off,
    tiered,
    unit_price,
)

ONE = UUID(int=1)
VAT = Tax("VAT", Fraction(19), "DE")
GRADUATED = PriceModel.GRADUATED

PRICES: list[tuple[str, Callable[[], ItemPrice], str]] = [
    ("an amount below zero", lambda: flat_price(-5), "from zero up, not -5"),
    ("a float", lambda: ItemPrice(PriceModel.UNIT, 9.99), "not 9.99"),  # type: ignore[arg-type]
    ("fewer than no included units", lambda: unit_price(5, included=Fraction(-1)), "not -1"),
    ("a minimum below zero", lambda: unit_price(5, minimum=-1), "not -1"),
    ("a maximum below zero", lambda: unit_price(5, maximum=-1), "not -1"),
    ("a minimum above the maximum", lambda: unit_price(5, minimum=9, maximum=8), "9 is above"),
    ("a package of nothing", lambda: ItemPrice(PriceModel.PACKAGE, size=0), "at least one unit"),
    ("a package without a size", lambda: ItemPrice(PriceModel.PACKAGE), "at least one unit"),
    ("tiers that fall", lambda: tiered(GRADUATED, (9, 5, 0), (5, 4, 0)), "tier 2 ends at 5"),
    ("two tiers of one end", lambda: tiered(GRADUATED, (9, 5, 0), (9, 4, 0)), "tier 2 ends at 9"),
    ("a tier of nothing", lambda: tiered(GRADUATED, (0, 5, 0)), "tier 1 ends at 0"),
    ("an open tier before others", lambda: tiered(GRADUATED, (None, 5, 0), (9, 4, 0)), "no end"),
    ("a tier below zero", lambda: tiered(GRADUATED, (None, -5, 0)), "tier 1 has a price below"),
    ("a flat part below zero", lambda: tiered(GRADUATED, (None, 5, -1)), "tier 1 has a price"),
]


@pytest.mark.parametrize(("make", "told"), [row[1:] for row in PRICES], ids=[p[0] for p in PRICES])
def test_a_price_that_nobody_can_mean_is_refused(make: Callable[[], ItemPrice], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        make()


ODD: list[tuple[str, Any, dict[str, Any], str]] = [
    ("fewer than no units", charge(unit_price(5), -1), {}, "-1 units are no quantity"),
    ("fewer than no units of a flat price", charge(5, -1), {}, "-1 units are no quantity"),
    ("units before below zero", charge(5, before=Fraction(-1)), {}, "-1 units before"),
    ("more days than there are", charge(5, share=(32, 31)), {}, "32 of 31 is no share"),
    ("days of no period", charge(5, share=(0, 0)), {}, "0 of 0 is no share"),
    ("a gap above the tiers", charge(tiered(GRADUATED, (9, 5, 0)), 10), {}, "no tier takes"),
    ("no tiers", charge(ItemPrice(GRADUATED), 1), {}, "no tier takes"),
    ("a discount below zero", charge(5), {"discounts": (percent_off(-5),)}, "-5 percent"),
    ("more than all", charge(5), {"discounts": (percent_off(101),)}, "101 percent"),
    ("an amount below zero", charge(5), {"discounts": (amount_off(-5),)}, "either a percentage"),
    (
        "a discount of two sorts",
        charge(5),
        {"discounts": (Discount(ONE, "both", Fraction(5), 5),)},
        "either a percentage or an amount",
    ),
    (
        "one redemption twice",
        charge(5),
        {"discounts": (percent_off(10), percent_off(10))},
        "is used twice",
    ),
    ("a tax below zero", charge(5), {"taxes": (Tax("VAT", Fraction(-1), "DE"),)}, "rate of -1"),
    ("a grant below zero", charge(5), {"credit": (Credit(ONE, -1),)}, "-1 left"),
    ("one grant twice", charge(5), {"credit": (Credit(ONE, 2), Credit(ONE, 2))}, "pays twice"),
    ("less than nothing carried", charge(5), {"carried": -1}, "-1 can't be carried"),
    ("no step", charge(5), {"step": 0}, "0 is no step"),
    ("a least amount below zero", charge(5), {"minimum": -1}, "-1 no least amount"),
    ("rules of a later release", charge(5), {"rules": 99}, "no rules 99"),
]


@pytest.mark.parametrize(
    ("sold", "terms", "told"), [row[1:] for row in ODD], ids=[o[0] for o in ODD]
)
def test_facts_that_no_invoice_follows_from_are_refused(
    sold: Any, terms: dict[str, Any], told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        draft(facts(sold, **terms))


def test_an_amount_that_no_ledger_takes_is_refused() -> None:
    with pytest.raises(AmountOutOfRange):
        draft(facts(charge(unit_price(10**15), 10**6)))


NOTES: list[tuple[str, list[Noted], list[Return], str]] = [
    ("more than the line", [], [Return(0, 1001)], "1001 .*: 1000 is left"),
    ("more than is left", [Noted(0, 400)], [Return(0, 601)], "601 .*: 600 is left"),
    ("twice too much", [], [Return(0, 600), Return(0, 600)], "600 .*: 400 is left"),
    ("less than nothing", [], [Return(0, -1)], "-1 "),
    ("a line that isn't there", [], [Return(2, 1)], "index 2 .*: there is none"),
    ("a line from the end", [], [Return(-1, 1)], "index -1 .*: there is none"),
    ("notes of before below zero", [Noted(0, -1)], [Return(0, 1)], "-1 "),
    ("notes of before above the line", [Noted(0, 1001)], [Return(1, 1)], "1001 "),
]


@pytest.mark.parametrize(
    ("noted", "returns", "told"), [row[1:] for row in NOTES], ids=[n[0] for n in NOTES]
)
def test_a_note_above_its_line_is_refused(
    noted: list[Noted], returns: list[Return], told: str
) -> None:
    invoice = draft(facts(charge(1000), charge(333, item="seats"), taxes=(VAT,)))
    with pytest.raises(BadReturn, match=told):
        credit_note(invoice, noted, returns)


PERIODS: list[tuple[str, str, str, int]] = [
    # begins, ends, zone, civil days: the length of months, leap years, both changes of the clocks
    ("2027-01-01", "2027-02-01", "UTC", 31),
    ("2027-02-01", "2027-03-01", "UTC", 28),
    ("2028-02-01", "2028-03-01", "UTC", 29),
    ("2100-02-01", "2100-03-01", "UTC", 28),
    ("2027-04-01", "2027-05-01", "UTC", 30),
    ("2027-01-31", "2027-02-28", "UTC", 28),
    ("2028-01-01", "2029-01-01", "UTC", 366),
    ("2027-03-01", "2027-04-01", "Europe/Berlin", 31),
    ("2027-10-01", "2027-11-01", "Europe/Berlin", 31),
    ("2027-03-14", "2027-03-15", "America/New_York", 1),
    ("2027-11-07", "2027-11-08", "America/New_York", 1),
    ("2011-12-29", "2011-12-31", "Pacific/Apia", 2),
]


@pytest.mark.parametrize(("begins", "ends", "zone", "days"), PERIODS)
def test_the_days_left_are_all_at_the_first_instant_and_one_at_the_last(
    begins: str, ends: str, zone: str, days: int
) -> None:
    start, end = (to_utc(datetime.fromisoformat(day), zone) for day in (begins, ends))
    period, tick = Period(start, end), timedelta(microseconds=1)
    assert share_left(period, start, zone) == (days, days)
    # Samoa had no 30 December 2011: the last instant before the 31st is of the 29th.
    last = 2 if zone == "Pacific/Apia" else 1
    assert share_left(period, end - tick, zone) == (last, days)
    assert share_left(period, end, zone) == (0, days)
    for outside in (start - tick, end + tick, datetime(1970, 1, 1, tzinfo=UTC)):
        with pytest.raises(ValueError, match="is not in the period"):
            share_left(period, outside, zone)


FREE_OR_ODD: list[tuple[str, Any, dict[str, Any], tuple[int, int, int]]] = [
    # net, tax, due
    ("no units", charge(unit_price(500), 0), {}, (0, 0, 0)),
    ("no units of a minimum", charge(unit_price(500, minimum=1000), 0), {}, (1000, 0, 1000)),
    (
        "fewer units than are included",
        charge(unit_price(5, included=Fraction(9)), 3),
        {},
        (0, 0, 0),
    ),
    ("twelve decimals, many", charge(unit_price(Fraction(1, 10**10)), 10**12), {}, (100, 0, 100)),
    ("twelve decimals, one", charge(unit_price(Fraction(1, 10**10)), 1), {}, (0, 0, 0)),
    (
        "nearly all that the ledger takes",
        charge(unit_price(9 * 10**12), 10**6),
        {},
        (9 * 10**18, 0, 9 * 10**18),
    ),
    ("no days", charge(1200, share=(0, 31)), {}, (0, 0, 0)),
    ("yen of some days", charge(1200, share=(17, 31)), {"currency": "JPY"}, (658, 0, 658)),
    ("dinars in steps", charge(1234), {"currency": "KWD", "step": 10}, (1230, 0, 1230)),
    (
        "all off, taxed on top",
        charge(1000),
        {"discounts": (percent_off(100),), "taxes": (VAT,)},
        (0, 0, 0),
    ),
    (
        "all off, tax contained",
        charge(1000),
        {
            "discounts": (percent_off(100),),
            "taxes": (Tax("VAT", Fraction(19), "DE", included=True),),
        },
        (0, 0, 0),
    ),
    (
        "all off, with credit that isn't needed",
        charge(1000),
        {"discounts": (percent_off(100),), "credit": (Credit(ONE, 500),)},
        (0, 0, 0),
    ),
    ("more credit than is owed", charge(1000), {"credit": (Credit(ONE, 5000),)}, (1000, 0, 0)),
    (
        "two grants, the first one first",
        charge(1000),
        {"taxes": (VAT,), "credit": (Credit(ONE, 300), Credit(UUID(int=2), 5000))},
        (1000, 190, 0),
    ),
    ("no charge at all", charge(0), {}, (0, 0, 0)),
]


@pytest.mark.parametrize(
    ("sold", "terms", "expected"), [row[1:] for row in FREE_OR_ODD], ids=[f[0] for f in FREE_OR_ODD]
)
def test_what_is_at_an_end_of_its_range_has_its_price(
    sold: Any, terms: dict[str, Any], expected: tuple[int, int, int]
) -> None:
    drafted = draft(facts(sold, **terms))
    assert (drafted.net, drafted.tax, drafted.due) == expected
