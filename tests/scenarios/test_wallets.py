"""A customer who pays by a wallet: charged like a card, and asked when its owner ends it."""

from collections.abc import Iterator

import pytest

from billing.presenters import explain, timeline
from billing.queries import customers as shown
from billing.queries import timeline as read_timeline
from billing.queries.explain.read import explain_subscription
from billing.rules.payment_methods import PaymentMethodKind
from billing.store.subscriptions import customers
from tests import provider_calls
from tests.scenarios.money import (
    NO_TRIAL,
    apply_events_of_dispute,
    at_provider,
    decide,
    dispute_row,
    give_back,
    open_dispute,
    paid,
    payment_row,
    refund_state,
    usd,
)
from tests.scenarios.webhook_deliveries import WebhookDeliveries, webhooks_delivered_to
from tests.scenarios.world import Subscriber, World


@pytest.fixture
def deliveries(world: World) -> Iterator[WebhookDeliveries]:
    """A world whose provider delivers webhooks."""
    with webhooks_delivered_to(world) as deliveries:
        yield deliveries


def revoke(world: World, subscriber: Subscriber) -> None:
    """Let the owner of the customer's newest wallet take back the permission to charge it."""
    token = world.payment_methods(subscriber)[-1]
    world.psp._control("POST", f"payment_methods/{token}/revoke")


def told(world: World, subscriber: Subscriber) -> str:
    """Return what `explain` says of a subscription."""
    with world.engine.connect() as conn:
        explained = explain_subscription(conn, subscriber.reference, world.now)
    return "\n".join(line for part in explain.sections(explained) for line in part.sentences)


def outcomes(world: World, subscriber: Subscriber, n: int = -1) -> list[str | None]:
    return [row.decline_code or row.outcome for row in world.attempts(subscriber, n)]


def types_sent(world: World, subscriber: Subscriber) -> list[str | None]:
    """Return the type that each request of a subscriber's last payment named."""
    with world.engine.connect() as conn:
        calls = provider_calls.of_subject(conn, world.payment(subscriber).id)
    return [call.request.get("method_type") for call in calls]


def test_a_wallet_pays_each_month(world: World) -> None:
    subscriber = paid(world, card="pm_sbx_paypal")

    world.run_until("2026-04-15")

    assert [row.state for row in world.payments(subscriber)] == ["CAPTURED"] * 4
    assert world.psp.captures(subscriber) == 4
    details = [charge["payment_method_details"] for charge in world.psp.charges(subscriber)]
    assert {each["type"] for each in details} == {"paypal"}
    assert world.status(subscriber) == "active"
    world.assert_everything_adds_up()


def test_of_a_wallet_its_name_is_kept_and_nothing_of_its_owner(world: World) -> None:
    subscriber = paid(world, card="pm_sbx_paypal")

    with world.engine.connect() as conn:
        (kept,) = customers.payment_methods_of(conn, subscriber.customer_id)
        (listed,) = shown.customers(conn, id=subscriber.customer_id)
        everything = [
            row
            for table in ("customers", "payment_methods", "provider_calls", "attempts")
            for row in conn.exec_driver_sql(f"SELECT CAST(t AS text) FROM {table} t").scalars()
        ]

    assert (kept.kind, kept.brand) == (PaymentMethodKind.WALLET, "paypal")
    assert (kept.last4, kept.exp_month, kept.exp_year) == (None, None, None)
    assert (listed.payment_method_kind, listed.card_brand) == ("wallet", "paypal")
    assert (listed.card_last4, listed.card_exp_month) == (None, None)
    assert not [row for row in everything if "payer" in row]


def test_explain_and_the_history_call_a_wallet_by_its_name(world: World) -> None:
    world.publish(NO_TRIAL)
    subscriber = world.subscribed("monthly", card="pm_sbx_paypal_insufficient_funds_1_then_ok")
    world.settle()

    with world.engine.connect() as conn:
        entries = read_timeline.timeline(conn, subscriber.subscription_id)
    history = "\n".join(str(timeline.line(each)) for each in entries)

    assert "paypal" in told(world, subscriber)
    assert "paypal" in history
    assert "ending in" not in told(world, subscriber) + history


def test_a_wallet_that_declines_is_tried_again_by_the_ladder(world: World) -> None:
    world.publish(NO_TRIAL)
    subscriber = world.subscribed("monthly", card="pm_sbx_paypal_declined_2_then_ok")
    world.settle()
    assert world.status(subscriber) == "past_due"

    world.run_until("2026-01-20")

    assert outcomes(world, subscriber) == [
        "payment_method_provider_decline",
        "payment_method_provider_decline",
        "succeeded",
    ]
    assert world.psp.captures(subscriber) == 1
    world.assert_everything_adds_up()


def test_a_lost_answer_of_a_wallet_is_asked_for_and_not_paid_twice(world: World) -> None:
    world.publish(NO_TRIAL)
    subscriber = world.subscribed("monthly", card="pm_sbx_paypal")
    world.psp.lose_next_answer(after_commit=True)

    world.settle()

    assert world.payment(subscriber).state == "CAPTURED"
    assert world.psp.captures(subscriber) == 1
    world.assert_everything_adds_up()


def test_what_its_owner_ended_is_charged_no_more(
    world: World, deliveries: WebhookDeliveries
) -> None:
    subscriber = paid(world, card="pm_sbx_paypal")
    revoke(world, subscriber)

    deliveries.arrive_and_handle()
    world.run_until("2026-02-01")

    assert deliveries.came_of("mandate.updated") == [("method_detached", {"default": True})]
    assert world.payment(subscriber).decline_code == "no_payment_method"
    assert world.psp.sends() == 1, "nothing was sent after it"
    assert world.new_card(subscriber, "pm_sbx_paypal") == 1
    world.settle()
    assert world.payment(subscriber).state == "CAPTURED"
    world.assert_everything_adds_up()


def test_an_end_that_nobody_told_shows_at_the_next_charge_and_a_card_goes_on(world: World) -> None:
    subscriber = paid(world, card="pm_sbx_paypal")
    revoke(world, subscriber)
    world.run_until("2026-02-08")
    assert outcomes(world, subscriber) == ["payment_intent_mandate_invalid"], "no ladder"
    assert world.status(subscriber) == "past_due"

    assert world.new_card(subscriber) == 1
    world.settle()

    assert outcomes(world, subscriber)[-1] == "succeeded"
    assert types_sent(world, subscriber) == ["paypal", "card"]
    assert world.status(subscriber) == "active"
    world.assert_everything_adds_up()


@pytest.mark.parametrize(
    ("first", "second", "types"),
    [
        ("pm_sbx_paypal_declined", "pm_card_visa", ["paypal", "card"]),
        ("pm_sbx_insufficient_funds", "pm_sbx_paypal", ["card", "paypal"]),
    ],
)
def test_a_payment_goes_on_with_a_method_of_another_type(
    world: World, first: str, second: str, types: list[str]
) -> None:
    world.publish(NO_TRIAL)
    subscriber = world.subscribed("monthly", card=first)
    world.settle()
    intent = world.payment(subscriber).provider_payment_id

    assert world.new_card(subscriber, second) == 1
    world.settle()

    payment = world.payment(subscriber)
    assert (payment.state, payment.provider_payment_id) == ("CAPTURED", intent)
    assert types_sent(world, subscriber) == types
    world.assert_everything_adds_up()


def test_a_currency_that_a_wallet_does_not_take_needs_the_customer(world: World) -> None:
    world.publish(NO_TRIAL)
    subscriber = world.subscribed("monthly", card="pm_sbx_paypal", currency="JPY")

    world.run_until("2026-01-10")

    assert outcomes(world, subscriber) == ["currency_not_supported"]
    assert world.psp.sends() == 0
    assert world.new_card(subscriber) == 1
    world.settle()
    assert world.payment(subscriber).state == "CAPTURED"
    world.assert_everything_adds_up()


def test_a_payment_by_wallet_is_given_back_in_parts(world: World) -> None:
    subscriber = paid(world, card="pm_sbx_paypal")
    payment = world.payment(subscriber)

    parts = [give_back(world, payment.id, usd(1000)), give_back(world, payment.id)]
    world.settle()

    assert [refund_state(world, each) for each in parts] == ["succeeded"] * 2
    assert sum(refund["amount"] for refund in at_provider(world, payment.id)) == 3100
    assert payment_row(world, payment.id).state == "REFUNDED"
    world.assert_everything_adds_up()


def test_a_payers_complaint_is_an_inquiry_first_and_takes_money_when_it_is_escalated(
    world: World,
) -> None:
    subscriber = paid(world, card="pm_sbx_paypal")
    payment = world.payment(subscriber)
    complaint = open_dispute(world, payment.id, inquiry=True, reason="product_not_received")

    known = apply_events_of_dispute(world, complaint)
    asked = dispute_row(world, known)
    decide(world, complaint, "escalated")
    apply_events_of_dispute(world, complaint)
    taken = dispute_row(world, known)
    decide(world, complaint, "lost")
    apply_events_of_dispute(world, complaint)
    lost = dispute_row(world, known)

    assert (asked.state, asked.funds_withdrawn) == ("inquiry", False)
    assert (taken.funds_withdrawn, taken.amount, taken.fee) == (True, 3100, 1500)
    assert lost.state == "lost"
    world.assert_everything_adds_up()


def test_a_currency_that_a_wallet_does_not_take_says_nothing_of_the_others(world: World) -> None:
    subscriber = paid(world, card="pm_sbx_paypal")
    yen = world.subscribe(subscriber.customer_id, subscriber.provider_customer_id, "monthly", "JPY")

    world.run_until("2026-02-01")

    assert outcomes(world, yen, 0) == ["currency_not_supported"]
    assert [row.state for row in world.payments(subscriber)] == ["CAPTURED"] * 2
    world.assert_everything_adds_up()
