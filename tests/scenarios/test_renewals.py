"""Renewals that go well: which periods there are, and what each of them costs."""

import pytest

from tests.scenarios.world import Subscriber, World, at

PRICE_RISES = """
product = "Story"

[[plan]]
code = "kept"
every = "1 month"
  [[plan.version]]
  effective = 2026-01-01
  price = { USD = "5.00" }
  [[plan.version]]
  effective = 2026-03-01
  existing = "keep"
  price = { USD = "6.00" }

[[plan]]
code = "moved"
every = "1 month"
  [[plan.version]]
  effective = 2026-01-01
  price = { USD = "5.00" }
  [[plan.version]]
  effective = 2026-03-01
  existing = "move"
  price = { USD = "6.00" }
"""

ONE_FILS = """
product = "Story"

[[plan]]
code = "tiny"
every = "1 month"
anchor_day = 1
  [[plan.version]]
  effective = 2026-01-01
  price = { KWD = "0.010" }
"""


def totals(world: World, subscriber: Subscriber) -> list[int]:
    return [invoice.total for invoice in world.invoices(subscriber)]


def test_a_month_end_anchor_is_billed_at_every_months_end(world: World) -> None:
    world.run_until("2026-01-31 10:00")
    customer = world.subscribed("video-premium")

    world.run_until("2027-01-31")

    assert world.starts(customer) == [
        "2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30", "2026-05-31", "2026-06-30",
        "2026-07-31", "2026-08-31", "2026-09-30", "2026-10-31", "2026-11-30", "2026-12-31",
    ]  # fmt: skip
    assert world.psp.captures(customer) == 12
    assert world.subscription(customer).renews_at == at("2027-01-31 10:00")
    world.assert_everything_adds_up()


def test_a_trial_costs_nothing_and_its_end_is_the_first_bill(world: World) -> None:
    customer = world.subscribed("video-basic")

    world.run_until("2026-01-14")
    assert (world.status(customer), world.psp.captures(customer)) == ("trialing", 0)

    world.run_until("2026-01-15")
    assert (world.status(customer), world.psp.captures(customer)) == ("active", 1)

    world.run_until("2026-03-20")
    assert world.kinds(customer) == ["trial", "regular", "regular", "regular"]
    assert world.starts(customer) == ["2026-01-01", "2026-01-15", "2026-02-15", "2026-03-15"]
    assert totals(world, customer) == [999, 999, 999]
    world.assert_everything_adds_up()


def test_a_trial_of_a_customer_without_a_card_waits_for_one(world: World) -> None:
    customer = world.subscribe(*world.customer(card=None), "video-basic")

    world.run_until("2026-01-16")
    assert world.status(customer) == "past_due"
    assert world.payment(customer).decline_code == "no_payment_method"
    assert world.psp.sends() == 0

    assert world.new_card(customer) == 1
    world.settle()

    assert (world.status(customer), world.psp.captures(customer)) == ("active", 1)
    world.assert_everything_adds_up()


def test_a_year_is_billed_once(world: World) -> None:
    customer = world.subscribed("video-yearly")

    world.run_until("2028-06-01")

    assert world.starts(customer) == ["2026-01-01", "2027-01-01", "2028-01-01"]
    assert totals(world, customer) == [19900, 19900, 19900]
    world.assert_everything_adds_up()


def test_two_weeks_are_fourteen_civil_days_whatever_the_clocks_do(world: World) -> None:
    world.run_until("2026-03-16 08:00")
    customer = world.subscribed("office-payroll", zone="Europe/Berlin")

    world.run_until("2026-04-30")

    # Nine o'clock in Berlin: summer time began on March 29.
    assert [f"{cycle.period_start:%m-%d %H:%M}" for cycle in world.cycles(customer)] == [
        "03-16 08:00", "03-30 07:00", "04-13 07:00", "04-27 07:00",
    ]  # fmt: skip
    world.assert_everything_adds_up()


def test_a_plan_aligned_to_the_first_begins_with_a_stub(world: World) -> None:
    world.run_until("2026-01-17 15:30")
    customer = world.subscribed("office-team", quantity=7)

    world.run_until("2026-03-15")

    assert world.starts(customer) == ["2026-01-17", "2026-02-01", "2026-03-01"]
    # 7 seats at 29.95 are 209.65 a month; from the 17th on, 15 of January's 31 days are left.
    assert totals(world, customer) == [10144, 20965, 20965]
    world.assert_everything_adds_up()


@pytest.mark.parametrize(
    ("plan", "currency", "amount"),
    [("video-premium", "JPY", 2400), ("office-payroll", "KWD", 1230)],
)
def test_currencies_without_cents_and_with_three_decimals_are_charged_exactly(
    world: World, plan: str, currency: str, amount: int
) -> None:
    customer = world.subscribed(plan, currency=currency)

    world.run_until("2026-01-02")

    assert totals(world, customer) == [amount]
    assert world.psp.captured() == {currency: amount}
    world.assert_everything_adds_up()


def test_whoever_had_the_old_price_keeps_it_and_new_customers_pay_the_new_one(
    world: World,
) -> None:
    world.publish(PRICE_RISES)
    early = world.subscribed("kept")
    world.run_until("2026-03-05")
    late = world.subscribed("kept")

    world.run_until("2026-05-04")

    assert totals(world, early) == [500, 500, 500, 500, 500]
    assert totals(world, late) == [600, 600]
    world.assert_everything_adds_up()


def test_a_price_that_moves_is_paid_from_the_next_period_on(world: World) -> None:
    world.publish(PRICE_RISES)
    world.run_until("2026-01-20")
    customer = world.subscribed("moved")

    world.run_until("2026-04-25")

    assert totals(world, customer) == [500, 500, 600, 600]
    assert [str(cycle.plan_version) for cycle in world.cycles(customer)] == [
        "2026-01-01", "2026-01-01", "2026-03-01", "2026-03-01",
    ]  # fmt: skip
    assert "plan_version" in world.events(customer)
    world.assert_everything_adds_up()


def test_a_stub_that_rounds_to_nothing_has_an_invoice_and_nothing_to_collect(
    world: World,
) -> None:
    world.publish(ONE_FILS)
    world.run_until("2026-01-31")
    customer = world.subscribed("tiny", currency="KWD")

    world.run_until("2026-02-02")

    assert totals(world, customer) == [0, 10]
    assert [invoice.status for invoice in world.invoices(customer)] == ["paid", "paid"]
    assert len(world.payments(customer)) == 1
    world.assert_everything_adds_up()
    assert [cycle.state for cycle in world.cycles(customer)] == ["closed", "closed"]


def test_a_subscription_that_starts_later_is_billed_from_its_start(world: World) -> None:
    customer = world.subscribed("video-premium", starts=at("2026-02-10 12:00").replace(tzinfo=None))

    world.run_until("2026-02-09")
    assert world.cycles(customer) == []

    world.run_until("2026-03-11")
    assert world.starts(customer) == ["2026-02-10", "2026-03-10"]
    world.assert_everything_adds_up()
