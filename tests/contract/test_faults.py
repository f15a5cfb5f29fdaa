"""Each fault, as the SDK sees it, and what is true at the provider afterwards."""

import threading
import time

import pytest
import requests
import stripe

from tests.contract.cards import captures, charge, customer_with
from tests.contract.conftest import Shop
from tests.waiting import PATIENCE, held_back, until

ON_CHARGES = {"method": "POST", "path": "/v1/payment_intents"}


@pytest.mark.parametrize(
    ("kind", "error", "status", "executed"),
    [
        ("hang_before", stripe.APIConnectionError, None, False),
        ("reset_before", stripe.APIConnectionError, None, False),
        ("error_500_uncommitted", stripe.APIError, 500, False),
        ("rate_limit_429", stripe.RateLimitError, 429, False),
        ("conflict_409", stripe.APIError, 409, False),
        ("error_401", stripe.AuthenticationError, 401, False),
        ("hang_after_commit", stripe.APIConnectionError, None, True),
        ("reset_after_commit", stripe.APIConnectionError, None, True),
        ("truncated_body", stripe.APIConnectionError, None, True),
        ("garbage_200", stripe.APIError, 200, True),
        ("error_500", stripe.APIError, 500, True),
    ],
)
def test_each_fault_fires_once_and_the_same_key_tells_the_truth(
    client: stripe.StripeClient,
    shop: Shop,
    kind: str,
    error: type[stripe.StripeError],
    status: int | None,
    executed: bool,
) -> None:
    customer, method = customer_with(client)
    shop.fault(kind, match=ON_CHARGES, delay_ms=300)

    with pytest.raises(error) as caught:
        charge(client, customer, method, "k")

    assert caught.value.http_status == status
    assert captures(client) == int(executed)
    if kind != "error_500":  # that one is kept under the key
        assert charge(client, customer, method, "k").status == "succeeded"
    assert captures(client) == 1
    assert shop.stats()["faults"] == {kind: 1}


def test_a_hang_outlasts_an_impatient_client(shop: Shop) -> None:
    client = shop.client()
    customer, method = customer_with(client)
    shop.fault("hang_after_commit", match=ON_CHARGES, delay_ms=int(PATIENCE * 1000))

    with pytest.raises(stripe.APIConnectionError, match="timed out"):
        charge(shop.client(timeout=0.3), customer, method, "k")
    until(lambda: shop.stats()["faults"])

    assert charge(client, customer, method, "k").status == "succeeded"
    assert captures(client) == 1


def test_a_slow_request_is_only_slow(client: stripe.StripeClient, shop: Shop) -> None:
    customer, method = customer_with(client)
    shop.fault("slow", match=ON_CHARGES, delay_ms=300)
    started = time.monotonic()

    charge(client, customer, method)

    assert time.monotonic() - started > 0.3


def test_a_slow_request_goes_on_when_the_faults_are_cleared(
    client: stripe.StripeClient, shop: Shop
) -> None:
    customer, method = customer_with(client)
    answers: list[str] = []
    sender = threading.Thread(
        target=lambda: answers.append(charge(client, customer, method).status)
    )

    with held_back(shop.control, "/v1/payment_intents") as until_it_waits:
        sender.start()
        until_it_waits()
        assert captures(shop.client()) == 0
    sender.join()

    assert answers == ["succeeded"]


def test_faults_hit_only_what_they_match_and_as_often_as_asked(
    client: stripe.StripeClient, shop: Shop
) -> None:
    shop.fault("rate_limit_429", times=2, match={"method": "POST", "path": "/v1/customers"})

    client.v1.customers.list()
    for _ in range(2):
        with pytest.raises(stripe.RateLimitError):
            client.v1.customers.create({})
    client.v1.customers.create({})

    assert shop.control("GET", "faults")["faults"][0]["fired"] == 2
    assert shop.control("DELETE", "faults")["faults"] == []


def test_a_path_may_be_whole_and_have_parts_that_are_any(
    client: stripe.StripeClient, shop: Shop
) -> None:
    shop.fault("rate_limit_429", times=9, match={"method": "POST", "path": "/v1/customers$"})
    shop.fault("rate_limit_429", times=9, match={"path": "/v1/*/cus_1$"})

    with pytest.raises(stripe.RateLimitError):
        client.v1.customers.create({})
    with pytest.raises(stripe.RateLimitError):
        client.v1.customers.retrieve("cus_1")
    for missing in (
        lambda: client.v1.customers.update("cus_2", {"name": "Ada"}),
        lambda: client.v1.customers.payment_methods.list("cus_1"),
    ):
        with pytest.raises(stripe.InvalidRequestError):
            missing()


def test_chance_is_seeded_so_a_run_can_be_repeated(shop: Shop, client: stripe.StripeClient) -> None:
    def run() -> list[bool]:
        shop.control("DELETE", "faults")
        shop.fault("rate_limit_429", probability=0.5, seed=7)
        return [_refused(client) for _ in range(20)]

    first = run()

    assert first == run()
    assert 0 < sum(first) < 20


def _refused(client: stripe.StripeClient) -> bool:
    try:
        client.v1.customers.list()
    except stripe.RateLimitError:
        return True
    return False


@pytest.mark.parametrize(
    "wanted",
    [
        {"kind": "earthquake"},
        {"kind": "slow", "match": {"host": "x"}},
        {"kind": "slow", "probability": 2},
        {"kind": "slow", "often": True},
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(shop: Shop, wanted: dict[str, object]) -> None:
    answer = requests.post(f"{shop.url}/_sandbox/faults", json=wanted, timeout=PATIENCE)

    assert answer.status_code == 400
    assert shop.control("GET", "faults")["faults"] == []


def test_statistics_are_kept_by_endpoint_and_status(
    client: stripe.StripeClient, shop: Shop
) -> None:
    customer, method = customer_with(client)
    shop.fault("reset_after_commit", match=ON_CHARGES)
    with pytest.raises(stripe.APIConnectionError):
        charge(client, customer, method)
    charge(client, customer, method)

    stats = shop.stats()

    assert stats["requests"]["POST /v1/payment_intents"] == {"reset": 1, "200": 1}
    assert (stats["captures"], stats["captured_amount"]) == (2, {"usd": 4000})
    assert stats["captured_payment_intents"] == 2


def test_reset_forgets_everything_but_the_clock_and_settings(
    client: stripe.StripeClient, shop: Shop
) -> None:
    shop.control("POST", "settings", fee_fixed=0, fee_basis_points=100)
    customer, method = customer_with(client)
    charge(client, customer, method)

    shop.control("POST", "reset")

    assert client.v1.customers.list().data == []
    customer, method = customer_with(client)
    charge(client, customer, method)
    assert client.v1.balance_transactions.list().data[0].fee == 20
