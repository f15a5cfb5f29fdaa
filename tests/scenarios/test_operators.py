"""What operators do: park, release, pause, cancel, retry, and catch up after a downtime."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from billing.errors import Conflict
from billing.flows.subscriptions import lifecycle, releasing, retrying
from billing.rules.actor import Actor, ActorKind
from tests.scenarios.test_facts import granted, left
from tests.scenarios.world import Subscriber, World, at

PLANS = """
product = "Story"

[[plan]]
code = "daily"
every = "1 day"
  [[plan.version]]
  effective = 2026-01-01
  price = { USD = "5.00" }

[[plan]]
code = "unpaid"
every = "1 month"
retry_after = ["3d", "5d"]
then = "unpaid"
  [[plan.version]]
  effective = 2026-01-01
  price = { USD = "5.00" }

[[plan]]
code = "cheap"
every = "1 month"
  [[plan.version]]
  effective = 2026-01-01
  price = { USD = "0.10" }

[[plan]]
code = "abroad"
every = "1 month"
  [[plan.version]]
  effective = 2026-01-01
  price = { USD = "5.00", EUR = "5.00" }
"""


AT_MONTHS_END = """
product = "Story"

[[plan]]
code = "bill"
every = "1 month"
anchor_day = 31
catch_up = "bill"
  [[plan.version]]
  effective = 2026-01-01
  price = { USD = "5.00" }

[[plan]]
code = "skip"
every = "1 month"
anchor_day = 31
catch_up = "skip"
  [[plan.version]]
  effective = 2026-01-01
  price = { USD = "5.00" }

[[plan]]
code = "park"
every = "1 month"
anchor_day = 31
catch_up = "park"
  [[plan.version]]
  effective = 2026-01-01
  price = { USD = "5.00" }
"""


def cancel(world: World, customer: Subscriber, *, at_period_end: bool = False) -> None:
    lifecycle.cancel(
        world.engine,
        customer.reference,
        at_period_end=at_period_end,
        now=world.now,
        actor=Actor(ActorKind.CLI, "operator"),
        why="the customer asked",
    )


def change(world: World, customer: Subscriber, do: Callable[..., Any]) -> None:
    """Pause or resume."""
    do(
        world.engine,
        customer.reference,
        now=world.now,
        actor=Actor(ActorKind.CLI, "operator"),
        why="story",
    )


def retry(world: World, customer: Subscriber, n: int = -1) -> retrying.Retry:
    return retrying.retry(
        world.engine,
        world.payment(customer, n).id,
        now=world.now,
        actor=Actor(ActorKind.CLI, "operator"),
        why="story",
    )


def release(world: World, customer: Subscriber, missed: Any = None) -> tuple[str | None, int]:
    """Release a subscription and return what became of how many missed periods."""
    released = releasing.release_subscription(
        world.engine,
        customer.reference,
        missed=missed,
        now=world.now,
        actor=Actor(ActorKind.CLI, "operator"),
        policy=world.policy,
    )
    return released.missed, released.periods


def parked_for(world: World, customer: Subscriber) -> str | None:
    return world.subscription(customer).parked_reason


# --- parked -------------------------------------------------------------------------------------


def test_a_request_the_provider_refuses_parks_the_payment_until_it_is_released(
    world: World,
) -> None:
    customer = world.subscribed("video-premium")
    world.rename_at_provider(customer, "cus_gone")
    world.run_until("2026-01-05")

    payment = world.payment(customer)
    assert (payment.state, payment.parked_reason) == ("CREATED", "rejected")
    assert "cus_gone" in str(payment.parked_error)
    assert [row.outcome for row in world.attempts(customer)] == ["rejected"]
    assert world.findings() == [], "parked is visible, not abandoned"

    world.rename_at_provider(customer, customer.provider_customer_id)
    releasing.release_payment(world.engine, payment.id, now=world.now)
    world.settle()

    assert world.psp.captures(customer) == 1
    world.assert_everything_adds_up()


def test_only_what_is_parked_can_be_released(world: World) -> None:
    customer = world.subscribed("video-premium")
    world.settle()

    with pytest.raises(Conflict, match="not parked"):
        releasing.release_payment(world.engine, world.payment(customer).id, now=world.now)
    with pytest.raises(Conflict, match="not parked"):
        release(world, customer)


def test_a_subscription_that_cannot_go_on_is_parked_and_the_others_go_on(world: World) -> None:
    world.publish(PLANS)
    broken = world.subscribed("abroad")
    others = [world.subscribed("abroad", currency="EUR") for _ in range(3)]
    world.settle()
    world.spoil("UPDATE subscriptions SET quantity = 2, every = 'fortnightly'", broken)

    world.run_until("2026-03-02")

    assert parked_for(world, broken) == "error"
    assert "fortnightly" in (world.subscription(broken).parked_error or "")
    assert len(world.cycles(broken)) == 1
    assert [len(world.cycles(other)) for other in others] == [3, 3, 3]

    world.spoil("UPDATE subscriptions SET quantity = 1, every = '1 month'", broken)
    release(world, broken)
    world.settle()

    assert [invoice.total for invoice in world.invoices(broken)] == [500, 500, 500]
    assert world.events(broken)[-2:] == ["parked", "released"]
    world.assert_everything_adds_up()


def test_a_subscription_in_a_currency_without_a_price_is_parked(world: World) -> None:
    world.publish(PLANS)
    customer = world.subscribed("abroad")
    world.settle()
    world.spoil("UPDATE subscriptions SET currency = 'CHF'", customer)

    world.run_until("2026-02-02")

    assert "no price in CHF" in (world.subscription(customer).parked_error or "")
    world.close_books()
    (finding,) = world.findings()
    assert "cycle 0" in finding, "its first invoice is in another currency"
    world.spoil("UPDATE subscriptions SET currency = 'USD'", customer)
    world.assert_everything_adds_up()


def test_what_the_database_refuses_parks_that_one_subscription_only(world: World) -> None:
    customers = [world.subscribed("video-premium") for _ in range(3)]
    world.run_until("2026-01-31")
    # Turned back, it would open its first cycle again.
    world.spoil("UPDATE subscriptions SET next_n = 0, renews_at = '2026-01-01'", customers[1])

    world.run_until("2026-02-02")

    assert parked_for(world, customers[1]) == "refused_by_database"
    assert [len(world.cycles(customer)) for customer in customers] == [2, 1, 2]

    world.spoil("UPDATE subscriptions SET next_n = 1, renews_at = '2026-02-01'", customers[1])
    release(world, customers[1])
    world.settle()
    assert len(world.cycles(customers[1])) == 2
    world.assert_everything_adds_up()


def test_an_amount_below_the_providers_minimum_is_parked_not_sent(world: World) -> None:
    world.publish(PLANS)
    customer = world.subscribed("cheap")

    world.run_until("2026-01-02")

    assert (parked_for(world, customer), world.psp.sends()) == ("below_minimum", 0)
    world.assert_everything_adds_up()


# --- catching up --------------------------------------------------------------------------------


def test_periods_missed_in_a_downtime_are_billed_one_by_one(world: World) -> None:
    customer = world.subscribed("video-premium")
    world.settle()
    world.jump_to("2026-04-10")

    world.settle()

    assert world.starts(customer) == ["2026-01-01", "2026-02-01", "2026-03-01", "2026-04-01"]
    assert world.psp.captures(customer) == 4
    world.assert_everything_adds_up()


def test_periods_missed_can_be_passed_over_unbilled(world: World) -> None:
    customer = world.subscribed("office-payroll")
    world.settle()
    world.jump_to("2026-02-28")

    world.settle()

    assert world.kinds(customer) == ["regular", "skipped", "skipped", "skipped", "regular"]
    assert world.psp.captures(customer) == 2
    world.assert_everything_adds_up()


def test_periods_missed_can_wait_for_an_operator(world: World) -> None:
    customer = world.subscribed("office-team")
    world.settle()
    world.jump_to("2026-04-10")
    world.settle()
    assert parked_for(world, customer) == "catch_up"
    assert len(world.cycles(customer)) == 1

    assert release(world, customer, "skip") == ("skip", 2)
    world.settle()

    assert world.kinds(customer) == ["regular", "skipped", "skipped", "regular"]
    world.assert_everything_adds_up()


@pytest.mark.parametrize(
    ("plan", "comes_back", "kinds", "parked"),
    [
        ("bill", "2026-04-30", ["regular"] * 5, None),
        ("bill", "2026-05-31", ["regular"], "catch_up"),
        ("skip", "2026-02-28", ["regular", "skipped", "regular"], None),
        ("skip", "2026-04-30", ["regular", "skipped", "skipped", "skipped", "regular"], None),
        ("park", "2026-02-28", ["regular"], "catch_up"),
    ],
)
def test_a_period_that_ends_as_the_downtime_does_was_missed(
    world: World, plan: str, comes_back: str, kinds: list[str], parked: str | None
) -> None:
    world.publish(AT_MONTHS_END)
    world.run_until("2026-01-15")
    customer = world.subscribed(plan)
    world.settle()
    world.jump_to(comes_back)

    world.settle()

    assert (world.kinds(customer), parked_for(world, customer)) == (kinds, parked)
    assert world.psp.captures(customer) == kinds.count("regular")
    world.assert_everything_adds_up()


def test_more_than_the_cap_waits_for_an_operator_who_bills_it_all(world: World) -> None:
    world.publish(PLANS)
    customer = world.subscribed("daily")
    world.settle()
    world.jump_to("2026-01-20")
    world.settle()
    assert parked_for(world, customer) == "catch_up"

    assert release(world, customer, "bill") == ("bill", 19)
    world.settle()

    assert world.psp.captures(customer) == 20
    world.assert_everything_adds_up()


@pytest.mark.parametrize(("missed", "kind"), [("bill", "regular"), ("skip", "skipped")])
def test_what_was_to_end_during_a_downtime_ends_and_nothing_after_it_is_billed(
    missed: str, kind: str, world: World
) -> None:
    customer = world.subscribed("office-team")
    world.settle()
    world.jump_to("2026-03-10")
    world.settle()
    assert parked_for(world, customer) == "catch_up"
    cancel(world, customer, at_period_end=True)
    world.jump_to("2026-09-10")

    assert release(world, customer, missed) == (missed, 2)
    world.settle()

    assert world.subscription(customer).canceled_at == at("2026-04-01")
    assert world.kinds(customer) == ["regular", kind, kind]
    assert world.psp.captures(customer) == world.kinds(customer).count("regular")
    world.assert_everything_adds_up()


def test_a_cancellation_taken_back_leaves_missed_periods_to_the_operator(world: World) -> None:
    customer = world.subscribed("office-team")
    world.settle()
    world.jump_to("2026-04-10")
    world.settle()
    cancel(world, customer, at_period_end=True)
    change(world, customer, lifecycle.resume)

    assert release(world, customer, "bill") == ("bill", 3)
    world.settle()

    assert world.psp.captures(customer) == 4
    world.assert_everything_adds_up()


def test_a_release_without_a_decision_is_parked_again_by_the_same_rule(world: World) -> None:
    customer = world.subscribed("office-team")
    world.settle()
    world.jump_to("2026-04-10")
    world.settle()

    release(world, customer)
    world.settle()

    assert parked_for(world, customer) == "catch_up"
    world.assert_everything_adds_up()


def test_a_trial_that_passed_during_a_downtime_was_still_a_trial(world: World) -> None:
    customer = world.subscribed("video-basic")
    world.jump_to("2026-02-20")

    world.settle()

    assert world.kinds(customer) == ["trial", "regular", "regular"]
    assert world.psp.captures(customer) == 2
    world.assert_everything_adds_up()


# --- pausing and canceling ----------------------------------------------------------------------


def test_a_pause_passes_unbilled_and_leaves_no_gap(world: World) -> None:
    customer = world.subscribed("video-premium")
    world.run_until("2026-01-20")
    change(world, customer, lifecycle.pause)
    world.run_until("2026-03-20")
    assert world.status(customer) == "paused"

    change(world, customer, lifecycle.resume)
    world.run_until("2026-05-02")

    assert world.kinds(customer) == ["regular", "paused", "paused", "regular", "regular"]
    assert world.psp.captures(customer) == 3
    world.assert_everything_adds_up()


def test_a_trial_paused_and_resumed_in_time_is_still_a_trial(world: World) -> None:
    customer = world.subscribed("video-basic")
    world.run_until("2026-01-03")
    change(world, customer, lifecycle.pause)
    change(world, customer, lifecycle.resume)

    assert world.status(customer) == "trialing"
    world.run_until("2026-01-16")
    assert world.status(customer) == "active"
    world.assert_everything_adds_up()


def test_an_open_debt_is_collected_during_a_pause(world: World) -> None:
    customer = world.subscribed("video-premium", card="pm_sbx_insufficient_funds_1_then_ok")
    world.settle()
    change(world, customer, lifecycle.pause)

    world.run_until("2026-01-20")
    assert (world.status(customer), world.payment(customer).state) == ("paused", "CAPTURED")

    change(world, customer, lifecycle.resume)
    assert world.status(customer) == "active"
    world.assert_everything_adds_up()


def test_only_a_running_subscription_can_be_paused_and_only_a_paused_one_resumed(
    world: World,
) -> None:
    customer = world.subscribed("video-premium")
    with pytest.raises(Conflict, match="neither paused nor unpaid"):
        change(world, customer, lifecycle.resume)
    cancel(world, customer)
    with pytest.raises(Conflict, match="can't be paused"):
        change(world, customer, lifecycle.pause)
    with pytest.raises(Conflict, match="canceled already"):
        cancel(world, customer)


def test_canceling_now_voids_what_is_not_collected(world: World) -> None:
    customer = world.subscribed("video-premium", card="pm_sbx_insufficient_funds")
    world.run_until("2026-01-02")

    cancel(world, customer)
    world.run_until("2026-02-10")

    assert (world.status(customer), world.payment(customer).state) == ("canceled", "FAILED")
    assert [invoice.status for invoice in world.invoices(customer)] == ["void"]
    assert world.sent_on(customer) == ["2026-01-01"]
    world.assert_everything_adds_up()
    assert [cycle.state for cycle in world.cycles(customer)] == ["closed"]


def test_canceling_leaves_alone_what_was_collected(world: World) -> None:
    customer = world.subscribed("video-premium")
    world.run_until("2026-01-02")

    cancel(world, customer)
    world.run_until("2026-06-01")

    assert [invoice.status for invoice in world.invoices(customer)] == ["paid"]
    assert len(world.cycles(customer)) == 1
    world.assert_everything_adds_up()


def test_canceling_while_an_attempt_is_open_lets_its_success_stand(world: World) -> None:
    customer = world.subscribed("video-premium")
    world.psp.lose_next_answer(after_commit=True)
    world.tick()

    cancel(world, customer)
    assert [invoice.status for invoice in world.invoices(customer)] == ["open"]
    world.run_until("2026-01-02")

    assert (world.status(customer), world.payment(customer).state) == ("canceled", "CAPTURED")
    world.assert_everything_adds_up()


@pytest.mark.parametrize("after_commit", [True, False])
def test_canceling_while_an_attempt_is_open_makes_it_the_last_one(
    world: World, after_commit: bool
) -> None:
    customer = world.subscribed("video-premium", card="pm_sbx_insufficient_funds_1_then_ok")
    world.psp.lose_next_answer(after_commit=after_commit)
    world.tick()

    cancel(world, customer)
    world.run_until("2026-02-10")

    assert world.sent_on(customer) == ["2026-01-01"]
    assert (world.payment(customer).state, world.psp.captures(customer)) == ("FAILED", 0)
    assert [invoice.status for invoice in world.invoices(customer)] == ["void"]
    world.assert_everything_adds_up()


@pytest.mark.parametrize(
    ("card", "asked_again"),
    [
        ("pm_sbx_insufficient_funds", "2026-01-02"),
        ("pm_card_visa", "2026-01-03"),  # past the key's life: looked up, and proven absent
    ],
    ids=["declined", "never made"],
)
def test_what_credit_paid_comes_back_when_the_last_attempt_comes_to_nothing(
    world: World, card: str, asked_again: str
) -> None:
    customer = world.subscribed("video-premium", card=card)
    granted(world, customer, 300)
    world.psp.lose_next_answer(after_commit=False)
    world.tick()
    assert left(world, customer) == [0]

    cancel(world, customer)
    world.jump_to(asked_again)
    world.run_until("2026-02-10")

    assert [invoice.status for invoice in world.invoices(customer)] == ["void"]
    assert (left(world, customer), world.psp.captures(customer)) == ([300], 0)
    world.assert_everything_adds_up()


def test_canceling_after_a_charge_that_never_arrived_starts_no_other(world: World) -> None:
    customer = world.subscribed("video-premium")
    world.psp.lose_next_answer(after_commit=False)
    world.tick()
    cancel(world, customer)
    world.jump_to("2026-01-03")  # past the key's life: looked up, and proven absent

    world.run_until("2026-02-10")

    assert [row.outcome for row in world.attempts(customer)] == ["absent"]
    assert world.psp.captures(customer) == 0
    world.assert_everything_adds_up()


def test_canceling_takes_a_parked_payment_with_it(world: World) -> None:
    customer = world.subscribed("video-premium")
    world.rename_at_provider(customer, "cus_gone")
    world.settle()
    assert world.payment(customer).parked_reason == "rejected"

    cancel(world, customer)

    assert world.payment(customer).parked_reason is None
    assert [invoice.status for invoice in world.invoices(customer)] == ["void"]
    world.assert_everything_adds_up()


def test_canceling_at_the_period_end_serves_what_was_paid(world: World) -> None:
    customer = world.subscribed("video-premium")
    world.run_until("2026-01-10")
    cancel(world, customer, at_period_end=True)

    world.run_until("2026-01-31")
    assert world.status(customer) == "active"

    world.run_until("2026-03-01")
    assert (world.status(customer), len(world.cycles(customer))) == ("canceled", 1)
    assert world.subscription(customer).canceled_at == at("2026-02-01")
    world.assert_everything_adds_up()


def test_a_cancellation_that_waits_can_be_taken_back(world: World) -> None:
    customer = world.subscribed("video-premium")
    world.run_until("2026-01-10")
    cancel(world, customer, at_period_end=True)
    change(world, customer, lifecycle.resume)

    world.run_until("2026-03-02")

    assert (world.status(customer), len(world.cycles(customer))) == ("active", 3)
    world.assert_everything_adds_up()


def test_a_debt_of_the_last_period_is_collected_after_the_end(world: World) -> None:
    world.publish(PLANS)
    customer = world.subscribed("daily", card="pm_sbx_insufficient_funds_1_then_ok")
    world.settle()
    cancel(world, customer, at_period_end=True)

    world.run_until("2026-01-10")

    assert (world.status(customer), len(world.cycles(customer))) == ("canceled", 1)
    assert world.psp.captures(customer) == 1
    world.assert_everything_adds_up()


# --- retrying -----------------------------------------------------------------------------------


def test_a_manual_retry_uses_no_rung(world: World) -> None:
    customer = world.subscribed("video-premium", card="pm_sbx_insufficient_funds")
    world.run_until("2026-01-05")
    assert world.payment(customer).rung == 2

    retry(world, customer)
    world.run_until("2026-02-01")

    # The waiting second rung was given back: five days after the manual attempt, then seven.
    assert [(row.kind, f"{row.first_sent_at:%d}") for row in world.attempts(customer)] == [
        ("first", "01"),
        ("ladder", "04"),
        ("manual", "05"),
        ("ladder", "10"),
        ("ladder", "17"),
    ]
    world.assert_everything_adds_up()


def test_a_given_up_payment_can_be_retried_while_its_cycle_is_open(world: World) -> None:
    customer = world.subscribed("video-premium", card="pm_sbx_insufficient_funds_4_then_ok")
    world.run_until("2026-01-20")
    assert world.payment(customer).state == "FAILED"

    retry(world, customer)
    world.settle()

    assert (world.payment(customer).state, world.status(customer)) == ("CAPTURED", "canceled")
    assert (world.entries("write_off"), world.entries("write_off_reversed")) == (1, 1)
    world.assert_everything_adds_up()


def test_a_retry_that_fails_again_is_written_off_again(world: World) -> None:
    customer = world.subscribed("video-premium", card="pm_sbx_insufficient_funds")
    world.run_until("2026-01-20")
    for _ in range(2):
        retry(world, customer)
        world.settle()

    assert world.payment(customer).state == "FAILED"
    assert (world.entries("write_off"), world.entries("write_off_reversed")) == (3, 2)
    world.assert_everything_adds_up()


def test_an_unpaid_subscription_that_pays_skips_what_it_missed(world: World) -> None:
    world.publish(PLANS)
    customer = world.subscribed("unpaid", card="pm_sbx_insufficient_funds_3_then_ok")
    world.run_until("2026-03-10")
    assert (world.status(customer), len(world.cycles(customer))) == ("unpaid", 1)

    retry(world, customer)
    world.run_until("2026-04-02")

    assert world.status(customer) == "active"
    assert world.kinds(customer) == ["regular", "skipped", "regular", "regular"]
    assert world.psp.captures(customer) == 3
    world.assert_everything_adds_up()


def test_an_unpaid_subscription_with_a_new_card_goes_on(world: World) -> None:
    world.publish(PLANS)
    customer = world.subscribed("unpaid", card="pm_sbx_stolen_card")
    world.run_until("2026-01-10")
    assert world.status(customer) == "unpaid"

    assert world.new_card(customer) == 1
    world.run_until("2026-02-02")

    assert (world.status(customer), world.psp.captures(customer)) == ("active", 2)
    world.assert_everything_adds_up()


def test_an_unpaid_subscription_is_resumed_after_its_books_are_closed(world: World) -> None:
    world.publish(PLANS)
    customer = world.subscribed("unpaid", card="pm_sbx_stolen_card")
    world.run_until("2026-03-10")
    world.close_books()
    world.new_card(customer)

    change(world, customer, lifecycle.resume)
    world.run_until("2026-04-02")

    assert world.status(customer) == "active"
    assert world.kinds(customer) == ["regular", "skipped", "regular", "regular"]
    assert world.psp.captures(customer) == 2
    world.assert_everything_adds_up()


def test_a_retry_is_refused_once_the_books_are_closed(world: World) -> None:
    customer = world.subscribed("video-premium", card="pm_sbx_stolen_card")
    world.run_until("2026-02-10")
    world.close_books()

    with pytest.raises(Conflict, match="its cycle is closed"):
        retry(world, customer)
    assert world.new_card(customer) == 0
    world.assert_everything_adds_up()


def test_a_retry_is_refused_where_it_could_charge_twice_or_for_nothing(world: World) -> None:
    customer = world.subscribed("video-premium")
    world.psp.lose_next_answer(after_commit=True)
    world.tick()
    with pytest.raises(Conflict, match="is open"):
        retry(world, customer)

    world.run_until("2026-01-02")
    with pytest.raises(Conflict, match="nothing to retry"):
        retry(world, customer)
    world.assert_everything_adds_up()


def test_a_voided_payment_is_not_retried(world: World) -> None:
    customer = world.subscribed("video-premium", card="pm_sbx_insufficient_funds")
    world.settle()
    cancel(world, customer)

    with pytest.raises(Conflict, match="voided"):
        retry(world, customer)
    world.assert_everything_adds_up()


def test_a_policy_of_the_house_holds_where_a_plan_has_none(world: World) -> None:
    world.publish(PLANS)
    world.policy = replace(world.policy, catch_up="skip")
    customer = world.subscribed("daily")
    world.settle()
    world.jump_to("2026-01-05")

    world.settle()

    assert world.kinds(customer) == ["regular", "skipped", "skipped", "skipped", "regular"]
    world.assert_everything_adds_up()
