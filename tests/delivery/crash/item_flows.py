"""Flows of items and credit: what an opening writes beside a cycle, an invoice and a payment."""

from typing import Final

from billing.flows.coupons import redeeming
from billing.flows.subscriptions import lifecycle, subscribing
from tests.delivery.crash.flow import flow
from tests.delivery.crash.flows import NEXT, OPERATOR, tick
from tests.scenarios.test_facts import SMALL, TEAM, granted
from tests.scenarios.world import Subscriber, World

ITEMS: Final = "items and credit"
COUPON: Final = """
[[coupon]]
code = "spring"
percent = "15"
for = "3 invoices"
"""


def _customer(world: World) -> tuple[str, str]:
    world.publish(TEAM)
    return str(world.customer()[0]), f"i{next(NEXT)}"


@flow("a subscription with items begins", _customer, again=True, group=ITEMS)
def _subscribe(world: World, told: tuple[str, str]) -> None:
    order = subscribing.SubscriptionOrder(
        customer=told[0], plan="team", currency="USD", external_id=told[1], items={"seats": 7}
    )
    subscribing.subscribe(world.engine, order, now=world.now, actor=OPERATOR)


def _with_items(world: World) -> Subscriber:
    world.publish(TEAM)
    return world.subscribed("team")


@flow("a cycle with items is opened", _with_items, group=ITEMS)
def _open(world: World, _: Subscriber) -> None:
    tick(world)


def _with_credit(world: World, amount: int, card: str = "pm_card_visa") -> Subscriber:
    world.publish(SMALL)
    subscriber = world.subscribed("notes", card=card)
    granted(world, subscriber, amount)
    return subscriber


flow("credit pays a part", lambda w: _with_credit(w, 500), group=ITEMS)(_open)
flow("credit pays all", lambda w: _with_credit(w, 1500), group=ITEMS)(_open)
flow("credit leaves too little to charge", lambda w: _with_credit(w, 980), group=ITEMS)(_open)


def _owes_the_rest(world: World) -> Subscriber:
    subscriber = _with_credit(world, 500, "pm_card_chargeCustomerFail")
    world.settle()
    assert world.invoices(subscriber)[0].due == 499
    return subscriber


@flow("an invoice that credit pays in part is voided", _owes_the_rest, again=True, group=ITEMS)
def _cancel(world: World, subscriber: Subscriber) -> None:
    lifecycle.cancel(
        world.engine, subscriber.reference,
        at_period_end=False, now=world.now, actor=OPERATOR, why="asked", policy=world.policy,
    )  # fmt: skip


def _for_a_coupon(world: World) -> Subscriber:
    world.publish(TEAM + COUPON)
    return world.subscribed("team")


@flow("a coupon is redeemed", _for_a_coupon, group=ITEMS)
def _redeem(world: World, subscriber: Subscriber) -> None:
    order = redeeming.CouponOrder("spring", subscription=subscriber.reference, why="asked")
    redeeming.redeem(world.engine, order, now=world.now, actor=OPERATOR)


def _with_a_coupon(world: World) -> Subscriber:
    world.publish(TEAM + COUPON)
    return world.subscribed("team", coupons=("spring",))


@flow("a cycle with a coupon is opened", _with_a_coupon, group=ITEMS)
def _open_discounted(world: World, _: Subscriber) -> None:
    tick(world)
