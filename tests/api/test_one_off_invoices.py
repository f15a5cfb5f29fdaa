"""One-off invoices over HTTP: issued once a key, collected, voided."""

from typing import Any

import pytest
import requests

from billing.flows.service.api_keys import Scope
from tests.api.caller import Caller, Shop, fresh
from tests.scenarios.world import World
from tests.waiting import PATIENCE

LINES = [{"text": "Set-up", "amount": 19900}, {"text": "Training", "amount": 100}]


@pytest.fixture
def ada(world: World) -> str:
    """Return the id of who pays."""
    return str(world.customer()[0])


def asked(ada: str, **more: Any) -> dict[str, Any]:
    return {"customer": ada, "currency": "USD", "lines": LINES} | more


def test_an_invoice_is_issued_once_and_collected(caller: Caller, world: World, ada: str) -> None:
    key = fresh()
    body = asked(ada, service={"first": "2026-01-01", "last": "2026-01-31"}, reason="as agreed")

    first, again = (caller.post("/v1/invoices", body, key) for _ in range(2))
    other = caller.post("/v1/invoices", asked(ada), key)
    world.settle()

    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert other.json()["code"] == "idempotency_key_reused"
    made = first.json()
    assert (made["kind"], made["number"], made["due"], made["status"]) == (
        "one_off", "INV-0001", 20000, "open",
    )  # fmt: skip
    shown = caller.found(first.headers["location"])
    assert (shown["status"], shown["subscription_id"]) == ("paid", None)
    assert shown["lines"][0]["description"] == "Set-up, 2026-01-01 to 2026-01-31"
    assert shown["payment"]["state"] == "CAPTURED"
    assert len(caller.found("/v1/invoices", customer=ada)["data"]) == 1
    (line,) = caller.found("/v1/audit", subject=ada)["data"]
    assert (line["action"], line["why"]) == ("invoice.create", "as agreed")
    world.assert_everything_adds_up()


def test_an_open_invoice_is_voided_once(caller: Caller, world: World, ada: str) -> None:
    made = caller.post("/v1/invoices", asked(ada)).json()
    key, at = fresh(), f"/v1/invoices/{made['number']}/void"

    done, again = (caller.post(at, {"reason": "a mistake"}, key) for _ in range(2))
    anew = caller.post(at)

    assert (done.status_code, done.json()["status"]) == (200, "void")
    assert done.json() == again.json()
    assert (anew.status_code, anew.json()["code"]) == (409, "conflict")
    assert caller.post("/v1/invoices/INV-9999/void").status_code == 404
    world.settle()
    world.assert_everything_adds_up()


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"lines": []}, 422),
        ({"lines": [{"text": "Set-up"}]}, 422),
        ({"lines": [{"text": "Set-up", "amount": 1.5}]}, 422),
        ({"lines": [{"text": "Set-up", "amount": 0}]}, 422),
        ({"lines": [{"text": " ", "amount": 900}]}, 422),
        ({"lines": [{"text": "Less", "amount": 10}]}, 422),
        ({"lines": [{"text": "Set-up", "amount": 900, "tax": 19}]}, 422),
        ({"currency": "usd"}, 422),
        ({"currency": "XXX"}, 422),
        ({"customer": "nobody"}, 404),
        ({"service": {"first": "2026-02-01", "last": "2026-01-01"}}, 422),
        ({"service": {"first": "2026-02-30", "last": "2026-03-01"}}, 422),
        ({"service": {"first": 0, "last": 1}}, 422),
        ({"service": {"first": "2026-01-01", "last": "2026-01-02", "zone": "Mars"}}, 422),
        ({"lines": [{"text": "4242 4242 4242 4242", "amount": 900}]}, 422),
    ],
)
def test_bad_input_is_refused(
    caller: Caller, world: World, ada: str, more: dict[str, Any], status: int
) -> None:
    answer = caller.post("/v1/invoices", asked(ada, **more))

    assert answer.status_code == status
    assert world.entries("invoice_issued") == 0


def test_an_invoice_needs_a_key_and_the_scope(shop: Shop, caller: Caller, ada: str) -> None:
    reader = shop.caller(Scope.READ)

    assert reader.post("/v1/invoices", asked(ada)).status_code == 403
    headers = {"authorization": f"Bearer {caller.key}"}
    answer = requests.post(
        f"{caller.url}/v1/invoices", json=asked(ada), headers=headers, timeout=PATIENCE
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "idempotency_key_missing")
