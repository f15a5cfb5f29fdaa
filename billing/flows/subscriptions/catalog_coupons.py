"""Coupons of the catalog: compared with what is published, and published."""

from collections.abc import Iterator, Mapping
from datetime import datetime

from sqlalchemy import Connection

from billing.flows.subscriptions.catalog_changes import (
    CatalogChange,
    CatalogChangeKind,
    CatalogSubject,
    TermDifference,
    terms_differences,
)
from billing.plans.coupon_terms import coupon_terms
from billing.plans.coupons import Coupon
from billing.store.subscriptions import coupons


def diff(conn: Connection, wanted: Mapping[str, Coupon]) -> list[CatalogChange]:
    """Return what applying the catalog's coupons would do, or why they can't be applied."""
    published = coupons.published(conn)
    redeemed = coupons.redeemed(conn) if published else {}
    changes = [
        change
        for coupon in wanted.values()
        for change in _changes(published.get(coupon.code), coupon, redeemed)
    ]
    for code in sorted(published.keys() - wanted.keys()):
        changes.append(_change(CatalogChangeKind.NOT_IN_CATALOG, code))
    return changes


def _changes(
    stored: Coupon | None, coupon: Coupon, redeemed: Mapping[str, int]
) -> Iterator[CatalogChange]:
    if stored is None:
        terms = terms_differences({}, coupon_terms(coupon))
        yield _change(CatalogChangeKind.NEW_COUPON, coupon.code, terms)
        return
    for name in ("until", "limit"):
        before, after = getattr(stored, name), getattr(coupon, name)
        if before != after:
            policy = (TermDifference(name, before, after),)
            yield _change(CatalogChangeKind.POLICY, coupon.code, policy)
    differences = terms_differences(coupon_terms(stored), coupon_terms(coupon))
    if differences:
        in_use = coupon.code in redeemed
        kind = CatalogChangeKind.CHANGED_TERMS if in_use else CatalogChangeKind.CORRECTED
        yield _change(kind, coupon.code, differences)


def _change(
    kind: CatalogChangeKind, code: str, differences: tuple[TermDifference, ...] = ()
) -> CatalogChange:
    return CatalogChange(kind, code, differences=differences, subject=CatalogSubject.COUPON)


def apply(conn: Connection, wanted: Mapping[str, Coupon], now: datetime) -> None:
    """Publish the coupons, and correct those that nobody redeemed."""
    for coupon in wanted.values():
        coupons.put_coupon(conn, coupon, now)
