"""A provider with a customer, as the contract tests use it. Another kind adds a class here."""

import hashlib
import hmac
import json
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
import requests

from billing.gateway import (
    ChargeRequest,
    DisputeStage,
    Gateway,
    PaymentMethodDetails,
    ProviderDispute,
)
from billing.gateway.provider_kind import Access, ProviderKind
from billing.gateway.registry import KINDS
from billing.rules.money import Money
from billing.sandbox import SandboxServer
from billing.sandbox.braintree.notifications import form_of, payload_of
from billing.sandbox.webhooks.signing import signature_header
from tests.contract.gateway.trivial import TRIVIAL, Trivial
from tests.waiting import PATIENCE

BEGIN = datetime(2026, 3, 2, 12, tzinfo=UTC)  # a Monday
DAY = timedelta(days=1)
Behaviour = Literal["good", "soft", "hard", "soft_then_good"]
Change = Literal["charge", "capture", "cancel", "refund", "customer", "method"]
When = Literal["before", "after"]


@dataclass(frozen=True)
class Delivery:
    """A webhook delivery as it arrives."""

    body: bytes
    headers: Mapping[str, str]
    secrets: tuple[str, ...]
    wrong_secrets: tuple[str, ...]


class ProviderWorld(ABC):
    """A provider whose clock stands still until it is moved, and one customer."""

    kind: ProviderKind
    tokens: ClassVar[Mapping[Behaviour, str]]
    refused_token: str
    gateway: Gateway
    now = BEGIN

    def begin(self) -> None:
        """Make the customer."""
        self.at(BEGIN)
        self.customer = self.gateway.create_customer(
            name="Ada", email="ada@example.com", metadata={}, idempotency_key="test:c1"
        )

    @abstractmethod
    def at(self, now: datetime) -> None:
        """Move the provider's clock."""

    @abstractmethod
    def lose(self, when: When, change: Change) -> None:
        """Have the answer to the next change get lost, before or after it is made."""

    @abstractmethod
    def dispute(self, payment: str) -> str:
        """Have a settled payment disputed; return the dispute's id."""

    @abstractmethod
    def decide(self, dispute: str, outcome: Literal["won", "lost"]) -> None:
        """Have a dispute decided."""

    @abstractmethod
    def small_pages(self, patch: pytest.MonkeyPatch) -> None:
        """Have lists come three at a time."""

    @abstractmethod
    def delivery(self, payment: str, at: datetime) -> Delivery:
        """Return the delivery of an event of that time: a payment succeeded."""

    def later(self, by: timedelta) -> None:
        self.now += by
        self.at(self.now)

    def method(self, behaviour: Behaviour = "good", n: int = 1) -> PaymentMethodDetails:
        key = f"test:{behaviour}:{n}"
        token = self.tokens[behaviour]
        return self.gateway.attach_payment_method(self.customer, token, idempotency_key=key)

    def request(self, behaviour: Behaviour = "good", n: int = 1, **changes: Any) -> ChargeRequest:
        """Return the n-th attempt to charge."""
        key = f"test:sub_1:20260302:a{n}"
        request = ChargeRequest(
            key,
            Money(999, "USD"),
            self.customer,
            self.method(behaviour).token,
            metadata={"payment": "pay_1", "attempt": str(n), "key": key, "subscription": "sub_1"},
        )
        return replace(request, **changes)

    def captured(self) -> int:
        """Return how many charges the provider has captured."""
        pages = self.gateway.list_charges(since=BEGIN - DAY)
        return sum(charge.captured for page in pages for charge in page)


class SandboxWorld(ProviderWorld):
    """A provider whose interface the sandbox speaks."""

    name: str
    credentials: ClassVar[Mapping[str, str]]

    def __init__(self, server: SandboxServer) -> None:
        self.kind = KINDS[self.name]
        self.url = server.url
        self.gateway = self.kind.connect(
            Access(
                self.credentials,
                self.url,
                connect_timeout=timedelta(seconds=PATIENCE),
                read_timeout=timedelta(seconds=PATIENCE),
                deadline=timedelta(seconds=PATIENCE),
            )
        )

    def control(self, path: str, **body: Any) -> Any:
        answer = requests.post(f"{self.url}/_sandbox/{path}", json=body, timeout=PATIENCE)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def at(self, now: datetime) -> None:
        self.now = now
        self.control("clock", now=int(now.timestamp()))

    def close(self) -> None:
        self.gateway.close()  # type: ignore[attr-defined]

    def _lose(self, when: When, method: str, path: str) -> None:
        kind = "reset_before" if when == "before" else "reset_after_commit"
        self.control("faults", kind=kind, match={"method": method, "path": path})


class StripeWorld(SandboxWorld):
    """Stripe."""

    name = "stripe"
    credentials: ClassVar[Mapping[str, str]] = {"api_key": "sk_test_contract"}
    tokens: ClassVar[Mapping[Behaviour, str]] = {
        "good": "pm_card_visa",
        "soft": "pm_sbx_insufficient",
        "hard": "pm_sbx_stolen_card",
        "soft_then_good": "pm_sbx_insufficient_1_then_ok",
    }
    refused_token = "pm_of_nobody"

    def lose(self, when: When, change: Change) -> None:
        self._lose(when, "POST", "/v1")

    def dispute(self, payment: str) -> str:
        return str(self.control("disputes", payment_intent=payment)["id"])

    def decide(self, dispute: str, outcome: Literal["won", "lost"]) -> None:
        self.control(f"disputes/{dispute}", outcome=outcome)

    def small_pages(self, patch: pytest.MonkeyPatch) -> None:
        patch.setattr("billing.gateway.stripe.client.PAGE", 3)

    def delivery(self, payment: str, at: datetime) -> Delivery:
        event = {
            "id": "evt_1",
            "object": "event",
            "type": "payment_intent.succeeded",
            "created": int(at.timestamp()),
            "livemode": False,
            "data": {"object": {"object": "payment_intent", "id": payment}},
        }
        body = json.dumps(event).encode()
        header = signature_header(body, ["whsec_ours"], int(at.timestamp()))
        return Delivery(body, {"stripe-signature": header}, ("whsec_ours",), ("whsec_theirs",))


class BraintreeWorld(SandboxWorld):
    """Braintree."""

    name = "braintree"
    credentials: ClassVar[Mapping[str, str]] = {
        "merchant_id": "merchant",
        "public_key": "public",
        "private_key": "private",
    }
    tokens: ClassVar[Mapping[Behaviour, str]] = {
        "good": "fake-valid-visa-nonce",
        "soft": "sbx_card_insufficient",
        "hard": "sbx_card_stolen_card",
        "soft_then_good": "sbx_card_insufficient_1_then_ok",
    }
    refused_token = "nonce-of-nobody"

    def lose(self, when: When, change: Change) -> None:
        method = "PUT" if change in ("capture", "cancel") else "POST"
        self._lose(when, method, "/merchants/merchant/")

    def dispute(self, payment: str) -> str:
        opened = self.control("braintree/disputes", merchant="merchant", transaction=payment)
        return str(opened["id"])

    def decide(self, dispute: str, outcome: Literal["won", "lost"]) -> None:
        self.control(f"braintree/disputes/{dispute}", merchant="merchant", status=outcome)

    def small_pages(self, patch: pytest.MonkeyPatch) -> None:
        patch.setattr("billing.gateway.braintree.client.PAGE", 3)
        patch.setattr("billing.gateway.braintree.reads.PAGE", 3)

    def delivery(self, payment: str, at: datetime) -> Delivery:
        subject = {"id": payment, "type": "sale"}
        content = payload_of("transaction_settled", int(at.timestamp()), "transaction", subject)
        body = form_of(content, [("public", "private")], "good")
        return Delivery(body, {}, ("public:private",), ("public:other", "other:private"))


class TrivialWorld(ProviderWorld):
    """A dictionary with a file."""

    tokens: ClassVar[Mapping[Behaviour, str]] = {
        "good": "good",
        "soft": "soft",
        "hard": "hard",
        "soft_then_good": "soft_then_good",
    }
    refused_token = "stolen"

    def __init__(self, file: Path) -> None:
        self.kind = TRIVIAL
        self.gateway = self.provider = Trivial(file, lambda: self.now)

    def at(self, now: datetime) -> None:
        self.now = now

    def lose(self, when: When, change: Change) -> None:
        self.provider.lose = when

    def dispute(self, payment: str) -> str:
        rows, name = self.provider.rows, f"dispute-{len(self.provider.rows)}"
        taken, stage = rows[payment].request.amount, DisputeStage.NEEDS_RESPONSE
        facts = (payment, payment, taken, stage, "fraud", self.now, False)
        rows[name] = ProviderDispute(name, *facts)
        return name

    def decide(self, dispute: str, outcome: Literal["won", "lost"]) -> None:
        rows = self.provider.rows
        rows[dispute] = replace(rows[dispute], stage=DisputeStage(outcome))

    def small_pages(self, patch: pytest.MonkeyPatch) -> None:
        """They are small already."""

    def delivery(self, payment: str, at: datetime) -> Delivery:
        body = json.dumps({"id": "e1", "payment": payment, "at": at.isoformat()}).encode()
        signature = hmac.new(b"ours", body, hashlib.sha256).hexdigest()
        return Delivery(body, {"x-signature": signature}, ("ours",), ("theirs",))


SANDBOXED: Mapping[str, type[SandboxWorld]] = {"stripe": StripeWorld, "braintree": BraintreeWorld}


@contextmanager
def opened(name: str) -> Iterator[ProviderWorld]:
    """Open a world of a kind of provider."""
    with tempfile.TemporaryDirectory() as folder:
        if name == "trivial":
            world: ProviderWorld = TrivialWorld(Path(folder) / "books.json")
            world.begin()
            yield world
            return
        with SandboxServer(Path(folder)) as server:
            sandboxed = SANDBOXED[name](server)
            sandboxed.begin()
            yield sandboxed
            sandboxed.close()
