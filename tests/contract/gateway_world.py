"""A gateway on a sandbox, and everything it sends held against Stripe's own document."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from billing.gateway import (
    Absent,
    ChargeRequest,
    Declined,
    Outcome,
    PaymentMethodKind,
    Succeeded,
    Unknown,
)
from billing.gateway.stripe.gateway import StripeGateway
from billing.gateway.transport import Deadline, Transport
from billing.rules.money import Money
from tests.contract.conftest import Shop
from tests.contract.stripe_schema import request_problems
from tests.waiting import PATIENCE

SENT = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEY = "test:sub_1:2026-03-01:a1"


class Recorder:
    """A transport that passes everything on and keeps what was sent."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.sent: list[tuple[str, str, list[tuple[str, str]], Mapping[str, str]]] = []

    def send(
        self, method: str, url: str, headers: Mapping[str, str], body: str, deadline: Deadline
    ) -> tuple[bytes, int, Mapping[str, str]]:
        parts = urlsplit(url)
        pairs = parse_qsl(body if method == "post" else parts.query, keep_blank_values=True)
        self.sent.append((method, parts.path, pairs, headers))
        return self._transport.send(method, url, headers, body, deadline)

    def close(self) -> None:
        self._transport.close()


class World:
    """A gateway on a sandbox whose clock stands still, and one customer."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.gateway = StripeGateway("sk_test_contract", api_base=shop.url, deadline=PATIENCE)
        self.recorder = Recorder(self.gateway._http._transport)
        self.gateway._http._transport = self.recorder  # type: ignore[assignment]
        self.at(SENT)
        self.customer = self.gateway.create_customer(
            metadata={}, name="Ada", email="ada@example.com", idempotency_key="c1"
        )

    def at(self, now: datetime) -> None:
        self.shop.control("POST", "clock", now=int(now.timestamp()))

    def request(self, token: str = "pm_card_visa", **changes: Any) -> ChargeRequest:
        card = self.gateway.attach_payment_method(self.customer, token, idempotency_key=token)
        request = ChargeRequest(
            KEY,
            Money(999, "USD"),
            self.customer,
            card.token,
            description="Video basic",
            metadata={"payment": "pay_1", "subscription": "sub_1", "key": KEY},
            method_type=None if card.kind is PaymentMethodKind.CARD else card.brand,
        )
        return replace(request, **changes)

    def captures(self) -> int:
        captures: int = self.shop.stats()["captures"]
        return captures

    def problems(self) -> list[str]:
        return [
            f"{method} {path}: {problem}"
            for method, path, pairs, _ in self.recorder.sent
            for problem in request_problems(method, path, pairs)
        ]


def declined(outcome: Outcome | Absent) -> Declined:
    assert isinstance(outcome, Declined)
    return outcome


def unknown(outcome: Outcome | Absent) -> Unknown:
    assert isinstance(outcome, Unknown)
    return outcome


def paid(outcome: Outcome | Absent) -> Succeeded:
    assert isinstance(outcome, Succeeded)
    return outcome
