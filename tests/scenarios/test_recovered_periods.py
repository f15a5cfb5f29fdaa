"""Which periods a recovery opens: those that were charged, billed; those that weren't, unbilled.

A charge whose period can't be opened, and might be later, holds the recovery up: nothing may charge
that period again.
"""

from collections.abc import Sequence

from billing.flows.recovery import recovering
from billing.flows.recovery.finding import AdoptionResult, Done, RecoveryPlan, Why
from billing.flows.subscriptions import lifecycle
from tests.scenarios.backups import Backups, fence_of, recover
from tests.scenarios.test_changes import BASE, HEAD, LADDER, plan
from tests.scenarios.test_endings import BROKE
from tests.scenarios.test_operators import change
from tests.scenarios.world import World

HELD_BY_CATALOG = (AdoptionResult.HELD, Why.CANNOT_OPEN)


def try_to_recover(world: World) -> tuple[Sequence[Done], bool]:
    """Recover as the command does; return what became of each object, and whether it is open."""
    context = world.context().at_provider(world.provider)
    prepared = recovering.prepare(context)
    done = list(recovering.recover(context, prepared))
    return [(each.result, each.why) for each in done], recovering.finish(context, prepared, done)


def moved_to(price: str) -> str:
    version = f'effective = 2026-02-01\n  existing = "move"\n  price = {{ USD = "{price}" }}'
    return HEAD + plan("monthly", "1 month", BASE, version)


def test_a_charge_whose_period_cannot_be_opened_holds_the_recovery_up_until_it_can(
    world: World, backups: Backups
) -> None:
    world.publish(moved_to("0.10"))
    subscriber = world.subscribed("monthly")
    world.run_until("2026-01-30")
    restore = backups.take(world)
    world.publish(moved_to("12.00"))
    world.run_until("2026-02-04")
    assert world.psp.captures(subscriber) == 2

    restored = restore()
    assert try_to_recover(restored) == ([HELD_BY_CATALOG], False)
    assert len(restored.cycles(subscriber)) == 1
    restored.tick()
    assert restored.psp.captures(subscriber) == 2

    restored.publish(moved_to("12.00"))
    assert try_to_recover(restored) == ([(AdoptionResult.PARKED, None)], True)
    restored.tick()
    assert restored.kinds(subscriber) == ["regular", "regular"]
    assert restored.psp.captures(subscriber) == 2


def test_a_charge_at_a_price_that_was_published_after_the_backup_is_parked_by_that_name(
    world: World, backups: Backups
) -> None:
    """Published again, the price holds for periods that start after that."""
    world.publish(HEAD + plan("monthly", "1 month", BASE))
    subscriber = world.subscribed("monthly")
    world.run_until("2026-01-28")
    restore = backups.take(world)
    world.publish(moved_to("12.00"))
    world.run_until("2026-02-04")

    restored = restore()
    restored.publish(moved_to("12.00"))
    assert try_to_recover(restored) == ([(AdoptionResult.PARKED, None)], True)
    assert [row.kind for row in restored.breaks()] == ["amount_mismatch"]
    restored.tick()
    assert restored.psp.captures(subscriber) == 2


def test_a_subscription_that_was_unpaid_and_was_charged_holds_the_recovery_up_until_it_goes_on(
    world: World, backups: Backups
) -> None:
    world.publish(HEAD + plan("monthly", "1 month", BASE, extra=LADDER.format("unpaid")))
    subscriber = world.subscribed("monthly")
    world.run_until("2026-01-10")
    world.new_card(subscriber, BROKE)
    world.run_until("2026-03-03")
    assert world.status(subscriber) == "unpaid"
    restore = backups.take(world)
    change(world, subscriber, lifecycle.resume)
    world.new_card(subscriber)
    world.run_until("2026-03-05")
    taken = world.psp.captures(subscriber)

    restored = restore()
    context = restored.context().at_provider(restored.provider)
    assert RecoveryPlan.HOLD in [each.plan for each in recovering.prepare(context).items]
    done, is_open = try_to_recover(restored)
    assert (AdoptionResult.HELD, Why.UNPAID) in done
    assert not is_open

    change(restored, subscriber, lifecycle.resume)
    restored.tick()
    assert restored.psp.captures(subscriber) == taken
    recover(restored)
    restored.run_until("2026-03-20")
    assert restored.psp.captures(subscriber) == taken
    assert restored.payment(subscriber).state == "CAPTURED"


def test_a_week_that_was_skipped_after_the_backup_is_not_billed(
    world: World, backups: Backups
) -> None:
    world.publish(HEAD + plan("weekly", "1 week", BASE, extra='catch_up = "skip"'))
    subscriber = world.subscribed("weekly")
    world.run_until("2026-01-07")
    restore = backups.take(world)
    world.jump_to("2026-01-16")
    assert world.settle()
    assert world.kinds(subscriber) == ["regular", "skipped", "regular"]

    restored = restore()
    recover(restored)
    restored.run_until("2026-01-18")
    assert restored.kinds(subscriber) == ["regular", "skipped", "regular"]
    assert restored.psp.captures(subscriber) == 2
    restored.assert_everything_adds_up()


def test_a_week_that_was_paused_after_the_backup_is_not_billed(
    world: World, backups: Backups
) -> None:
    world.publish(HEAD + plan("weekly", "1 week", BASE))
    subscriber = world.subscribed("weekly")
    world.run_until("2026-01-07")
    restore = backups.take(world)
    change(world, subscriber, lifecycle.pause)
    world.run_until("2026-01-10")
    change(world, subscriber, lifecycle.resume)
    world.run_until("2026-01-16")
    assert world.psp.captures(subscriber) == 2

    restored = restore()
    recover(restored)
    assert fence_of(restored).passes
    restored.run_until("2026-01-18")
    assert restored.kinds(subscriber) == ["regular", "skipped", "regular"]
    assert restored.psp.captures(subscriber) == 2
    restored.assert_everything_adds_up()
