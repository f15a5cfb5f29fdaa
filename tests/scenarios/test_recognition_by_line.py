"""Each line of an invoice is earned over its own period, and gives back its own part."""

from dataclasses import replace
from datetime import date
from uuid import UUID

import pytest
from sqlalchemy import text

from billing.flows.invoices import ordering
from billing.flows.invoices.ordering import InvoiceOrder, OrderedLine, ServiceDays
from billing.flows.subscriptions import lifecycle
from billing.gateway import DisputeStage
from billing.ids import new_id
from billing.presenters import explain
from billing.queries.explain.read import explain_payment
from billing.rules.actor import Actor, ActorKind
from billing.rules.recognition import Once
from billing.store.engine import make_engine
from billing.store.payments import payments, recognition
from billing.store.payments.invoices import Invoice
from billing.store.payments.recognition import Standing
from tests.scenarios.money import (
    apply_dispute,
    apply_events_of_dispute,
    apply_events_of_refund,
    balances,
    decide,
    fail_at_provider,
    fetch_dispute,
    give_back,
    open_dispute,
    refund_row,
    usd,
)
from tests.scenarios.test_money_proof import tampered
from tests.scenarios.world import Subscriber, World

DECLINED = "pm_card_chargeCustomerFail"
# 31.00 for a month, and 20.00 once.
ITEMS = """
product = "API"

[[plan]]
code = "api"
every = "1 month"

  [[plan.version]]
  effective = 2026-01-01

    [[plan.version.item]]
    code = "base"
    price = { USD = "31.00" }

    [[plan.version.item]]
    code = "setup"
    once = true
    price = { USD = "20.00" }
"""


def earned(world: World, subscriber: Subscriber, n: int = 0) -> list[tuple[str, int, int]]:
    """Return what was earned of an invoice: up to when, of which line, and how much."""
    with world.engine.connect() as conn:
        rows = recognition.of_invoice(conn, world.invoices(subscriber)[n].id)
    return [(f"{row.through:%m-%d %H:%M}", row.line, row.amount) for row in rows]


def standing(world: World, invoice_id: UUID) -> Standing:
    with world.engine.connect() as conn:
        return recognition.standings(conn, [invoice_id])[invoice_id]


def left(world: World, subscriber: Subscriber) -> list[tuple[int, int]]:
    """Return what is left earned and unearned of each line of a subscriber's first invoice."""
    found = standing(world, world.invoices(subscriber)[0].id)
    return [(line.left.recognised, line.left.deferred) for line in found.lines]


def begun(world: World, card: str = "pm_card_visa") -> Subscriber:
    world.earn_daily()
    world.publish(ITEMS)
    subscriber = world.subscribed("api", card=card)
    world.settle()
    return subscriber


def earn_by(world: World, instant: str) -> None:
    world.jump_to(instant)
    world.close_books()


@pytest.mark.parametrize(
    ("once", "expected"),
    [
        ("issue", [("01-01 00:00", 2, 2000), ("01-11 00:00", 1, 1000)]),
        # 20.00 in 31 days: 65 cents on sixteen of them, and 64 on the others
        ("period", [("01-11 00:00", 1, 1000), ("01-11 00:00", 2, 650)]),
    ],
)
def test_what_is_charged_once_is_earned_when_it_is_invoiced_or_over_its_period(
    world: World, once: Once, expected: list[tuple[str, int, int]]
) -> None:
    world.policy = replace(world.policy, recognise_once=once)
    subscriber = begun(world)

    earn_by(world, "2026-01-11")

    assert earned(world, subscriber) == expected
    world.assert_everything_adds_up()
    world.run_until("2026-02-01")
    world.close_books()
    assert left(world, subscriber) == [(3100, 0), (2000, 0)]
    world.assert_everything_adds_up()


def test_at_the_period_end_everything_else_is_earned(world: World) -> None:
    world.publish(ITEMS)
    subscriber = world.subscribed("api")
    world.settle()

    earn_by(world, "2026-01-02")
    assert balances(world)["revenue"] == -2000
    world.run_until("2026-02-01")
    world.close_books()

    assert earned(world, subscriber) == [("01-01 00:00", 2, 2000), ("02-01 00:00", 1, 3100)]
    world.assert_everything_adds_up()


def test_a_refund_takes_its_share_of_every_line_and_the_rest_is_earned_on(world: World) -> None:
    """51.00 are left: of the period 10.00 earned and 21.00 not, of the set-up 20.00."""
    subscriber = begun(world)
    earn_by(world, "2026-01-11")

    give_back(world, world.payment(subscriber).id, usd(2550))
    assert left(world, subscriber) == [(500, 1050), (1000, 0)]
    world.settle()
    earn_by(world, "2026-01-12")

    assert earned(world, subscriber)[-1] == ("01-12 00:00", 1, 50)
    world.assert_everything_adds_up()
    world.run_until("2026-02-01")
    world.close_books()
    assert left(world, subscriber) == [(1550, 0), (1000, 0)]
    assert balances(world)["refunds_contra"] == 1500
    world.assert_everything_adds_up()


def test_a_refund_that_fails_late_is_earned_beside_what_another_line_earned(world: World) -> None:
    """Nothing of the set-up or the period was left, so none of the days since was earned."""
    subscriber = begun(world)
    refund = give_back(world, world.payment(subscriber).id)
    world.settle()
    earn_by(world, "2026-01-11")
    assert earned(world, subscriber) == []

    fail_at_provider(world, refund)
    apply_events_of_refund(world, refund_row(world, refund).provider_refund_id)
    world.close_books()
    world.close_books()

    assert earned(world, subscriber) == [("01-01 00:00", 2, 2000), ("01-11 00:00", 1, 1000)]
    world.run_until("2026-02-01")
    world.close_books()
    assert left(world, subscriber) == [(3100, 0), (2000, 0)]
    world.assert_everything_adds_up()


def test_a_line_that_is_earned_after_the_others_has_an_instant_of_its_own(world: World) -> None:
    """A refund takes all of a line of one cent, and fails when the other has earned that day."""
    world.earn_daily()
    world.publish(ITEMS)
    subscriber = world.subscribed("api")
    world.settle()
    lines = [OrderedLine("Support", 3098), OrderedLine("Stamp", 1)]
    issued = ordered(world, subscriber, lines, ServiceDays(date(2026, 1, 1), date(2026, 1, 31)))
    world.settle()
    with world.engine.connect() as conn:
        payment = payments.of_invoice(conn, issued.id)
    assert payment is not None
    refund = give_back(world, payment.id, usd(1550))
    world.settle()
    assert [line.left.deferred for line in standing(world, issued.id).lines] == [1549, 0]
    earn_by(world, "2026-01-11 10:00")

    fail_at_provider(world, refund)
    apply_events_of_refund(world, refund_row(world, refund).provider_refund_id)
    world.close_books()

    with world.engine.connect() as conn:
        rows = recognition.of_invoice(conn, issued.id)
    assert [(f"{row.through:%d %H:%M}", row.line, row.amount) for row in rows] == [
        ("11 00:00", 1, 500),
        ("11 10:00", 2, 1),
    ]
    world.assert_everything_adds_up()


def ordered(
    world: World, subscriber: Subscriber, lines: list[OrderedLine], service: ServiceDays
) -> Invoice:
    """Invoice a subscriber for what no plan sells."""
    order = InvoiceOrder(str(subscriber.customer_id), "USD", lines, service)
    with world.engine.begin() as conn:
        return ordering.create(conn, order, new_id(), now=world.now, policy=world.policy)


def test_a_lost_dispute_takes_of_every_line_and_gives_back_when_it_is_decided_anew(
    world: World,
) -> None:
    subscriber = begun(world)
    earn_by(world, "2026-01-11")
    dispute = open_dispute(world, world.payment(subscriber).id, amount=2550)
    apply_events_of_dispute(world, dispute)
    assert left(world, subscriber) == [(1000, 2100), (2000, 0)]

    decide(world, dispute, "lost")
    apply_events_of_dispute(world, dispute)
    assert left(world, subscriber) == [(500, 1050), (1000, 0)]
    world.settle()
    earn_by(world, "2026-01-13")
    world.assert_everything_adds_up()

    lost = fetch_dispute(world, dispute)
    apply_dispute(world, replace(lost, stage=DisputeStage.WON))  # the money is still on its way
    world.close_books()
    assert left(world, subscriber) == [(1100, 2000), (2000, 0)]
    assert "disputes_contra" not in balances(world)
    apply_dispute(world, lost)
    world.run_until("2026-02-01")
    world.close_books()

    assert left(world, subscriber) == [(1550, 0), (1000, 0)]
    world.assert_everything_adds_up()


def test_a_written_off_invoice_loses_what_was_earned_of_each_line(world: World) -> None:
    subscriber = begun(world, DECLINED)
    earn_by(world, "2026-01-11")
    world.run_until("2026-01-31")
    world.close_books()

    assert world.invoices(subscriber)[0].status == "uncollectible"
    assert "deferred_revenue" not in balances(world)
    assert balances(world)["bad_debt"] == -balances(world)["revenue"]
    with world.engine.connect() as conn:
        rows = conn.execute(text("SELECT line, recognised + deferred FROM line_parts ORDER BY 1"))
        assert [tuple(row) for row in rows] == [(1, 3100), (2, 2000)]
    world.assert_everything_adds_up()


def test_a_voided_invoice_takes_back_what_was_earned_of_each_line(world: World) -> None:
    subscriber = begun(world, DECLINED)
    earn_by(world, "2026-01-03")

    lifecycle.cancel(
        world.engine,
        subscriber.reference,
        at_period_end=False,
        now=world.now,
        actor=Actor(ActorKind.CLI, "operator"),
        why="moved away",
    )
    world.run_until("2026-02-01")
    world.close_books()

    assert balances(world) == {}
    assert [(line, amount) for _, line, amount in earned(world, subscriber)] == [
        (2, 2000),
        (1, 200),
        (1, -200),
        (2, -2000),
    ]
    world.assert_everything_adds_up()


def test_a_service_that_was_over_is_earned_when_it_is_invoiced(world: World) -> None:
    """So it is with what was used in the period before."""
    subscriber = begun(world)
    world.run_until("2026-01-11 09:00")
    lines = [OrderedLine("Training", 5000), OrderedLine("Travel", 700)]
    issued = ordered(world, subscriber, lines, ServiceDays(date(2026, 1, 5), date(2026, 1, 9)))
    world.settle()
    world.close_books()

    with world.engine.connect() as conn:
        rows = recognition.of_invoice(conn, issued.id)
    assert [(row.through, row.line, row.amount) for row in rows] == [
        (world.now, 1, 5000),
        (world.now, 2, 700),
    ]
    world.assert_everything_adds_up()


BROKEN = {
    "a part of a line that is gone": (
        "DELETE FROM line_parts WHERE line = 2",
        "or splits it otherwise",
    ),
    "another part of a line": (
        "UPDATE line_parts SET deferred = deferred + 1 WHERE line = 1",
        "or splits it otherwise",
    ),
    "a part of a refund that isn't there": (
        "UPDATE line_parts SET kind = 'write_off', source_id = invoice_id WHERE line = 2",
        "which isn't there",
    ),
    "more of a line than was earned": (
        "UPDATE line_parts SET recognised = CASE line WHEN 1 THEN 1499 ELSE 1 END",
        "gave back more than was recognised",
    ),
    "a line that was earned before its days": (
        "UPDATE revenue_recognitions SET line = 1 WHERE line = 2",
        "were recognised, and no more than",
    ),
    "a line that is earned as another one is": (
        "UPDATE invoice_lines SET earned_at_issue = NOT earned_at_issue WHERE line = 2",
        "line 2",
    ),
}


@pytest.fixture
def refunded(world: World) -> World:
    """An invoice with two lines, of which a half was refunded when a third was earned."""
    subscriber = begun(world)
    earn_by(world, "2026-01-11")
    give_back(world, world.payment(subscriber).id, usd(2550))
    world.settle()
    world.assert_promises_hold()
    return world


def test_the_proof_looks_at_every_line(refunded: World, db_url: str) -> None:
    owner = make_engine(db_url, role=None)
    with owner.connect() as conn:
        for table in ("line_parts", "revenue_recognitions", "invoice_lines"):
            conn.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
        found = {name: tampered(conn, refunded, BROKEN[name][0]) for name in BROKEN}
        conn.rollback()
    owner.dispose()

    assert {
        name: found[name]
        for name, (_, says) in BROKEN.items()
        if not any(says in finding for finding in found[name])
    } == {}


def test_an_explanation_tells_what_each_line_earned(world: World) -> None:
    subscriber = begun(world)
    earn_by(world, "2026-01-11")

    with world.engine.connect() as conn:
        facts = explain_payment(conn, world.payment(subscriber).id, world.now)
    told = [words for section in explain.sections(facts) for words in section.sentences]

    assert [words for words in told if words.startswith("Line ") and "earned" in words] == [
        "Line 1 (Api, 2026-01-01 to 2026-01-31): 10.00 USD of 31.00 USD earned, 21.00 USD still to"
        " be; 2026-01-01 00:00 UTC to 2026-02-01 00:00 UTC.",
        "Line 2 (setup): 20.00 USD of 20.00 USD earned; earned at once.",
    ]
