"""Webhook signatures: did the provider send these bytes, and recently?

The SDK checks the signature itself. It takes one dated in the future, takes a tolerance of 0
for none at all, reads the system's clock, and is loose about the header; so header and age
are checked here, against `wall`, and the SDK gets a header that can be read in one way only.
"""

import json
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import stripe

from billing.errors import BadInput
from billing.gateway.delivery_age import check_age
from billing.gateway.errors import SignatureRefused
from billing.gateway.objects import ProviderEvent
from billing.gateway.stripe.fields import to_instant
from billing.gateway.stripe.objects import read_event
from billing.gateway.untrusted import Malformed, mapping


def verify(
    payload: bytes,
    header: str,
    secrets: Sequence[str],
    *,
    wall: datetime,
    tolerance: timedelta,
) -> ProviderEvent:
    """Return the event of a delivery that one of the secrets signed within the tolerance.

    Several secrets make a rotation: any of them will do. Raises: SignatureRefused with its
    `reason`, and BadInput when secrets or tolerance could refuse nobody.
    """
    if not secrets or not all(secret.strip() for secret in secrets):
        raise BadInput(
            "there is no webhook secret, or an empty one",
            remedy="set the signing secret of the webhook endpoint (whsec_...)",
        )
    if tolerance <= timedelta(0):
        raise BadInput("the tolerance for a signature's age has to be above 0")
    signed_at, signatures = _parts(header)
    _check_signature(payload, signed_at, signatures, secrets)
    check_age("signature", wall - to_instant(signed_at), tolerance)
    return _event(payload)


def check_header(header: str, *, wall: datetime, tolerance: timedelta) -> None:
    """Check form and time of a signature before the payload is there. Raises: SignatureRefused."""
    signed_at, _ = _parts(header)
    check_age("signature", wall - to_instant(signed_at), tolerance)


def _parts(header: str) -> tuple[int, list[str]]:
    """Return the time and the v1 signatures; other schemes are left out."""
    pairs = [item.strip().partition("=") for item in header.split(",")]
    times = [value for name, _, value in pairs if name == "t"]
    signatures = [value for name, _, value in pairs if name == "v1"]
    if len(times) != 1 or not _SECONDS.fullmatch(times[0]):
        raise SignatureRefused("malformed", "the signature has no time, or more than one")
    if not signatures or not all(_HEX.fullmatch(value) for value in signatures):
        raise SignatureRefused("malformed", "the signature is missing or no signature")
    return int(times[0]), signatures


def _check_signature(
    payload: bytes, signed_at: int, signatures: Sequence[str], secrets: Sequence[str]
) -> None:
    plain = ",".join([f"t={signed_at}", *(f"v1={signature}" for signature in signatures)])
    for secret in secrets:
        try:
            stripe.WebhookSignature.verify_header(payload, plain, secret)
        except UnicodeDecodeError:
            raise SignatureRefused("malformed", "the delivery is no text") from None
        except stripe.SignatureVerificationError:  # it carries the payload
            continue
        return
    raise SignatureRefused("no_match", "no secret of ours made this signature")


def _event(payload: bytes) -> ProviderEvent:
    try:
        return read_event(mapping(json.loads(payload)))
    except Malformed as error:
        raise SignatureRefused("malformed", f"signed, but no event: {error}") from None
    except (ValueError, RecursionError):  # its message would quote the payload
        raise SignatureRefused("malformed", "signed, but no JSON") from None


_SECONDS: Final = re.compile(r"[0-9]{1,11}")  # the last of these is in the year 5138
_HEX: Final = re.compile(r"[0-9a-f]{64}")
