"""What is sold beside plans, as it is published: add-ons and coupons."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import Connection

from billing.plans.addons import Addon
from billing.plans.coupons import Coupon
from billing.queries.subscriptions import find_subscription
from billing.store.subscriptions import addons, coupons, redemptions
from billing.store.subscriptions.redemptions import UsedRedemption

__all__ = ["published_addons", "published_coupons", "redeemed_coupons", "redemptions_of"]


def published_addons(conn: Connection) -> dict[str, Addon]:
    """Return every published add-on with all its versions, by code."""
    return addons.published(conn)


def published_coupons(conn: Connection) -> dict[str, Coupon]:
    """Return every published coupon, by code."""
    return coupons.published(conn)


def redeemed_coupons(conn: Connection) -> Mapping[str, int]:
    """Return how often each coupon was redeemed; those that nobody redeemed are left out."""
    return coupons.redeemed(conn)


def redemptions_of(conn: Connection, reference: UUID) -> Sequence[UsedRedemption]:
    """Return the coupons that hold for a subscription, or for all of its customer, oldest first.

    Raises `NotFound`.
    """
    subscription = find_subscription(conn, str(reference))
    return redemptions.used(conn, [subscription.id], [subscription.customer_id])
