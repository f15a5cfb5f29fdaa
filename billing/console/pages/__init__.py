"""Every page there is, by its address."""

from typing import Final

from billing.console.pages import (
    acts,
    audit,
    breaks,
    close,
    customers,
    entries,
    failed,
    home,
    invoices,
    lists,
    payments,
    search,
    subscriptions,
)
from billing.console.requests import ConsolePage

PAGES: Final[tuple[ConsolePage, ...]] = (
    *home.PAGES,
    *search.PAGES,
    *failed.PAGES,
    *lists.PAGES,
    *subscriptions.PAGES,
    *customers.PAGES,
    *payments.PAGES,
    *invoices.PAGES,
    *entries.PAGES,
    *acts.PAGES,
    *audit.PAGES,
    *breaks.PAGES,
    *close.PAGES,
)

__all__ = ["PAGES"]
