"""What invoices are issued for, and what their taxes are rounded for."""

from enum import StrEnum


class InvoiceKind(StrEnum):
    """What an invoice is issued for."""

    CYCLE = "cycle"
    """A period begins."""
    CHANGE = "change"
    """A change within a period costs more."""
    FINAL = "final"
    """What is left to bill after the end of a subscription."""
    ONE_OFF = "one_off"
    TOP_UP = "top_up"
    """Credit is bought."""


class TaxRounding(StrEnum):
    """What a tax is rounded once for."""

    GROUP = "group"
    """All lines that bear it; their sum is split over them."""
    LINE = "line"
    """Each line, where a law or a customer's books want it."""
