"""The kind of the trivial provider, with its webhook deliveries."""

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from billing.gateway import EventKind, ProviderEvent
from billing.gateway.errors import SignatureRefused
from billing.gateway.provider_kind import ProviderKind
from tests.contract.gateway.trivial import CAPABILITIES, DECLINES, Trivial


def read_delivery(
    body: bytes,
    headers: Mapping[str, str],
    secrets: Sequence[str],
    *,
    wall: datetime,
    tolerance: timedelta,
    live: bool,
) -> ProviderEvent:
    signed = [hmac.new(secret.encode(), body, hashlib.sha256).hexdigest() for secret in secrets]
    if "x-signature" not in headers:
        raise SignatureRefused("missing", "it is not signed")
    if headers["x-signature"] not in signed:
        raise SignatureRefused("no_match", "nobody we know signed it")
    event = json.loads(body)
    at = datetime.fromisoformat(event["at"])
    if wall - at > tolerance:
        raise SignatureRefused("too_old", "it is old")
    kind = EventKind.PAYMENT_SUCCEEDED
    return ProviderEvent(event["id"], "paid", kind, "payment", event["payment"], at, event)


SINCE_EVER = datetime(1970, 1, 1, tzinfo=UTC)
TRIVIAL = ProviderKind(
    capabilities=CAPABILITIES,
    decline_codes=DECLINES,
    operations=frozenset(),
    event_types=frozenset({"paid"}),
    connect=lambda access: Trivial(Path(access.credentials["file"]), lambda: SINCE_EVER),
    check_headers=lambda headers, *, wall, tolerance: None,
    read_delivery=read_delivery,
)
