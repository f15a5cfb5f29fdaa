"""Coupons that are redeemed with a change."""

from typing import Any

import pytest
from sqlalchemy import text

from billing.errors import BillingError, Conflict, ErrorCode
from billing.rules.item_changes import Applies
from tests.scenarios.test_coupons import discounts, redeem
from tests.scenarios.test_item_changes import LATER, NOW, PLANS, change, quote
from tests.scenarios.world import Subscriber, World

COUPONS = """
[[coupon]]
code = "spring"
percent = "10"
for = "2 invoices"

[[coupon]]
code = "one"
percent = "50"
for = "once"
limit = 1

[[coupon]]
code = "of-seats"
percent = "10"
on = ["seats"]
for = "once"

[[plan]]
code = "seats"
every = "1 month"
anchor_day = 1

  [[plan.version]]
  effective = 2026-01-01

    [[plan.version.item]]
    code = "seats"
    per = "seat"
    price = { USD = "10.00" }
"""


def redemptions(world: World) -> list[str]:
    with world.engine.connect() as conn:
        return list(conn.execute(text("SELECT coupon FROM redemptions ORDER BY at, id")).scalars())


def basic(world: World) -> Subscriber:
    """Return who holds one unit at 9.30, in the middle of January."""
    world.publish(PLANS + COUPONS)
    customer = world.subscribed("basic")
    world.run_until("2026-01-15")
    return customer


@pytest.mark.parametrize("applies", [NOW, LATER])
def test_it_takes_off_from_the_next_period_that_begins(world: World, applies: Applies) -> None:
    customer = basic(world)

    change(world, customer, applies, quantity=2, coupon="spring")
    world.run_until("2026-04-02")

    of_periods = [each for each in world.invoices(customer) if each.kind == "cycle"]
    assert [each.discount for each in of_periods] == [0, 186, 186, 0]
    world.assert_everything_adds_up()


def test_the_period_that_a_change_begins_has_it(world: World) -> None:
    customer = basic(world)

    change(world, customer, NOW, plan="pro-yearly", coupon="spring")
    world.settle()

    assert discounts(world, customer) == [0, 3100]
    world.assert_everything_adds_up()


@pytest.mark.parametrize("applies", [NOW, LATER])
def test_a_quote_redeems_nothing_and_holds(world: World, applies: Applies) -> None:
    customer = basic(world)
    without = quote(world, customer, applies, quantity=2)
    quoted = quote(world, customer, applies, quantity=2, coupon="spring")
    assert redemptions(world) == []

    assert quoted.digest != without.digest
    for order, said in (({}, quoted.digest), ({"coupon": "spring"}, without.digest)):
        with pytest.raises(Conflict) as moved:
            change(world, customer, applies, quantity=2, digest=said, **order)
        assert moved.value.code is ErrorCode.QUOTE_MOVED
    assert redemptions(world) == []
    made = change(world, customer, applies, quantity=2, coupon="spring", digest=quoted.digest)

    assert (made.digest, made.coupon) == (quoted.digest, "spring")
    assert redemptions(world) == ["spring"]
    world.assert_everything_adds_up()


@pytest.mark.parametrize(
    ("order", "code"),
    [
        ({"coupon": "spring"}, ErrorCode.CHANGE_NOTHING),
        ({"quantity": 2, "coupon": "sprung"}, ErrorCode.COUPON_NOT_FOUND),
        ({"quantity": 2, "coupon": "of-seats"}, ErrorCode.COUPON_DOES_NOT_FIT),
        ({"quantity": 1, "coupon": "spring"}, ErrorCode.CHANGE_NOTHING),
        ({"plan": "nothing", "coupon": "spring"}, ErrorCode.PLAN_NOT_PUBLISHED),
    ],
    ids=["alone", "unknown", "doesn't fit", "nothing changes", "no such plan"],
)
def test_what_is_refused_redeems_nothing(
    world: World, order: dict[str, Any], code: ErrorCode
) -> None:
    customer = basic(world)

    with pytest.raises(BillingError) as refused:
        change(world, customer, NOW, **order)

    assert refused.value.code is code
    assert redemptions(world) == []
    world.assert_everything_adds_up()


def test_a_coupon_has_to_fit_the_plan_that_is_changed_to(world: World) -> None:
    customer = basic(world)

    change(world, customer, LATER, plan="seats", items={"seats": 3}, coupon="of-seats")
    world.run_until("2026-02-02")

    assert discounts(world, customer) == [0, 300]
    world.assert_everything_adds_up()


def test_a_coupon_that_is_used_up_or_redeemed_refuses_the_change(world: World) -> None:
    customer = basic(world)
    redeem(world, customer, "one")
    other = world.subscribed("basic")
    world.settle()

    redeem(world, customer, "spring")
    for who, coupon, code in (
        (customer, "spring", ErrorCode.COUPON_REDEEMED_ALREADY),
        (other, "one", ErrorCode.COUPON_USED_UP),
    ):
        with pytest.raises(Conflict) as refused:
            change(world, who, NOW, quantity=2, coupon=coupon)
        assert refused.value.code is code
    assert redemptions(world) == ["one", "spring"]
    world.assert_everything_adds_up()
