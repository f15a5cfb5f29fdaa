"""`billing subscriptions change`: another plan, quantity or period, now or at the period's end."""

from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from billing.cli.options import confirm, reason_option, word_option
from billing.cli.output import Output, output_option, talk
from billing.cli.references import find
from billing.cli.session import Session, person
from billing.errors import BadInput
from billing.rules.item_changes import Applies, ChangeAsked

if TYPE_CHECKING:
    from billing.flows.subscriptions.change_quotes import ChangeQuote


def quantities(given: tuple[str, ...]) -> dict[str, int]:
    """Return quantities by item of texts like "seats=12". Raises: BadInput."""
    found: dict[str, int] = {}
    for text in given:
        code, _, quantity = text.partition("=")
        if not code or not (quantity.isascii() and quantity.isdigit()) or code in found:
            raise BadInput(
                f"{text!r} names no item with its quantity, or one that was named before",
                where="--item",
                remedy="write it like --item seats=12, once an item",
            )
        found[code] = int(quantity)
    return found


@click.command("change")
@click.argument("subscription")
@click.option("--plan", metavar="CODE", help="Another plan, also of another cadence.")
@click.option("--quantity", type=int, help="How many units of a plan with a single price.")
@click.option(
    "--item", "items", multiple=True, metavar="CODE=QUANTITY", help="How many of an item or add-on."
)
@click.option(
    "--billing-day", type=int, metavar="DAY", help="Day of the month: periods begin then."
)
@click.option("--zone", metavar="ZONE", help="Time zone of the boundaries.")
@click.option("--coupon", metavar="CODE", help="A coupon to redeem with it.")
@word_option("--when", Applies, "When it holds; as the plan says, when left out")
@click.option(
    "--refund", is_flag=True,
    help="Refund what it takes away, where it charges nothing; as the plan says, when left out.",
)  # fmt: skip
@click.option(
    "--quote", "--dry-run", "dry_run", is_flag=True,
    help="Show the exact invoice and a digest, and change nothing.",
)  # fmt: skip
@click.option("--quote-digest", "digest", metavar="DIGEST", help="Only if that quote still holds.")
@click.option("--yes", "-y", is_flag=True, help="Don't ask for a confirmation.")
@reason_option
@output_option
@click.pass_obj
def change(
    session: Session,
    subscription: str,
    plan: str | None,
    quantity: int | None,
    items: tuple[str, ...],
    billing_day: int | None,
    zone: str | None,
    coupon: str | None,
    when: str | None,
    refund: bool,
    dry_run: bool,
    digest: str | None,
    yes: bool,
    reason: str,
    output: Output,
) -> None:
    """Change plan, quantities or periods of a subscription, now or from its next period on.

    What holds now and costs more is invoiced for the days that are left, and paid at once.
    """
    from billing.flows.service import change_views
    from billing.flows.subscriptions import changing
    from billing.flows.subscriptions.changed_terms import ChangeOrder
    from billing.ids import new_id
    from billing.presenters import changes as words

    order = ChangeOrder(
        plan=plan,
        quantity=quantity,
        items=quantities(items),
        applies=None if when is None else Applies(when),
        billing_day=billing_day,
        zone=zone,
        credit="refund" if refund else None,
        coupon=coupon,
    )
    with session.connect() as conn:
        named = str(find(conn, "subscription", subscription))
    policy = session.runtime.policy

    def quoted() -> "ChangeQuote":
        with session.connect() as conn:
            return changing.quote(conn, named, order, now=session.now(), policy=policy)

    quote, change_id = session.with_taxes(quoted), None
    if not dry_run:
        talk(words.will(change_views.quoted(quote)))
        confirm("Change it?", yes=yes)
        change_id, expected = new_id(), digest or quote.digest
        quote = session.with_taxes(
            lambda: changing.change(
                session.engine,
                named,
                order,
                change_id=change_id,
                now=session.now(),
                asked=ChangeAsked(session.now(), person(), reason),
                policy=policy,
                digest=expected,
            )
        )
    shown: dict[str, Any] = change_views.quoted(quote, change_id)
    output.message({**shown, "dry_run": dry_run}, words.told(shown))


@click.command("withdraw-change")
@click.argument("subscription")
@click.argument("change", type=click.UUID)
@reason_option
@output_option
@click.pass_obj
def withdraw(
    session: Session, subscription: str, change: UUID, reason: str, output: Output
) -> None:
    """Take a change back that doesn't hold yet; what else is scheduled stays."""
    from billing.flows.subscriptions import changing
    from billing.ids import new_id

    with session.connect() as conn:
        subscription_id = find(conn, "subscription", subscription)
    changing.withdraw(
        session.engine,
        str(subscription_id),
        change,
        withdrawal_id=new_id(),
        asked=ChangeAsked(session.now(), person(), reason),
    )
    words = f"change {change} of subscription {subscription_id} is withdrawn"
    output.message({"subscription_id": subscription_id, "change_id": change, "words": words}, words)
