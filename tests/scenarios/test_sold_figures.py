"""The figures of what is sold count what there is, by kind."""

from billing.flows.subscriptions import changing
from billing.flows.subscriptions.change_quotes import ChangeQuote
from billing.ids import new_id
from billing.queries.gauges import gauges
from billing.rules.credit_notes import Destination
from billing.rules.item_changes import ChangeAsked
from tests.scenarios.test_coupons import redeem
from tests.scenarios.test_credit_notes import noted, part
from tests.scenarios.test_item_changes import CLI, LATER, NOW, PLANS, change
from tests.scenarios.world import Subscriber, World

COUPON = """
[[coupon]]
code = "spring"
percent = "10"
for = "forever"
"""
SOLD = (
    "billing_invoices",
    "billing_subscription_changes",
    "billing_coupon_redemptions",
    "billing_credit_notes",
)


def sold(world: World) -> dict[tuple[str, ...], float]:
    with world.engine.connect() as conn:
        found = [each for each in gauges(conn, world.now) if each.name in SOLD]
    assert [each.name for each in found] == list(SOLD)
    return {(each.name, *labels): value for each in found for labels, value in each.samples}


def take_back(world: World, customer: Subscriber, made: ChangeQuote) -> None:
    change_id = made.terms.change.change_id
    assert change_id is not None
    asked = ChangeAsked(world.now, CLI, "asked")
    changing.withdraw(
        world.engine, customer.reference, change_id, withdrawal_id=new_id(), asked=asked
    )


def test_nothing_sold_is_told_as_zero_of_every_kind(world: World) -> None:
    figures = sold(world)
    assert set(figures.values()) == {0.0}
    assert {labels[0] for labels in figures} == set(SOLD)


def test_what_is_sold_is_counted_by_kind(world: World) -> None:
    world.publish(PLANS + COUPON)
    ada, bob = world.subscribed("basic", quantity=2), world.subscribed("basic")
    redeem(world, ada, "spring")
    world.run_until("2026-01-10")
    change(world, ada, NOW, quantity=5)
    change(world, bob, LATER, plan="pro")
    change(world, bob, LATER, zone="Europe/Berlin")
    withdrawn = change(world, ada, LATER, quantity=1)
    take_back(world, ada, withdrawn)
    world.run_until("2026-01-11")
    noted(world, ada, part(100), Destination.CREDIT, n=0)

    before = sold(world)
    world.run_until("2026-02-02")
    after = sold(world)

    assert before["billing_invoices", "cycle"] == 2
    assert after["billing_invoices", "cycle"] == 4
    assert after["billing_invoices", "change"] == 1
    assert before["billing_subscription_changes", "quantity", "now"] == 1
    assert before["billing_subscription_changes", "plan", "period_end"] == 0, "it holds later"
    assert after["billing_subscription_changes", "plan", "period_end"] == 1
    assert after["billing_subscription_changes", "schedule", "period_end"] == 1
    assert after["billing_subscription_changes", "quantity", "period_end"] == 0, "withdrawn"
    assert after["billing_coupon_redemptions",] == 1
    assert after["billing_credit_notes", "credit"] == 1
    assert after["billing_credit_notes", "refund"] == 0
