"""A world in which a bit of everything needs somebody."""

from dataclasses import dataclass
from datetime import timedelta

from billing.flows.customers import customers
from billing.flows.refunds import requesting
from billing.rules.actor import Actor, ActorKind
from billing.rules.money import Money
from tests.scenarios.world import Subscriber, World

LONG_NAME = "Ada " + "Wolfeschlegelsteinhausenbergerdorff " * 3
JAPANESE_NAME = "\u9577\u8c37\u5ddd \u771f\u7531\u7f8e"


@dataclass(frozen=True)
class Scene:
    """Who there is."""

    ada: Subscriber
    bob: Subscriber
    cid: Subscriber
    dora: Subscriber
    eve: Subscriber


def prepare(world: World) -> Scene:
    """Let a good month pass with declines, a dispute, a parked payment, breaks and a refund."""

    def subscribed(name: str, card: str, email: str | None = None) -> Subscriber:
        customer_id = customers.create(
            world.context(), name=name, email=email, payment_method=card,
            external_id=(email or name).partition("@")[0].lower()[:20],
        )  # fmt: skip
        with world.engine.connect() as conn:
            row = customers.existing_customer(conn, str(customer_id))
        assert row.provider_customer_id is not None
        return world.subscribe(
            customer_id, row.provider_customer_id, "video-premium",
            external_id=f"sub-{(email or name).partition('@')[0].lower()[:20]}",
        )  # fmt: skip

    scene = Scene(
        ada=subscribed(LONG_NAME, "pm_card_visa", "ada@example.com"),
        bob=subscribed(JAPANESE_NAME, "pm_sbx_ok_then_decline_9_then_ok", "bob@example.com"),
        cid=subscribed("Cid", "pm_sbx_ok_then_expired_card", "cid@example.com"),
        dora=subscribed("Dora", "pm_card_createDispute", "dora@example.com"),
        eve=subscribed("Eve", "pm_card_mastercard", "eve@example.com"),
    )
    world.run_until("2026-01-20")
    world.rename_at_provider(scene.eve, "cus_that_is_not_there")
    world.run_until("2026-02-10")
    for amount in (700, 700, 1200):
        world.psp.take_money(amount)
    payment = world.payment(scene.ada, 0)
    with world.engine.begin() as conn:
        requesting.request(
            conn, payment.id, amount=Money(300, "USD"), reason="too much",
            actor=Actor(ActorKind.CLI, "ann"), now=world.now,
        )  # fmt: skip
    world.run_until("2026-02-14")
    world.wait(timedelta(minutes=1))
    return scene
