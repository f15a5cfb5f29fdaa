"""The model's dates and amounts, against dates and amounts that were counted by hand."""

from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest

from tests.simulation.amounts import Line
from tests.simulation.catalog import COUPONS, PRODUCTS, Price
from tests.simulation.metered import cost
from tests.simulation.model import (
    Change,
    Contract,
    Granted,
    Invoiced,
    Paid,
    Sales,
    account,
    may_be_paid,
    paid,
)
from tests.simulation.pricing import ItemChange, Redeemed, noted
from tests.simulation.taxing import PLACES, percent_at, taxed


def at(moment: str) -> datetime:
    return datetime.fromisoformat(moment).replace(tzinfo=UTC)


def contract(plan: str, began: str, quantity: int = 1, zone: str = "UTC") -> Contract:
    return Contract(PRODUCTS[plan], "USD", quantity, zone, at(began))


def periods(agreed: Contract, until: str, *changes: Change, prices: Any = ()) -> list[str]:
    found = account(agreed, changes, prices, at(until)).periods
    return [f"{each.start:%m-%d %H:%M} {each.kind} {each.amount}" for each in found]


@pytest.mark.parametrize(
    ("agreed", "until", "expected"),
    [
        (
            contract("monthly", "2026-01-31 10:00"),
            "2026-05-01",
            [f"{day} 10:00 regular 2000" for day in ("01-31", "02-28", "03-31", "04-30")],
        ),
        (
            # 27 of 31 days of 31.00.
            contract("first", "2026-03-05 10:00"),
            "2026-05-01",
            ["03-05 10:00 regular 2700", "04-01 00:00 regular 3100", "05-01 00:00 regular 3100"],
        ),
        (
            contract("trial", "2026-01-10 10:00", quantity=2),
            "2026-03-01",
            ["01-10 10:00 trial 0", "01-24 10:00 regular 1998", "02-24 10:00 regular 1998"],
        ),
        (
            # Clocks go forward in Berlin on March 29.
            contract("monthly", "2026-03-15 11:00", zone="Europe/Berlin"),
            "2026-05-01",
            ["03-15 11:00 regular 2000", "04-15 10:00 regular 2000"],
        ),
        (
            # 19.00, 5 seats free, 15 at 3.17, one at 2.09, and 7.77 once.
            contract("team", "2026-01-31 10:00", quantity=21),
            "2026-03-01",
            ["01-31 10:00 regular 7641", "02-28 10:00 regular 6864"],
        ),
        (
            # 27 of 31 days of 19.99 and of 3.17, each rounded, and 7.77 whole.
            contract("stub", "2026-03-05 10:00", quantity=6),
            "2026-04-01",
            ["03-05 10:00 regular 2794", "04-01 00:00 regular 2316"],
        ),
        (
            # All six seats are priced by the tier of the sixth.
            contract("volume", "2026-03-05", quantity=6),
            "2026-03-06",
            ["03-05 00:00 regular 870"],
        ),
        (
            contract("tried", "2026-01-10"),
            "2026-02-21",
            ["01-10 00:00 trial 0", "01-20 00:00 regular 1227", "02-20 00:00 regular 450"],
        ),
        (contract("free", "2026-01-10"), "2026-01-11", ["01-10 00:00 free 0"]),
    ],
)
def test_periods_are_counted_from_the_beginning_in_civil_time(
    agreed: Contract, until: str, expected: list[str]
) -> None:
    assert periods(agreed, until) == expected


def test_a_pause_and_a_resumption_hold_for_periods_that_start_later() -> None:
    agreed = contract("monthly", "2026-01-05")
    changes = (Change(at("2026-01-20"), "pause"), Change(at("2026-03-05"), "resume"))
    assert periods(agreed, "2026-04-05", *changes) == [
        "01-05 00:00 regular 2000",
        "02-05 00:00 paused 0",
        "03-05 00:00 paused 0",
        "04-05 00:00 regular 2000",
    ]


def test_what_ends_with_its_period_goes_on_when_that_is_taken_back_in_time() -> None:
    agreed = contract("monthly", "2026-01-05")
    ends = Change(at("2026-01-20"), "cancel at period end")
    assert len(periods(agreed, "2026-06-01", ends)) == 1
    kept = Change(at("2026-02-01"), "resume")
    assert len(periods(agreed, "2026-06-01", ends, kept)) == 5


def test_a_price_holds_for_periods_that_start_after_it_was_published() -> None:
    agreed = contract("monthly", "2026-01-05")
    late = (at("2026-03-20"), "monthly", Price(date(2026, 3, 1), {"USD": 2100}, moves=True))
    kept = (at("2026-01-10"), "monthly", Price(date(2026, 2, 1), {"USD": 9900}))
    assert periods(agreed, "2026-04-06", prices=(kept, late)) == [
        "01-05 00:00 regular 2000",
        "02-05 00:00 regular 2000",
        "03-05 00:00 regular 2000",
        "04-05 00:00 regular 2100",
    ]


MINUTE = timedelta(minutes=1)


def ways(invoices: list[Invoiced], *grants: Granted) -> list[list[Paid]]:
    return list(paid("USD", invoices, grants, MINUTE))


def test_credit_pays_by_priority_and_then_by_what_expires_first() -> None:
    long_ago, first, second = at("2026-01-01"), at("2026-01-05"), at("2026-02-05")
    grants = (
        Granted(long_ago, 300),
        Granted(long_ago, 500, expires=at("2026-02-01")),
        Granted(long_ago, 400, priority=9),
    )

    assert ways([Invoiced(first, 1000), Invoiced(second, 1000)], *grants) == [
        [Paid(1000, 0, 0), Paid(200, 0, 800)]
    ]


def test_what_credit_leaves_below_the_least_amount_is_waived() -> None:
    grant = Granted(at("2026-01-01"), 960)

    assert ways([Invoiced(at("2026-01-05"), 999)], grant) == [[Paid(960, 39, 0)]]
    assert ways([Invoiced(at("2026-01-05"), 39, reduced=True)]) == [[Paid(0, 39, 0)]]


def test_credit_that_begins_as_an_invoice_is_issued_may_pay_it_or_not() -> None:
    grant = Granted(at("2026-01-05") + MINUTE, 100)

    assert ways([Invoiced(at("2026-01-05"), 999)], grant) == [
        [Paid(100, 0, 899)],
        [Paid(0, 0, 999)],
    ]
    assert ways([Invoiced(at("2026-01-05") - MINUTE, 999)], grant) == [[Paid(0, 0, 999)]]


def test_a_way_among_more_than_can_be_listed_is_recognised() -> None:
    now = at("2026-01-05")
    invoices = [Invoiced(now, 1000)] * 60  # as a subscription that catches up has them
    grants = (Granted(now, 500), Granted(now + MINUTE, 800))

    def recognised(*first: Paid) -> bool:
        rest = [Paid(0, 0, 1000)] * (len(invoices) - len(first))
        return may_be_paid("USD", invoices, grants, MINUTE, [*first, *rest])

    assert recognised()
    assert recognised(Paid(800, 0, 200), Paid(0, 0, 1000), Paid(500, 0, 500))
    assert recognised(Paid(1000, 0, 0), Paid(300, 0, 700))
    assert not recognised(Paid(400, 0, 600))
    assert not recognised(Paid(1000, 0, 0), Paid(400, 0, 600))


JANUARY = at("2026-01-01")


def sold(agreed: Contract, until: str, *changes: ItemChange, coupons: Any = ()) -> list[str]:
    """Return what is invoiced by period and, behind it, by changes within it, less discounts."""
    redeemed = [Redeemed(code, JANUARY, COUPONS[code]) for code in coupons]
    found = account(agreed, (), (), at(until), Sales(changes, redeemed))
    told = [f"{each.start:%m-%d} {each.amount}" for each in found.periods]
    for key, came in found.changed.items():
        invoiced = None if came.invoice is None else came.invoice.total
        told.append(f"{key}: {invoiced} {sorted(came.returns.values())}")
    return told


def changed(key: int, moment: str, *, ends: str = "", plan: str = "", **items: int) -> ItemChange:
    product = PRODUCTS[plan] if plan else None
    price = None if product is None else product.prices[0]
    holds = at(ends or moment)
    return ItemChange(key, at(moment), holds, not ends, product, price, items)


@pytest.mark.parametrize(
    ("agreed", "changes", "expected"),
    [
        (
            # 3 more at 20.00 for 17 of 31 days, the day of the change included.
            contract("monthly", "2026-01-01", quantity=2),
            (changed(1, "2026-01-15 23:59", base=5),),
            ["01-01 4000", "02-01 10000", "1: 3290 []"],
        ),
        (
            # There and back on one day costs what it gives back: 32.90.
            contract("monthly", "2026-01-01", quantity=2),
            (changed(1, "2026-01-15", base=5), changed(2, "2026-01-15 12:00", base=2)),
            ["01-01 4000", "02-01 4000", "1: 3290 []", "2: None [3290]"],
        ),
        (
            # Of changes for one period's end the last one wins.
            contract("monthly", "2026-01-01", quantity=2),
            (
                changed(1, "2026-01-10", ends="2026-02-01", base=5),
                changed(2, "2026-01-11", ends="2026-02-01", base=4),
            ),
            ["01-01 4000", "02-01 8000"],
        ),
        (
            # A stub of 27 of 31 days; from March 20 there are 12 days left of 31.
            contract("first", "2026-03-05"),
            (changed(1, "2026-03-20", plan="monthly"),),
            ["03-05 2700", "04-01 2000", "1: 774 [1200]"],
        ),
        (
            # Ten seats more beside five free ones and one at 3.17, for 14 of 28 days.
            contract("team", "2026-02-01", quantity=6),
            (changed(1, "2026-02-15", seats=16),),
            ["02-01 2994", "03-01 5387", "1: 1585 []"],
        ),
        (
            # Under a volume price six seats at 0.95 are returned, and five at 1.20 are charged.
            contract("volume", "2026-03-02", quantity=6),
            (changed(1, "2026-03-02 09:00", seats=5),),
            ["03-02 870", "1: 600 [570]"],
        ),
    ],
)
def test_a_change_costs_what_the_days_left_do(
    agreed: Contract, changes: tuple[ItemChange, ...], expected: list[str]
) -> None:
    until = agreed.began + timedelta(days=1 if agreed.product.code == "volume" else 31)
    assert sold(agreed, f"{until:%Y-%m-%d}", *changes) == expected


def test_coupons_are_used_one_after_the_other_and_as_often_as_they_say() -> None:
    agreed = contract("team", "2026-01-01", quantity=6)
    # 15 % of 19.00 and 3.17 is 3.33, and 3.01 of the rest; the set-up at 7.77 isn't discounted.
    assert sold(agreed, "2026-05-01", coupons=("spring", "welcome")) == [
        "01-01 2360",
        "02-01 1884",
        "03-01 1884",
        "04-01 2217",
        "05-01 2217",
    ]


def test_the_rest_of_an_amount_is_kept() -> None:
    agreed = contract("monthly", "2026-01-01", quantity=1)
    assert sold(agreed, "2026-03-01", coupons=("gift",)) == ["01-01 0", "02-01 1397", "03-01 2000"]


def test_notes_of_a_line_add_up_to_it() -> None:
    line = Line("seats", 100, 15)
    parts = (33, 33, 34)
    given = [noted(line, sum(parts[:n]), part, "USD") for n, part in enumerate(parts)]
    assert given == [28, 28, 29]


def test_taxes_are_rounded_for_all_lines_together() -> None:
    """Four lines at 20 % come to 55.83, and each by itself would be 55.84."""
    on_top = [Line(str(n), gross) for n, gross in enumerate((6833, 6833, 5750, 8500))]
    found = taxed(on_top, Fraction(20), 1)
    assert sum(line.tax for line in found) == 5583
    assert sum(line.total for line in found) == 33499
    (in_price,) = taxed([Line("base", 10000, included=True)], Fraction(19), 1)
    assert (in_price.tax, in_price.total) == (1597, 10000)


def test_a_business_in_another_country_of_the_union_owes_the_tax_itself() -> None:
    before, later = date(2026, 2, 13), date(2026, 2, 14)
    assert percent_at(PLACES["business in Italy"], before) == 0
    assert percent_at(PLACES["Italy"], before) == 22
    assert [percent_at(PLACES["business at home"], day) for day in (before, later)] == [19, 16]
    assert percent_at(PLACES["America"], before) == percent_at(PLACES["exempt"], before) == 0


def test_usage_is_charged_by_tiers_beyond_what_is_included() -> None:
    """Nine calls: two are included, four at 0.30, three at 0.125."""
    (calls, *_) = PRODUCTS["usage"].metered
    assert cost(calls, Fraction(9), "USD") == Fraction("157.5")
