"""Webhooks: signed as the SDK checks it, tried again, lost and repeated on purpose."""

import json
import socket
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import stripe

from billing.sandbox import SandboxServer
from tests.contract.cards import charge, customer_with
from tests.contract.conftest import Shop
from tests.contract.receiver import Receiver, receiving
from tests.waiting import PATIENCE, until

NOON = 1_800_000_000
PAID = ["payment_intent.created", "charge.succeeded", "payment_intent.succeeded"]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


@pytest.fixture
def secret(shop: Shop, receiver: Receiver) -> str:
    """The secret of an endpoint that gets everything."""
    made = shop.control("POST", "webhooks", url=receiver.url)
    return str(made["secrets"][0])


def _settled(shop: Shop, timeout_ms: int = int(PATIENCE * 1000)) -> dict[str, int]:
    found: dict[str, int] = shop.control("POST", "webhooks/settle", timeout_ms=timeout_ms)[
        "deliveries"
    ]
    return found


def _undelivered(client: stripe.StripeClient) -> list[str]:
    page = client.v1.events.list({"delivery_success": False, "limit": 100})
    return [event.type for event in page.data]


def _customers(client: stripe.StripeClient, count: int) -> None:
    for _ in range(count):
        client.v1.customers.create({})


def test_events_arrive_in_order_and_the_sdk_verifies_them(
    client: stripe.StripeClient, shop: Shop, receiver: Receiver, secret: str
) -> None:
    shop.control("POST", "clock", now=NOON)
    paid = charge(client, *customer_with(client))

    counts = _settled(shop)

    assert receiver.types(secret) == ["customer.created", "payment_method.attached", *PAID]
    assert counts == {"delivered": 5}
    event = receiver.events(secret)[-1]
    assert (event.created, event.data.object["id"]) == (NOON, paid.id)
    stored = client.v1.events.retrieve(event.id)
    assert (stored.pending_webhooks, event.pending_webhooks) == (0, 1)
    body, signature = receiver.posts[0]
    assert stripe.WebhookSignature.verify_header(body, signature, secret, 300)
    signed_at = int(signature.split(",")[0].removeprefix("t="))
    assert abs(signed_at - time.time()) < 60  # noqa: TID251  the receiver's tolerance is real time


def test_endpoints_are_managed_through_the_api(
    client: stripe.StripeClient, shop: Shop, receiver: Receiver
) -> None:
    endpoints = client.v1.webhook_endpoints
    made = endpoints.create(
        {"url": receiver.url, "enabled_events": ["charge.succeeded"], "description": "ours"}
    )
    secret = str(made.secret)
    charge(client, *customer_with(client))
    _settled(shop)
    first = receiver.types(secret)

    endpoints.update(made.id, {"enabled_events": ["customer.created"], "metadata": {"a": "b"}})
    client.v1.customers.create({})
    _settled(shop)
    endpoints.update(made.id, {"disabled": True})
    client.v1.customers.create({})

    shown = endpoints.retrieve(made.id)
    assert (first, receiver.types(secret)) == (
        ["charge.succeeded"],
        ["charge.succeeded", "customer.created"],
    )
    assert (secret[:6], hasattr(shown, "secret"), shown.status) == ("whsec_", False, "disabled")
    assert [each.id for each in endpoints.list().data] == [made.id]
    assert endpoints.delete(made.id).deleted
    assert endpoints.list().data == []


@pytest.mark.parametrize("url", ["https://127.0.0.1:1/x", "http://example.com/", "http://10.0.0.1"])
def test_nothing_is_posted_beyond_this_machine(client: stripe.StripeClient, url: str) -> None:
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.webhook_endpoints.create({"url": url, "enabled_events": ["*"]})


def test_a_refused_delivery_is_tried_again(
    client: stripe.StripeClient, shop: Shop, receiver: Receiver, secret: str
) -> None:
    shop.control("POST", "webhooks/conditions", retry_ms=[10, 10])
    receiver.answers = [500, 302]
    receiver.wait_with_answer = 2
    client.v1.customers.create({})
    until(lambda: len(receiver.posts) == 2)
    meanwhile = _undelivered(client)
    receiver.go_on.set()

    counts = _settled(shop)

    assert (meanwhile, _undelivered(client)) == (["customer.created"], [])
    assert counts == {"delivered": 1}
    assert len({event.id for event in receiver.events(secret)}) == 1
    assert len(receiver.posts) == 3


def test_a_delivery_given_up_stays_among_the_undelivered(
    client: stripe.StripeClient, shop: Shop, receiver: Receiver, secret: str
) -> None:
    shop.control("POST", "webhooks/conditions", retry_ms=[1])
    receiver.answers = [500, 500]
    client.v1.customers.create({})

    counts = _settled(shop)

    assert counts == {"failed": 1}
    event = client.v1.events.list({"delivery_success": False}).data[0]
    assert event.pending_webhooks == 1
    answers = shop.control("POST", f"events/{event.id}/deliver")["answers"]
    assert [each["answer"] for each in answers] == ["200"]
    assert _undelivered(client) == []
    assert receiver.types(secret) == ["customer.created"] * 3


def test_nobody_listening_holds_no_request_up(client: stripe.StripeClient, shop: Shop) -> None:
    shop.control("POST", "webhooks", url="http://127.0.0.1:9/closed")
    shop.control("POST", "webhooks/conditions", retry_ms=[1])

    charge(client, *customer_with(client))

    assert _settled(shop) == {"failed": 5}


def test_lost_events_can_only_be_found_by_asking(
    client: stripe.StripeClient, shop: Shop, receiver: Receiver, secret: str
) -> None:
    shop.control("POST", "webhooks/conditions", loss=0.4, seed=3)
    _customers(client, 25)

    counts = _settled(shop)

    assert 0 < counts["lost"] < 25
    assert counts["lost"] + counts["delivered"] == 25
    missing = client.v1.events.list({"delivery_success": False, "limit": 100}).data
    got = {event.id for event in receiver.events(secret)}
    assert len(missing) == counts["lost"]
    assert got.isdisjoint(event.id for event in missing)


def test_some_events_come_twice(
    client: stripe.StripeClient, shop: Shop, receiver: Receiver, secret: str
) -> None:
    shop.control("POST", "webhooks/conditions", duplication=1)
    _customers(client, 3)
    _settled(shop)
    until(lambda: shop.control("GET", "webhooks")["repeated"] >= 3)

    times = Counter(event.id for event in receiver.events(secret))

    assert sorted(times.values()) == [2, 2, 2]
    assert shop.control("GET", "webhooks")["repeated"] == 3


def test_some_events_overtake_others(
    client: stripe.StripeClient, shop: Shop, receiver: Receiver, secret: str
) -> None:
    shop.control("POST", "webhooks/conditions", reordering=0.3, reordering_ms=400, seed=1)
    _customers(client, 12)
    _settled(shop)

    got = [event.id for event in receiver.events(secret)]

    made = [event.id for event in reversed(client.v1.events.list({"limit": 100}).data)]
    assert sorted(got) == sorted(made)
    assert got != made
    assert 0 < shop.control("GET", "webhooks")["held_back"] < 12


def test_delivery_waits_while_it_is_paused(
    client: stripe.StripeClient, shop: Shop, receiver: Receiver, secret: str
) -> None:
    shop.control("POST", "webhooks/conditions", paused=True)
    _customers(client, 2)
    paused = _settled(shop, timeout_ms=150)
    before = len(receiver.posts)

    shop.control("POST", "webhooks/conditions", paused=False)

    assert (paused, before, _settled(shop)) == ({"pending": 2}, 0, {"delivered": 2})


def test_a_secret_is_rolled_with_two_signatures(
    client: stripe.StripeClient, shop: Shop, receiver: Receiver, secret: str
) -> None:
    endpoint = shop.control("GET", "webhooks")["endpoints"][0]["id"]
    rolled = shop.control("POST", f"webhooks/{endpoint}", rotate=True)["secrets"]
    client.v1.customers.create({})
    _settled(shop)

    assert receiver.posts[0][1].count("v1=") == 2
    assert rolled[1] == secret
    for each in rolled:
        assert receiver.types(each) == ["customer.created"]
    shop.control("POST", f"webhooks/{endpoint}", secrets=rolled[:1])
    client.v1.customers.create({})
    _settled(shop)
    with pytest.raises(stripe.SignatureVerificationError):
        receiver.events(secret)


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        ({}, True),
        ({"signature": "wrong_secret"}, False),
        ({"signature": "garbled"}, False),
        ({"signature": "none"}, False),
        ({"timestamp_offset": -301}, False),
        ({"timestamp_offset": 3600}, True),  # the SDK doesn't look at the future
    ],
)
def test_an_event_is_delivered_once_more_truly_or_falsely(
    client: stripe.StripeClient,
    shop: Shop,
    receiver: Receiver,
    secret: str,
    wanted: dict[str, Any],
    fits: bool,
) -> None:
    client.v1.customers.create({})
    _settled(shop)
    event = receiver.events(secret)[0]
    receiver.posts.clear()

    answers = shop.control("POST", f"events/{event.id}/deliver", times=2, **wanted)["answers"]

    assert [each["answer"] for each in answers] == ["200", "200"]
    for body, signature in receiver.posts:
        assert json.loads(body)["id"] == event.id
        assert _verified(body, signature, secret) == fits


def _verified(body: bytes, signature: str, secret: str) -> bool:
    try:
        stripe.Webhook.construct_event(body, signature, secret)
    except stripe.SignatureVerificationError:
        return False
    return True


def test_what_is_owed_survives_a_restart(tmp_path: Any, receiver: Receiver) -> None:
    with SandboxServer(tmp_path) as server:
        shop = Shop(server.url)
        secret = shop.control("POST", "webhooks", url=receiver.url)["secrets"][0]
        shop.control("POST", "webhooks/conditions", paused=True)
        _customers(shop.client(), 3)
        shop.close()
    with SandboxServer(tmp_path) as server:
        shop = Shop(server.url)
        shop.control("POST", "webhooks/conditions", paused=False)
        assert _settled(shop) == {"delivered": 3}
    assert receiver.types(secret) == ["customer.created"] * 3


def test_a_slow_endpoint_does_not_slow_the_api(client: stripe.StripeClient, shop: Shop) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:  # takes connections, never answers
        shop.control("POST", "webhooks", url=f"http://127.0.0.1:{deaf.getsockname()[1]}/")
        shop.control("POST", "webhooks/conditions", timeout_ms=int(2 * PATIENCE * 1000))
        started = time.monotonic()
        _customers(client, 20)
        assert time.monotonic() - started < PATIENCE, "one answer alone takes twice that"


@pytest.mark.parametrize(
    "conditions",
    [{"loss": 2}, {"retry_ms": 5}, {"signature": "odd"}, {"unknown": 1}, {"paused": 1}],
)
def test_conditions_that_make_no_sense_are_refused(shop: Shop, conditions: dict[str, Any]) -> None:
    url = f"{shop.url}/_sandbox/webhooks/conditions"

    assert requests.post(url, json=conditions, timeout=PATIENCE).status_code == 400
