"""Credit notes: where what they give back goes. Pure; their amounts are in `pricing`."""

from enum import StrEnum


class Destination(StrEnum):
    """Where the amount of a credit note goes."""

    CREDIT = "credit"
    """The customer holds it as credit."""
    REFUND = "refund"
    """The provider gives it back to the payment method."""
    OUTSIDE = "outside"
    """It was paid from our bank, outside of the provider."""

    @property
    def is_money(self) -> bool:
        """Tell whether money leaves us, which is never more than what was captured."""
        return self is not Destination.CREDIT


def series_of(invoice_number: str) -> str:
    """Return the series that the numbers of an invoice's notes belong to: "K7Q2MX".

    It is what the invoice's own number begins with.
    """
    return invoice_number.rpartition("-")[0] or invoice_number
