"""Changes of what subscriptions hold, for callers of the API: once a key, audited."""

from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import Connection

from billing.flows.customers.customers import refuse_anything_like_a_card
from billing.flows.service import change_views, views
from billing.flows.service.callers import Audited, Caller
from billing.flows.service.idempotency import DONE, MADE, KeyedAnswer
from billing.flows.service.views import View
from billing.flows.subscriptions import changing
from billing.flows.subscriptions.changed_terms import ChangeOrder
from billing.flows.taxes.asking import with_taxes
from billing.ids import derived_id
from billing.queries.subscriptions import find_subscription
from billing.rules.item_changes import ChangeAsked
from billing.store.transactions import Joined


class ChangeApi(Audited):
    """Changes with ids that follow from the caller's keys."""

    def quote_change(self, reference: str, order: ChangeOrder) -> View:
        """Return what a change would do, and change nothing. Raises as `change_items`."""
        context = self.context

        def quoted() -> View:
            with context.engine.connect() as conn:
                quote = changing.quote(
                    conn, reference, order, now=context.clock.now(), policy=context.policy
                )
                return change_views.quoted(quote)

        return with_taxes(context, quoted)

    def change_items(
        self,
        caller: Caller,
        key: str,
        reference: str,
        order: ChangeOrder,
        *,
        digest: str | None,
        why: str,
    ) -> KeyedAnswer:
        """Change what a subscription holds. 201. Raises `NotFound`, `BadInput`, `Conflict`."""
        refuse_anything_like_a_card(subscription=reference, reason=why, coupon=order.coupon or "")
        asked = {name: getattr(order, name) for name in order.__slots__}
        # What earlier releases didn't know is left out, so that their requests are repeated.
        for name in ("billing_day", "zone", "credit", "coupon"):
            if asked[name] is None:
                del asked[name]
        given = {"subscription": reference, "digest": digest, "reason": why, **views.plain(asked)}
        now, action = self.context.clock.now(), "subscription.change"

        def work(conn: Connection) -> KeyedAnswer:
            found = find_subscription(conn, reference)
            change_id = _id_of(caller, key, found.id)
            quote = changing.change(
                Joined(conn),
                reference,
                order,
                change_id=change_id,
                now=now,
                asked=ChangeAsked(now, caller.actor, why or "no reason given"),
                policy=self.context.policy,
                digest=digest,
            )
            self._audit(conn, caller, action, found.id, why, {"change_id": str(change_id)})
            return KeyedAnswer(MADE, change_views.quoted(quote, change_id))

        return with_taxes(self.context, lambda: self._once(caller, key, action, given, work))

    def withdraw_change(
        self, caller: Caller, key: str, reference: str, change_id: UUID, *, why: str
    ) -> KeyedAnswer:
        """Take a change back that doesn't hold yet. 200. Raises `NotFound`, `Conflict`."""
        refuse_anything_like_a_card(subscription=reference, reason=why)
        given = {"subscription": reference, "change": str(change_id), "reason": why}
        now, action = self.context.clock.now(), "subscription.change.withdraw"

        def work(conn: Connection) -> KeyedAnswer:
            found = find_subscription(conn, reference)
            changing.withdraw(
                Joined(conn),
                reference,
                change_id,
                withdrawal_id=_id_of(caller, key, found.id),
                asked=ChangeAsked(now, caller.actor, why or "no reason given"),
            )
            self._audit(conn, caller, action, found.id, why, {"change_id": str(change_id)})
            return KeyedAnswer(DONE, views.subscription(find_subscription(conn, reference)))

        return self._once(caller, key, action, given, work)


def _id_of(caller: Caller, key: str, subscription_id: UUID) -> UUID:
    """Return the id of what a caller asks for under a key: the same one after a restore."""
    at = datetime(1970, 1, 1, tzinfo=UTC)
    return derived_id(f"change:{caller.scope}:{key}", subscription_id, 0, at)
