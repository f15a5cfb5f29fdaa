"""Every endpoint answers what Stripe's document allows (the `shop` fixture checks each)."""

from typing import Any

import pytest
import requests
import stripe

from tests.contract.cards import charge, customer_with, declined
from tests.contract.conftest import KEY, Shop
from tests.waiting import PATIENCE


def test_a_payment_is_charged_booked_and_reported(client: stripe.StripeClient) -> None:
    customer, method = customer_with(client)

    intent = charge(client, customer, method, expand=["latest_charge.balance_transaction"])

    booked = intent.latest_charge.balance_transaction  # type: ignore[union-attr]
    assert (intent.status, intent.amount_received) == ("succeeded", 2000)
    assert (booked.amount, booked.fee, booked.net) == (2000, 88, 1912)  # type: ignore[union-attr]
    types = {event.type for event in client.v1.events.list().data}
    assert types == {
        "customer.created",
        "payment_method.attached",
        "payment_intent.created",
        "charge.succeeded",
        "payment_intent.succeeded",
    }


def test_every_object_can_be_retrieved_and_listed(client: stripe.StripeClient) -> None:
    customer, method = customer_with(client)
    intent = charge(client, customer, method)
    v1 = client.v1
    refund = v1.refunds.create({"payment_intent": intent.id, "amount": 500})
    moves = v1.balance_transactions.list({"expand": ["data.source"]}).data

    assert v1.customers.retrieve(customer).email == "ada@example.com"
    assert v1.customers.list({"email": "ada@example.com"}).data[0].id == customer
    assert v1.payment_methods.retrieve(method).customer == customer
    assert v1.payment_methods.list({"customer": customer, "type": "card"}).data[0].id == method
    assert v1.customers.payment_methods.list(customer).data[0].id == method
    assert v1.customers.payment_methods.retrieve(customer, method).id == method
    assert v1.payment_intents.retrieve(intent.id).status == "succeeded"
    assert v1.payment_intents.list({"customer": customer}).data[0].id == intent.id
    assert v1.charges.retrieve(str(intent.latest_charge)).amount_refunded == 500
    assert v1.charges.list({"payment_intent": intent.id}).data[0].paid
    assert v1.refunds.retrieve(refund.id).status == "succeeded"
    assert v1.refunds.list({"charge": str(intent.latest_charge)}).data[0].id == refund.id
    assert [(move.type, move.amount) for move in moves] == [("refund", -500), ("charge", 2000)]
    assert v1.balance_transactions.retrieve(moves[0].id).net == -500
    assert v1.balance.retrieve().pending[0].amount == 1912 - 500
    newest = v1.events.list({"type": "charge.refunded"}).data[0]
    assert v1.events.retrieve(newest.id).data.object["id"] == intent.latest_charge


def test_a_customer_can_be_changed(client: stripe.StripeClient) -> None:
    customer, method = customer_with(client)

    changed = client.v1.customers.update(
        customer,
        {
            "name": "Ada King",
            "metadata": {"tier": "gold"},
            "address": {"country": "GB"},
            "invoice_settings": {"default_payment_method": method},
        },
    )

    assert (changed.name, changed.metadata["tier"]) == ("Ada King", "gold")  # type: ignore[index]
    assert changed.invoice_settings.default_payment_method == method  # type: ignore[union-attr]


def test_a_detached_payment_method_may_not_be_used_again(client: stripe.StripeClient) -> None:
    customer, method = customer_with(client)

    client.v1.payment_methods.detach(method)

    with pytest.raises(stripe.InvalidRequestError, match="detached"):
        charge(client, customer, method)
    assert client.v1.payment_methods.list({"customer": customer}).data == []


def test_a_payment_method_is_made_from_a_test_token_only(client: stripe.StripeClient) -> None:
    create = client.v1.payment_methods.create

    made = create({"type": "card", "card": {"token": "tok_mastercard"}})

    assert made.card is not None
    assert (made.card.brand, made.card.last4) == ("mastercard", "4444")
    card: Any = {"number": "4242424242424242", "exp_month": 1, "exp_year": 2040}
    with pytest.raises(stripe.InvalidRequestError, match="refused here"):
        create({"type": "card", "card": card})


def test_another_customers_payment_method_is_refused(client: stripe.StripeClient) -> None:
    _, method = customer_with(client)
    stranger, _ = customer_with(client)

    with pytest.raises(stripe.InvalidRequestError, match="must be attached to the customer"):
        charge(client, stranger, method)


def test_a_customer_who_is_there_is_asked_to_authenticate(client: stripe.StripeClient) -> None:
    customer, method = customer_with(client, "pm_card_authenticationRequired")

    intent = charge(client, customer, method, off_session=False)

    assert (intent.status, intent.latest_charge) == ("requires_action", None)
    assert declined(client, customer, method).code == "authentication_required"


@pytest.mark.parametrize(
    ("form", "code", "param"),
    [
        ({"amount": "5", "currency": "usd", "amonut": "6"}, "parameter_unknown", "amonut"),
        ({"amount": "5"}, "parameter_missing", "currency"),
        ({"amount": "5.5", "currency": "usd"}, "parameter_invalid_integer", "amount"),
        ({"amount": "0", "currency": "usd"}, "parameter_invalid_integer", "amount"),
        ({"amount": "100000000", "currency": "usd"}, "amount_too_large", "amount"),
        ({"amount": "5", "currency": "xxx"}, None, "currency"),
        ({"amount": "1005", "currency": "kwd"}, None, "amount"),
        ({"amount": "5", "currency": "usd", "confirm": "yes"}, None, "confirm"),
        ({"amount": "5", "currency": "usd", "metadata": "x"}, None, "metadata"),
        ({"amount": "5", "currency": "usd", "off_session": "true"}, None, "off_session"),
        ({"amount": "5", "currency": "usd", "customer": "cus_no"}, "resource_missing", "customer"),
        ({"amount": "5", "currency": "usd", "expand[]": "charges"}, None, "expand"),
        ({"amount": "5", "currency": "usd", "payment_method_types[]": "pix"}, None, None),
    ],
)
def test_wrong_parameters_are_refused(
    shop: Shop, form: dict[str, str], code: str | None, param: str | None
) -> None:
    headers = {"Authorization": f"Bearer {KEY}"}

    answer = shop.post("/v1/payment_intents", headers, form)

    error = answer.json()["error"]
    assert (answer.status_code, error["type"]) == (400, "invalid_request_error")
    assert error.get("code") == code
    assert param in (None, error.get("param"))
    assert shop.stats()["objects"] == {}


def test_only_test_keys_open_the_door(shop: Shop) -> None:
    with pytest.raises(stripe.AuthenticationError):
        shop.client("sk_live_nothing").v1.balance.retrieve()
    assert requests.get(f"{shop.url}/v1/balance", timeout=PATIENCE).status_code == 401


def test_an_unknown_id_or_path_is_a_404(client: stripe.StripeClient, shop: Shop) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.payment_intents.retrieve("pi_nothing")
    assert (caught.value.http_status, caught.value.code) == (404, "resource_missing")
    answer = shop.post("/v1/nonsense", {"Authorization": f"Bearer {KEY}"}, {})
    assert answer.status_code == 404


def test_answers_carry_stripes_headers(client: stripe.StripeClient) -> None:
    made = client.v1.customers.create({}, {"idempotency_key": "k-1"})

    headers = made.last_response.headers  # type: ignore[union-attr]
    assert headers["Request-Id"].startswith("req_")
    assert headers["Idempotency-Key"] == "k-1"
    assert headers["Stripe-Version"] == stripe.api_version
    assert "Idempotent-Replayed" not in headers


def test_a_payment_can_be_made_on_the_providers_side(
    client: stripe.StripeClient, shop: Shop
) -> None:
    made = shop.control("POST", "payment_intents", amount=700, currency="usd")

    assert client.v1.payment_intents.retrieve(made["id"]).status == "succeeded"
