"""Cancellations at once that give back what was paid for the days that are left."""

from typing import Any

import pytest
from sqlalchemy import text

from billing.errors import BadInput, Conflict, ErrorCode
from billing.flows.refunds.requesting import NotRefundable
from billing.flows.subscriptions import lifecycle
from billing.rules.credit_notes import Destination
from billing.store.payments import recognition
from tests.scenarios.test_change_refunds import notes, refunded
from tests.scenarios.test_facts import TEAM, granted, left
from tests.scenarios.test_item_changes import CLI, NOW, PLANS, change
from tests.scenarios.world import Subscriber, World

DECLINED = "pm_card_chargeCustomerFail"


def cancel(world: World, customer: Subscriber, to: Destination | None, **more: Any) -> None:
    lifecycle.cancel(
        world.engine,
        customer.reference,
        at_period_end=more.pop("at_period_end", False),
        now=world.now,
        actor=CLI,
        why="moved away",
        policy=world.policy,
        gives_back=to,
        **more,
    )


def planned(world: World, customer: Subscriber, to: Destination) -> list[int]:
    """Return what the notes would give back, as it is told before."""
    with world.engine.begin() as conn:
        plan = lifecycle.plan_cancel(
            conn,
            customer.subscription_id,
            at_period_end=False,
            now=world.now,
            gives_back=to,
            policy=world.policy,
        )
    return [each.drafted.note.total for each in plan.notes]


def five(world: World, **more: Any) -> Subscriber:
    """Return who holds 5 units at 9.30 for January, on the 15th: 17 of 31 days are left."""
    world.publish(PLANS)
    customer = world.subscribed("basic", quantity=5, **more)
    world.run_until("2026-01-15")
    return customer


def test_the_days_left_become_credit(world: World) -> None:
    customer = five(world)

    assert planned(world, customer, Destination.CREDIT) == [2550]
    assert notes(world, customer) == [], "a preview changes nothing"
    cancel(world, customer, Destination.CREDIT)
    world.run_until("2026-03-02")

    assert notes(world, customer) == [("credit", 2550)]
    assert left(world, customer) == [2550]
    assert [row.status for row in world.invoices(customer)] == ["paid"]
    world.assert_everything_adds_up()


def test_the_days_left_are_refunded(world: World) -> None:
    customer = five(world)

    cancel(world, customer, Destination.REFUND)
    world.run_until("2026-02-02")

    assert notes(world, customer) == [("refund", 2550)]
    assert refunded(world, customer) == [2550]
    world.assert_everything_adds_up()


def test_nothing_is_given_back_where_nobody_says_so(world: World) -> None:
    customer = five(world)

    cancel(world, customer, None)
    world.run_until("2026-02-02")

    assert notes(world, customer) == []
    world.assert_everything_adds_up()


def test_what_a_change_charged_is_given_back_too(world: World) -> None:
    customer = five(world)
    change(world, customer, NOW, quantity=8)  # 3 units for 17 days: 15.30
    world.run_until("2026-01-22")

    cancel(world, customer, Destination.CREDIT)  # 10 of 31 days: 15.00 of five, 9.00 of three

    assert notes(world, customer) == [("credit", 900), ("credit", 1500)]
    world.assert_everything_adds_up()


def test_what_a_change_gave_back_before_is_not_given_back_again(world: World) -> None:
    customer = five(world)
    change(world, customer, NOW, quantity=2)  # three units for 17 days: 15.30
    world.run_until("2026-01-22")

    cancel(world, customer, Destination.CREDIT)  # two units for 10 days: 6.00

    assert notes(world, customer) == [("credit", 1530), ("credit", 600)]
    world.assert_everything_adds_up()


def test_a_set_up_fee_is_kept_and_the_discount_counts(world: World) -> None:
    world.publish(TEAM)
    customer = world.subscribed("team")
    world.settle()
    paid = world.invoices(customer)[0]

    cancel(world, customer, Destination.CREDIT)

    with world.engine.connect() as conn:
        lines = conn.execute(
            text(
                "SELECT l.item, n.net, l.amount FROM invoice_lines l"
                " LEFT JOIN credit_note_lines n ON n.invoice_id = l.invoice_id AND n.line = l.line"
                " WHERE l.invoice_id = :id ORDER BY l.line"
            ),
            {"id": paid.id},
        ).all()
    assert {row.item: row.net for row in lines if row.item == "setup"} == {"setup": None}
    assert all(row.net == row.amount for row in lines if row.item != "setup")
    world.assert_everything_adds_up()


def test_what_credit_paid_is_no_money_and_becomes_credit(world: World) -> None:
    world.publish(PLANS)
    customer = world.subscribed("basic", quantity=5)
    granted(world, customer, 5000)
    world.run_until("2026-01-15")

    with pytest.raises(NotRefundable):
        cancel(world, customer, Destination.REFUND)
    cancel(world, customer, Destination.CREDIT)

    assert notes(world, customer) == [("credit", 2550)]
    assert left(world, customer) == [350, 2550]
    world.assert_everything_adds_up()


def test_what_is_owed_still_is_voided_and_not_credited(world: World) -> None:
    customer = five(world, card=DECLINED)

    assert planned(world, customer, Destination.CREDIT) == []
    cancel(world, customer, Destination.CREDIT)

    assert notes(world, customer) == []
    assert [row.status for row in world.invoices(customer)] == ["void"]
    world.assert_everything_adds_up()


def test_a_payment_that_is_being_made_comes_first(world: World) -> None:
    world.publish(PLANS)
    customer = world.subscribed("basic", quantity=5)
    world.psp.lose_next_answer(after_commit=True)
    world.tick()
    for attempt in (planned, cancel):
        with pytest.raises(Conflict) as error:
            attempt(world, customer, Destination.CREDIT)
        assert error.value.code is ErrorCode.CHANGE_PAYMENT_UNDER_WAY
    world.settle()
    world.assert_everything_adds_up()


def test_for_a_period_that_is_not_opened_yet_nothing_was_paid(world: World) -> None:
    customer = five(world)
    world.jump_to("2026-02-03")

    cancel(world, customer, Destination.CREDIT)
    world.run_until("2026-03-02")

    assert notes(world, customer) == []
    assert [row.status for row in world.invoices(customer)] == ["paid"]
    world.assert_everything_adds_up()


@pytest.mark.parametrize("plan", ["free", "basic"])
def test_a_trial_and_a_free_plan_give_nothing_back(world: World, plan: str) -> None:
    world.publish(PLANS.replace('every = "1 month"', 'every = "1 month"\ntrial = "14 days"'))
    customer = world.subscribed(plan)
    world.settle()

    cancel(world, customer, Destination.CREDIT)

    assert notes(world, customer) == []
    world.assert_everything_adds_up()


def test_at_the_periods_end_nothing_is_left(world: World) -> None:
    customer = five(world)

    with pytest.raises(BadInput, match="given back only now"):
        cancel(world, customer, Destination.CREDIT, at_period_end=True)


@pytest.mark.parametrize("to", [None, Destination.CREDIT, Destination.REFUND])
@pytest.mark.parametrize("daily", [False, True])
def test_what_is_kept_is_earned_when_nothing_is_served_any_more(
    world: World, to: Destination | None, daily: bool
) -> None:
    if daily:
        world.earn_daily()
    customer = five(world)
    cancel(world, customer, to)
    world.settle()
    world.close_books()

    invoice = world.invoices(customer)[0]
    with world.engine.begin() as conn:
        left_over = recognition.standings(conn, [invoice.id])[invoice.id].left
    assert left_over.deferred == 0
    world.assert_everything_adds_up()
