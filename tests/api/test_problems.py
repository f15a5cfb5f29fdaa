"""Every error is a problem: told as RFC 9457, and never with a traceback or a secret in it."""

import json
import re
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests
from pydantic import SecretStr

from billing.api import wording
from billing.api.cards import refuse_in_json
from billing.api.problems import KINDS, TYPE_PREFIX
from billing.config import WebhooksSettings
from billing.flows.service.api_keys import Scope
from billing.pan import CardNumberRefused
from tests.api.caller import Caller, Shop, fresh, open_shop
from tests.scenarios.world import World, WorldRuntime
from tests.settings import with_provider
from tests.waiting import PATIENCE, until
from tests.webhook_endpoint import signature

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "api.md"
CARD = "4242 4242 4242 4242"


def problem(answer: requests.Response, status: int, code: str) -> dict[str, Any]:
    """Return an answer that has to be this problem."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    body: dict[str, Any] = answer.json()
    assert (answer.status_code, body["code"]) == (status, code), answer.text
    assert body["status"] == status
    assert body["type"] == TYPE_PREFIX + code
    assert {"title", "detail"} <= set(body)
    return body


REFUSED: list[tuple[str, str, bytes | None, int, str]] = [
    ("GET", "/v1/nothing", None, 404, "not_found"),
    ("GET", "/", None, 404, "not_found"),
    ("GET", "/v1/payments/01a203a3-5ec8-7b90-84bf-e4cf13f0721b", None, 404, "not_found"),
    ("GET", "/v1/payments/nonsense", None, 422, "invalid_request"),
    ("GET", "/v1/customers/nobody", None, 404, "not_found"),
    ("GET", "/v1/customers/%00", None, 422, "invalid_request"),
    ("GET", "/v1/payments?limit=0", None, 422, "invalid_request"),
    ("GET", "/v1/payments?limit=201", None, 422, "invalid_request"),
    ("GET", "/v1/payments?state=LOST", None, 422, "invalid_request"),
    ("DELETE", "/v1/payments", None, 405, "method_not_allowed"),
    ("POST", "/v1/plans", b"{}", 405, "method_not_allowed"),
    ("POST", "/v1/payments", b"{", 400, "malformed_request"),
    ("POST", "/v1/payments", b"[" * 60_000, 400, "malformed_request"),
    ("POST", "/v1/payments", b'{"amount": NaN}', 422, "invalid_request"),
    ("POST", "/v1/payments", b"[]", 422, "invalid_request"),
    ("POST", "/v1/payments", b"", 422, "invalid_request"),
    ("POST", "/v1/payments", b'{"amount": 1, "currency": "USD", "tip": 1}', 422,
     "invalid_request"),
    ("POST", "/v1/payments", b'{"description": "\\u0000"}', 422, "invalid_request"),
    ("POST", "/v1/payments", b'{"description": "\\ud800"}', 422, "invalid_request"),
    ("POST", "/v1/payments", b" " * 65_537, 413, "body_too_large"),
]  # fmt: skip


def test_what_cannot_be_taken_is_told_as_a_problem(caller: Caller) -> None:
    for method, path, body, status, code in REFUSED:
        answer = requests.request(
            method,
            caller.url + path,
            data=body,
            headers={
                "Authorization": f"Bearer {caller.key}",
                "Idempotency-Key": fresh(),
                "Content-Type": "application/json",
            },
            timeout=PATIENCE,
        )

        problem(answer, status, code)


def test_a_method_that_is_not_allowed_is_told_with_those_that_are(caller: Caller) -> None:
    for path, allowed in (
        ("/v1/payments", "GET, POST"),
        ("/v1/plans", "GET"),
        ("/v1/subscriptions/abc/cancel", "POST"),
        ("/v1/customers/abc/payment-methods", "GET, POST"),
    ):
        answer = requests.delete(
            caller.url + path, headers={"Authorization": f"Bearer {caller.key}"}, timeout=PATIENCE
        )

        problem(answer, 405, "method_not_allowed")
        assert answer.headers["allow"] == allowed


def test_a_card_number_is_seen_however_deep_it_stands() -> None:
    deep: Any = CARD
    for _ in range(100_000):
        deep = [deep]

    with pytest.raises(CardNumberRefused):
        refuse_in_json({"metadata": deep})


def test_a_body_without_a_declared_length_is_bounded_too(caller: Caller) -> None:
    answer = requests.post(
        caller.url + "/v1/payments",
        data=(b" " * 10_000 for _ in range(20)),
        headers={"Authorization": f"Bearer {caller.key}", "Content-Type": "application/json"},
        timeout=PATIENCE,
    )

    problem(answer, 413, "body_too_large")


NO_HTTP = [
    b"GARBAGE\r\n\r\n",
    b"GET /v1/pl\xffans HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /v1/payments HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\nabcde",
]


def test_what_is_no_http_is_a_problem_too(shop: Shop) -> None:
    for sent in NO_HTTP:
        assert '"code": "malformed_request"' in told(shop, sent, 400)


def test_a_request_has_to_arrive_in_time(world: World) -> None:
    webhooks = WebhooksSettings(secrets=(SecretStr("whsec_test"),))
    settings = world.runtime.settings.model_copy(update={"webhooks": webhooks})
    world.runtime = WorldRuntime(settings, world=world)
    with open_shop(world, arrival_timeout="300ms") as shop:
        authorization = f"Authorization: Bearer {shop.caller().key}\r\n".encode()
        body = b"Content-Type: application/json\r\nContent-Length: 50\r\n\r\n{"
        header = signature(b"", "whsec_test", int(world.wall.timestamp()))
        signed = f"Stripe-Signature: {header}\r\n".encode()
        stalled = [
            b"",
            b"GET /v1/plans HTTP/1.1\r\nHost: x\r\n",
            b"POST /v1/payments HTTP/1.1\r\nHost: x\r\n" + authorization + body,
            b"POST /v1/webhooks/stripe HTTP/1.1\r\nHost: x\r\n" + signed + body,
        ]

        for sent in stalled:
            assert "request_timeout" in told(shop, sent, 408), sent
        assert shop.caller().get("/v1/plans").status_code == 200
    world.runtime.close()


def told(shop: Shop, sent: bytes, status: int) -> str:
    """Send bytes, and return what comes until the other side hangs up."""
    with socket.create_connection(
        ("127.0.0.1", shop.api.http_port), timeout=PATIENCE
    ) as connection:
        connection.sendall(sent)
        answer = b"".join(iter(lambda: connection.recv(65_536), b"")).decode()
    head, _, body = answer.partition("\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} "), answer
    assert "content-type: application/problem+json" in head
    return body


def test_only_json_is_read(caller: Caller) -> None:
    answer = requests.post(
        caller.url + "/v1/payments",
        data={"amount": "999"},
        headers={"Authorization": f"Bearer {caller.key}", "Idempotency-Key": fresh()},
        timeout=PATIENCE,
    )

    problem(answer, 415, "unsupported_media_type")


def test_an_idempotency_key_is_demanded_and_has_a_form(caller: Caller) -> None:
    paths = ["/v1/payments", "/v1/customers", "/v1/subscriptions"]
    headers = {"Authorization": f"Bearer {caller.key}"}

    for path in paths:
        answer = requests.post(caller.url + path, json={}, headers=headers, timeout=PATIENCE)
        problem(answer, 400, "idempotency_key_missing")
    for key in ("with space", "x" * 256, "é"):
        order = {"amount": 999, "currency": "USD", "customer": "ada"}
        answer = requests.post(
            caller.url + "/v1/payments",
            json=order,
            headers={**headers, "Idempotency-Key": key.encode("latin-1")},
            timeout=PATIENCE,
        )
        problem(answer, 422, "invalid_request")


WITH_A_CARD: list[tuple[str, object]] = [
    ("/v1/payments", {"amount": 999, "currency": "USD", "customer": CARD}),
    ("/v1/payments", {"amount": 999, "currency": "USD", "payment_source": "4242424242424242"}),
    ("/v1/payments", {"amount": 999, "currency": "USD", "customer": "a", "description": CARD}),
    ("/v1/payments", {"amount": 4242424242424242, "currency": "USD", "customer": "a"}),
    ("/v1/payments", {"card": {"number": [CARD]}}),
    ("/v1/payments", {CARD: 1}),
    ("/v1/customers", {"name": f"Ada {CARD}"}),
    ("/v1/customers", {"name": "Ada", "external_id": CARD}),
    ("/v1/customers/ada/payment-methods", {"payment_method": CARD}),
    ("/v1/subscriptions/ada/cancel", {"reason": CARD}),
    (f"/v1/customers/{CARD}/payment-methods", {"payment_method": "pm_card_visa"}),
    ("/v1/payments?note=4242424242424242", {}),
]


def test_a_card_number_is_refused_wherever_it_stands_and_never_repeated(
    caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    for path, body in WITH_A_CARD:
        answer = caller.post(path, body)

        problem(answer, 422, "card_number_refused")
        told = answer.text + caplog.text
        assert "4242 4242" not in told, path
        assert "42424242" not in told, path


def test_a_card_number_is_no_idempotency_key(caller: Caller) -> None:
    answer = caller.post("/v1/customers", {"name": "Ada"}, key="4242424242424242")

    problem(answer, 422, "card_number_refused")


def test_an_escaped_card_number_is_seen_too(caller: Caller) -> None:
    body = json.dumps({"name": CARD}).replace("4", "\\u0034")

    answer = requests.post(
        caller.url + "/v1/customers",
        data=body,
        headers={
            "Authorization": f"Bearer {caller.key}",
            "Idempotency-Key": fresh(),
            "Content-Type": "application/json",
        },
        timeout=PATIENCE,
    )

    problem(answer, 422, "card_number_refused")


def test_a_fault_of_ours_shows_nothing_of_itself(
    shop: Shop, caller: Caller, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the inner secret")

    monkeypatch.setattr("billing.store.subscriptions.plans.published", fail)

    answer = caller.get("/v1/plans")

    problem(answer, 500, "internal_error")
    assert "inner secret" not in answer.text
    assert "inner secret" in caplog.text


def test_a_database_that_does_not_answer_is_unavailable(
    shop: Shop, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy.exc import OperationalError

    def fail(*_: object, **__: object) -> None:
        raise OperationalError("SELECT", {}, Exception("connection to 10.0.0.7 lost"))

    monkeypatch.setattr("billing.store.subscriptions.plans.published", fail)

    answer = caller.get("/v1/plans")

    problem(answer, 503, "unavailable")
    assert answer.headers["retry-after"] == "5"
    assert "10.0.0.7" not in answer.text


def test_a_key_of_ours_that_the_provider_refuses_is_no_fault_of_the_caller(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    key = SecretStr("sk_nobody_knows_this")
    settings = with_provider(world.runtime.settings, api_key=key)
    world.runtime = WorldRuntime(settings, world=world)
    with open_shop(world) as shop:
        answer = shop.caller().post("/v1/customers", {"name": "Ada"})

    problem(answer, 503, "unavailable")
    assert "key" not in answer.json()["detail"]
    assert "refuses the secret key" in caplog.text
    assert "nobody_knows" not in caplog.text
    world.runtime.close()


def test_too_many_requests_are_held_off_for_one_key_alone(world: World) -> None:
    with open_shop(world, rate_per_second=0.1, rate_burst=3) as shop:
        busy, calm = shop.caller(Scope.READ), shop.caller(Scope.READ)

        answers = [busy.get("/v1/plans") for _ in range(4)]

        assert [answer.status_code for answer in answers[:3]] == [200] * 3
        problem(answers[3], 429, "rate_limited")
        assert 5 <= int(answers[3].headers["retry-after"]) <= 10
        assert calm.get("/v1/plans").status_code == 200


def test_every_answer_has_security_headers_and_an_id(caller: Caller) -> None:
    for answer in (caller.get("/v1/plans"), caller.get("/v1/nothing")):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert re.fullmatch(r"[0-9a-f-]{36}", answer.headers["x-request-id"])
        assert "server" not in answer.headers


def test_requests_are_counted_by_route_template(shop: Shop, caller: Caller) -> None:
    caller.get("/v1/customers/nobody")
    caller.get("/v1/nothing/at/all")

    asked = {"method": "GET", "route": "/v1/customers/{customer}"}
    counted = partial(shop.figure, "billing_api_requests_total", status="404", **asked)
    assert until(counted) == 1  # after the answer
    assert until(partial(shop.figure, "billing_api_request_duration_seconds_count", **asked)) == 1
    unknown = {"method": "GET", "route": "none", "status": "404"}
    assert until(partial(shop.figure, "billing_api_requests_total", **unknown)) == 1


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.code)
def test_every_problem_is_in_the_manual(kind: Any) -> None:
    row = rf"\| `{kind.code}` \| {kind.status} \| {kind.grpc.name} \|"

    assert re.search(row, DOCUMENTATION.read_text())


@pytest.mark.parametrize(
    ("path", "body", "where", "words"),
    [
        ("/v1/payments", {"amount": 100, "currency": "usd", "customer": "ada"}, "body.currency",
         "three capital letters of ISO 4217, like USD"),
        ("/v1/customers", {"name": "Ada", "email": "ada"}, "body.email", "e-mail address"),
        ("/v1/customers", {"name": " "}, "body.name", "blank"),
        ("/v1/customers", {"name": "Ada", "payment_method": "pm 1"}, "token", "letters, digits"),
        ("/v1/subscriptions", {"customer": "a", "plan": "p", "currency": "USD", "zone": "1"},
         "body.zone", "Europe/Berlin"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_words_and_without_a_pattern(
    caller: Caller, path: str, body: dict[str, Any], where: str, words: str
) -> None:
    answer = caller.post(path, body)

    told = answer.json()
    assert answer.status_code == 422
    assert words in told["detail"]
    assert "pattern" not in told["detail"]
    assert "^" not in told["detail"]


def test_every_pattern_of_the_interface_has_its_words(caller: Caller) -> None:
    patterns = set(patterns_in(caller.found("/v1/openapi.json")))

    assert len(patterns) >= 5
    assert patterns <= set(wording.PATTERNS)


def patterns_in(described: Any) -> Iterator[str]:
    if isinstance(described, list):
        for each in described:
            yield from patterns_in(each)
    elif isinstance(described, dict):
        for name, value in described.items():
            if name == "pattern" and isinstance(value, str):
                yield value
            else:
                yield from patterns_in(value)


def test_a_plan_that_is_nearly_right_is_suggested(world: World, caller: Caller) -> None:
    answer = caller.post(
        "/v1/subscriptions",
        {"customer": str(world.customer()[0]), "plan": "video-premum", "currency": "USD"},
    )

    assert answer.status_code == 404
    assert "Did you mean 'video-premium'?" in answer.json()["detail"]
