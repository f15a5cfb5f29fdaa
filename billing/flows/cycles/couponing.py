"""Which redeemed coupons take something off the invoices of a batch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from sqlalchemy import Connection

from billing.plans.coupons import Coupon
from billing.plans.currencies import charge_step
from billing.pricing import Discount, DraftDiscount, Redeemed, discounts_at
from billing.store.subscriptions import coupons, redemptions
from billing.store.subscriptions.redemptions import UsedRedemption
from billing.store.subscriptions.subscriptions import Subscription


@dataclass(slots=True)
class BatchCoupons:
    """What was redeemed for a batch; what one invoice uses counts for the next one.

    `by_owner` has the redemptions of a subscription, and those of all of a customer.
    """

    catalog: Mapping[str, Coupon] = field(default_factory=dict)
    redemptions: dict[UUID, UsedRedemption] = field(default_factory=dict)
    by_owner: Mapping[UUID, Sequence[UUID]] = field(default_factory=dict)

    def of(self, subscription: Subscription) -> tuple[Discount, ...]:
        """Return the discounts of a subscription's next invoice, in order of use."""
        fitting = [
            self._redeemed(self.redemptions[each], subscription.currency)
            for owner in (subscription.id, subscription.customer_id)
            for each in self.by_owner.get(owner, ())
        ]
        if not fitting:
            return ()
        currency, at = subscription.currency, subscription.canceled_at
        if subscription.renews_at is not None:
            at = subscription.next_period.period.start
        if at is None:
            return ()
        step = charge_step(currency)
        zone = subscription.at_period(subscription.next_n).zone
        return discounts_at(fitting, at, currency, zone, step=step)

    def _redeemed(self, each: UsedRedemption, currency: str) -> Redeemed:
        return Redeemed(
            redemption=each.id,
            coupon=self.catalog[each.coupon],
            at=each.at,
            invoices=each.invoices,
            taken=each.taken.get(currency, 0),
        )

    def use(self, discounts: Sequence[DraftDiscount], currency: str) -> None:
        """Count what an invoice uses."""
        for each in discounts:
            known = self.redemptions[each.redemption]
            taken = {**known.taken, currency: known.taken.get(currency, 0) + each.amount}
            self.redemptions[each.redemption] = replace(
                known, invoices=known.invoices + 1, taken=taken
            )


def read(conn: Connection, due: Sequence[Subscription]) -> BatchCoupons:
    """Return what was redeemed for (locked) subscriptions."""
    found = redemptions.lock_used(
        conn, [each.id for each in due], sorted({each.customer_id for each in due})
    )
    if not found:
        return BatchCoupons()
    by_owner: dict[UUID, list[UUID]] = {}
    for each in found:
        by_owner.setdefault(each.subscription_id or each.customer_id, []).append(each.id)
    return BatchCoupons(coupons.published(conn), {each.id: each for each in found}, by_owner)
