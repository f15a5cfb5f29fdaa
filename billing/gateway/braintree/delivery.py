"""Webhook deliveries: did Braintree send this form, and recently?

The SDK checks the signature, of one pair of keys, and reads the payload. The form and the age of
the notification are checked here, the age by its own time: the signature has none.
"""

import hashlib
import re
from base64 import b64decode
from collections.abc import Sequence
from datetime import datetime, timedelta
from hmac import compare_digest
from typing import Final
from urllib.parse import parse_qs
from xml.parsers.expat import ExpatError

from braintree.util.crypto import Crypto
from braintree.util.xml_util import XmlUtil

from billing.errors import BadInput
from billing.gateway.braintree.disputes import payout_id
from billing.gateway.braintree.events import kind_of
from billing.gateway.braintree.fields import Node, day, instant, money, reference
from billing.gateway.delivery_age import check_age
from billing.gateway.errors import SignatureRefused
from billing.gateway.objects import ProviderEvent
from billing.gateway.untrusted import Malformed, mapping, required, text

_FIELDS: Final = {"bt_signature", "bt_payload"}
_DIGEST: Final = re.compile(r"[0-9a-f]{40}")
_CHALLENGE: Final = re.compile(r"[0-9a-f]{20,32}")
_NO_XML: Final = (ValueError, TypeError, AttributeError, RecursionError, ExpatError)
_NAME: Final = re.compile(r"[!-~]{1,255}")


def verify(
    body: bytes, secrets: Sequence[str], *, wall: datetime, tolerance: timedelta
) -> ProviderEvent:
    """Return the event of a delivery that one of the pairs of keys signed within the tolerance.

    Raises: SignatureRefused with its `reason`, and BadInput when secrets or tolerance could refuse
    nobody.
    """
    pairs = [_pair(secret) for secret in secrets]
    if not pairs:
        raise BadInput("there are no keys", remedy="set webhook_secrets to PUBLIC_KEY:PRIVATE_KEY")
    if tolerance <= timedelta(0):
        raise BadInput("the tolerance for a notification's age has to be above 0")
    signature, payload = _form(body)
    _check_signature(signature, payload, pairs)
    event = _event(payload)
    check_age("notification", wall - event.created, tolerance)
    return event


def answer_to(challenge: str, secrets: Sequence[str]) -> str | None:
    """Return the public key and the digest of a challenge; None for what is no challenge.

    A challenge is too short, and of too few characters, to be the payload of a delivery.
    """
    if not _CHALLENGE.fullmatch(challenge):
        return None
    public, private = _pair(secrets[0])
    return f"{public}|{Crypto.sha1_hmac_hash(private, challenge)}"


def _pair(secret: str) -> tuple[str, str]:
    public, _, private = secret.strip().partition(":")
    if not (public and private and secret.isascii()):
        raise BadInput(
            "a webhook secret of Braintree is a pair of keys",
            remedy="set webhook_secrets to PUBLIC_KEY:PRIVATE_KEY of the account",
        )
    return public, private


def _form(body: bytes) -> tuple[str, str]:
    """Return signature and payload of a form."""
    try:
        form = parse_qs(body.decode("ascii"), strict_parsing=True, max_num_fields=len(_FIELDS))
    except ValueError:
        raise SignatureRefused("malformed", "the delivery is no form of ours") from None
    if "bt_signature" not in form:
        raise SignatureRefused("missing", "it is not signed")
    if set(form) != _FIELDS or any(len(values) != 1 for values in form.values()):
        raise SignatureRefused("malformed", "the form has other fields than it should")
    signature, payload = form["bt_signature"][0], form["bt_payload"][0]
    if not signature.isascii() or not payload.isascii():
        raise SignatureRefused("malformed", "the delivery is no ASCII")
    return signature, payload


def _check_signature(signature: str, payload: str, pairs: Sequence[tuple[str, str]]) -> None:
    """Check that one of the pairs of keys signed a payload; the SDK makes the digest."""
    parts = [part.partition("|") for part in signature.split("&")]
    if not all(public and _DIGEST.fullmatch(digest) for public, _, digest in parts):
        raise SignatureRefused("malformed", "the signature has another form")
    for public, private in pairs:
        wanted = [Crypto.sha1_hmac_hash(private, signed) for signed in (payload, f"{payload}\n")]
        for signer, _, digest in parts:
            if signer == public and any(compare_digest(digest, each) for each in wanted):
                return
    raise SignatureRefused("no_match", "no keys of ours made this signature")


def _event(payload: str) -> ProviderEvent:
    try:
        xml = b64decode("".join(payload.split()), validate=True)
        notification = mapping(XmlUtil.dict_from_xml(xml).get("notification"))
        return read_event(payload, notification)
    except Malformed as error:
        raise SignatureRefused("malformed", f"signed, but no event: {error}") from None
    except _NO_XML:  # its message would quote the payload
        raise SignatureRefused("malformed", "signed, but no notification") from None


def read_event(payload: str, notification: Node) -> ProviderEvent:
    """Read a notification: of its subject no more than its kind and id. Raises: Malformed.

    It has no id of its own: a digest of the payload is the same for a repeated delivery.
    """
    written, created = required(notification, "kind"), instant(notification, "timestamp")
    if not _NAME.fullmatch(written):
        raise Malformed("kind is no name")
    event_id = f"bt_{hashlib.sha256(''.join(payload.split()).encode()).hexdigest()[:40]}"
    object_type, about = next(iter(mapping(notification.get("subject")).items()), ("", {}))
    subject = mapping(about)
    object_id = _object_id(object_type, subject)
    is_refund = object_type == "transaction" and subject.get("type") == "credit"
    paid = _paid(object_type, subject)
    return ProviderEvent(
        id=event_id,
        type=written,
        kind=kind_of(written, about_refund=is_refund),
        object_type=object_type[:255],
        object_id=object_id,
        created=created,
        payload={
            "id": event_id,
            "type": written,
            "object_type": object_type[:255],
            "object_id": object_id,
            "created": int(created.timestamp()),
            **({} if paid is None else {"paid": paid}),
        },
    )


def _paid(object_type: str, subject: Node) -> dict[str, int | str] | None:
    """Return the amount of a disbursement, which nothing but its notification tells."""
    currency = text(mapping(subject.get("merchant_account")), "currency_iso_code")
    if object_type != "disbursement" or currency is None:
        return None
    try:
        told = money(subject, "amount", currency)
    except Malformed:
        return None
    taken = text(subject, "disbursement_type") == "debit"  # by more refunds than sales
    return {"amount": -abs(told.amount) if taken else told.amount, "currency": told.currency}


def _object_id(object_type: str, subject: Node) -> str:
    if object_type == "disbursement":
        on = day(subject, "disbursement_date")
        account = reference(mapping(subject.get("merchant_account")), "id")
        found = None if on is None or account is None else payout_id(on, account)
    else:
        found = reference(subject, "id") or reference(subject, "token")
    return found if found is not None and _NAME.fullmatch(found) else ""
