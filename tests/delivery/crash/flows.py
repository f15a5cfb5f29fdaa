"""Flows of billing: cycles, charges, captures, refunds, customers, and requests of API callers."""

from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from billing.api.serving import ThreadWorker
from billing.flows.customers import customers
from billing.flows.payments import authorizations
from billing.flows.service import api_keys
from billing.flows.service.api_keys import Scope
from billing.flows.service.callers import Caller
from billing.flows.service.customers import CustomerApi
from billing.flows.service.orders import ChargeOrder
from billing.flows.service.payments import PaymentApi
from billing.flows.subscriptions.subscribing import SubscriptionOrder
from billing.rules.actor import Actor, ActorKind
from billing.workers.daemons.scheduler import Scheduler
from tests.delivery.crash import processes
from tests.delivery.crash.flow import flow, numbers
from tests.scenarios.money import give_back, one_off, usd
from tests.scenarios.world import Subscriber, World

OPERATOR: Final = Actor(ActorKind.CLI, "operator")
CALLER: Final = Caller("key_1", "shop")
NEXT: Final = numbers()
NOWHERE: Final = Path("/dev/null")
ROLES: Final = "scheduler and worker"
CUSTOMERS: Final = "customers"
API: Final = "requests of API callers"
DAY: Final = timedelta(days=1)


def tick(world: World, _: object = None) -> None:
    """Be a scheduler for one round."""
    Scheduler(world.runtime, world.metrics).tick()


def work(world: World, _: object = None) -> None:
    """Be a worker until the queue is empty."""
    processes.work(world)


def monthly(world: World, card: str = "pm_card_visa") -> Subscriber:
    return world.subscribed("monthly", card=card)


def paid(world: World, card: str = "pm_card_visa") -> Subscriber:
    subscriber = monthly(world, card)
    world.settle()
    assert world.payment(subscriber).state == "CAPTURED"
    return subscriber


# --- scheduler and worker -----------------------------------------------------------------------


@flow("a cycle is opened", monthly, group=ROLES)
def _open(world: World, _: object) -> None:
    tick(world)


def dispatched(world: World, card: str = "pm_card_visa", fault: str | None = None) -> Subscriber:
    subscriber = monthly(world, card)
    tick(world)
    if fault is not None:
        world.psp.fault(fault)
    return subscriber


flow("a charge", dispatched, group=ROLES)(work)
flow(
    "a charge that is declined",
    lambda w: dispatched(w, "pm_sbx_decline_1_then_ok"),
    group=ROLES,
)(work)
flow(
    "a charge whose answer is lost",
    lambda w: dispatched(w, fault="reset_after_commit"),
    group=ROLES,
)(work)


def _authorised(world: World) -> UUID:
    payment_id = one_off(world, usd(3000), capture_method="manual")
    world.settle()
    return payment_id


def _to_capture(world: World) -> UUID:
    payment_id = _authorised(world)
    with world.engine.begin() as conn:
        authorizations.request_capture(
            conn, payment_id, amount=usd(1800), now=world.now, actor=OPERATOR
        )
    tick(world)
    return payment_id


def _to_void(world: World) -> UUID:
    payment_id = _authorised(world)
    with world.engine.begin() as conn:
        authorizations.request_void(conn, payment_id, now=world.now, actor=OPERATOR, why="asked")
    tick(world)
    return payment_id


flow("a capture", _to_capture, group=ROLES)(work)
flow("a void", _to_void, group=ROLES)(work)


def _asked_back(world: World) -> UUID:
    return give_back(world, world.payment(paid(world)).id, usd(1000))


def _refund_dispatched(world: World) -> UUID:
    refund_id = _asked_back(world)
    tick(world)
    return refund_id


flow("a refund is dispatched", _asked_back, group=ROLES)(tick)
flow("a refund", _refund_dispatched, group=ROLES)(work)


# --- customers ----------------------------------------------------------------------------------


def card_of_nobody(world: World) -> str:
    """Return a payment method as a checkout page makes one."""
    return str(world.psp.post("payment_methods", type="card", **{"card[token]": "tok_visa"})["id"])


@flow(
    "a customer with a card",
    lambda w: (f"c{next(NEXT)}", card_of_nobody(w)),
    again=True,
    group=CUSTOMERS,
)
def create(world: World, told: tuple[str, str]) -> None:
    reference, card = told
    customers.create(world.runtime.context, name="Ada", external_id=reference, payment_method=card)


@flow("a customer whose card is refused", lambda _: f"c{next(NEXT)}", again=True, group=CUSTOMERS)
def _refused_card(world: World, reference: str) -> None:
    customers.create(
        world.runtime.context, name="Ada", external_id=reference, payment_method="pm_gone"
    )


def _lost(world: World) -> str:
    world.psp._control("POST", "faults", kind="reset_after_commit", times=1, match=_MAKING)
    return f"c{next(NEXT)}"


_MAKING: Final = {"method": "POST", "path": "/v1/customers"}


@flow("a customer whose answer is lost", _lost, again=True, group=CUSTOMERS)
def _lost_answer(world: World, reference: str) -> None:
    customers.create(world.runtime.context, name="Ada", external_id=reference)


def _never_arrived(world: World) -> str:
    """Return a customer whose call never arrived, after the provider has forgotten its key."""
    reference = f"c{next(NEXT)}"
    world.psp._control("POST", "faults", kind="reset_before", times=1, match=_MAKING)
    assert processes.forked(world, lambda w: _lost_answer(w, reference), NOWHERE)
    world._pin(world.now + 2 * DAY)
    return reference


flow("a customer whom the provider never made", _never_arrived, again=True, group=CUSTOMERS)(
    _lost_answer
)


def _waits_for_card(world: World) -> tuple[Subscriber, str]:
    subscriber = monthly(world, "pm_sbx_expired_card")
    world.settle()
    return subscriber, card_of_nobody(world)


@flow("a new card", _waits_for_card, again=True, group=API)
def _new_card(world: World, told: tuple[Subscriber, str]) -> None:
    customers.set_payment_method(world.runtime.context, told[0].customer, told[1])


# --- requests of API callers --------------------------------------------------------------------


def _payment_api(world: World) -> PaymentApi:
    return PaymentApi(world.runtime.context, ThreadWorker(world.runtime, world.metrics))


def with_key(world: World, subject: Any = None) -> tuple[str, Any]:
    return f"key-{next(NEXT)}", subject or str(world.customer()[0])


def _with_key_and_lost(world: World) -> tuple[str, Any]:
    keyed = with_key(world)
    world.psp.fault("reset_after_commit")
    return keyed


@flow("a caller's charge", with_key, again=True, group=API)
def charge_by_api(world: World, keyed: tuple[str, str]) -> None:
    order = ChargeOrder(2500, "USD", customer=keyed[1])
    _payment_api(world).charge(CALLER, keyed[0], order)


flow(
    "a caller's charge whose answer is lost",
    _with_key_and_lost,
    again=True,
    group=API,
)(charge_by_api)


@flow(
    "a caller's capture",
    lambda w: with_key(w, _authorised(w)),
    again=True,
    group=API,
)
def capture_by_api(world: World, keyed: tuple[str, UUID]) -> None:
    _payment_api(world).capture(CALLER, *keyed)


@flow(
    "a caller's refund",
    lambda w: with_key(w, w.payment(paid(w)).id),
    again=True,
    group=API,
)
def refund_by_api(world: World, keyed: tuple[str, UUID]) -> None:
    _payment_api(world).refund(CALLER, *keyed, amount=1000)


@flow(
    "a caller's customer",
    lambda w: with_key(w, card_of_nobody(w)),
    again=True,
    group=API,
)
def _customer(world: World, keyed: tuple[str, str]) -> None:
    key, card = keyed
    CustomerApi(world.runtime.context, world.runtime.outcomes.held).create_customer(
        CALLER, key, name="Ada", email=None, external_id=key, payment_method=card
    )


flow(
    "a caller's customer whose card is refused",
    lambda w: with_key(w, "pm_gone"),
    again=True,
    group=API,
)(_customer)


@flow("a caller's subscription", with_key, again=True, group=API)
def _subscription(world: World, keyed: tuple[str, str]) -> None:
    order = SubscriptionOrder(customer=keyed[1], plan="monthly", currency="USD")
    CustomerApi(world.runtime.context, world.runtime.outcomes.held).subscribe(
        CALLER, keyed[0], order
    )


@flow("a key for the API", lambda _: f"shop-{next(NEXT)}", group=API)
def _api_key(world: World, name: str) -> None:
    told: dict[str, Any] = {"wall": world.wall}
    made, key = api_keys.create(
        world.engine, name=name, scopes=(Scope.ADMIN,), pepper="p" * 32, actor=OPERATOR, **told
    )
    api_keys.recognise(world.engine, key, pepper="p" * 32, **told)
    api_keys.revoke(world.engine, made, actor=OPERATOR, why="done", **told)
