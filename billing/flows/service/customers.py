"""Customers, payment methods and subscriptions for callers of the API: once a key, audited."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import Connection

from billing.crash_points import CrashPoint, marked
from billing.errors import BillingError, Unavailable
from billing.flows.coupons import redeeming
from billing.flows.customers import customers as customer_flow
from billing.flows.customers.customers import existing_customer, refuse_anything_like_a_card
from billing.flows.customers.tax_facts import TaxFactsOrder, set_facts
from billing.flows.service import views
from billing.flows.service.callers import Caller
from billing.flows.service.changes import ChangeApi
from billing.flows.service.idempotency import (
    DONE,
    MADE,
    Claim,
    KeyedAnswer,
    KeyedRequest,
    claim,
    keep,
    release,
)
from billing.flows.subscriptions import lifecycle, naming
from billing.flows.subscriptions import subscribing as subscribe
from billing.store.subscriptions import customers, subscriptions
from billing.store.subscriptions.subscriptions import Subscription
from billing.store.transactions import Joined

Change = Literal["cancel", "pause", "resume"]
_CHANGES: Final[Mapping[Change, Callable[..., Subscription]]] = {
    "cancel": lifecycle.cancel,
    "pause": lifecycle.pause,
    "resume": lifecycle.resume,
}


@dataclass(frozen=True)
class CustomerApi(ChangeApi):
    """The customer service that HTTP calls, as `PaymentApi` is the one for payments.

    `held` tells whether outcomes of earlier calls can't be written: then the provider isn't asked.
    """

    held: Callable[[], bool]

    # --- what the provider has a part in --------------------------------------------------------

    def create_customer(
        self,
        caller: Caller,
        key: str,
        *,
        name: str,
        email: str | None,
        external_id: str | None,
        payment_method: str | None,
        provider: str | None = None,
    ) -> KeyedAnswer:
        """Create a customer here and at the provider. 201.

        `provider` is the account that collects from them; None is the default.

        Raises `KeyReused`, `RequestInFlight`, `BadInput`, `Conflict`, `Unavailable`.
        """
        given = {
            "name": name,
            "email": email,
            "external_id": external_id,
            "payment_method": payment_method,
            # Left out where it isn't given, so that keys from before there was one are known again.
            **({} if provider is None else {"provider": provider}),
        }
        refuse_anything_like_a_card(**given)

        def work(claimed: Claim) -> tuple[UUID, Callable[[Connection], KeyedAnswer]]:
            customer_id = customer_flow.create(
                self.context,
                name=name,
                email=email,
                external_id=external_id,
                payment_method=payment_method,
                provider=provider,
                customer_id=claimed.resource_id,
            )
            return customer_id, lambda conn: KeyedAnswer(
                MADE, views.customer(existing_customer(conn, str(customer_id)))
            )

        return self._in_steps(caller, key, "customer.create", given, work)

    def add_payment_method(
        self,
        caller: Caller,
        key: str,
        customer: str,
        token: str,
        *,
        provider: str | None = None,
        make_default: bool = True,
    ) -> KeyedAnswer:
        """Attach a token, and retry the payments that waited for one. 201.

        `provider` and `make_default` are as for `customers.set_payment_method`. Raises as
        `create_customer`, and `NotFound`.
        """
        refuse_anything_like_a_card(customer=customer, payment_method=token)
        with self.context.engine.connect() as conn:
            customer_id = existing_customer(conn, customer).id

        def work(_: Claim) -> tuple[UUID, Callable[[Connection], KeyedAnswer]]:
            details, _tried_again = customer_flow.set_payment_method(
                self.context, str(customer_id), token, provider=provider, make_default=make_default
            )

            def answer(conn: Connection) -> KeyedAnswer:
                found = customers.find_payment_methods(conn, details.token, customer_id)
                method = next(each for each in found if provider in (None, each.provider))
                return KeyedAnswer(MADE, views.payment_method(method))

            return customer_id, answer

        given: dict[str, Any] = {"customer": str(customer_id), "payment_method": token}
        if provider is not None:  # left out otherwise, as in keys from before it could be named
            given |= {"provider": provider, "make_default": make_default}
        return self._in_steps(caller, key, "customer.payment_method", given, work)

    def _in_steps(
        self,
        caller: Caller,
        key: str,
        action: str,
        given: Mapping[str, Any],
        work: Callable[[Claim], tuple[UUID, Callable[[Connection], KeyedAnswer]]],
    ) -> KeyedAnswer:
        """Claim the key, work outside any transaction, keep the answer: each is committed."""
        if self.held():
            raise Unavailable("the database doesn't take what the provider answered before")
        request = KeyedRequest(caller.scope, key, action, given)
        with marked(CrashPoint.CUSTOMER_KEY_CLAIMED), self.context.engine.begin() as conn:
            claimed = claim(
                conn, request, wall=self.context.clock.wall(), lease=self.context.policy.lease
            )
        if isinstance(claimed, KeyedAnswer):
            return claimed
        kept = False
        try:
            subject, answer = self._worked(caller, action, claimed, work)
            with marked(CrashPoint.CUSTOMER_ANSWER_KEPT), self.context.engine.begin() as conn:
                found = keep(conn, claimed, answer(conn), wall=self.context.clock.wall())
                self._audit(conn, caller, action, subject, "")
                kept = True
            return found
        finally:
            if not kept:
                release(self.context.engine, claimed)

    def _worked(
        self,
        caller: Caller,
        action: str,
        claimed: Claim,
        work: Callable[[Claim], tuple[UUID, Callable[[Connection], KeyedAnswer]]],
    ) -> tuple[UUID, Callable[[Connection], KeyedAnswer]]:
        """Run the work; the audit log gets a customer, too, who was made before an error."""
        try:
            return work(claimed)
        except BillingError as error:
            made = claimed.resource_id
            with marked(CrashPoint.CUSTOMER_MADE_AUDITED), self.context.engine.begin() as conn:
                if customers.find(conn, str(made)) is not None:
                    self._audit(conn, caller, action, made, "", {"stopped": error.what})
            raise

    # --- what is ours alone ---------------------------------------------------------------------

    def subscribe(
        self, caller: Caller, key: str, order: subscribe.SubscriptionOrder
    ) -> KeyedAnswer:
        """Start a subscription. 201. Raises as `create_customer`, and `NotFound`."""
        given = views.plain({name: getattr(order, name) for name in order.__slots__})
        for name in ("provider", "items", "coupons"):  # as in keys from before they could be given
            if not given[name]:
                del given[name]
        now = self.context.clock.now()

        def work(conn: Connection) -> KeyedAnswer:
            subscription_id = subscribe.subscribe(Joined(conn), order, now=now, actor=caller.actor)
            self._audit(conn, caller, "subscription.create", subscription_id, "")
            return KeyedAnswer(MADE, _subscription(conn, subscription_id))

        return self._once(caller, key, "subscription.create", given, work)

    def change_subscription(
        self,
        caller: Caller,
        key: str,
        change: Change,
        reference: str,
        *,
        why: str,
        at_period_end: bool = False,
        forgive: bool = False,
        more: Mapping[str, Any] = MappingProxyType({}),
    ) -> KeyedAnswer:
        """Cancel, pause or resume a subscription. 200. Raises `NotFound`, `Conflict`, ...

        `more` are further arguments of the flow; None is as if they weren't given.
        """
        more = {name: value for name, value in more.items() if value is not None}
        refuse_anything_like_a_card(subscription=reference, reason=why)
        given: dict[str, Any] = {
            "subscription": reference,
            "at_period_end": at_period_end,
            "reason": why,
        }
        if forgive:  # left out otherwise, so that keys from before there was it are known again
            given["forgive"] = True
        given |= views.plain(more)
        action = f"subscription.{change}"
        now = self.context.clock.now()

        def work(conn: Connection) -> KeyedAnswer:
            told: dict[str, Any] = {
                "now": now, "actor": caller.actor, "why": why or "no reason given", **more,
            }  # fmt: skip
            if change == "cancel":
                told |= {"at_period_end": at_period_end, "forgive": forgive}
                told["policy"] = self.context.policy
            found = _CHANGES[change](Joined(conn), reference, **told)
            detail = {"at_period_end": at_period_end, **views.plain(more)}
            self._audit(conn, caller, action, found.id, why, detail)
            return KeyedAnswer(DONE, _subscription(conn, found.id))

        return self._once(caller, key, action, given, work)

    def name_account(
        self, caller: Caller, key: str, reference: str, provider: str | None, *, why: str
    ) -> KeyedAnswer:
        """Name the account that a subscription is collected over. 200. Raises as `name_account`."""
        refuse_anything_like_a_card(subscription=reference, reason=why)
        action = "subscription.provider"
        now = self.context.clock.now()

        def work(conn: Connection) -> KeyedAnswer:
            reason = why or "no reason given"
            found = naming.name_account(
                Joined(conn), reference, provider, now=now, actor=caller.actor, why=reason
            )
            self._audit(conn, caller, action, found.id, why, {"provider": provider})
            return KeyedAnswer(DONE, _subscription(conn, found.id))

        given = {"subscription": reference, "provider": provider, "reason": why}
        return self._once(caller, key, action, given, work)

    def set_tax_facts(
        self, caller: Caller, key: str, customer: str, known: Mapping[str, Any]
    ) -> KeyedAnswer:
        """Say where a customer is taxed, from an instant on. 201. Raises as `set_facts`.

        `known` are the fields of a `TaxFactsOrder` beside the customer.
        """
        refuse_anything_like_a_card(customer=customer)
        now = self.context.clock.now()
        order = TaxFactsOrder(customer, **known)

        def work(conn: Connection) -> KeyedAnswer:
            facts = set_facts(conn, order, now=now, actor=caller.actor)
            self._audit(conn, caller, "customer.tax_facts", facts.customer_id, "")
            return KeyedAnswer(MADE, views.tax_facts(facts))

        given = {"customer": customer, **views.plain(known)}
        return self._once(caller, key, "customer.tax_facts", given, work)

    def redeem_coupon(
        self, caller: Caller, key: str, reference: str, coupon: str, *, why: str
    ) -> KeyedAnswer:
        """Redeem a coupon for a subscription. 201. Raises as `redeeming.redeem`."""
        refuse_anything_like_a_card(subscription=reference, coupon=coupon, reason=why)
        now = self.context.clock.now()
        order = redeeming.CouponOrder(coupon, subscription=reference, why=why or "no reason given")

        def work(conn: Connection) -> KeyedAnswer:
            made = redeeming.redeem(Joined(conn), order, now=now, actor=caller.actor)
            found = subscriptions.find(conn, reference)
            assert found is not None, "a coupon was redeemed for it"
            self._audit(conn, caller, "coupon.redeem", found.id, why, {"coupon": coupon})
            redeemed = {"id": made, "coupon": coupon, "subscription_id": found.id, "at": now}
            return KeyedAnswer(MADE, views.plain(redeemed))

        given = {"subscription": reference, "coupon": coupon, "reason": why}
        return self._once(caller, key, "coupon.redeem", given, work)


def _subscription(conn: Connection, subscription_id: UUID) -> views.View:
    found = subscriptions.find(conn, str(subscription_id))
    assert found is not None, "subscriptions are never deleted"
    return views.subscription(found)
