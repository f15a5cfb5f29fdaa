"""`billing subscriptions cancel`, `pause` and `resume`: from when on periods aren't billed."""

from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from billing.cli.options import confirm, lasting, reason_option
from billing.cli.output import Output, output_option, talk
from billing.cli.references import find
from billing.cli.session import Session, person
from billing.errors import BadInput
from billing.rules.credit_notes import Destination

if TYPE_CHECKING:
    from billing.flows.subscriptions.change_invoices import QuotedNote

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
@click.option(
    "--credit", "note", flag_value="credit", help="With --now: the paid days left become credit."
)
@click.option(
    "--refund", "note", flag_value="refund", help="With --now: the paid days left are refunded."
)
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
    note: str | None,
    reason: str,
    dry_run: bool,
    yes: bool,
    output: Output,
) -> None:
    """Cancel a subscription, at once, when its open period ends, or on a date."""
    from billing.flows.subscriptions import lifecycle
    from billing.presenters import acts

    if (when is None) is (on is None):
        raise BadInput("say when to cancel", remedy="add --now or --at-period-end, or --on DATE")
    at_end = when != "now"
    gives_back = None if note is None else Destination(note)
    subscription_id = found_by(session, subscription)
    with session.connect() as conn:
        plan = lifecycle.plan_cancel(
            conn,
            subscription_id,
            at_period_end=at_end,
            now=session.now(),
            on=on,
            gives_back=gives_back,
            policy=session.runtime.policy,
        )
    words = acts.cancel(plan, forgive=forgive)
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
            gives_back=gives_back,
        )
    told = done("cancel", subscription_id, dry_run=dry_run, words=words)
    told["credit_notes"] = [_note(each) for each in plan.notes]
    output.message(told, f"would {words}" if dry_run else f"done: {words}")


def _note(quoted: "QuotedNote") -> dict[str, Any]:
    drafted = quoted.drafted
    return {
        "invoice": drafted.invoice.number,
        "destination": str(drafted.destination),
        "currency": drafted.note.currency,
        "total": drafted.note.total,
    }


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
