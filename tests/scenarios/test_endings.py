"""How a subscription ends, and what becomes of its open invoices; cards that can't be charged."""

from datetime import timedelta

import pytest

from billing.errors import BadInput, Conflict
from billing.flows.subscriptions import lifecycle
from billing.presenters import explain
from billing.queries.explain.read import explain_subscription
from billing.rules.actor import Actor, ActorKind
from tests.scenarios.money import balances
from tests.scenarios.test_changes import BASE, HEAD, LADDER, plan
from tests.scenarios.test_disputes import lost
from tests.scenarios.test_operators import cancel, change, parked_for, release, retry
from tests.scenarios.webhook_deliveries import webhooks_delivered_to
from tests.scenarios.world import BEGINNING, Subscriber, World, at

START = at("2026-01-12").replace(tzinfo=None)
BROKE = "pm_sbx_insufficient_funds"
# Of weekly invoices, the first is never paid, the second and the third are.
LATE = f"{BROKE}_2_then_ok_1_then_insufficient_funds_1_then_ok_1_then_insufficient_funds"


@pytest.fixture
def world(world: World) -> World:
    world.publish(
        HEAD
        + plan("monthly", "1 month", BASE, extra=LADDER.format("cancel"))
        + plan("weekly", "1 week", BASE, extra=LADDER.format("cancel"))
        + plan("daily", "1 day", BASE, extra=LADDER.format("cancel"))
        + plan("weekly-unpaid", "1 week", BASE, extra=LADDER.format("unpaid"))
        + plan("daily-unpaid", "1 day", BASE, extra=LADDER.format("unpaid"))
        + plan(
            "disputed", "1 week", BASE, extra=LADDER.format("cancel") + '\non_dispute = "cancel"'
        )
    )
    return world


def statuses(world: World, customer: Subscriber) -> list[str]:
    return [str(invoice.status) for invoice in world.invoices(customer)]


def told(world: World, customer: Subscriber) -> str:
    """Return what `explain` says of a subscription."""
    with world.engine.connect() as conn:
        explained = explain_subscription(conn, customer.reference, world.now)
    return "\n".join(line for part in explain.sections(explained) for line in part.sentences)


# --- a ladder that is over ----------------------------------------------------------------------


def test_nothing_is_charged_after_a_ladder_canceled_the_subscription(world: World) -> None:
    customer = world.subscribed("weekly", card=BROKE)
    world.run_until("2026-01-19")
    assert world.status(customer) == "canceled"

    assert world.new_card(customer) == 0
    world.run_until("2026-02-10")

    assert world.psp.captures(customer) == 0
    assert statuses(world, customer) == ["uncollectible", "void", "void"]
    world.assert_everything_adds_up()


def test_an_operator_may_collect_a_debt_by_hand_after_the_end(world: World) -> None:
    customer = world.subscribed("monthly", card=BROKE)
    world.run_until("2026-01-20")
    assert world.status(customer) == "canceled"
    world.new_card(customer)

    retry(world, customer)
    world.run_until("2026-01-21")

    assert (world.status(customer), world.psp.captures(customer)) == ("canceled", 1)
    world.assert_everything_adds_up()


@pytest.mark.parametrize("card", [None, BROKE], ids=["without a card", "with one that declines"])
def test_a_debt_that_was_given_up_and_is_tried_by_hand_in_vain_is_written_off_again(
    world: World, card: str | None
) -> None:
    customer = world.subscribed("monthly")
    world.run_until("2026-01-10")
    with webhooks_delivered_to(world) as deliveries:
        world.psp.post(f"payment_methods/{world.payment_methods(customer)[0]}/detach")
        deliveries.arrive_and_handle()
    world.run_until("2026-03-20")
    assert (world.status(customer), statuses(world, customer)[1]) == ("canceled", "uncollectible")
    before = balances(world)
    if card is not None:
        world.new_card(customer, card)

    retry(world, customer, 1)
    world.run_until("2026-03-21")

    assert statuses(world, customer)[1] == "uncollectible"
    assert (world.status(customer), balances(world)) == ("canceled", before)
    world.assert_everything_adds_up()


def test_a_debt_that_a_new_card_reopened_is_written_off_again_when_a_dispute_ends_it_all(
    world: World,
) -> None:
    customer = world.subscribed("disputed", card=LATE)
    world.run_until("2026-01-17")
    assert statuses(world, customer) == ["uncollectible", "paid", "paid"]

    assert world.new_card(customer, BROKE) == 1
    lost(world, customer)
    world.run_until("2026-03-10")

    assert world.status(customer) == "canceled"
    assert statuses(world, customer) == ["uncollectible", "paid", "paid"]
    world.assert_everything_adds_up()


def test_a_paid_period_is_served_to_its_end_whatever_older_invoice_is_given_up(
    world: World,
) -> None:
    customer = world.subscribed("weekly", card=LATE)
    world.run_until("2026-01-17")
    assert statuses(world, customer) == ["uncollectible", "paid", "paid"]
    assert world.status(customer) == "active"

    world.run_until("2026-01-23")

    assert (world.status(customer), len(world.cycles(customer))) == ("canceled", 3)
    assert world.subscription(customer).canceled_at == BEGINNING + timedelta(days=21)
    world.assert_everything_adds_up()


def test_a_paid_period_is_served_before_a_subscription_is_unpaid(world: World) -> None:
    customer = world.subscribed("weekly-unpaid", card=LATE)
    world.run_until("2026-01-17")
    assert (statuses(world, customer)[0], world.status(customer)) == ("uncollectible", "active")
    assert "unpaid from 2026-01-22" in told(world, customer)

    world.run_until("2026-01-23")
    assert (world.status(customer), len(world.cycles(customer))) == ("unpaid", 3)

    world.new_card(customer)
    world.run_until("2026-02-13")
    assert world.status(customer) == "active"
    assert world.kinds(customer) == ["regular"] * 7
    assert world.psp.captures(customer) == 7
    world.assert_everything_adds_up()


def test_a_debt_that_is_paid_before_the_paid_period_is_over_leaves_nothing_unpaid(
    world: World,
) -> None:
    customer = world.subscribed("weekly-unpaid", card=LATE)
    world.run_until("2026-01-17")

    world.new_card(customer)
    world.run_until("2026-01-30")

    assert (world.status(customer), world.psp.captures(customer)) == ("active", 5)
    world.assert_everything_adds_up()


# Of weekly invoices the first is given up and the second is past due, and the third is paid.
TWO = f"{BROKE}_5_then_ok_1_then_insufficient_funds"


@pytest.mark.parametrize("kind", ["weekly", "weekly-unpaid"])
def test_all_debts_paid_leave_no_end_and_nothing_unpaid_whichever_is_paid_last(
    world: World, kind: str
) -> None:
    customer = world.subscribed(kind, card=TWO)
    world.run_until("2026-01-16 01:00")
    assert statuses(world, customer) == ["uncollectible", "open", "paid"]

    world.new_card(customer)
    world.run_until("2026-03-01")

    assert (world.status(customer), set(statuses(world, customer))) == ("active", {"paid"})
    assert world.events(customer)[-2:] == ["kept", "recovered"]
    world.assert_everything_adds_up()


def test_a_lost_dispute_outlasts_the_end_of_a_ladder_that_is_taken_back(world: World) -> None:
    customer = world.subscribed("disputed", card=LATE)
    world.run_until("2026-01-17")
    assert world.subscription(customer).ended_by == "ladder"

    lost(world, customer, 1)
    assert world.subscription(customer).ended_by == "dispute"
    world.new_card(customer)
    world.run_until("2026-03-01")

    assert (world.status(customer), len(world.cycles(customer))) == ("canceled", 3)
    world.assert_everything_adds_up()


@pytest.mark.parametrize("asked_on", ["2026-01-15 12:00", "2026-01-18"])
def test_an_end_that_was_asked_for_stays_when_a_debt_that_was_given_up_is_paid(
    world: World, asked_on: str
) -> None:
    declined_on_the_16th = f"{LATE}_1_then_ok"
    customer = world.subscribed("weekly", card=declined_on_the_16th)
    world.run_until(asked_on)
    cancel(world, customer, at_period_end=True)
    world.run_until("2026-01-19")
    assert statuses(world, customer)[0] == "uncollectible"

    retry(world, customer, 0)
    world.run_until("2026-03-01")

    assert (world.status(customer), len(world.cycles(customer))) == ("canceled", 3)
    assert world.psp.captures(customer) == 3
    world.assert_everything_adds_up()


@pytest.mark.parametrize(("plan", "status"), [("daily", "canceled"), ("daily-unpaid", "unpaid")])
def test_a_budget_puts_attempts_off_but_not_the_end_of_the_ladder(
    world: World, plan: str, status: str
) -> None:
    customer = world.subscribed(plan, card=BROKE)

    world.run_until("2026-01-17")

    assert world.status(customer) == status
    assert len(world.cycles(customer)) <= 17
    world.assert_everything_adds_up()


def test_a_card_that_needs_the_customer_ends_no_later_than_its_ladder(world: World) -> None:
    customer_id, provider_id = world.customer(f"{BROKE}_2_then_expired_card")
    first = world.subscribe(customer_id, provider_id, "monthly")
    other_starts = at("2026-01-03 12:00").replace(tzinfo=None)
    other = world.subscribe(customer_id, provider_id, "monthly", starts=other_starts)

    # The other one's decline puts the second attempt off by half a day, and so fixes the end.
    world.run_until("2026-01-04")
    ends_at = world.payment(first).ladder_ends_at
    assert ends_at is not None
    world.run_until("2026-01-05")

    assert world.sent_on(first) == ["2026-01-01", "2026-01-04"]
    waiting = world.payment(first)
    assert waiting.decline_class == "needs_customer"
    assert (waiting.ladder_ends_at, waiting.next_attempt_at) == (ends_at, ends_at)
    world.run_until(f"{ends_at:%Y-%m-%d %H:%M}")
    assert world.status(first) == "canceled"
    world.run_until("2026-03-01")
    assert world.status(other) == "canceled"
    world.assert_everything_adds_up()


def test_a_new_card_collects_what_the_budget_of_the_old_one_put_off(world: World) -> None:
    customer_id, provider_id = world.customer(BROKE)
    for _ in range(3):
        world.subscribe(customer_id, provider_id, "monthly")
    fourth = world.subscribe(customer_id, provider_id, "monthly", starts=START)
    world.run_until("2026-01-13")

    assert world.new_card(fourth) == 4
    world.run_until("2026-01-14")

    assert world.payment(fourth).state == "CAPTURED"
    world.assert_everything_adds_up()


@pytest.mark.parametrize("card", ["pm_sbx_expired_card", "pm_sbx_stolen_card"])
@pytest.mark.parametrize(("plan", "status"), [("daily", "canceled"), ("daily-unpaid", "unpaid")])
def test_a_card_that_was_stopped_is_tried_once_until_the_ladder_ends(
    world: World, plan: str, status: str, card: str
) -> None:
    customer = world.subscribed(plan, card=card)

    world.run_until("2026-01-18")

    assert (world.status(customer), len(world.psp.charges(customer))) == (status, 1)
    world.assert_everything_adds_up()


@pytest.mark.parametrize("lost_answers", [1, 3])
def test_an_attempt_that_is_open_when_a_ladder_ends_is_the_last_one(
    world: World, lost_answers: int
) -> None:
    customer = world.subscribed("weekly", card=BROKE)
    world.run_until("2026-01-15 23:00")
    world.psp.fault("reset_after_commit", times=lost_answers)

    world.run_until("2026-02-20")

    assert (world.status(customer), world.psp.captures(customer)) == ("canceled", 0)
    world.assert_everything_adds_up()


def test_a_pause_outlives_a_debt_behind_a_paid_period(world: World) -> None:
    customer = world.subscribed("weekly-unpaid", card=LATE)
    world.run_until("2026-01-17")
    change(world, customer, lifecycle.pause)
    world.run_until("2026-02-01")
    assert world.status(customer) == "unpaid"

    world.new_card(customer)
    world.run_until("2026-02-20")

    assert (world.status(customer), world.psp.captures(customer)) == ("paused", 3)
    world.assert_everything_adds_up()


# --- the period's end ---------------------------------------------------------------------------


def test_a_new_card_collects_the_debt_of_the_last_period_after_its_end(world: World) -> None:
    customer = world.subscribed("daily", card="pm_sbx_expired_card")
    world.settle()
    cancel(world, customer, at_period_end=True)
    world.run_until("2026-01-03")
    assert world.status(customer) == "canceled"
    assert "still collected: 1 open payment" in told(world, customer)

    assert world.new_card(customer) == 1
    world.run_until("2026-01-04")

    assert (world.status(customer), world.psp.captures(customer)) == ("canceled", 1)
    assert "It is not charged" in told(world, customer)
    world.assert_everything_adds_up()


# --- an operator's end ---------------------------------------------------------------------------


def test_what_ends_before_its_first_period_is_explained_so(world: World) -> None:
    customer = world.subscribed("monthly", starts=at("2026-02-01").replace(tzinfo=None))

    cancel(world, customer, at_period_end=True)

    assert "It is never charged: it ends before its first period" in told(world, customer)
    world.run_until("2026-02-03")
    assert (world.status(customer), world.cycles(customer)) == ("canceled", [])


def test_canceling_now_bills_what_was_served_and_not_opened(world: World) -> None:
    customer = world.subscribed("weekly")
    world.run_until("2026-01-02")
    world.jump_to("2026-01-24")

    cancel(world, customer)
    world.run_until("2026-02-24")

    assert (world.status(customer), world.kinds(customer)) == ("canceled", ["regular"] * 3)
    assert world.psp.captures(customer) == 3
    assert world.subscription(customer).canceled_at == at("2026-01-24")
    world.assert_everything_adds_up()


def test_what_is_left_to_an_operator_is_decided_before_a_subscription_ends(world: World) -> None:
    world.publish(HEAD + plan("p", "1 month", BASE, extra='catch_up = "park"'))
    customer = world.subscribed("p")
    world.run_until("2026-01-05")
    world.jump_to("2026-04-10")
    world.tick()

    with pytest.raises(Conflict, match="was served and can't be billed"):
        cancel(world, customer)
    cancel(world, customer, at_period_end=True)
    release(world, customer, "bill")
    world.run_until("2026-05-05")

    assert (world.status(customer), len(world.invoices(customer))) == ("canceled", 4)


def test_canceling_now_can_forgive_what_was_served(world: World) -> None:
    customer = world.subscribed("weekly")
    world.run_until("2026-01-02")
    world.jump_to("2026-01-24")

    lifecycle.cancel(
        world.engine,
        customer.reference,
        at_period_end=False,
        now=world.now,
        actor=Actor(ActorKind.CLI, "operator"),
        why="a gift",
        forgive=True,
    )
    world.run_until("2026-02-24")

    assert (world.status(customer), world.kinds(customer)) == ("canceled", ["regular"])
    assert world.psp.captures(customer) == 1
    world.assert_everything_adds_up()


def test_what_was_served_is_forgiven_only_by_canceling_now(world: World) -> None:
    customer = world.subscribed("monthly")

    with pytest.raises(BadInput, match="only now"):
        lifecycle.cancel(
            world.engine,
            customer.reference,
            at_period_end=True,
            forgive=True,
            now=world.now,
            actor=Actor(ActorKind.CLI, "operator"),
            why="a mistake",
        )

    assert world.subscription(customer).cancels_at is None


def test_a_debt_of_what_was_served_before_an_operators_end_is_collected_by_a_new_card(
    world: World,
) -> None:
    customer = world.subscribed("weekly", card="pm_sbx_ok_1_then_expired_card")
    world.run_until("2026-01-02")
    world.jump_to("2026-01-16")
    cancel(world, customer)
    world.run_until("2026-01-17")
    assert statuses(world, customer) == ["paid", "open"]

    assert world.new_card(customer) == 1
    world.run_until("2026-01-18")

    assert (world.status(customer), world.psp.captures(customer)) == ("canceled", 2)
    world.assert_everything_adds_up()


# --- a card that can't be charged ---------------------------------------------------------------


def test_a_card_that_was_detached_leads_to_dunning_and_a_new_one_collects(world: World) -> None:
    customer = world.subscribed("monthly")
    world.run_until("2026-01-10")
    world.psp.post(f"payment_methods/{world.payment_methods(customer)[0]}/detach")

    world.run_until("2026-02-05")
    assert (world.status(customer), parked_for(world, customer)) == ("past_due", None)
    assert world.payment(customer).decline_class == "needs_customer"

    assert world.new_card(customer) == 1
    world.run_until("2026-02-06")

    assert (world.status(customer), world.psp.captures(customer)) == ("active", 2)
    world.assert_everything_adds_up()


@pytest.mark.parametrize("card", ["pm_sbx_stolen_card", "pm_sbx_expired_card"])
def test_a_card_that_was_stopped_is_tried_for_no_other_invoice(world: World, card: str) -> None:
    customer_id, provider_id = world.customer(card)
    subscribers = [world.subscribe(customer_id, provider_id, "monthly") for _ in range(3)]

    world.run_until("2026-01-03")

    assert len(world.psp.charges(subscribers[0])) == 1
    assert sum(len(world.attempts(each)) for each in subscribers) == 1
    world.assert_everything_adds_up()


def test_a_card_that_was_stopped_is_not_tried_after_a_downtime(world: World) -> None:
    customer = world.subscribed("weekly", card="pm_sbx_ok_1_then_expired_card")
    world.run_until("2026-01-02")
    world.jump_to("2026-01-24")

    world.settle()

    assert len(world.psp.charges(customer)) == 2
    assert world.new_card(customer) == 3
    world.run_until("2026-01-25")
    assert (world.status(customer), world.psp.captures(customer)) == ("active", 4)
    world.assert_everything_adds_up()


def test_a_person_may_ask_for_an_attempt_with_a_stopped_card(world: World) -> None:
    customer = world.subscribed("monthly", card="pm_sbx_expired_card_1_then_ok")
    world.run_until("2026-01-02")

    retry(world, customer)
    world.run_until("2026-02-02")

    assert (world.status(customer), world.psp.captures(customer)) == ("active", 2)
    world.assert_everything_adds_up()
