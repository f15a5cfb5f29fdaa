"""The part of the story that is about items and credit: what is sold, granted, used and waived."""

from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from billing.flows.credit import revoking
from billing.flows.invoices import buying, ordering, voiding
from billing.flows.invoices.buying import TopUpOrder
from billing.flows.invoices.ordering import InvoiceOrder, OrderedLine
from billing.flows.subscriptions import changing
from billing.flows.subscriptions.changed_terms import ChangeOrder
from billing.ids import new_id
from billing.rules.credit_notes import Destination
from billing.rules.item_changes import Applies, ChangeAsked
from billing.store.payments import payments
from billing.store.payments.invoices import Invoice
from tests.scenarios.money import (
    apply_events_of_dispute,
    apply_events_of_refund,
    decide,
    fail_at_provider,
    give_back,
    open_dispute,
    refund_row,
    usd,
)
from tests.scenarios.test_credit import OPERATOR, grant
from tests.scenarios.test_credit_notes import noted, part, refund_of
from tests.scenarios.test_facts import FREE, SMALL, TEAM
from tests.scenarios.test_operators import cancel
from tests.scenarios.world import Subscriber, World, at

SOLD: Final = (TEAM, SMALL, FREE)


def publish(world: World) -> None:
    """Put the plans with items on sale."""
    for plans in SOLD:
        world.publish(plans)


def subscribe(world: World) -> None:
    """Let some subscribe to plans with items and to a free one; some hold credit from the start.

    The card of one of them declines, so that what credit didn't pay is written off. What another
    one holds expires, what a third one held is revoked.
    """
    world.subscribed("team")
    world.subscribed("team", items={"seats": 7})
    world.subscribed("free")
    credited = world.subscribed("notes", quantity=2)
    grant(world, credited, 1500, subscription=credited.reference)
    grant(world, credited, 1600)
    grant(world, world.subscribed("notes"), 5000, expires=at("2026-01-15"))
    grant(world, world.subscribed("free"), 1234, expires=at("2036-01-01"))
    taken_back = grant(world, world.subscribed("free"), 1100)
    revoking.revoke(world.engine, taken_back, now=world.now, actor=OPERATOR)
    grant(world, world.subscribed("notes"), 980, expires=at("2026-03-01"))
    grant(world, world.subscribed("notes", card="pm_card_chargeCustomerFail"), 500)


def void(world: World) -> None:
    """Cancel where an invoice is open: it is void, and its credit is returned."""
    customer = world.subscribed("notes", quantity=3, card="pm_card_chargeCustomerFail")
    grant(world, customer, 400)
    world.settle()
    cancel(world, customer)


def change(world: World) -> None:
    """Change what is held and when periods begin: now, later, and withdrawn.

    With an invoice or a credit note, with a cycle that is cut, and with periods that lie far ahead.
    """
    dearer = world.subscribed("team", items={"seats": 6})
    cheaper = world.subscribed("team", items={"seats": 30})
    moving = world.subscribed("notes", quantity=4)
    adding = world.subscribed("monthly")
    cut, moved = world.subscribed("monthly"), world.subscribed("monthly")
    ahead = world.subscribed("yearly")
    world.settle()
    world.run_until(f"{world.now + timedelta(days=3):%Y-%m-%d}")
    ask(world, dearer, Applies.NOW, items={"seats": 12})
    ask(world, cheaper, Applies.NOW, items={"seats": 20})
    ask(world, moving, Applies.PERIOD_END, plan="free")
    ask(world, adding, Applies.NOW, items={"sso": 1})
    ask(world, cut, Applies.NOW, billing_day=9)
    ask(world, cut, Applies.PERIOD_END, zone="Asia/Tokyo", quantity=2)
    ask(world, moved, Applies.PERIOD_END, plan="yearly", billing_day=31)
    ask(world, ahead, Applies.PERIOD_END, zone="Asia/Tokyo")
    later = ask(world, dearer, Applies.PERIOD_END, items={"seats": 50})
    asked = ChangeAsked(world.now, OPERATOR, "asked")
    changing.withdraw(world.engine, dearer.reference, later, withdrawal_id=new_id(), asked=asked)
    world.settle()


def ask(world: World, customer: Subscriber, applies: Applies, **wanted: Any) -> UUID:
    """Ask for a change, and return its id."""
    change_id = new_id()
    changing.change(
        world.engine,
        customer.reference,
        ChangeOrder(applies=applies, **wanted),
        change_id=change_id,
        now=world.now,
        asked=ChangeAsked(world.now, OPERATOR, "asked"),
        policy=world.policy,
    )
    return change_id


def order(world: World) -> None:
    """Invoice somebody for lines of their own; one invoice is paid and one is voided."""
    customer, _ = world.customer()
    made = [_ordered(world, str(customer), text) for text in ("Set-up", "Training")]
    with world.engine.begin() as conn:
        voiding.void(conn, made[-1].id, now=world.now, actor=OPERATOR, why="a mistake")
    world.settle()


def buy(world: World) -> None:
    """Let customers buy credit: one uses and is refunded some, one hasn't paid, one disputes."""
    using = world.subscribed("notes")
    buyers = [using.customer, *(str(world.customer()[0]) for _ in range(2))]
    bought = [_bought(world, each, 3300 + n) for n, each in enumerate(buyers)]
    world.settle()
    world.close_books()
    give_back(world, bought[0], usd(700))
    failing = give_back(world, bought[1], usd(800))
    world.settle()
    world.close_books()
    fail_at_provider(world, failing)
    apply_events_of_refund(world, str(refund_row(world, failing).provider_refund_id))
    dispute = open_dispute(world, bought[2])
    apply_events_of_dispute(world, dispute)
    decide(world, dispute, "lost")
    apply_events_of_dispute(world, dispute)
    _bought(world, str(world.customer("pm_card_chargeCustomerFail")[0]), 5500)
    world.settle()


def _bought(world: World, customer: str, amount: int) -> UUID:
    """Return the payment of credit that somebody buys."""
    order = TopUpOrder(customer, amount, "USD", priority=60, valid_days=400)
    with world.engine.begin() as conn:
        made = buying.buy(conn, order, new_id(), now=world.now, actor=OPERATOR, policy=world.policy)
        payment = payments.of_invoice(conn, made.id)
    assert payment is not None
    return payment.id


def _ordered(world: World, customer: str, text: str) -> Invoice:
    order = InvoiceOrder(customer, "USD", [OrderedLine(text, 19900), OrderedLine("Travel", 4200)])
    with world.engine.begin() as conn:
        return ordering.create(conn, order, new_id(), now=world.now, policy=world.policy)


def credit_back(world: World) -> None:
    """Issue credit notes: to credit, to the card, outside, and to a card that returns the money."""
    customer = world.subscribed("team", items={"seats": 9})
    returning = world.subscribed("notes", quantity=3)
    world.settle()
    noted(world, customer, part(2000))
    noted(world, customer, part(300, line=1), Destination.REFUND)
    noted(world, customer, part(1500), Destination.OUTSIDE)
    world.settle()
    note = noted(world, returning, part(700), Destination.REFUND)
    world.settle()
    world.close_books()
    refund = refund_of(world, note)
    fail_at_provider(world, refund.id)
    apply_events_of_refund(world, str(refund_row(world, refund.id).provider_refund_id))
