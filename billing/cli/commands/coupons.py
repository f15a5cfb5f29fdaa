"""`billing coupons`: redeeming them, and what was redeemed. `billing plans coupons` lists them."""

from typing import Any
from uuid import UUID

import click

from billing.cli.options import reason_option
from billing.cli.output import Output, output_option
from billing.cli.records import REDEMPTIONS, plain
from billing.cli.references import find
from billing.cli.session import Session, person
from billing.errors import BadInput


@click.group()
def coupons() -> None:
    """Coupons: for whom they take something off."""


@coupons.command("redemptions")
@click.argument("subscription")
@output_option
@click.pass_obj
def redemptions(session: Session, subscription: str, output: Output) -> None:
    """List the coupons that hold for a subscription, with their use so far."""
    from billing.queries.sold import redemptions_of

    with session.connect() as conn:
        subscription_id = find(conn, "subscription", subscription)
        rows = redemptions_of(conn, subscription_id)
    output.records([plain(row) for row in rows], REDEMPTIONS)


@coupons.command("redeem")
@click.argument("coupon")
@click.option("--subscription", metavar="ID", help="The subscription that it takes something off.")
@click.option("--customer", metavar="ID", help="All subscriptions of a customer.")
@click.option("--dry-run", is_flag=True, help="Check whether it can be redeemed, and stop there.")
@reason_option
@output_option
@click.pass_obj
def redeem(
    session: Session,
    coupon: str,
    subscription: str | None,
    customer: str | None,
    dry_run: bool,
    reason: str,
    output: Output,
) -> None:
    """Redeem a coupon: it takes something off from the next invoice on."""
    from billing.flows.coupons import redeeming

    if (subscription is None) is (customer is None):
        raise BadInput("say for whom", remedy="add --subscription ID or --customer ID")
    with session.connect() as conn:
        if subscription is not None:
            subscription = str(find(conn, "subscription", subscription))
        if customer is not None:
            customer = str(find(conn, "customer", customer))
    order = redeeming.CouponOrder(coupon, subscription, customer, reason)
    if dry_run:
        redeeming.check(session.engine, order, now=session.now(), actor=person())
        words = f"would redeem coupon {coupon}"
        output.message(_done(None, coupon, dry_run=True, words=words), words)
        return
    made = redeeming.redeem(session.engine, order, now=session.now(), actor=person())
    words = f"coupon {coupon} is redeemed"
    output.message(_done(made, coupon, dry_run=False, words=words), words)


def _done(redemption: UUID | None, coupon: str, *, dry_run: bool, words: str) -> dict[str, Any]:
    return {"redemption_id": redemption, "coupon": coupon, "dry_run": dry_run, "words": words}
