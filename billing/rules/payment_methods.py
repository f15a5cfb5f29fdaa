"""Payment methods: their kinds, and what a person recognises one by."""

from enum import StrEnum


class PaymentMethodKind(StrEnum):
    """What is charged. Only a card has an expiry, and always last digits."""

    CARD = "card"
    WALLET = "wallet"
    BANK = "bank"


def method_type(kind: PaymentMethodKind, brand: str | None) -> str:
    """Return what a provider is told to charge: "card", or the brand of a wallet.

    There are wallets and bank accounts without a brand: they are called by their kind.
    """
    return kind.value if kind is PaymentMethodKind.CARD or not brand else brand


def recognised_by(kind: PaymentMethodKind, brand: str | None, last4: str | None) -> str:
    """Return what a person recognises a payment method by, like "visa ending in 4242"."""
    name = (
        brand
        or {
            PaymentMethodKind.CARD: "a card",
            PaymentMethodKind.WALLET: "a wallet",
            PaymentMethodKind.BANK: "a bank account",
        }[kind]
    )
    return f"{name} ending in {last4}" if last4 else name
