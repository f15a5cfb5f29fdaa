"""Processes that die, messages that double, schedulers and workers that all run at once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

from billing.flows.cycles import opening
from billing.flows.payments import collecting
from billing.gateway import Succeeded
from tests.scenarios.world import World


def at_once(calls: int, do: Callable[[], Any]) -> list[Any]:
    """Call from so many threads together and return what they returned."""
    with ThreadPoolExecutor(calls) as pool:
        return [future.result() for future in [pool.submit(do) for _ in range(calls)]]


def test_a_worker_that_dies_before_the_call_is_followed_by_another(world: World) -> None:
    customer = world.subscribed("video-premium")
    world.open()
    (payment_id,) = world.dispatch()
    assert world.begin(payment_id) is not None  # and then nothing

    assert world.begin(payment_id) is None, "the lease holds"
    world.settle()

    assert world.psp.captures(customer) == 1
    assert [(row.n, row.sends) for row in world.attempts(customer)] == [(1, 2)]
    world.assert_everything_adds_up()


def test_a_worker_that_dies_between_answer_and_commit_charges_nobody_twice(world: World) -> None:
    customer = world.subscribed("video-premium")
    world.open()
    (payment_id,) = world.dispatch()
    sending = world.begin(payment_id)
    assert sending is not None
    assert isinstance(world.send(sending), Succeeded)  # the money moved; nobody wrote it down
    assert world.payment(customer).state == "CREATED"

    world.settle()

    assert world.psp.captures(customer) == 1
    assert world.payment(customer).state == "CAPTURED"
    world.assert_everything_adds_up()


def test_a_lost_bell_rings_again_after_the_window(world: World) -> None:
    customer = world.subscribed("video-premium")
    world.open()
    assert len(world.dispatch()) == 1  # the message is lost

    assert world.dispatch() == []
    world.wait(world.policy.dispatch_window)
    (payment_id,) = world.dispatch()
    world.charge(payment_id)

    assert world.psp.captures(customer) == 1
    world.assert_everything_adds_up()


def test_a_doubled_and_a_late_message_change_nothing(world: World) -> None:
    customer = world.subscribed("video-premium")
    world.open()
    (payment_id,) = world.dispatch()

    for _ in range(3):
        world.charge(payment_id)
    world.run_until("2026-01-20")
    world.charge(payment_id)

    assert len(world.attempts(customer, 0)) == 1
    assert world.psp.sends() == 1
    world.assert_everything_adds_up()


def test_eight_workers_on_one_payment_make_one_charge(world: World) -> None:
    customer = world.subscribed("video-premium")
    world.open()
    (payment_id,) = world.dispatch()
    world.psp.fault("slow", delay_ms=100)

    at_once(8, lambda: world.charge(payment_id))
    world.settle()

    assert world.psp.captures(customer) == 1
    assert len(world.attempts(customer)) == 1
    world.assert_everything_adds_up()


def test_an_outcome_that_is_written_twice_is_written_once(world: World) -> None:
    customer = world.subscribed("video-premium")
    world.open()
    (payment_id,) = world.dispatch()
    sending = world.begin(payment_id)
    assert sending is not None
    outcome = world.send(sending)

    at_once(4, lambda: world.finish(sending, outcome))

    assert world.entries("payment_captured") == 1
    assert world.payment(customer).state == "CAPTURED"
    world.assert_everything_adds_up()


def test_an_answer_that_comes_after_the_lease_ran_out_agrees_with_its_successor(
    world: World,
) -> None:
    customer = world.subscribed("video-premium")
    world.open()
    (payment_id,) = world.dispatch()
    slow = world.begin(payment_id)
    assert slow is not None
    late = world.send(slow)
    world.wait(world.policy.lease + timedelta(seconds=1))
    world.charge(payment_id)

    world.finish(slow, late)

    assert world.psp.captures(customer) == 1
    assert world.entries("payment_captured") == 1
    world.assert_everything_adds_up()


def test_several_schedulers_open_every_cycle_once(world: World) -> None:
    customers = [world.subscribed("video-premium") for _ in range(12)]
    world.jump_to("2026-03-20")

    def scheduler() -> int:
        opened = 0
        for _ in range(40):
            opened += opening.open_due_cycles(
                world.engine, now=world.now, limit=3, policy=world.policy
            ).opened
        return opened

    assert sum(at_once(4, scheduler)) == 36
    assert [len(world.cycles(customer)) for customer in customers] == [3] * 12
    world.settle()
    world.assert_everything_adds_up()


def test_several_schedulers_enqueue_every_payment_once_a_window(world: World) -> None:
    for _ in range(10):
        world.subscribed("video-premium")
    world.open()

    def dispatch() -> int:
        return len(collecting.dispatch_due(world.context(), limit=4))

    # A scheduler that finds only rows another one holds enqueues none; they are enqueued once.
    first = sum(at_once(6, dispatch))
    rest = sum(dispatch() for _ in range(10))
    assert first + rest == 10
    world.wait(world.policy.dispatch_window)
    world.settle()
    world.assert_everything_adds_up()


def test_months_in_which_everything_goes_wrong_add_up(world: World) -> None:
    cards = [
        "pm_card_visa",
        "pm_sbx_ok_2_then_insufficient_2_then_ok",
        "pm_sbx_decline_1_then_ok",
        "pm_sbx_ok_1_then_expired_card",
        "pm_sbx_ok_3_then_lost_card",
    ]
    plans = ["video-premium", "video-basic", "office-payroll"]
    for card in cards:
        for plan in plans:
            world.subscribed(plan, card=card)
    faults = ["reset_after_commit", "error_500", "reset_before", "garbage_200", "rate_limit_429"]
    for month in range(2, 6):
        for fault in faults:
            world.psp.fault(fault, times=2)
        world.run_until(f"2026-{month:02d}-15")
        world.close_books()
    world.psp.heal()
    world.run_until("2026-06-01")

    world.assert_everything_adds_up()
