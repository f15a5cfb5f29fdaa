"""What is sold, as OpenAPI tells it: plans with their items, add-ons and coupons.

What doesn't apply to an item is left out of its answer.
"""

from typing import Annotated, Literal

from pydantic import Field

from billing.api.schema_types import Body

UnitPrices = Annotated[
    dict[str, str],
    Field(description="Exact prices of one unit by currency, in major units: 0.0008 USD."),
]


class QuantityRangeBody(Body):
    """How many units may be held, and how many are where nobody says."""

    min: int
    max: int
    default: int


class TierBody(Body):
    """A step of a quantity, up to and including `up_to`; the last one has no end."""

    up_to: int = Field(default=0, description="Left out of the last tier.")
    unit: UnitPrices
    flat: dict[str, int] = Field(default={}, description="Added when the tier is reached.")


class PackageBody(Body):
    """Units that are sold `size` at a time."""

    size: int
    price: dict[str, int]
    round: Literal["up", "down"]


class MeterBody(Body):
    """What of the events that are sent is counted."""

    code: str
    event: str = Field(description="The name of the events.")
    aggregate: Literal["count", "sum", "max", "last", "unique", "level"]
    value: str = Field(default="", description="The property whose value is read.")
    key: str = Field(default="", description="The property whose different values are counted.")
    where: dict[str, list[str]] = Field(
        default={}, description="The values that properties of counted events have."
    )


class ItemPriceBody(Body):
    """How an item is priced: amounts are minor units by currency."""

    per: str = Field(default="", description="What a unit is called.")
    once: bool = Field(default=False, description="Charged one time.")
    quantity: QuantityRangeBody | None = None
    price: dict[str, int] = Field(default={}, description="For a period, whatever the quantity.")
    unit: UnitPrices = Field(default_factory=dict)
    tiers: Literal["graduated", "volume"] | None = None
    tier: list[TierBody] = Field(default_factory=list)
    package: PackageBody | None = None
    included: str = Field(default="0", description="How many units cost nothing.")
    minimum: dict[str, int] = Field(default_factory=dict)
    maximum: dict[str, int] = Field(default_factory=dict)
    meter: MeterBody | None = Field(default=None, description="Where usage is counted.")
    late_for: int = Field(default=0, description="How many days late usage is accepted.")
    bills_trial: bool = Field(default=False, description="What a trial used is billed after it.")
    alert: int = Field(default=0, description="At which percentage of `included` usage is noted.")


class ItemBody(ItemPriceBody):
    """One item of a plan's version."""

    code: str
    name: str = ""


class PlanVersionBody(Body):
    """Dated, unchangeable terms; prices are minor units by currency."""

    effective: str
    every: str
    trial: str | None
    anchor_day: int | None
    anchor_month: int | None
    anchor_weekday: int | None
    existing: Literal["keep", "move"]
    prices: dict[str, int]
    items: list[ItemBody] = Field(
        default=[], description="What it sells, where it has no single price."
    )


class PlanBody(Body):
    """What is sold."""

    code: str
    product: str
    name: str
    versions: list[PlanVersionBody]


class PlansBody(Body):
    """All that is sold."""

    data: list[PlanBody]


class AddonVersionBody(Body):
    """Dated, unchangeable terms of an add-on."""

    effective: str
    existing: Literal["keep", "move"]
    item: ItemPriceBody


class AddonBody(Body):
    """What a subscription of the plans that it fits can have beside the plan's items."""

    code: str
    name: str
    fits: list[str]
    retired: str | None
    versions: list[AddonVersionBody]


class AddonsBody(Body):
    """All add-ons."""

    data: list[AddonBody]


class CouponBody(Body):
    """What a code takes off: a percentage, or amounts in minor units by currency."""

    code: str
    percent: str | None
    amount: dict[str, int]
    on: list[str] | None = Field(description="Codes of items; null: all but those charged once.")
    for_: str = Field(alias="for", examples=["once", "3 invoices", "6 months", "forever"])
    stack: int
    rest: Literal["lost", "kept"]
    until: str | None = Field(description="The last day on which it can be redeemed.")
    limit: int | None = Field(description="How often it can be redeemed.")
    redeemed: int


class CouponsBody(Body):
    """All coupons."""

    data: list[CouponBody]
