"""All that is sold, by code."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from billing.plans.addons import Addon
from billing.plans.coupons import Coupon
from billing.plans.meters import Meter
from billing.plans.taxes import TaxRate, TaxTerms
from billing.plans.terms import Plan


@dataclass(frozen=True, slots=True)
class Catalog:
    """All plans, add-ons, coupons and meters, each by its code, and the rates of taxes."""

    plans: Mapping[str, Plan] = field(hash=False)
    addons: Mapping[str, Addon] = field(default_factory=dict, hash=False)
    coupons: Mapping[str, Coupon] = field(default_factory=dict, hash=False)
    meters: Mapping[str, Meter] = field(default_factory=dict, hash=False)
    tax_rates: tuple[TaxRate, ...] = ()

    def __post_init__(self) -> None:
        for name in ("plans", "addons", "coupons", "meters"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    @property
    def tax_classes(self) -> frozenset[str | None]:
        """The classes of what is sold; None for what says none."""
        found: set[str | None] = set()
        for plan in self.plans.values():
            for version in plan.versions:
                around = version.tax or TaxTerms()
                found |= {
                    (each.tax or TaxTerms()).within(around).tax_class for each in version.sold
                }
        for addon in self.addons.values():
            found |= {(each.item.tax or TaxTerms()).tax_class for each in addon.versions}
        return frozenset(found)
