"""Invoices follow from facts: items with prices of every kind, credit, and small amounts."""

from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import text

from billing.errors import BadInput
from billing.flows.subscriptions import lifecycle
from billing.ids import new_id
from billing.ledger import recipes
from billing.presenters import explain as in_words
from billing.pricing import Facts, draft
from billing.queries.explain import explain_subscription
from billing.rules.actor import Actor, ActorKind
from billing.rules.credit import CreditSource
from billing.rules.money import Money
from billing.store.journal import posting
from billing.store.payments import credit
from tests.scenarios.money import give_back
from tests.scenarios.world import Subscriber, World, at

TEAM = """
product = "Search API"

[[plan]]
code = "team"
name = "Team"
every = "1 month"
anchor_day = 1

  [[plan.version]]
  effective = 2026-01-01

    [[plan.version.item]]
    code = "base"
    price = { USD = "99.00" }

    [[plan.version.item]]
    code = "seats"
    name = "Seats"
    per = "seat"
    quantity = { min = 1, max = 5000, default = 62 }
    tiers = "graduated"
    tier = [ { up_to = 5, unit = { USD = "0" } },
             { up_to = 50, unit = { USD = "12.00" } },
             { unit = { USD = "9.50" } } ]

    [[plan.version.item]]
    code = "setup"
    name = "Set-up"
    once = true
    price = { USD = "199.00" }
"""
SMALL = """
product = "Notes"

[[plan]]
code = "notes"
every = "1 month"
anchor_day = 1

  [[plan.version]]
  effective = 2026-01-01
  price = { USD = "9.99" }
"""
FREE = """
product = "Notes"

[[plan]]
code = "free"
every = "1 month"

  [[plan.version]]
  effective = 2026-01-01

    [[plan.version.item]]
    code = "base"
    price = { USD = "0" }
"""


def lines_of(world: World, invoice: Any) -> list[tuple[Any, ...]]:
    with world.engine.connect() as conn:
        query = "SELECT item, quantity, amount FROM invoice_lines WHERE invoice_id = :id ORDER BY 1"
        rows = conn.execute(text(query), {"id": invoice.id})
        return [(row.item, int(row.quantity), row.amount) for row in rows]


def granted(
    world: World,
    customer: Subscriber,
    amount: int,
    *,
    source: CreditSource = CreditSource.GOODWILL,
    priority: int = 50,
    expires: datetime | None = None,
) -> Any:
    """Grant credit to a customer, now."""
    grant_id = new_id()
    with world.engine.begin() as conn:
        credit.add_grants(
            conn,
            [
                {
                    "id": grant_id,
                    "customer_id": customer.customer_id,
                    "currency": "USD",
                    "amount": amount,
                    "source": source,
                    "priority": priority,
                    "subscription_id": None,
                    "effective_at": world.now,
                    "expires_at": expires,
                    "reason": "an outage",
                    "invoice_id": None,
                    "actor": "cli:ada",
                    "created_at": world.now,
                }
            ],
        )
        entry = recipes.credit_granted(
            grant_id=grant_id,
            customer_id=customer.customer_id,
            amount=Money(amount, "USD"),
            effective_at=world.now,
        )
        posting.post(conn, [entry])
    return grant_id


def left(world: World, customer: Subscriber) -> list[int]:
    with world.engine.connect() as conn:
        found = credit.lock_left(conn, [customer.customer_id])
    return [grant.left for grant in found.get(customer.customer_id, ())]


def test_every_item_is_a_line_and_what_is_charged_once_is_charged_once(world: World) -> None:
    world.publish(TEAM)
    customer = world.subscribed("team")

    world.run_until("2026-03-02")

    first, second, third = world.invoices(customer)
    # 5 seats are included, 45 at 12.00, 12 at 9.50
    assert lines_of(world, first) == [
        ("base", 1, 9900),
        ("seats", 62, 45 * 1200 + 12 * 950),
        ("setup", 1, 19900),
    ]
    assert lines_of(world, second) == lines_of(world, third) == lines_of(world, first)[:2]
    assert [each.due for each in (first, second, third)] == [95200, 75300, 75300]
    world.assert_everything_adds_up()


def test_a_stub_prorates_each_item_but_what_is_charged_once(world: World) -> None:
    world.publish(TEAM)
    world.run_until("2026-01-15")
    customer = world.subscribed("team")

    world.run_until("2026-02-02")

    first, _ = world.invoices(customer)
    assert lines_of(world, first) == [
        ("base", 1, 5429),  # 99.00 x 17/31 = 54.2903
        ("seats", 62, 35865),  # 654.00 x 17/31 = 358.6452
        ("setup", 1, 19900),
    ]
    world.assert_everything_adds_up()


def test_an_invoice_is_what_its_facts_make(world: World) -> None:
    world.publish(TEAM)
    customer = world.subscribed("team")
    world.run_until("2026-01-02")

    (invoice,) = world.invoices(customer)
    drafted = draft(Facts.from_document(invoice.facts))

    assert (drafted.net, drafted.total, drafted.due) == (invoice.net, invoice.total, invoice.due)
    assert invoice.rules == 1


def test_a_subscription_begins_with_the_quantities_it_asks_for(world: World) -> None:
    world.publish(TEAM)
    customer = world.subscribed("team", items={"seats": 7})

    world.run_until("2026-01-02")

    assert lines_of(world, world.invoices(customer)[0])[1] == ("seats", 7, 2 * 1200)


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ({"items": {"seats": 0}}, "from 1 to 5,000, not 0"),
        ({"items": {"seats": 5001}}, "from 1 to 5,000, not 5,001"),
        ({"items": {"seat": 3}}, "no item 'seat' with a quantity"),
        ({"items": {"base": 3}}, "no item 'base' with a quantity"),
        ({"quantity": 3}, "each with a quantity of its own"),
        ({"currency": "EUR"}, "no price in 'EUR'"),
    ],
)
def test_what_an_order_of_items_may_not_say(
    world: World, order: dict[str, Any], message: str
) -> None:
    world.publish(TEAM)

    with pytest.raises(BadInput, match=message):
        world.subscribed("team", **order)


def test_an_item_that_joins_a_plan_and_is_charged_once_is_not_charged_to_who_was_there_before(
    world: World,
) -> None:
    dated = """
  [[plan.version]]
  effective = 2026-02-01
  existing = "move"

    [[plan.version.item]]
    code = "base"
    price = { USD = "12.00" }

    [[plan.version.item]]
    code = "setup"
    once = true
    price = { USD = "50.00" }
"""
    world.publish(FREE.replace('"0"', '"10.00"') + dated)
    before = world.subscribed("free")
    world.run_until("2026-02-02")
    after = world.subscribed("free")
    world.run_until("2026-03-02")

    assert lines_of(world, world.invoices(before)[1]) == [("base", 1, 1200)]
    assert [line[0] for line in lines_of(world, world.invoices(after)[0])] == ["base", "setup"]
    assert lines_of(world, world.invoices(after)[1]) == [("base", 1, 1200)]
    world.assert_everything_adds_up()


ADDONS = (
    TEAM
    + """
[[addon]]
code = "sso"
name = "Single sign-on"
fits = ["team"]

  [[addon.version]]
  effective = 2026-01-01
  price = { USD = "49.00" }

[[addon]]
code = "storage"
fits = ["team"]

  [[addon.version]]
  effective = 2026-01-01
  per = "GB"
  quantity = { min = 10, max = 100, default = 10 }
  unit = { USD = "0.125" }

  [[addon.version]]
  effective = 2026-02-01
  existing = "move"
  per = "GB"
  quantity = { min = 10, max = 100, default = 10 }
  unit = { USD = "0.25" }

[[addon]]
code = "audit-log"
fits = ["notes"]

  [[addon.version]]
  effective = 2026-01-01
  price = { USD = "5.00" }

[[plan]]
code = "notes"
every = "1 month"

  [[plan.version]]
  effective = 2026-01-01
  price = { USD = "9.99" }
"""
)


def test_add_ons_are_billed_beside_the_plan_in_the_version_that_holds(world: World) -> None:
    world.publish(ADDONS)
    customer = world.subscribed("team", items={"seats": 5, "sso": 1, "storage": 41})

    world.run_until("2026-02-02")

    first, second = world.invoices(customer)
    # 41 times 0.125 is 5.125
    assert lines_of(world, first)[2:] == [
        ("setup", 1, 19900), ("sso", 1, 4900), ("storage", 41, 513)
    ]  # fmt: skip
    assert lines_of(world, second)[2:] == [("sso", 1, 4900), ("storage", 41, 1025)]
    world.assert_everything_adds_up()


def test_a_plan_with_a_single_price_has_add_ons_too(world: World) -> None:
    world.publish(ADDONS)
    customer = world.subscribed("notes", quantity=2, items={"audit-log": 1})

    world.run_until("2026-01-02")

    (invoice,) = world.invoices(customer)
    assert lines_of(world, invoice) == [("audit-log", 1, 500), ("base", 2, 1998)]
    world.assert_everything_adds_up()


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ({"audit-log": 1}, "add-on audit-log doesn't fit plan team"),
        ({"sso": 2}, "add-on sso once, not 2 times"),
        ({"storage": 9}, "from 10 to 100, not 9"),
    ],
)
def test_what_an_order_of_add_ons_may_not_say(
    world: World, items: dict[str, int], message: str
) -> None:
    world.publish(ADDONS)

    with pytest.raises(BadInput, match=message):
        world.subscribed("team", items=items)


def test_a_free_plan_needs_no_payment_method(world: World) -> None:
    world.publish(FREE)
    customer = world.subscribed("free", card=None)

    world.run_until("2026-02-02")

    assert [cycle.kind for cycle in world.cycles(customer)] == ["free", "free"]
    with world.engine.connect() as conn:
        explained = explain_subscription(conn, customer.reference, world.now)
    told = [words for section in in_words.sections(explained) for words in section.sentences]
    assert "kind free: by its plan it costs nothing" in " ".join(map(str, told))


def test_a_free_plan_has_cycles_and_no_invoice(world: World) -> None:
    world.publish(FREE)
    customer = world.subscribed("free")

    world.run_until("2026-03-02")

    assert [cycle.kind for cycle in world.cycles(customer)] == ["free", "free", "free"]
    assert world.invoices(customer) == []
    world.assert_everything_adds_up()


def test_credit_pays_first_and_the_card_pays_the_rest(world: World) -> None:
    world.publish(SMALL)
    customer = world.subscribed("notes")
    granted(world, customer, 1500)

    world.run_until("2026-03-02")

    assert [each.credit for each in world.invoices(customer)] == [999, 501, 0]
    assert [each.due for each in world.invoices(customer)] == [0, 498, 999]
    assert [each.status for each in world.invoices(customer)] == ["paid", "paid", "paid"]
    assert left(world, customer) == [0]
    world.assert_everything_adds_up()


def test_what_credit_leaves_below_the_least_amount_is_waived(world: World) -> None:
    world.publish(SMALL)
    customer = world.subscribed("notes")
    granted(world, customer, 980)

    world.run_until("2026-01-02")

    (invoice,) = world.invoices(customer)
    assert (invoice.total, invoice.credit, invoice.due, invoice.status) == (999, 999, 0, "paid")
    assert left(world, customer) == [0, 0]
    world.assert_everything_adds_up()


def test_credit_is_used_by_priority_and_then_by_what_expires_first(world: World) -> None:
    world.publish(SMALL)
    customer = world.subscribed("notes")
    granted(world, customer, 400)
    granted(world, customer, 400, expires=at("2026-06-01"))
    granted(world, customer, 400, priority=60)
    granted(world, customer, 400, priority=10)

    world.run_until("2026-01-02")

    assert left(world, customer) == [201, 0, 400, 0]
    world.assert_everything_adds_up()


def test_credit_that_has_expired_pays_nothing(world: World) -> None:
    world.publish(SMALL)
    customer = world.subscribed("notes")
    granted(world, customer, 2000, expires=at("2026-02-01"))

    world.run_until("2026-02-02")

    assert [each.credit for each in world.invoices(customer)] == [999, 0]
    assert left(world, customer) == [1001]


def test_two_subscriptions_of_a_customer_share_credit_and_none_is_used_twice(
    world: World,
) -> None:
    world.publish(SMALL)
    first = world.subscribed("notes")
    second = world.subscribe(first.customer_id, first.provider_customer_id, "notes")
    granted(world, first, 1500)

    world.run_until("2026-01-02")

    due = sorted(each.due for one in (first, second) for each in world.invoices(one))
    assert due == [0, 498]
    world.assert_everything_adds_up()


def test_a_written_off_invoice_loses_what_is_due_and_the_credit_stays_used(world: World) -> None:
    world.publish(SMALL)
    customer = world.subscribed("notes", card="pm_card_chargeCustomerFail")
    granted(world, customer, 500)

    world.run_until("2026-04-02")

    first = world.invoices(customer)[0]
    assert (first.status, first.credit, first.due) == ("uncollectible", 500, 499)
    assert left(world, customer) == [0]
    world.assert_everything_adds_up()


def test_a_voided_invoice_gives_its_credit_back(world: World) -> None:
    world.publish(SMALL)
    customer = world.subscribed("notes", card="pm_card_chargeCustomerFail")
    granted(world, customer, 500)
    world.run_until("2026-01-02")

    lifecycle.cancel(
        world.engine,
        str(customer.subscription_id),
        at_period_end=False,
        now=world.now,
        actor=Actor(ActorKind.CLI, "operator"),
        why="asked",
    )
    world.run_until("2026-02-02")

    (invoice,) = world.invoices(customer)
    assert invoice.status == "void"
    assert left(world, customer) == [500]
    world.assert_everything_adds_up()


@pytest.mark.parametrize("months", [1, 4])
def test_credit_and_a_refund_of_the_rest_leave_nothing_to_earn_twice(
    world: World, months: int
) -> None:
    world.publish(SMALL)
    customer = world.subscribed("notes")
    granted(world, customer, 500)
    world.run_until(f"2026-0{months}-02")

    give_back(world, world.payment(customer).id)
    world.run_until("2026-06-02")

    world.assert_everything_adds_up()
