"""Rates of taxes of the catalog: compared with what is published, and published.

A rate that has begun doesn't change: another one begins later. One that hasn't yet is corrected.
"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime

from sqlalchemy import Connection

from billing.flows.subscriptions.catalog_changes import (
    CatalogChange,
    CatalogChangeKind,
    CatalogSubject,
    terms_differences,
)
from billing.plans.taxes import TaxRate
from billing.store.subscriptions import tax_rates


def diff(conn: Connection, wanted: Sequence[TaxRate], today: date) -> Iterator[CatalogChange]:
    """Yield what applying the catalog's rates would do, or why they can't be applied."""
    published = {(*rate.of, rate.since): rate for rate in tax_rates.published(conn)}
    for rate in wanted:
        stored = published.pop((*rate.of, rate.since), None)
        if stored != rate:
            yield _change(stored, rate, today)
    for rate in published.values():
        yield CatalogChange(
            CatalogChangeKind.NOT_IN_CATALOG,
            _code(rate),
            rate.since,
            subject=CatalogSubject.TAX_RATE,
        )


def _change(stored: TaxRate | None, rate: TaxRate, today: date) -> CatalogChange:
    kind = CatalogChangeKind.NEW_RATE
    if stored is not None:
        begun = stored.since <= today and not _only_ends(stored, rate, today)
        kind = CatalogChangeKind.CHANGED_TERMS if begun else CatalogChangeKind.CORRECTED
    before = {} if stored is None else stored.to_terms()
    return CatalogChange(
        kind,
        _code(rate),
        rate.since,
        differences=terms_differences(before, rate.to_terms()),
        subject=CatalogSubject.TAX_RATE,
    )


def _only_ends(stored: TaxRate, rate: TaxRate, today: date) -> bool:
    """Tell whether all that changes is a last day, which hasn't come."""
    days = [each for each in (stored.until, rate.until) if each is not None]
    same = (stored.rate, stored.treatment) == (rate.rate, rate.treatment)
    return same and all(today < day for day in days)


def _code(rate: TaxRate) -> str:
    """Return what a rate is called: its place, class and name."""
    return " ".join(rate.of)


def apply(conn: Connection, wanted: Sequence[TaxRate], now: datetime) -> None:
    """Publish the rates, and correct those that haven't begun."""
    tax_rates.publish(conn, wanted, now)
