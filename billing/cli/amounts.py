"""Amounts as people type them."""

from billing.errors import BadInput
from billing.rules.money import Money, parse_money


def read_amount(text: str, currency: str, where: str) -> Money:
    """Read "9.99" in a currency that is known already. Raises: BadInput."""
    try:
        return parse_money(text, currency)
    except ValueError as error:
        raise BadInput(
            str(error), where=where, remedy=f"write it like 9.99; it is in {currency}"
        ) from error


def read_money(text: str, where: str, example: str = '"7.00 USD"') -> Money:
    """Read an amount with its currency, like "7.00 USD". Raises: BadInput."""
    amount, _, currency = text.strip().rpartition(" ")
    try:
        return parse_money(amount.strip(), currency)
    except ValueError as error:
        raise BadInput(
            f"{text!r} is no amount: {error}", where=where, remedy=f"write it like {example}"
        ) from None
