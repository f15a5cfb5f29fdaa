"""What is posted for an event: its content and its signature, as each provider has them."""

import json
from collections.abc import Callable
from dataclasses import dataclass

from billing.sandbox.braintree import posting
from billing.sandbox.call import Call
from billing.sandbox.resources import events
from billing.sandbox.store import Record
from billing.sandbox.webhooks.signing import headers_for

_AGENT = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "Stripe/1.0 (sandbox)"}


@dataclass(frozen=True, slots=True)
class Family:
    """The kinds of endpoint and event that belong together, and how an event becomes a post.

    `sign` takes the endpoint, the content, a timestamp and how right the signature is to be; it
    returns body and headers.
    """

    endpoint: str
    event: str
    render: Callable[[Call, Record], bytes]
    sign: Callable[[Record, bytes, int, str], tuple[bytes, dict[str, str]]]


def _render(call: Call, event: Record) -> bytes:
    return json.dumps(events.render(call, event), separators=(",", ":")).encode()


def _sign(
    endpoint: Record, content: bytes, timestamp: int, kind: str
) -> tuple[bytes, dict[str, str]]:
    return content, {**_AGENT, **headers_for(content, endpoint["secrets"], timestamp, kind)}


FAMILIES = (
    Family("webhook_endpoint", "event", _render, _sign),
    Family("bt_webhook", "bt_notification", posting.render, posting.sign),
)
