"""A sandbox for each test, driven through the unmodified SDK, every answer checked."""

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
import stripe

from billing.sandbox import SandboxServer
from tests.contract.stripe_schema import response_problems
from tests.waiting import PATIENCE

KEY = "sk_test_contract"


@dataclass
class Shop:
    """A sandbox, an SDK client on it, and what Stripe's document says against its answers."""

    url: str
    problems: list[str] = field(default_factory=list)
    sessions: list[requests.Session] = field(default_factory=list)

    def client(self, key: str = KEY, timeout: float = PATIENCE) -> stripe.StripeClient:
        session = requests.Session()
        session.hooks["response"].append(self._check)
        self.sessions.append(session)
        return stripe.StripeClient(
            key,
            base_addresses={"api": self.url},
            http_client=stripe.RequestsClient(timeout=(3, timeout), session=session),
            max_network_retries=0,
        )

    def _check(self, answer: requests.Response, **_: Any) -> None:
        try:
            body = answer.json()
        except (ValueError, requests.RequestException):
            return  # garbage on purpose; the SDK's reaction is what the test looks at
        method, path = answer.request.method or "", urlsplit(answer.url).path
        self.problems += [
            f"{method} {path} {answer.status_code} {problem}"
            for problem in response_problems(method, path, answer.status_code, body)
        ]

    def control(self, method: str, path: str, **body: Any) -> dict[str, Any]:
        answer = requests.request(
            method, f"{self.url}/_sandbox/{path}", json=body, timeout=PATIENCE
        )
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def fault(self, kind: str, **rest: Any) -> None:
        self.control("POST", "faults", kind=kind, **rest)

    def stats(self) -> dict[str, Any]:
        return self.control("GET", "stats")

    def post(self, path: str, headers: dict[str, str], form: dict[str, str]) -> requests.Response:
        """Send a request as the SDK never would."""
        answer = requests.post(self.url + path, data=form, headers=headers, timeout=PATIENCE)
        if answer.headers["Content-Type"] == "application/json":
            json.loads(answer.text)
        return answer

    def close(self) -> None:
        for session in self.sessions:
            session.close()


@pytest.fixture(autouse=True)
def _no_telemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stripe, "enable_telemetry", False)


@pytest.fixture
def shop() -> Iterator[Shop]:
    with tempfile.TemporaryDirectory() as folder, SandboxServer(Path(folder)) as server:
        opened = Shop(server.url)
        yield opened
        opened.close()
    assert opened.problems == []


@pytest.fixture
def client(shop: Shop) -> stripe.StripeClient:
    return shop.client()
