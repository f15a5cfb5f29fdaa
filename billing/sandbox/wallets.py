"""PayPal as a payment method at Stripe: its payers, its currencies, and its part of a charge."""

import hashlib

from billing.sandbox.errors import Body, refused
from billing.sandbox.store import Record

CARD, PAYPAL = "card", "paypal"
TYPES = (CARD, PAYPAL)

# Stripe's documentation, "PayPal payments".
_CODES = "aud cad chf czk dkk eur gbp hkd nok nzd pln sek sgd usd"
CURRENCIES = frozenset(_CODES.split())


def type_of(record: Record) -> str:
    """Return the type of a stored payment method, charge or dispute; the first were of cards."""
    return str(record.get("type", CARD))


def new_payer(method_id: str) -> Body:
    """Make up the account that a payment method stands for, the same for the same id."""
    digest = hashlib.blake2b(method_id.encode(), digest_size=7).hexdigest().upper()
    return {
        "country": "DE",
        "payer_email": f"payer-{digest[:8].lower()}@example.com",
        "payer_id": digest[:13],
    }


def charge_details(record: Record, *, approved: bool) -> Body:
    """Return what a charge shows of the wallet that paid it."""
    protection = {"dispute_categories": ["fraudulent", "product_not_received"]}
    return {
        **record["payer"],
        "payer_name": "Made-up Payer",
        "seller_protection": {**protection, "status": "eligible"} if approved else None,
        "transaction_id": record["id"][-17:].upper() if approved else None,
    }


def check_currency(types: list[str], currency: str) -> None:
    """Refuse a currency that a type of payment doesn't take. Raises: ApiError."""
    if PAYPAL in types and currency not in CURRENCIES:
        raise refused(
            f"The currency provided ({currency}) is invalid. Payments with {PAYPAL} support the"
            f" following currencies: {', '.join(sorted(CURRENCIES))}.",
            param="currency",
        )
