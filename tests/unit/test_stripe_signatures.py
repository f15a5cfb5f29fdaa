"""Which webhook deliveries are believed."""

import hashlib
import hmac
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from billing.errors import BadInput
from billing.gateway import EventKind, ProviderEvent
from billing.gateway.errors import SignatureRefused
from billing.gateway.stripe.signatures import verify

WALL = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOW = int(WALL.timestamp())
TOLERANCE = timedelta(minutes=5)
EVENT = {
    "id": "evt_1",
    "object": "event",
    "type": "charge.refunded",
    "created": NOW - 60,
    "data": {
        "object": {"object": "charge", "id": "ch_1", "payment_method_details": {"last4": "4242"}}
    },
}
PAYLOAD = json.dumps(EVENT).encode()


def signature(secret: str = "whsec_new", at: int = NOW, payload: bytes = PAYLOAD) -> str:
    """Sign as Stripe documents it, independently of its SDK."""
    signed = str(at).encode() + b"." + payload
    return hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


def header(*secrets: str, at: int = NOW, payload: bytes = PAYLOAD) -> str:
    parts = [f"v1={signature(secret, at, payload)}" for secret in secrets or ("whsec_new",)]
    return ",".join([f"t={at}", *parts])


def verified(
    signed: str,
    payload: bytes = PAYLOAD,
    secrets: Sequence[str] = ("whsec_new",),
    tolerance: timedelta = TOLERANCE,
) -> ProviderEvent:
    return verify(payload, signed, secrets, wall=WALL, tolerance=tolerance)


def test_a_signed_delivery_is_an_event_without_its_object() -> None:
    event = verified(header())

    assert event == ProviderEvent(
        id="evt_1",
        type="charge.refunded",
        kind=EventKind.CHARGE_REFUNDED,
        object_type="charge",
        object_id="ch_1",
        created=WALL - timedelta(minutes=1),
        payload={
            "id": "evt_1",
            "type": "charge.refunded",
            "object_type": "charge",
            "object_id": "ch_1",
            "created": NOW - 60,
        },
    )
    assert "4242" not in repr(event)


@pytest.mark.parametrize(
    ("signed", "secrets"),
    [
        (header("whsec_new"), ["whsec_new", "whsec_old"]),
        (header("whsec_old"), ["whsec_new", "whsec_old"]),
        (header("whsec_new", "whsec_old"), ["whsec_old"]),
        (header("whsec_new", "whsec_old"), ["whsec_new"]),
        (f"{header()},v0={'0' * 64},v9=x", ["whsec_new"]),
        (header().replace(",", ", "), ["whsec_new"]),
    ],
)
def test_while_secrets_rotate_any_of_them_will_do(signed: str, secrets: Sequence[str]) -> None:
    assert verified(signed, secrets=secrets).id == "evt_1"


@pytest.mark.parametrize("age", [-60, -59, 0, 299, 300])
def test_a_signature_within_the_tolerance_is_taken(age: int) -> None:
    assert verified(header(at=NOW - age)).id == "evt_1"


GOOD = signature()

REFUSALS = {
    "another secret": (header("whsec_other"), "no_match"),
    "another time": (header().replace(f"t={NOW}", f"t={NOW - 1}"), "no_match"),
    "signature cut short": (header()[:-1], "malformed"),
    "signature in capitals": (f"t={NOW},v1={GOOD.upper()}", "malformed"),
    "signature that isn't ASCII": (f"t={NOW},v1={'é' * 64}", "malformed"),
    "only an old scheme": (header().replace("v1=", "v0="), "malformed"),
    "no time": (f"v1={GOOD}", "malformed"),
    "two times": (f"t={NOW},{header()}", "malformed"),
    "time in words": (f"t=now,v1={GOOD}", "malformed"),
    "time with underscores": (header().replace(f"t={NOW}", f"t={NOW:_}"), "malformed"),
    "time in other digits": (header().replace("t=1", "t=\u0661"), "malformed"),
    "time below zero": (header(at=-NOW), "malformed"),
    "time beyond all calendars": (header(at=999_999_999_999), "malformed"),
    "nothing": ("", "malformed"),
    "noise": (",=,;;t", "malformed"),
    "too old": (header(at=NOW - 301), "too_old"),
    "much too old": (header(at=0), "too_old"),
    "from the future": (header(at=NOW + 61), "from_the_future"),
    "from a far future": (header(at=NOW + 10**9), "from_the_future"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_delivery_is_refused(name: str) -> None:
    signed, reason = REFUSALS[name]

    with pytest.raises(SignatureRefused) as refused:
        verified(signed)

    assert refused.value.reason == reason


def test_a_changed_payload_is_refused() -> None:
    with pytest.raises(SignatureRefused) as refused:
        verified(header(), PAYLOAD.replace(b"ch_1", b"ch_2"))

    assert refused.value.reason == "no_match"


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff\xfe",
        b"not JSON",
        b"[]",
        b"[" * 100_000,
        b'{"object": "event"}',
        json.dumps({**EVENT, "id": 5}).encode(),
        json.dumps({**EVENT, "created": "now"}).encode(),
        json.dumps({**EVENT, "data": None}).encode(),
        json.dumps({**EVENT, "object": "v2.core.event"}).encode(),
    ],
    ids=lambda payload: payload[:24].decode("latin-1"),
)
def test_what_is_signed_but_no_event_is_malformed(payload: bytes) -> None:
    with pytest.raises(SignatureRefused) as refused:
        verified(header(payload=payload), payload)

    assert refused.value.reason == "malformed"


def test_an_event_of_an_object_without_an_id_is_an_event() -> None:
    balance = json.dumps(
        {**EVENT, "type": "balance.available", "data": {"object": {"object": "balance"}}}
    ).encode()

    event = verified(header(payload=balance), balance)

    assert (event.object_type, event.object_id) == ("balance", "")


@pytest.mark.parametrize("secrets", [[], [""], [" \n"], ["whsec_new", ""]])
def test_without_a_secret_nothing_can_be_verified(secrets: Sequence[str]) -> None:
    with pytest.raises(BadInput, match="secret") as raised:
        verified(header(), secrets=secrets)

    assert not isinstance(raised.value, SignatureRefused)


@pytest.mark.parametrize("tolerance", [timedelta(0), timedelta(seconds=-1)])
def test_a_tolerance_of_nothing_is_no_tolerance_for_everything(tolerance: timedelta) -> None:
    with pytest.raises(BadInput, match="tolerance") as raised:
        verified(header(), tolerance=tolerance)

    assert not isinstance(raised.value, SignatureRefused)


def test_a_short_tolerance_bounds_the_future_too() -> None:
    with pytest.raises(SignatureRefused) as refused:
        verified(header(at=NOW + 11), tolerance=timedelta(seconds=10))

    assert refused.value.reason == "from_the_future"


def test_a_refusal_repeats_nothing_of_the_delivery() -> None:
    with pytest.raises(SignatureRefused) as refused:
        verified(header("whsec_other"))

    for text in (str(refused.value), repr(refused.value.__cause__)):
        assert "4242" not in text
        assert "whsec" not in text
