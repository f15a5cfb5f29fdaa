"""Changes of plan and quantities: now, at the period's end, late, withdrawn, and by a quote."""

import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from billing.errors import BillingError, Conflict, ErrorCode
from billing.flows.subscriptions import change_quotes, changing, lifecycle
from billing.flows.subscriptions.changed_terms import ChangeOrder
from billing.ids import new_id
from billing.rules.actor import Actor, ActorKind
from billing.rules.item_changes import Applies, ChangeAsked
from billing.store.payments import recognition
from tests.scenarios.test_coupons import redeem
from tests.scenarios.test_facts import ADDONS as TEAM_ADDONS
from tests.scenarios.test_facts import TEAM, granted, left, lines_of
from tests.scenarios.world import Subscriber, World, at

CLI = Actor(ActorKind.CLI, "operator")
PLANS = """
product = "Search API"

[[plan]]
code = "basic"
name = "Basic"
every = "1 month"
anchor_day = 1

  [[plan.version]]
  effective = 2026-01-01
  price = { USD = "9.30" }

[[plan]]
code = "pro"
name = "Pro"
every = "1 month"
anchor_day = 1

  [[plan.version]]
  effective = 2026-01-01
  price = { USD = "31.00" }

[[plan]]
code = "free"
every = "1 month"
anchor_day = 1

  [[plan.version]]
  effective = 2026-01-01

    [[plan.version.item]]
    code = "base"
    price = { USD = "0" }

[[plan]]
code = "pro-yearly"
every = "1 year"

  [[plan.version]]
  effective = 2026-01-01
  price = { USD = "310.00" }
"""
VOLUME = """
product = "Search API"

[[plan]]
code = "volume"
every = "1 month"
anchor_day = 1

  [[plan.version]]
  effective = 2026-01-01

    [[plan.version.item]]
    code = "units"
    per = "unit"
    quantity = { min = 1, max = 100, default = 1 }
    tiers = "volume"
    tier = [ { up_to = 10, unit = { USD = "2.00" } }, { unit = { USD = "1.00" } } ]
"""
NOW, LATER = Applies.NOW, Applies.PERIOD_END


def change(
    world: World,
    customer: Subscriber,
    applies: Applies | None = LATER,
    *,
    digest: str | None = None,
    **order: Any,
) -> change_quotes.ChangeQuote:
    return changing.change(
        world.engine,
        customer.reference,
        ChangeOrder(applies=applies, **order),
        change_id=new_id(),
        now=world.now,
        asked=ChangeAsked(world.now, CLI, "asked"),
        policy=world.policy,
        digest=digest,
    )


def quote(
    world: World, customer: Subscriber, applies: Applies | None = LATER, **order: Any
) -> change_quotes.ChangeQuote:
    with world.engine.begin() as conn:
        return changing.quote(
            conn,
            customer.reference,
            ChangeOrder(applies=applies, **order),
            now=world.now,
            policy=world.policy,
        )


def dues(world: World, customer: Subscriber) -> list[int]:
    return [invoice.due for invoice in world.invoices(customer)]


def test_a_quantity_changes_from_the_next_period_on(world: World) -> None:
    world.publish(PLANS)
    customer = world.subscribed("basic", quantity=2)
    world.run_until("2026-01-10")

    change(world, customer, quantity=5)
    world.run_until("2026-03-02")

    assert dues(world, customer) == [1860, 4650, 4650]
    world.assert_everything_adds_up()


def test_an_item_changes_from_the_next_period_on(world: World) -> None:
    world.publish(TEAM)
    customer = world.subscribed("team", items={"seats": 5})
    world.run_until("2026-01-10")

    change(world, customer, items={"seats": 7})
    world.run_until("2026-02-02")

    assert lines_of(world, world.invoices(customer)[1]) == [("base", 1, 9900), ("seats", 7, 2400)]
    world.assert_everything_adds_up()


def test_a_period_is_priced_by_what_held_when_it_began_whatever_was_missed(world: World) -> None:
    world.publish(PLANS)
    customer = world.subscribed("basic", quantity=2)
    world.run_until("2026-01-10")
    change(world, customer, quantity=5)

    world.jump_to("2026-03-10")
    change(world, customer, quantity=7)
    world.run_until("2026-04-02")

    assert dues(world, customer) == [1860, 4650, 4650, 6510]
    world.assert_everything_adds_up()


def test_a_plan_changes_from_the_next_period_on(world: World) -> None:
    world.publish(PLANS)
    customer = world.subscribed("basic", quantity=2)
    world.run_until("2026-01-10")

    change(world, customer, plan="pro")
    world.run_until("2026-02-02")

    assert dues(world, customer) == [1860, 6200]  # the quantity is kept
    assert [cycle.plan for cycle in world.cycles(customer)] == ["basic", "pro"]
    world.assert_everything_adds_up()


def test_of_several_changes_the_last_one_that_names_an_item_wins(world: World) -> None:
    world.publish(PLANS)
    customer = world.subscribed("basic")
    world.run_until("2026-01-10")

    change(world, customer, quantity=4)
    change(world, customer, plan="pro")
    change(world, customer, quantity=3)
    world.run_until("2026-02-02")

    assert dues(world, customer) == [930, 9300]
    world.assert_everything_adds_up()


def test_units_that_a_later_plan_does_not_sell_are_neither_charged_nor_kept(world: World) -> None:
    world.publish(PLANS)
    customer = world.subscribed("basic", quantity=2)
    world.run_until("2026-01-10")
    change(world, customer, quantity=7)
    change(world, customer, NOW, plan="free")
    world.run_until("2026-02-10")
    assert len(dues(world, customer)) == 1

    change(world, customer, NOW, plan="basic")
    world.run_until("2026-03-02")

    assert world.invoices(customer)[-1].total == 930
    world.assert_everything_adds_up()


def test_more_units_now_cost_the_share_that_is_left_and_are_paid_at_once(world: World) -> None:
    world.publish(PLANS)
    customer = world.subscribed("basic", quantity=2)
    world.run_until("2026-01-15 09:00")

    quoted = change(world, customer, NOW, quantity=5)
    world.run_until("2026-02-02")

    # 3 x 9.30 x 17 of 31 days
    assert quoted.draft is not None
    assert quoted.draft.due == 1530
    first, extra, second = world.invoices(customer)
    assert (first.due, extra.due, second.due) == (1860, 1530, 4650)
    assert extra.number == f"{first.number}-1"
    assert [each.status for each in (first, extra, second)] == ["paid"] * 3
    world.assert_everything_adds_up()


def test_a_second_change_on_one_day_costs_what_one_would(world: World) -> None:
    world.publish(TEAM)
    customer = world.subscribed("team", items={"seats": 5})
    world.run_until("2026-01-15 09:00")

    change(world, customer, NOW, items={"seats": 6})
    world.run_until("2026-01-15 12:00")
    change(world, customer, NOW, items={"seats": 60})
    world.run_until("2026-02-02")

    _, one, other, _ = world.invoices(customer)
    # 45 x 12.00 + 10 x 9.50 = 635.00 x 17 of 31 days
    assert one.due + other.due == 34823
    assert other.number.endswith("-2")
    world.assert_everything_adds_up()


def test_credit_pays_a_change(world: World) -> None:
    world.publish(PLANS)
    customer = world.subscribed("basic")
    world.run_until("2026-01-15 09:00")
    granted(world, customer, 500)

    change(world, customer, NOW, quantity=3)
    world.run_until("2026-01-20")

    extra = world.invoices(customer)[1]
    assert (extra.total, extra.credit, extra.due) == (1020, 500, 520)
    world.assert_everything_adds_up()


def test_from_a_free_plan_the_rest_of_the_period_is_charged(world: World) -> None:
    world.publish(PLANS)
    customer = world.subscribed("free")
    world.run_until("2026-01-15 09:00")

    change(world, customer, NOW, plan="pro")
    world.run_until("2026-02-02")

    assert dues(world, customer) == [1700, 3100]
    world.assert_everything_adds_up()


def test_a_quote_is_applied_as_it_is_and_nothing_else_is(world: World) -> None:
    world.publish(PLANS)
    customer = world.subscribed("basic")
    world.run_until("2026-01-15 09:00")

    quoted = quote(world, customer, NOW, quantity=3)
    world.run_until("2026-01-15 17:00")
    done = change(world, customer, NOW, quantity=3, digest=quoted.digest)

    assert done.digest == quoted.digest
    assert dues(world, customer) == [930, 1020]
    world.run_until("2026-01-16")
    world.assert_everything_adds_up()


@pytest.mark.parametrize("moved", ["day", "quantity", "credit"])
def test_a_quote_that_moved_is_refused(world: World, moved: str) -> None:
    world.publish(PLANS)
    customer = world.subscribed("basic")
    world.run_until("2026-01-15 09:00")
    quoted = quote(world, customer, NOW, quantity=3)

    if moved == "day":
        world.run_until("2026-01-16")
    elif moved == "quantity":
        change(world, customer, NOW, quantity=2)
        world.run_until("2026-01-15 10:00")
    else:
        granted(world, customer, 100)

    with pytest.raises(Conflict) as refused:
        change(world, customer, NOW, quantity=3, digest=quoted.digest)
    assert refused.value.code is ErrorCode.QUOTE_MOVED
    world.run_until("2026-01-17")
    world.assert_everything_adds_up()


def test_a_quote_changes_nothing(world: World) -> None:
    world.publish(PLANS)
    customer = world.subscribed("basic")
    world.run_until("2026-01-15 09:00")

    quote(world, customer, NOW, quantity=3)
    later = quote(world, customer, LATER, plan="pro", quantity=2)
    world.run_until("2026-02-02")

    assert later.draft is not None
    assert later.draft.due == 6200
    assert dues(world, customer) == [930, 930]


def test_a_scheduled_change_is_withdrawn_and_others_are_kept(world: World) -> None:
    world.publish(PLANS)
    customer = world.subscribed("basic")
    world.run_until("2026-01-10")
    plan = change(world, customer, plan="pro").terms.change.change_id
    change(world, customer, quantity=2)
    assert plan is not None

    asked = ChangeAsked(world.now, CLI, "a mistake")
    changing.withdraw(world.engine, customer.reference, plan, withdrawal_id=new_id(), asked=asked)
    world.run_until("2026-02-02")

    assert dues(world, customer) == [930, 1860]
    with pytest.raises(Conflict) as refused:
        changing.withdraw(
            world.engine, customer.reference, plan, withdrawal_id=new_id(), asked=asked
        )
    assert refused.value.code is ErrorCode.CHANGE_HOLDS
    world.assert_everything_adds_up()


def test_a_change_that_a_period_was_opened_with_is_not_withdrawn_by_a_clock_that_is_behind(
    world: World,
) -> None:
    world.publish(PLANS)
    customer = world.subscribed("basic")
    world.run_until("2026-01-10")
    more = change(world, customer, quantity=2).terms.change.change_id
    assert more is not None
    world.run_until("2026-02-02")

    behind = ChangeAsked(at("2026-01-31 23:59"), CLI, "a mistake")
    with pytest.raises(Conflict) as refused:
        changing.withdraw(
            world.engine, customer.reference, more, withdrawal_id=new_id(), asked=behind
        )

    assert refused.value.code is ErrorCode.CHANGE_HOLDS
    world.assert_everything_adds_up()


@pytest.mark.parametrize(
    ("order", "code"),
    [
        ({"plan": "prro"}, ErrorCode.PLAN_NOT_PUBLISHED),
        ({"quantity": 1}, ErrorCode.CHANGE_NOTHING),
        ({}, ErrorCode.CHANGE_NOTHING),
        ({"items": {"seats": 3}}, ErrorCode.ITEM_UNKNOWN),
        ({"quantity": 0}, ErrorCode.ITEM_QUANTITY_RANGE),
    ],
)
def test_what_a_change_may_not_say(world: World, order: dict[str, Any], code: ErrorCode) -> None:
    world.publish(PLANS)
    customer = world.subscribed("basic")
    world.run_until("2026-01-10")

    with pytest.raises(BillingError) as refused:
        change(world, customer, **order)
    assert refused.value.code is code


def test_the_example_of_the_page_is_what_is_invoiced(world: World) -> None:
    world.publish(PLANS)
    customer = world.subscribed("basic", quantity=2)
    world.run_until("2026-01-15 09:00")
    change(world, customer, NOW, quantity=5)
    world.run_until("2026-02-02")

    page = (Path(__file__).parents[2] / "docs" / "changes.md").read_text()
    rows = re.findall(r"^\| invoice of .* \| (\d+)\.(\d\d) \|$", page, re.MULTILINE)
    assert [int(whole + cents) for whole, cents in rows] == dues(world, customer)


def test_a_change_in_a_trial_costs_nothing_and_holds_when_it_is_over(world: World) -> None:
    world.publish(
        PLANS.replace('code = "basic"', 'code = "basic"').replace(
            '  effective = 2026-01-01\n  price = { USD = "9.30" }',
            '  effective = 2026-01-01\n  trial = "14 days"\n  price = { USD = "9.30" }',
        )
    )
    customer = world.subscribed("basic")
    world.run_until("2026-01-05")

    assert change(world, customer, NOW, quantity=4).draft is None
    world.run_until("2026-02-02")

    assert [cycle.kind for cycle in world.cycles(customer)] == ["trial", "regular", "regular"]
    # 4 x 9.30 x 17 of 31 days, from the 15th on
    assert dues(world, customer) == [2040, 3720]
    world.assert_everything_adds_up()


def test_while_an_invoice_is_being_paid_a_change_waits_for_the_period_end(world: World) -> None:
    world.publish(PLANS)
    customer = world.subscribed("basic")
    world.open()

    with pytest.raises(Conflict) as refused:
        change(world, customer, NOW, quantity=4)
    assert refused.value.code is ErrorCode.CHANGE_PAYMENT_UNDER_WAY
    change(world, customer, LATER, quantity=4)
    world.run_until("2026-02-02")

    assert dues(world, customer) == [930, 3720]
    world.assert_everything_adds_up()


def test_who_owes_pays_no_more_now_and_may_take_less_later(world: World) -> None:
    world.publish(PLANS)
    customer = world.subscribed("basic", quantity=4, card="pm_card_chargeCustomerFail")
    world.run_until("2026-01-03")

    with pytest.raises(Conflict) as refused:
        change(world, customer, NOW, quantity=5)
    assert refused.value.code is ErrorCode.CHANGE_PAST_DUE
    assert change(world, customer, NOW, quantity=1).applies is LATER
    world.new_card(customer)
    world.run_until("2026-02-02")

    assert dues(world, customer) == [3720, 930]
    world.assert_everything_adds_up()


def test_while_paused_a_change_waits_for_the_resumption(world: World) -> None:
    world.publish(PLANS)
    customer = world.subscribed("basic")
    world.run_until("2026-01-10")
    lifecycle.pause(world.engine, customer.reference, now=world.now, actor=CLI, why="holiday")

    assert change(world, customer, NOW, quantity=4).applies is LATER
    world.run_until("2026-02-10")
    lifecycle.resume(world.engine, customer.reference, now=world.now, actor=CLI, why="back")
    world.run_until("2026-03-02")

    assert dues(world, customer) == [930, 3720]
    world.assert_everything_adds_up()


def test_an_ending_or_ended_subscription_is_not_changed(world: World) -> None:
    world.publish(PLANS)
    customer = world.subscribed("basic")
    world.run_until("2026-01-10")
    change(world, customer, quantity=4)
    lifecycle.cancel(
        world.engine, customer.reference,
        at_period_end=True, now=world.now, actor=CLI, why="asked",
    )  # fmt: skip

    for applies in Applies:
        with pytest.raises(Conflict) as refused:
            change(world, customer, applies, quantity=5)
        assert refused.value.code is ErrorCode.CHANGE_ENDING
    world.run_until("2026-02-02")
    with pytest.raises(Conflict) as refused:
        change(world, customer, quantity=5)
    assert refused.value.code is ErrorCode.SUBSCRIPTION_ENDED
    assert dues(world, customer) == [930]
    world.assert_everything_adds_up()


def test_before_the_first_period_a_change_holds_from_its_start(world: World) -> None:
    world.publish(PLANS)
    customer = world.subscribed("basic", starts=at("2026-02-01").replace(tzinfo=None))

    assert change(world, customer, NOW, quantity=4).applies is LATER
    world.run_until("2026-02-02")

    assert dues(world, customer) == [3720]
    world.assert_everything_adds_up()


def test_without_a_word_dearer_is_now_and_cheaper_is_later(world: World) -> None:
    world.publish(PLANS)
    customer = world.subscribed("basic", quantity=2)
    world.run_until("2026-01-15 09:00")

    assert change(world, customer, None, quantity=3).applies is NOW
    world.run_until("2026-01-16")
    assert change(world, customer, None, quantity=1).applies is LATER
    world.run_until("2026-02-02")

    assert dues(world, customer) == [1860, 510, 930]
    world.assert_everything_adds_up()


def test_a_period_that_is_not_opened_yet_is_not_changed_within(world: World) -> None:
    world.publish(PLANS)
    customer = world.subscribed("basic")
    world.run_until("2026-01-10")
    world.jump_to("2026-02-03")

    with pytest.raises(Conflict) as refused:
        change(world, customer, NOW, quantity=2)
    assert refused.value.code is ErrorCode.CHANGE_PERIOD_NOT_OPENED


def test_on_the_boundary_a_change_belongs_to_the_new_period(world: World) -> None:
    world.publish(PLANS)
    customer = world.subscribed("basic")
    world.run_until("2026-01-10")
    world.jump_to("2026-02-01")

    assert change(world, customer, NOW, quantity=2).draft is not None
    world.run_until("2026-02-02")

    assert dues(world, customer) == [930, 1860]
    world.assert_everything_adds_up()


@pytest.mark.parametrize("quantity", [5, 1])
def test_a_change_that_waited_while_the_next_period_was_opened_holds_from_its_start(
    world: World, quantity: int
) -> None:
    world.publish(PLANS)
    customer = world.subscribed("basic", quantity=2)
    world.run_until("2026-02-01 00:01")
    asked = ChangeAsked(at("2026-01-31 23:59:30"), CLI, "asked")

    done = changing.change(
        world.engine,
        customer.reference,
        ChangeOrder(applies=NOW, quantity=quantity),
        change_id=new_id(),
        now=asked.at,
        asked=asked,
        policy=world.policy,
    )

    assert done.holds_from == at("2026-02-01")
    world.run_until("2026-03-02")
    assert sum(dues(world, customer)) == 1860 + 930 * quantity * 2
    world.assert_everything_adds_up()


@pytest.mark.parametrize("declined", ["expired_card", "insufficient_funds"])
def test_a_new_card_pays_what_a_change_left_open(world: World, declined: str) -> None:
    world.publish(PLANS)
    customer = world.subscribed("basic", card=f"pm_sbx_ok_1_then_{declined}")
    world.run_until("2026-01-10")
    change(world, customer, NOW, quantity=4)
    world.run_until("2026-01-11")
    assert world.psp.captures(customer) == 1

    assert world.new_card(customer) == 1
    world.run_until("2026-01-12")

    assert world.psp.captures(customer) == 2
    world.assert_everything_adds_up()


def test_a_period_that_a_change_of_plan_paid_for_is_served_to_its_end(world: World) -> None:
    """The first plan's invoice was given back whole; a debt given up later ends nothing before."""
    world.publish(PLANS)
    customer = world.subscribed("basic", card="pm_sbx_ok_3_then_insufficient_funds")
    world.run_until("2026-02-01")
    change(world, customer, NOW, plan="pro")
    world.run_until("2026-02-01 01:00")
    assert [each.status for each in world.invoices(customer)] == ["paid"] * 3

    change(world, customer, NOW, quantity=2)
    world.run_until("2026-02-27")  # the ladder ends after 15 days
    assert world.subscription(customer).status == "active"
    world.run_until("2026-03-02")

    assert world.subscription(customer).status == "canceled"
    world.assert_everything_adds_up()


def test_the_service_of_a_change_is_earned_by_the_period_end(world: World) -> None:
    world.earn_daily()
    world.publish(PLANS)
    customer = world.subscribed("basic", quantity=2)
    world.run_until("2026-01-15 09:00")
    change(world, customer, NOW, quantity=5)
    world.run_until("2026-01-20")
    world.close_books()

    extra = world.invoices(customer)[1]
    with world.engine.connect() as conn:
        earned = recognition.of_invoice(conn, extra.id)
    # 5 of 17 days of 15.30
    assert sum(each.amount for each in earned) == 450
    world.run_until("2026-03-02")
    world.assert_everything_adds_up()


def notes(world: World) -> list[tuple[str, int]]:
    """Return the numbers and totals of all credit notes."""
    with world.engine.connect() as conn:
        rows = conn.execute(text("SELECT number, total FROM credit_notes ORDER BY id"))
        return [(row.number, row.total) for row in rows]


def test_a_dearer_plan_now_costs_the_difference_for_the_days_left(world: World) -> None:
    world.publish(PLANS)
    customer = world.subscribed("basic")
    world.run_until("2026-01-15 09:00")

    change(world, customer, NOW, plan="pro")
    world.run_until("2026-02-02")

    # 9.30 x 17/31 is given back, 31.00 x 17/31 is charged
    assert [total for _, total in notes(world)] == [510]
    _, extra, _ = world.invoices(customer)
    assert (extra.total, extra.credit, extra.due) == (1700, 510, 1190)
    assert dues(world, customer) == [930, 1190, 3100]
    world.assert_everything_adds_up()


def test_fewer_units_now_are_credit_for_the_next_invoice(world: World) -> None:
    world.publish(PLANS)
    customer = world.subscribed("basic", quantity=5)
    world.run_until("2026-01-15 09:00")

    change(world, customer, NOW, quantity=2)
    world.run_until("2026-02-02")

    assert [total for _, total in notes(world)] == [1530]
    assert [(each.total, each.credit) for each in world.invoices(customer)] == [
        (4650, 0),
        (1860, 1530),
    ]
    world.assert_everything_adds_up()


def test_a_change_and_its_opposite_on_one_day_cost_nothing(world: World) -> None:
    world.publish(PLANS)
    customer = world.subscribed("basic", quantity=2)
    world.run_until("2026-01-15 09:00")

    change(world, customer, NOW, quantity=5)
    world.run_until("2026-01-15 10:00")
    change(world, customer, NOW, quantity=2)
    world.run_until("2026-02-02")

    assert [total for _, total in notes(world)] == [1530]
    assert left(world, customer) == [0]
    assert [(each.total, each.due) for each in world.invoices(customer)] == [
        (1860, 1860),
        (1530, 1530),
        (1860, 330),
    ]
    world.assert_everything_adds_up()


def test_there_and_back_between_plans_on_one_day_costs_nothing(world: World) -> None:
    world.publish(PLANS)
    customer = world.subscribed("basic", quantity=2)
    world.run_until("2026-01-15 09:00")

    change(world, customer, NOW, plan="pro")
    world.run_until("2026-01-15 10:00")
    change(world, customer, NOW, plan="basic")
    world.run_until("2026-01-15 11:00")

    paid = sum(each.due for each in world.invoices(customer))
    assert paid - sum(left(world, customer)) == 1860
    change(world, customer, NOW, quantity=1)
    world.run_until("2026-03-02")
    # 2 x 9.30 for 14 of 31 days and 9.30 for 17, then two months of 9.30
    paid = sum(each.due for each in world.invoices(customer))
    assert paid - sum(left(world, customer)) == 1860 - 510 + 930 + 930
    world.assert_everything_adds_up()


def test_units_up_to_a_volume_are_returned_and_charged_anew(world: World) -> None:
    world.publish(VOLUME)
    customer = world.subscribed("volume", items={"units": 5})
    world.run_until("2026-01-15 09:00")

    change(world, customer, NOW, items={"units": 20})
    world.run_until("2026-02-02")

    # 5 x 2.00 x 17/31 is given back, 20 x 1.00 x 17/31 is charged
    assert [total for _, total in notes(world)] == [548]
    assert [each.total for each in world.invoices(customer)] == [1000, 1097, 2000]
    world.assert_everything_adds_up()


def test_what_was_given_back_before_is_not_given_back_again(world: World) -> None:
    world.publish(PLANS)
    customer = world.subscribed("basic", quantity=5)
    for day, quantity in (("05", 3), ("10", 4), ("15", 1), ("20", 2), ("25", 1)):
        world.run_until(f"2026-01-{day} 09:00")
        change(world, customer, NOW, quantity=quantity)
    world.run_until("2026-02-02")

    assert dues(world, customer)[-1] <= 930
    world.assert_everything_adds_up()


def test_what_a_change_charges_and_returns_has_the_discount_of_its_period(world: World) -> None:
    world.publish(
        PLANS
        + """
[[coupon]]
code = "half"
percent = "50"
for = "2 invoices"
"""
    )
    customer = world.subscribed("basic")
    redeem(world, customer, "half")
    world.run_until("2026-01-15 09:00")

    change(world, customer, NOW, plan="pro")
    world.run_until("2026-03-02")

    # (31.00 - 9.30) x 17/31 at half the price; the change isn't counted as an invoice of the two
    assert dues(world, customer) == [465, 595, 1550, 3100]
    assert [total for _, total in notes(world)] == [255]
    world.assert_everything_adds_up()


ADDONS = (
    PLANS
    + """
[[addon]]
code = "sso"
name = "Single sign-on"
fits = ["basic"]

  [[addon.version]]
  effective = 2026-01-01
  price = { USD = "6.20" }
"""
)


def test_an_add_on_is_added_now_and_removed_at_the_period_end(world: World) -> None:
    world.publish(ADDONS)
    customer = world.subscribed("basic")
    world.run_until("2026-01-15 09:00")

    change(world, customer, NOW, items={"sso": 1})
    world.run_until("2026-02-10")
    change(world, customer, LATER, items={"sso": 0})
    world.run_until("2026-03-02")

    # 6.20 x 17/31, then both, then the plan alone
    assert dues(world, customer) == [930, 340, 1550, 930]
    world.assert_everything_adds_up()


def test_an_add_on_is_removed_now_and_added_again(world: World) -> None:
    world.publish(ADDONS)
    customer = world.subscribed("basic")
    world.run_until("2026-01-10")
    change(world, customer, LATER, items={"sso": 1})
    world.run_until("2026-02-15 09:00")

    change(world, customer, NOW, items={"sso": 0})
    world.run_until("2026-02-15 10:00")
    change(world, customer, NOW, items={"sso": 1})
    world.run_until("2026-03-02")

    assert [total for _, total in notes(world)] == [310]  # 14 of 28 days
    assert dues(world, customer) == [930, 1550, 0, 1550]
    world.assert_everything_adds_up()


def test_an_add_on_stays_with_another_plan_only_where_it_fits(world: World) -> None:
    world.publish(ADDONS)
    customer = world.subscribed("basic")
    world.run_until("2026-01-10")
    change(world, customer, LATER, items={"sso": 1})

    with pytest.raises(BillingError) as refused:
        change(world, customer, LATER, plan="pro")
    assert refused.value.code is ErrorCode.ADDON_DOES_NOT_FIT
    change(world, customer, LATER, plan="pro", items={"sso": 0})
    world.run_until("2026-02-02")

    assert dues(world, customer) == [930, 3100]
    world.assert_everything_adds_up()


@pytest.mark.parametrize(
    ("addons", "code"),
    [
        ({"ssso": 1}, ErrorCode.ITEM_UNKNOWN),
        ({"sso": 0}, ErrorCode.ITEM_QUANTITY_RANGE),
        ({"sso": 2}, ErrorCode.ITEM_QUANTITY_RANGE),
    ],
)
def test_which_add_ons_a_change_may_not_name(
    world: World, addons: dict[str, int], code: ErrorCode
) -> None:
    world.publish(ADDONS)
    customer = world.subscribed("basic")
    world.run_until("2026-01-10")

    with pytest.raises(BillingError) as refused:
        change(world, customer, LATER, items=addons)
    assert refused.value.code is code


SCALE = """
[[plan]]
code = "scale"
every = "1 month"
anchor_day = 1

  [[plan.version]]
  effective = 2026-01-01

    [[plan.version.item]]
    code = "base"
    price = { USD = "299.00" }

    [[plan.version.item]]
    code = "seats"
    per = "seat"
    quantity = { min = 1, max = 5000, default = 1 }
    price = { USD = "8.00" }
"""


def test_what_is_charged_once_is_not_charged_again_there_and_back_between_plans(
    world: World,
) -> None:
    world.publish(TEAM_ADDONS.replace('fits = ["team"]', 'fits = ["team", "scale"]') + SCALE)
    customer = world.subscribed("team", items={"seats": 7, "sso": 1})
    world.run_until("2026-01-10")

    change(world, customer, plan="scale", applies=Applies.NOW)
    world.settle()
    change(world, customer, plan="team", applies=Applies.NOW)
    assert [told for told in world.findings() if "changes" in str(told)] == []
    world.run_until("2026-02-02")

    with world.engine.connect() as conn:
        query = "SELECT count(*) FROM invoice_lines WHERE item = 'setup'"
        assert conn.execute(text(query)).scalar() == 1
    assert world.invoices(customer)[-1].total == 9900 + 2 * 1200 + 4900
    world.assert_everything_adds_up()
