"""Flows of credit: it is granted, revoked, and expires."""

from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from billing.flows.credit import expiring, granting, revoking
from billing.ids import new_id
from tests.delivery.crash.flow import flow
from tests.delivery.crash.flows import OPERATOR, paid
from tests.scenarios.world import Subscriber, World

CREDIT: Final = "credit"


def _held(world: World, **more: Any) -> UUID:
    order = granting.GrantOrder(paid(world).customer, 500, "USD", "an outage", **more)
    return granting.grant(world.engine, order, now=world.now, actor=OPERATOR)


@flow("credit is granted", lambda w: (paid(w), new_id()), again=True, group=CREDIT)
def _grant(world: World, told: tuple[Subscriber, UUID]) -> None:
    order = granting.GrantOrder(told[0].customer, 500, "USD", "an outage", id=told[1])
    granting.grant(world.engine, order, now=world.now, actor=OPERATOR)


@flow("credit is revoked", _held, group=CREDIT)
def _revoke(world: World, grant_id: UUID) -> None:
    revoking.revoke(world.engine, grant_id, now=world.now, actor=OPERATOR)


@flow(
    "credit expires",
    lambda w: _held(w, expires=w.now + timedelta(seconds=1)),
    again=True,
    group=CREDIT,
)
def _expire(world: World, _: UUID) -> None:
    expiring.run(world.engine, now=world.now + timedelta(seconds=1), batch=100)
