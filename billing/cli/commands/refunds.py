"""`billing refunds`: giving money back."""

from typing import TYPE_CHECKING
from uuid import UUID

import click

from billing.cli.money_back import write_one, write_those_of
from billing.cli.options import confirm, lasting, paged, reason_option, word_option
from billing.cli.output import Output, output_option, talk
from billing.cli.records import REFUNDS
from billing.cli.references import find
from billing.cli.session import Session, person
from billing.rules.refunds import RefundState

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from billing.rules.money import Money


@click.group()
def refunds() -> None:
    """Giving money back, in whole or in parts."""


@refunds.command("create")
@click.argument("payment")
@click.option(
    "--amount", metavar="AMOUNT", help="How much, like 9.99; all that is left if not given."
)
@reason_option
@lasting
@output_option
@click.pass_obj
def create(
    session: Session,
    payment: str,
    amount: str | None,
    reason: str,
    dry_run: bool,
    yes: bool,
    output: Output,
) -> None:
    """Give a payment back, or a part of it.

    The amount is in the payment's currency and never more than what was captured and not given
    back yet. A worker sends the refund; `billing refunds show` says what became of it.
    """
    from billing.flows.refunds import requesting

    with session.connect() as conn:
        payment_id = find(conn, "payment", payment)
        money = _room(conn, payment_id, amount)
    words = f"refund {money} of payment {payment_id}"
    record = {
        "action": "refund",
        "dry_run": dry_run,
        "refund_id": None,
        "payment_id": payment_id,
        "amount": money.amount,
        "currency": money.currency,
    }
    if dry_run:
        output.message(record, f"would {words}")
        return
    talk(f"this will {words}")
    confirm("Give it back?", yes=yes)
    now = session.now()
    detail = {"amount": money.amount, "currency": money.currency}
    with session.audited("payment.refund", payment_id, reason, detail) as conn:
        row = requesting.request(
            conn,
            payment_id,
            amount=money,
            reason=reason,
            actor=person(),
            now=now,
        )
        detail["refund"] = str(row.id)
    output.message({**record, "refund_id": row.id}, f"refund {row.id} of {money} is requested")


def _room(conn: "Connection", payment_id: UUID, amount: str | None) -> "Money":
    """Return the amount that may be given back. Raises: BadInput, NotRefundable."""
    from billing.cli.amounts import read_amount
    from billing.flows.refunds import requesting
    from billing.queries import payments as queries

    payment = queries.payment(conn, payment_id)
    assert payment is not None, "it was found a moment ago"
    wanted = None if amount is None else read_amount(amount, payment.currency, "--amount")
    return requesting.room_for(conn, payment, wanted)


@refunds.command("list")
@click.option("--payment", metavar="ID", help="Only those of a payment.")
@word_option("--state", RefundState, "Only those that are")
@paged
@output_option
@click.pass_obj
def list_(
    session: Session,
    payment: str | None,
    state: str | None,
    limit: int,
    after: UUID | None,
    output: Output,
) -> None:
    """List refunds in order of creation."""
    from billing.queries.refunds import refunds as read

    write_those_of(
        session, output, REFUNDS, read, payment=payment, state=state, limit=limit, after=after
    )


@refunds.command("show")
@click.argument("refund")
@output_option
@click.pass_obj
def show(session: Session, refund: str, output: Output) -> None:
    """Show a refund, by our id or the provider's, with what it gives back of what was earned."""
    from billing.queries.refunds import refund as read

    write_one(session, output, "refund", refund, read)
