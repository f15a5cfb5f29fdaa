"""Add-ons of a catalog file, and their dated versions."""

from typing import Final, cast, get_args

from billing.plans.addons import Addon, AddonVersion
from billing.plans.items import BASE
from billing.plans.load_history import check_history
from billing.plans.load_items import (
    PRICE_KEYS,
    check_currencies,
    read_code,
    read_item,
)
from billing.plans.load_meters import KnownMeters
from billing.plans.load_taxes import read_tax_terms
from billing.plans.table import Table
from billing.plans.terms import Existing

_ADDON_KEYS: Final = ("code", "name", "fits", "retired", "version")
_VERSION_KEYS: Final = ("effective", "existing", *PRICE_KEYS, "tax")


def read_addon(table: Table, meters: KnownMeters) -> Addon | None:
    """Return the add-on, or None when its code or all its versions can't be read."""
    table.refuse_unknown(_ADDON_KEYS)
    code = read_code(table, "sso")
    if code == BASE:
        what = f"{BASE!r} is the item of plans with a single price"
        table.problem("code", what, "give the add-on a code of its own")
    name = table.text("name", required=False)
    fits = table.texts("fits", '["video-basic"]')
    retired = table.day("retired") if table.has("retired") else None
    sections = table.tables("version", "[[addon.version]]")
    read = [(_read_version(section, code, meters), section) for section in sections]
    versions = [(version, section) for version, section in read if version is not None]
    versions.sort(key=lambda pair: pair[0].effective)
    check_history(versions)
    if code is None or fits is None or not versions:
        return None
    return Addon(
        code=code,
        name=name or code.replace("-", " ").title(),
        fits=tuple(sorted(fits)),
        versions=tuple(version for version, _ in versions),
        retired=retired,
    )


def _read_version(table: Table, code: str | None, meters: KnownMeters) -> AddonVersion | None:
    table.refuse_unknown(_VERSION_KEYS)
    effective = table.day("effective")
    existing = cast("Existing | None", table.choice("existing", get_args(Existing)))
    item = read_item(table, code or "", None, meters, read_tax_terms(table))
    check_currencies([table])
    if effective is None or item is None:
        return None
    return AddonVersion(code or "", effective, item, existing or "keep")
