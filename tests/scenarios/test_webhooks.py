"""What the provider tells us: adopted once, in any order, however often, however late."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from billing.flows.payments import authorizations
from billing.flows.webhooks import handling
from billing.rules.actor import Actor, ActorKind
from billing.store.access import events
from billing.store.payments import disputes as stored_disputes
from billing.store.payments import refunds
from billing.workers.daemons.webhooks import Webhooks
from tests.scenarios.money import (
    balances,
    decide,
    fail_at_provider,
    give_back,
    one_off,
    open_dispute,
    paid,
    payment_row,
    refund_state,
    settings,
    usd,
)
from tests.scenarios.webhook_deliveries import WebhookDeliveries, webhooks_delivered_to
from tests.scenarios.world import Subscriber, World, decision_of


@pytest.fixture
def deliveries(world: World) -> Iterator[WebhookDeliveries]:
    """A world whose provider delivers webhooks."""
    with webhooks_delivered_to(world) as deliveries:
        yield deliveries


def unanswered(world: World, card: str = "pm_card_visa") -> Subscriber:
    """Return a subscriber whose first charge was made, and its answer lost."""
    world.publish(MONTHLY)
    subscriber = world.subscribed("monthly", card=card)
    world.psp.lose_next_answer(after_commit=True)
    world.open()
    for payment_id in world.dispatch():
        world.charge(payment_id)
    assert world.attempts(subscriber)[-1].unknown_since is not None
    return subscriber


def declined(world: World, card: str) -> Subscriber:
    """Return a subscriber whose card was declined."""
    world.publish(MONTHLY)
    subscriber = world.subscribed("monthly", card=card)
    world.settle()
    assert world.status(subscriber) == "past_due"
    return subscriber


MONTHLY = """
product = "Stories"

[[plan]]
code = "monthly"
every = "1 month"

  [[plan.version]]
  effective = 2026-01-01
  price = { USD = "31.00" }
"""

# --- payments: an open attempt adopts the answer ------------------------------------------------


def test_an_event_brings_the_answer_that_was_lost(
    world: World, deliveries: WebhookDeliveries
) -> None:
    subscriber = unanswered(world)

    deliveries.arrive_and_handle()

    assert world.payment(subscriber).state == "CAPTURED"
    assert world.status(subscriber) == "active"
    assert deliveries.came_of("payment_intent.succeeded") == [
        ("answer_adopted", {"attempt": 1, "answer": "captured"})
    ]
    assert world.psp.sends() == 1, "nobody had to ask again"
    world.settle()
    assert world.psp.captures(subscriber) == 1
    world.assert_everything_adds_up()


def test_an_event_brings_the_decline_that_was_lost(
    world: World, deliveries: WebhookDeliveries
) -> None:
    subscriber = unanswered(world, card="pm_sbx_insufficient_1_then_ok")

    deliveries.arrive_and_handle()

    (attempt,) = world.attempts(subscriber)
    assert (attempt.outcome, attempt.decline_code) == ("declined", "insufficient_funds")
    assert world.status(subscriber) == "past_due"
    assert world.psp.sends() == 1
    world.run_until("2026-01-04")
    assert world.payment(subscriber).state == "CAPTURED", "the ladder went on from there"
    world.assert_everything_adds_up()


def test_an_event_leaves_a_payment_to_the_worker_that_has_it_in_hand(
    world: World, deliveries: WebhookDeliveries
) -> None:
    world.publish(MONTHLY)
    subscriber = world.subscribed("monthly")
    world.open()
    (payment_id,) = world.dispatch()
    sending = world.begin(payment_id)
    assert sending is not None
    answer = world.send(sending)
    deliveries.arrive()

    deliveries.webhooks.handle_due()
    (waiting,) = deliveries.inbox(type_="payment_intent.succeeded")
    assert waiting.last_error == f"worker_has_payment {payment_id}"
    world.finish(sending, answer)
    deliveries.arrive_and_handle()

    assert deliveries.came_of("payment_intent.succeeded") == [("already_booked", {})]
    assert world.psp.captures(subscriber) == 1
    world.assert_everything_adds_up()


def test_an_answer_that_an_event_brought_is_not_written_down_again(
    world: World, deliveries: WebhookDeliveries
) -> None:
    world.publish(MONTHLY)
    subscriber = world.subscribed("monthly")
    world.open()
    (payment_id,) = world.dispatch()
    sending = world.begin(payment_id)
    assert sending is not None
    answer = world.send(sending)
    world.wait(world.policy.lease)  # the worker is slow, and is taken for dead
    deliveries.arrive_and_handle()
    assert world.payment(subscriber).state == "CAPTURED"

    world.finish(sending, answer)

    assert world.entries("payment_captured") == 1
    world.assert_everything_adds_up()


def test_what_is_booked_already_costs_no_question(
    world: World, deliveries: WebhookDeliveries
) -> None:
    paid(world)
    before = requests_made(world, "GET /v1/payment_intents/*")

    deliveries.arrive_and_handle()

    assert deliveries.came_of("payment_intent.succeeded") == [("already_booked", {})]
    assert requests_made(world, "GET /v1/payment_intents/*") == before


def requests_made(world: World, name: str) -> int:
    counted = world.psp._control("GET", "stats")["requests"]
    return sum(sum(each.values()) for route, each in counted.items() if route.startswith(name[:24]))


@pytest.mark.parametrize("asked", [None, 2500])
def test_a_capture_made_at_the_provider_is_adopted(
    world: World, deliveries: WebhookDeliveries, asked: int | None
) -> None:
    payment_id = one_off(world, usd(4000), capture_method="manual")
    world.settle()
    intent = payment_row(world, payment_id).provider_payment_id
    amount = {} if asked is None else {"amount_to_capture": str(asked)}
    world.psp.post(f"payment_intents/{intent}/capture", **amount)

    deliveries.arrive_and_handle()

    payment = payment_row(world, payment_id)
    assert (payment.state, payment.amount_captured) == ("CAPTURED", asked or 4000)
    world.assert_everything_adds_up()


def test_another_sum_captured_than_was_asked_for_waits_for_a_person(
    world: World, deliveries: WebhookDeliveries
) -> None:
    payment_id = one_off(world, usd(4000), capture_method="manual")
    world.settle()
    with world.engine.begin() as conn:
        authorizations.request_capture(
            conn,
            payment_id,
            amount=usd(4000),
            now=world.now,
            actor=Actor(ActorKind.CLI, "operator"),
        )
    intent = payment_row(world, payment_id).provider_payment_id
    world.psp.post(f"payment_intents/{intent}/capture", amount_to_capture="100")

    deliveries.arrive_and_handle()

    assert payment_row(world, payment_id).parked_reason == "amount_mismatch"
    assert [row.kind for row in world.breaks()] == ["amount_mismatch"]


def test_an_authorisation_canceled_at_the_provider_is_given_up(
    world: World, deliveries: WebhookDeliveries
) -> None:
    payment_id = one_off(world, usd(4000), capture_method="manual")
    world.settle()
    world.psp.post(f"payment_intents/{payment_row(world, payment_id).provider_payment_id}/cancel")

    deliveries.arrive_and_handle()

    payment = payment_row(world, payment_id)
    assert payment.state == "FAILED"
    assert "canceled at the provider" in decision_of(payment)
    world.assert_everything_adds_up()


def test_a_lost_answer_to_an_authorisation_is_adopted(
    world: World, deliveries: WebhookDeliveries
) -> None:
    payment_id = one_off(world, usd(4000), capture_method="manual")
    world.psp.lose_next_answer(after_commit=True)
    world.charge(payment_id)

    deliveries.arrive_and_handle()

    assert payment_row(world, payment_id).state == "AUTHORIZED"
    assert deliveries.came_of("payment_intent.amount_capturable_updated") == [
        ("answer_adopted", {"attempt": 1, "answer": "authorised"})
    ]


# --- payments: anything else is compared --------------------------------------------------------


def test_a_payment_made_at_the_provider_between_two_attempts_is_a_break_and_never_taken_twice(
    world: World, deliveries: WebhookDeliveries
) -> None:
    subscriber = declined(world, "pm_card_chargeCustomerFail")
    intent = world.payment(subscriber).provider_payment_id
    world.psp.post(f"payment_intents/{intent}/confirm", payment_method="pm_card_visa")

    deliveries.arrive_and_handle()

    (found,) = world.breaks()
    assert (found.kind, found.payment_id) == (
        "captured_at_provider_only",
        world.payment(subscriber).id,
    )
    recorded = ("break_recorded", {"kind": "captured_at_provider_only"})
    assert recorded in deliveries.came_of("payment_intent.succeeded")
    world.run_until("2026-01-20")
    assert world.psp.captures(subscriber) == 1
    assert world.payment(subscriber).captured_at is not None
    world.assert_everything_adds_up()


def test_a_payment_that_is_none_of_ours_is_a_break_once(
    world: World, deliveries: WebhookDeliveries
) -> None:
    world.psp.take_money(700)

    deliveries.arrive_and_handle()
    deliveries.world.psp.take_money(900)
    deliveries.arrive_and_handle()
    world.close_books()

    assert [row.kind for row in world.breaks()] == ["unknown_at_provider"] * 2


def test_a_second_payment_for_the_same_invoice_is_a_break(
    world: World, deliveries: WebhookDeliveries
) -> None:
    subscriber = paid(world)
    charge = world.psp.charges(subscriber)[0]["id"]
    world.psp._control("POST", f"charges/{charge}/duplicate", payment_intent="new")

    deliveries.arrive_and_handle()

    assert [row.kind for row in world.breaks()] == ["duplicate_charge"]
    recorded = ("break_recorded", {"kind": "duplicate_charge"})
    assert recorded in deliveries.came_of("payment_intent.succeeded")
    world.assert_promises_hold()


def test_a_failure_of_an_earlier_attempt_heard_late_changes_nothing(
    world: World, deliveries: WebhookDeliveries
) -> None:
    deliveries.conditions(paused=True)
    subscriber = declined(world, "pm_sbx_insufficient_1_then_ok")
    world.run_until("2026-01-04")
    assert world.payment(subscriber).state == "CAPTURED"
    deliveries.conditions(paused=False)

    deliveries.arrive_and_handle()

    assert world.payment(subscriber).state == "CAPTURED"
    assert deliveries.came_of("payment_intent.payment_failed") == [("unchanged", {})]
    world.assert_everything_adds_up()


# --- cards --------------------------------------------------------------------------------------


def attach(world: World, subscriber: Subscriber, card: str) -> str:
    """Attach a card at the provider, as its customer portal does."""
    customer = subscriber.provider_customer_id
    return str(world.psp.post(f"payment_methods/{card}/attach", customer=customer)["id"])


def test_a_new_card_ends_waiting_for_the_customer_and_is_tried_at_once(
    world: World, deliveries: WebhookDeliveries
) -> None:
    subscriber = declined(world, "pm_sbx_expired_card")
    assert world.payment(subscriber).next_attempt_kind == "give_up"

    attach(world, subscriber, "pm_card_visa")
    deliveries.arrive_and_handle()
    world.settle()

    assert world.payment(subscriber).state == "CAPTURED"
    assert world.status(subscriber) == "active"
    assert [row.kind for row in world.attempts(subscriber)] == ["first", "new_method"]
    assert len(world.payment_methods(subscriber)) == 2
    world.assert_everything_adds_up()


def test_a_new_card_that_is_told_of_often_is_tried_once(
    world: World, deliveries: WebhookDeliveries
) -> None:
    subscriber = declined(world, "pm_sbx_expired_card")
    attach(world, subscriber, "pm_card_chargeCustomerFail")
    deliveries.arrive_and_handle()
    world.settle()
    assert len(world.attempts(subscriber)) == 2

    for row in deliveries.inbox():
        handling.replay(world.runtime.context, [row.event_id])
    world.settle()

    assert len(world.attempts(subscriber)) == 2
    world.assert_promises_hold()


def test_a_card_that_we_attached_ourselves_is_no_news(
    world: World, deliveries: WebhookDeliveries
) -> None:
    subscriber = declined(world, "pm_sbx_expired_card")
    world.new_card(subscriber, "pm_card_chargeCustomerFail")
    world.settle()

    deliveries.arrive_and_handle()
    world.settle()

    told = deliveries.came_of("payment_method.attached")
    assert told
    assert all(each == ("unchanged", {}) for each in told)
    assert len(world.attempts(subscriber)) == 2


def test_of_two_new_cards_the_younger_is_charged_in_whichever_order_they_are_told(
    world: World, deliveries: WebhookDeliveries
) -> None:
    subscriber = paid(world)
    deliveries.arrive_and_handle()
    deliveries.conditions(paused=True)
    world.jump_to("2026-01-02")
    first = attach(world, subscriber, "pm_card_mastercard")
    world.jump_to("2026-01-03")
    second = attach(world, subscriber, "pm_card_amex")
    told = {
        row["data"]["object"]["id"]: row["id"] for row in deliveries.listed() if is_attached(row)
    }

    for method in (second, first):
        world.psp._control("POST", f"events/{told[method]}/deliver")
        deliveries.handle()

    assert default_card(world, subscriber) == second
    assert set(world.payment_methods(subscriber)) >= {first, second}


def is_attached(row: dict[str, Any]) -> bool:
    return bool(row["type"] == "payment_method.attached")


def default_card(world: World, subscriber: Subscriber) -> str | None:
    with world.engine.connect() as conn:
        found: str | None = conn.execute(
            text(
                "SELECT provider_payment_method_id FROM payment_methods m"
                " JOIN provider_customers c ON c.payment_method_id = m.id WHERE c.customer_id = :id"
            ),
            {"id": subscriber.customer_id},
        ).scalar()
    return found


def test_a_card_that_its_network_renewed_is_tried_at_once(
    world: World, deliveries: WebhookDeliveries
) -> None:
    subscriber = declined(world, "pm_sbx_expired_card")
    (card,) = world.payment_methods(subscriber)
    world.psp._control(
        "POST", f"payment_methods/{card}", exp_year=2031, exp_month=5, token="pm_card_visa"
    )

    deliveries.arrive_and_handle()
    world.settle()

    assert world.payment(subscriber).state == "CAPTURED"
    assert deliveries.came_of("payment_method.automatically_updated") == [
        ("method_updated", {"default": True, "payments_retried": 1})
    ]
    world.assert_everything_adds_up()


def test_a_card_that_its_network_renewed_while_nothing_waited_is_tried_for_the_next_invoice(
    world: World, deliveries: WebhookDeliveries
) -> None:
    subscriber = world.subscribed("video-premium", card="pm_sbx_ok_1_then_expired_card_1_then_ok")
    world.run_until("2026-01-10")
    charge = one_off(world, usd(500), of=subscriber)
    world.charge(charge)
    assert payment_row(world, charge).decline_code == "expired_card"
    (card,) = world.payment_methods(subscriber)
    world.psp._control(
        "POST", f"payment_methods/{card}", exp_year=2031, exp_month=5, token="pm_card_visa"
    )

    deliveries.arrive_and_handle()
    world.run_until("2026-02-02")

    assert (world.status(subscriber), world.psp.captures(subscriber)) == ("active", 2)
    world.assert_everything_adds_up()


def test_an_update_that_changes_nothing_tries_nothing(
    world: World, deliveries: WebhookDeliveries
) -> None:
    subscriber = declined(world, "pm_sbx_expired_card")
    (card,) = world.payment_methods(subscriber)
    world.psp.post(f"payment_methods/{card}", **{"metadata[colour]": "red"})

    deliveries.arrive_and_handle()
    world.settle()

    assert deliveries.came_of("payment_method.updated") == [("unchanged", {})]
    assert len(world.attempts(subscriber)) == 1


def test_a_card_that_was_detached_is_charged_no_more(
    world: World, deliveries: WebhookDeliveries
) -> None:
    subscriber = paid(world)
    (card,) = world.payment_methods(subscriber)
    world.psp.post(f"payment_methods/{card}/detach")

    deliveries.arrive_and_handle()
    world.run_until("2026-02-01")

    assert default_card(world, subscriber) is None
    assert world.payment(subscriber).decline_code == "no_payment_method"
    assert world.psp.sends() == 1
    attach(world, subscriber, "pm_card_visa")
    deliveries.arrive_and_handle()
    world.settle()
    assert world.payment(subscriber).state == "CAPTURED"
    world.assert_everything_adds_up()


def test_another_default_at_the_provider_is_taken_over_when_it_is_new_to_us(
    world: World, deliveries: WebhookDeliveries
) -> None:
    deliveries.conditions(paused=True)
    subscriber = declined(world, "pm_sbx_expired_card")
    card = attach(world, subscriber, "pm_card_visa")
    world.psp.post(
        f"customers/{subscriber.provider_customer_id}",
        **{"invoice_settings[default_payment_method]": card},
    )
    (told,) = [row for row in deliveries.listed() if row["type"] == "customer.updated"]
    world.psp._control("POST", f"events/{told['id']}/deliver")

    deliveries.handle()
    world.settle()

    assert default_card(world, subscriber) == card
    assert world.payment(subscriber).state == "CAPTURED"


def test_a_change_of_a_customer_leaves_the_card_that_we_were_told_to_charge(
    world: World, deliveries: WebhookDeliveries
) -> None:
    subscriber = paid(world)
    (first,) = world.payment_methods(subscriber)
    customer = f"customers/{subscriber.provider_customer_id}"
    world.psp.post(customer, **{"invoice_settings[default_payment_method]": first})
    deliveries.arrive_and_handle()
    world.jump_to("2026-01-02")
    world.new_card(subscriber, "pm_card_amex")
    second = default_card(world, subscriber)

    world.psp.post(customer, email="ada@example.com")
    deliveries.arrive_and_handle()

    assert default_card(world, subscriber) == second != first


# --- refunds, disputes, payouts -----------------------------------------------------------------


def test_a_refund_that_fails_later_is_heard_of(world: World, deliveries: WebhookDeliveries) -> None:
    subscriber = paid(world)
    asked = give_back(world, world.payment(subscriber).id)
    world.settle()
    fail_at_provider(world, asked)

    deliveries.arrive_and_handle()

    assert refund_state(world, asked) == "failed"
    assert world.payment(subscriber).state == "CAPTURED"
    assert world.payment(subscriber).amount_refunded == 0
    world.assert_everything_adds_up()


@pytest.mark.parametrize("kind", ["charge.refunded", "refund.created"])
def test_a_refund_made_in_the_dashboard_is_adopted_by_any_of_its_events(
    world: World, deliveries: WebhookDeliveries, kind: str
) -> None:
    deliveries.conditions(paused=True)
    subscriber = paid(world)
    for amount in ("1000", "500"):
        world.psp.post("refunds", payment_intent=intent_of(world, subscriber), amount=amount)
        told = next(row for row in deliveries.listed() if row["type"] == kind)
        world.psp._control("POST", f"events/{told['id']}/deliver")
        deliveries.handle()

    assert world.payment(subscriber).amount_refunded == 1500
    assert world.entries("refund_succeeded") == 2
    world.assert_everything_adds_up()


def test_a_refund_made_in_the_dashboard_is_known_though_it_had_failed_when_we_heard(
    world: World, deliveries: WebhookDeliveries
) -> None:
    deliveries.conditions(paused=True)
    subscriber = paid(world)
    made = world.psp.post("refunds", payment_intent=intent_of(world, subscriber), amount="1000")
    world.psp._control("POST", f"refunds/{made['id']}", status="failed")
    deliveries.conditions(paused=False)

    deliveries.arrive_and_handle()
    world.close_books()

    with world.engine.connect() as conn:
        (row,) = refunds.page(conn, payment_id=world.payment(subscriber).id)
    assert (row.state, row.provider_refund_id) == ("failed", made["id"])
    assert world.breaks() == [], "the settlement knows what left the balance and came back"
    assert world.payment(subscriber).amount_refunded == 0
    world.assert_everything_adds_up()


def test_a_refund_made_in_the_dashboard_waits_for_ours_that_it_leaves_no_room_for(
    world: World, deliveries: WebhookDeliveries
) -> None:
    subscriber = paid(world)
    world.psp.post("refunds", payment_intent=intent_of(world, subscriber))
    asked = give_back(world, world.payment(subscriber).id)
    deliveries.arrive()

    deliveries.webhooks.handle_due()
    assert world.breaks() == []
    world.settle()
    deliveries.handle()

    assert refund_state(world, asked) == "failed", "the provider had given it all back"
    assert world.payment(subscriber).state == "REFUNDED"
    assert world.breaks() == []
    world.assert_everything_adds_up()


def test_a_refusal_hidden_behind_a_500_is_found_out_when_its_key_is_forgotten(
    world: World, deliveries: WebhookDeliveries
) -> None:
    """The 500 is all that is ever replayed, and no list shows a refund that was refused."""
    subscriber = paid(world)
    world.psp.post("refunds", payment_intent=intent_of(world, subscriber))
    asked = give_back(world, world.payment(subscriber).id)
    refunding = {"method": "POST", "path": "/v1/refunds"}
    world.psp._control("POST", "faults", kind="error_500", match=refunding)
    world.settle()
    assert refund_state(world, asked) == "requested"
    deliveries.arrive_and_handle()

    world.jump_to("2026-01-03")
    world.settle()
    deliveries.arrive_and_handle()

    assert refund_state(world, asked) == "failed"
    assert world.payment(subscriber).state == "REFUNDED"
    assert world.breaks() == []
    world.assert_everything_adds_up()


@pytest.mark.parametrize("what", ["refund", "dispute"])
def test_what_happens_to_a_charge_waits_for_the_answer_of_that_charge(
    world: World, deliveries: WebhookDeliveries, what: str
) -> None:
    deliveries.conditions(paused=True)
    subscriber = unanswered(world)
    charge = world.psp.charges(subscriber)[0]["id"]
    if what == "refund":
        world.psp.post("refunds", charge=charge, amount="1000")
    else:
        world.psp._control("POST", "disputes", charge=charge)
    told = [row for row in deliveries.listed() if row["type"].startswith(("refund.", "charge."))]
    for event in told:
        world.psp._control("POST", f"events/{event['id']}/deliver")

    assert {result.failed for result in deliveries.webhooks.handle_due()} == {True}
    assert world.breaks() == []
    world.wait(timedelta(minutes=1))
    world.settle()
    deliveries.handle()

    assert world.payment(subscriber).captured_at is not None
    assert world.entries("refund_succeeded" if what == "refund" else "dispute_opened") == 1
    assert world.breaks() == []
    world.assert_everything_adds_up()


def test_a_lost_dispute_waits_for_a_refund_that_the_provider_refuses(
    world: World, deliveries: WebhookDeliveries
) -> None:
    subscriber = paid(world)
    decide(world, open_dispute(world, world.payment(subscriber).id), "lost")
    asked = give_back(world, world.payment(subscriber).id)
    deliveries.arrive()

    deliveries.webhooks.handle_due()
    assert world.breaks() == []
    world.settle()
    deliveries.handle()

    assert refund_state(world, asked) == "failed"
    assert world.entries("dispute_lost") == 1
    assert world.breaks() == []
    world.assert_everything_adds_up()


def test_a_pending_refund_that_succeeds_is_heard_of(
    world: World, deliveries: WebhookDeliveries
) -> None:
    settings(world, refunds="pending")
    subscriber = paid(world)
    asked = give_back(world, world.payment(subscriber).id)
    world.settle()
    assert refund_state(world, asked) == "pending"

    world.jump_to("2026-01-03")
    deliveries.listed()  # the provider does what is due when it is asked something
    deliveries.arrive_and_handle()

    assert refund_state(world, asked) == "succeeded"
    world.assert_everything_adds_up()


@pytest.mark.parametrize("outcome", ["won", "lost"])
def test_a_dispute_is_followed_to_its_end_however_its_events_come(
    world: World, deliveries: WebhookDeliveries, outcome: str
) -> None:
    deliveries.conditions(paused=True)
    subscriber = paid(world)
    opened = open_dispute(world, world.payment(subscriber).id)
    decide(world, opened, outcome)
    told = [row["id"] for row in deliveries.listed() if row["type"].startswith("charge.dispute.")]
    for event_id in told:  # newest first, each twice
        world.psp._control("POST", f"events/{event_id}/deliver", times=2)
        deliveries.handle()

    with world.engine.connect() as conn:
        states = conn.execute(text("SELECT state FROM disputes")).scalars().all()
    assert states == [outcome]
    assert world.entries(f"dispute_{outcome}") == 1
    world.assert_everything_adds_up()


def test_a_payout_is_written_down_as_it_is(world: World, deliveries: WebhookDeliveries) -> None:
    paid(world)
    world.jump_to("2026-01-10")
    payout = world.psp._control("POST", "payouts", currency="usd")["id"]
    deliveries.arrive_and_handle()
    world.psp._control("POST", f"payouts/{payout}", status="paid")
    deliveries.arrive_and_handle()

    with world.engine.connect() as conn:
        rows = conn.execute(text("SELECT provider_payout_id, status FROM payouts")).all()
    assert [tuple(row) for row in rows] == [(payout, "paid")]


# --- the inbox ----------------------------------------------------------------------------------


def test_events_of_one_object_cost_one_question(
    world: World, deliveries: WebhookDeliveries
) -> None:
    deliveries.conditions(paused=True)
    subscriber = paid(world)
    opened = open_dispute(world, world.payment(subscriber).id)
    decide(world, opened, "lost")
    deliveries.conditions(paused=False)
    deliveries.arrive()

    results = deliveries.handle()

    (dispute,) = [each for each in results if each.events.object_id == opened]
    assert len(dispute.events.event_ids) == 3


def test_an_event_that_cant_be_handled_is_tried_again_with_its_error_beside_it(
    world: World, deliveries: WebhookDeliveries
) -> None:
    subscriber = paid(world)
    deliveries.arrive_and_handle()
    open_dispute(world, world.payment(subscriber).id)
    deliveries.arrive()
    asking = {"method": "GET", "path": "/v1/disputes"}
    world.psp._control("POST", "faults", kind="error_500_uncommitted", times=3, match=asking)

    pauses = []
    for _ in range(3):
        deliveries.webhooks.handle_due()
        (first, *others) = deliveries.inbox(unhandled=True)
        assert first.last_error
        assert {row.next_try_at for row in others} == {first.next_try_at}
        assert first.next_try_at is not None
        pauses.append((first.next_try_at - world.wall).total_seconds())
        world.wall = first.next_try_at
    assert pauses == [2, 4, 8]
    assert world.metrics.registry.get_sample_value(
        "billing_webhook_events_handled_total", {"provider": "stripe", "result": "failed"}
    )

    deliveries.handle()

    assert deliveries.inbox(unhandled=True) == []
    world.assert_everything_adds_up()


def test_one_that_fails_stops_no_other(world: World, deliveries: WebhookDeliveries) -> None:
    subscriber = paid(world)
    deliveries.arrive_and_handle()
    with world.engine.begin() as conn:
        conn.execute(
            text(
                "INSERT INTO provider_events (provider, event_id, type, kind, object_id, created,"
                " received_at, source, payload, next_try_at)"
                " VALUES ('stripe', 'evt_bad', 'payout.paid', 'payout_paid', ' ',"
                " '2020-01-01', '2020-01-01', 'webhook', '{}', '2020-01-01')"
            )
        )
    asked = give_back(world, world.payment(subscriber).id)
    world.settle()
    fail_at_provider(world, asked)
    deliveries.arrive()

    deliveries.webhooks.handle_due()

    assert refund_state(world, asked) == "failed"
    (bad,) = deliveries.inbox(unhandled=True)
    assert (bad.event_id, bad.tries) == ("evt_bad", 1)
    assert bad.last_error


def test_what_a_dead_worker_had_in_hand_is_handled_later(
    world: World, deliveries: WebhookDeliveries
) -> None:
    subscriber = unanswered(world)
    deliveries.arrive()
    with world.engine.begin() as conn:
        until = world.wall + world.policy.reconciler_lease
        events.claim_due(conn, wall=world.wall, until=until, limit=100)
    assert deliveries.webhooks.handle_due() == []

    world.wait(world.policy.reconciler_lease)
    deliveries.webhooks.handle_due()

    assert world.payment(subscriber).state == "CAPTURED"


# --- the sweep ----------------------------------------------------------------------------------


def test_what_never_arrived_is_found_by_the_sweep(
    world: World, deliveries: WebhookDeliveries
) -> None:
    deliveries.sweep()
    deliveries.conditions(loss=1.0)
    subscriber = unanswered(world)
    deliveries.arrive()
    assert deliveries.inbox(type_="payment_intent.succeeded") == []

    swept = deliveries.sweep()
    deliveries.handle()

    assert not swept.complete, "only what was not delivered is asked for"
    assert world.payment(subscriber).state == "CAPTURED"
    assert {row.source for row in deliveries.inbox()} == {"sweep"}
    assert deliveries.sweep().new == ()
    world.assert_everything_adds_up()


def test_a_sweep_that_is_behind_asks_for_what_was_delivered_as_well(
    world: World, deliveries: WebhookDeliveries
) -> None:
    deliveries.sweep()
    subscriber = unanswered(world)
    deliveries.arrive()
    forget_inbox(world)
    assert deliveries.sweep().new == (), "all were delivered"
    with world.engine.begin() as conn:
        conn.execute(text("UPDATE tasks SET watermark = watermark - interval '2 hours'"))

    swept = deliveries.sweep()
    deliveries.handle()

    assert swept.complete
    assert world.payment(subscriber).state == "CAPTURED"


def test_a_sweep_whose_clock_was_ahead_is_made_again_from_the_beginning(
    world: World, deliveries: WebhookDeliveries
) -> None:
    deliveries.sweep()
    with world.engine.begin() as conn:
        conn.execute(text("UPDATE tasks SET watermark = watermark + interval '300 days'"))
    deliveries.conditions(loss=1.0)
    subscriber = unanswered(world)
    deliveries.arrive()

    assert deliveries.sweep().complete
    deliveries.handle()

    assert world.payment(subscriber).state == "CAPTURED"


def forget_inbox(world: World) -> None:
    """Lose the inbox, as if a backup had been restored; only the tables' owner can do that."""
    with world.engine.begin() as conn:
        conn.execute(text("SET LOCAL ROLE NONE"))
        conn.execute(text("DELETE FROM provider_events"))


def test_without_an_endpoint_the_sweep_reads_everything(world: World) -> None:
    subscriber = unanswered(world)
    webhooks = Webhooks(world.runtime, world.metrics)

    webhooks.tick()

    assert world.payment(subscriber).state == "CAPTURED"
    world.assert_everything_adds_up()


def test_there_is_no_sweep_where_events_cant_be_listed(
    world: World, deliveries: WebhookDeliveries, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = requests_made(world, "GET /v1/events")
    silent = replace(world.gateway.capabilities, lists_events=False)
    monkeypatch.setattr(type(world.gateway), "capabilities", silent)

    deliveries.webhooks.tick()

    assert requests_made(world, "GET /v1/events") == before


def test_where_events_cant_be_listed_refunds_and_disputes_are_read(
    world: World, deliveries: WebhookDeliveries, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscriber = paid(world)
    silent = replace(world.gateway.capabilities, lists_events=False)
    monkeypatch.setattr(type(world.gateway), "capabilities", silent)
    payment = world.payment(subscriber)
    assert payment.provider_payment_id is not None
    world.psp.post("refunds", payment_intent=payment.provider_payment_id, amount="100")

    deliveries.webhooks.tick()

    assert world.payment(subscriber).amount_refunded == 100
    again = requests_made(world, "GET /v1/refunds")
    deliveries.webhooks.tick()
    assert requests_made(world, "GET /v1/refunds") == again, "not before an hour has passed"
    world.assert_everything_adds_up()


def test_a_dispute_that_was_decided_in_a_long_silence_is_booked(
    world: World, deliveries: WebhookDeliveries
) -> None:
    subscriber = paid(world)
    dispute = open_dispute(world, world.payment(subscriber).id)
    deliveries.sweep()
    deliveries.handle()
    deliveries.conditions(loss=1.0)
    decide(world, dispute, "lost")
    world.jump_to("2026-06-01")  # the provider keeps events for 30 days

    deliveries.sweep()
    deliveries.handle()

    with world.engine.connect() as conn:
        (row,) = stored_disputes.page(conn)
    assert row.state == "lost"
    assert balances(world).get("dispute_receivable", {}) == {}
    assert deliveries.sweep().new == ()


def test_the_sweep_is_made_once_an_interval(world: World, deliveries: WebhookDeliveries) -> None:
    before = requests_made(world, "GET /v1/events")

    for _ in range(3):
        deliveries.webhooks.tick()
    world.wait(world.runtime.settings.webhooks.sweep_every)
    deliveries.webhooks.tick()

    assert requests_made(world, "GET /v1/events") <= before + 2


# --- by hand ------------------------------------------------------------------------------------


def test_a_replay_repairs_what_was_missed_and_then_finds_nothing_to_do(
    world: World, deliveries: WebhookDeliveries
) -> None:
    subscriber = paid(world)
    asked = give_back(world, world.payment(subscriber).id)
    world.settle()
    fail_at_provider(world, asked)
    deliveries.arrive()
    with world.engine.begin() as conn:  # handled by a version that knew no better
        ids = [row.event_id for row in events.page(conn)]
        events.handled(conn, "stripe", ids, wall=world.wall, handling="lost", facts={})
    (told,) = deliveries.inbox(type_="refund.failed")

    for _ in range(2):
        handling.replay(world.runtime.context, [told.event_id])

    assert refund_state(world, asked) == "failed"
    assert world.entries("refund_failed") == 1
    world.assert_everything_adds_up()


# --- all at once --------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 2])
def test_through_loss_repetition_disorder_and_delay_both_sides_agree_after_the_sweep(
    world: World, deliveries: WebhookDeliveries, seed: int
) -> None:
    deliveries.sweep()
    deliveries.conditions(
        seed=seed, loss=0.2, duplication=0.3, reordering=0.3, reordering_ms=40, delay_ms=5,
        retry_ms=[10, 20],
    )  # fmt: skip
    world.publish(MONTHLY)
    cards = ["pm_card_visa", "pm_sbx_insufficient_1_then_ok", "pm_sbx_expired_card", "pm_card_amex"]
    people = [world.subscribed("monthly", card=cards[n % 4]) for n in range(8)]
    world.psp.fault("reset_after_commit", times=3)
    world.open()
    for payment_id in world.dispatch():
        world.charge(payment_id)
    for subscriber in people[2::4]:
        attach(world, subscriber, "pm_card_visa")
    deliveries.conditions(signature="wrong_secret")
    world.settle()
    deliveries.conditions(signature="good")
    captured = [each for each in people if world.payment(each).state == "CAPTURED"]
    world.psp.post("refunds", payment_intent=intent_of(world, captured[0]), amount="600")
    decide(world, open_dispute(world, world.payment(captured[1]).id), "lost")
    asked = give_back(world, world.payment(captured[2]).id)
    world.settle()
    fail_at_provider(world, asked)
    deliveries.handle()
    deliveries.conditions(timestamp_offset=-3600)
    world.run_until("2026-01-10")
    deliveries.arrive()
    deliveries.conditions(timestamp_offset=0)

    for _ in range(2):  # what the first sweep found out leads to charges with events of their own
        deliveries.arrive()
        deliveries.sweep()
        deliveries.handle()
        world.settle()
    deliveries.arrive()
    deliveries.sweep()
    deliveries.handle()

    listed = {row["id"] for row in deliveries.listed()}
    assert {row.event_id for row in deliveries.inbox()} == listed, "every event is kept, once"
    assert deliveries.inbox(unhandled=True) == []
    assert [world.payment(each).state for each in people] == ["CAPTURED"] * 8
    assert [world.psp.captures(each) for each in people] == [1] * 8
    assert deliveries.endpoint.counted("signature_failures", reason="no_match") > 0
    assert deliveries.endpoint.counted("signature_failures", reason="too_old") > 0
    assert refund_state(world, asked) == "failed"
    assert world.payment(captured[0]).amount_refunded == 600
    world.assert_everything_adds_up()
    before = balances(world)
    for row in deliveries.inbox():
        handling.replay(world.runtime.context, [row.event_id])
    world.settle()
    assert balances(world) == before
    world.assert_everything_adds_up()


def intent_of(world: World, subscriber: Subscriber) -> str:
    return str(world.payment(subscriber).provider_payment_id)


def test_before_there_is_a_customer_nothing_is_asked_for(
    world: World, deliveries: WebhookDeliveries
) -> None:
    world.psp.take_money(700)
    deliveries.arrive()

    assert deliveries.sweep().listed == 0
