"""Add-ons that a change adds, removes or counts anew."""

from collections.abc import Mapping
from datetime import date
from fractions import Fraction

from billing.errors import BadInput, ErrorCode
from billing.flows.subscriptions import ordered_addons, ordered_items
from billing.plans.addons import Addon, AddonVersion
from billing.plans.items import ItemKind
from billing.plans.terms import Plan
from billing.rules.item_changes import HeldTerms


def split(
    asked: Mapping[str, int], plan: Plan, addons: Mapping[str, Addon], held: HeldTerms, on: date
) -> tuple[Mapping[str, int], Mapping[str, date]]:
    """Return the quantities that are of a plan's own items, and the versions of add-ons asked for.

    Who has an add-on keeps its version; one of which there is to be nothing is removed, and has
    none. Raises: BadInput.
    """
    removed = {code for code, quantity in asked.items() if code in held.addons and not quantity}
    wanted = {code: quantity for code, quantity in asked.items() if code not in removed}
    own, ordered = ordered_addons.split(wanted, plan, addons, on)
    versions = {each.addon.code: each.version.effective for each in ordered}
    return own, {code: held.addons.get(code, version) for code, version in versions.items()}


def check_fit(held: HeldTerms, addons: Mapping[str, Addon]) -> None:
    """Check that all add-ons that are held fit the plan. Raises: BadInput."""
    for code in held.addons:
        if held.plan not in addons[code].fits:
            raise BadInput(
                f"add-on {code} doesn't fit plan {held.plan}: remove it in the same change",
                where=f"items.{code}",
                code=ErrorCode.ADDON_DOES_NOT_FIT,
                addon=code,
                fits=addons[code].fits,
            )


def recurring_price(held: HeldTerms, addons: Mapping[str, Addon], currency: str) -> Fraction:
    """Return what the add-ons cost in every whole period, in minor units. Raises: BadInput."""
    versions = (_version(addons[code], effective) for code, effective in held.addons.items())
    recurring = (
        each.item for each in versions if each.item.kind not in (ItemKind.ONCE, ItemKind.METERED)
    )
    prices = (ordered_items.item_price(item, currency, held.items[item.code]) for item in recurring)
    return sum(prices, Fraction(0))


def _version(addon: Addon, effective: date) -> AddonVersion:
    return next(each for each in addon.versions if each.effective == effective)
