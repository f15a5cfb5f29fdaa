"""Coupons: redeemed once, used as often as their terms say, and never twice for one use."""

from typing import Any

import pytest
from sqlalchemy import text

from billing.errors import BillingError
from billing.flows.coupons import redeeming
from billing.flows.coupons.redeeming import CouponOrder
from billing.flows.subscriptions import lifecycle
from billing.presenters.explain import sections
from billing.queries.explain import explain_payment
from billing.rules.actor import Actor, ActorKind
from tests.scenarios.world import Subscriber, World

OPERATOR = Actor(ActorKind.CLI, "operator")
CATALOG = """
product = "Notes"

[[plan]]
code = "notes"
every = "1 month"

  [[plan.version]]
  effective = 2026-01-01

    [[plan.version.item]]
    code = "base"
    price = { USD = "100.00" }

    [[plan.version.item]]
    code = "seats"
    per = "seat"
    quantity = { min = 0, max = 100, default = 2 }
    price = { USD = "10.00" }

    [[plan.version.item]]
    code = "setup"
    once = true
    price = { USD = "50.00" }

[[coupon]]
code = "spring"
percent = "15"
for = "3 invoices"

[[coupon]]
code = "welcome"
amount = { USD = "30.00" }
for = "once"

[[coupon]]
code = "gift"
amount = { USD = "300.00" }
for = "once"
rest = "kept"

[[coupon]]
code = "quarter"
percent = "50"
on = ["base"]
for = "2 months"
stack = 20

[[coupon]]
code = "all"
percent = "100"
for = "forever"

[[coupon]]
code = "few"
percent = "10"
for = "once"
limit = 1
until = 2026-02-15

[[coupon]]
code = "euros"
amount = { EUR = "5.00" }
for = "once"

[[coupon]]
code = "none-of-these"
percent = "10"
on = ["seats"]
for = "once"
"""


def redeem(world: World, customer: Subscriber, code: str, *, of_customer: bool = False) -> Any:
    order = CouponOrder(
        code,
        subscription=None if of_customer else customer.reference,
        customer=customer.customer if of_customer else None,
        why="asked",
    )
    return redeeming.redeem(world.engine, order, now=world.now, actor=OPERATOR)


def discounts(world: World, customer: Subscriber) -> list[int]:
    return [invoice.discount for invoice in world.invoices(customer)]


def test_a_percentage_holds_for_its_number_of_invoices_and_leaves_once_items(
    world: World,
) -> None:
    world.publish(CATALOG)
    customer = world.subscribed("notes", coupons=("spring",))

    world.run_until("2026-05-02")

    # 15 % of 120.00; the set-up of the first invoice is charged whole
    assert discounts(world, customer) == [1800, 1800, 1800, 0, 0]
    assert [each.due for each in world.invoices(customer)][:2] == [15200, 10200]
    world.assert_everything_adds_up()


def test_an_amount_is_used_once_and_what_it_exceeds_is_lost_or_kept(world: World) -> None:
    world.publish(CATALOG)
    once = world.subscribed("notes", coupons=("welcome",))
    kept = world.subscribed("notes", coupons=("gift",), items={"seats": 0})

    world.run_until("2026-04-02")

    assert discounts(world, once) == [3000, 0, 0, 0]
    assert discounts(world, kept) == [10000, 10000, 10000, 0]
    world.assert_everything_adds_up()


def test_coupons_are_used_in_the_order_of_their_stack_each_on_what_is_left(world: World) -> None:
    world.publish(CATALOG)
    customer = world.subscribed("notes", coupons=("quarter", "welcome"))

    world.run_until("2026-03-02")

    # 30.00 over base and seats is 25.00 and 5.00; then half of what is left of the base
    assert discounts(world, customer) == [3000 + 3750, 5000, 0]
    world.assert_everything_adds_up()


def test_a_whole_discount_leaves_a_paid_invoice_and_no_payment(world: World) -> None:
    world.publish(CATALOG)
    customer = world.subscribed("notes", coupons=("all",))

    world.run_until("2026-02-02")

    first, second = world.invoices(customer)
    assert (first.due, second.total, second.status) == (5000, 0, "paid")
    world.assert_everything_adds_up()


def test_a_coupon_that_is_redeemed_later_holds_from_the_next_invoice_on(world: World) -> None:
    world.publish(CATALOG)
    customer = world.subscribed("notes")
    world.run_until("2026-01-10")
    redeem(world, customer, "welcome")

    world.run_until("2026-03-02")

    assert discounts(world, customer) == [0, 3000, 0]
    world.assert_everything_adds_up()


def test_a_coupon_that_is_redeemed_in_a_downtime_changes_no_period_of_before(
    world: World,
) -> None:
    world.publish(CATALOG)
    customer = world.subscribed("notes")
    world.run_until("2026-01-10")
    world.jump_to("2026-03-10")
    redeem(world, customer, "welcome")

    world.run_until("2026-04-02")

    assert discounts(world, customer) == [0, 0, 0, 3000]
    world.assert_everything_adds_up()


def test_one_of_a_customer_is_used_once_over_all_subscriptions(world: World) -> None:
    world.publish(CATALOG)
    first = world.subscribed("notes")
    second = world.subscribe(first.customer_id, first.provider_customer_id, "notes")
    redeem(world, first, "welcome", of_customer=True)

    world.run_until("2026-02-02")

    assert sorted(discounts(world, first) + discounts(world, second)) == [0, 0, 0, 3000]
    world.assert_everything_adds_up()


def test_a_voided_invoice_leaves_the_coupon_unused(world: World) -> None:
    world.publish(CATALOG)
    first = world.subscribed("notes", card="pm_card_chargeCustomerFail")
    second = world.subscribe(first.customer_id, first.provider_customer_id, "notes")
    redeem(world, first, "welcome", of_customer=True)
    world.run_until("2026-01-02")
    (used,) = [one for one in (first, second) if discounts(world, one)[-1]]
    lifecycle.cancel(
        world.engine,
        used.reference,
        at_period_end=False,
        now=world.now,
        actor=OPERATOR,
        why="asked",
    )
    world.new_card(first)

    world.run_until("2026-02-02")

    other = first if used is second else second
    assert discounts(world, other)[-1] == 3000
    world.assert_everything_adds_up()


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("sprong", "no coupon 'sprong' is published. Did you mean 'spring'"),
        ("euros", "takes off nothing in USD"),
    ],
)
def test_a_coupon_that_cannot_be_redeemed_says_why(world: World, code: str, message: str) -> None:
    world.publish(CATALOG)
    customer = world.subscribed("notes")

    with pytest.raises(BillingError, match=message):
        redeem(world, customer, code)


def test_a_coupon_is_redeemed_once_for_a_subscription(world: World) -> None:
    world.publish(CATALOG)
    customer = world.subscribed("notes", coupons=("spring",))

    with pytest.raises(BillingError, match="was redeemed for it before"):
        redeem(world, customer, "spring")


def test_a_limit_counts_over_all_and_a_last_day_is_a_day(world: World) -> None:
    world.publish(CATALOG)
    world.run_until("2026-02-15 23:59")
    first, second = world.subscribed("notes"), world.subscribed("notes")
    redeem(world, first, "few")

    with pytest.raises(BillingError, match="as often as it can be"):
        redeem(world, second, "few")
    world.run_until("2026-02-16")
    with pytest.raises(BillingError, match="until 2026-02-15"):
        redeem(world, second, "few")


def test_what_cannot_be_redeemed_leaves_no_subscription(world: World) -> None:
    world.publish(CATALOG)

    with pytest.raises(BillingError, match="no coupon"):
        world.subscribed("notes", coupons=("spring", "nothing"))

    with world.engine.connect() as conn:
        assert conn.execute(text("SELECT count(*) FROM subscriptions")).scalar() == 0
        assert conn.execute(text("SELECT count(*) FROM redemptions")).scalar() == 0


def test_a_check_redeems_nothing(world: World) -> None:
    world.publish(CATALOG)
    customer = world.subscribed("notes")
    order = CouponOrder("spring", subscription=customer.reference)

    redeeming.check(world.engine, order, now=world.now, actor=OPERATOR)

    world.run_until("2026-01-02")
    assert discounts(world, customer) == [0]


def test_an_explanation_names_the_coupon_and_what_it_was_taken_of(world: World) -> None:
    world.publish(CATALOG)
    customer = world.subscribed("notes", coupons=("spring",))
    world.run_until("2026-01-02")

    with world.engine.connect() as conn:
        explained = explain_payment(conn, world.payment(customer).id, world.now)
    told = [sentence for section in sections(explained) for sentence in section.sentences]

    assert "Coupon spring takes 18.00 USD off 120.00 USD." in told
