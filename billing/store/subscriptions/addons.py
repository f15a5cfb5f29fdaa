"""Published add-ons and their insert-only versions."""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, select, text
from sqlalchemy.dialects.postgresql import insert

from billing.plans.addons import Addon, AddonVersion
from billing.store.arrays import literal
from billing.store.subscriptions.versions import Place, PublishedVersions
from billing.store.tables import addon_corrections, addon_versions, addons

VERSIONS: Final = PublishedVersions.of(
    "addon", addon_versions, addon_corrections, AddonVersion.from_terms
)


def published(conn: Connection) -> dict[str, Addon]:
    """Return every published add-on with all its versions as they hold now, by code."""
    versions: dict[str, list[AddonVersion]] = {}
    for each in VERSIONS.read(conn):
        version = replace(each.version, published_at=each.published_at)
        versions.setdefault(each.code, []).append(version)
    return {
        row.code: Addon(
            code=row.code,
            name=row.name,
            fits=tuple(row.fits),
            versions=tuple(versions.get(row.code, ())),
            retired=row.retired,
        )
        for row in conn.execute(select(addons).order_by(addons.c.code))
    }


# Who has a later version may have been moved to it from this one.
_UNUSED = text(
    """
    SELECT v.addon, v.effective
      FROM unnest(CAST(:addons AS text[]), CAST(:days AS date[])) AS v(addon, effective)
     WHERE NOT EXISTS (SELECT FROM subscription_items i
                        WHERE i.addon = v.addon AND i.addon_version >= v.effective)
    """
)


def unused(conn: Connection, versions: Collection[Place]) -> frozenset[Place]:
    """Return those of the versions that no subscription has or can have had."""
    if not versions:
        return frozenset()
    codes, days = zip(*versions, strict=True)
    values = {"addons": literal(codes), "days": literal(days)}
    return frozenset((row.addon, row.effective) for row in conn.execute(_UNUSED, values))


def put_addon(conn: Connection, addon: Addon, now: datetime) -> None:
    """Write an add-on's policy: its name, the plans it fits, its retirement."""
    values = {
        "name": addon.name,
        "fits": list(addon.fits),
        "retired": addon.retired,
        "applied_at": now,
    }
    statement = insert(addons).values(code=addon.code, **values)
    conn.execute(statement.on_conflict_do_update(index_elements=["code"], set_=values))
