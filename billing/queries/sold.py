"""What is sold beside plans, as it is published: add-ons and coupons."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection

from billing.plans.addons import Addon
from billing.plans.coupons import Coupon
from billing.plans.meters import Meter
from billing.queries.subscriptions import find_subscription
from billing.store.subscriptions import addons, coupons, plans, redemptions
from billing.store.subscriptions.redemptions import UsedRedemption

__all__ = [
    "PublishedMeter",
    "published_addons",
    "published_coupons",
    "published_meters",
    "redeemed_coupons",
    "redemptions_of",
]


@dataclass(frozen=True, slots=True)
class PublishedMeter:
    """A meter, and what bills it: items of plans as "plan item", and add-ons by their code."""

    meter: Meter
    billed_by: tuple[str, ...]


def published_addons(conn: Connection) -> dict[str, Addon]:
    """Return every published add-on with all its versions, by code."""
    return addons.published(conn)


def published_coupons(conn: Connection) -> dict[str, Coupon]:
    """Return every published coupon, by code."""
    return coupons.published(conn)


def published_meters(conn: Connection) -> list[PublishedMeter]:
    """Return every meter in published terms, by code, with what bills it."""
    billed: dict[Meter, set[str]] = {}
    for meter, by in _billed(conn):
        billed.setdefault(meter, set()).add(by)
    ordered = sorted(billed.items(), key=lambda pair: pair[0].code)
    return [PublishedMeter(meter, tuple(sorted(by))) for meter, by in ordered]


def _billed(conn: Connection) -> Iterator[tuple[Meter, str]]:
    for plan in plans.published(conn).values():
        for item in (item for version in plan.versions for item in version.sold):
            if item.meter is not None:
                yield item.meter, f"{plan.code} {item.code}"
    for addon in addons.published(conn).values():
        for version in addon.versions:
            if version.item.meter is not None:
                yield version.item.meter, addon.code


def redeemed_coupons(conn: Connection) -> Mapping[str, int]:
    """Return how often each coupon was redeemed; those that nobody redeemed are left out."""
    return coupons.redeemed(conn)


def redemptions_of(conn: Connection, reference: UUID) -> Sequence[UsedRedemption]:
    """Return the coupons that hold for a subscription, or for all of its customer, oldest first.

    Raises `NotFound`.
    """
    subscription = find_subscription(conn, str(reference))
    return redemptions.used(conn, [subscription.id], [subscription.customer_id])
