"""Published coupons, and who redeemed them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, func, select
from sqlalchemy.dialects.postgresql import insert

from billing.plans.coupon_terms import coupon_digest, coupon_from_terms, coupon_terms
from billing.plans.coupons import Coupon
from billing.store.rows import reader
from billing.store.tables import coupons, redemptions


@dataclass(frozen=True, slots=True)
class Redemption:
    """A coupon that was redeemed: for one subscription, or for all of a customer.

    `digest` is that of the terms that were agreed; months count from `at`.
    """

    id: UUID
    coupon: str
    digest: str
    customer_id: UUID
    subscription_id: UUID | None
    at: datetime
    actor: str


_redemption = reader(Redemption)


def published(conn: Connection) -> dict[str, Coupon]:
    """Return every published coupon as it holds now, by code."""
    return {
        row.code: coupon_from_terms(row.code, row.terms, row.redeemable_until, row.redemptions_max)
        for row in conn.execute(select(coupons).order_by(coupons.c.code))
    }


def redeemed(conn: Connection) -> Mapping[str, int]:
    """Return how often each coupon was redeemed; those that nobody redeemed are left out."""
    query = select(redemptions.c.coupon, func.count().label("times")).group_by(redemptions.c.coupon)
    return {row.coupon: row.times for row in conn.execute(query)}


def put_coupon(conn: Connection, coupon: Coupon, now: datetime) -> None:
    """Publish a coupon, or correct it. The database refuses other terms than were redeemed."""
    values = {
        "terms": coupon_terms(coupon),
        "digest": coupon_digest(coupon),
        "redeemable_until": coupon.until,
        "redemptions_max": coupon.limit,
        "applied_at": now,
    }
    statement = insert(coupons).values(code=coupon.code, published_at=now, **values)
    conn.execute(statement.on_conflict_do_update(index_elements=["code"], set_=values))


def redeem(conn: Connection, redemption: Redemption) -> None:
    """Insert a redemption. The database refuses one above the limit, and the same one twice."""
    values = {name: getattr(redemption, name) for name in Redemption.__dataclass_fields__}
    conn.execute(insert(redemptions).values(**values))


def redemptions_of(conn: Connection, customer_id: UUID, subscription_id: UUID) -> list[Redemption]:
    """Return what was redeemed for a subscription or for all of its customer, oldest first."""
    of_it = redemptions.c.subscription_id.is_(None) | (
        redemptions.c.subscription_id == subscription_id
    )
    query = select(redemptions).where(redemptions.c.customer_id == customer_id, of_it)
    rows = conn.execute(query.order_by(redemptions.c.at, redemptions.c.id))
    return [_redemption(row) for row in rows]
