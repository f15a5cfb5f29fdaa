"""The terms of add-ons: an item that a subscription can have beside those of its plan."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final

from billing.plans.item_terms import item_from_terms, item_terms
from billing.plans.items import Item
from billing.plans.terms import Existing, terms_digest

_TERMS: Final = frozenset(("existing", "item"))


@dataclass(frozen=True, slots=True)
class AddonVersion:
    """One dated, immutable and complete set of an add-on's terms.

    The item has the add-on's code, and no name of its own. It is billed with the periods of the
    subscription that has it.
    """

    addon: str
    effective: date
    item: Item
    existing: Existing = "keep"
    published_at: datetime | None = field(default=None, compare=False)
    """None where it isn't published."""

    def __post_init__(self) -> None:
        if self.item.code != self.addon:
            raise ValueError(f"add-on {self.addon} sells an item of its own code")

    @property
    def currencies(self) -> frozenset[str]:
        """The currencies that it is sold in."""
        return self.item.currencies

    @property
    def sold(self) -> tuple[Item, ...]:
        """The items that it sells: one."""
        return (self.item,)

    def to_terms(self) -> dict[str, Any]:
        """Return the terms as JSON-able values, absent ones left out."""
        item = item_terms(self.item)
        del item["code"]
        return {"existing": self.existing, "item": item}

    @classmethod
    def from_terms(cls, addon: str, effective: date, terms: Mapping[str, Any]) -> "AddonVersion":
        """Rebuild a version from `to_terms`; unknown terms are refused, not dropped.

        Raises: ValueError, when the terms were written by a newer release or by hand.
        """
        unknown = set(terms) - _TERMS
        if unknown:
            raise ValueError(f"add-on {addon} of {effective} has unknown terms: {sorted(unknown)}")
        item = item_from_terms({**terms["item"], "code": addon})
        return cls(addon, effective, item, terms["existing"])

    def is_published_by(self, at: datetime | None) -> bool:
        """Tell whether the version was published by then; True where one of both isn't known."""
        return at is None or self.published_at is None or self.published_at <= at

    def digest(self) -> str:
        """Return the SHA-256 of the canonical terms."""
        return terms_digest(self.to_terms())


@dataclass(frozen=True, slots=True)
class Addon:
    """What can be added to a subscription of the plans it fits, with its versions by date."""

    code: str
    name: str
    fits: tuple[str, ...]
    """The codes of the plans whose subscriptions can have it."""
    versions: tuple[AddonVersion, ...]
    retired: date | None = None
    """The first day on which nobody adds it any more."""
