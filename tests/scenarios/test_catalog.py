"""Prices that are published, corrected, taken out or late; amounts that can't be charged."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from billing.errors import BadInput, Conflict
from tests.scenarios.test_changes import BASE, HEAD, plan
from tests.scenarios.test_operators import cancel, parked_for, release
from tests.scenarios.world import Subscriber, World, at

MARCH = 'effective = 2026-03-01\n  existing = "{}"\n  price = {{ USD = "{}" }}'


def totals(world: World, customer: Subscriber) -> list[int]:
    return [invoice.total for invoice in world.invoices(customer)]


def test_a_price_that_nobody_pays_yet_can_be_corrected(world: World) -> None:
    world.publish(HEAD + plan("p", "1 month", BASE, MARCH.format("move", "2200.00")))
    customer = world.subscribed("p")
    world.run_until("2026-01-10")

    world.publish(HEAD + plan("p", "1 month", BASE, MARCH.format("move", "22.00")))
    world.run_until("2026-03-02")

    assert totals(world, customer) == [2000, 2000, 2200]
    world.assert_everything_adds_up()


def test_a_version_that_nobody_has_yet_can_be_taken_out_and_put_back(world: World) -> None:
    wrong = HEAD + plan("p", "1 month", BASE, MARCH.format("move", "2200.00"))
    world.publish(wrong)
    customer = world.subscribed("p")
    world.run_until("2026-01-10")

    world.publish(HEAD + plan("p", "1 month", BASE))
    world.run_until("2026-03-02")
    assert totals(world, customer) == [2000, 2000, 2000]

    world.publish(wrong)
    world.run_until("2026-04-02")
    assert totals(world, customer)[-1] == 220_000
    world.assert_everything_adds_up()


def test_a_version_that_somebody_has_can_be_neither_corrected_nor_taken_out(world: World) -> None:
    world.publish(HEAD + plan("p", "1 month", BASE, MARCH.format("keep", "22.00")))
    customer = world.subscribed("p", starts=at("2026-03-05").replace(tzinfo=None))

    with pytest.raises(Conflict, match="can't change"):
        world.publish(HEAD + plan("p", "1 month", BASE, MARCH.format("keep", "23.00")))
    world.publish(HEAD + plan("p", "1 month", BASE))
    world.run_until("2026-04-06")

    assert totals(world, customer) == [2200, 2200]


def test_what_a_price_change_moves_is_counted_step_by_step_and_without_who_leaves(
    world: World,
) -> None:
    world.publish(HEAD + plan("p", "1 month", BASE))
    stays, leaves = world.subscribed("p"), world.subscribed("p")
    world.run_until("2026-01-10")
    cancel(world, leaves, at_period_end=True)
    april = 'effective = 2026-04-01\n  existing = "move"\n  price = { USD = "23.00" }'

    found = world.differences(
        HEAD + plan("p", "1 month", BASE, MARCH.format("move", "22.00"), april)
    )

    effects = [effect for change in found for effect in change.effects]
    assert [(each.subscriptions, each.before.amount, each.after.amount) for each in effects] == [
        (1, 2000, 2200),
        (1, 2200, 2300),
    ]
    assert world.status(stays) == "active"


def test_what_a_price_change_moves_comes_from_no_version_that_it_takes_out(world: World) -> None:
    world.publish(HEAD + plan("p", "1 month", BASE, MARCH.format("move", "22.00")))
    world.subscribed("p")
    world.run_until("2026-01-10")
    april = 'effective = 2026-04-01\n  existing = "move"\n  price = { USD = "23.00" }'

    found = world.differences(HEAD + plan("p", "1 month", BASE, april))

    effects = [effect for change in found for effect in change.effects]
    assert [(each.before.amount, each.after.amount) for each in effects] == [(2000, 2300)]


def test_a_price_prices_no_period_that_began_before_it_was_published(world: World) -> None:
    waiting = 'catch_up = "park"'
    world.publish(HEAD + plan("p", "1 month", BASE, extra=waiting))
    customer = world.subscribed("p")
    world.run_until("2026-01-05")
    world.jump_to("2026-04-10")
    world.tick()
    world.publish(HEAD + plan("p", "1 month", BASE, MARCH.format("move", "24.00"), extra=waiting))

    release(world, customer, "bill")
    world.run_until("2026-05-02")

    assert totals(world, customer) == [2000, 2000, 2000, 2000, 2400]
    world.assert_everything_adds_up()


def test_a_stub_that_is_too_small_to_charge_is_waived(world: World) -> None:
    nine = 'effective = 2026-01-01\n  price = { USD = "9.99" }'
    world.publish(HEAD + plan("aligned", "1 month", nine, extra="anchor_day = 1"))
    world.run_until("2026-01-31 10:00")
    customer = world.subscribed("aligned")

    world.run_until("2026-03-02")

    assert parked_for(world, customer) is None
    assert totals(world, customer) == [32, 999, 999]
    assert [each.due for each in world.invoices(customer)] == [0, 999, 999]
    assert world.psp.captures(customer) == 2
    world.assert_everything_adds_up()


@pytest.mark.parametrize(
    ("every", "price", "currency", "starts", "stub", "whole"),
    [
        ("1 month", "2.00", "EUR", "2026-01-29", 19, 200),
        ("1 week", "0.90", "USD", "2026-01-11", 13, 90),
        ("1 month", "300", "JPY", "2026-01-31 10:00", 10, 300),
    ],
)
def test_a_small_stub_is_waived_in_every_currency_and_cadence(
    world: World, every: str, price: str, currency: str, starts: str, stub: int, whole: int
) -> None:
    version = f'effective = 2026-01-01\n  price = {{ {currency} = "{price}" }}'
    world.publish(HEAD + plan("p", every, version, extra='anchor = "calendar"'))
    world.run_until(starts)
    customer = world.subscribed("p", currency=currency)

    world.run_until("2026-02-02")

    assert parked_for(world, customer) is None
    assert totals(world, customer)[:2] == [stub, whole]
    assert [each.due for each in world.invoices(customer)][:2] == [0, whole]
    world.assert_everything_adds_up()


def test_a_price_that_was_published_late_bills_no_month_that_nobody_opened(world: World) -> None:
    world.publish(HEAD + plan("p", "1 month", BASE))
    customer = world.subscribed("p")
    world.run_until("2026-01-05")
    world.jump_to("2026-04-10")
    world.publish(HEAD + plan("p", "1 month", BASE, MARCH.format("move", "24.00")))

    world.run_until("2026-05-02")

    assert totals(world, customer) == [2000, 2000, 2000, 2000, 2400]


@pytest.mark.parametrize(
    ("currency", "price", "quantity"), [("USD", "20.00", 50_000), ("ISK", "1000", 1_000)]
)
def test_what_can_never_be_charged_is_not_subscribed_to(
    world: World, currency: str, price: str, quantity: int
) -> None:
    version = f'effective = 2026-01-01\n  price = {{ {currency} = "{price}" }}'
    world.publish(HEAD + plan("p", "1 month", version))

    with pytest.raises(BadInput, match="the most that can be charged"):
        world.subscribed("p", currency=currency, quantity=quantity)

    world.subscribed("p", currency=currency, quantity=quantity - 1)


def test_nobody_subscribes_to_a_plan_that_is_retired_and_who_has_it_keeps_it(
    world: World,
) -> None:
    world.publish(HEAD + plan("p", "1 month", BASE))
    customer = world.subscribed("p")
    world.publish(HEAD + plan("p", "1 month", BASE, extra="retired = 2026-02-01"))
    world.subscribed("p", starts=at("2026-01-31").replace(tzinfo=None))
    with pytest.raises(BadInput, match="is retired"):
        world.subscribed("p", starts=at("2026-02-01").replace(tzinfo=None))

    world.run_until("2026-03-02")

    with pytest.raises(BadInput, match="is retired"):
        world.subscribed("p")
    assert totals(world, customer) == [2000, 2000, 2000]


def test_an_order_that_is_repeated_subscribes_once_where_the_plan_says_so(world: World) -> None:
    world.publish(HEAD + plan("p", "1 month", BASE, extra="one_per_customer = true"))
    customer = world.customer()
    first = world.subscribe(*customer, "p")

    with pytest.raises(Conflict, match="has a subscription to plan p already"):
        world.subscribe(*customer, "p")
    world.subscribe(*customer, "video-premium")
    world.subscribed("p")

    cancel(world, first)
    world.subscribe(*customer, "p")


def test_of_two_orders_at_once_one_is_refused(world: World) -> None:
    world.publish(HEAD + plan("p", "1 month", BASE, extra="one_per_customer = true"))
    customer = world.customer()

    def order(_: int) -> str:
        try:
            world.subscribe(*customer, "p")
        except Conflict:
            return "refused"
        return "made"

    with ThreadPoolExecutor(4) as orders:
        answers = sorted(orders.map(order, range(4)))

    assert answers == ["made", "refused", "refused", "refused"]


@pytest.mark.parametrize(("extra", "kind"), [("trial_once = true", "regular"), ("", "trial")])
def test_who_comes_back_gets_no_second_trial_where_the_plan_says_so(
    world: World, extra: str, kind: str
) -> None:
    world.publish(HEAD + plan("p", "1 month", BASE, extra=f'trial = "7 days"\n{extra}'))
    customer = world.customer()
    first = world.subscribe(*customer, "p")
    world.run_until("2026-01-05")
    cancel(world, first)

    again = world.subscribe(*customer, "p")
    world.run_until("2026-01-06")

    assert (world.kinds(first), world.kinds(again)) == (["trial"], [kind])


def test_an_order_that_was_taken_back_before_its_start_uses_no_trial_up(world: World) -> None:
    world.publish(HEAD + plan("p", "1 month", BASE, extra='trial = "7 days"\ntrial_once = true'))
    customer = world.customer()
    cancel(world, world.subscribe(*customer, "p", starts=at("2026-02-01").replace(tzinfo=None)))

    again = world.subscribe(*customer, "p")
    world.run_until("2026-01-02")

    assert world.kinds(again) == ["trial"]


# --- taken over ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("starts", "trial", "history", "status", "next_start"),
    [
        ("2023-05-17 09:30", "", ["skipped"] * 32, "active", "2026-01-17 09:30"),
        ("2025-12-28", 'trial = "14 days"', ["trial"], "trialing", "2026-01-11"),
        ("2025-11-28", 'trial = "14 days"', ["trial", "skipped"], "active", "2026-01-12"),
        ("2026-01-17", "", [], "scheduled", "2026-01-17"),
    ],
)
def test_a_subscription_that_began_elsewhere_is_billed_from_its_next_period_on(
    world: World, starts: str, trial: str, history: list[str], status: str, next_start: str
) -> None:
    world.publish(HEAD + plan("p", "1 month", BASE, extra=trial))

    customer = world.subscribed("p", starts=at(starts).replace(tzinfo=None), imported=True)

    assert (world.kinds(customer), world.status(customer)) == (history, status)
    assert world.subscription(customer).renews_at == at(next_start)
    world.run_until("2026-02-20")
    billed = world.invoices(customer)
    assert [world.psp.captures(customer), {each.total for each in billed}] == [2, {2000}]
    world.assert_everything_adds_up()


def test_what_began_before_its_plan_was_sold_here_is_only_taken_over(world: World) -> None:
    world.publish(HEAD + plan("p", "1 month", BASE))
    start = at("2025-10-05").replace(tzinfo=None)

    with pytest.raises(BadInput) as refused:
        world.subscribed("p", starts=start)
    assert refused.value.code == "version_not_on_sale"
    with pytest.raises(BadInput, match="has a start"):
        world.subscribed("p", imported=True)

    assert world.kinds(world.subscribed("p", starts=start, imported=True)) == ["skipped"] * 3


# --- with the calendar --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("every", "ends", "first"),
    [
        ("3 months", ["2026-04-01", "2026-07-01", "2026-10-01"], 1111),  # 50 of 90 days
        ("1 week", ["2026-02-16", "2026-02-23", "2026-03-02"], 1714),  # 6 of 7 days
    ],
)
def test_periods_that_follow_the_calendar_begin_with_a_stub(
    world: World, every: str, ends: list[str], first: int
) -> None:
    world.publish(HEAD + plan("p", every, BASE, extra='anchor = "calendar"'))
    customer = world.subscribed("p", starts=at("2026-02-10").replace(tzinfo=None))

    world.run_until(ends[1])

    assert [f"{cycle.period_end:%Y-%m-%d}" for cycle in world.cycles(customer)] == ends
    assert totals(world, customer) == [first, 2000, 2000]
    world.assert_everything_adds_up()
