"""Webhooks: what Braintree tells, signed so that its SDK takes it.

A notification keeps its subject as it was at the time. It may be told later than it happens:
`notification_delay_seconds` of the sandbox's clock.
"""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from urllib.parse import urlencode

from billing.sandbox.braintree.call import MerchantCall, new_ref
from billing.sandbox.braintree.xml import When, write_xml
from billing.sandbox.clock import real_now
from billing.sandbox.store import Record
from billing.sandbox.webhooks.outbox import family_of

KIND = "notification"
ENDPOINT = "webhook"
KINDS = (
    "check",
    "disbursement",
    "dispute_accepted",
    "dispute_auto_accepted",
    "dispute_disputed",
    "dispute_expired",
    "dispute_lost",
    "dispute_opened",
    "dispute_under_review",
    "dispute_won",
    "payment_method_revoked_by_customer",
    "transaction_disbursed",
    "transaction_settled",
    "transaction_settlement_declined",
)


def notify(call: MerchantCall, kind: str, subject: Record) -> None:
    """Tell of what happened to a subject, with a snapshot of it."""
    record: Record = {"kind": kind, "object": subject}
    if call.settings.real_timestamps:
        record["timestamp"] = real_now()
    call.insert(KIND, record, ref=new_ref(16), parent=subject.get("id"))
    delay = call.settings.notification_delay_seconds
    if delay:
        call.store.remind(call.now + delay, "bt.notify", record["id"])
    else:
        send(call, record["id"])


def send(call: MerchantCall, key: str) -> None:
    """Owe a notification to the merchant's endpoints."""
    record = call.stored(KIND, key)
    call.outbox.add(key, record["kind"], family_of(call.merchant))


def sign(payload: bytes, keys: Sequence[tuple[str, str]]) -> str:
    """Return the signature of a payload: public key and digest, for each pair of keys."""
    return "&".join(f"{public}|{digest(private, payload)}" for public, private in keys)


def digest(private: str, payload: bytes) -> str:
    """Return the digest that the SDK compares."""
    secret = hashlib.sha1(private.encode()).digest()  # noqa: S324  as Braintree has it
    return hmac.new(secret, payload, hashlib.sha1).hexdigest()


def payload_of(kind: str, created: int, subject: str, inside: object) -> bytes:
    """Return a notification as it is posted, before it is signed."""
    xml = write_xml(
        "notification",
        {"timestamp": When(created), "kind": kind, "subject": {subject: inside}},
    )
    return base64.encodebytes(xml)


def form_of(payload: bytes, keys: Sequence[tuple[str, str]], signature: str) -> bytes:
    """Return the body of a post; `signature` says how right it is."""
    signed = sign(payload, keys)
    if signature == "wrong_secret":
        signed = sign(payload, [(public, "of somebody else") for public, _ in keys])
    elif signature == "garbled":
        signed = "garbled"
    form = {"bt_signature": signed, "bt_payload": payload.decode()}
    if signature == "none":
        del form["bt_signature"]
    return urlencode(form).encode()


def pairs(endpoint: Record) -> list[tuple[str, str]]:
    """Return the keys that an endpoint's posts are signed with."""
    return [(public, private) for public, private in endpoint["keys"]]


def answer_to(challenge: str, endpoint: Record) -> list[str]:
    """Return what the SDK's `verify` may answer to a challenge."""
    return [
        f"{public}|{digest(private, challenge.encode())}" for public, private in pairs(endpoint)
    ]
