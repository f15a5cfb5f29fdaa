"""Invoices: what a period owes, with amounts other engines agree on."""

from dataclasses import replace
from datetime import date, datetime
from fractions import Fraction

import pytest

from billing.errors import BadInput
from billing.flows.cycles.charging import NoPrice, facts_of_cycle
from billing.flows.policy import Policy
from billing.plans.terms import Cadence, Plan, PlanVersion
from billing.pricing import InvoiceDraft, draft
from billing.rules.invoices import is_of_change, number, number_of_change
from billing.rules.money import AmountOutOfRange
from billing.rules.periods import Anchor, Schedule, ScheduledPeriod, nth
from tests.unit.test_opening import subscription

MONTHLY = Cadence(1, "month")


def test_a_full_period_owes_quantity_times_price() -> None:
    owed = drafted("Office Team", sold(USD=2995), period("2024-01-31"), 7, "USD")

    (line,) = owed.lines
    assert line.description == "Office Team, 2024-01-31 to 2024-02-28"
    assert (line.quantity, line.unit_price, line.gross) == (Fraction(7), Fraction(2995), 20965)
    assert (owed.currency, owed.net, owed.tax, owed.total, owed.due) == (
        "USD", 20965, 0, 20965, 20965,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("quantity", "total"),
    [
        # KB11: killbill beatrix TestWithQuantityUpdate.java, 29.95 each
        (7, 20965), (10, 29950), (1, 2995),
    ],
)  # fmt: skip
def test_each_seat_costs_the_price(quantity: int, total: int) -> None:
    assert drafted("Team", sold(USD=2995), period("2024-01-01"), quantity, "USD").total == total


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

    assert drafted("Plan", sold(**{currency: price}), first, quantity, currency).total == total


def test_a_stub_says_so() -> None:
    owed = drafted("Team", sold(EUR=1000), period("2024-03-05", anchor_day=1), 1, "EUR")

    (line,) = owed.lines
    assert line.description == "Team, 2024-03-05 to 2024-03-31 (27 of 31 days)"
    assert (line.part, line.whole, line.unit_price, line.net) == (27, 31, Fraction(1000), 871)


def test_the_days_on_an_invoice_are_the_customers() -> None:
    tokyo = nth(Schedule(Anchor(datetime.fromisoformat("2024-01-31"), "Asia/Tokyo"), MONTHLY), 0)

    here = drafted("Plan", sold(JPY=1200), tokyo, 1, "JPY", zone="Asia/Tokyo")

    assert here.lines[0].description == "Plan, 2024-01-31 to 2024-02-28"


def test_a_currency_without_a_price_is_an_error_that_names_the_others() -> None:
    with pytest.raises(NoPrice) as refused:
        drafted("Plan", sold(USD=999, EUR=899), period("2024-01-31"), 1, "CHF")

    assert isinstance(refused.value, BadInput)
    assert refused.value.facts["sold_in"] == ("EUR", "USD")


def test_an_absurd_invoice_is_refused() -> None:
    with pytest.raises(AmountOutOfRange):
        drafted("Plan", sold(USD=2**62), period("2024-01-31"), 2, "USD")


def test_numbers_count_within_their_prefix() -> None:
    assert [number("K7Q2MX", n) for n in (1, 12, 12345)] == [
        "K7Q2MX-0001", "K7Q2MX-0012", "K7Q2MX-12345",
    ]  # fmt: skip


def drafted(
    name: str,
    version: PlanVersion,
    scheduled: ScheduledPeriod,
    quantity: int,
    currency: str,
    *,
    zone: str = "UTC",
) -> InvoiceDraft:
    held = replace(
        subscription("1 month", None, next_n=0), quantity=quantity, currency=currency, zone=zone
    )
    plan = Plan("plan", "Product", name, None, None, (version,))
    return draft(facts_of_cycle(held, plan, version, scheduled, Policy()))


def anchor(civil: str) -> Anchor:
    return Anchor(datetime.fromisoformat(civil), "UTC")


def period(start: str, anchor_day: int | None = None) -> ScheduledPeriod:
    return nth(Schedule(anchor(start), MONTHLY, anchor_day=anchor_day), 0)


def sold(**prices: int) -> PlanVersion:
    return PlanVersion("plan", date(2024, 1, 1), "keep", MONTHLY, None, None, prices)


def test_a_number_of_a_change_is_told_from_others() -> None:
    assert is_of_change(number_of_change("K7Q2MX-0012", 3), "K7Q2MX-0012")
    for other in ("K7Q2MX-0012", "K7Q2MX-0012-", "K7Q2MX-0013-1", "K7Q2MX-0012-x", "INV-0001", ""):
        assert not is_of_change(other, "K7Q2MX-0012")
