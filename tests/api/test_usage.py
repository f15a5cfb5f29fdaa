"""Usage over HTTP: batches as JSON and as JSON lines."""

import json
from typing import Any

import pytest
import requests

from billing.flows.cycles.usage_alerts import UsageAlerts
from billing.flows.service.api_keys import Scope
from billing.presenters.usage_refusals import in_words
from billing.rules.usage import UsageNumber
from tests.api.caller import Caller, Shop
from tests.scenarios.metering import CATALOG, Usage
from tests.scenarios.world import World
from tests.waiting import PATIENCE

PATH = "/v1/usage"


@pytest.fixture
def usage(world: World) -> Usage:
    """A subscriber to a plan that bills usage."""
    world.publish(CATALOG)
    ada = world.subscribed("metered")
    world.run_until("2026-01-15")
    return Usage(world, ada)


def sent(caller: Caller, body: str | bytes, kind: str = "application/json") -> requests.Response:
    return requests.post(
        caller.url + PATH,
        data=body,
        headers={"Authorization": f"Bearer {caller.key}", "Content-Type": kind},
        timeout=PATIENCE,
    )


def counted(answer: requests.Response) -> Any:
    """Return an answer whose refused events each have a sentence, without these."""
    body = answer.json()
    for each in body["refused"]:
        assert each.pop("detail") == in_words(each["reason"])
    return body


def test_a_batch_says_what_became_of_each_event(shop: Shop, usage: Usage) -> None:
    caller = shop.caller(Scope.USAGE)
    first, old = usage.event(), usage.event(ago="900000s")
    other = {**first, "event": "call"}

    answer = sent(caller, json.dumps({"events": [first, old, first, other, 7, {"id": "x"}]}))

    assert answer.status_code == 200, answer.text
    assert counted(answer) == {
        "accepted": 1,
        "late": 0,
        "repeated": [2],
        "conflicting": [3],
        "refused": [
            {"index": 1, "reason": "too_old"},
            {"index": 4, "reason": "unreadable"},
            {"index": 5, "reason": "bad_time"},
        ],
    }


def test_a_bad_line_refuses_no_other_one(shop: Shop, usage: Usage) -> None:
    lines = [json.dumps(usage.event()), '{"id":', "", '{"id": "a", "id": "b"}', "NaN"]

    answer = counted(sent(shop.caller(Scope.USAGE), "\r\n".join(lines), "application/x-ndjson"))

    assert answer["accepted"] == 1
    assert answer["refused"] == [{"index": n, "reason": "unreadable"} for n in (1, 2, 3)]


@pytest.mark.parametrize(
    ("number", "sum"),
    [
        ("0.1", "0.1"),
        ("100000000000000000.000000000001", "100000000000000000.000000000001"),
        ("12e-1", "1.2"),
        ('"0.30"', "0.3"),
        ("-0", "0"),
    ],
)
def test_numbers_are_those_that_are_written(
    shop: Shop, usage: Usage, number: str, sum: str
) -> None:
    body = json.dumps({"events": [usage.event(n="THIS")]}).replace('"THIS"', number)

    assert sent(shop.caller(Scope.USAGE), body).json()["accepted"] == 1
    assert usage.totals("sum") == {("searches", 0): sum}


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", "null", "[]", "{}"])
def test_what_is_no_number_is_refused(shop: Shop, usage: Usage, number: str) -> None:
    body = json.dumps({"events": [usage.event(n="THIS")]}).replace('"THIS"', number)

    answer = counted(sent(shop.caller(Scope.USAGE), body))

    assert answer["refused"] == [{"index": 0, "reason": "bad_value"}]


def test_a_batch_has_a_thousand_events_at_most(shop: Shop, usage: Usage) -> None:
    caller = shop.caller(Scope.USAGE)
    rows: list[Any] = [usage.event("call", user="bob") for _ in range(1_000)]

    assert sent(caller, json.dumps({"events": rows})).json()["accepted"] == 1_000
    answer = sent(caller, json.dumps({"events": [*rows, usage.event()]}))
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


@pytest.mark.parametrize(
    ("body", "kind", "code"),
    [
        ("{", "application/json", "malformed_request"),
        (b"\xff", "application/json", "malformed_request"),
        ("[]", "application/json", "invalid_request"),
        ('{"events": {}}', "application/json", "invalid_request"),
        ('{"events": [], "more": 1}', "application/json", "invalid_request"),
        ("id,event", "text/csv", "unsupported_media_type"),
        ("x" * 1_048_577, "application/json", "body_too_large"),
    ],
)
def test_what_is_no_batch_is_refused_whole(
    shop: Shop, body: str | bytes, kind: str, code: str
) -> None:
    assert sent(shop.caller(Scope.USAGE), body, kind).json()["code"] == code


def test_a_key_for_charging_sends_no_usage_and_one_for_usage_charges_nothing(
    shop: Shop, usage: Usage
) -> None:
    assert sent(shop.caller(Scope.CHARGE), '{"events": []}').status_code == 403
    order = {"amount": 999, "currency": "USD"}
    assert shop.caller(Scope.USAGE).post("/v1/payments", order).status_code == 403


def test_a_card_number_is_not_counted(shop: Shop, usage: Usage) -> None:
    caller = shop.caller(Scope.USAGE)
    rows = [usage.event(n="4242424242424242"), usage.event("call", user="4242 4242 4242 4242")]

    answer = sent(caller, json.dumps({"events": rows})).json()

    assert [each["reason"] for each in answer["refused"]] == ["bad_value", "bad_value"]


def test_what_was_counted_is_shown_with_its_alerts(shop: Shop, world: World) -> None:
    world.publish(
        CATALOG.replace('meter = "calls"', 'meter = "calls"\n    included = 2\n    alert = 50')
    )
    usage = Usage(world, world.subscribed("metered"))
    world.run_until("2026-01-15")
    usage.send(usage.event("call", user="bob"), usage.event(n=UsageNumber("0.5")))
    UsageAlerts().look(world.engine, world.now)
    path = f"/v1/subscriptions/{usage.subscriber.subscription_id}/usage"

    shown = shop.caller(Scope.READ).get(path)

    body = shown.json()
    assert [(each["meter"], each["n"], each["events"], each["sum"]) for each in body["data"]] == [
        ("callers", 0, 1, None), ("calls", 0, 1, None), ("searches", 0, 1, "0.5"),
    ]  # fmt: skip
    assert body["alerts"] == [
        {
            "at": "2026-01-15T00:00:00Z", "item": "calls", "meter": "calls", "n": 0, "segment": 0,
            "percent": 50, "quantity": "1", "included": "2",
        }
    ]  # fmt: skip
    assert shop.caller(Scope.READ).get(path + "?from_n=1").json() == {"data": [], "alerts": []}
