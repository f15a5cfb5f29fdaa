"""Stripe's answers from a list: the real SDK and the real gateway, without a network."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from billing.gateway import Absent, ChargeRequest, Declined, Outcome, RefundOutcome
from billing.gateway.stripe.gateway import StripeGateway
from billing.gateway.transport import Deadline, TransportError
from billing.rules.money import Money

SENT = datetime(2026, 3, 1, 12, tzinfo=UTC)
FIRST = ChargeRequest(
    "live:sub_1:2026-03-01:a1",
    Money(999, "USD"),
    "cus_1",
    "pm_1",
    metadata={"payment": "pay_1", "key": "live:sub_1:2026-03-01:a1"},
)
LATER = replace(
    FIRST, idempotency_key="live:sub_1:2026-03-01:a2", provider_payment_id="pi_1", metadata={}
)
HEADERS = {"request-id": "req_1"}


@dataclass(frozen=True)
class Reply:
    """One canned HTTP answer."""

    status: int
    body: object
    headers: Mapping[str, str] = field(default_factory=lambda: HEADERS)

    def encoded(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


class Script:
    """A transport that answers from a list and remembers what it was asked."""

    def __init__(self, *replies: Reply | TransportError) -> None:
        self.replies = list(replies)
        self.asked: list[tuple[str, str]] = []

    def send(
        self, method: str, url: str, headers: Mapping[str, str], body: str, deadline: Deadline
    ) -> tuple[bytes, int, Mapping[str, str]]:
        self.asked.append((method, url.removeprefix("https://api.stripe.com")))
        reply = self.replies.pop(0)
        if isinstance(reply, TransportError):
            raise reply
        return reply.encoded(), reply.status, reply.headers


def gateway_with(*replies: Reply | TransportError, **options: Any) -> StripeGateway:
    gateway = StripeGateway("sk_test_secret", **options)
    gateway._http._transport = Script(*replies)  # type: ignore[assignment]
    return gateway


def asked(gateway: StripeGateway) -> list[tuple[str, str]]:
    script = gateway._http._transport
    assert isinstance(script, Script)
    assert not script.replies, "not every answer was asked for"
    return script.asked


def intent(status: str = "succeeded", **changes: object) -> dict[str, object]:
    return {
        "id": "pi_1",
        "object": "payment_intent",
        "status": status,
        "amount": 999,
        "amount_received": 999 if status == "succeeded" else 0,
        "currency": "usd",
        "customer": "cus_1",
        "created": int(SENT.timestamp()),
        "latest_charge": "ch_1",
        "last_payment_error": None,
        "metadata": dict(FIRST.metadata),
        **changes,
    }


def error(kind: str, code: str | None = None, **more: object) -> dict[str, object]:
    return {"error": {"type": kind, "code": code, "message": "said Stripe", **more}}


def page(*items: object, has_more: bool = False) -> Reply:
    return Reply(200, {"object": "list", "data": list(items), "has_more": has_more})


def label(outcome: Outcome | RefundOutcome | Absent) -> str:
    if isinstance(outcome, Declined):
        return outcome.decline_code
    return getattr(outcome, "error_class", "")
