"""`billing subscriptions`: customers' contracts, from the first period to the last."""

from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from billing.cli.commands import changes
from billing.cli.options import (
    confirm,
    lasting,
    paged,
    provider_option,
    reason_option,
    word_option,
)
from billing.cli.output import Output, output_option, talk
from billing.cli.records import CYCLES, HELD, REDEMPTIONS, SUBSCRIPTIONS, plain, write_page
from billing.cli.references import find
from billing.cli.session import Session, person
from billing.errors import BadInput, NotFound
from billing.rules.subscriptions import Status
from billing.rules.texts import nearest

if TYPE_CHECKING:
    from sqlalchemy import Connection

_RECENT_CYCLES = 12
_REANCHORED = ("subscription_id", "zone", "announced", "by_schedule", "moved")


@click.group()
def subscriptions() -> None:
    """Customers' contracts."""


subscriptions.add_command(changes.change)
subscriptions.add_command(changes.withdraw)


_STARTS = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"])


@subscriptions.command("create")
@click.argument("customer")
@click.argument("plan")
@click.option("--currency", metavar="CODE", help="Needed where the plan is sold in several.")
@click.option(
    "--quantity", type=int, default=1, show_default=True, help="How many units, or seats."
)
@click.option(
    "--item", "items", multiple=True, metavar="CODE=QUANTITY",
    help="How many of an item, where the plan sells several; its default, when left out.",
)  # fmt: skip
@click.option(
    "--coupon", "coupons", multiple=True, metavar="CODE",
    help="A coupon to redeem, from the first invoice on.",
)  # fmt: skip
@click.option("--zone", default="UTC", show_default=True, help="Time zone of the boundaries.")
@click.option(
    "--starts", type=_STARTS, metavar="DATE[THH:MM]",
    help="Civil time in that zone at which the first period begins; now, when left out.",
)  # fmt: skip
@click.option("--external-id", metavar="ID", help="Your own id of it; a repeat is refused.")
@click.option("--no-trial", is_flag=True, help="Bill from the first period on.")
@click.option(
    "--import", "imported", is_flag=True,
    help="It began elsewhere: periods that have begun by now were billed there. With --starts.",
)  # fmt: skip
@provider_option("The account that it is collected over; else its customer's.")
@output_option
@click.pass_obj
def create(
    session: Session,
    customer: str,
    plan: str,
    currency: str | None,
    quantity: int,
    items: tuple[str, ...],
    coupons: tuple[str, ...],
    zone: str,
    starts: datetime | None,
    external_id: str | None,
    no_trial: bool,
    imported: bool,
    provider: str | None,
    output: Output,
) -> None:
    """Subscribe a customer to a plan.

    The scheduler opens the first period when it begins, and charges for it unless it is a trial.
    """
    from billing.flows.subscriptions.subscribing import SubscriptionOrder
    from billing.flows.subscriptions.subscribing import subscribe as start

    with session.connect() as conn:
        customer_id = find(conn, "customer", customer)
        sold_in = _currencies(conn, plan)
    order = SubscriptionOrder(
        customer=str(customer_id),
        plan=plan,
        currency=(currency or _only(sold_in, plan)).upper(),
        quantity=quantity,
        items=changes.quantities(items),
        coupons=coupons,
        zone=zone,
        starts=starts,
        external_id=external_id,
        trial=not no_trial,
        imported=imported,
        provider=provider,
    )
    subscription_id = start(session.engine, order, now=session.now(), actor=person())
    _show(session, subscription_id, output)


def _currencies(conn: "Connection", code: str) -> list[str]:
    """Return the currencies a plan is sold in. Raises: NotFound."""
    from billing.queries.subscriptions import published_plans

    published = published_plans(conn)
    if code not in published:
        raise NotFound(
            f"no plan {code!r} is published.{nearest(code, published)}",
            where="plan",
            remedy="`billing plans show` lists them, `billing plans apply` publishes more",
        )
    return sorted(published[code].versions[-1].currencies)


def _only(currencies: list[str], plan: str) -> str:
    if len(currencies) == 1:
        return currencies[0]
    raise BadInput(
        f"plan {plan} is sold in {', '.join(currencies)}",
        where="--currency",
        remedy=f"name one, like --currency {currencies[0]}",
    )


@subscriptions.command("list")
@word_option("--status", Status, "Only those that are")
@click.option("--plan", metavar="CODE", help="Only those of a plan.")
@click.option("--customer", metavar="ID", help="Only those of a customer.")
@click.option("--parked/--not-parked", default=None, help="Only those that are, or aren't, parked.")
@paged
@output_option
@click.pass_obj
def list_(
    session: Session,
    status: str | None,
    plan: str | None,
    customer: str | None,
    parked: bool | None,
    limit: int,
    after: UUID | None,
    output: Output,
) -> None:
    """List subscriptions in order of creation."""
    from billing.queries import subscriptions as queries

    with session.connect() as conn:
        if plan is not None:
            _currencies(conn, plan)
        rows = queries.subscriptions(
            conn,
            status=status,
            plan=plan,
            customer_id=find(conn, "customer", customer) if customer else None,
            parked=parked,
            after=after,
            limit=limit + 1,
        )
    write_page(output, rows, SUBSCRIPTIONS, limit)


@subscriptions.command("show")
@click.argument("subscription")
@output_option
@click.pass_obj
def show(session: Session, subscription: str, output: Output) -> None:
    """Show a subscription with its last cycles."""
    _show(session, _find(session, subscription), output)


def _find(session: Session, typed: str) -> UUID:
    with session.connect() as conn:
        return find(conn, "subscription", typed)


def _show(session: Session, subscription_id: UUID, output: Output) -> None:
    from billing.queries import subscriptions as queries
    from billing.queries.sold import redemptions_of

    with session.connect() as conn:
        row = queries.subscriptions(conn, id=subscription_id)[0]
        cycles = queries.recent_cycles(conn, subscription_id, _RECENT_CYCLES)
        items = queries.held_items(conn, subscription_id)
        coupons = redemptions_of(conn, subscription_id)
    record: dict[str, Any] = {
        **plain(row),
        "items": [plain(item) for item in items],
        "coupons": [plain(coupon) for coupon in coupons],
        "recent_cycles": [plain(cycle) for cycle in cycles],
    }
    output.record(record, {"items": HELD, "coupons": REDEMPTIONS, "recent_cycles": CYCLES})


@subscriptions.command("cancel")
@click.argument("subscription")
@click.option("--now", "when", flag_value="now", help="At once; what isn't collected is voided.")
@click.option("--at-period-end", "when", flag_value="end", help="When the open period ends.")
@click.option("--on", type=_STARTS, metavar="DATE", help="With the period that day lies in.")
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
    subscription_id = _find(session, subscription)
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
    done = _done("cancel", subscription_id, dry_run=dry_run, words=words)
    output.message(done, f"would {words}" if dry_run else f"done: {words}")


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


@subscriptions.command("pause")
@click.argument("subscription")
@click.option("--for", "periods", type=int, metavar="PERIODS", help="So many periods.")
@click.option("--until", type=_STARTS, metavar="DATE", help="Those that start before that day.")
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

    subscription_id = _find(session, subscription)
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
    output.message(_done("pause", subscription_id, dry_run=False, words=words), words)


@subscriptions.command("resume")
@click.argument("subscription")
@click.option("--on", type=_STARTS, metavar="DATE", help="With the first period from then on.")
@reason_option
@output_option
@click.pass_obj
def resume(
    session: Session, subscription: str, on: datetime | None, reason: str, output: Output
) -> None:
    """Resume a paused or unpaid subscription, or take back a cancellation at the period's end."""
    from billing.flows.subscriptions import lifecycle

    subscription_id = _find(session, subscription)
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
    output.message(_done("resume", subscription_id, dry_run=False, words=words), words)


@subscriptions.command("set-provider")
@click.argument("subscription")
@provider_option("The account that it is collected over from now on.")
@click.option("--follow-customer", is_flag=True, help="The account of its customer instead.")
@reason_option
@output_option
@click.pass_obj
def set_provider(
    session: Session,
    subscription: str,
    provider: str | None,
    follow_customer: bool,
    reason: str,
    output: Output,
) -> None:
    """Name the account that a subscription is collected over.

    The customer has a payment method there. Open payments follow at their next attempt, those that
    wait for another payment method at once.
    """
    from billing.flows.subscriptions import naming

    if (provider is None) is not follow_customer:
        raise BadInput("say which account", remedy="add --provider NAME or --follow-customer")
    subscription_id = _find(session, subscription)
    naming.name_account(
        session.engine,
        str(subscription_id),
        provider,
        now=session.now(),
        actor=person(),
        why=reason,
    )
    words = f"subscription {subscription_id} is collected over {provider or 'its customer'}"
    output.message(_done("set-provider", subscription_id, dry_run=False, words=words), words)


@subscriptions.command("re-anchor")
@click.argument("subscription", required=False)
@click.option("--zone", metavar="ZONE", help="Those of one time zone.")
@click.option("--all", "everyone", is_flag=True, help="All of them.")
@reason_option
@lasting
@output_option
@click.pass_obj
def reanchor(
    session: Session,
    subscription: str | None,
    zone: str | None,
    everyone: bool,
    reason: str,
    dry_run: bool,
    yes: bool,
    output: Output,
) -> None:
    """Let boundaries follow a zone's rules as they are today, after these changed.

    A period that was announced starts when it was announced to; a first one that lies ahead moves.
    Periods that were opened stay as they are, and the proof no longer compares them.
    """
    from billing.flows.subscriptions import reanchoring

    if sum((subscription is not None, zone is not None, everyone)) != 1:
        raise BadInput("say which", remedy="name one, or add --zone ZONE or --all")
    reference = None if subscription is None else str(_find(session, subscription))
    if not dry_run:
        confirm("Re-anchor them?", yes=yes)
    found = reanchoring.reanchor(
        session.engine,
        reference=reference,
        zone=zone,
        now=session.now(),
        actor=person(),
        why=reason,
        dry_run=dry_run,
    )
    output.records([plain(each) for each in found], _REANCHORED)
    talk(f"{len(found)} subscription(s) {'would be ' if dry_run else ''}re-anchored")


def _done(action: str, subscription_id: UUID, *, dry_run: bool, words: str) -> dict[str, Any]:
    return {
        "action": action,
        "dry_run": dry_run,
        "subscription_id": subscription_id,
        "words": words,
    }


@subscriptions.command("timeline")
@click.argument("subscription")
@output_option
@click.pass_obj
def timeline(session: Session, subscription: str, output: Output) -> None:
    """Show everything that happened to a subscription, in order."""
    from billing.presenters.timeline import COLUMNS, line
    from billing.queries.timeline import timeline as read

    with session.connect() as conn:
        subscription_id = find(conn, "subscription", subscription)
        entries = read(conn, subscription_id)
    output.records([line(entry) for entry in entries], COLUMNS)
