"""Credit over HTTP: granted once a key, looked at, revoked."""

from typing import Any

import pytest

from billing.flows.service.api_keys import Scope
from billing.ids import new_id
from tests.api.caller import Caller, Shop, fresh
from tests.scenarios.world import Subscriber, World


@pytest.fixture
def ada(world: World) -> Subscriber:
    """Return who pays 9.99 a month."""
    return world.subscribed("video-basic", trial=False)


def grants_of(ada: Subscriber) -> str:
    return f"/v1/customers/{ada.customer}/credit-grants"


def test_credit_is_granted_once_and_pays(caller: Caller, world: World, ada: Subscriber) -> None:
    key, body = fresh(), {"amount": 1500, "currency": "USD", "reason": "an outage"}

    first, again = (caller.post(grants_of(ada), body, key) for _ in range(2))
    other = caller.post(grants_of(ada), {**body, "amount": 1}, key)
    world.run_until("2026-01-02")

    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert (first.json()["left"], first.json()["source"]) == (1500, "goodwill")
    assert first.headers["location"] == f"/v1/credit-grants/{first.json()['id']}"
    assert other.json()["code"] == "idempotency_key_reused"
    shown = caller.found(first.headers["location"])
    assert shown["left"] == 501
    assert [(move["kind"], move["amount"]) for move in shown["moves"]] == [
        ("granted", 1500),
        ("applied", 999),
    ]
    assert caller.found(f"/v1/customers/{ada.customer}/credit")["data"] == [
        {"currency": "USD", "left": 501, "usable": 501}
    ]
    (line,) = caller.found("/v1/audit", subject=ada.customer)["data"]
    assert (line["action"], line["why"]) == ("credit.grant", "an outage")
    world.assert_everything_adds_up()


def test_grants_are_listed_the_newest_first_a_page_at_a_time(
    caller: Caller, ada: Subscriber
) -> None:
    made = [
        caller.post(grants_of(ada), {"amount": amount, "currency": "USD"}).json()["id"]
        for amount in (100, 200, 300)
    ]

    first = caller.found(grants_of(ada), limit=2)
    rest = caller.found(grants_of(ada), limit=2, cursor=first["next_cursor"])

    assert [each["id"] for each in first["data"] + rest["data"]] == made[::-1]
    assert rest["next_cursor"] is None


def test_what_is_left_is_revoked_once(caller: Caller, world: World, ada: Subscriber) -> None:
    made = caller.post(grants_of(ada), {"amount": 1500, "currency": "USD"}).json()["id"]
    world.run_until("2026-01-02")
    key, at = fresh(), f"/v1/credit-grants/{made}/revoke"

    done, again = (caller.post(at, {"reason": "by mistake"}, key) for _ in range(2))
    anew = caller.post(at)

    assert done.status_code == 200
    assert done.json() == again.json()
    assert (done.json()["left"], done.json()["expired_at"] is None) == (0, False)
    assert (anew.status_code, anew.json()["code"]) == (409, "conflict")
    world.assert_everything_adds_up()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"amount": 0}, 422),
        ({"amount": 1.5}, 422),
        ({"currency": "XXX"}, 422),
        ({"currency": "XAF", "amount": 999_999_999_999}, 422),
        ({"priority": 101}, 422),
        ({"expires_at": "2025-01-01T00:00:00Z"}, 422),
        ({"expires_at": "2027-01-01T00:00:00"}, 422),
        ({"subscription": "nobodys"}, 404),
        ({"reason": "card 4242424242424242"}, 422),
        ({"source": "bought"}, 422),
    ],
)
def test_what_can_not_be_granted_is_refused(
    caller: Caller, ada: Subscriber, body: dict[str, Any], status: int
) -> None:
    answer = caller.post(grants_of(ada), {"amount": 100, "currency": "USD", **body})

    assert answer.status_code == status, answer.text
    assert caller.found(grants_of(ada))["data"] == []


def test_who_may_only_read_or_charge_grants_nothing(
    shop: Shop, caller: Caller, ada: Subscriber
) -> None:
    for scope in (Scope.READ, Scope.CHARGE):
        answer = shop.caller(scope).post(grants_of(ada), {"amount": 100, "currency": "USD"})
        assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")

    assert caller.get(f"/v1/credit-grants/{new_id()}").status_code == 404
    assert caller.get("/v1/customers/nobody/credit").status_code == 404
