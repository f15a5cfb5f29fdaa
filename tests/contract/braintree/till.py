"""The gateway on a merchant of the sandbox, and short ways to use it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from billing.gateway import Absent, ChargeRequest, Outcome, RefundRequest, Succeeded
from billing.gateway.braintree.gateway import BraintreeGateway
from billing.gateway.provider_kind import Access, Observe
from billing.gateway.rate import TokenBucket
from billing.rules.money import Money
from tests.contract.braintree.shop import BEGIN, VISA, Shop
from tests.waiting import PATIENCE

BEGAN = datetime.fromtimestamp(BEGIN, UTC)
METADATA = {"payment": "pay_1", "attempt": "1", "key": "k1", "engine": "e1", "subscription": "s1"}


@dataclass
class Till:
    """A gateway and one customer of the merchant."""

    shop: Shop
    gateway: BraintreeGateway
    customer: str = ""
    tokens: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.customer = self.gateway.create_customer(
            name="Ada", email="ada@example.com", metadata={}, idempotency_key="customer"
        )

    def token(self, nonce: str = VISA) -> str:
        if nonce not in self.tokens:
            made = self.gateway.attach_payment_method(self.customer, nonce, idempotency_key=nonce)
            self.tokens[nonce] = made.token
        return self.tokens[nonce]

    def request(self, nonce: str = VISA, n: int = 1, **changes: Any) -> ChargeRequest:
        request = ChargeRequest(
            f"test:sub_1:a{n}",
            Money(999, "USD"),
            self.customer,
            self.token(nonce),
            metadata={**METADATA, "attempt": str(n)},
        )
        return replace(request, **changes)

    def charged(self, nonce: str = VISA, n: int = 1, **changes: Any) -> Succeeded:
        return paid(self.gateway.charge(self.request(nonce, n, **changes), first_send=True))

    def settled(self, nonce: str = VISA, n: int = 1, **changes: Any) -> Succeeded:
        """Charge, and let the next batch go through."""
        sale = self.charged(nonce, n, **changes)
        self.shop.at(self.shop.now - self.shop.now % 86_400 + 86_400 + 7_200)
        return sale

    def control(self, path: str, **body: Any) -> Any:
        return self.shop.control("POST", f"braintree/{path}", **body)


def till(
    shop: Shop,
    deadline: float = PATIENCE,
    observe: Observe | None = None,
    bucket: TokenBucket | None = None,
    **credentials: str,
) -> Till:
    """Return the gateway of a merchant."""
    return Till(shop, BraintreeGateway(access(shop, deadline, observe, bucket, credentials)))


def access(
    shop: Shop,
    deadline: float = PATIENCE,
    observe: Observe | None = None,
    bucket: TokenBucket | None = None,
    credentials: Mapping[str, str] | None = None,
) -> Access:
    keys = {
        "merchant_id": shop.merchant,
        "public_key": f"public_{shop.merchant}",
        "private_key": "private",
    }
    return Access(
        {**keys, **(credentials or {})},
        shop.url,
        connect_timeout=timedelta(seconds=PATIENCE),
        read_timeout=timedelta(seconds=PATIENCE),
        deadline=timedelta(seconds=deadline),
        bucket=bucket,
        observe=observe,
    )


def paid(outcome: Outcome | Absent) -> Succeeded:
    assert isinstance(outcome, Succeeded), outcome
    return outcome


def refund_of(sale: Succeeded, amount: int = 999, n: int = 1) -> RefundRequest:
    metadata = {"refund": f"refund_{n}", "payment": "pay_1", "engine": "e1"}
    money = Money(amount, sale.amount.currency)
    return RefundRequest(f"test:refund:{n}", sale.provider_payment_id, money, metadata)
