"""Meters of the catalog against those in published terms, which count usage that is billed."""

from collections.abc import Collection, Iterator, Mapping
from datetime import date

from billing.flows.subscriptions.catalog_changes import (
    CatalogChange,
    CatalogChangeKind,
    CatalogSubject,
    terms_differences,
)
from billing.plans.addons import Addon
from billing.plans.catalogs import Catalog
from billing.plans.meters import Meter, meter_terms
from billing.plans.terms import Plan


def used_meters(
    published: Mapping[str, Plan] | Mapping[str, Addon],
    unused: Collection[tuple[str, date]] = (),
) -> Iterator[Meter]:
    """Yield the meters of published versions, but of the unused ones."""
    for each in published.values():
        for version in each.versions:
            if (each.code, version.effective) not in unused:
                yield from (item.meter for item in version.sold if item.meter is not None)


def changed(catalog: Catalog, used: Collection[Meter]) -> Iterator[CatalogChange]:
    """Yield each meter that the catalog defines otherwise than terms which are in use."""
    for code in sorted({meter.code for meter in used}):
        wanted = catalog.meters.get(code)
        others = [meter for meter in used if meter.code == code and meter != wanted]
        if wanted is not None and others:
            yield CatalogChange(
                CatalogChangeKind.CHANGED_TERMS,
                code,
                differences=terms_differences(meter_terms(others[0]), meter_terms(wanted)),
                subject=CatalogSubject.METER,
            )
