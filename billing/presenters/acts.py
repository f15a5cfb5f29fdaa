"""What an act on a subscription does, in words, before it is done."""

from billing.flows.subscriptions.lifecycle import CancelPlan
from billing.flows.subscriptions.releasing import ReleasePlan
from billing.rules.credit_notes import Destination
from billing.rules.money import Money


def cancel(plan: CancelPlan, *, forgive: bool) -> str:
    """Return what canceling does, as the end of "this will"."""
    subscription_id = plan.subscription_id
    if plan.ends_at is not None:
        return f"cancel subscription {subscription_id} at {plan.ends_at:%Y-%m-%d %H:%M} UTC"
    words = f"cancel subscription {subscription_id} ({plan.status}) now"
    if plan.voided:
        words += f" and void {plan.voided} invoice(s) that are not collected"
    if plan.served:
        words += ", forgiving" if forgive else ", billing"
        words += " the periods that were served and not billed yet"
    for quoted in plan.notes:
        drafted = quoted.drafted
        goes = "becomes credit" if drafted.destination is Destination.CREDIT else "is refunded"
        total = Money(drafted.note.total, drafted.note.currency)
        words += f"; {total} of invoice {drafted.invoice.number} {goes}"
    return words


def release(plan: ReleasePlan) -> str:
    """Return what releasing a subscription does, as the end of "this will"."""
    subscription_id = plan.subscription_id
    if plan.ends_at is not None:
        ends = f"{plan.ends_at:%Y-%m-%d %H:%M} UTC"
        return f"release subscription {subscription_id}, which then ends: it was to end at {ends}"
    if plan.missed == "bill":
        return f"release subscription {subscription_id} and bill {plan.begun} period(s) now"
    if plan.missed == "skip":
        over = f"pass over {plan.over} missed period(s) unbilled"
        return f"release subscription {subscription_id} and {over}"
    left = f"{plan.over} missed period(s) are left to its catch-up policy"
    return f"release subscription {subscription_id}; {left}"
