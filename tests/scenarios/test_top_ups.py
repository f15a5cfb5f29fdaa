"""Credit that customers buy: theirs once it is paid, and gone with its money where unused."""

from typing import Any
from uuid import UUID

import pytest

from billing.errors import BadInput, BillingError, Conflict, ErrorCode
from billing.flows.credit import expiring, revoking
from billing.flows.credit_notes import issuing as notes
from billing.flows.credit_notes.drafting import Asked, NotCreditable
from billing.flows.invoices import buying
from billing.flows.invoices.buying import TopUpOrder
from billing.flows.refunds.requesting import NotRefundable
from billing.flows.subscriptions import retrying
from billing.ids import new_id
from billing.queries import credit as queries
from billing.rules.credit_notes import Destination
from billing.store.payments import invoices, top_ups
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
from tests.scenarios.test_credit import OPERATOR, balance
from tests.scenarios.test_facts import SMALL
from tests.scenarios.test_one_off_invoices import shown, state, told, void
from tests.scenarios.world import Subscriber, World


def buy(
    world: World, customer: str, amount: int = 5000, own: UUID | None = None, **more: Any
) -> UUID:
    order = TopUpOrder(customer, amount, "USD", **more)
    with world.engine.begin() as conn:
        made = buying.buy(
            conn, order, own or new_id(), now=world.now, actor=OPERATOR, policy=world.policy
        )
    return made.id


def grant_of(world: World, invoice_id: UUID) -> UUID:
    with world.engine.connect() as conn:
        found = top_ups.grant_of(conn, invoice_id)
    assert found is not None
    return found


def moves(world: World, invoice_id: UUID) -> list[tuple[str, int]]:
    with world.engine.connect() as conn:
        rows = queries.moves_of(conn, grant_of(world, invoice_id))
    return [(str(row.kind), row.amount) for row in rows]


def payment_of(world: World, invoice_id: UUID) -> UUID:
    payment = shown(world, invoice_id)[1]
    assert payment is not None
    return payment.id


@pytest.fixture
def ada(world: World) -> Subscriber:
    """Return who pays 9.99 a month; nothing is billed yet."""
    world.publish(SMALL)
    return world.subscribed("notes")


def paid(world: World, customer: str, amount: int = 5000, **more: Any) -> UUID:
    made = buy(world, customer, amount, **more)
    for payment_id in world.dispatch():
        world.charge(payment_id)
    assert state(world, made) == ("paid", "CAPTURED")
    return made


def test_bought_credit_is_there_once_it_is_paid_and_pays_invoices(world: World) -> None:
    customer, at_provider = world.customer()
    made = buy(world, str(customer), priority=7)
    assert (balance(world, "credit_ordered"), balance(world, "customer_credit")) == (-5000, 0)
    assert shown(world, made)[0].number == "INV-0001"

    world.settle()
    world.publish(SMALL)
    ada = world.subscribe(customer, at_provider, "notes")
    world.run_until("2026-02-02")

    assert (balance(world, "credit_ordered"), balance(world, "customer_credit")) == (0, -3002)
    assert moves(world, made) == [("granted", 5000), ("applied", 999), ("applied", 999)]
    assert [each.due for each in world.invoices(ada)] == [0, 0]
    with world.engine.connect() as conn:
        row = queries.grant(conn, grant_of(world, made))
    assert row is not None
    assert (row.source, row.priority, row.expires_at) == ("bought", 7, None)
    assert "Line 1: Credit: 1 x 50.00 USD = 50.00 USD." in told(world, made)
    world.close_books()
    assert balance(world, "revenue") == -999
    world.assert_everything_adds_up()


def test_what_expires_of_bought_credit_is_revenue(world: World, ada: Subscriber) -> None:
    made = paid(world, ada.customer, valid_days=10)

    world.run_until("2026-01-11")
    expiring.run(world.engine, now=world.now, batch=10)

    assert moves(world, made) == [("granted", 5000), ("applied", 999), ("expired", 4001)]
    assert balance(world, "credit_breakage") == -4001
    world.assert_everything_adds_up()


def test_credit_pays_no_invoice_of_credit(world: World, ada: Subscriber) -> None:
    paid(world, ada.customer)

    second = paid(world, ada.customer, 7000)
    world.settle()

    assert (shown(world, second)[0].credit, balance(world, "customer_credit")) == (0, -11001)
    world.assert_everything_adds_up()


def test_what_is_not_paid_grants_nothing_and_earns_nothing(world: World) -> None:
    customer, at_provider = world.customer("pm_card_chargeCustomerFail")
    declined = buy(world, str(customer))
    voided = buy(world, str(customer), 800)
    void(world, voided)

    world.run_until("2026-02-02")

    assert state(world, declined) == ("uncollectible", "FAILED")
    assert state(world, voided) == ("void", "FAILED")
    assert [balance(world, code) for code in ("credit_ordered", "bad_debt", "receivable")] == [
        0, 0, 0,
    ]  # fmt: skip
    world.close_books()
    world.assert_everything_adds_up()
    world.new_card(Subscriber(customer, at_provider, customer))
    payment = payment_of(world, declined)
    retrying.retry(world.engine, payment, now=world.now, actor=OPERATOR, why="has money")
    world.settle()
    assert state(world, declined) == ("paid", "CAPTURED")
    assert balance(world, "customer_credit") == -5000
    world.assert_everything_adds_up()


def test_a_refund_takes_what_nobody_used_and_no_more(world: World, ada: Subscriber) -> None:
    made = paid(world, ada.customer)
    world.settle()
    payment = payment_of(world, made)

    with pytest.raises(NotRefundable, match=r"40\.01 USD is unused") as refused:
        give_back(world, payment, usd(4002))
    give_back(world, payment, usd(1000))
    give_back(world, payment)
    with pytest.raises(NotRefundable, match="unused"):
        give_back(world, payment)
    world.settle()

    assert refused.value.code is ErrorCode.REFUND_TOO_HIGH
    assert moves(world, made) == [
        ("granted", 5000), ("applied", 999), ("refunded", 1000), ("refunded", 3001),
    ]  # fmt: skip
    assert [balance(world, code) for code in ("customer_credit", "refunds_contra")] == [0, 0]
    world.close_books()
    world.assert_everything_adds_up()


def test_a_refund_that_fails_gives_the_credit_back(world: World) -> None:
    customer, _ = world.customer()
    made = paid(world, str(customer), valid_days=3)
    asked = give_back(world, payment_of(world, made), usd(2000))
    world.settle()
    world.run_until("2026-01-06")
    expiring.run(world.engine, now=world.now, batch=10)
    world.close_books()

    fail_at_provider(world, asked)
    apply_events_of_refund(world, str(refund_row(world, asked).provider_refund_id))

    assert moves(world, made) == [
        ("granted", 5000), ("refunded", 2000), ("expired", 3000), ("restored", 2000),
    ]  # fmt: skip
    expiring.run(world.engine, now=world.now, batch=10)
    assert [balance(world, code) for code in ("customer_credit", "credit_breakage")] == [0, -5000]
    world.assert_promises_hold()


def test_a_refund_made_at_the_provider_may_go_beyond_the_credit(
    world: World, ada: Subscriber
) -> None:
    made = paid(world, ada.customer, 1500)
    world.settle()
    payment = shown(world, made)[1]
    assert payment is not None

    made_there = world.psp.post(
        "refunds", payment_intent=str(payment.provider_payment_id), amount="1500"
    )
    apply_events_of_refund(world, made_there["id"])

    assert moves(world, made) == [("granted", 1500), ("applied", 999), ("refunded", 501)]
    assert balance(world, "refunds_contra") == 999
    world.assert_promises_hold()


def test_a_lost_dispute_takes_the_unused_credit_alone(world: World, ada: Subscriber) -> None:
    made = paid(world, ada.customer)
    world.settle()
    world.close_books()

    dispute = open_dispute(world, payment_of(world, made))
    apply_events_of_dispute(world, dispute)
    decide(world, dispute, "lost")
    apply_events_of_dispute(world, dispute)

    assert moves(world, made) == [("granted", 5000), ("applied", 999), ("refunded", 4001)]
    assert [balance(world, code) for code in ("disputes_contra", "customer_credit")] == [999, 0]
    world.close_books()
    world.assert_promises_hold()


def test_a_top_up_takes_no_credit_note_and_is_not_revoked(world: World) -> None:
    customer, _ = world.customer()
    made = paid(world, str(customer))

    with pytest.raises(NotCreditable) as refused, world.engine.begin() as conn:
        notes.issue(
            conn, made, Asked(), destination=Destination.REFUND, reason="less", actor=OPERATOR,
            now=world.now,
        )  # fmt: skip
    with pytest.raises(Conflict) as kept:
        revoking.revoke(world.engine, grant_of(world, made), now=world.now, actor=OPERATOR)

    assert refused.value.code is ErrorCode.CREDIT_NOTE_OF_TOP_UP
    assert kept.value.code is ErrorCode.GRANT_PAID_FOR


def test_a_repetition_under_the_callers_id_buys_nothing_more(world: World) -> None:
    customer, _ = world.customer()
    own = new_id()

    made = [buy(world, str(customer), own=own) for _ in range(2)]
    for more in ({"amount": 4000}, {"valid_days": 9}, {"priority": 9}):
        with pytest.raises(Conflict) as refused:
            buy(world, str(customer), own=own, **more)
        assert refused.value.code is ErrorCode.INVOICE_ID_TAKEN

    assert made == [own, own]
    world.settle()
    world.assert_everything_adds_up()


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"amount": 0}, "below the least"),
        ({"amount": 49}, "below the least"),
        ({"amount": 100_000_000}, "above the most"),
        ({"priority": 0}, "from 1 to 100"),
        ({"valid_days": 0}, "1 to 36500 days"),
        ({"reason": "4242 4242 4242 4242"}, "card number"),
    ],
)
def test_what_could_not_be_bought_is_refused(world: World, more: dict[str, Any], says: str) -> None:
    customer, _ = world.customer()

    with pytest.raises(BadInput, match=says):
        buy(world, str(customer), **more)

    nobody, _ = world.customer(card=None)
    with pytest.raises(BillingError) as refused:
        buy(world, str(nobody))
    assert refused.value.code is ErrorCode.PAYMENT_METHOD_MISSING
    with world.engine.connect() as conn:
        assert invoices.find(conn, "INV-0001") is None
