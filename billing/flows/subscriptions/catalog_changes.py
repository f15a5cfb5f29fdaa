"""What publishing the catalog changes, as values."""

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any

from billing.plans.addons import AddonVersion
from billing.plans.items import Item
from billing.plans.terms import PlanVersion
from billing.rules.money import Money


class CatalogSubject(StrEnum):
    """What a difference is about."""

    PLAN = "plan"
    ADDON = "addon"
    COUPON = "coupon"
    METER = "meter"
    TAX_RATE = "tax_rate"


class CatalogChangeKind(StrEnum):
    """How the catalog can differ from what is published."""

    NEW_PLAN = "new_plan"
    NEW_ADDON = "new_addon"
    NEW_COUPON = "new_coupon"
    NEW_RATE = "new_rate"
    NEW_VERSION = "new_version"
    POLICY = "policy"
    """What holds at once: a name, a ladder, how it is sold, until when, ..."""
    CORRECTED = "corrected"
    """A published version that nothing uses yet, or a coupon, has other terms."""
    WITHDRAWN = "withdrawn"
    """A published version that nothing uses yet is taken out."""
    CHANGED_TERMS = "changed_terms"
    """A version or a coupon that is in use was changed, which can't be applied."""
    NOT_IN_CATALOG = "not_in_catalog"


@dataclass(frozen=True, slots=True)
class TermDifference:
    """One value that was published and is another in the catalog, as it is stored."""

    name: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class CatalogChange:
    """One difference between the catalog and what is published.

    `code` is that of its subject. `name` belongs to a new plan or add-on; `prices` or `items`, and
    `moves` (whether existing subscriptions move to it), to a new version; `differences` list what
    else changes. For a version that moves subscriptions, `effects` count, for each currency, the
    subscriptions and the money a period that change.
    """

    kind: CatalogChangeKind
    code: str
    effective: date | None = None
    name: str | None = None
    differences: tuple[TermDifference, ...] = ()
    prices: tuple[Money, ...] = ()
    moves: bool = False
    effects: tuple["PriceEffect", ...] = ()
    subject: CatalogSubject = CatalogSubject.PLAN
    items: tuple[Item, ...] = ()


@dataclass(frozen=True, slots=True)
class PriceEffect:
    """What a price change moves: subscriptions, their quantity, and the sum a period."""

    currency: str
    subscriptions: int
    before: Money
    after: Money


def terms_differences(
    before: Mapping[str, Any], after: Mapping[str, Any]
) -> tuple[TermDifference, ...]:
    """Return what differs between two sets of terms, as they are stored."""
    return tuple(
        TermDifference(key, before.get(key), after.get(key))
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    )


def missing_versions(
    subject: CatalogSubject,
    code: str,
    stored: Iterable[PlanVersion | AddonVersion],
    wanted: Iterable[PlanVersion | AddonVersion],
    unused: AbstractSet[tuple[str, date]],
) -> Iterator[CatalogChange]:
    """Yield what becomes of published versions that the catalog hasn't any more."""
    dates = {version.effective for version in wanted}
    for effective in (each.effective for each in stored if each.effective not in dates):
        if (code, effective) in unused:
            yield CatalogChange(CatalogChangeKind.WITHDRAWN, code, effective, subject=subject)
        else:
            yield CatalogChange(CatalogChangeKind.NOT_IN_CATALOG, code, effective, subject=subject)


def withdrawn(
    changes: Iterable[CatalogChange], subject: CatalogSubject
) -> Iterator[tuple[str, date]]:
    """Yield the versions of such a subject that are taken out."""
    for change in changes:
        taken_out = change.kind is CatalogChangeKind.WITHDRAWN and change.subject is subject
        if taken_out and change.effective is not None:
            yield change.code, change.effective
