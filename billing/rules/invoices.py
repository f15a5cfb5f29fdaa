"""Invoices: how an invoice's status may change, and how it is numbered.

Pure. The database refuses the same changes of status. What an invoice owes is in `pricing`.
"""

from enum import StrEnum
from typing import Final

from billing.errors import Conflict


class InvoiceStatus(StrEnum):
    """The status of an invoice. It stays open while its payment is declined and retried."""

    OPEN = "open"
    PAID = "paid"
    VOID = "void"
    """The customer doesn't owe it."""
    UNCOLLECTIBLE = "uncollectible"
    """Written off: the customer owes it, but we don't expect to collect it."""

    @property
    def earns(self) -> bool:
        """Tell whether the invoice's revenue is still to be recognised."""
        return self in (InvoiceStatus.OPEN, InvoiceStatus.PAID)


CHANGES: Final[frozenset[tuple[InvoiceStatus, InvoiceStatus]]] = frozenset(
    {
        (InvoiceStatus.OPEN, InvoiceStatus.PAID),
        (InvoiceStatus.OPEN, InvoiceStatus.VOID),
        (InvoiceStatus.OPEN, InvoiceStatus.UNCOLLECTIBLE),
        (InvoiceStatus.PAID, InvoiceStatus.OPEN),  # the settlement of its payment was declined
        (InvoiceStatus.UNCOLLECTIBLE, InvoiceStatus.OPEN),  # its payment was reopened
        (InvoiceStatus.UNCOLLECTIBLE, InvoiceStatus.PAID),  # found at the provider after all
        (InvoiceStatus.VOID, InvoiceStatus.PAID),  # found at the provider after all
    }
)


class IllegalChange(Conflict):
    """The invoice can't go from that status to the other."""


def check_change(from_: InvoiceStatus, to: InvoiceStatus) -> None:
    """Check that a change of status is legal. Raises: IllegalChange."""
    if (from_, to) not in CHANGES:
        raise IllegalChange(f"an invoice that is {from_} can't become {to}", status=from_)


def number(prefix: str, n: int) -> str:
    """Return an invoice number like "K7Q2MX-0012".

    The prefix is the subscription's own and n counts within it, so that no two renewals
    wait for one counter.
    """
    return f"{prefix}-{n:04d}"


def number_of_change(cycle_number: str, k: int) -> str:
    """Return the number of the k-th invoice of a change in a cycle, like "K7Q2MX-0012-1"."""
    return f"{cycle_number}-{k}"


def is_of_change(number: str, cycle_number: str) -> bool:
    """Tell whether a number is that of a change in the cycle whose invoice has `cycle_number`."""
    before, _, k = number.rpartition("-")
    return before == cycle_number and k.isascii() and k.isdigit() and int(k) < 10_000
