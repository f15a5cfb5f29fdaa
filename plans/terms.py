"""The terms of what is sold: frozen values, and which version of a plan applies when.

A version is complete: cadence, trial, alignment and a price per currency, or items with prices.
Nothing in it is inherited from the plan, so an old cycle can always be explained from the version
it names. Dunning, catch-up and when changes apply are policy of the plan: they are no part of the
contract.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from fractions import Fraction
from types import MappingProxyType
from typing import Any, Final, Literal, Protocol, TypeVar, get_args

from billing.plans.errors import BadValue
from billing.plans.item_terms import item_from_terms, item_terms
from billing.plans.items import BASE, Item, QuantityRange
from billing.plans.taxes import TaxTerms

Unit = Literal["day", "week", "month", "year"]
Existing = Literal["keep", "move"]
CatchUpPolicy = Literal["bill", "skip", "park"]
OnDispute = Literal["continue", "pause", "cancel"]
GiveUp = Literal["cancel", "unpaid"]
ChangeTime = Literal["now", "period_end"]
ChangeCredit = Literal["next_invoice", "refund", "none"]

UNITS: Final[tuple[Unit, ...]] = get_args(Unit)

_CADENCE: Final = re.compile(r"([1-9][0-9]{0,3}) ?(d|days?|w|weeks?|mo|months?|y|years?)", re.ASCII)
_UNIT_OF: Final[Mapping[str, Unit]] = {"d": "day", "w": "week", "m": "month", "y": "year"}


class CadenceError(BadValue):
    """The text or the number is not a cadence."""


class NoVersion(LookupError):
    """No version of the plan is on sale on that day."""


@dataclass(frozen=True, slots=True)
class Cadence:
    """How often, or how long: a whole number of civil days, weeks, months or years."""

    count: int
    unit: Unit

    def __post_init__(self) -> None:
        if type(self.count) is not int or not 1 <= self.count <= 9999:
            raise CadenceError(f"{self.count!r} is no count of a cadence", "count from 1 to 9999")
        if self.unit not in UNITS:
            raise CadenceError(f"{self.unit!r} is no unit", f"it is one of {', '.join(UNITS)}")

    @classmethod
    def parse(cls, text: str) -> "Cadence":
        """Read "1 month", "2 weeks", "14 days", "3d", "2w", "3mo" or "1y". Raises: CadenceError."""
        match = _CADENCE.fullmatch(text)
        if match is None:
            raise CadenceError(
                f"{text!r} is not a cadence", "write it like '1 month', '2 weeks' or '14d'"
            )
        return cls(int(match[1]), _UNIT_OF[match[2][0]])

    def __str__(self) -> str:
        return f"{self.count} {self.unit}{'' if self.count == 1 else 's'}"


@dataclass(frozen=True, slots=True)
class Dunning:
    """The ladder of later attempts: how long after each decline the next one is made.

    The steps follow each other: 3, 5 and 7 days put the attempts 3, 8 and 15 days after the first
    decline. `then` is the subscription's status when the ladder is over.
    """

    retry_after: tuple[Cadence, ...]
    then: GiveUp


@dataclass(frozen=True, slots=True)
class ChangePolicy:
    """When a change of a subscription applies if nobody says, and what becomes of what was paid.

    `up` is for changes that cost more, `down` for those that cost less. What was paid for the days
    that a change takes away is credit for the next invoice, or refunded, or kept.
    """

    up: ChangeTime = "now"
    down: ChangeTime = "period_end"
    credit: ChangeCredit = "next_invoice"


ANCHORS: Final = ("anchor_day", "anchor_month", "anchor_weekday")


@dataclass(frozen=True, slots=True)
class PlanVersion:
    """One dated, immutable and complete set of terms. Prices are minor units by currency.

    It sells either one item at `prices` a unit, or `items`.
    """

    plan: str
    effective: date
    existing: Existing
    every: Cadence
    trial: Cadence | None
    anchor_day: int | None
    prices: Mapping[str, int] = field(hash=False)
    anchor_month: int | None = None
    anchor_weekday: int | None = None
    """From 1 for Monday to 7."""
    published_at: datetime | None = field(default=None, compare=False)
    """None where it isn't published."""
    items: tuple[Item, ...] = ()
    tax: TaxTerms | None = None
    """How all its items are taxed that don't say so themselves."""
    sold: tuple[Item, ...] = field(init=False, repr=False, compare=False)
    """The items that it sells: with a single price, one that takes any quantity."""

    def __post_init__(self) -> None:
        if bool(self.prices) == bool(self.items):
            raise ValueError(f"{self.plan} of {self.effective} has a price, or items with prices")
        object.__setattr__(self, "prices", MappingProxyType(dict(self.prices)))
        object.__setattr__(self, "sold", self.items or (_single_item(self.prices),))

    @property
    def currencies(self) -> frozenset[str]:
        """The currencies that it is sold in."""
        return self.items[0].currencies if self.items else frozenset(self.prices)

    def item(self, code: str) -> Item | None:
        """Return an item that it sells, by its code."""
        return next((each for each in self.sold if each.code == code), None)

    def to_terms(self) -> dict[str, Any]:
        """Return the terms as JSON-able values, absent ones left out.

        Leaving them out keeps old digests true when a later release adds an optional term.
        """
        terms: dict[str, Any] = {"every": str(self.every), "existing": self.existing}
        if self.items:
            terms["items"] = [item_terms(item) for item in self.items]
        else:
            terms["prices"] = dict(sorted(self.prices.items()))
        if self.trial is not None:
            terms["trial"] = str(self.trial)
        if self.anchor_day is not None:
            terms["anchor_day"] = self.anchor_day
        if self.anchor_month is not None:
            terms["anchor_month"] = self.anchor_month
        if self.anchor_weekday is not None:
            terms["anchor_weekday"] = self.anchor_weekday
        if self.tax is not None:
            terms["tax"] = self.tax.to_terms()
        return terms

    @classmethod
    def from_terms(cls, plan: str, effective: date, terms: Mapping[str, Any]) -> "PlanVersion":
        """Rebuild a version from `to_terms`; unknown terms are refused, not dropped.

        Raises: ValueError, when the terms were written by a newer release or by hand.
        """
        unknown = set(terms) - {"every", "existing", "prices", "items", "trial", "tax", *ANCHORS}
        if unknown:
            raise ValueError(f"{plan} of {effective} has unknown terms: {sorted(unknown)}")
        trial, tax = terms.get("trial"), terms.get("tax")
        return cls(
            plan=plan,
            effective=effective,
            existing=terms["existing"],
            every=Cadence.parse(terms["every"]),
            trial=None if trial is None else Cadence.parse(trial),
            anchor_day=terms.get("anchor_day"),
            anchor_month=terms.get("anchor_month"),
            anchor_weekday=terms.get("anchor_weekday"),
            prices=terms.get("prices", {}),
            items=tuple(item_from_terms(item) for item in terms.get("items", ())),
            tax=None if tax is None else TaxTerms.from_terms(tax),
        )

    def is_published_by(self, at: datetime | None) -> bool:
        """Tell whether the version was published by then; True where one of both isn't known."""
        return at is None or self.published_at is None or self.published_at <= at

    def digest(self) -> str:
        """Return the SHA-256 of the canonical terms: equal terms, equal digest, on any machine."""
        return terms_digest(self.to_terms())


def _single_item(prices: Mapping[str, int]) -> Item:
    unit = {currency: Fraction(amount) for currency, amount in prices.items()}
    return Item(BASE, quantity=QuantityRange(), unit=unit)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a customer can subscribe to, with all its versions in order of their dates."""

    code: str
    product: str
    name: str
    dunning: Dunning | None
    catch_up: CatchUpPolicy | None
    versions: tuple[PlanVersion, ...]
    retired: date | None = None
    """The first day on which nobody subscribes to it any more."""
    one_per_customer: bool = False
    """A customer has no second subscription to it while one goes on."""
    trial_once: bool = False
    """Who had a subscription to it before gets no trial."""
    on_dispute: OnDispute = "continue"
    """What becomes of a subscription that a dispute was lost for."""
    change: ChangePolicy = ChangePolicy()


class Dated(Protocol):
    """Terms that hold from a day on: a version of a plan or of an add-on."""

    @property
    def effective(self) -> date:
        """Return the first day on which they apply."""
        ...

    @property
    def existing(self) -> Existing:
        """Return what they mean for those who hold earlier ones."""
        ...

    def is_published_by(self, at: datetime | None) -> bool:
        """Tell whether they were published by then."""
        ...


_V = TypeVar("_V", bound=Dated)


def terms_digest(terms: Mapping[str, Any]) -> str:
    """Return the SHA-256 of terms in their canonical form, in hexadecimal digits."""
    canonical = json.dumps(terms, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def version_for_new(versions: Sequence[_V], on: date) -> _V:
    """Return the version that a subscription starting on that day gets. Raises: NoVersion."""
    on_sale = [version for version in versions if version.effective <= on]
    if not on_sale:
        raise NoVersion(f"no version is on sale on {on}; the first one is later")
    return max(on_sale, key=_effective)


def version_for_period(
    versions: Sequence[_V], current: date, on: date, starts: datetime | None = None
) -> _V:
    """Return the version that prices a period starting on that day, at the instant `starts`.

    A version that was published after that instant doesn't: nobody could know it then.

    `current` is the effective date of the version the subscription holds. It is held until
    a later version says `move`; versions that say `keep` pass it by, however many there are.
    Raises: NoVersion, when the version held isn't among `versions`.
    """
    moves = [
        v
        for v in versions
        if v.existing == "move" and current < v.effective <= on and v.is_published_by(starts)
    ]
    if moves:
        return max(moves, key=_effective)
    held = next((version for version in versions if version.effective == current), None)
    if held is None:
        raise NoVersion(f"the version of {current} is not among the versions")
    return held


def _effective(version: Dated) -> date:
    return version.effective
