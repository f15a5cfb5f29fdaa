"""Periods whose usage is to be billed, as they were read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from fractions import Fraction
from uuid import UUID

from billing.pricing import UsageClosing
from billing.rules.subscriptions import CycleKind
from billing.rules.usage_quantities import CountedUsage

Counter = tuple[str, int]
"""A meter, and the number of a segment."""


@dataclass(frozen=True, slots=True)
class MeteredPeriod:
    """A period whose usage is to be billed: what was counted in it, and what of that was billed.

    It was scheduled from `start` to `end`, for a share of a whole period, and ended at `ends_at`.
    `opening` has each level at its begin, by meter. One that isn't `opened` has no cycle: its
    subscription ended before.
    """

    n: int
    kind: CycleKind
    start: datetime
    end: datetime
    ends_at: datetime
    plan: str
    plan_version: date
    share: tuple[int, int] = (1, 1)
    counted: Mapping[Counter, CountedUsage] = field(default_factory=dict)
    billed: Mapping[Counter, UsageClosing] = field(default_factory=dict)
    billed_in: Mapping[Counter, UUID | None] = field(default_factory=dict)
    opening: Mapping[str, Fraction] = field(default_factory=dict)
    opened: bool = True
