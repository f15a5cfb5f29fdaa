"""What the subscriptions of a batch hold: items, coupons, and the credit of their customers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from billing.flows.cycles import couponing, metering, taxing
from billing.flows.cycles.charging import NOTHING_HELD, Holdings
from billing.flows.cycles.couponing import BatchCoupons
from billing.flows.cycles.metered_periods import MeteredPeriod
from billing.flows.cycles.taxing import TaxSources
from billing.flows.policy import Policy
from billing.plans.addons import Addon
from billing.pricing import Credit, GrantedCredit, InvoiceDraft, credit_at
from billing.rules.item_changes import ItemChange
from billing.store.payments import credit
from billing.store.payments.credit import GrantLeft
from billing.store.subscriptions import addons, item_changes, items
from billing.store.subscriptions.items import HeldItem
from billing.store.subscriptions.subscriptions import Subscription


@dataclass(slots=True)
class BatchHoldings:
    """What was read for a batch; credit that one invoice uses isn't there for the next one."""

    items: Mapping[UUID, Sequence[HeldItem]] = field(default_factory=dict)
    addons: Mapping[str, Addon] = field(default_factory=dict)
    grants: Mapping[UUID, Sequence[GrantLeft]] = field(default_factory=dict)
    coupons: BatchCoupons = field(default_factory=BatchCoupons)
    used: dict[UUID, int] = field(default_factory=dict)
    changes: Mapping[UUID, Sequence[ItemChange]] = field(default_factory=dict)
    taxes: TaxSources | None = None
    usage: Mapping[UUID, Sequence[MeteredPeriod]] = field(default_factory=dict)

    def of(self, subscription: Subscription, now: datetime) -> Holdings:
        """Return what a subscription holds for the invoice of its next period, issued now."""
        discounts = self.coupons.of(subscription)
        held = self.items.get(subscription.id, ())
        grants = self.grants.get(subscription.customer_id, ())
        asked = self.changes.get(subscription.id, ())
        usage = self.usage.get(subscription.id, ())
        tax = (
            None
            if self.taxes is None
            else self.taxes.of(subscription.customer_id, now, subscription.id)
        )
        if not (held or grants or asked or discounts or usage):
            return NOTHING_HELD if tax is None else Holdings(tax=tax)
        in_currency = [
            self._granted(grant) for grant in grants if grant.currency == subscription.currency
        ]
        usable = credit_at(in_currency, now, subscription.id)
        return Holdings(held, self.addons, asked, discounts, usable, tax, usage)

    def _granted(self, grant: GrantLeft) -> GrantedCredit:
        return granted(grant, used=self.used.get(grant.id, 0))

    def add(self, customer_id: UUID, grant: GrantLeft) -> None:
        """Note a grant that is about to be made."""
        self.grants = {**self.grants, customer_id: [*self.grants.get(customer_id, ()), grant]}

    def use(self, draft: InvoiceDraft) -> None:
        """Note what an invoice uses."""
        for each in draft.credit:
            self.used[each.grant] = self.used.get(each.grant, 0) + each.amount
        self.coupons.use(draft.discounts, draft.currency)


def granted(grant: GrantLeft, *, used: int = 0) -> GrantedCredit:
    """Return what a grant holds for an invoice, of which others have `used` a part."""
    return GrantedCredit(
        grant=grant.id,
        left=grant.left - used,
        priority=grant.priority,
        created=grant.created_at,
        effective=grant.effective_at,
        expires=grant.expires_at,
        subscription=grant.subscription_id,
    )


def credit_of(
    conn: Connection, customer_id: UUID, currency: str, now: datetime
) -> tuple[Credit, ...]:
    """Return the credit that pays an invoice of no subscription; the customer's is locked."""
    grants = credit.lock_left(conn, [customer_id]).get(customer_id, ())
    of_currency = [granted(grant) for grant in grants if grant.currency == currency]
    return credit_at(of_currency, now, None)


def read(
    conn: Connection,
    due: Sequence[Subscription],
    policy: Policy,
    bills_at: datetime | None = None,
) -> BatchHoldings:
    """Return what (locked) subscriptions hold; their customers' credit is locked from here on.

    With `bills_at` the usage is read and locked, too, that an invoice bills which is issued then.
    """
    ids = [each.id for each in due]
    held = items.of_many(conn, ids)
    asked = item_changes.of_many(conn, ids)
    customers = sorted({each.customer_id for each in due})
    return BatchHoldings(
        items=held,
        addons=addons.published(conn) if _any_addon(held, asked) else {},
        coupons=couponing.read(conn, due),
        grants=credit.lock_left(conn, customers),
        changes=asked,
        taxes=None if policy.tax is None else taxing.read(conn, customers, policy.tax),
        usage={} if bills_at is None else metering.read(conn, due, bills_at, asked),
    )


def _any_addon(
    held: Mapping[UUID, Sequence[HeldItem]], asked: Mapping[UUID, Sequence[ItemChange]]
) -> bool:
    return any(each.addon is not None for rows in held.values() for each in rows) or any(
        change.addons for changes in asked.values() for change in changes
    )


def of(conn: Connection, subscription: Subscription, now: datetime, policy: Policy) -> Holdings:
    """Return what one (locked) subscription holds for an invoice that is issued now."""
    return read(conn, [subscription], policy, now).of(subscription, now)
