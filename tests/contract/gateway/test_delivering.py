"""Webhook deliveries: only what is signed with our keys, and recently, is an event."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from billing.gateway import EventKind, ProviderEvent
from billing.gateway.errors import SignatureRefused
from tests.contract.gateway.worlds import BEGIN, Delivery, ProviderWorld

TOLERANCE = timedelta(minutes=5)


def read(
    world: ProviderWorld, sent: Delivery, wall: datetime = BEGIN, secrets: tuple[str, ...] = ()
) -> ProviderEvent:
    world.kind.check_headers(sent.headers, wall=wall, tolerance=TOLERANCE)
    return world.kind.read_delivery(
        sent.body,
        sent.headers,
        secrets or sent.secrets,
        wall=wall,
        tolerance=TOLERANCE,
        live=False,
    )


def test_a_signed_delivery_names_its_object(world: ProviderWorld) -> None:
    event = read(world, world.delivery("payment_1", BEGIN))

    assert (event.kind, event.object_id) == (EventKind.PAYMENT_SUCCEEDED, "payment_1")
    assert event.type in world.kind.event_types
    assert event.created.astimezone(UTC) == BEGIN


def test_a_delivery_that_comes_again_is_the_same_event(world: ProviderWorld) -> None:
    sent = world.delivery("payment_1", BEGIN)

    assert read(world, sent) == read(world, sent, BEGIN + TOLERANCE / 2)
    assert read(world, world.delivery("payment_2", BEGIN)).object_id == "payment_2"


def test_while_keys_are_exchanged_any_of_them_will_do(world: ProviderWorld) -> None:
    sent = world.delivery("payment_1", BEGIN)

    assert read(world, sent, secrets=(*sent.wrong_secrets, *sent.secrets)).object_id == "payment_1"


def test_a_delivery_that_others_signed_is_refused(world: ProviderWorld) -> None:
    sent = world.delivery("payment_1", BEGIN)

    with pytest.raises(SignatureRefused) as refused:
        read(world, sent, secrets=sent.wrong_secrets)

    assert refused.value.reason == "no_match"


def test_a_delivery_that_was_changed_is_refused(world: ProviderWorld) -> None:
    sent = world.delivery("payment_1", BEGIN)
    other = world.delivery("payment_2", BEGIN)
    if sent.headers:
        forged = replace(sent, body=other.body)
    else:
        forged = replace(sent, body=_with_payload_of(sent.body, other.body))

    with pytest.raises(SignatureRefused) as refused:
        read(world, forged)

    assert refused.value.reason == "no_match"


def _with_payload_of(body: bytes, other: bytes) -> bytes:
    """Return a form with the signature of one delivery and the payload of another."""
    signature, payload = body.split(b"&bt_payload=")[0], other.split(b"&bt_payload=")[1]
    return signature + b"&bt_payload=" + payload


def test_an_old_delivery_is_refused(world: ProviderWorld) -> None:
    sent = world.delivery("payment_1", BEGIN)

    with pytest.raises(SignatureRefused) as refused:
        read(world, sent, BEGIN + world.kind.repeats_for + TOLERANCE + timedelta(seconds=1))

    assert refused.value.reason == "too_old"


def test_a_delivery_is_taken_for_as_long_as_its_kind_repeats_it(world: ProviderWorld) -> None:
    sent = world.delivery("payment_1", BEGIN)

    assert read(world, sent, BEGIN + world.kind.repeats_for + TOLERANCE).object_id == "payment_1"
