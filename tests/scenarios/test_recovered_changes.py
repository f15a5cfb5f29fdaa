"""Changes that were charged after a backup: a recovery makes them again, and nobody pays twice.

What the provider holds says which change was charged, and when. What it doesn't say is what it
follows from here, so a change may come to something else: then it is left to a person.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from billing.errors import BillingError, ErrorCode
from billing.flows.credit import expiring, granting
from billing.flows.recovery.finding import AdoptionResult, Why
from billing.flows.subscriptions import changing, lifecycle
from billing.flows.subscriptions.changed_terms import ChangeOrder
from billing.ids import new_id
from billing.rules.item_changes import ChangeAsked
from billing.store.subscriptions import item_changes
from tests.scenarios.backups import Backups, as_after_a_restart, recover
from tests.scenarios.test_cadence_changes import PLANS as CADENCES
from tests.scenarios.test_facts import ADDONS as TEAM_ADDONS
from tests.scenarios.test_item_changes import CLI, LATER, NOW, PLANS, change, dues, quote
from tests.scenarios.test_recovered_periods import try_to_recover
from tests.scenarios.world import Subscriber, World, at


def documents(world: World, customer: Subscriber) -> list[tuple[Any, ...]]:
    """Return what a customer's invoices say, and when they were issued."""
    return [
        (row.id, row.number, row.kind, row.facts, row.due, row.status, row.issued_at)
        for row in world.invoices(customer)
    ]


def changes_of(world: World, customer: Subscriber) -> list[tuple[Any, ...]]:
    with world.engine.connect() as conn:
        found = item_changes.of(conn, customer.subscription_id)
    return [(each.change_id, each.holds_from, each.detail()) for each in found]


def notes(world: World, customer: Subscriber) -> list[tuple[Any, ...]]:
    with world.engine.connect() as conn:
        rows = conn.execute(
            text(
                "SELECT id, number, invoice_id, total, created_at FROM credit_notes"
                " WHERE customer_id = :id ORDER BY n"
            ),
            {"id": customer.customer_id},
        )
        return [tuple(row) for row in rows]


@pytest.mark.parametrize(
    "order",
    [{"quantity": 5}, {"plan": "pro"}, {"plan": "pro", "quantity": 3}],
    ids=["more units", "another plan", "both"],
)
def test_a_change_that_was_charged_after_the_backup_is_made_again(
    world: World, backups: Backups, order: Mapping[str, Any]
) -> None:
    world.publish(PLANS)
    customer = world.subscribed("basic", quantity=2)
    world.run_until("2026-01-10")
    restore = backups.take(world)
    world.run_until("2026-01-15 12:34:56.789")
    change(world, customer, NOW, **order)
    world.run_until("2026-01-16")

    restored = restore()
    done = recover(restored)

    assert [each.result for each in done] == [AdoptionResult.ADOPTED]
    assert documents(restored, customer) == documents(world, customer)
    assert changes_of(restored, customer) == changes_of(world, customer)
    assert notes(restored, customer) == notes(world, customer)
    restored.assert_everything_adds_up()
    restored.run_until("2026-02-02")
    world.psp.pin(restored.now)
    assert restored.psp.captures(customer) == 3
    restored.assert_everything_adds_up()


@pytest.mark.parametrize(
    "order",
    [{"plan": "yearly"}, {"billing_day": 9}, {"billing_day": 9, "zone": "Asia/Tokyo"}],
    ids=["another cadence", "another billing day", "another zone"],
)
def test_a_cut_whose_next_period_was_charged_after_the_backup_is_made_again(
    world: World, backups: Backups, order: Mapping[str, Any]
) -> None:
    world.publish(CADENCES)
    customer = world.subscribed("monthly", quantity=2)
    world.run_until("2026-01-10")
    restore = backups.take(world)
    world.run_until("2026-01-15 12:34:56.789")
    change(world, customer, NOW, **order)
    world.run_until("2026-02-20")

    restored = restore()
    done = recover(restored)

    assert {each.result for each in done} == {AdoptionResult.ADOPTED}
    assert documents(restored, customer) == documents(world, customer)
    assert changes_of(restored, customer) == changes_of(world, customer)
    assert notes(restored, customer) == notes(world, customer)
    assert restored.subscription(customer).segment == world.subscription(customer).segment
    restored.assert_everything_adds_up()


def test_add_ons_that_were_charged_after_the_backup_are_added_again(
    world: World, backups: Backups
) -> None:
    world.publish(TEAM_ADDONS)
    customer = world.subscribed("team", items={"seats": 5})
    world.run_until("2026-01-10")
    restore = backups.take(world)
    world.run_until("2026-01-15")
    change(world, customer, NOW, items={"sso": 1, "seats": 7})
    world.run_until("2026-01-16")

    restored = restore()
    recover(restored)

    assert documents(restored, customer) == documents(world, customer)
    assert changes_of(restored, customer) == changes_of(world, customer)
    restored.assert_everything_adds_up()


def test_a_change_in_a_period_that_began_after_the_backup_is_made_again(
    world: World, backups: Backups
) -> None:
    """Its own period was charged, and the one after it."""
    world.publish(PLANS)
    customer = world.subscribed("basic", quantity=2)
    world.run_until("2026-01-20")
    restore = backups.take(world)
    world.run_until("2026-02-10")
    change(world, customer, NOW, quantity=5)
    world.run_until("2026-03-02")

    restored = restore()
    done = recover(restored)

    assert {each.result for each in done} == {AdoptionResult.ADOPTED}
    assert documents(restored, customer) == documents(world, customer)
    assert restored.psp.captures(customer) == 4
    restored.assert_everything_adds_up()


def test_a_change_is_made_again_in_a_period_that_credit_paid(
    world: World, backups: Backups
) -> None:
    """Nothing of the period is at the provider. Its invoice is dated to when it was due."""
    world.publish(PLANS)
    customer = world.subscribed("basic", quantity=2)
    grant(world, customer, 1860)
    restore = backups.take(world)
    world.run_until("2026-01-20")
    change(world, customer, NOW, quantity=5)
    world.run_until("2026-01-21")
    assert world.psp.captures(customer) == 1

    restored = restore()
    recover(restored)

    assert documents(restored, customer) == documents(world, customer)
    restored.assert_everything_adds_up()


@pytest.mark.parametrize("series", [None, "INV"], ids=["of the subscription", "of a series"])
def test_a_charge_of_a_change_that_was_declined_is_collected_once(
    world: World, backups: Backups, series: str | None
) -> None:
    """The number that its invoice had may be another one's now."""
    if series is not None:
        world.number_in_series(series)
    world.publish(PLANS)
    other = world.subscribed("basic")
    customer = world.subscribed("basic", quantity=2)
    world.run_until("2026-01-10")
    restore = backups.take(world)
    world.new_card(customer, "pm_card_chargeCustomerFail")
    grant(world, other, 5000)
    change(world, other, NOW, quantity=2)
    change(world, customer, NOW, quantity=5)
    world.run_until("2026-01-10 01:00")
    assert world.payment(customer).state == "CREATED"

    restored = restore()
    if series is not None:
        restored.number_in_series(series)
    recover(restored)
    restored.new_card(customer)
    restored.run_until("2026-01-15")

    assert [row.status for row in restored.invoices(customer)] == ["paid", "paid"]
    assert restored.psp.captures(customer) == 2
    restored.assert_everything_adds_up()


def test_a_change_that_is_asked_for_again_under_its_id_is_not_made_twice(
    world: World, backups: Backups
) -> None:
    world.publish(PLANS)
    customer = world.subscribed("basic", quantity=2)
    world.run_until("2026-01-10")
    restore = backups.take(world)
    quoted = change(world, customer, NOW, quantity=5)
    world.run_until("2026-01-11")
    change_id = quoted.terms.change.change_id
    assert change_id is not None

    restored = restore()
    recover(restored)

    assert refused(restored, customer, change_id) is ErrorCode.CHANGE_ID_TAKEN
    assert refused(restored, customer, new_id()) is ErrorCode.CHANGE_NOTHING
    assert restored.psp.captures(customer) == 2


def refused(world: World, customer: Subscriber, change_id: UUID) -> ErrorCode:
    with pytest.raises(BillingError) as error:
        changing.change(
            world.engine,
            customer.reference,
            ChangeOrder(quantity=5, applies=NOW),
            change_id=change_id,
            now=world.now,
            asked=ChangeAsked(world.now, CLI, "asked again"),
            policy=world.policy,
        )
    return ErrorCode(error.value.code)


def test_the_next_change_of_the_period_has_the_next_number(world: World, backups: Backups) -> None:
    """The first change was paid by credit: nothing of it is at the provider."""
    world.publish(PLANS)
    customer = world.subscribed("basic", quantity=1)
    world.run_until("2026-01-10")
    restore = backups.take(world)
    grant(world, customer, 700)
    change(world, customer, NOW, quantity=2)
    world.run_until("2026-01-11")
    change(world, customer, NOW, plan="pro")
    world.run_until("2026-01-12")
    number = world.invoices(customer)[-1].number
    assert number.endswith("-2")

    restored = restore()
    done, is_open = try_to_recover(restored)
    assert (done, is_open) == ([(AdoptionResult.PARKED, None)], True)
    assert restored.invoices(customer)[-1].number == number
    change(restored, customer, LATER, quantity=2)
    assert quote(restored, customer, quantity=4).applies is LATER


def test_a_change_to_a_plan_that_is_not_here_holds_the_recovery_up_until_it_is(
    world: World, backups: Backups
) -> None:
    basic, _ = PLANS.split('\n[[plan]]\ncode = "pro"\n', 1)
    world.publish(basic)
    customer = world.subscribed("basic", quantity=2)
    world.run_until("2026-01-10")
    restore = backups.take(world)
    world.publish(PLANS)
    change(world, customer, NOW, plan="pro")
    world.run_until("2026-01-11")

    restored = restore()
    held = (AdoptionResult.HELD, Why.CANNOT_CHANGE)
    assert try_to_recover(restored) == ([held], False)
    assert dues(restored, customer) == [1860]

    restored.publish(PLANS)
    recover(restored)
    assert documents(restored, customer) == documents(world, customer)
    restored.assert_everything_adds_up()


def test_a_charge_of_a_change_of_a_subscription_that_ended_here_is_passed_over(
    world: World, backups: Backups
) -> None:
    basic, _ = PLANS.split('\n[[plan]]\ncode = "pro"\n', 1)
    world.publish(basic)
    customer = world.subscribed("basic", quantity=2)
    world.run_until("2026-01-10")
    restore = backups.take(world)
    world.publish(PLANS)
    change(world, customer, NOW, plan="pro")
    world.run_until("2026-01-11")

    restored = restore()
    try_to_recover(restored)
    lifecycle.cancel(
        restored.engine, customer.reference, at_period_end=False, now=restored.now, actor=CLI,
        why="x", forgive=True,
    )  # fmt: skip
    assert try_to_recover(restored) == ([(AdoptionResult.PASSED_OVER, Why.NO_CYCLE)], True)
    restored.close_books()
    assert [row.kind for row in restored.breaks()] == ["unknown_at_provider"]


# --- credit -------------------------------------------------------------------------------------


def grant(world: World, customer: Subscriber, amount: int, **more: Any) -> UUID:
    order = granting.GrantOrder(customer.customer, amount, "USD", "an outage", **more)
    return granting.grant(world.engine, order, now=world.now, actor=CLI)


@pytest.mark.parametrize("by", ["renewal", "change"])
def test_credit_that_expired_since_pays_what_it_paid_when_it_was_charged(
    world: World, backups: Backups, by: str
) -> None:
    """Nobody writes it off before the account recovered, whatever the time."""
    world.publish(PLANS)
    customer = world.subscribed("basic", quantity=2)
    world.run_until("2026-01-20")
    grant(world, customer, 500, expires=at("2026-02-01 06:00"))
    restore = backups.take(world)
    if by == "change":
        change(world, customer, NOW, quantity=5)
    world.run_until("2026-02-01 01:00")

    restored = restore()
    restored.jump_to("2026-02-10")
    as_after_a_restart(restored)
    restored.close_books()
    recover(restored)

    assert documents(restored, customer) == documents(world, customer)
    assert sum(row.credit for row in restored.invoices(customer)) == 500
    restored.assert_everything_adds_up()


@pytest.mark.parametrize("by", ["renewal", "change"])
def test_credit_that_could_not_be_used_yet_pays_nothing_of_what_was_charged_before(
    world: World, backups: Backups, by: str
) -> None:
    world.publish(PLANS)
    customer = world.subscribed("basic", quantity=2)
    world.run_until("2026-01-20")
    grant(world, customer, 500, effective=at("2026-02-02"))
    restore = backups.take(world)
    if by == "change":
        change(world, customer, NOW, quantity=5)
    world.run_until("2026-02-01 01:00")

    restored = restore()
    restored.jump_to("2026-02-10")
    recover(restored)

    assert documents(restored, customer) == documents(world, customer)
    assert sum(row.credit for row in restored.invoices(customer)) == 0
    restored.run_until("2026-03-02")
    assert restored.invoices(customer)[-1].credit == 500
    restored.assert_everything_adds_up()


def test_what_is_not_held_up_expires(world: World, backups: Backups) -> None:
    world.publish(PLANS)
    customer = world.subscribed("basic", quantity=2)
    grant(world, customer, 5000, expires=at("2026-01-20"))
    world.run_until("2026-01-21")

    held = expiring.run(world.engine, now=world.now, batch=10, held=[world.provider])
    free = expiring.run(world.engine, now=world.now, batch=10, held=["another"])

    assert (held.expired, free.expired) == (0, 1)
