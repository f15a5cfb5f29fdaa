"""All that is sold, by code."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from billing.plans.addons import Addon
from billing.plans.coupons import Coupon
from billing.plans.meters import Meter
from billing.plans.terms import Plan


@dataclass(frozen=True, slots=True)
class Catalog:
    """All plans, add-ons, coupons and meters, each by its code."""

    plans: Mapping[str, Plan] = field(hash=False)
    addons: Mapping[str, Addon] = field(default_factory=dict, hash=False)
    coupons: Mapping[str, Coupon] = field(default_factory=dict, hash=False)
    meters: Mapping[str, Meter] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        for name in ("plans", "addons", "coupons", "meters"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))
