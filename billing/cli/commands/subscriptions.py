"""`billing subscriptions`: customers' contracts, from the first period to the last."""

from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from billing.cli.commands import changes, endings
from billing.cli.commands.endings import CIVIL_TIME, done, found_by
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
subscriptions.add_command(endings.cancel)
subscriptions.add_command(endings.pause)
subscriptions.add_command(endings.resume)


@subscriptions.command("create")
@click.argument("customer")
@click.argument("plan")
@click.option("--currency", metavar="CODE", help="Needed where the plan is sold in several.")
@click.option(
    "--quantity", type=int, default=1, show_default=True, help="How many units, or seats."
)
@click.option(
    "--item", "items", multiple=True, metavar="CODE=QUANTITY",
    help="How many of an item or add-on; an item's default, when left out.",
)  # fmt: skip
@click.option(
    "--coupon", "coupons", multiple=True, metavar="CODE",
    help="A coupon to redeem, from the first invoice on.",
)  # fmt: skip
@click.option("--zone", default="UTC", show_default=True, help="Time zone of the boundaries.")
@click.option(
    "--starts", type=CIVIL_TIME, metavar="DATE[THH:MM]",
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
    _show(session, found_by(session, subscription), output)


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
    subscription_id = found_by(session, subscription)
    naming.name_account(
        session.engine,
        str(subscription_id),
        provider,
        now=session.now(),
        actor=person(),
        why=reason,
    )
    words = f"subscription {subscription_id} is collected over {provider or 'its customer'}"
    output.message(done("set-provider", subscription_id, dry_run=False, words=words), words)


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
    reference = None if subscription is None else str(found_by(session, subscription))
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
