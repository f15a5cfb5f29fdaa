"""The order in which grants of credit pay an invoice."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from billing.pricing.facts import Credit

_NEVER: Final = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class GrantedCredit:
    """A grant of credit and what is left of it, in minor units of the invoice's currency.

    It pays at instants from `effective` up to but not including `expires`. With a `subscription` it
    pays only for that one.
    """

    grant: UUID
    left: int
    priority: int
    created: datetime
    effective: datetime
    expires: datetime | None = None
    subscription: UUID | None = None


def credit_at(
    grants: Iterable[GrantedCredit], at: datetime, subscription: UUID | None
) -> tuple[Credit, ...]:
    """Return the grants that pay an invoice of a subscription at an instant, in order of use.

    An invoice of none is paid by grants that are for any.

    The lowest priority first, then what expires first (what never does is last), then what was
    created first, then the id. Grants of which nothing is left are left out.
    """
    usable = [each for each in grants if _pays(each, at, subscription)]
    return tuple(Credit(each.grant, each.left) for each in sorted(usable, key=_order))


def _pays(each: GrantedCredit, at: datetime, subscription: UUID | None) -> bool:
    fits = each.subscription is None or each.subscription == subscription
    expired = each.expires is not None and each.expires <= at
    return fits and each.left > 0 and each.effective <= at and not expired


def _order(each: GrantedCredit) -> tuple[int, datetime, datetime, UUID]:
    return each.priority, each.expires or _NEVER, each.created, each.grant
