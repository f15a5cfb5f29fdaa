"""Billing what was used last, after the end of a subscription, inside the caller's transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, OperationalError

from billing.errors import BillingError
from billing.flows.cycles import closing_usage, holding, issuing
from billing.flows.cycles.arrears import Arrears, arrears_of
from billing.flows.cycles.charging import Holdings, facts_of_usage
from billing.flows.cycles.deciding import CannotOpen, undecided
from billing.flows.cycles.earning import earned_first_at
from billing.flows.cycles.external_taxes import TaxUndecided
from billing.flows.cycles.held_terms import ever_held
from billing.flows.cycles.issuing import InSeries, Issued
from billing.flows.policy import Policy
from billing.ids import derived_id
from billing.plans.meters import LATE_FOR
from billing.plans.terms import Plan
from billing.pricing import Facts, InvoiceDraft, draft
from billing.rules import invoices as invoice_rules
from billing.rules.subscriptions import ParkedReason
from billing.store.payments import invoices
from billing.store.subscriptions import plans, subscriptions
from billing.store.subscriptions.subscriptions import Subscription

_AGAIN: Final = timedelta(days=1)
_SOON: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class FinalUsage:
    """A subscription whose usage was due, with the invoice of it, if it has one."""

    subscription: Subscription
    draft: InvoiceDraft | None
    arrears: Arrears


def bill_due(
    conn: Connection, now: datetime, limit: int, policy: Policy, *, held: Sequence[str] = ()
) -> tuple[list[FinalUsage], list[tuple[Subscription, CannotOpen]]]:
    """Bill the usage of subscriptions that ended; return them, and whose can't be billed.

    Once usage is accepted no more, what came late is billed, too. Of those that go on, what got
    cheaper is only found: the caller gives it back at once, or another one does later.
    """
    due = subscriptions.lock_usage_due(conn, now, limit, held=held)
    if not due:
        return [], []
    catalog, batch = plans.published(conn), holding.read(conn, due, policy, now)
    billed: list[FinalUsage] = []
    unable: list[tuple[Subscription, CannotOpen]] = []
    for subscription in due:
        try:
            with conn.begin_nested():
                final = _bill(conn, subscription, batch.of(subscription, now), catalog, policy, now)
        except OperationalError:
            raise
        except TaxUndecided as why:
            unable.append((subscription, undecided(why)))
            continue
        except (DBAPIError, BillingError, ValueError, LookupError) as error:
            words = f"{type(error).__name__}: {error}"
            unable.append((subscription, CannotOpen(ParkedReason.ERROR, words)))
            continue
        billed.append(final)
        if final.draft is not None:
            batch.use(final.draft)
    return billed, unable


def _bill(
    conn: Connection,
    subscription: Subscription,
    held: Holdings,
    catalog: Mapping[str, Plan],
    policy: Policy,
    now: datetime,
) -> FinalUsage:
    arrears = arrears_of(subscription, held.usage, held, catalog)
    if subscription.canceled_at is None:
        at = now + _SOON if arrears.cheaper else None
        subscriptions.change(conn, subscription.id, usage_due_at=at)
        return FinalUsage(subscription, None, Arrears(cheaper=arrears.cheaper))
    drafted = facts = None
    if arrears.billed:
        facts = facts_of_usage(subscription, arrears.billed, policy, held)
        drafted = draft(facts)
    if facts is None or drafted is None or not drafted.total:
        drafted, arrears = None, arrears.without_charges()
    else:
        issued = _issued(conn, subscription, facts, drafted, policy, now)
        if held.tax is not None:
            issued = replace(issued, decision=held.tax.decision_of(facts))
        issuing.issue(conn, [issued], now)
    closing_usage.write_unbilled(conn, [(subscription.id, arrears.unbilled)], now)
    subscriptions.change(
        conn,
        subscription.id,
        usage_from_n=_next_billed(subscription, arrears),
        usage_due_at=_once_more(subscription, arrears, held, catalog, now),
    )
    return FinalUsage(subscription, drafted, arrears)


def _next_billed(subscription: Subscription, arrears: Arrears) -> int | None:
    """Return from which period on nothing was billed; one without a cycle isn't counted."""
    if arrears.from_n is None:
        return subscription.usage_from_n
    return min(arrears.from_n, subscription.next_n)


def _issued(
    conn: Connection,
    subscription: Subscription,
    facts: Facts,
    drafted: InvoiceDraft,
    policy: Policy,
    now: datetime,
) -> Issued:
    number = invoice_rules.number(subscription.invoice_prefix, subscription.next_n)
    k = invoices.count_final(conn, subscription.id, number)
    if k:
        number = invoice_rules.number_of_change(number, k)
    series = policy.series_of_subscriptions
    return Issued(
        invoice_id=derived_id("final_invoice", subscription.id, subscription.next_n + k, now),
        payment_id=derived_id("final_payment", subscription.id, subscription.next_n + k, now),
        cycle_id=None,
        subscription_id=subscription.id,
        customer_id=subscription.customer_id,
        number=InSeries(series) if series else number,
        facts=facts,
        draft=drafted,
        recognise_at=earned_first_at(drafted, subscription.zone, now, policy.recognise),
    )


def _once_more(
    subscription: Subscription,
    arrears: Arrears,
    held: Holdings,
    catalog: Mapping[str, Plan],
    now: datetime,
) -> datetime | None:
    """Return when what came late is billed, None where that has been.

    What is to be given back and can't be yet is looked at again after a day.
    """
    ended = subscription.canceled_at
    assert ended is not None, "it ended"
    items = ever_held(subscription, held, catalog)
    late = [item.late_for for item in items if item.late_for is not None]
    at = ended + max(late, default=LATE_FOR) + timedelta(seconds=subscription.usage_wait_seconds)
    if now < at:
        return at
    return now + _AGAIN if arrears.cheaper else None
