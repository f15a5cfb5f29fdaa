"""Earning what was invoiced: at the end of each period, or day by day; never twice."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from billing.flows.cycles import recognition
from billing.flows.subscriptions import lifecycle
from billing.rules.actor import Actor, ActorKind
from tests.scenarios.money import NO_TRIAL, balances, give_back, paid, recognised, usd
from tests.scenarios.world import World


def test_an_invoice_is_earned_when_its_period_is_over(world: World) -> None:
    subscriber = paid(world)
    world.jump_to("2026-01-31 23:59")
    world.close_books()
    assert recognised(world, subscriber, 0) == []

    world.run_until("2026-02-01")
    world.close_books()

    assert recognised(world, subscriber, 0) == [("2026-02-01", 3100)]
    assert balances(world)["revenue"] == -3100
    world.assert_everything_adds_up()


def test_daily_earns_each_day_when_it_has_passed(world: World) -> None:
    world.earn_daily()
    subscriber = paid(world)

    for day in ("2026-01-02", "2026-01-03", "2026-01-03 13:00", "2026-01-10"):
        world.jump_to(day)
        world.close_books()
    assert recognised(world, subscriber) == [
        ("2026-01-02", 100),
        ("2026-01-03", 100),
        ("2026-01-10", 700),
    ]
    world.run_until("2026-02-01")
    world.close_books()

    assert sum(amount for _, amount in recognised(world, subscriber, 0)) == 3100
    world.assert_everything_adds_up()


def test_the_days_are_those_of_the_subscription(world: World) -> None:
    """In Auckland, 13 hours ahead, a day ends at 11:00 UTC."""
    world.earn_daily()
    subscriber = paid(world, zone="Pacific/Auckland")

    world.jump_to("2026-01-01 10:59")
    world.close_books()
    assert recognised(world, subscriber) == []
    world.jump_to("2026-01-01 11:00")
    world.close_books()

    assert recognised(world, subscriber) == [("2026-01-01", 100)]


def test_running_it_many_times_at_once_earns_nothing_twice(world: World) -> None:
    world.publish(NO_TRIAL)
    for _ in range(25):
        world.subscribed("monthly")
    world.settle()
    world.run_until("2026-02-01")

    def run(_: int) -> int:
        done = recognition.run(world.engine, now=world.now, batch=7, policy=world.policy)
        return done.earned

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(run, range(8))) == 25
    assert run(0) == 0

    assert balances(world)["revenue"] == -25 * 3100
    world.assert_everything_adds_up()


def test_a_year_is_earned_to_the_penny(world: World) -> None:
    world.earn_daily()
    subscriber = paid(world, "yearly")
    give_back(world, world.payment(subscriber).id, usd(1))
    world.settle()

    for day in ("2026-02-14", "2026-06-30", "2026-12-31"):
        world.jump_to(day)
        world.close_books()
    world.run_until("2027-01-01")
    world.close_books()

    assert sum(amount for _, amount in recognised(world, subscriber, 0)) == 36499
    world.assert_everything_adds_up()


DECLINED = "pm_card_chargeCustomerFail"


def test_a_written_off_invoice_loses_what_was_earned_of_it(world: World) -> None:
    """Days of service were given before the ladder was over: they are bad debt."""
    world.earn_daily()
    world.publish(NO_TRIAL)
    subscriber = world.subscribed("monthly", card=DECLINED)
    world.settle()
    world.jump_to("2026-01-11")
    world.close_books()
    assert balances(world)["revenue"] == -1000

    world.run_until("2026-01-31")
    world.close_books()

    assert world.invoices(subscriber)[0].status == "uncollectible"
    assert "deferred_revenue" not in balances(world)
    assert balances(world)["bad_debt"] == -balances(world)["revenue"]
    world.assert_everything_adds_up()


def test_an_invoice_that_is_reopened_and_paid_is_earned_after_all(world: World) -> None:
    world.earn_daily()
    ladder = 'retry_after = ["3d"]\nthen = "unpaid"'
    world.publish(NO_TRIAL.replace('every = "1 month"', f'every = "1 month"\n{ladder}'))
    subscriber = world.subscribed("monthly", card=DECLINED)
    world.settle()
    world.run_until("2026-01-29")
    world.close_books()
    assert world.invoices(subscriber)[0].status == "uncollectible"

    world.new_card(subscriber)
    world.settle()
    world.close_books()
    world.run_until("2026-02-01")
    world.close_books()

    assert world.invoices(subscriber)[0].status == "paid"
    assert sum(amount for _, amount in recognised(world, subscriber, 0)) == 3100
    assert "bad_debt" not in balances(world)
    world.assert_everything_adds_up()


def test_a_voided_invoice_gives_back_what_was_earned_of_it(world: World) -> None:
    world.earn_daily()
    world.publish(NO_TRIAL)
    subscriber = world.subscribed("monthly", card=DECLINED)
    world.settle()
    world.jump_to("2026-01-03")
    world.close_books()
    assert balances(world)["revenue"] == -200

    lifecycle.cancel(
        world.engine,
        subscriber.reference,
        at_period_end=False,
        now=world.now,
        actor=Actor(ActorKind.CLI, "operator"),
        why="moved away",
    )
    world.run_until("2026-02-01")
    world.close_books()

    assert balances(world) == {}
    assert [amount for _, amount in recognised(world, subscriber)] == [200, -200]
    world.assert_everything_adds_up()


@pytest.mark.parametrize("daily", [False, True])
def test_a_downtime_earns_what_was_missed(world: World, daily: bool) -> None:
    if daily:
        world.earn_daily()
    paid(world)

    world.jump_to("2026-03-15")
    world.settle()
    world.close_books()

    expected = 3100 + 3100 + (14 * 100 if daily else 0)  # January, February, and half of March
    assert balances(world)["revenue"] == -expected
    world.assert_everything_adds_up()


def test_the_proof_finds_an_invoice_that_nobody_will_earn(world: World) -> None:
    paid(world)
    with world.engine.begin() as conn:
        conn.execute(text("UPDATE invoices SET recognise_at = NULL"))

    world.close_books()

    assert any("that nobody will recognise" in finding for finding in world.findings())
