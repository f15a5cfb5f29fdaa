"""Commands that would open cycles are refused while the database is behind the provider.

The catch-up policy could skip a period that was charged.
"""

from collections.abc import Callable

import pytest
from sqlalchemy import text

from billing.errors import Unavailable
from billing.flows import fence
from billing.flows.fence import Recovering
from billing.flows.subscriptions import lifecycle
from billing.rules.actor import Actor, ActorKind
from tests.scenarios.backups import Backups, recover
from tests.scenarios.test_changes import BASE, HEAD, plan
from tests.scenarios.test_operators import release
from tests.scenarios.world import Subscriber, World

OPERATOR = Actor(ActorKind.CLI, "operator")


@pytest.fixture
def forgetful(world: World, backups: Backups) -> tuple[World, Subscriber]:
    """A restored world whose subscriber was charged for two weeks that it doesn't know."""
    world.publish(HEAD + plan("weekly", "1 week", BASE, extra='catch_up = "skip"'))
    subscriber = world.subscribed("weekly")
    world.run_until("2026-01-07")
    restore = backups.take(world)
    world.run_until("2026-01-16")
    restored = restore()
    assert not fence.passes(restored.context(), restored.provider)
    return restored, subscriber


def cancel_now(world: World, subscriber: Subscriber, *, forgive: bool = False) -> None:
    lifecycle.cancel(
        world.engine,
        subscriber.reference,
        at_period_end=False,
        now=world.now,
        actor=OPERATOR,
        why="story",
        forgive=forgive,
    )


def bill_missed(world: World, subscriber: Subscriber) -> None:
    release(world, subscriber, "bill")


def skip_missed(world: World, subscriber: Subscriber) -> None:
    release(world, subscriber, "skip")


@pytest.mark.parametrize("ask", [cancel_now, bill_missed, skip_missed])
def test_no_command_opens_a_cycle_while_recovering(
    forgetful: tuple[World, Subscriber], ask: Callable[[World, Subscriber], None]
) -> None:
    restored, subscriber = forgetful
    with restored.engine.begin() as conn:
        conn.execute(text("UPDATE subscriptions SET parked_at = now(), parked_reason = 'catch_up'"))
    with pytest.raises(Recovering):
        ask(restored, subscriber)
    assert restored.kinds(subscriber) == ["regular"]
    recover(restored)
    assert restored.kinds(subscriber) == ["regular"] * 3
    assert restored.psp.captures(subscriber) == 3


def test_no_command_opens_a_cycle_before_the_database_was_compared(
    world: World, backups: Backups
) -> None:
    world.publish(HEAD + plan("weekly", "1 week", BASE))
    subscriber = world.subscribed("weekly")
    world.run_until("2026-01-02")
    restore = backups.take(world)
    world.run_until("2026-01-16")
    restored = restore()
    with pytest.raises(Unavailable):
        cancel_now(restored, subscriber)
    assert restored.kinds(subscriber) == ["regular"]


def test_to_cancel_and_forgive_while_recovering_opens_nothing(
    forgetful: tuple[World, Subscriber],
) -> None:
    restored, subscriber = forgetful
    cancel_now(restored, subscriber, forgive=True)
    assert restored.status(subscriber) == "canceled"
    assert restored.kinds(subscriber) == ["regular"]
    recover(restored)
    restored.run_until("2026-02-01")
    assert restored.psp.captures(subscriber) == 3
