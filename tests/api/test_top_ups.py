"""Buying credit over HTTP: invoiced once a key, theirs once it is paid."""

from typing import Any

import pytest

from billing.flows.service.api_keys import Scope
from tests.api.caller import Caller, Shop, fresh
from tests.scenarios.world import World


@pytest.fixture
def ada(world: World) -> str:
    """Return the path below which Ada buys credit."""
    return f"/v1/customers/{world.customer()[0]}"


def test_credit_is_bought_once_and_there_when_it_is_paid(
    caller: Caller, world: World, ada: str
) -> None:
    key, body = fresh(), {"amount": 5000, "currency": "USD", "valid_days": 30, "reason": "asked"}

    first, again = (caller.post(f"{ada}/top-ups", body, key) for _ in range(2))
    other = caller.post(f"{ada}/top-ups", {**body, "amount": 1}, key)
    before = caller.found(f"{ada}/credit")["data"]
    world.settle()

    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert (first.json()["kind"], first.json()["due"]) == ("top_up", 5000)
    assert other.json()["code"] == "idempotency_key_reused"
    assert before == []
    assert caller.found(f"{ada}/credit")["data"] == [
        {"currency": "USD", "left": 5000, "usable": 5000}
    ]
    (granted,) = caller.found(f"{ada}/credit-grants")["data"]
    assert (granted["source"], granted["expires_at"]) == ("bought", "2026-01-31T00:00:00Z")
    assert caller.found(first.headers["location"])["status"] == "paid"
    refused = caller.post(f"/v1/credit-grants/{granted['id']}/revoke")
    assert refused.status_code == 409
    world.assert_everything_adds_up()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"amount": 0}, 422),
        ({"amount": 10}, 422),
        ({"amount": 50.0}, 422),
        ({"currency": "XXX"}, 422),
        ({"valid_days": 0}, 422),
        ({"valid_days": 40_000}, 422),
        ({"priority": 0}, 422),
        ({"source": "goodwill"}, 422),
        ({"reason": "card 4242424242424242"}, 422),
    ],
)
def test_bad_input_is_refused(
    caller: Caller, world: World, ada: str, body: dict[str, Any], status: int
) -> None:
    answer = caller.post(f"{ada}/top-ups", {"amount": 5000, "currency": "USD", **body})

    assert answer.status_code == status, answer.text
    assert world.entries("invoice_issued") == 0


def test_who_may_only_read_buys_nothing(shop: Shop, ada: str) -> None:
    answer = shop.caller(Scope.READ).post(f"{ada}/top-ups", {"amount": 5000, "currency": "USD"})

    assert answer.status_code == 403
