"""The provider's objects as the engine reads them: values, not the provider's JSON.

Amounts are in our minor units, instants are aware and in UTC. A status is a kind of
`billing.gateway.kinds`, with a member for unknown words, because providers add words without
notice.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from billing.gateway.kinds import (
    DisputeStage,
    EventKind,
    PaymentMethodKind,
    PaymentStatus,
    PayoutStatus,
    RefundFailure,
    RefundStatus,
)
from billing.rules.money import Money
from billing.rules.reconciliation import MovementKind

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An object of a list, or a row of a report, that can't be read exactly.

    `type` is the provider's word for the object. `shown` is what it showed of its amount, as text,
    because there is no currency of ours to count it in.
    """

    id: str
    type: str
    problem: str
    shown: str | None = None


class ListedPage(list[T]):
    """A page of a list: the objects that could be read, and those that could not.

    `last_id` is the last object of the page, readable or not: a listing goes on after it.
    """

    def __init__(self, items: Iterable[T], unreadable: Sequence[Unreadable], last_id: str) -> None:
        super().__init__(items)
        self.unreadable = tuple(unreadable)
        self.last_id = last_id


def unreadable_in(page: Sequence[object]) -> tuple[Unreadable, ...]:
    """Return the objects of a page that could not be read."""
    return page.unreadable if isinstance(page, ListedPage) else ()


@dataclass(frozen=True, slots=True)
class PaymentMethodDetails:
    """The details of a payment method that may be stored: its token and what its customer
    recognises it by.

    Only a card has all of `brand`, `last4` and the expiry; `brand` of a wallet or a bank account is
    its name, where the provider tells it. `provider_customer_id` is its present customer, None
    after it was detached, or after its owner took back the permission to charge it.
    """

    token: str
    kind: PaymentMethodKind
    brand: str | None = None
    last4: str | None = None
    exp_month: int | None = None
    exp_year: int | None = None
    provider_customer_id: str | None = None


@dataclass(frozen=True, slots=True)
class ProviderCustomer:
    """A customer as the provider has it now; one that was deleted keeps its id."""

    id: str
    default_payment_method: str | None
    deleted: bool = False
    name: str = ""
    email: str | None = None
    created: datetime | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProviderCharge:
    """One charge in the provider's list, as reconciliation reads it (amounts in minor units)."""

    id: str
    provider_payment_id: str | None
    amount: Money
    captured: bool
    succeeded: bool
    created: datetime
    refunded_amount: int = 0
    decline_code: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    payment_method: str | None = None


@dataclass(frozen=True, slots=True)
class ProviderPayment:
    """A payment as it is now."""

    id: str
    status: PaymentStatus
    amount: Money
    amount_received: Money
    customer: str | None
    latest_charge_id: str | None
    metadata: Mapping[str, str]
    created: datetime


@dataclass(frozen=True, slots=True)
class ProviderRefund:
    """A refund as it is now; `amount` is positive."""

    id: str
    provider_payment_id: str | None
    provider_charge_id: str | None
    amount: Money
    status: RefundStatus
    created: datetime
    failure_reason: RefundFailure | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BalanceTransaction:
    """One movement on the balance we hold with the provider.

    `amount`, `fee` and `net` are in minor units of `currency`, the one the balance is kept in;
    net = amount - fee, and money that leaves is negative. `customer_money` is the movement in
    the currency the customer was charged in, with the sign of `amount`; `exchange_rate`, from
    the customer's currency to the balance's in major units, is exact decimal text, None where it
    isn't said what was exchanged. `category` is the provider's own word for the `kind`.
    `payout_id` is the payout that the movement is, or was asked for.
    """

    id: str
    kind: MovementKind
    category: str
    type: str
    amount: int
    fee: int
    net: int
    currency: str
    source_id: str | None
    provider_charge_id: str | None
    provider_payment_id: str | None
    customer_money: Money | None
    exchange_rate: str | None
    payout_id: str | None
    created: datetime
    available_on: datetime
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProviderDispute:
    """A dispute as it is now; an inquiry is one that has moved no money (yet)."""

    id: str
    provider_charge_id: str
    provider_payment_id: str | None
    amount: Money
    stage: DisputeStage
    reason: str
    created: datetime
    is_inquiry: bool
    balance_transactions: tuple[BalanceTransaction, ...] = ()


@dataclass(frozen=True, slots=True)
class ProviderPayout:
    """A payout as it is now; a negative amount is taken from the bank account."""

    id: str
    amount: Money
    status: PayoutStatus
    created: datetime
    arrival: datetime | None


@dataclass(frozen=True, slots=True)
class ProviderEvent:
    """An event: something happened to an object, which the handler fetches before it acts.

    `type` is the provider's own word for it, which is kept for people; `kind` decides. `object_id`
    is empty for an object that has none (the balance). `payload` is safe to store: it repeats the
    fields above as JSON and has nothing of the object.
    """

    id: str
    type: str
    kind: EventKind
    object_type: str
    object_id: str
    created: datetime
    payload: Mapping[str, object]
