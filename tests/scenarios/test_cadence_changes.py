"""Changes of cadence, billing day and zone: at the period's end, at once, late and withdrawn."""

import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest

from billing.errors import BillingError, ErrorCode
from billing.flows.subscriptions import changing, lifecycle
from billing.ids import new_id
from billing.presenters import explain
from billing.presenters.timeline import line
from billing.queries.explain.read import explain_payment
from billing.queries.timeline import timeline
from billing.rules.item_changes import Applies, ChangeAsked
from billing.store.payments import recognition
from tests.scenarios.test_item_changes import CLI, LATER, NOW, change, dues, quote
from tests.scenarios.test_operators import cancel, release
from tests.scenarios.world import Subscriber, World, at

PLANS = """
product = "Search API"

[[plan]]
code = "monthly"
name = "Monthly"
every = "1 month"

  [[plan.version]]
  effective = 2026-01-01
  price = { USD = "31.00" }

[[plan]]
code = "yearly"
name = "Yearly"
every = "1 year"

  [[plan.version]]
  effective = 2026-01-01
  price = { USD = "365.00" }

[[plan]]
code = "quarterly"
name = "Quarterly"
every = "3 months"
anchor = "calendar"

  [[plan.version]]
  effective = 2026-01-01
  price = { USD = "90.00" }

[[plan]]
code = "weekly"
every = "1 week"

  [[plan.version]]
  effective = 2026-01-01
  price = { USD = "7.00" }

[[plan]]
code = "tried"
every = "1 month"
trial = "14 days"

  [[plan.version]]
  effective = 2026-01-01
  price = { USD = "31.00" }
"""


def periods(world: World, customer: Subscriber) -> list[tuple[str, str]]:
    """Return the periods of its cycles in UTC, to the minute where they aren't at midnight."""

    def told(when: datetime) -> str:
        return f"{when:%Y-%m-%d %H:%M}".removesuffix(" 00:00")

    return [(told(each.period_start), told(each.period_end)) for each in world.cycles(customer)]


def test_another_cadence_begins_at_the_period_s_end(world: World) -> None:
    world.publish(PLANS)
    customer = world.subscribed("monthly")
    world.run_until("2026-01-10")

    quoted = change(world, customer, LATER, plan="yearly")
    world.run_until("2027-02-03")

    assert quoted.draft is not None
    assert quoted.draft.due == 36500
    assert periods(world, customer) == [
        ("2026-01-01", "2026-02-01"),
        ("2026-02-01", "2027-02-01"),
        ("2027-02-01", "2028-02-01"),
    ]
    assert dues(world, customer) == [3100, 36500, 36500]
    world.assert_everything_adds_up()


def test_a_billing_day_begins_with_a_stub(world: World) -> None:
    world.publish(PLANS)
    customer = world.subscribed("monthly")
    world.run_until("2026-01-10")

    change(world, customer, billing_day=15)
    world.run_until("2026-03-16")

    assert periods(world, customer) == [
        ("2026-01-01", "2026-02-01"),
        ("2026-02-01", "2026-02-15"),
        ("2026-02-15", "2026-03-15"),
        ("2026-03-15", "2026-04-15"),
    ]
    assert dues(world, customer) == [3100, 1400, 3100, 3100]  # 14 of 31 days
    world.assert_everything_adds_up()


@pytest.mark.parametrize(
    ("zone", "boundary"),
    [("Europe/Berlin", "2026-02-28 23:00"), ("America/New_York", "2026-03-01 05:00")],
)
def test_another_zone_keeps_the_civil_time_of_boundaries(
    world: World, zone: str, boundary: str
) -> None:
    world.publish(PLANS)
    customer = world.subscribed("monthly")
    world.run_until("2026-01-10")

    change(world, customer, zone=zone)
    world.run_until("2026-03-03")

    assert periods(world, customer)[:2] == [
        ("2026-01-01", "2026-02-01"),
        ("2026-02-01", boundary),
    ]
    assert dues(world, customer) == [3100] * 3
    world.assert_everything_adds_up()


def test_what_was_missed_follows_the_segments(world: World) -> None:
    world.publish(PLANS)
    customer = world.subscribed("monthly")
    world.run_until("2026-01-10")
    change(world, customer, plan="quarterly")

    world.jump_to("2026-08-10")
    world.run_until("2026-08-11")

    assert periods(world, customer) == [
        ("2026-01-01", "2026-02-01"),
        ("2026-02-01", "2026-04-01"),
        ("2026-04-01", "2026-07-01"),
        ("2026-07-01", "2026-10-01"),
    ]
    assert dues(world, customer) == [3100, 5900, 9000, 9000]  # 59 of 90 days
    world.assert_everything_adds_up()


def test_a_withdrawn_change_leaves_the_schedule_as_it_was(world: World) -> None:
    world.publish(PLANS)
    customer = world.subscribed("monthly")
    world.run_until("2026-01-10")
    first = change(world, customer, plan="yearly").terms.change.change_id
    back = change(world, customer, plan="monthly").terms.change.change_id
    assert first is not None
    assert back is not None
    asked = ChangeAsked(world.now, CLI, "a mistake")

    for each in (back, first):
        changing.withdraw(
            world.engine, customer.reference, each, withdrawal_id=new_id(), asked=asked
        )
        world.assert_everything_adds_up()
    world.run_until("2026-03-02")

    assert dues(world, customer) == [3100] * 3
    world.assert_everything_adds_up()


def test_a_billing_day_holds_the_change_of_plan_that_it_rests_on(world: World) -> None:
    """A plan with days of its own never begins its periods on another one."""
    world.publish(PLANS)
    customer = world.subscribed("quarterly")
    world.run_until("2026-01-10")
    plan = change(world, customer, LATER, plan="monthly").terms.change.change_id
    day = change(world, customer, LATER, billing_day=15).terms.change.change_id
    assert plan is not None
    assert day is not None
    withdraw = partial(
        changing.withdraw,
        world.engine,
        customer.reference,
        asked=ChangeAsked(world.now, CLI, "a mistake"),
    )

    with pytest.raises(BillingError) as refused:
        withdraw(plan, withdrawal_id=new_id())
    withdraw(day, withdrawal_id=new_id())
    withdraw(plan, withdrawal_id=new_id())
    world.run_until("2026-04-02")

    assert refused.value.code is ErrorCode.CHANGE_RESTED_ON
    assert refused.value.facts["change_id"] == day
    assert [start for start, _ in periods(world, customer)] == ["2026-01-01", "2026-04-01"]
    world.assert_everything_adds_up()


def test_a_billing_day_that_its_own_plan_leaves_open_holds_nothing(world: World) -> None:
    """Of two changes to plans of any day the first may go, and one that names plan and day may."""
    world.publish(PLANS)
    customer = world.subscribed("quarterly")
    world.run_until("2026-01-10")
    first = change(world, customer, LATER, plan="yearly").terms.change.change_id
    change(world, customer, LATER, plan="monthly")
    change(world, customer, LATER, billing_day=15)
    assert first is not None

    changing.withdraw(
        world.engine, customer.reference, first,
        withdrawal_id=new_id(), asked=ChangeAsked(world.now, CLI, "a mistake"),
    )  # fmt: skip
    world.run_until("2026-05-16")

    starts = [start for start, _ in periods(world, customer)]
    assert starts == ["2026-01-01", "2026-04-01", "2026-04-15", "2026-05-15"]
    world.assert_everything_adds_up()


def test_several_changes_for_one_end_are_one_segment(world: World) -> None:
    world.publish(PLANS)
    customer = world.subscribed("monthly")
    world.run_until("2026-01-10")

    change(world, customer, zone="Europe/Berlin")
    change(world, customer, plan="yearly")
    change(world, customer, billing_day=15)
    change(world, customer, quantity=2)
    world.run_until("2027-02-16")

    assert periods(world, customer) == [
        ("2026-01-01", "2026-02-01"),
        ("2026-02-01", "2026-02-14 23:00"),
        ("2026-02-14 23:00", "2027-02-14 23:00"),
        ("2027-02-14 23:00", "2028-02-14 23:00"),
    ]
    assert dues(world, customer) == [3100, 2800, 73000, 73000]  # 14 of 365 days of 730.00
    world.assert_everything_adds_up()


def test_a_change_in_a_trial_begins_with_the_first_billed_period(world: World) -> None:
    world.publish(PLANS)
    customer = world.subscribed("tried")
    world.run_until("2026-01-05")

    change(world, customer, NOW, plan="yearly")
    world.run_until("2027-01-16")

    assert periods(world, customer) == [
        ("2026-01-01", "2026-01-15"),
        ("2026-01-15", "2027-01-15"),
        ("2027-01-15", "2028-01-15"),
    ]
    assert dues(world, customer) == [36500, 36500]
    world.assert_everything_adds_up()


def test_before_the_first_period_the_schedule_is_another_one_from_the_start(world: World) -> None:
    world.publish(PLANS)
    customer = world.subscribed("monthly", starts=datetime(2026, 1, 31))  # noqa: DTZ001
    world.run_until("2026-01-05")

    change(world, customer, NOW, plan="yearly")
    world.run_until("2026-02-02")
    change(world, customer, LATER, zone="Europe/Berlin")
    world.run_until("2027-02-02")

    assert periods(world, customer) == [
        ("2026-01-31", "2027-01-31"),
        ("2027-01-31", "2028-01-30 23:00"),
    ]
    world.assert_everything_adds_up()


def test_the_day_of_the_month_comes_back_after_a_short_month(world: World) -> None:
    world.publish(PLANS + PLANS_IN_QUARTERS)
    customer = world.subscribed("monthly", starts=datetime(2026, 1, 31))  # noqa: DTZ001
    world.run_until("2026-02-10")

    change(world, customer, LATER, plan="every-three")
    world.run_until("2026-09-02")

    assert periods(world, customer) == [
        ("2026-01-31", "2026-02-28"),
        ("2026-02-28", "2026-05-31"),
        ("2026-05-31", "2026-08-31"),
        ("2026-08-31", "2026-11-30"),
    ]
    world.assert_everything_adds_up()


PLANS_IN_QUARTERS = """
[[plan]]
code = "every-three"
every = "3 months"

  [[plan.version]]
  effective = 2026-01-01
  price = { USD = "90.00" }
"""


@pytest.mark.parametrize(
    ("plan", "order", "code"),
    [
        ("monthly", {"billing_day": 1}, ErrorCode.CHANGE_NOTHING),
        ("monthly", {"zone": "UTC"}, ErrorCode.CHANGE_NOTHING),
        ("monthly", {"zone": "Berlin"}, ErrorCode.ZONE_UNKNOWN),
        ("monthly", {"zone": "localtime"}, ErrorCode.ZONE_UNKNOWN),
        ("monthly", {"plan": "weekly", "billing_day": 3}, ErrorCode.CHANGE_BILLING_DAY),
        ("quarterly", {"billing_day": 3}, ErrorCode.CHANGE_BILLING_DAY),
        ("weekly", {"billing_day": 3}, ErrorCode.CHANGE_BILLING_DAY),
    ],
)
def test_a_schedule_that_cannot_be_is_refused(
    world: World, plan: str, order: dict[str, object], code: ErrorCode
) -> None:
    world.publish(PLANS)
    customer = world.subscribed(plan)
    world.run_until("2026-01-10")

    with pytest.raises(BillingError) as refused:
        quote(world, customer, LATER, **order)
    assert refused.value.code is code


# --- at once ------------------------------------------------------------------------------------


def test_another_cadence_at_once_cuts_the_cycle_and_is_paid_with_what_is_left(
    world: World,
) -> None:
    world.publish(PLANS)
    customer = world.subscribed("monthly")
    world.run_until("2026-01-11 09:00")

    quoted = change(world, customer, NOW, plan="yearly")
    world.run_until("2027-01-12")

    # 31.00 for 21 of 31 days is given back
    assert quoted.draft is not None
    assert (quoted.draft.total, quoted.draft.due) == (36500, 34400)
    assert periods(world, customer) == [
        ("2026-01-01", "2026-02-01"),
        ("2026-01-11 09:00", "2027-01-11 09:00"),
        ("2027-01-11 09:00", "2028-01-11 09:00"),
    ]
    assert dues(world, customer) == [3100, 34400, 36500]
    assert [invoice.status for invoice in world.invoices(customer)] == ["paid"] * 3
    world.assert_everything_adds_up()


def test_a_shorter_cadence_at_once_leaves_credit_for_later_invoices(world: World) -> None:
    world.publish(PLANS)
    customer = world.subscribed("yearly")
    world.run_until("2026-07-01 12:00")

    change(world, customer, NOW, plan="monthly")
    world.run_until("2026-09-02")

    # 365.00 for 184 of 365 days is 184.00: it pays five months, and part of the sixth
    assert dues(world, customer) == [36500, 0, 0, 0]
    world.run_until("2027-01-02")
    assert dues(world, customer)[-2:] == [200, 3100]
    world.assert_everything_adds_up()


def test_a_billing_day_at_once_charges_a_stub_with_what_is_left(world: World) -> None:
    world.publish(PLANS)
    customer = world.subscribed("monthly")
    world.run_until("2026-01-20 10:00")

    change(world, customer, NOW, billing_day=15)
    world.run_until("2026-03-16")

    # 12 of 31 days are given back; 26 of 31 until 15 February are charged
    assert periods(world, customer) == [
        ("2026-01-01", "2026-02-01"),
        ("2026-01-20 10:00", "2026-02-15"),
        ("2026-02-15", "2026-03-15"),
        ("2026-03-15", "2026-04-15"),
    ]
    assert dues(world, customer) == [3100, 1400, 3100, 3100]
    world.assert_everything_adds_up()


def test_another_zone_at_once_costs_nothing_more(world: World) -> None:
    world.publish(PLANS)
    customer = world.subscribed("monthly")
    world.run_until("2026-01-20 10:00")

    change(world, customer, NOW, zone="Europe/Berlin")
    world.run_until("2026-03-02")

    assert periods(world, customer) == [
        ("2026-01-01", "2026-02-01"),
        ("2026-01-20 10:00", "2026-01-31 23:00"),
        ("2026-01-31 23:00", "2026-02-28 23:00"),
        ("2026-02-28 23:00", "2026-03-31 22:00"),
    ]
    assert dues(world, customer) == [3100, 0, 3100, 3100]
    world.assert_everything_adds_up()


def test_changes_before_and_after_a_cut_are_given_back_once(world: World) -> None:
    world.publish(PLANS)
    customer = world.subscribed("monthly")
    world.run_until("2026-01-11 09:00")

    change(world, customer, NOW, quantity=3)
    world.settle()
    change(world, customer, NOW, plan="yearly")
    world.settle()
    world.run_until("2026-01-11 12:00")
    change(world, customer, NOW, quantity=4)
    world.settle()
    world.run_until("2026-01-15")
    change(world, customer, NOW, plan="monthly", quantity=1)
    world.run_until("2026-02-20")

    # 31.00; 2 x 21.00; 3 x 365.00 less 63.00 of 21 days; 365.00 more; 4 x 361.00 given back
    assert sorted(dues(world, customer)) == [0, 0, 3100, 4200, 36500, 103200]
    world.assert_everything_adds_up()


def test_a_quote_of_a_cut_is_applied_as_it_is(world: World) -> None:
    world.publish(PLANS)
    customer = world.subscribed("monthly")
    world.run_until("2026-01-11 09:00")

    quoted = quote(world, customer, NOW, plan="yearly")
    world.run_until("2026-01-11 17:00")
    done = change(world, customer, NOW, plan="yearly", digest=quoted.digest)

    assert done.digest == quoted.digest
    world.run_until("2026-01-12")
    with pytest.raises(BillingError) as refused:
        change(world, customer, NOW, plan="monthly", digest=quoted.digest)
    assert refused.value.code is ErrorCode.QUOTE_MOVED
    world.assert_everything_adds_up()


def test_a_free_period_is_cut_too(world: World) -> None:
    world.publish(PLANS + FREE)
    customer = world.subscribed("gratis")
    world.run_until("2026-01-11")

    change(world, customer, NOW, plan="yearly")
    world.run_until("2026-01-12")
    change(world, customer, NOW, plan="gratis")
    world.run_until("2026-02-14")

    assert [cycle.kind for cycle in world.cycles(customer)] == ["free", "regular"] + ["free"] * 2
    assert dues(world, customer) == [36500]
    world.assert_everything_adds_up()


FREE = """
[[plan]]
code = "gratis"
every = "1 month"

  [[plan.version]]
  effective = 2026-01-01

    [[plan.version.item]]
    code = "base"
    price = { USD = "0" }
"""


def test_a_period_that_begins_at_this_instant_is_not_cut(world: World) -> None:
    world.publish(PLANS)
    customer = world.subscribed("monthly")
    world.settle()

    with pytest.raises(BillingError) as refused:
        change(world, customer, NOW, plan="yearly")
    assert refused.value.code is ErrorCode.CHANGE_PERIOD_BEGINS


def test_what_is_scheduled_holds_after_a_cut(world: World) -> None:
    world.publish(PLANS)
    customer = world.subscribed("monthly")
    world.run_until("2026-01-11")

    change(world, customer, LATER, zone="Europe/Berlin")
    change(world, customer, NOW, plan="quarterly")
    world.run_until("2026-07-02")

    assert periods(world, customer) == [
        ("2026-01-01", "2026-02-01"),
        ("2026-01-11", "2026-04-01"),
        ("2026-04-01", "2026-06-30 22:00"),
        ("2026-06-30 22:00", "2026-09-30 22:00"),
    ]
    world.assert_everything_adds_up()


def test_the_examples_of_the_page_are_what_is_invoiced(world: World) -> None:
    world.publish(PLANS)
    ada, bob = world.subscribed("monthly"), world.subscribed("monthly")
    world.run_until("2026-01-11 09:00")
    quoted = change(world, ada, NOW, plan="yearly")
    change(world, bob, LATER, billing_day=15)
    world.run_until("2026-02-16")

    page = (Path(__file__).parents[2] / "docs" / "changes.md").read_text()
    (note,), (back, year, due) = quoted.notes, amounts_of(page, "given back", "the year", "due")
    assert quoted.draft is not None
    assert back == note.drafted.note.total
    assert (year, due) == (quoted.draft.total, quoted.draft.due)
    told = r"1 February would have been ([0-9.]+), .* that\nof 15 February ([0-9.]+)\.$"
    (amounts,) = re.findall(told, page, re.MULTILINE)
    assert [cents(each) for each in amounts] == dues(world, bob)[1:]


def amounts_of(page: str, *rows: str) -> list[int]:
    """Return the amounts of rows of a page, each by how it begins."""
    found = [re.findall(rf"^\| {row}[^|]* \| ([0-9.]+) \|$", page, re.MULTILINE) for row in rows]
    return [cents(amount) for (amount,) in found]


def cents(amount: str) -> int:
    return int(amount.replace(".", ""))


PUBLISHED = json.loads(
    (Path(__file__).parents[1] / "unit" / "pricing" / "published" / "cases.json").read_text()
)


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(each, id=each["id"])
        for each in PUBLISHED
        if each["kind"] == "exchange" and each["given"].get("new", {}).get("full_period")
    ],
)
def test_a_published_change_of_the_interval_comes_to_its_figures(
    world: World, case: dict[str, Any]
) -> None:
    given, expected = case["given"], case["expect"]
    start, day = (
        datetime.fromisoformat(given[name]).replace(year=2026) for name in ("period_start", "at")
    )
    old, new = given["old"]["price"], given["new"]["price"]
    every = given["new"]["every"]
    world.publish(
        PLANS.split("[[plan]]")[0]
        + PLAN.format(code="old", every="1 month", price=old)
        + PLAN.format(code="new", every=every, price=new)
    )
    customer = world.subscribed("old", starts=start)
    world.run_until(f"{day:%Y-%m-%d}")

    quoted = change(world, customer, NOW, plan="new")

    assert quoted.draft is not None
    back = sum(each.drafted.note.total for each in quoted.notes)
    assert (-back, quoted.draft.total, quoted.draft.due) == tuple(
        cents(expected[name]) for name in ("credit", "charge", "net")
    )


PLAN = """
[[plan]]
code = "{code}"
every = "{every}"

  [[plan.version]]
  effective = 2026-01-01
  price = {{ USD = "{price}.00" }}
"""


# --- how the subscription stands ----------------------------------------------------------------


def ask(world: World, customer: Subscriber, do: Callable[..., Any], **more: Any) -> None:
    """Pause or resume."""
    do(world.engine, customer.reference, now=world.now, actor=CLI, why="asked", **more)


def test_a_paused_subscription_goes_on_with_other_periods(world: World) -> None:
    world.publish(PLANS)
    customer = world.subscribed("monthly")
    world.run_until("2026-01-10")
    ask(world, customer, lifecycle.pause)

    assert change(world, customer, NOW, plan="yearly").applies is LATER
    world.run_until("2026-02-10")
    ask(world, customer, lifecycle.resume)
    world.run_until("2027-02-02")

    assert [cycle.kind for cycle in world.cycles(customer)] == ["regular", "paused", "regular"]
    assert periods(world, customer)[1:] == [
        ("2026-02-01", "2027-02-01"),
        ("2027-02-01", "2028-02-01"),
    ]
    world.assert_everything_adds_up()


def test_a_pause_for_so_many_periods_counts_those_of_the_segments(world: World) -> None:
    world.publish(PLANS)
    customer = world.subscribed("monthly")
    world.run_until("2026-01-10")
    change(world, customer, LATER, plan="weekly")

    ask(world, customer, lifecycle.pause, periods=2)
    world.run_until("2026-02-23")

    kinds = [cycle.kind for cycle in world.cycles(customer)]
    assert kinds == ["regular", "paused", "paused", "regular", "regular"]
    world.assert_everything_adds_up()


def test_one_that_ends_with_its_period_is_not_moved(world: World) -> None:
    world.publish(PLANS)
    customer = world.subscribed("monthly")
    world.run_until("2026-01-10")
    cancel(world, customer, at_period_end=True)

    orders: list[dict[str, Any]]
    orders = [{"billing_day": 15}, {"zone": "Asia/Tokyo"}, {"plan": "yearly"}]
    for order in orders:
        for applies in (NOW, LATER):
            with pytest.raises(BillingError) as refused:
                change(world, customer, applies, **order)
            assert refused.value.code is ErrorCode.CHANGE_ENDING


def test_an_end_asked_for_later_is_that_of_a_segment(world: World) -> None:
    world.publish(PLANS)
    customer = world.subscribed("monthly")
    world.run_until("2026-01-10")
    change(world, customer, LATER, billing_day=15)
    world.run_until("2026-02-03")
    cancel(world, customer, at_period_end=True)
    world.run_until("2026-03-20")

    assert [end for _, end in periods(world, customer)] == ["2026-02-01", "2026-02-15"]
    world.assert_everything_adds_up()


def test_while_it_is_past_due_other_periods_wait_for_the_end(world: World) -> None:
    world.publish(PLANS)
    customer = world.subscribed("monthly", card="pm_sbx_ok_1_then_insufficient_funds")
    world.run_until("2026-02-02")

    with pytest.raises(BillingError) as refused:
        change(world, customer, NOW, plan="yearly")
    assert refused.value.code is ErrorCode.CHANGE_PAST_DUE
    assert change(world, customer, NOW, billing_day=15).applies is LATER
    assert change(world, customer, NOW, plan="weekly").applies is LATER
    world.close_books()
    world.assert_promises_hold()


def test_what_was_cut_is_paid_until_then_only(world: World) -> None:
    world.publish(PLANS + LENIENT)
    customer = world.subscribed("yearly", card="pm_sbx_ok_1_then_stolen_card")
    world.run_until("2026-01-02")

    change(world, customer, NOW, plan="dear")
    world.run_until("2026-03-02")

    ended = world.subscription(customer)
    assert ended.status == "canceled"
    assert ended.canceled_at is not None
    assert ended.canceled_at < at("2026-01-05")
    world.assert_everything_adds_up()


LENIENT = """
[[plan]]
code = "dear"
every = "2 years"
retry_after = []
then = "cancel"

  [[plan.version]]
  effective = 2026-01-01
  price = { USD = "900.00" }
"""


def test_what_was_missed_is_skipped_by_the_segments(world: World) -> None:
    world.publish(PLANS.replace('code = "weekly"', 'code = "weekly"\ncatch_up = "park"'))
    customer = world.subscribed("monthly")
    world.run_until("2026-01-10")
    change(world, customer, LATER, plan="weekly")
    world.jump_to("2026-03-10")
    world.run_until("2026-03-11")

    release(world, customer, "skip")
    world.run_until("2026-03-16")

    assert [cycle.kind for cycle in world.cycles(customer)] == (
        ["regular"] + ["skipped"] * 5 + ["regular"] * 2
    )
    assert periods(world, customer)[-1] == ("2026-03-15", "2026-03-22")
    world.assert_everything_adds_up()


def test_revenue_of_a_cut_cycle_is_earned_until_the_cut(world: World) -> None:
    world.earn_daily()
    world.publish(PLANS)
    customer = world.subscribed("monthly")
    world.run_until("2026-01-11 09:00")

    change(world, customer, NOW, plan="yearly")
    world.settle()
    world.close_books()

    first = next(each for each in world.invoices(customer) if each.total == 3100)
    with world.engine.connect() as conn:
        left = recognition.standings(conn, [first.id])[first.id]
    assert (left.recognised, left.left.deferred) == (1000, 0)
    world.assert_everything_adds_up()


def test_a_cut_is_explained_and_told(world: World) -> None:
    world.publish(PLANS)
    customer = world.subscribed("monthly")
    world.run_until("2026-01-11 09:00")
    change(world, customer, NOW, plan="yearly", zone="Europe/Berlin")
    world.run_until("2026-01-12")

    with world.engine.connect() as conn:
        told = [
            " ".join(
                sentence
                for section in explain.sections(
                    explain_payment(conn, world.payment(customer, n).id, world.now)
                )
                for sentence in section.sentences
            )
            for n in (0, 1)
        ]
        lines = timeline(conn, customer.subscription_id)
    events = " ".join(line(each)["what"] for each in lines)
    assert "A change cut it at 2026-01-11 09:00 UTC, where period 1 begins." in told[0]
    assert "From period 1 on, boundaries are counted from 2026-01-11 10:00" in told[1]
    assert "are every 1 year in Europe/Berlin; before: every 1 month in UTC" in events


# --- any sequence -------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_changed_lines_notes_and_credit_add_up(world: World, seed: int) -> None:
    chance = Random(seed)
    world.publish(PLANS + PLANS_IN_QUARTERS + FREE)
    customer = world.subscribed(chance.choice(["monthly", "yearly", "weekly", "quarterly"]))
    made = 0

    for _ in range(14):
        world.run_until(f"{world.now + timedelta(hours=chance.randint(1, 600)):%Y-%m-%d %H:%M}")
        applies = chance.choice([NOW, LATER])
        made += was_made(world, customer, applies, **_any_order(chance))
        world.settle()

    assert made > 6
    world.run_until(f"{world.now + timedelta(days=100):%Y-%m-%d}")
    world.assert_everything_adds_up()


def was_made(world: World, customer: Subscriber, applies: Applies, **order: Any) -> bool:
    """Ask for a change, and return whether it makes sense."""
    try:
        change(world, customer, applies, **order)
    except BillingError as refused:
        if refused.code not in NO_SENSE:
            raise
        return False
    return True


NO_SENSE = (ErrorCode.CHANGE_NOTHING, ErrorCode.CHANGE_BILLING_DAY, ErrorCode.ITEM_UNKNOWN)


def _any_order(chance: Random) -> dict[str, Any]:
    orders: list[dict[str, Any]] = [
        {"plan": chance.choice(["monthly", "yearly", "weekly", "quarterly", "every-three"])},
        {"plan": "gratis"},
        {"billing_day": chance.randint(1, 31)},
        {"zone": chance.choice(["UTC", "Europe/Berlin", "America/New_York", "Pacific/Auckland"])},
        {"quantity": chance.randint(1, 4)},
    ]
    first, second = chance.choices(orders, weights=[4, 1, 2, 2, 2], k=2)
    return first | second if chance.random() < 0.3 else first
