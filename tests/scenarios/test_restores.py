"""What else was under way when the backup was made: captures, voids, accounts, what wasn't sent."""

from pathlib import Path
from uuid import UUID

import pytest
from prometheus_client import CollectorRegistry

from billing.errors import Unavailable
from billing.flows import fence
from billing.flows.customers import customers, moving
from billing.flows.payments import authorizations
from billing.flows.recovery import recovering
from billing.flows.recovery.finding import AdoptionResult, Why
from billing.rules.actor import Actor, ActorKind
from billing.rules.reconciliation.knowledge import FenceState
from billing.sandbox import SandboxServer
from billing.store.identity import engine_id
from billing.workers.daemons.scheduler import Scheduler
from billing.workers.daemons.webhooks import Webhooks
from billing.workers.runtime.metrics import ProcessMetrics
from tests.conftest import Admin
from tests.scenarios.backups import Backups, as_after_a_restart, fence_of, recover
from tests.scenarios.money import one_off, paid, payment_row, usd
from tests.scenarios.world import Subscriber, World

OPERATOR = Actor(ActorKind.CLI, "operator")


def hears_events(world: World) -> None:
    """Read the provider's list of events, as the reconciler's process does, and handle them."""
    webhooks = Webhooks(world.runtime, ProcessMetrics(CollectorRegistry(), "webhooks", "0"))
    webhooks.sweep()
    webhooks.handle_due()


# --- captures and voids of after the backup -----------------------------------------------------


@pytest.fixture
def held(world: World) -> list[UUID]:
    """Two payments that are authorised."""
    payments = [one_off(world, usd(700), capture_method="manual") for _ in range(2)]
    for each in payments:
        world.charge(each)
    return payments


def capture(world: World, payment_id: UUID) -> None:
    with world.engine.begin() as conn:
        authorizations.request_capture(conn, payment_id, now=world.now, actor=OPERATOR)
    world.charge(payment_id)


def void(world: World, payment_id: UUID) -> None:
    with world.engine.begin() as conn:
        authorizations.request_void(conn, payment_id, now=world.now, actor=OPERATOR, why="")
    world.charge(payment_id)


@pytest.fixture
def restored(world: World, backups: Backups, held: list[UUID]) -> World:
    """A world that forgot that the first was captured, the second voided, and one more paid."""
    restore = backups.take(world)
    capture(world, held[0])
    void(world, held[1])
    paid(world)
    restored = restore()
    recover(restored)
    assert [payment_row(restored, each).state for each in held] == ["AUTHORIZED", "AUTHORIZED"]
    return restored


def test_captures_and_voids_are_learned_from_the_providers_events(
    restored: World, held: list[UUID]
) -> None:
    hears_events(restored)
    assert [payment_row(restored, each).state for each in held] == ["CAPTURED", "FAILED"]
    restored.assert_promises_hold()
    assert restored.psp.captured() == {"USD": 3800}


def test_a_capture_and_a_void_that_are_asked_for_again_change_nothing(
    restored: World, held: list[UUID]
) -> None:
    capture(restored, held[0])
    void(restored, held[1])
    assert [payment_row(restored, each).state for each in held] == ["CAPTURED", "FAILED"]
    restored.assert_promises_hold()
    assert restored.psp.captured() == {"USD": 3800}


def test_a_void_of_what_was_captured_gives_no_money_up(restored: World, held: list[UUID]) -> None:
    void(restored, held[0])
    hears_events(restored)
    restored.settle()
    restored.close_books()
    assert restored.psp.captured() == {"USD": 3800}
    booked = payment_row(restored, held[0]).state in ("CAPTURED", "SETTLED")
    assert booked or restored.breaks()
    restored.assert_promises_hold()


# --- several accounts ---------------------------------------------------------------------------


@pytest.mark.usefixtures("apart")
def test_one_account_is_behind_and_the_other_charges_on(
    two: World, admin: Admin, db_url: str, sandbox: SandboxServer, tmp_path: Path
) -> None:
    here = paid(two)
    there = two.subscribe(*two.customer(provider="eu"), "monthly")
    two.settle()
    backups = Backups(admin, db_url, sandbox.url, tmp_path)
    try:
        restore = backups.take(two)
        lost = two.customer(provider="eu")
        assert lost

        restored = restore()
        restored.jump_to("2026-02-01")
        for name in ("stripe", "eu"):
            fence.passes(restored.context(), name)
        scheduler = Scheduler(
            restored.runtime, ProcessMetrics(CollectorRegistry(), "scheduler", "0")
        )
        assert scheduler._open(restored.now, 100).opened == 1
        for payment_id in restored.dispatch():
            restored.charge(payment_id)
        assert fence_of(restored, "eu").state is FenceState.RECOVERING
        assert restored.psp.captures(here) == 2
        assert restored.psps["eu"].captures(there) == 1

        recover(restored, "eu")
        assert restored.settle()
        assert restored.psps["eu"].captures(there) == 2
        restored.assert_everything_adds_up()
    finally:
        backups.close()


# --- what the provider never had ----------------------------------------------------------------


def test_a_subscription_whose_customer_was_never_made_there_holds_nothing_up(
    world: World, backups: Backups
) -> None:
    """A plan and a customer without an object at the provider, when the backup is restored."""
    subscriber = paid(world)
    restored = backups.take(world)()
    restored.publish(NEW_PLAN)
    late = restored.subscribed("new")
    assert restored.settle()
    assert fence_of(restored).passes
    assert [restored.psp.captures(each) for each in (subscriber, late)] == [1, 1]
    restored.assert_everything_adds_up()


NEW_PLAN = """
product = "News"

[[plan]]
code = "new"
every = "1 week"

  [[plan.version]]
  effective = 2026-01-01
  price = { USD = "4.00" }
"""


# --- who can't be asked -------------------------------------------------------------------------


def test_status_says_why_an_account_was_not_compared(world: World) -> None:
    paid(world)
    as_after_a_restart(world)
    world.psp._control(
        "POST", "faults", kind="error_500_uncommitted", times=50, match={"method": "GET"}
    )
    assert not fence.passes(world.context(), world.provider)
    found = fence_of(world)
    assert not found.passes
    assert found.evidence["error"]
    world.psp.heal()
    assert fence.passes(world.context(), world.provider)
    assert "error" not in fence_of(world).evidence


def test_a_recovery_without_an_answer_changes_nothing_and_is_run_again(
    world: World, backups: Backups
) -> None:
    subscribers: list[Subscriber] = [paid(world) for _ in range(2)]
    restore = backups.take(world)
    world.run_until("2026-02-02")
    restored = restore()
    assert not fence.passes(restored.context(), restored.provider)
    restored.psp._control(
        "POST", "faults", kind="error_500_uncommitted", times=50, match={"method": "GET"}
    )
    with pytest.raises(Unavailable):
        recovering.prepare(restored.context().at_provider(restored.provider))
    assert fence_of(restored).state is FenceState.RECOVERING
    restored.psp.heal()
    recover(restored)
    assert [restored.psp.captures(each) for each in subscribers] == [2, 2]
    restored.assert_everything_adds_up()


# --- a database that is set back while it is open -----------------------------------------------


def test_a_tail_of_lost_commits_is_noticed_and_adopted(world: World, backups: Backups) -> None:
    """A replica that was promoted without the last commits: the newest charges are missing."""
    subscribers = [paid(world) for _ in range(3)]
    world.jump_to("2026-02-01")
    world.open()
    first, *rest = world.dispatch()
    world.charge(first)
    restore = backups.take(world)
    for each in rest:
        world.charge(each)

    restored = restore()
    restored.wait(restored.policy.dispatch_window)
    assert restored.settle() is False
    assert fence_of(restored).state is FenceState.RECOVERING
    assert len(recover(restored)) == 2
    assert restored.settle()
    assert [restored.psp.captures(each) for each in subscribers] == [2, 2, 2]
    restored.assert_everything_adds_up()


# --- cycles -------------------------------------------------------------------------------------


def test_a_period_that_was_skipped_stays_skipped(world: World, backups: Backups) -> None:
    world.publish(SKIPPING)
    subscriber = world.subscribed("weekly")
    world.run_until("2026-01-09")
    restore = backups.take(world)
    world.jump_to("2026-02-10")
    assert world.settle()
    assert "skipped" in world.kinds(subscriber)
    taken = world.psp.captures(subscriber)

    restored = restore()
    recover(restored)
    assert restored.kinds(subscriber) == world.kinds(subscriber)
    assert restored.settle()
    assert restored.psp.captures(subscriber) == taken
    restored.assert_everything_adds_up()


def test_a_charge_of_a_period_that_does_not_exist_opens_no_cycle(world: World) -> None:
    subscriber = paid(world)
    with world.engine.connect() as conn:
        engine = str(engine_id(conn))
    world.jump_to("2026-02-10")
    foreign = {
        "engine": engine,
        "payment": "0190b0b0-0000-7000-8000-000000000000",
        "subscription": subscriber.reference,
    }
    world.psp.take_money(500, metadata=foreign)
    as_after_a_restart(world)
    (done,) = recover(world)
    assert (done.result, done.why) == (AdoptionResult.PASSED_OVER, Why.NO_CYCLE)
    assert len(world.cycles(subscriber)) == 1
    assert world.settle()
    assert world.psp.captures(subscriber) == 2


SKIPPING = """
product = "Papers"

[[plan]]
code = "weekly"
every = "1 week"
catch_up = "skip"

  [[plan.version]]
  effective = 2026-01-01
  price = { USD = "2.50" }
"""


@pytest.mark.usefixtures("apart")
@pytest.mark.parametrize("compared_first", ["stripe", "braintree"])
def test_who_moved_after_the_backup_is_charged_by_neither_account_again(
    both: World,
    admin: Admin,
    db_url: str,
    sandbox: SandboxServer,
    tmp_path: Path,
    compared_first: str,
) -> None:
    """The backup doesn't know that the customer is at the second account at all."""
    subscriber = paid(both)
    backups = Backups(admin, db_url, sandbox.url, tmp_path)
    try:
        restore = backups.take(both)
        nonce = "fake-paypal-billing-agreement-nonce"
        operator = Actor(ActorKind.CLI, "operator")
        moving.move(
            both.context(), subscriber.customer, "braintree", token=nonce, actor=operator, why=""
        )
        both.run_until("2026-02-02")
        assert [each.provider for each in both.payments(subscriber)] == ["stripe", "braintree"]

        restored = restore()
        fence.passes(restored.context(), compared_first)
        for _ in range(3):
            restored.tick()
            restored.wait(restored.policy.dispatch_window)
        assert fence_of(restored).passes
        assert fence_of(restored, "braintree").state is FenceState.RECOVERING
        assert restored.psp.captures(subscriber) == 1

        recover(restored, "braintree")
        assert restored.settle()
        assert [each.provider for each in restored.payments(subscriber)] == ["stripe", "braintree"]
        assert [str(each.state) for each in restored.payments(subscriber)] == ["CAPTURED"] * 2
        assert restored.psp.captures(subscriber) == 1
        restored.run_until("2026-02-07")
        restored.assert_everything_adds_up()
    finally:
        backups.close()


@pytest.mark.usefixtures("apart")
def test_an_attempt_that_is_open_at_one_account_is_looked_up_before_the_others_charge_is_adopted(
    both: World, admin: Admin, db_url: str, sandbox: SandboxServer, tmp_path: Path
) -> None:
    subscriber = paid(both)
    both.run_until("2026-01-31 23:00")
    both.jump_to("2026-02-01")
    both.open()
    (payment_id,) = both.dispatch()
    sending = both.begin(payment_id)  # its worker dies before the call
    assert sending is not None
    backups = Backups(admin, db_url, sandbox.url, tmp_path)
    try:
        restore = backups.take(both)
        nonce = "fake-paypal-billing-agreement-nonce"
        customers.set_payment_method(
            both.context(), subscriber.customer, nonce, provider="braintree"
        )
        both.jump_to("2026-02-03")  # the key is forgotten, and the attempt proven absent
        both.wait(both.policy.longest_hold)
        assert both.settle()
        assert [each.provider for each in both.payments(subscriber)] == ["stripe", "braintree"]

        restored = restore()
        for _ in range(3):
            restored.tick()
            restored.wait(restored.policy.longest_hold)
        assert restored.psp.captures(subscriber) == 1
        recover(restored, "braintree")
        assert restored.settle()

        assert [each.provider for each in restored.payments(subscriber)] == ["stripe", "braintree"]
        assert [row.outcome for row in restored.attempts(subscriber)] == ["absent", "succeeded"]
        assert restored.psp.captures(subscriber) == 1
        restored.close_books()
        restored.assert_promises_hold()
    finally:
        backups.close()


def test_who_is_at_two_accounts_waits_for_both_to_be_compared_and_others_do_not(
    two: World,
) -> None:
    moved = paid(two)
    customers.set_payment_method(
        two.context(), moved.customer, "pm_card_visa", provider="eu", make_default=False
    )
    alone = paid(two)
    two.run_until("2026-01-31 23:00")
    as_after_a_restart(two)
    down = {"kind": "error_500_uncommitted", "times": 1000, "match": {"method": "GET"}}
    two.psps["eu"]._control("POST", "faults", **down)
    two.jump_to("2026-02-01 01:00")
    two.open()
    for payment_id in two.dispatch():
        two.charge(payment_id)
    assert [two.psp.captures(each) for each in (moved, alone)] == [1, 2]

    two.psps["eu"].heal()
    two.wait(two.policy.dispatch_window)
    assert two.settle()
    assert [two.psp.captures(each) for each in (moved, alone)] == [2, 2]
    two.assert_everything_adds_up()
