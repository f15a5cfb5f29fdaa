"""From Braintree's objects to our values. Readers raise `Malformed` for what isn't one."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from billing.gateway.braintree.classify import declined_by, read_sale
from billing.gateway.braintree.fields import Node, instant, metadata, reference, several
from billing.gateway.braintree.statuses import (
    CAPTURED,
    DECLINED,
    payment_status,
    refund_failure,
    refund_status,
)
from billing.gateway.kinds import PaymentMethodKind
from billing.gateway.objects import (
    PaymentMethodDetails,
    ProviderCharge,
    ProviderCustomer,
    ProviderPayment,
    ProviderRefund,
)
from billing.gateway.outcomes import Declined
from billing.gateway.untrusted import Malformed, mapping, required, text
from billing.rules.money import Money

# Braintree's names of the cards' brands, as they are spelt elsewhere.
_BRANDS: Final[Mapping[str, str]] = {
    "American Express": "amex",
    "Carte Blanche": "diners",
    "China UnionPay": "unionpay",
    "Diners Club": "diners",
    "Discover": "discover",
    "Elo": "elo",
    "Hiper": "hiper",
    "Hipercard": "hipercard",
    "JCB": "jcb",
    "Maestro": "maestro",
    "MasterCard": "mastercard",
    "UnionPay": "unionpay",
    "Visa": "visa",
}
PAYPAL: Final = "paypal"
_SINCE_EVER: Final = datetime(1970, 1, 1, tzinfo=UTC)


def read_payment(name: str, data: Node) -> ProviderPayment | None:
    """Read a sale; a transaction that gives money back is no payment."""
    _expect(name, "transaction")
    sale = read_sale(data)
    if sale.type != "sale":
        return None
    captured = sale.status in CAPTURED
    return ProviderPayment(
        id=sale.id,
        status=payment_status(sale.status),
        amount=sale.authorised,
        amount_received=sale.amount if captured else Money(0, sale.amount.currency),
        customer=sale.customer,
        latest_charge_id=sale.id,
        metadata=metadata(data),
        created=sale.created,
    )


def read_charge(data: Node, refunded: int) -> ProviderCharge:
    """Read a sale as a charge, of which `refunded` minor units were given back."""
    sale = read_sale(data)
    declined = declined_by(sale) if sale.status in DECLINED else None
    return ProviderCharge(
        id=sale.id,
        provider_payment_id=sale.id,
        amount=sale.amount,
        captured=sale.status in CAPTURED,
        succeeded=sale.is_live,
        created=sale.created,
        refunded_amount=refunded,
        decline_code=declined.decline_code if isinstance(declined, Declined) else None,
        metadata=metadata(data),
        payment_method=_method_of(data),
    )


def _method_of(data: Node) -> str | None:
    paypal, card = mapping(data.get("paypal")), mapping(data.get("credit_card"))
    return reference(paypal, "token") or reference(card, "token")


def read_refund(name: str, data: Node) -> ProviderRefund | None:
    """Read a refund of a sale; a sale, or a credit of no sale, is none.

    Its order id is our refund's, and its custom fields are those of its sale.
    """
    _expect(name, "transaction")
    of = reference(data, "refunded_transaction_id")
    if of is None:
        return None
    credit = read_sale(data)
    return ProviderRefund(
        id=credit.id,
        provider_payment_id=of,
        provider_charge_id=of,
        amount=credit.amount,
        status=refund_status(credit.status),
        created=credit.created,
        failure_reason=refund_failure(credit.status),
        metadata=refund_metadata(data),
    )


def refund_metadata(data: Node) -> Mapping[str, str]:
    """Return what a refund carries: our ids of it, of its payment and of the engine."""
    of_sale = metadata(data)
    kept = {name: of_sale[name] for name in ("payment", "engine") if name in of_sale}
    order = text(data, "order_id")
    inherited = order is not None and order.startswith(f"{of_sale.get('payment')}-")
    return kept if order is None or inherited else {"refund": order, **kept}


def read_method(name: str, data: Node) -> PaymentMethodDetails | None:
    """Read a vaulted card or PayPal account, or None for one of another kind.

    A PayPal account whose owner took the agreement back belongs to nobody any more.
    """
    customer = reference(data, "customer_id")
    if name == "credit_card":
        return PaymentMethodDetails(
            token=required(data, "token"),
            kind=PaymentMethodKind.CARD,
            brand=_brand(text(data, "card_type") or ""),
            last4=_digits(data, "last_4")[-4:],
            exp_month=_number(data, "expiration_month"),
            exp_year=_number(data, "expiration_year"),
            provider_customer_id=customer,
        )
    if name == "paypal_account":
        return PaymentMethodDetails(
            token=required(data, "token"),
            kind=PaymentMethodKind.WALLET,
            brand=PAYPAL,
            provider_customer_id=None if data.get("revoked_at") else customer,
        )
    return None


def _brand(card_type: str) -> str:
    return _BRANDS.get(card_type, card_type.lower().replace(" ", "_"))


def _digits(data: Node, name: str) -> str:
    value = data.get(name)
    return value if isinstance(value, str) and value.isdecimal() else ""


def _number(data: Node, name: str) -> int | None:
    digits = _digits(data, name)
    return int(digits) if 0 < len(digits) <= 4 else None


def methods_of(data: Node) -> list[PaymentMethodDetails]:
    """Return a customer's payment methods that can be charged, the newest first."""
    held = [
        (each, read_method(name, each))
        for name, field in (
            ("credit_card", "credit_cards"),
            ("paypal_account", "paypal_accounts"),
        )
        for each in several(data.get(field))
    ]
    held.sort(key=lambda pair: _made(pair[0]), reverse=True)
    return [found for _, found in held if found is not None and found.provider_customer_id]


def _made(data: Node) -> datetime:
    return instant(data, "created_at") if data.get("created_at") else _SINCE_EVER


def read_customer(name: str, data: Node) -> ProviderCustomer:
    """Read a customer. The engine writes the whole name as the first one."""
    _expect(name, "customer")
    names = [text(data, "first_name"), text(data, "last_name")]
    fields = ("credit_cards", "paypal_accounts")
    chosen = [
        reference(each, "token")
        for field in fields
        for each in several(data.get(field))
        if each.get("default") is True
    ]
    return ProviderCustomer(
        id=required(data, "id"),
        default_payment_method=chosen[0] if chosen else None,
        name=" ".join(each for each in names if each),
        email=text(data, "email"),
        created=instant(data, "created_at"),
        metadata=metadata(data),
    )


def _expect(name: str, wanted: str) -> None:
    if name != wanted:
        raise Malformed(f"expected a {wanted}, got {name[:40]!r}")
