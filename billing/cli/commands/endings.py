"""`billing subscriptions cancel`, `pause` and `resume`: from when on periods aren't billed."""

from datetime import datetime
from typing import Any
from uuid import UUID

import click

from billing.cli.options import confirm, lasting, reason_option
from billing.cli.output import Output, output_option, talk
from billing.cli.references import find
from billing.cli.session import Session, person
from billing.errors import BadInput

CIVIL_TIME = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"])


def found_by(session: Session, typed: str) -> UUID:
    """Return the id of the subscription that was typed. Raises: NotFound."""
    with session.connect() as conn:
        return find(conn, "subscription", typed)


def done(action: str, subscription_id: UUID, *, dry_run: bool, words: str) -> dict[str, Any]:
    """Return what a command tells that it did to a subscription."""
    return {
        "action": action,
        "dry_run": dry_run,
        "subscription_id": subscription_id,
        "words": words,
    }


@click.command("cancel")
@click.argument("subscription")
@click.option("--now", "when", flag_value="now", help="At once; what isn't collected is voided.")
@click.option("--at-period-end", "when", flag_value="end", help="When the open period ends.")
@click.option("--on", type=CIVIL_TIME, metavar="DATE", help="With the period that day lies in.")
@click.option("--forgive", is_flag=True, help="With --now: don't bill what was served unbilled.")
@reason_option
@lasting
@output_option
@click.pass_obj
def cancel(
    session: Session,
    subscription: str,
    when: str | None,
    on: datetime | None,
    forgive: bool,
    reason: str,
    dry_run: bool,
    yes: bool,
    output: Output,
) -> None:
    """Cancel a subscription, at once, when its open period ends, or on a date."""
    from billing.flows.subscriptions import lifecycle

    if (when is None) is (on is None):
        raise BadInput("say when to cancel", remedy="add --now or --at-period-end, or --on DATE")
    at_end = when != "now"
    subscription_id = found_by(session, subscription)
    words = _cancel_preview(session, subscription_id, at_period_end=at_end, forgive=forgive, on=on)
    if not dry_run:
        talk(f"this will {words}")
        confirm("Cancel it?", yes=yes)
        lifecycle.cancel(
            session.engine,
            str(subscription_id),
            at_period_end=at_end,
            on=on,
            now=session.now(),
            actor=person(),
            why=reason,
            forgive=forgive,
            policy=session.runtime.policy,
        )
    told = done("cancel", subscription_id, dry_run=dry_run, words=words)
    output.message(told, f"would {words}" if dry_run else f"done: {words}")


def _cancel_preview(
    session: Session,
    subscription_id: UUID,
    *,
    at_period_end: bool,
    forgive: bool,
    on: datetime | None,
) -> str:
    """Return in words what canceling does. Raises: Conflict, as canceling itself would."""
    from billing.flows.subscriptions import lifecycle

    with session.connect() as conn:
        plan = lifecycle.plan_cancel(
            conn, subscription_id, at_period_end=at_period_end, now=session.now(), on=on
        )
    if plan.ends_at is not None:
        return f"cancel subscription {subscription_id} at {plan.ends_at:%Y-%m-%d %H:%M} UTC"
    words = f"cancel subscription {subscription_id} ({plan.status}) now"
    if plan.voided:
        words += f" and void {plan.voided} invoice(s) that are not collected"
    if plan.served:
        words += ", forgiving" if forgive else ", billing"
        words += " the periods that were served and not billed yet"
    return words


@click.command("pause")
@click.argument("subscription")
@click.option("--for", "periods", type=int, metavar="PERIODS", help="So many periods.")
@click.option("--until", type=CIVIL_TIME, metavar="DATE", help="Those that start before that day.")
@reason_option
@output_option
@click.pass_obj
def pause(
    session: Session,
    subscription: str,
    periods: int | None,
    until: datetime | None,
    reason: str,
    output: Output,
) -> None:
    """Pause a subscription: from its next period on, periods pass unbilled until it is resumed."""
    from billing.flows.subscriptions import lifecycle

    subscription_id = found_by(session, subscription)
    lifecycle.pause(
        session.engine,
        str(subscription_id),
        now=session.now(),
        actor=person(),
        why=reason,
        periods=periods,
        until=until,
    )
    words = f"subscription {subscription_id} is paused from its next period on"
    output.message(done("pause", subscription_id, dry_run=False, words=words), words)


@click.command("resume")
@click.argument("subscription")
@click.option("--on", type=CIVIL_TIME, metavar="DATE", help="With the first period from then on.")
@reason_option
@output_option
@click.pass_obj
def resume(
    session: Session, subscription: str, on: datetime | None, reason: str, output: Output
) -> None:
    """Resume a paused or unpaid subscription, or take back a cancellation at the period's end."""
    from billing.flows.subscriptions import lifecycle

    subscription_id = found_by(session, subscription)
    lifecycle.resume(
        session.engine,
        str(subscription_id),
        now=session.now(),
        actor=person(),
        why=reason,
        on=on,
    )
    words = f"subscription {subscription_id} goes on"
    if on is not None:
        words += f" with its first period from {on:%Y-%m-%d} on"
    output.message(done("resume", subscription_id, dry_run=False, words=words), words)
