"""Published add-ons and their insert-only versions."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime

from sqlalchemy import Connection, func, select, text
from sqlalchemy.dialects.postgresql import insert

from billing.plans.addons import Addon, AddonVersion
from billing.store.arrays import literal
from billing.store.tables import addon_corrections, addon_versions, addons

# A version as it was corrected last; one that was taken out has no terms.
_VERSIONS = text(
    """
    SELECT v.addon, v.effective, v.terms, v.digest, v.published_at
      FROM addon_versions v
     WHERE NOT EXISTS (SELECT FROM addon_corrections c
                        WHERE c.addon = v.addon AND c.effective = v.effective)
     UNION ALL
    SELECT * FROM (SELECT DISTINCT ON (addon, effective)
                          addon, effective, terms, digest, corrected_at
                     FROM addon_corrections ORDER BY addon, effective, n DESC) c
     WHERE c.terms IS NOT NULL
     ORDER BY effective, addon
    """
)


def published(conn: Connection) -> dict[str, Addon]:
    """Return every published add-on with all its versions as they hold now, by code."""
    versions: dict[str, list[AddonVersion]] = {}
    for row in conn.execute(_VERSIONS):
        version = AddonVersion.from_terms(row.addon, row.effective, row.terms)
        version = replace(version, published_at=row.published_at)
        versions.setdefault(row.addon, []).append(version)
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


def unreadable(conn: Connection) -> Iterator[tuple[str, date, str]]:
    """Yield each version whose terms can't be read, or aren't those of its digest, with why."""
    for row in conn.execute(_VERSIONS):
        try:
            version = AddonVersion.from_terms(row.addon, row.effective, row.terms)
            if version.digest() != row.digest:
                yield row.addon, row.effective, "their digest is another one"
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            yield row.addon, row.effective, f"{type(error).__name__} {error}"


def digests(conn: Connection) -> dict[tuple[str, date], str]:
    """Return the digest of every published version, as it holds now."""
    return {(row.addon, row.effective): row.digest for row in conn.execute(_VERSIONS)}


def dates(conn: Connection) -> frozenset[tuple[str, date]]:
    """Return the add-on and the date of every version that was ever published."""
    query = select(addon_versions.c.addon, addon_versions.c.effective)
    return frozenset((row.addon, row.effective) for row in conn.execute(query))


# Who has a later version may have been moved to it from this one.
_UNUSED = text(
    """
    SELECT v.addon, v.effective
      FROM unnest(CAST(:addons AS text[]), CAST(:days AS date[])) AS v(addon, effective)
     WHERE NOT EXISTS (SELECT FROM subscription_items i
                        WHERE i.addon = v.addon AND i.addon_version >= v.effective)
    """
)


def unused(conn: Connection, versions: Collection[tuple[str, date]]) -> frozenset[tuple[str, date]]:
    """Return those of the versions that no subscription has or can have had."""
    if not versions:
        return frozenset()
    codes, days = zip(*versions, strict=True)
    values = {"addons": literal(codes), "days": literal(days)}
    return frozenset((row.addon, row.effective) for row in conn.execute(_UNUSED, values))


def correct(
    conn: Connection, addon: str, effective: date, version: AddonVersion | None, now: datetime
) -> None:
    """Let other terms hold for an unused version, or none. The database refuses one in use."""
    of_it = (addon_corrections.c.addon == addon) & (addon_corrections.c.effective == effective)
    query = select(func.coalesce(func.max(addon_corrections.c.n), 0)).where(of_it)
    conn.execute(
        insert(addon_corrections).values(
            addon=addon,
            effective=effective,
            n=conn.execute(query).scalar_one() + 1,
            terms=None if version is None else version.to_terms(),
            digest=None if version is None else version.digest(),
            corrected_at=now,
        )
    )


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


def add_versions(conn: Connection, versions: Sequence[AddonVersion], now: datetime) -> None:
    """Publish versions; the database refuses to change one that exists."""
    for version in versions:
        conn.execute(
            insert(addon_versions).values(
                addon=version.addon,
                effective=version.effective,
                terms=version.to_terms(),
                digest=version.digest(),
                published_at=now,
            )
        )
