"""Histories and the audit log name whoever did something with the same text."""

import pytest

from billing.flows.payments import authorizations
from billing.rules.actor import Actor, ActorKind
from billing.store.access import audit
from billing.store.payments import payment_history
from tests.scenarios.money import one_off, usd
from tests.scenarios.world import World


@pytest.mark.parametrize("kind", ActorKind)
def test_history_and_audit_log_name_the_same_actor(world: World, kind: ActorKind) -> None:
    actor = Actor(kind, "ada")
    payment_id = one_off(world, usd(5000))

    with world.engine.begin() as conn:
        authorizations.request_void(conn, payment_id, now=world.now, actor=actor, why="sold out")
        audit.record(conn, actor=actor, action="payment.void", subject=str(payment_id))

    with world.engine.connect() as conn:
        (move,) = payment_history.transitions(conn, payment_id)
        (line,) = audit.page(conn, subject=str(payment_id))
    assert (move.actor, line.actor) == (str(actor), str(actor))


def test_what_the_engine_does_by_itself_has_the_name_of_its_process(world: World) -> None:
    payment_id = one_off(world, usd(5000))
    world.settle()

    with world.engine.connect() as conn:
        actors = {move.actor for move in payment_history.transitions(conn, payment_id)}
    assert actors == {"worker"}
