"""Flows of what operators ask for: each is one transaction, whose answer may be lost."""

from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from billing.flows.audit import audited
from billing.flows.breaks import exchanges, operator
from billing.flows.refunds import requesting
from billing.flows.subscriptions import (
    changing,
    lifecycle,
    reanchoring,
    releasing,
    retrying,
    subscribing,
)
from billing.flows.subscriptions.changed_terms import ChangeOrder
from billing.ids import new_id
from billing.rules.item_changes import Applies, ChangeAsked
from tests.delivery.crash.flow import flow
from tests.delivery.crash.flows import NEXT, OPERATOR, monthly, paid
from tests.scenarios.money import usd
from tests.scenarios.test_exchanges import convert, of_dollars
from tests.scenarios.world import Subscriber, World

GROUP: Final = "what people ask for"

_PLAN: Final = """
product = "Stories"

[[plan]]
code = "plan-{n}"
every = "1 month"

  [[plan.version]]
  effective = 2026-01-01
  price = {{ USD = "31.00" }}
"""


@flow("plans are published", lambda _: next(NEXT), again=True, group=GROUP)
def _publish(world: World, number: int) -> None:
    world.publish(_PLAN.format(n=number))


@flow(
    "a subscription begins",
    lambda w: (str(w.customer()[0]), f"s{next(NEXT)}"),
    again=True,
    group=GROUP,
)
def _subscribe(world: World, told: tuple[str, str]) -> None:
    order = subscribing.SubscriptionOrder(
        customer=told[0], plan="monthly", currency="USD", external_id=told[1]
    )
    subscribing.subscribe(world.engine, order, now=world.now, actor=OPERATOR)


@flow("a subscription is canceled", paid, again=True, group=GROUP)
def _cancel(world: World, subscriber: Subscriber) -> None:
    lifecycle.cancel(
        world.engine, subscriber.reference,
        at_period_end=False, now=world.now, actor=OPERATOR, why="asked", policy=world.policy,
    )  # fmt: skip


@flow("a subscription is paused", paid, again=True, group=GROUP)
def _pause(world: World, subscriber: Subscriber) -> None:
    lifecycle.pause(world.engine, subscriber.reference, now=world.now, actor=OPERATOR, why="asked")


def _paused(world: World) -> Subscriber:
    subscriber = paid(world)
    _pause(world, subscriber)
    return subscriber


@flow("a subscription goes on", _paused, again=True, group=GROUP)
def _resume_subscription(world: World, subscriber: Subscriber) -> None:
    lifecycle.resume(world.engine, subscriber.reference, now=world.now, actor=OPERATOR, why="asked")


def _order(quantity: int, applies: Applies) -> ChangeOrder:
    return ChangeOrder(quantity=quantity, applies=applies)


def _asked(world: World) -> ChangeAsked:
    return ChangeAsked(world.now, OPERATOR, "asked")


def _to_change(world: World) -> tuple[Subscriber, UUID]:
    subscriber = paid(world)
    world.run_until("2026-01-15")
    return subscriber, new_id()


@flow("a subscription takes more units", _to_change, again=True, group=GROUP)
def _change(world: World, told: tuple[Subscriber, UUID]) -> None:
    subscriber, change_id = told
    changing.change(
        world.engine, subscriber.reference, _order(3, Applies.NOW), change_id=change_id,
        now=world.now, asked=_asked(world), policy=world.policy,
    )  # fmt: skip


def _to_cut(world: World) -> tuple[Subscriber, UUID]:
    subscriber = paid(world)
    world.run_until(f"{world.now + timedelta(days=1):%Y-%m-%d %H:%M}")
    return subscriber, new_id()


@flow("a cycle of a subscription is cut", _to_cut, again=True)
def _cut(world: World, told: tuple[Subscriber, UUID]) -> None:
    subscriber, change_id = told
    changing.change(
        world.engine, subscriber.reference, ChangeOrder(billing_day=9, applies=Applies.NOW),
        change_id=change_id, now=world.now, asked=_asked(world), policy=world.policy,
    )  # fmt: skip


def _scheduled(world: World) -> tuple[Subscriber, UUID]:
    subscriber, change_id = _to_change(world)
    changing.change(
        world.engine, subscriber.reference, _order(3, Applies.PERIOD_END), change_id=change_id,
        now=world.now, asked=_asked(world), policy=world.policy,
    )  # fmt: skip
    return subscriber, change_id


@flow("a change is withdrawn", _scheduled, again=True, group=GROUP)
def _withdraw(world: World, told: tuple[Subscriber, UUID]) -> None:
    subscriber, change_id = told
    changing.withdraw(
        world.engine, subscriber.reference, change_id, withdrawal_id=new_id(), asked=_asked(world)
    )


def _another_zone(world: World) -> Subscriber:
    subscriber = world.subscribed("monthly", zone="Europe/Berlin")
    world.settle()
    world.spoil("UPDATE subscriptions SET zone = 'Europe/London'", subscriber)
    return subscriber


@flow("a subscription is re-anchored", _another_zone, again=True, group=GROUP)
def _reanchor(world: World, subscriber: Subscriber) -> None:
    reanchoring.reanchor(
        world.engine, reference=subscriber.reference, zone=None,
        now=world.now, actor=OPERATOR, why="another zone",
    )  # fmt: skip


def _parked(world: World) -> Subscriber:
    subscriber = monthly(world)
    world.spoil("UPDATE subscriptions SET every = 'fortnightly'", subscriber)
    world.settle()
    world.spoil("UPDATE subscriptions SET every = '1 month'", subscriber)
    return subscriber


@flow("a parked subscription is released", _parked, again=True, group=GROUP)
def _release(world: World, subscriber: Subscriber) -> None:
    releasing.release_subscription(
        world.engine, subscriber.reference,
        missed=None, now=world.now, actor=OPERATOR, policy=world.policy,
    )  # fmt: skip


def _refused(world: World) -> UUID:
    subscriber = monthly(world)
    world.rename_at_provider(subscriber, "cus_gone")
    world.settle()
    world.rename_at_provider(subscriber, subscriber.provider_customer_id)
    return world.payment(subscriber).id


@flow("a parked payment is released", _refused, again=True, group=GROUP)
def _release_payment(world: World, payment_id: UUID) -> None:
    releasing.release_payment(world.engine, payment_id, now=world.now)


def _declined(world: World) -> UUID:
    subscriber = monthly(world, "pm_sbx_decline_1_then_ok")
    world.settle()
    return world.payment(subscriber).id


@flow("a payment is retried", _declined, again=True, group=GROUP)
def _retry(world: World, payment_id: UUID) -> None:
    retrying.retry(world.engine, payment_id, now=world.now, actor=OPERATOR, why="asked")


@flow(
    "a command that is audited",
    lambda w: w.payment(paid(w)).id,
    again=True,
    group=GROUP,
)
def _command(world: World, payment_id: UUID) -> None:
    with audited(
        world.engine, actor=OPERATOR, action="refund.request", subject=str(payment_id), why="asked"
    ) as conn:
        requesting.request(conn, payment_id, reason="asked", actor=OPERATOR, now=world.now)


def _unknown_charge(world: World) -> UUID:
    paid(world)
    world.psp.take_money(700)
    world.close_books()
    (found,) = world.breaks()
    return found.id


@flow("a break is worked on", _unknown_charge, again=True, breaks=True)
def _work_on_break(world: World, break_id: UUID) -> None:
    told: dict[str, Any] = {"now": world.now, "actor": OPERATOR}
    operator.annotate(world.engine, break_id, words="who was that?", **told)
    operator.assign(world.engine, break_id, to="ann", **told)
    operator.resolve(world.engine, break_id, reason="at the counter", adjustment=usd(650), **told)


def _exchanged(world: World) -> list[str]:
    paid(world)
    references = convert(world)
    world.close_books()
    return references


@flow("an exchange is recorded", _exchanged, again=True)
def _exchange(world: World, references: list[str]) -> None:
    exchanges.record(
        world.engine, of_dollars(world), references,
        reason="moved to the euro account", now=world.now, actor=OPERATOR,
    )  # fmt: skip
