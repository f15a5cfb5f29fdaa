"""Changes hold from an instant: a period is what was asked for before it began, however late it is
opened.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from billing.errors import Conflict
from billing.flows.subscriptions import lifecycle, reanchoring
from billing.rules.actor import Actor, ActorKind
from tests.scenarios.test_operators import cancel, change, parked_for, release
from tests.scenarios.world import Subscriber, World, at

HEAD = 'product = "Story"\n'
BASE = 'effective = 2026-01-01\n  price = { USD = "20.00" }'


def plan(code: str, every: str, *versions: str, extra: str = "") -> str:
    sections = "".join(f"  [[plan.version]]\n  {version}\n" for version in versions)
    return f'[[plan]]\ncode = "{code}"\nevery = "{every}"\n{extra}\n{sections}'


LADDER = 'retry_after = ["3d", "5d", "7d"]\nthen = "{}"'


@pytest.fixture
def world(world: World) -> World:
    world.publish(
        HEAD
        + plan("monthly", "1 month", BASE, extra=LADDER.format("cancel"))
        + plan("monthly-unpaid", "1 month", BASE, extra=LADDER.format("unpaid"))
        + plan("weekly", "1 week", BASE, extra=LADDER.format("cancel"))
        + plan("daily", "1 day", BASE, extra=LADDER.format("cancel"))
        + plan("waiting", "1 month", BASE, extra='catch_up = "park"')
        + plan("passing", "1 month", BASE, extra='catch_up = "skip"')
        + plan("tried", "1 month", f'{BASE}\n  trial = "14 days"')
    )
    return world


# --- before the first period --------------------------------------------------------------------


@pytest.mark.parametrize(("plan", "begun"), [("monthly", "active"), ("tried", "trialing")])
def test_what_starts_later_is_scheduled_until_then(world: World, plan: str, begun: str) -> None:
    customer = world.subscribed(plan, starts=at("2026-02-01").replace(tzinfo=None))
    world.run_until("2026-01-31")
    assert (world.status(customer), world.cycles(customer)) == ("scheduled", [])
    change(world, customer, lifecycle.pause)
    change(world, customer, lifecycle.resume)
    assert world.status(customer) == "scheduled"

    world.run_until("2026-02-02")

    assert world.status(customer) == begun
    world.assert_everything_adds_up()


# --- paused and resumed -------------------------------------------------------------------------


def test_months_that_were_paused_stay_unbilled_when_they_are_opened_after_the_resumption(
    world: World,
) -> None:
    customer = world.subscribed("monthly")
    world.run_until("2026-01-15")
    change(world, customer, lifecycle.pause)
    world.jump_to("2026-03-05")
    change(world, customer, lifecycle.resume)

    world.run_until("2026-04-02")

    assert world.kinds(customer) == ["regular", "paused", "paused", "regular"]
    assert (world.status(customer), world.psp.captures(customer)) == ("active", 2)
    world.assert_everything_adds_up()


def test_a_pause_does_not_make_the_months_free_that_had_begun_before_it(world: World) -> None:
    customer = world.subscribed("monthly")
    world.run_until("2026-01-15")
    world.jump_to("2026-03-05")
    change(world, customer, lifecycle.pause)

    world.run_until("2026-04-02")

    assert world.kinds(customer) == ["regular", "regular", "regular", "paused"]
    assert (world.status(customer), world.psp.captures(customer)) == ("paused", 3)
    world.assert_everything_adds_up()


def test_each_of_several_pauses_holds_for_its_own_months(world: World) -> None:
    customer = world.subscribed("monthly")
    world.run_until("2026-01-15")
    asked: list[tuple[str, Callable[..., Any]]] = [
        ("2026-01-20", lifecycle.pause),
        ("2026-02-10", lifecycle.resume),
        ("2026-03-10", lifecycle.pause),
        ("2026-03-20", lifecycle.resume),
        ("2026-04-10", lifecycle.pause),
    ]
    for moment, do in asked:
        world.jump_to(moment)
        change(world, customer, do)
    world.jump_to("2026-05-10")

    world.settle()

    assert world.kinds(customer) == ["regular", "paused", "regular", "regular", "paused"]
    world.assert_everything_adds_up()


@pytest.mark.parametrize(("moment", "kind"), [("2026-02-01", "regular"), ("2026-01-31", "paused")])
def test_a_period_has_begun_at_its_first_instant(world: World, moment: str, kind: str) -> None:
    customer = world.subscribed("monthly")
    world.run_until("2026-01-15")
    world.jump_to(moment)
    change(world, customer, lifecycle.pause)

    world.run_until("2026-02-02")

    assert world.kinds(customer) == ["regular", kind]


def test_a_subscription_paused_before_it_starts_is_not_billed(world: World) -> None:
    customer = world.subscribed("monthly", starts=at("2026-02-01").replace(tzinfo=None))
    world.run_until("2026-01-15")
    change(world, customer, lifecycle.pause)

    world.run_until("2026-03-02")

    assert world.kinds(customer) == ["paused", "paused"]


@pytest.mark.parametrize(
    ("missed", "kinds", "counted"),
    [
        ("bill", ["regular"] * 3 + ["paused"] * 2, 2),
        ("skip", ["regular", "skipped", "skipped", "paused"], 2),
    ],
)
def test_a_release_bills_or_skips_what_was_missed_and_leaves_out_what_was_paused(
    world: World, missed: str, kinds: list[str], counted: int
) -> None:
    customer = world.subscribed("waiting")
    world.run_until("2026-01-03")
    world.jump_to("2026-03-10")
    world.settle()
    assert parked_for(world, customer) == "catch_up"
    change(world, customer, lifecycle.pause)
    world.jump_to("2026-05-20")

    assert release(world, customer, missed) == (missed, counted)
    assert world.kinds(customer) == kinds
    world.settle()

    assert world.kinds(customer)[-1] == "paused"
    assert len(world.invoices(customer)) == kinds.count("regular")
    world.assert_everything_adds_up()


def test_what_a_release_says_that_it_billed_is_billed(world: World) -> None:
    customer = world.subscribed("weekly")
    world.run_until("2026-01-03")
    world.jump_to("2026-02-20")
    world.settle()
    assert parked_for(world, customer) == "catch_up"
    change(world, customer, lifecycle.pause)

    assert release(world, customer, "bill") == ("bill", 7)

    assert len(world.invoices(customer)) == 8


@pytest.mark.parametrize(
    ("plan", "kinds"),
    [
        ("passing", ["regular", "skipped", "paused", "skipped", "regular"]),
        ("monthly", ["regular", "regular", "paused", "regular", "regular"]),
    ],
)
def test_a_pause_in_a_downtime_holds_whatever_the_policy_for_missed_periods(
    world: World, plan: str, kinds: list[str]
) -> None:
    customer = world.subscribed(plan)
    world.run_until("2026-01-15")
    world.jump_to("2026-02-10")
    change(world, customer, lifecycle.pause)
    world.jump_to("2026-03-10")
    change(world, customer, lifecycle.resume)
    world.jump_to("2026-05-10")

    world.settle()

    assert world.kinds(customer) == kinds
    assert world.psp.captures(customer) == kinds.count("regular")
    world.assert_everything_adds_up()


def test_paused_periods_do_not_count_towards_the_cap_of_what_is_billed_at_once(
    world: World,
) -> None:
    customer = world.subscribed("weekly")
    world.run_until("2026-01-03")
    change(world, customer, lifecycle.pause)
    world.jump_to("2026-02-20")
    change(world, customer, lifecycle.resume)
    world.jump_to("2026-03-06")

    world.settle()

    assert world.kinds(customer) == ["regular", *["paused"] * 7, "regular", "regular"]
    assert parked_for(world, customer) is None


def test_a_trial_that_is_paused_passes_and_its_first_bill_comes_after_the_resumption(
    world: World,
) -> None:
    customer = world.subscribed("tried")
    world.settle()
    world.run_until("2026-01-05")
    change(world, customer, lifecycle.pause)
    world.jump_to("2026-01-20")
    change(world, customer, lifecycle.resume)

    world.run_until("2026-02-16")

    assert world.kinds(customer) == ["trial", "paused", "regular"]
    assert world.status(customer) == "active"


# --- a pause and a debt -------------------------------------------------------------------------


def test_a_pause_outlives_a_debt_that_was_given_up_and_is_paid(world: World) -> None:
    customer = world.subscribed("monthly-unpaid", card="pm_sbx_insufficient_funds")
    world.run_until("2026-01-05")
    change(world, customer, lifecycle.pause)
    world.run_until("2026-01-20")
    assert world.status(customer) == "unpaid"

    world.new_card(customer)
    world.run_until("2026-02-05")

    assert world.kinds(customer) == ["regular", "paused"]
    assert (world.status(customer), world.psp.captures(customer)) == ("paused", 1)
    world.assert_everything_adds_up()


def test_a_pause_outlives_a_debt_that_is_paid_while_its_ladder_goes_on(world: World) -> None:
    customer = world.subscribed("monthly", card="pm_sbx_insufficient_funds_1_then_ok")
    world.run_until("2026-01-02")
    change(world, customer, lifecycle.pause)

    world.run_until("2026-02-05")

    assert world.kinds(customer) == ["regular", "paused"]
    assert (world.status(customer), world.psp.captures(customer)) == ("paused", 1)


def test_resuming_an_unpaid_subscription_ends_its_pause_too(world: World) -> None:
    customer = world.subscribed("monthly-unpaid", card="pm_sbx_insufficient_funds")
    world.run_until("2026-01-05")
    change(world, customer, lifecycle.pause)
    world.run_until("2026-01-20")
    change(world, customer, lifecycle.resume)
    world.new_card(customer)

    world.run_until("2026-02-05")

    assert world.kinds(customer) == ["regular", "regular"]
    assert world.status(customer) == "active"


# --- canceled at the period's end ---------------------------------------------------------------


def test_a_period_that_has_begun_is_served_and_billed_before_the_end(world: World) -> None:
    customer = world.subscribed("monthly")
    world.run_until("2026-01-15")
    world.jump_to("2026-02-03")
    cancel(world, customer, at_period_end=True)

    world.run_until("2026-02-04")
    assert (world.status(customer), len(world.invoices(customer))) == ("active", 2)

    world.run_until("2026-04-01")
    assert (world.status(customer), world.psp.captures(customer)) == ("canceled", 2)
    assert world.subscription(customer).canceled_at == at("2026-03-01")
    world.assert_everything_adds_up()


@pytest.mark.parametrize("plan", ["monthly", "weekly", "daily"])
def test_canceling_before_the_first_tick_leaves_the_period_that_has_begun(
    world: World, plan: str
) -> None:
    customer = world.subscribed(plan)
    cancel(world, customer, at_period_end=True)

    world.run_until("2026-02-02")

    assert (world.status(customer), len(world.invoices(customer))) == ("canceled", 1)
    assert world.psp.captures(customer) == 1
    world.assert_everything_adds_up()


def test_a_trial_that_is_canceled_before_the_first_tick_runs_to_its_end(world: World) -> None:
    customer = world.subscribed("tried")
    cancel(world, customer, at_period_end=True)

    world.run_until("2026-02-02")

    assert (world.status(customer), world.kinds(customer)) == ("canceled", ["trial"])
    assert world.subscription(customer).canceled_at == at("2026-01-15")


def test_what_is_canceled_before_its_first_period_ends_at_its_start_and_owes_nothing(
    world: World,
) -> None:
    customer = world.subscribed("monthly", starts=at("2026-02-01").replace(tzinfo=None))
    world.run_until("2026-01-10")
    cancel(world, customer, at_period_end=True)

    world.run_until("2026-02-10")

    assert (world.status(customer), world.cycles(customer)) == ("canceled", [])
    assert world.subscription(customer).canceled_at == at("2026-02-01")


def test_periods_missed_before_the_end_are_billed_and_none_after_it(world: World) -> None:
    customer = world.subscribed("monthly")
    world.run_until("2026-01-15")
    world.jump_to("2026-02-10")
    cancel(world, customer, at_period_end=True)
    world.jump_to("2026-09-10")

    world.settle()

    assert (world.status(customer), world.kinds(customer)) == ("canceled", ["regular"] * 2)
    assert world.subscription(customer).canceled_at == at("2026-03-01")
    world.assert_everything_adds_up()


def test_a_pause_before_the_end_is_kept_to_the_end(world: World) -> None:
    customer = world.subscribed("monthly")
    world.run_until("2026-01-15")
    change(world, customer, lifecycle.pause)
    world.jump_to("2026-02-10")
    cancel(world, customer, at_period_end=True)

    world.run_until("2026-04-10")

    assert (world.status(customer), world.kinds(customer)) == ("canceled", ["regular", "paused"])


@pytest.mark.parametrize("do", [lifecycle.resume, lifecycle.pause])
@pytest.mark.parametrize("opened", [True, False])
def test_what_ended_can_not_be_changed_any_more(
    world: World, do: Callable[..., Any], opened: bool
) -> None:
    customer = world.subscribed("monthly")
    world.run_until("2026-01-10")
    cancel(world, customer, at_period_end=True)
    world.jump_to("2026-02-10")
    if opened:
        world.settle()
        assert world.status(customer) == "canceled"

    with pytest.raises(Conflict):
        change(world, customer, do)
    with pytest.raises(Conflict):
        cancel(world, customer, at_period_end=True)

    world.settle()
    assert world.status(customer) == "canceled"


def test_what_was_canceled_now_does_not_go_on(world: World) -> None:
    customer = world.subscribed("monthly")
    world.run_until("2026-01-10")
    cancel(world, customer, at_period_end=True)
    cancel(world, customer)

    with pytest.raises(Conflict):
        change(world, customer, lifecycle.resume)


# --- a zone whose rules changed -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "other", "renewed"),
    [
        ("Europe/Berlin", "Europe/London", "2026-03-02 00:00"),
        ("Europe/London", "Europe/Berlin", "2026-03-01 23:00"),
        ("UTC", "Pacific/Kiritimati", "2026-03-01 10:00"),
    ],
)
def test_a_period_starts_when_it_was_announced_to_whatever_became_of_the_zone(
    world: World, zone: str, other: str, renewed: str
) -> None:
    customer: Subscriber = world.subscribed(
        "monthly", zone=zone, starts=at("2026-01-02").replace(tzinfo=None)
    )
    world.run_until("2026-01-15")
    announced = world.subscription(customer).renews_at
    world.spoil(f"UPDATE subscriptions SET zone = '{other}'", customer)

    world.run_until("2026-02-15")

    assert parked_for(world, customer) is None
    assert world.cycles(customer)[1].period_start == announced
    assert world.subscription(customer).renews_at == at(renewed)
    world.run_until("2026-04-05")
    assert world.psp.captures(customer) == len(world.cycles(customer)) == 4
    world.assert_books_balance()


@pytest.mark.parametrize("missed", ["bill", "skip"])
def test_missed_periods_are_released_whatever_became_of_the_zone(world: World, missed: str) -> None:
    customer = world.subscribed("waiting", zone="Europe/Berlin")
    world.run_until("2026-01-15")
    world.jump_to("2026-04-10")
    world.settle()
    world.spoil("UPDATE subscriptions SET zone = 'Europe/London'", customer)

    release(world, customer, missed)
    world.settle()

    assert parked_for(world, customer) is None
    assert len(world.cycles(customer)) == 4


def test_an_operator_records_that_a_zones_rules_changed_and_the_proof_is_content(
    world: World,
) -> None:
    customer = world.subscribed("monthly", zone="Europe/Berlin")
    ahead = world.subscribed(
        "monthly", zone="Europe/Berlin", starts=at("2026-05-01").replace(tzinfo=None)
    )
    world.run_until("2026-01-15")
    for each in (customer, ahead):
        world.spoil("UPDATE subscriptions SET zone = 'Europe/London'", each)
    assert len(world.findings()) > 1

    listed = reanchor(world, dry_run=True)
    assert world.subscription(ahead).renews_at == at("2026-04-30 22:00")
    assert reanchor(world) == listed
    assert [(each.subscription_id, each.moved) for each in listed] == [
        (customer.subscription_id, False),
        (ahead.subscription_id, True),
    ]
    assert world.subscription(ahead).renews_at == at("2026-04-30 23:00")
    assert reanchor(world, dry_run=True) == []
    world.run_until("2026-06-02")
    world.assert_everything_adds_up()
    assert [len(world.cycles(each)) for each in (customer, ahead)] == [6, 2]


def test_a_change_of_rules_is_recorded_after_the_boundary_that_it_moved_has_passed(
    world: World,
) -> None:
    customer = world.subscribed("monthly", zone="Europe/Berlin")
    world.run_until("2026-03-15")
    world.spoil("UPDATE subscriptions SET zone = 'Europe/London'", customer)
    world.run_until("2026-05-15")
    assert world.findings() != [], "periods of before begin elsewhere by today's rules"

    (listed,) = reanchor(world, dry_run=True)
    assert (listed.subscription_id, listed.moved) == (customer.subscription_id, False)
    assert listed.announced - listed.by_schedule == timedelta(hours=-1)
    assert reanchor(world) == [listed]

    assert reanchor(world, dry_run=True) == []
    world.run_until("2026-07-02")
    world.assert_everything_adds_up()
    assert world.psp.captures(customer) == len(world.cycles(customer)) == 7


@pytest.mark.parametrize("ended", [True, False])
def test_a_change_of_rules_is_recorded_of_what_has_ended_or_waits(
    world: World, *, ended: bool
) -> None:
    customer = world.subscribed("monthly", zone="Europe/Berlin")
    world.run_until("2026-03-15")
    cancel(world, customer, at_period_end=not ended)
    world.spoil("UPDATE subscriptions SET zone = 'Europe/London'", customer)
    assert world.findings() != []

    assert len(reanchor(world)) == 1

    assert reanchor(world, dry_run=True) == []
    world.run_until("2026-05-02")
    world.assert_everything_adds_up()


def test_what_no_change_of_rules_explains_stays_a_finding(world: World) -> None:
    customer = world.subscribed("monthly", zone="Europe/London")
    world.run_until("2026-03-15")
    cancel(world, customer)
    world.spoil(
        "UPDATE subscriptions SET anchor_local = anchor_local + interval '2 days'", customer
    )
    before = world.findings()
    assert before != []

    assert reanchor(world) == []
    assert world.findings() == before


def reanchor(world: World, *, dry_run: bool = False) -> list[reanchoring.Reanchored]:
    return reanchoring.reanchor(
        world.engine,
        reference=None,
        zone="Europe/London",
        now=world.now,
        actor=Actor(ActorKind.CLI, "operator"),
        why="no summer time any more",
        dry_run=dry_run,
    )
