"""Flows of customers who are at two accounts: arriving, leaving, moving."""

from typing import Final

from billing.flows.customers import customers, moving
from billing.flows.subscriptions import naming
from tests.delivery.crash.flow import OTHER_ACCOUNT as OTHER
from tests.delivery.crash.flow import flow
from tests.delivery.crash.flows import OPERATOR, card_of_nobody, monthly, tick, work
from tests.scenarios.world import Subscriber, World

ACCOUNTS: Final = "two accounts"
WALLET: Final = "fake-paypal-billing-agreement-nonce"


def _declined_there(world: World) -> tuple[Subscriber, str]:
    """Return who was declined at the other account, and a card of theirs for the usual one."""
    customer_id, there = world.customer("sbx_card_insufficient", provider=OTHER)
    subscriber = world.subscribe(customer_id, there, "monthly")
    world.settle()
    assert world.payment(subscriber).state == "CREATED"
    return subscriber, card_of_nobody(world)


def _with_wallet(world: World, *, make_default: bool) -> Subscriber:
    """Return who was declined at the usual account, and has a wallet at the other one."""
    subscriber = monthly(world, "pm_sbx_insufficient")
    world.settle()
    customers.set_payment_method(
        world.context(), subscriber.customer, WALLET, provider=OTHER, make_default=make_default
    )
    return subscriber


def _leaving(world: World) -> Subscriber:
    subscriber = _with_wallet(world, make_default=True)
    tick(world)
    return subscriber


@flow("a card at one more account", _declined_there, again=True, group=ACCOUNTS, other_account=True)
def _arrive(world: World, told: tuple[Subscriber, str]) -> None:
    subscriber, card = told
    customers.set_payment_method(
        world.runtime.context, subscriber.customer, card, provider=world.provider
    )


flow("a payment leaves an account", _leaving, group=ACCOUNTS, other_account=True)(work)


@flow(
    "an account is named",
    lambda w: _with_wallet(w, make_default=False),
    again=True,
    group=ACCOUNTS,
    other_account=True,
)
def _name(world: World, subscriber: Subscriber) -> None:
    naming.name_account(
        world.engine, subscriber.reference, OTHER, now=world.now, actor=OPERATOR, why="PayPal"
    )


@flow("payments are moved", _declined_there, again=True, group=ACCOUNTS, other_account=True)
def _move(world: World, told: tuple[Subscriber, str]) -> None:
    subscriber, card = told
    moving.move(
        world.runtime.context,
        subscriber.customer,
        world.provider,
        token=card,
        actor=OPERATOR,
        why="we leave",
    )
