"""Naming the account that a subscription is collected over, or leaving that to its customer."""

from datetime import datetime

from billing.crash_points import CrashPoint, marked
from billing.errors import BadInput, ErrorCode
from billing.flows.customers.customers import existing_customer, try_with_new_method
from billing.flows.customers.moving import collect_over
from billing.flows.subscriptions.lifecycle import locked, refuse_what_ended
from billing.flows.subscriptions.subscribing import method_at
from billing.queries.subscriptions import find_subscription
from billing.rules.actor import Actor
from billing.store.payments import payments
from billing.store.subscriptions.subscriptions import Subscription
from billing.store.transactions import Transactions


def name_account(
    engine: Transactions,
    reference: str,
    provider: str | None,
    *,
    now: datetime,
    actor: Actor,
    why: str,
) -> Subscription:
    """Collect a subscription over this account; None is its customer's. Return it as it was.

    Its payments follow at their next attempt; one that waits for another payment method is due now.
    Raises `NotFound`; `BadInput` where the customer isn't at the account, or has no payment method
    there; `Conflict` where the subscription has ended.
    """
    with marked(CrashPoint.ACCOUNT_NAMED), engine.begin() as conn:
        found = find_subscription(conn, reference)
        undecided = payments.lock_collecting(conn, found.id)
        subscription = locked(conn, found.id)
        refuse_what_ended(subscription, now)
        if subscription.provider == provider:
            return subscription
        customer = existing_customer(conn, str(subscription.customer_id))
        if provider is not None and method_at(conn, customer, provider) is None:
            raise BadInput(
                f"customer {customer.id} has no payment method at account {provider}",
                where="provider",
                code=ErrorCode.CUSTOMER_ELSEWHERE,
                customer=customer.id,
                provider=provider,
            )
        collect_over(conn, subscription, provider, now=now, actor=actor, why=why)
        for payment in undecided:
            if payment.waits_for_method and payment.provider != (provider or customer.provider):
                try_with_new_method(conn, payment, now)
        return subscription
