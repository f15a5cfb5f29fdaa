"""Invoices of lines that somebody asks for: collected, earned and given back as any other."""

from collections.abc import Sequence
from datetime import date
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from billing.errors import BadInput, BillingError, Conflict, ErrorCode, NotFound
from billing.flows.credit_notes import issuing as notes
from billing.flows.credit_notes.drafting import Asked
from billing.flows.invoices import ordering, voiding
from billing.flows.invoices.ordering import InvoiceOrder, OrderedLine, ServiceDays
from billing.flows.recovery.finding import AdoptionResult, Why
from billing.flows.subscriptions import retrying
from billing.ids import new_id
from billing.presenters.explain import sections
from billing.queries.explain import explain_invoice, explain_payment
from billing.rules.credit_notes import Destination
from billing.store.payments import invoices, payments
from billing.store.payments.invoices import Invoice
from billing.store.payments.payments import Payment
from tests.scenarios.backups import Backups, recover
from tests.scenarios.money import (
    NO_TRIAL,
    apply_events_of_dispute,
    decide,
    give_back,
    open_dispute,
    paid,
    usd,
)
from tests.scenarios.test_catalog_items import SPRING, redeem
from tests.scenarios.test_credit import OPERATOR, balance, grant
from tests.scenarios.world import Subscriber, World

SETUP = OrderedLine("Set-up", 19900)
TRAINING = OrderedLine("Training, two days", 80000)


def order(customer: UUID | str, *lines: OrderedLine, **more: Any) -> InvoiceOrder:
    given = {"currency": "USD", "lines": lines or (SETUP,)} | more
    return InvoiceOrder(customer=str(customer), **given)


def invoiced(
    world: World, asked: InvoiceOrder, invoice_id: UUID | None = None, *, settle: bool = True
) -> UUID:
    with world.engine.begin() as conn:
        made = ordering.create(
            conn, asked, invoice_id or new_id(), now=world.now, policy=world.policy
        )
    if settle:
        world.settle()
    return made.id


def shown(world: World, invoice_id: UUID) -> tuple[Invoice, Payment | None]:
    with world.engine.connect() as conn:
        found = invoices.find(conn, str(invoice_id))
        assert found is not None
        return found, payments.of_invoice(conn, invoice_id)


def state(world: World, invoice_id: UUID) -> tuple[str, str | None]:
    invoice, payment = shown(world, invoice_id)
    return str(invoice.status), None if payment is None else str(payment.state)


def told(world: World, invoice_id: UUID) -> Sequence[str]:
    _, payment = shown(world, invoice_id)
    with world.engine.connect() as conn:
        if payment is None:
            explained = sections(explain_invoice(conn, invoice_id, world.now))
        else:
            explained = sections(explain_payment(conn, payment.id, world.now))
    return [sentence for section in explained for sentence in section.sentences]


def test_what_is_asked_for_is_collected_and_earned_at_once(world: World) -> None:
    customer, _ = world.customer()

    made = invoiced(world, order(customer, SETUP, TRAINING))
    world.close_books()

    invoice, payment = shown(world, made)
    assert (invoice.kind, invoice.number, invoice.total) == ("one_off", "INV-0001", 99900)
    assert payment is not None
    assert (payment.state, payment.amount_captured) == ("SETTLED", 99900)
    assert (balance(world, "revenue"), balance(world, "deferred_revenue")) == (-99900, 0)
    assert told(world, made)[1] == (
        "It is for an invoice that somebody asked for: it belongs to no subscription."
    )
    assert "Line 2: Training, two days: 1 x 800.00 USD = 800.00 USD." in told(world, made)
    world.assert_everything_adds_up()


def test_a_service_is_earned_day_by_day(world: World) -> None:
    world.earn_daily()
    customer, _ = world.customer()
    days = ServiceDays(date(2026, 1, 1), date(2026, 1, 10), "Europe/Berlin")

    made = invoiced(world, order(customer, OrderedLine("Support", 10000), service=days))
    world.run_until("2026-01-05")
    world.close_books()

    assert (balance(world, "revenue"), balance(world, "deferred_revenue")) == (-4000, -6000)
    assert "Line 1: Support, 2026-01-01 to 2026-01-10: 1 x 100.00 USD = 100.00 USD." in told(
        world, made
    )
    world.run_until("2026-01-11")
    world.close_books()
    assert balance(world, "revenue") == -10000
    world.assert_everything_adds_up()


def test_credit_pays_first_but_not_what_is_for_a_subscription(world: World) -> None:
    ada = world.subscribed("video-premium")
    scoped, free = grant(world, ada, 5000, subscription=ada.reference), grant(world, ada, 900)
    del scoped, free

    made = invoiced(world, order(ada.customer))

    invoice, payment = shown(world, made)
    assert (invoice.credit, invoice.due) == (900, 19000)
    assert payment is not None
    assert payment.amount_captured == 19000
    world.assert_everything_adds_up()


def test_an_invoice_that_credit_pays_has_no_payment_and_is_explained(world: World) -> None:
    ada = world.subscribed("video-premium")
    grant(world, ada, 30000)

    made = invoiced(world, order(ada.customer), settle=False)

    assert state(world, made) == ("paid", None)
    assert "It has no payment: there was nothing to collect." in told(world, made)
    world.settle()
    world.assert_everything_adds_up()


def test_what_credit_leaves_below_the_least_amount_is_waived(world: World) -> None:
    ada = world.subscribed("video-premium")
    grant(world, ada, 19880)

    made = invoiced(world, order(ada.customer))

    assert shown(world, made)[0].credit == 19900
    world.assert_everything_adds_up()


def test_coupons_take_nothing_off(world: World) -> None:
    ada = paid(world)
    world.publish(NO_TRIAL + SPRING)
    redeem(world, ada, "spring")

    made = invoiced(world, order(ada.customer))

    assert shown(world, made)[0].total == 19900
    world.assert_everything_adds_up()


def test_a_decline_goes_down_the_ladder_of_the_configuration_and_is_written_off(
    world: World,
) -> None:
    customer, _ = world.customer("pm_card_chargeCustomerFail")

    made = invoiced(world, order(customer))
    assert state(world, made) == ("open", "CREATED")
    world.run_until("2026-02-01")

    assert state(world, made) == ("uncollectible", "FAILED")
    _, payment = shown(world, made)
    assert payment is not None
    assert payment.attempt_n == 4
    world.close_books()
    world.assert_everything_adds_up()
    again = retrying.retry(
        world.engine, payment.id, now=world.now, actor=OPERATOR, why="they have money now"
    )
    assert again.state == "FAILED"
    assert state(world, made) == ("open", "CREATED")
    world.run_until("2026-03-01")
    world.assert_everything_adds_up()


def test_a_new_card_collects_what_was_declined(world: World) -> None:
    customer, at_provider = world.customer("pm_card_chargeCustomerFail")
    made = invoiced(world, order(customer))

    retried = world.new_card(Subscriber(customer, at_provider, customer))
    world.settle()

    assert retried == 1
    assert state(world, made) == ("paid", "CAPTURED")
    world.assert_everything_adds_up()


def void(world: World, invoice_id: UUID) -> None:
    with world.engine.begin() as conn:
        voiding.void(conn, invoice_id, now=world.now, actor=OPERATOR, why="a mistake")


def test_an_open_invoice_is_voided_and_its_credit_comes_back(world: World) -> None:
    ada = world.subscribed("video-premium", card="pm_card_chargeCustomerFail")
    grant(world, ada, 900)
    made = invoiced(world, order(ada.customer), settle=False)

    void(world, made)

    assert state(world, made) == ("void", "FAILED")
    assert balance(world, "customer_credit") == -900
    assert balance(world, "receivable") == 0
    assert any("void" in line for line in told(world, made))
    world.assert_promises_hold()


def test_only_an_open_invoice_of_no_subscription_is_voided(world: World) -> None:
    ada = world.subscribed("video-premium")
    paid = invoiced(world, order(ada.customer))
    sending = invoiced(world, order(ada.customer), settle=False)
    payment = shown(world, sending)[1]
    assert payment is not None
    world.dispatch()
    world.begin(payment.id)

    for invoice_id, code in (
        (paid, ErrorCode.INVOICE_NOT_OPEN),
        (world.invoices(ada)[0].id, ErrorCode.INVOICE_OF_SUBSCRIPTION),
        (sending, ErrorCode.ATTEMPT_OPEN),
    ):
        with pytest.raises(Conflict) as refused:
            void(world, invoice_id)
        assert refused.value.code is code
    with pytest.raises(NotFound):
        void(world, new_id())


def test_money_goes_back_by_refunds_and_credit_notes(world: World) -> None:
    customer, _ = world.customer()
    days = ServiceDays(date(2026, 1, 1), date(2026, 1, 10))
    first, second = (
        invoiced(world, order(customer, OrderedLine("Support", 10000), service=days))
        for _ in range(2)
    )
    payment = shown(world, first)[1]
    assert payment is not None

    give_back(world, payment.id, usd(4000))
    with world.engine.begin() as conn:
        note = notes.issue(
            conn, second, Asked(share=(1, 4)), destination=Destination.REFUND, reason="less",
            actor=OPERATOR, now=world.now,
        )  # fmt: skip
    world.settle()
    world.close_books()

    assert (note.number, note.deferred) == ("INV-C0001", 2500)
    assert balance(world, "deferred_revenue") == -13500
    world.run_until("2026-01-12")
    world.assert_everything_adds_up()


def test_a_lost_dispute_takes_what_was_earned(world: World) -> None:
    customer, _ = world.customer()
    made = invoiced(world, order(customer))
    world.close_books()
    payment = shown(world, made)[1]
    assert payment is not None

    dispute = open_dispute(world, payment.id)
    apply_events_of_dispute(world, dispute)
    decide(world, dispute, "lost")
    apply_events_of_dispute(world, dispute)
    world.close_books()

    assert balance(world, "disputes_contra") == 19900
    world.assert_promises_hold()


def test_a_repetition_under_the_callers_id_issues_nothing_more(world: World) -> None:
    customer, _ = world.customer()
    own = new_id()

    made = [invoiced(world, order(customer), own) for _ in range(2)]
    with pytest.raises(Conflict) as refused:
        invoiced(world, order(customer, TRAINING), own)

    assert made == [own, own]
    assert refused.value.code is ErrorCode.INVOICE_ID_TAKEN
    assert world.entries("invoice_issued") == 1
    world.assert_everything_adds_up()


def many(count: int) -> Sequence[OrderedLine]:
    return [OrderedLine("Line", 100)] * count


JUNE = (date(2026, 6, 1), date(2026, 6, 30))
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no line": ({"lines": ()}, "1 to 100 lines"),
    "too many lines": ({"lines": many(101)}, "1 to 100 lines"),
    "a line of nothing": ({"lines": [OrderedLine("Free", 0)]}, "above zero"),
    "a line below nothing": ({"lines": [OrderedLine("Less", -100)]}, "above zero"),
    "a line that says nothing": ({"lines": [OrderedLine("  ", 900)]}, "what it is for"),
    "a line of two lines": ({"lines": [OrderedLine("a\nb", 900)]}, "what it is for"),
    "a long line": ({"lines": [OrderedLine("a" * 201, 900)]}, "what it is for"),
    "too little": ({"lines": [OrderedLine("Less", 49)]}, "below the least"),
    "too much": ({"lines": [OrderedLine("More", 99_999_999)] * 2}, "above the most"),
    "no currency": ({"currency": "XXX"}, "XXX"),
    "a third decimal": (
        {"currency": "KWD", "lines": [OrderedLine("Dinars", 10_001)]}, "last digit",
    ),
    "a service that ends before it begins": ({"service": ServiceDays(JUNE[1], JUNE[0])}, "ends"),
    "a service of four years": (
        {"service": ServiceDays(JUNE[0], date(2030, 6, 1))}, "three years",
    ),
    "an unknown zone": ({"service": ServiceDays(*JUNE, "Mars/Olympus")}, "no time zone"),
}  # fmt: skip


@pytest.mark.parametrize("how", REFUSED)
def test_what_could_not_be_collected_is_refused(world: World, how: str) -> None:
    customer, _ = world.customer()
    more, says = REFUSED[how]

    with pytest.raises(BadInput, match=says):
        invoiced(world, order(customer, **more))

    assert world.entries("invoice_issued") == 0


def test_who_cannot_pay_is_not_invoiced(world: World) -> None:
    customer, _ = world.customer(card=None)

    with pytest.raises(BillingError) as refused:
        invoiced(world, order(customer))
    with pytest.raises(NotFound):
        invoiced(world, order(new_id()))
    with pytest.raises(BadInput, match="card number"):
        invoiced(world, order(customer, OrderedLine("4242 4242 4242 4242", 900)))

    assert refused.value.code is ErrorCode.PAYMENT_METHOD_MISSING


LONG = tuple(OrderedLine(f"Item {n} of a very long order of many things", 100) for n in range(9))


@pytest.mark.parametrize(
    ("lines", "more"),
    [
        ((SETUP,), {}),
        ((SETUP, TRAINING), {"service": ServiceDays(date(2026, 1, 1), date(2026, 2, 10))}),
        (
            (OrderedLine('Zürich: "on site", 2 days', 80000),),
            {"service": ServiceDays(date(2026, 3, 1), date(2026, 3, 2), "Europe/Zurich")},
        ),
    ],
)
def test_after_a_restore_its_invoice_is_issued_again(
    world: World, backups: Backups, lines: Sequence[OrderedLine], more: dict[str, Any]
) -> None:
    ada = world.subscribed("video-premium")
    world.settle()
    grant(world, ada, 1000)
    restore = backups.take(world)
    world.run_until("2026-01-03 08:30:15.123")
    made = invoiced(world, order(ada.customer, *lines, **more))
    before, _ = shown(world, made)

    found = restore()
    done = recover(found)

    assert [(each.result, each.why) for each in done] == [(AdoptionResult.ADOPTED, None)]
    found.settle()
    after, payment = shown(found, made)
    assert payment is not None
    assert (after.facts, after.number, after.issued_at) == (
        before.facts,
        before.number,
        before.issued_at,
    )
    assert (state(found, made), after.credit) == (state(world, made), 1000)
    assert invoiced(found, order(ada.customer, *lines, **more), made) == made
    assert found.psp.captures(ada) == 2
    found.assert_everything_adds_up()


def test_after_a_restore_a_charge_that_cannot_name_its_lines_is_told_to_have_no_invoice(
    world: World, backups: Backups
) -> None:
    ada = world.subscribed("video-premium")
    world.settle()
    restore = backups.take(world)
    invoiced(world, order(ada.customer, *LONG))

    found = restore()
    done = recover(found)

    assert [(each.result, each.why) for each in done] == [
        (AdoptionResult.ADOPTED, Why.WITHOUT_INVOICE)
    ]
    found.settle()
    with found.engine.connect() as conn:
        rows = conn.execute(
            text("SELECT invoice_id, amount_captured FROM payments WHERE subscription_id IS NULL")
        ).all()
    assert [tuple(row) for row in rows] == [(None, 900)]
    found.assert_everything_adds_up()


def test_after_a_restore_an_invoice_that_comes_to_something_else_is_not_issued(
    world: World, backups: Backups
) -> None:
    """Credit that was granted after the backup paid a part of it, and isn't here."""
    ada = world.subscribed("video-premium")
    world.settle()
    restore = backups.take(world)
    grant(world, ada, 1000)
    invoiced(world, order(ada.customer))

    found = restore()
    done = recover(found)

    assert [(each.result, each.why) for each in done] == [
        (AdoptionResult.ADOPTED, Why.WITHOUT_INVOICE)
    ]
    found.settle()
    with found.engine.connect() as conn:
        assert (
            conn.execute(text("SELECT count(*) FROM invoices WHERE kind = 'one_off'")).scalar() == 0
        )
    found.assert_everything_adds_up()
