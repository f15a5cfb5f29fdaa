"""One execution a key, whatever is sent again; the stored answer for 24 hours."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import stripe

from tests.contract.cards import captures, charge, customer_with, declined
from tests.contract.conftest import Shop
from tests.waiting import held_back

DAY = 86_400
NOON = 1_800_000_000


def test_the_same_request_under_the_same_key_is_replayed(client: stripe.StripeClient) -> None:
    customer, method = customer_with(client)

    first = charge(client, customer, method, "k")
    second = charge(client, customer, method, "k")

    assert first.to_dict() == second.to_dict()
    assert captures(client) == 1
    headers = second.last_response.headers  # type: ignore[union-attr]
    assert headers["Idempotent-Replayed"] == "true"
    assert headers["Original-Request"] != headers["Request-Id"]


def test_another_request_under_the_same_key_is_refused(client: stripe.StripeClient) -> None:
    customer, method = customer_with(client)
    charge(client, customer, method, "k")

    with pytest.raises(stripe.IdempotencyError) as caught:
        charge(client, customer, method, "k", amount=2001)
    with pytest.raises(stripe.IdempotencyError):
        client.v1.customers.create({}, {"idempotency_key": "k"})

    assert caught.value.http_status == 400
    assert captures(client) == 1


def test_a_decline_is_replayed_even_though_the_card_would_work_now(
    client: stripe.StripeClient,
) -> None:
    customer, method = customer_with(client, "pm_sbx_decline_1_then_ok")

    first = declined(client, customer, method, key="k")
    second = declined(client, customer, method, key="k")

    assert first.payment_intent.id == second.payment_intent.id
    assert len(client.v1.charges.list().data) == 1


def test_a_500_is_replayed_although_the_charge_went_through(
    client: stripe.StripeClient, shop: Shop
) -> None:
    customer, method = customer_with(client)
    shop.fault("error_500")

    for _ in range(2):
        with pytest.raises(stripe.APIError) as caught:
            charge(client, customer, method, "k")
        assert caught.value.http_status == 500

    assert captures(client) == 1


def test_a_refusal_before_execution_is_not_kept(client: stripe.StripeClient) -> None:
    customer, method = customer_with(client)
    with pytest.raises(stripe.InvalidRequestError):
        charge(client, customer, method, "k", amount=-1)

    assert charge(client, customer, method, "k").status == "succeeded"


def test_a_refusal_by_the_endpoint_is_kept(client: stripe.StripeClient) -> None:
    customer, method = customer_with(client)
    intent = charge(client, customer, method).id

    with pytest.raises(stripe.InvalidRequestError):
        client.v1.payment_intents.cancel(intent, {}, {"idempotency_key": "k"})
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.payment_intents.cancel(intent, {}, {"idempotency_key": "k"})

    assert (caught.value.headers or {})["Idempotent-Replayed"] == "true"


def test_an_over_long_key_is_refused(client: stripe.StripeClient) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="255"):
        client.v1.customers.create({}, {"idempotency_key": "k" * 256})


def test_a_key_is_forgotten_after_24_hours_of_the_sandbox_clock(
    client: stripe.StripeClient, shop: Shop
) -> None:
    shop.control("POST", "clock", now=NOON)
    customer, method = customer_with(client)
    first = charge(client, customer, method, "k")

    shop.control("POST", "clock", now=NOON + DAY - 1)
    within = charge(client, customer, method, "k")
    shop.control("POST", "clock", now=NOON + DAY)
    after = charge(client, customer, method, "k")

    assert within.id == first.id
    assert (after.id != first.id, after.created) == (True, NOON + DAY)
    assert captures(client) == 2


def test_a_twin_in_flight_is_told_so(client: stripe.StripeClient, shop: Shop) -> None:
    customer, method = customer_with(client)
    first = threading.Thread(target=charge, args=(client, customer, method, "k"))
    with held_back(shop.control, "/v1/payment_intents") as until_it_waits:
        first.start()
        until_it_waits()
        with pytest.raises(stripe.APIError) as caught:
            charge(shop.client(), customer, method, "k")
    first.join()

    assert caught.value.http_status == 409
    assert caught.value.error.code == "idempotency_key_in_use"  # type: ignore[union-attr]
    assert (caught.value.headers or {})["Stripe-Should-Retry"] == "true"
    assert charge(client, customer, method, "k").status == "succeeded"
    assert captures(client) == 1


def test_twenty_threads_under_one_key_make_one_charge(
    client: stripe.StripeClient, shop: Shop
) -> None:
    customer, method = customer_with(client)
    clients = [shop.client() for _ in range(20)]

    with ThreadPoolExecutor(20) as pool:
        outcomes = list(pool.map(lambda each: _try(each, customer, method), clients))

    made = {outcome for outcome in outcomes if outcome != "idempotency_key_in_use"}
    assert len(made) == 1
    assert captures(client) == 1
    assert shop.stats()["payment_intents_captured_more_than_once"] == 0


def _try(client: stripe.StripeClient, customer: str, method: str) -> str:
    try:
        return charge(client, customer, method, "k").id
    except stripe.APIError as error:
        return str(error.error.code)  # type: ignore[union-attr]
