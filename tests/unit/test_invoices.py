"""Invoices: what a period owes, with amounts other engines agree on."""

from datetime import date, datetime

import pytest

from billing.errors import BadInput
from billing.plans.terms import Cadence, PlanVersion
from billing.rules.invoices import (
    Draft,
    Line,
    NoPrice,
    carried_over,
    draft,
    number,
    with_carried,
)
from billing.rules.money import AmountOutOfRange
from billing.rules.periods import Anchor, Schedule, ScheduledPeriod, nth

MONTHLY = Cadence(1, "month")


def test_a_full_period_owes_quantity_times_price() -> None:
    owed = draft("Office Team", sold(USD=2995), period("2024-01-31"), 7, "USD")

    assert owed == Draft(
        "USD", (Line("Office Team, 2024-01-31 to 2024-02-28", 7, 2995, 20965),), 20965, 0, 20965
    )


@pytest.mark.parametrize(
    ("quantity", "total"),
    [
        # KB11: killbill beatrix TestWithQuantityUpdate.java, 29.95 each
        (7, 20965), (10, 29950), (1, 2995),
    ],
)  # fmt: skip
def test_each_seat_costs_the_price(quantity: int, total: int) -> None:
    assert draft("Team", sold(USD=2995), period("2024-01-01"), quantity, "USD").total == total


@pytest.mark.parametrize(
    ("price", "currency", "start", "anchor_day", "quantity", "total"),
    [
        # KB1: killbill beatrix TestIntegration.java
        (59995, "USD", "2012-03-02", 31, 1, 56124),
        # LM1: lago-api spec/scenarios/subscriptions/multiple_upgrade_spec.rb
        (1000, "EUR", "2024-03-05", 1, 1, 871),
        # rounded once, for the whole line: 3 x 8.7097 is 26.13, not 3 x 8.71
        (1000, "EUR", "2024-03-05", 1, 3, 2613),
        (1200, "JPY", "2024-03-05", 1, 1, 1045),
        # three decimals are charged in steps of ten: 6.150 x 17/31 is 3.3726
        (6150, "KWD", "2024-03-15", 1, 1, 3370),
        # a full period, aligned or not
        (1000, "EUR", "2024-03-01", 1, 1, 1000),
    ],
)
def test_a_stub_owes_its_share_in_days(
    price: int, currency: str, start: str, anchor_day: int, quantity: int, total: int
) -> None:
    first = period(start, anchor_day=anchor_day)

    assert draft("Plan", sold(**{currency: price}), first, quantity, currency).total == total


def test_a_stub_says_so() -> None:
    owed = draft("Team", sold(EUR=1000), period("2024-03-05", anchor_day=1), 1, "EUR")

    assert owed.lines == (Line("Team, 2024-03-05 to 2024-03-31 (27 of 31 days)", 1, 1000, 871),)


def test_the_days_on_an_invoice_are_the_customers() -> None:
    tokyo = nth(Schedule(Anchor(datetime.fromisoformat("2024-01-31"), "Asia/Tokyo"), MONTHLY), 0)

    here = draft("Plan", sold(JPY=1200), tokyo, 1, "JPY", zone="Asia/Tokyo")

    assert here.lines[0].description == "Plan, 2024-01-31 to 2024-02-28"


def test_a_trial_owes_nothing() -> None:
    trial = nth(Schedule(anchor("2024-01-31"), MONTHLY, trial=Cadence(14, "day")), 0)

    assert draft("Plan", sold(USD=999), trial, 3, "USD") == Draft("USD", (), 0, 0, 0)


def test_a_currency_without_a_price_is_an_error_that_names_the_others() -> None:
    with pytest.raises(NoPrice) as refused:
        draft("Plan", sold(USD=999, EUR=899), period("2024-01-31"), 1, "CHF")

    assert isinstance(refused.value, BadInput)
    assert refused.value.facts["sold_in"] == ("EUR", "USD")


def test_an_absurd_invoice_is_refused() -> None:
    with pytest.raises(AmountOutOfRange):
        draft("Plan", sold(USD=2**62), period("2024-01-31"), 2, "USD")
    with pytest.raises(ValueError, match="at least 1"):
        draft("Plan", sold(USD=999), period("2024-01-31"), 0, "USD")


def test_a_draft_whose_sums_are_wrong_cannot_be_made() -> None:
    line = Line("Plan", 1, 1000, 1000)

    with pytest.raises(AssertionError, match=r"^lines add up to net$"):
        Draft("USD", (line, line), net=1000, tax=0, total=1000)
    with pytest.raises(AssertionError, match=r"^lines add up to net$"):
        Draft("USD", (), net=1000, tax=0, total=1000)
    with pytest.raises(AssertionError, match=r"^net and tax add up to the total$"):
        Draft("USD", (line,), net=1000, tax=190, total=1000)
    assert Draft("USD", (line, line), net=2000, tax=380, total=2380).total == 2380


def test_what_is_too_small_is_carried_over_and_is_a_line_of_the_next_invoice() -> None:
    small = draft("Plan", sold(USD=999), period("2026-01-31", anchor_day=1), 1, "USD")
    assert small.total == 32

    carried = carried_over(small)
    owed, taken_out = carried.lines
    assert owed.amount == 32
    assert taken_out == Line(
        "Too small to charge: carried over to the next invoice", 1, unit_amount=-32, amount=-32
    )
    assert (carried.net, carried.tax, carried.total) == (0, 0, 0)

    whole = draft("Plan", sold(USD=999), period("2026-02-01"), 1, "USD")
    added = with_carried(whole, 32)
    owed, brought = added.lines
    assert owed.amount == 999
    assert brought == Line("Carried over from the invoice before", 1, unit_amount=32, amount=32)
    assert (added.currency, added.net, added.total) == ("USD", 1031, 1031)
    assert with_carried(whole, 0) is whole
    taxed = Draft("USD", whole.lines, net=999, tax=190, total=1189)
    with pytest.raises(AssertionError, match=r"^tax is computed on all lines$"):
        with_carried(taxed, 32)


def test_numbers_count_within_their_prefix() -> None:
    assert [number("K7Q2MX", n) for n in (1, 12, 12345)] == [
        "K7Q2MX-0001", "K7Q2MX-0012", "K7Q2MX-12345",
    ]  # fmt: skip


def anchor(civil: str) -> Anchor:
    return Anchor(datetime.fromisoformat(civil), "UTC")


def period(start: str, anchor_day: int | None = None) -> ScheduledPeriod:
    return nth(Schedule(anchor(start), MONTHLY, anchor_day=anchor_day), 0)


def sold(**prices: int) -> PlanVersion:
    return PlanVersion("plan", date(2024, 1, 1), "keep", MONTHLY, None, None, prices)
