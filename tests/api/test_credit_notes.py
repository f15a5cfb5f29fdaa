"""Credit notes over HTTP: once a key, in lines or shares, and read again."""

from typing import Any
from uuid import uuid4

import pytest

from tests.api.caller import Caller
from tests.scenarios.money import paid as paid_subscriber
from tests.scenarios.world import World


@pytest.fixture
def invoice(world: World) -> str:
    """The number of an invoice that came to 31.00 USD and is paid."""
    return str(world.invoices(paid_subscriber(world))[0].number)


def test_a_credit_note_is_issued_once_a_key(world: World, caller: Caller, invoice: str) -> None:
    at, key = f"/v1/invoices/{invoice}/credit-notes", str(uuid4())
    wanted = {"destination": "credit", "lines": [{"line": 1, "amount": 1000}], "reason": "late"}

    first = caller.post(at, wanted, key)
    again = caller.post(at, wanted, key)

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.headers["idempotency-replayed"] == "true"
    note = first.json()
    assert again.json() == note
    assert note["number"].endswith("-C0001")
    assert (note["total"], note["currency"], note["destination"]) == (1000, "USD", "credit")
    assert note["lines"] == [{"line": 1, "gross": 1000, "discount": 0, "net": 1000, "tax": 0}]
    assert note["grant_id"] is not None
    assert first.headers["location"] == f"/v1/credit-notes/{note['id']}"
    assert caller.found(f"/v1/credit-notes/{note['number']}") == note
    assert caller.found(at) == {"data": [note]}
    world.assert_everything_adds_up()


def test_all_that_is_left_goes_to_the_card(world: World, caller: Caller, invoice: str) -> None:
    at = f"/v1/invoices/{invoice}/credit-notes"
    shared = {"destination": "outside", "share": {"part": 1, "whole": 31}}
    assert caller.post(at, shared).json()["total"] == 100

    note = caller.post(at, {"destination": "refund"}).json()
    world.settle()

    assert (note["total"], note["refund_state"]) == (3000, "requested")
    assert caller.found(f"/v1/credit-notes/{note['id']}")["refund_state"] == "succeeded"
    world.assert_everything_adds_up()


@pytest.mark.parametrize(
    ("wanted", "status", "code", "says"),
    [
        (
            {"destination": "credit", "lines": [{"line": 2}]},
            422,
            "invalid_request",
            "lines 1 to 1, not 2",
        ),
        (
            {"destination": "credit", "lines": [{"line": 1, "amount": 3101}]},
            409,
            "conflict",
            "more is to be given back of a line",
        ),
        ({"destination": "cash"}, 422, "invalid_request", ""),
        (
            {"destination": "credit", "lines": [{"line": 1, "amount": None}]},
            422,
            "invalid_request",
            "",
        ),
    ],
)
def test_what_is_refused_leaves_nothing(
    caller: Caller, invoice: str, wanted: dict[str, Any], status: int, code: str, says: str
) -> None:
    at = f"/v1/invoices/{invoice}/credit-notes"

    answer = caller.post(at, wanted)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert says in answer.json()["detail"]
    assert caller.found(at) == {"data": []}


def test_what_there_is_not_is_not_found(caller: Caller) -> None:
    assert caller.get("/v1/credit-notes/X-C0001").status_code == 404
    assert caller.get("/v1/invoices/X-0001/credit-notes").status_code == 404
    asked = caller.post("/v1/invoices/X-0001/credit-notes", {"destination": "credit"})
    assert asked.status_code == 404
