"""Which redeemed coupons hold for an invoice, and with what amount."""

from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any
from uuid import UUID

import pytest

from billing.plans.coupons import Coupon
from billing.pricing import Discount, Redeemed, discount_at, discounts_at
from tests.unit.pricing.values import figures

REDEEMED = datetime(2027, 1, 31, 10, tzinfo=UTC)
FEBRUARY = datetime(2027, 2, 28, 10, tzinfo=UTC)
FIRST = UUID(int=1)


def redeemed(invoices: int = 0, taken: int = 0, **terms: Any) -> Redeemed:
    kind = {} if "amounts" in terms else {"percent": Fraction(15)}
    return Redeemed(FIRST, Coupon("spring", **(kind | terms)), REDEEMED, invoices, taken)


def found(each: Redeemed, at: datetime = FEBRUARY, zone: str = "UTC") -> Discount | None:
    return discount_at(each, at, "USD", zone)


def test_a_discount_has_the_terms_of_its_coupon() -> None:
    by_percent = redeemed(on=("base",))
    by_amount = redeemed(amounts={"USD": 2000, "EUR": 1800})

    assert found(by_percent) == Discount(FIRST, "spring", percent=Fraction(15), on=("base",))
    assert found(by_amount) == Discount(FIRST, "spring", amount=2000)
    assert found(redeemed(amounts={"USD": 1}, on=("seats",))) == Discount(
        FIRST, "spring", amount=1, on=("seats",)
    )


def test_an_amount_in_other_currencies_takes_nothing_off() -> None:
    assert found(redeemed(amounts={"EUR": 1800})) is None


def test_it_does_not_hold_before_it_is_redeemed() -> None:
    assert found(redeemed(), at=REDEEMED.replace(hour=9)) is None
    assert found(redeemed(), at=REDEEMED) is not None


@pytest.mark.parametrize(
    ("terms", "invoices", "holds"),
    [
        ({"duration": "once"}, 0, True),
        ({"duration": "once"}, 1, False),
        ({"duration": "invoices", "number": 3}, 2, True),
        ({"duration": "invoices", "number": 3}, 3, False),
        ({"duration": "forever"}, 500, True),
        ({"duration": "months", "number": 2}, 500, True),
    ],
)
def test_it_holds_for_as_many_invoices_as_its_terms_say(
    terms: dict[str, Any], invoices: int, holds: bool
) -> None:
    assert (found(redeemed(invoices, **terms)) is not None) is holds


@pytest.mark.parametrize(
    ("number", "at", "zone", "holds"),
    [
        (1, "2027-02-28T09:59:59", "UTC", True),
        (1, "2027-02-28T10:00:00", "UTC", False),  # the last day of a shorter month
        (2, "2027-03-31T09:59:59", "UTC", True),
        (2, "2027-03-31T10:00:00", "UTC", False),
        (2, "2027-03-31T09:30:00", "Europe/Berlin", False),  # summer time: an hour earlier
        (12, "2028-01-31T09:59:59", "UTC", True),
    ],
)
def test_months_are_calendar_months_from_the_redemption(
    number: int, at: str, zone: str, holds: bool
) -> None:
    each = redeemed(duration="months", number=number)

    instant = datetime.fromisoformat(at).replace(tzinfo=UTC)
    assert (found(each, at=instant, zone=zone) is not None) is holds


def test_what_is_left_of_an_amount_is_kept_or_lost() -> None:
    kept = redeemed(1, 600, amounts={"USD": 1000}, rest="kept")
    lost = redeemed(1, 600, amounts={"USD": 1000})

    assert found(kept) == Discount(FIRST, "spring", amount=400)
    assert found(lost) is None
    assert found(replace(kept, taken=1000)) is None


def test_an_invoice_for_a_change_has_the_share_of_an_amount() -> None:
    by_amount = discount_at(redeemed(amounts={"USD": 1000}), FEBRUARY, "USD", "UTC", share=(17, 31))
    in_steps = discount_at(
        redeemed(amounts={"USD": 1000}), FEBRUARY, "USD", "UTC", share=(17, 31), step=10
    )
    by_percent = discount_at(redeemed(), FEBRUARY, "USD", "UTC", share=(17, 31))

    assert by_amount is not None
    assert in_steps is not None
    assert by_percent is not None
    assert figures(by_amount.amount, in_steps.amount, by_percent.percent) == (548, 550, 15)


def test_they_are_used_by_stack_then_in_the_order_of_redemption() -> None:
    later = replace(redeemed(), at=REDEEMED.replace(hour=11))
    made = [
        replace(redeemed(stack=10), redemption=UUID(int=1)),
        replace(later, redemption=UUID(int=2)),
        replace(redeemed(), redemption=UUID(int=4)),
        replace(redeemed(), redemption=UUID(int=3)),
        replace(redeemed(invoices=1), redemption=UUID(int=5)),
    ]

    ordered = discounts_at(made, FEBRUARY, "USD", "UTC")

    assert [each.redemption.int for each in ordered] == [3, 4, 2, 1]


def test_several_have_the_zone_the_share_and_the_step_of_the_invoice() -> None:
    months = redeemed(duration="months", number=2)
    at = datetime(2027, 3, 31, 9, 30, tzinfo=UTC)
    amount = redeemed(amounts={"USD": 1001}, duration="forever")

    assert discounts_at([months], at, "USD", "Europe/Berlin") == ()
    assert len(discounts_at([months], at, "USD", "UTC")) == 1
    assert [each.amount for each in discounts_at([amount], at, "USD", "UTC")] == [1001]
    halves = discounts_at([amount], at, "USD", "UTC", share=(1, 2), step=10)
    assert [each.amount for each in halves] == [500]
