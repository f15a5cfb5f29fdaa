"""Disbursed transactions as movements, and what a merchant account is paid on a day as a payout."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from billing.gateway.braintree.disputes import payout_id
from billing.gateway.braintree.fields import Node, metadata, midnight, money, reference
from billing.gateway.braintree.objects import refund_metadata
from billing.gateway.kinds import MovementKind, PayoutStatus
from billing.gateway.objects import BalanceTransaction, ProviderPayout, Unreadable
from billing.gateway.untrusted import Malformed, mapping, required, text
from billing.rules.money import Money

_KEPT: Final = (
    "amount", "currency_iso_code", "custom_fields", "disbursement_details", "id",
    "merchant_account_id", "order_id", "refunded_transaction_id", "type",
)  # fmt: skip
_KEPT_OF_PAYPAL: Final = ("transaction_fee_amount", "transaction_fee_currency_iso_code")


def kept_of(data: Node) -> Node:
    """Return what a movement needs of a transaction: a day may have a hundred thousand of them."""
    paypal = mapping(data.get("paypal"))
    return {
        **{name: data[name] for name in _KEPT if name in data},
        "paypal": {name: paypal[name] for name in _KEPT_OF_PAYPAL if name in paypal},
    }


@dataclass(slots=True)
class Paid:
    """What a merchant account is paid on a day. `failed`: the bank didn't take it."""

    on: date
    account: str
    transactions: list[Node] = field(default_factory=list)
    movements: list[BalanceTransaction] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)
    failed: bool = False

    @property
    def id(self) -> str:
        """The id of the payout."""
        return payout_id(self.on, self.account)


def movement_of(paid: Paid, data: Node, fees: Mapping[str, Money] | None) -> BalanceTransaction:
    """Read a disbursed transaction as a movement. Raises: Malformed."""
    details = mapping(data.get("disbursement_details"))
    currency = required(details, "settlement_currency_iso_code")
    settled, charged = money(details, "settlement_amount", currency), money(data, "amount")
    identifier, kind = required(data, "id"), required(data, "type")
    fee = Money(0, currency) if fees is None else _fee(data, identifier, fees, currency)
    sale = kind == "sale"
    sign = 1 if sale else -1
    of = identifier if sale else reference(data, "refunded_transaction_id")
    paid.failed |= details.get("success") is False
    return BalanceTransaction(
        id=f"{identifier}:{kind}",
        kind=MovementKind.CHARGE if sale else MovementKind.REFUND,
        category=kind,
        type=kind,
        amount=sign * abs(settled).amount,
        fee=fee.amount,
        net=sign * abs(settled).amount - fee.amount,
        currency=currency,
        source_id=identifier,
        provider_charge_id=of,
        provider_payment_id=of,
        customer_money=sign * charged,
        exchange_rate=None
        if currency == charged.currency
        else required(details, "settlement_currency_exchange_rate"),
        payout_id=paid.id,
        created=midnight(paid.on),
        available_on=midnight(paid.on),
        metadata=metadata(data) if sale else refund_metadata(data),
    )


def _fee(data: Node, identifier: str, fees: Mapping[str, Money], currency: str) -> Money:
    """Return the fee for a transaction: the report's, or the one that PayPal told with the sale."""
    fee = fees.get(identifier)
    if fee is None:
        paypal = mapping(data.get("paypal"))
        if paypal.get("transaction_fee_amount"):
            told = text(paypal, "transaction_fee_currency_iso_code") or currency
            fee = money(paypal, "transaction_fee_amount", told)
    if fee is None:
        raise Malformed("the day's fee report doesn't have it")
    if fee.currency != currency:
        raise Malformed(f"its fee is in {fee.currency}, and not in {currency}")
    return fee


def payout_movement(paid: Paid, amount: int, currency: str) -> BalanceTransaction:
    """Return the movement that is the payout itself."""
    return BalanceTransaction(
        id=f"{paid.id}:payout",
        kind=MovementKind.PAYOUT,
        category="disbursement",
        type="disbursement",
        amount=amount,
        fee=0,
        net=amount,
        currency=currency,
        source_id=paid.id,
        provider_charge_id=None,
        provider_payment_id=None,
        customer_money=None,
        exchange_rate=None,
        payout_id=paid.id,
        created=midnight(paid.on),
        available_on=midnight(paid.on),
    )


def payout_of(paid: Paid, own: BalanceTransaction) -> ProviderPayout:
    """Return the payout of its own movement."""
    return ProviderPayout(
        id=paid.id,
        amount=Money(-own.amount, own.currency),
        status=PayoutStatus.FAILED if paid.failed else PayoutStatus.PAID,
        created=midnight(paid.on),
        arrival=midnight(paid.on),
    )
