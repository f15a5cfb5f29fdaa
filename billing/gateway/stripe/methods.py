"""Payment methods at Stripe: cards, and the wallets that pay without their owner being there."""

import re
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from billing.gateway.kinds import PaymentMethodKind
from billing.gateway.objects import PaymentMethodDetails
from billing.gateway.stripe.fields import Json, expect, integer, reference
from billing.gateway.untrusted import mapping, required, text

CARD: Final = "card"
MANDATE: Final = "mandate_"  # how the ids of mandates begin

# The types that are charged by a mandate, and the currencies that each takes
# (https://docs.stripe.com/payments/paypal/accept-a-payment).
WALLETS: Final[Mapping[str, frozenset[str]]] = MappingProxyType({
    "paypal": frozenset({
        "AUD", "CAD", "CHF", "CZK", "DKK", "EUR", "GBP", "HKD", "NOK", "NZD", "PLN", "SEK",
        "SGD", "USD",
    }),
})  # fmt: skip


def takes_currency(method_type: str | None, currency: str) -> bool:
    """Tell whether a type of payment method can be charged in a currency, as far as is known."""
    currencies = WALLETS.get(method_type or CARD)
    return currencies is None or currency in currencies


def read_payment_method(data: Json) -> PaymentMethodDetails | None:
    """Read a payment method, or None for one of a type that isn't charged here.

    A wallet that pays with a card, like that of a telephone, is a card. Of another wallet its
    name is kept; the e-mail address and the id of its owner are not.
    """
    expect(data, "payment_method")
    token, customer = required(data, "id"), reference(data.get("customer"))
    card, kind = mapping(data.get("card")), text(data, "type")
    if not card:
        wallet = PaymentMethodDetails(
            token, PaymentMethodKind.WALLET, brand=kind, provider_customer_id=customer
        )
        return wallet if kind in WALLETS else None
    return PaymentMethodDetails(
        token=token,
        kind=PaymentMethodKind.CARD,
        brand=text(card, "brand") or "",
        last4=_last_four(card),
        exp_month=integer(card, "exp_month"),
        exp_year=integer(card, "exp_year"),
        provider_customer_id=customer,
    )


def read_mandate(data: Json) -> PaymentMethodDetails | None:
    """Read the payment method of a mandate, which has to be expanded.

    A wallet's mandate that its owner took back never works again: the wallet is nobody's then. One
    for a single payment ends by being used, and a card is charged without one.
    """
    expect(data, "mandate")
    found = read_payment_method(mapping(data.get("payment_method")))
    ended = required(data, "status") == "inactive" and data.get("type") != "single_use"
    if found is None or found.kind is not PaymentMethodKind.WALLET or not ended:
        return found
    return replace(found, provider_customer_id=None)


def _last_four(card: Json) -> str:
    """Return the last four digits, however many there are."""
    given = card.get("last4")
    return given[-4:] if isinstance(given, str) and _DIGITS.fullmatch(given) else ""


_DIGITS: Final = re.compile(r"[0-9]+")
