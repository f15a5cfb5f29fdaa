"""Captures, refunds and fees never make or lose a cent."""

from typing import Any

import pytest
import stripe

from tests.contract.cards import charge, customer_with
from tests.contract.conftest import Shop

NOON = 1_800_000_000


def test_refunds_never_exceed_the_charge(client: stripe.StripeClient) -> None:
    customer, method = customer_with(client)
    intent = charge(client, customer, method)
    v1 = client.v1
    v1.refunds.create({"payment_intent": intent.id, "amount": 1500})

    with pytest.raises(stripe.InvalidRequestError) as caught:
        v1.refunds.create({"payment_intent": intent.id, "amount": 501})
    rest = v1.refunds.create({"charge": str(intent.latest_charge)})
    with pytest.raises(stripe.InvalidRequestError) as again:
        v1.refunds.create({"charge": str(intent.latest_charge), "amount": 1})

    assert (caught.value.param, rest.amount) == ("amount", 500)
    assert again.value.code == "charge_already_refunded"
    assert v1.charges.retrieve(str(intent.latest_charge)).refunded
    assert sum(move.amount for move in v1.balance_transactions.list().data) == 0


def test_a_failed_payment_has_nothing_to_refund(client: stripe.StripeClient) -> None:
    customer, method = customer_with(client, "pm_sbx_lost_card")
    with pytest.raises(stripe.CardError) as caught:
        charge(client, customer, method)
    intent = caught.value.error.payment_intent.id  # type: ignore[union-attr]

    with pytest.raises(stripe.InvalidRequestError, match="successful charge"):
        client.v1.refunds.create({"payment_intent": intent})


def test_a_manual_capture_waits_and_takes_part_of_the_amount(client: stripe.StripeClient) -> None:
    customer, method = customer_with(client)
    held = charge(client, customer, method, capture_method="manual")
    uncaptured = client.v1.charges.retrieve(str(held.latest_charge))

    taken = client.v1.payment_intents.capture(held.id, {"amount_to_capture": 1200})

    assert (held.status, held.amount_capturable) == ("requires_capture", 2000)
    assert (uncaptured.captured, uncaptured.balance_transaction) == (False, None)
    assert (taken.status, taken.amount_received) == ("succeeded", 1200)
    assert client.v1.charges.retrieve(uncaptured.id).amount_captured == 1200
    assert client.v1.balance_transactions.list().data[0].amount == 1200


def test_more_than_was_authorised_is_not_captured(client: stripe.StripeClient) -> None:
    customer, method = customer_with(client)
    held = charge(client, customer, method, capture_method="manual")

    with pytest.raises(stripe.InvalidRequestError, match="greater than the authorized amount"):
        client.v1.payment_intents.capture(held.id, {"amount_to_capture": 2001})
    with pytest.raises(stripe.InvalidRequestError, match="successful charge"):
        client.v1.refunds.create({"payment_intent": held.id})


@pytest.mark.parametrize("capture_method", ["automatic", "manual"])
def test_cancelling_voids_what_was_not_captured(
    client: stripe.StripeClient, capture_method: Any
) -> None:
    customer, method = customer_with(client)
    intent = charge(client, customer, method, capture_method=capture_method)

    if capture_method == "manual":
        canceled = client.v1.payment_intents.cancel(intent.id)
        assert (canceled.status, canceled.amount_received) == ("canceled", 0)
        with pytest.raises(stripe.InvalidRequestError):
            client.v1.payment_intents.capture(intent.id)
        assert client.v1.balance_transactions.list().data == []
    else:
        with pytest.raises(stripe.InvalidRequestError) as caught:
            client.v1.payment_intents.cancel(intent.id)
        assert caught.value.code == "payment_intent_unexpected_state"


def test_an_intent_created_without_confirmation_is_confirmed_or_cancelled_later(
    client: stripe.StripeClient,
) -> None:
    create, v1 = client.v1.payment_intents.create, client.v1
    first = create({"amount": 500, "currency": "eur"})
    second = create({"amount": 500, "currency": "eur"})

    with pytest.raises(stripe.InvalidRequestError, match="missing a payment method"):
        v1.payment_intents.confirm(first.id)
    paid = v1.payment_intents.confirm(first.id, {"payment_method": "pm_card_amex"})
    gone = v1.payment_intents.cancel(second.id, {"cancellation_reason": "abandoned"})

    assert (first.status, paid.status) == ("requires_payment_method", "succeeded")
    assert (gone.status, gone.cancellation_reason) == ("canceled", "abandoned")


@pytest.mark.parametrize(
    ("amount", "fee"),
    [(1, 1), (31, 31), (100, 33), (1000, 59), (2000, 88), (51, 31), (52, 32)],  # 2.9 % + 30
)
def test_the_fee_is_rounded_half_up_and_never_exceeds_the_amount(
    client: stripe.StripeClient, amount: int, fee: int
) -> None:
    customer, method = customer_with(client)

    charge(client, customer, method, amount=amount)

    move = client.v1.balance_transactions.list().data[0]
    assert (move.fee, move.net) == (fee, amount - fee)
    assert sum(detail.amount for detail in move.fee_details) == fee


def test_asynchronous_capture_books_late_when_told_to(
    client: stripe.StripeClient, shop: Shop
) -> None:
    shop.control("POST", "settings", async_capture_seconds=60)
    shop.control("POST", "clock", now=NOON)
    customer, method = customer_with(client)
    charge_id = str(charge(client, customer, method).latest_charge)
    early = client.v1.charges.retrieve(charge_id).balance_transaction
    early_list = client.v1.balance_transactions.list().data

    shop.control("POST", "clock", now=NOON + 60)

    booked = client.v1.charges.retrieve(charge_id).balance_transaction
    assert (early, early_list) == (None, [])
    assert client.v1.balance_transactions.list().data[0].id == booked


def test_money_becomes_available_after_two_days(client: stripe.StripeClient, shop: Shop) -> None:
    shop.control("POST", "clock", now=NOON)
    customer, method = customer_with(client)
    charge(client, customer, method)
    pending = client.v1.balance_transactions.list().data[0]

    shop.control("POST", "clock", now=NOON + 2 * 86_400)

    assert (pending.status, pending.available_on) == ("pending", NOON + 2 * 86_400)
    assert client.v1.balance_transactions.list().data[0].status == "available"
    assert client.v1.balance.retrieve().available[0].amount == pending.net
