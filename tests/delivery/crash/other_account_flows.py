"""Flows at the other provider: it has no payment before money moves, and a key that is sent again
tells the present state.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Final
from uuid import UUID

from billing.flows.customers import customers
from billing.flows.payments import authorizations
from billing.flows.service.customers import CustomerApi
from billing.workers.daemons.reconciler import Reconciler
from tests.delivery.crash import processes
from tests.delivery.crash.flow import OTHER_ACCOUNT, Prepare, Run
from tests.delivery.crash.flow import flow as any_flow
from tests.delivery.crash.flows import (
    CALLER,
    DAY,
    NEXT,
    NOWHERE,
    OPERATOR,
    capture_by_api,
    charge_by_api,
    refund_by_api,
    tick,
    with_key,
    work,
)
from tests.scenarios.money import give_back, one_off, usd
from tests.scenarios.world import Subscriber, Till, World

CARD: Final = "fake-valid-visa-nonce"
DECLINED: Final = "sbx_card_insufficient_1_then_ok"
WALLET: Final = "fake-paypal-billing-agreement-nonce"
GONE: Final = "fake-consumed-nonce"
ROLES: Final = "worker at the other provider"
CUSTOMERS: Final = "customers of the other provider"
API: Final = "requests of API callers at the other provider"
FORGOTTEN: Final = timedelta(days=31)  # longer than it keeps keys


def flow(
    name: str, prepare: Prepare, *, group: str | None = None, **more: bool
) -> Callable[[Run], Run]:
    """Register a flow in a world with the other account."""
    return any_flow(name, prepare, group=group, other_account=True, **more)


def till(world: World) -> Till:
    there = world.psps[OTHER_ACCOUNT]
    assert isinstance(there, Till)
    return there


def there(world: World, card: str = CARD) -> Subscriber:
    """Return who begins to be billed at the other provider."""
    customer_id, theirs = world.customer(card, provider=OTHER_ACCOUNT)
    return world.subscribe(customer_id, theirs, "monthly")


def dispatched(world: World, card: str = CARD, fault: str | None = None) -> Subscriber:
    subscriber = there(world, card)
    tick(world)
    if fault is not None:
        till(world).fault(fault)
    return subscriber


flow("a charge at the other provider", dispatched, group=ROLES)(work)
flow(
    "a charge at the other provider that is declined",
    lambda w: dispatched(w, DECLINED),
    group=ROLES,
)(work)
flow(
    "a charge at the other provider whose answer is lost",
    lambda w: dispatched(w, fault="reset_after_commit"),
    group=ROLES,
)(work)


def single(world: World, card: str = CARD, *, capture_method: str = "automatic") -> UUID:
    """Return a charge without an invoice at the other provider, not sent yet."""
    return one_off(world, usd(3000), card, capture_method=capture_method, provider=OTHER_ACCOUNT)


def _authorised(world: World) -> UUID:
    payment_id = single(world, capture_method="manual")
    world.settle()
    return payment_id


def _to_capture(world: World) -> None:
    payment_id = _authorised(world)
    with world.engine.begin() as conn:
        authorizations.request_capture(
            conn, payment_id, amount=usd(1800), now=world.now, actor=OPERATOR
        )
    tick(world)


def _to_void(world: World) -> None:
    payment_id = _authorised(world)
    with world.engine.begin() as conn:
        authorizations.request_void(conn, payment_id, now=world.now, actor=OPERATOR, why="asked")
    tick(world)


flow("a capture at the other provider", _to_capture, group=ROLES)(work)
flow("a void at the other provider", _to_void, group=ROLES)(work)


def _captured(world: World, card: str = WALLET) -> UUID:
    """Return a payment by a wallet, which may be given back at once; a card's only once settled."""
    payment_id = single(world, card)
    world.settle()
    return payment_id


def _to_give_back(world: World, card: str = WALLET, fault: str | None = None) -> None:
    give_back(world, _captured(world, card), usd(1000))
    tick(world)
    if fault is not None:
        till(world).fault_refunds(fault)


flow("a refund at the other provider", _to_give_back, group=ROLES)(work)
flow(
    "a refund at the other provider whose answer is lost",
    lambda w: _to_give_back(w, fault="reset_after_commit"),
    group=ROLES,
)(work)


# --- a key that was forgotten -------------------------------------------------------------------


def _unanswered(world: World, fault: str) -> None:
    """Let a charge's answer be lost for longer than the provider keeps its key."""
    single(world)
    tick(world)
    till(world).fault(fault)
    assert processes.forked(world, work, NOWHERE) == 0
    world._pin(world.now + FORGOTTEN)
    world.wait(processes.LONGEST_HOLD)
    tick(world)


flow(
    "a charge that is looked up at the other provider",
    lambda w: _unanswered(w, "reset_after_commit"),
    group="keys that were forgotten",
)(work)
flow(
    "a charge that the other provider never made",
    lambda w: _unanswered(w, "reset_before"),
    group="keys that were forgotten",
)(work)


# --- customers ----------------------------------------------------------------------------------


def _with_nonce(world: World) -> tuple[str, str]:
    """Return the name of a customer and what their browser made of a card."""
    return f"o{next(NEXT)}", till(world).nonce()


@flow("a customer of the other provider", _with_nonce, again=True, group=CUSTOMERS)
def _create(world: World, told: tuple[str, str | None]) -> None:
    reference, nonce = told
    customers.create(
        world.runtime.context,
        name="Ada", external_id=reference, payment_method=nonce, provider=OTHER_ACCOUNT,
    )  # fmt: skip


flow(
    "a customer of the other provider whose card is refused",
    lambda _: (f"o{next(NEXT)}", GONE),
    again=True,
    group=CUSTOMERS,
)(_create)


def _lost(world: World) -> tuple[str, None]:
    till(world).fault_customers("reset_after_commit")
    return f"o{next(NEXT)}", None


flow(
    "a customer of the other provider whose answer is lost",
    _lost,
    again=True,
    group=CUSTOMERS,
)(_create)


def _waits_for_card(world: World) -> tuple[Subscriber, str]:
    subscriber = there(world, "sbx_card_expired")
    world.settle()
    return subscriber, till(world).nonce()


@flow("a new card at the other provider", _waits_for_card, again=True, group=CUSTOMERS)
def _new_card(world: World, told: tuple[Subscriber, str]) -> None:
    subscriber, nonce = told
    customers.set_payment_method(
        world.runtime.context, subscriber.customer, nonce, provider=OTHER_ACCOUNT
    )


# --- requests of API callers --------------------------------------------------------------------


def _payer(world: World) -> tuple[str, str]:
    return with_key(world, str(world.customer(CARD, provider=OTHER_ACCOUNT)[0]))


def _payer_and_lost(world: World) -> tuple[str, str]:
    keyed = _payer(world)
    till(world).fault("reset_after_commit")
    return keyed


flow("a caller's charge at the other provider", _payer, again=True, group=API)(charge_by_api)
flow(
    "a caller's charge at the other provider whose answer is lost",
    _payer_and_lost,
    again=True,
    group=API,
)(charge_by_api)
flow(
    "a caller's capture at the other provider",
    lambda w: with_key(w, _authorised(w)),
    again=True,
    group=API,
)(capture_by_api)
flow(
    "a caller's refund at the other provider",
    lambda w: with_key(w, _captured(w)),
    again=True,
    group=API,
)(refund_by_api)


@flow(
    "a caller's customer of the other provider",
    lambda w: with_key(w, till(w).nonce()),
    again=True,
    group=API,
)
def _customer(world: World, keyed: tuple[str, str]) -> None:
    CustomerApi(world.runtime.context, world.runtime.outcomes.held).create_customer(
        CALLER, keyed[0],
        name="Ada", email=None, external_id=keyed[0],
        payment_method=keyed[1], provider=OTHER_ACCOUNT,
    )  # fmt: skip


# --- reconciliation -----------------------------------------------------------------------------


def _paid_out(world: World) -> None:
    single(world)
    world.settle()
    world._pin(world.now + 4 * DAY)


@flow("the reconciler of the other provider", _paid_out, again=True, grows=True)
def _reconcile(world: World, _: object) -> None:
    Reconciler(world.runtime, world.metrics).tick()
