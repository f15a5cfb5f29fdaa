"""Answers that don't come: nobody is charged twice, and nobody is forgotten."""

from datetime import timedelta

import pytest

from billing.gateway import Absent, Deferred, Unknown
from tests.scenarios.world import BEGINNING, Subscriber, World
from tests.waiting import until

AFTER_COMMIT = [
    "hang_after_commit",
    "reset_after_commit",
    "truncated_body",
    "garbage_200",
    "error_500",
]
BEFORE_COMMIT = ["hang_before", "reset_before", "error_500_uncommitted", "conflict_409"]


def outcomes(world: World, customer: Subscriber, n: int = -1) -> list[tuple[str, str | None]]:
    return [(row.kind, row.outcome) for row in world.attempts(customer, n)]


def unanswered(world: World, fault: str = "reset_after_commit") -> Subscriber:
    """Subscribe a customer whose first charge brings no answer."""
    customer = world.subscribed("video-premium")
    world.psp.fault(fault)
    world.tick()
    return customer


@pytest.mark.parametrize("fault", AFTER_COMMIT)
def test_a_charge_whose_answer_was_lost_is_not_made_twice(world: World, fault: str) -> None:
    customer = unanswered(world, fault)
    (attempt,) = world.attempts(customer)
    assert attempt.outcome is None
    assert attempt.unknown_since == world.now

    world.run_until("2026-01-02")

    assert world.psp.captures(customer) == 1
    (attempt,) = world.attempts(customer)
    assert attempt.outcome == "succeeded"
    assert attempt.sends > 1
    assert world.payment(customer).state == "CAPTURED"
    world.assert_everything_adds_up()


@pytest.mark.parametrize("fault", BEFORE_COMMIT)
def test_a_charge_that_never_arrived_is_sent_again_under_the_same_key(
    world: World, fault: str
) -> None:
    customer = unanswered(world, fault)
    assert world.psp.captures(customer) == 0

    world.run_until("2026-01-02")

    assert world.psp.captures(customer) == 1
    assert [(row.n, row.outcome, row.sends) for row in world.attempts(customer)] == [
        (1, "succeeded", 2)
    ]
    world.assert_everything_adds_up()


def test_an_answer_that_comes_too_late_is_asked_for_again(world: World) -> None:
    customer = world.subscribed("video-premium")
    with world.psp.holding_charges() as until_one_waits:
        with world.impatient():
            world.tick()
        until_one_waits()
        world.wait(timedelta(hours=1))
        assert world.tick(), "meets a 409 while its twin is at work"
        assert "conflict" in str(world.attempts(customer)[0].last_error)
    until(world.psp.captured, "the late answer")

    world.run_until("2026-01-02")

    assert world.psp.captures(customer) == 1
    assert [row.outcome for row in world.attempts(customer)] == ["succeeded"]
    world.assert_everything_adds_up()


def test_a_500_that_the_key_replays_is_looked_up(world: World) -> None:
    customer = unanswered(world, "error_500")
    assert world.psp.captures(customer) == 1

    world.settle()

    assert world.now == BEGINNING, "it didn't take the day after which the key is forgotten"
    assert outcomes(world, customer) == [("first", "succeeded")]
    world.assert_everything_adds_up()


def test_a_500_that_hides_a_decline_is_looked_up_when_the_key_is_old(world: World) -> None:
    customer = world.subscribed("video-premium", card="pm_sbx_insufficient_funds_1_then_ok")
    world.psp.fault("error_500")

    world.run_until("2026-01-10")

    # While the key lives the charge may still roll forward; a day later the decline is final.
    assert outcomes(world, customer) == [("first", "declined"), ("ladder", "succeeded")]
    assert world.sent_on(customer) == ["2026-01-01", "2026-01-04"]
    world.assert_everything_adds_up()


def test_a_lost_decline_is_found_again_and_counts_once(world: World) -> None:
    customer = world.subscribed("video-premium", card="pm_sbx_insufficient_funds_1_then_ok")
    world.psp.lose_next_answer(after_commit=True)

    world.run_until("2026-01-10")

    assert world.sent_on(customer) == ["2026-01-01", "2026-01-04"]
    assert outcomes(world, customer) == [("first", "declined"), ("ladder", "succeeded")]
    world.assert_everything_adds_up()


def test_a_renewal_survives_a_provider_that_fails_ten_times(world: World) -> None:
    customer = world.subscribed("video-premium")
    world.psp.fault("reset_before", times=5)
    world.psp.fault("reset_after_commit", times=5)

    world.run_until("2026-01-02")

    assert world.psp.captures(customer) == 1
    assert outcomes(world, customer) == [("first", "succeeded")]
    world.assert_everything_adds_up()


def test_the_pause_before_asking_again_doubles_up_to_its_bound(world: World) -> None:
    customer = world.subscribed("video-premium")
    world.psp.fault("reset_before", times=9)
    pauses = []
    for _ in range(9):
        assert world.tick()
        again = world.payment(customer).dispatch_after
        pauses.append((again - world.wall).total_seconds())
        world.wall = again

    first = world.policy.unknown_backoff.total_seconds()
    assert pauses[:4] == [first, 2 * first, 4 * first, 8 * first]
    assert pauses[-1] == world.policy.unknown_backoff_max.total_seconds()
    world.run_until("2026-01-02")
    world.assert_everything_adds_up()


@pytest.mark.parametrize("fault", ["rate_limit_429", "error_401"])
def test_a_refusal_at_the_door_is_deferred_and_nothing_is_unknown(world: World, fault: str) -> None:
    customer = unanswered(world, fault)
    (attempt,) = world.attempts(customer)
    assert (attempt.outcome, attempt.unknown_since) == (None, None)

    world.run_until("2026-01-02")

    assert world.psp.captures(customer) == 1
    assert [row.n for row in world.attempts(customer)] == [1]
    world.assert_everything_adds_up()


@pytest.mark.parametrize("fault", ["rate_limit_429", "error_401"])
def test_the_same_refusal_of_a_resend_leaves_it_unknown(world: World, fault: str) -> None:
    customer = unanswered(world, "reset_after_commit")
    world.psp.fault(fault)
    world.wait(timedelta(hours=1))

    assert world.tick()

    (attempt,) = world.attempts(customer)
    assert (attempt.outcome, attempt.unknown_since) == (None, world.now)
    world.run_until("2026-01-02")
    assert world.psp.captures(customer) == 1
    world.assert_everything_adds_up()


def test_an_unknown_charge_older_than_the_key_is_looked_up_and_adopted(world: World) -> None:
    customer = unanswered(world)
    sends = world.psp.sends()
    world.jump_to("2026-01-02 01:00")  # the provider has forgotten the key

    world.settle()

    assert world.psp.sends() == sends, "looked up, not sent"
    assert world.psp.captures(customer) == 1
    assert outcomes(world, customer) == [("first", "succeeded")]
    world.assert_everything_adds_up()


def test_a_charge_that_is_proven_absent_makes_room_for_a_new_attempt(world: World) -> None:
    customer = unanswered(world, "reset_before")
    world.jump_to("2026-01-02 01:00")

    world.settle()

    assert outcomes(world, customer) == [("first", "absent"), ("absent", "succeeded")]
    assert world.payment(customer).rung == 0
    assert world.psp.captures(customer) == 1
    world.assert_everything_adds_up()


def test_an_unknown_confirmation_older_than_the_key_is_looked_up_too(world: World) -> None:
    customer = world.subscribed("video-premium", card="pm_sbx_insufficient_funds_1_then_ok")
    world.run_until("2026-01-03")
    world.jump_to("2026-01-04")
    world.psp.lose_next_answer(after_commit=True)
    world.tick()
    assert outcomes(world, customer) == [("first", "declined"), ("ladder", None)]

    world.jump_to("2026-01-06")
    world.settle()

    assert outcomes(world, customer) == [("first", "declined"), ("ladder", "succeeded")]
    assert world.psp.captures(customer) == 1
    world.assert_everything_adds_up()


def test_a_late_decline_that_is_looked_up_is_not_an_earlier_one(world: World) -> None:
    customer = world.subscribed("video-premium", card="pm_sbx_insufficient_funds_1_then_ok")
    world.run_until("2026-01-03")
    world.jump_to("2026-01-04")
    world.psp.lose_next_answer(after_commit=False)
    world.tick()

    world.jump_to("2026-01-06")
    world.settle()

    # Only the first attempt was declined; the second never arrived, which uses no rung.
    assert outcomes(world, customer) == [
        ("first", "declined"),
        ("ladder", "absent"),
        ("absent", "succeeded"),
    ]
    assert world.payment(customer).rung == 1
    world.assert_everything_adds_up()


def test_an_open_attempt_is_never_called_a_failure_by_time_alone(world: World) -> None:
    customer = world.subscribed("video-premium")
    world.psp.fault("reset_before", times=40)
    for _ in range(5):
        world.tick()
        world.wait(timedelta(hours=1))

    (attempt,) = world.attempts(customer)
    assert (attempt.finished_at, world.payment(customer).state) == (None, "CREATED")
    assert world.findings() == [], "an unknown is counted, not forgotten"
    world.psp.heal()
    world.run_until("2026-01-02")
    world.assert_everything_adds_up()


def test_a_payment_intent_canceled_at_the_provider_is_replaced(world: World) -> None:
    customer = world.subscribed("video-premium", card="pm_sbx_insufficient_funds_1_then_ok")
    world.run_until("2026-01-02")
    intent = world.payment(customer).provider_payment_id
    world.psp.post(f"payment_intents/{intent}/cancel")

    world.run_until("2026-01-10")

    assert outcomes(world, customer) == [
        ("first", "declined"),
        ("ladder", "rejected"),
        ("absent", "succeeded"),
    ]
    assert world.payment(customer).provider_payment_id != intent
    assert world.psp.captures(customer) == 1
    world.assert_everything_adds_up()


def test_the_pieces_say_what_they_know(world: World) -> None:
    world.subscribed("video-premium")
    world.open()
    (payment_id,) = world.dispatch()
    sending = world.begin(payment_id)
    assert sending is not None

    world.psp.fault("rate_limit_429")
    assert isinstance(world.send(sending), Deferred)
    world.psp.fault("garbage_200")
    assert isinstance(world.send(sending), Unknown)

    world.finish(sending, Unknown("garbage", "said the story"))
    world.jump_to("2026-01-02")
    again = world.begin(payment_id)
    assert again is not None
    assert again.request == sending.request
    assert not isinstance(world.send(again), Absent)
    world.settle()
    world.assert_everything_adds_up()
