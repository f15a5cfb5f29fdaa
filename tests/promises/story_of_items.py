"""The part of the story that is about items and credit: what is sold, granted, used and waived."""

from datetime import datetime
from typing import Final
from uuid import UUID

from billing.flows.credit import revoking
from billing.ids import new_id
from billing.ledger import recipes
from billing.rules.actor import Actor, ActorKind
from billing.rules.credit import CreditSource
from billing.rules.money import Money
from billing.store.journal import posting
from billing.store.payments import credit
from tests.scenarios.test_facts import FREE, SMALL, TEAM
from tests.scenarios.test_operators import cancel
from tests.scenarios.world import Subscriber, World, at

SOLD: Final = (TEAM, SMALL, FREE)
OPERATOR: Final = Actor(ActorKind.CLI, "ann")


def publish(world: World) -> None:
    """Put the plans with items on sale."""
    for plans in SOLD:
        world.publish(plans)


def subscribe(world: World) -> None:
    """Let some subscribe to plans with items and to a free one; some hold credit from the start.

    The card of one of them declines, so that what credit didn't pay is written off. What another
    one holds expires, what a third one held is revoked.
    """
    world.subscribed("team")
    world.subscribed("team", items={"seats": 7})
    world.subscribed("free")
    credited = world.subscribed("notes", quantity=2)
    grant(world, credited, 1500, subscription=credited)
    grant(world, credited, 1600)
    grant(world, world.subscribed("notes"), 5000, expires=at("2026-01-15"))
    grant(world, world.subscribed("free"), 1234, expires=at("2036-01-01"))
    taken_back = grant(world, world.subscribed("free"), 1100)
    revoking.revoke(world.engine, taken_back, now=world.now, actor=OPERATOR)
    grant(world, world.subscribed("notes"), 980, expires=at("2026-03-01"))
    grant(world, world.subscribed("notes", card="pm_card_chargeCustomerFail"), 500)


def void(world: World) -> None:
    """Cancel where an invoice is open: it is void, and its credit is returned."""
    customer = world.subscribed("notes", card="pm_card_chargeCustomerFail")
    grant(world, customer, 400)
    world.settle()
    cancel(world, customer)


def grant(
    world: World,
    customer: Subscriber,
    amount: int,
    *,
    subscription: Subscriber | None = None,
    expires: datetime | None = None,
) -> UUID:
    """Give credit to a customer, now."""
    grant_id = new_id()
    with world.engine.begin() as conn:
        credit.add_grants(
            conn,
            [
                {
                    "id": grant_id,
                    "customer_id": customer.customer_id,
                    "currency": "USD",
                    "amount": amount,
                    "source": CreditSource.GOODWILL,
                    "priority": 50,
                    "subscription_id": None
                    if subscription is None
                    else subscription.subscription_id,
                    "effective_at": world.now,
                    "expires_at": expires,
                    "reason": "an outage",
                    "invoice_id": None,
                    "actor": "cli:ann",
                    "created_at": world.now,
                }
            ],
        )
        entry = recipes.credit_granted(
            grant_id=grant_id,
            customer_id=customer.customer_id,
            amount=Money(amount, "USD"),
            effective_at=world.now,
        )
        posting.post(conn, [entry])
    return grant_id
