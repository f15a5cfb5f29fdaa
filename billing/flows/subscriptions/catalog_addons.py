"""Add-ons of the catalog: compared with what is published, and published."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from datetime import date, datetime

from sqlalchemy import Connection

from billing.flows.subscriptions.catalog_changes import (
    CatalogChange,
    CatalogChangeKind,
    CatalogSubject,
    TermDifference,
    missing_versions,
    terms_differences,
    withdrawn,
)
from billing.plans.addons import Addon, AddonVersion
from billing.store.subscriptions import addons

_POLICY = ("name", "fits", "retired")

Place = tuple[str, date]


def diff(conn: Connection, wanted: Mapping[str, Addon]) -> list[CatalogChange]:
    """Return what applying the catalog's add-ons would do, or why they can't be applied."""
    published, digests = addons.published(conn), addons.VERSIONS.digests(conn)
    unused = addons.unused(conn, [place for place in digests if place[0] in wanted])
    changes: list[CatalogChange] = []
    for addon in wanted.values():
        stored = published.get(addon.code)
        if stored is None:
            changes.append(_change(CatalogChangeKind.NEW_ADDON, addon.code, name=addon.name))
        else:
            changes += _policy_changes(stored, addon)
        for version in addon.versions:
            changes += _version_changes(version, stored, digests, unused)
        if stored is not None:
            changes += missing_versions(
                CatalogSubject.ADDON, addon.code, stored.versions, addon.versions, unused
            )
    for code in sorted(published.keys() - wanted.keys()):
        changes.append(_change(CatalogChangeKind.NOT_IN_CATALOG, code))
    return changes


def _change(
    kind: CatalogChangeKind,
    code: str,
    effective: date | None = None,
    *,
    name: str | None = None,
    differences: tuple[TermDifference, ...] = (),
) -> CatalogChange:
    return CatalogChange(
        kind,
        code,
        effective,
        name=name,
        differences=differences,
        subject=CatalogSubject.ADDON,
    )


def _policy_changes(stored: Addon, addon: Addon) -> list[CatalogChange]:
    return [
        _change(
            CatalogChangeKind.POLICY,
            addon.code,
            differences=(TermDifference(name, _shown(stored, name), _shown(addon, name)),),
        )
        for name in _POLICY
        if getattr(stored, name) != getattr(addon, name)
    ]


def _shown(addon: Addon, name: str) -> object:
    return ", ".join(addon.fits) if name == "fits" else getattr(addon, name)


def _version_changes(
    version: AddonVersion,
    stored: Addon | None,
    digests: Mapping[Place, str],
    unused: AbstractSet[Place],
) -> list[CatalogChange]:
    place = (version.addon, version.effective)
    digest = digests.get(place)
    if digest == version.digest():
        return []
    moves = version.existing == "move"
    if digest is None:
        found = _change(CatalogChangeKind.NEW_VERSION, *place)
        return [replace(found, items=(version.item,), moves=moves)]
    assert stored is not None
    before = next(each for each in stored.versions if each.effective == version.effective)
    differences = terms_differences(before.to_terms(), version.to_terms())
    if place not in unused:
        return [_change(CatalogChangeKind.CHANGED_TERMS, *place, differences=differences)]
    return [
        replace(_change(CatalogChangeKind.CORRECTED, *place, differences=differences), moves=moves)
    ]


def apply(
    conn: Connection, wanted: Mapping[str, Addon], changes: Sequence[CatalogChange], now: datetime
) -> None:
    """Publish what is new, correct what nobody has, and take out what is to be taken out."""
    for addon in wanted.values():
        addons.put_addon(conn, addon, now)
    versions = {addon.code: addon.versions for addon in wanted.values()}
    addons.VERSIONS.publish(conn, versions, now)
    for place in withdrawn(changes, CatalogSubject.ADDON):
        addons.VERSIONS.correct(conn, place, None, now)
