"""A merchant of a running sandbox, as its SDK sees it."""

import itertools
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import PIPE
from typing import Any

import braintree
import requests

from tests import processes
from tests.waiting import PATIENCE, until

ROOT = Path(__file__).resolve().parents[3]
VISA, PAYPAL = "fake-valid-visa-nonce", "fake-paypal-billing-agreement-nonce"
# A Monday; every test begins then.
BEGIN = 1_767_571_200  # 2026-01-05T00:00:00Z
HOUR, DAY = 3_600, 86_400
_merchants = itertools.count(1)


@dataclass
class Shop:
    """One merchant: objects, keys and notifications of tests that share a sandbox don't meet."""

    url: str
    merchant: str = ""
    gateways: list[Any] = field(default_factory=list)
    now: int = BEGIN

    def __post_init__(self) -> None:
        self.merchant = self.merchant or f"merchant_{next(_merchants)}_{id(self)}"
        self.gateway = self.client()

    def client(self, timeout: float = PATIENCE, private_key: str = "private") -> Any:
        """Return a gateway of the SDK; one for each thread that uses it."""
        port = self.url.rpartition(":")[2]
        environment = braintree.Environment(
            "local", "127.0.0.1", port, "http://auth", False, None, "127.0.0.1", port
        )
        gateway = braintree.BraintreeGateway(
            braintree.Configuration(
                environment,
                self.merchant,
                f"public_{self.merchant}",
                private_key,
                timeout=timeout,
                wrap_http_exceptions=True,
            )
        )
        self.gateways.append(gateway)
        return gateway

    @property
    def path(self) -> str:
        return f"/merchants/{self.merchant}"

    def control(self, method: str, path: str, **body: Any) -> dict[str, Any]:
        """Ask the control API, for this merchant where it is a page of the Braintree side."""
        if path.startswith("braintree/"):
            body.setdefault("merchant", self.merchant)
        answer = requests.request(
            method, f"{self.url}/_sandbox/{path}", json=body, timeout=PATIENCE
        )
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def refused(self, path: str, **body: Any) -> str:
        """Return what the control API says against a request."""
        body.setdefault("merchant", self.merchant)
        answer = requests.post(f"{self.url}/_sandbox/{path}", json=body, timeout=PATIENCE)
        assert answer.status_code == 400
        return str(answer.json()["error"]["message"])

    def settings(self, **changes: Any) -> None:
        self.control("POST", "braintree/settings", **changes)

    def fault(self, kind: str, path: str = "", **rest: Any) -> None:
        match = {"path": self.path + path, **rest.pop("match", {})}
        self.control("POST", "faults", kind=kind, match=match, **rest)

    def at(self, instant: int) -> None:
        """Move the clock."""
        self.now = instant
        self.control("POST", "clock", now=instant)

    def later(self, seconds: int) -> None:
        self.at(self.now + seconds)

    def customer(self, nonce: str = VISA) -> tuple[str, str]:
        """Return a new customer with a payment method: their id and its token."""
        customer = self.gateway.customer.create({"first_name": "Ada"}).customer
        made = self.gateway.payment_method.create(
            {"customer_id": customer.id, "payment_method_nonce": nonce}
        )
        assert made.is_success, made.message
        return customer.id, made.payment_method.token

    def nonce(self) -> str:
        """Return what a customer's browser makes of a card: good for once."""
        key = self.gateways[0].config
        answer = requests.post(
            f"{self.url}{self.path}/client_api/v1/payment_methods/credit_cards.json",
            json={"credit_card": {"number": "4111111111111111", "expiration_date": "12/2040"}},
            auth=(key.public_key, key.private_key),
            timeout=PATIENCE,
        )
        return str(answer.json()["creditCards"][0]["nonce"])

    def sale(self, amount: str = "10.00", nonce: str | None = VISA, **more: Any) -> Any:
        """Return the result of a sale; it is submitted for settlement unless told otherwise."""
        gateway = more.pop("gateway", self.gateway)
        params: dict[str, Any] = {"amount": amount, **more}
        params.setdefault("options", {"submit_for_settlement": True})
        if nonce is not None and "payment_method_token" not in params:
            params["payment_method_nonce"] = nonce
        return gateway.transaction.sale(params)

    def sold(self, amount: str = "10.00", nonce: str | None = VISA, **more: Any) -> Any:
        """Return a sale that succeeded."""
        result = self.sale(amount, nonce, **more)
        assert result.is_success, result.message
        return result.transaction

    def settled(self, amount: str = "10.00", nonce: str | None = VISA, **more: Any) -> Any:
        """Return a sale that is settled: the next batch has gone through."""
        sale = self.sold(amount, nonce, **more)
        self.at(self.now - self.now % DAY + DAY + 2 * HOUR)
        return self.gateway.transaction.find(sale.id)

    def sales(self) -> list[Any]:
        """Return all of the merchant's transactions, the newest first."""
        search = braintree.TransactionSearch
        found = self.gateway.transaction.search(search.type == "sale")
        return list(found.items)

    def captures(self) -> int:
        """Return how many sales will bring or have brought money."""
        taken = ("submitted_for_settlement", "settling", "settled")
        return sum(each.status in taken for each in self.sales())

    def close(self) -> None:
        for gateway in self.gateways:
            gateway.config.close()


@contextmanager
def sandbox(data: Path) -> Iterator[tuple[Any, str]]:
    """Run the sandbox as a process of its own; yield it with its address."""
    port_file = data.with_suffix(".port")
    port_file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "billing.sandbox"]
    command += ["--data", str(data), "--port-file", str(port_file)]
    with processes.running(command, cwd=ROOT, stderr=PIPE) as process:
        assert process.stderr is not None
        until(lambda: port_file.exists() and port_file.read_text(), "the sandbox listens")
        # What it says is read, so that it never waits for a full pipe.
        reader = threading.Thread(target=process.stderr.read)
        reader.start()
        yield process, f"http://127.0.0.1:{port_file.read_text().strip()}"
        process.kill()
        reader.join()


def codes(result: Any) -> list[str]:
    """Return the codes of a result's validation errors."""
    assert not result.is_success
    return [error.code for error in result.errors.deep_errors]


def statuses(transaction: Any) -> list[str]:
    """Return the statuses that a transaction went through."""
    return [event.status for event in transaction.status_history]
