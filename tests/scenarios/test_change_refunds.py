"""What a change takes away goes back to the card, where a person or the plan says so."""

from typing import Any

import pytest
from sqlalchemy import text

from billing.errors import ErrorCode
from billing.flows.credit import granting
from billing.flows.refunds.requesting import NotRefundable
from billing.rules.credit_notes import Destination
from tests.scenarios import test_cadence_changes as cadences
from tests.scenarios.money import at_provider
from tests.scenarios.test_item_changes import CLI, NOW, PLANS, change, quote
from tests.scenarios.world import Subscriber, World

# The plan gives money back; its other terms are those of "basic".
GIVES_BACK = PLANS.replace(
    'name = "Basic"', 'name = "Basic"\nchange = { down = "now", credit = "refund" }'
)


def notes(world: World, customer: Subscriber) -> list[tuple[str, int]]:
    with world.engine.connect() as conn:
        rows = conn.execute(
            text("SELECT destination, total FROM credit_notes WHERE customer_id = :id ORDER BY n"),
            {"id": customer.customer_id},
        )
        return [(row.destination, row.total) for row in rows]


def refunded(world: World, customer: Subscriber) -> list[int]:
    """Return what the provider gave back of a customer's first payment."""
    return [row["amount"] for row in at_provider(world, world.payment(customer, 0).id)]


def five(world: World, toml: str = PLANS) -> Subscriber:
    """Return who holds 5 units at 9.30 for January, on the 15th: 17 of 31 days are left."""
    world.publish(toml)
    customer = world.subscribed("basic", quantity=5)
    world.run_until("2026-01-15")
    return customer


def test_fewer_units_are_refunded_where_a_person_says_so(world: World) -> None:
    customer = five(world)

    quoted = quote(world, customer, NOW, quantity=2, credit="refund")
    change(world, customer, NOW, quantity=2, credit="refund", digest=quoted.digest)
    world.run_until("2026-02-02")

    assert [note.drafted.destination for note in quoted.notes] == [Destination.REFUND]
    assert notes(world, customer) == [("refund", 1530)]
    assert refunded(world, customer) == [1530]
    assert [(row.credit, row.due) for row in world.invoices(customer)] == [(0, 4650), (0, 1860)]
    world.assert_everything_adds_up()


def test_the_quote_of_a_refund_is_another_one_than_that_of_credit(world: World) -> None:
    customer = five(world)
    to_card = quote(world, customer, NOW, quantity=2, credit="refund")
    assert quote(world, customer, NOW, quantity=2).digest != to_card.digest
    same = quote(world, customer, NOW, quantity=2, credit="next_invoice")
    assert quote(world, customer, NOW, quantity=2).digest == same.digest


@pytest.mark.parametrize(
    ("order", "destination"),
    [({}, "refund"), ({"credit": "next_invoice"}, "credit"), ({"credit": "refund"}, "refund")],
    ids=["as it says", "credit is asked for", "a refund is asked for"],
)
def test_a_plan_says_that_money_goes_back(
    world: World, order: dict[str, Any], destination: str
) -> None:
    customer = five(world, GIVES_BACK)

    change(world, customer, None, quantity=2, **order)
    world.run_until("2026-01-20")

    assert notes(world, customer) == [(destination, 1530)]
    assert refunded(world, customer) == ([1530] if destination == "refund" else [])
    world.assert_everything_adds_up()


@pytest.mark.parametrize("order", [{}, {"credit": "refund"}], ids=["by the plan", "asked for"])
def test_what_is_given_back_pays_the_invoice_of_the_change_first(
    world: World, order: dict[str, Any]
) -> None:
    customer = five(world, GIVES_BACK)

    change(world, customer, NOW, plan="pro", quantity=2, **order)
    world.run_until("2026-01-20")

    # 5 x 9.30 for 17 of 31 days are 25.50; 2 x 31.00 for them 34.00
    assert notes(world, customer) == [("credit", 2550)]
    assert refunded(world, customer) == []
    assert (world.invoices(customer)[1].credit, world.invoices(customer)[1].due) == (2550, 850)
    world.assert_everything_adds_up()


def test_what_credit_paid_stays_credit_unless_a_person_insists_and_is_refused(
    world: World,
) -> None:
    world.publish(GIVES_BACK)
    customer = world.subscribed("basic", quantity=5)
    order = granting.GrantOrder(customer.customer, 4650, "USD", "an outage")
    granting.grant(world.engine, order, now=world.now, actor=CLI)
    world.run_until("2026-01-15")

    with pytest.raises(NotRefundable) as refused:
        change(world, customer, NOW, quantity=2, credit="refund")
    assert refused.value.code is ErrorCode.NOTHING_CAPTURED
    assert notes(world, customer) == []
    assert world.subscription(customer).quantity == 5

    change(world, customer, NOW, quantity=2)
    assert notes(world, customer) == [("credit", 1530)]
    world.assert_everything_adds_up()


# --- where a cycle is cut -----------------------------------------------------------------------


def in_july(world: World, toml: str, *, credit: int = 0) -> Subscriber:
    """Return who holds a year at 365.00, on 1 July: 184 of 365 days are left."""
    world.publish(toml)
    customer = world.subscribed("yearly")
    if credit:
        order = granting.GrantOrder(customer.customer, credit, "USD", "an outage")
        granting.grant(world.engine, order, now=world.now, actor=CLI)
    world.run_until("2026-07-01 12:00")
    return customer


CADENCES = cadences.PLANS + cadences.FREE
YEARS_GIVE_BACK = CADENCES.replace(
    'name = "Yearly"', 'name = "Yearly"\nchange = { down = "now", credit = "refund" }'
)


@pytest.mark.parametrize(
    ("toml", "order", "destination"),
    [
        (CADENCES, {}, "credit"),
        (CADENCES, {"credit": "refund"}, "refund"),
        (YEARS_GIVE_BACK, {}, "refund"),
        (YEARS_GIVE_BACK, {"credit": "next_invoice"}, "credit"),
    ],
    ids=["credit", "asked for", "as the plan says", "credit is asked for"],
)
def test_what_is_left_of_a_cut_cycle_is_refunded_where_the_next_one_is_free(
    world: World, toml: str, order: dict[str, Any], destination: str
) -> None:
    customer = in_july(world, toml)

    quoted = quote(world, customer, NOW, plan="gratis", **order)
    change(world, customer, NOW, plan="gratis", digest=quoted.digest, **order)
    world.run_until("2026-08-02")

    assert quoted.cut is not None
    assert notes(world, customer) == [(destination, 18400)]
    assert refunded(world, customer) == ([18400] if destination == "refund" else [])
    assert [invoice.due for invoice in world.invoices(customer)] == [36500]
    world.assert_everything_adds_up()


def test_what_is_left_of_a_cut_cycle_pays_the_next_one_first(world: World) -> None:
    customer = in_july(world, YEARS_GIVE_BACK)

    change(world, customer, NOW, plan="monthly", credit="refund")
    world.run_until("2026-08-02")

    assert notes(world, customer) == [("credit", 18400)]
    assert refunded(world, customer) == []
    assert [invoice.due for invoice in world.invoices(customer)] == [36500, 0, 0]
    world.assert_everything_adds_up()


def test_of_a_cut_cycle_that_credit_paid_no_money_is_refunded(world: World) -> None:
    customer = in_july(world, YEARS_GIVE_BACK, credit=36500)

    with pytest.raises(NotRefundable) as refused:
        change(world, customer, NOW, plan="gratis", credit="refund")
    assert refused.value.code is ErrorCode.NOTHING_CAPTURED
    assert (notes(world, customer), len(world.cycles(customer))) == ([], 1)

    change(world, customer, NOW, plan="gratis")
    assert notes(world, customer) == [("credit", 18400)]
    world.assert_everything_adds_up()
