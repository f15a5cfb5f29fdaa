"""`billing disputes`: what cardholders' banks ask about and take back."""

from uuid import UUID

import click

from billing.cli.money_back import write_one, write_those_of
from billing.cli.options import paged, word_option
from billing.cli.output import Output, output_option
from billing.cli.records import DISPUTES
from billing.cli.session import Session
from billing.rules.disputes import DisputeState


@click.group()
def disputes() -> None:
    """What cardholders' banks ask about and take back."""


@disputes.command("list")
@click.option("--payment", metavar="ID", help="Only those of a payment.")
@word_option("--state", DisputeState, "Only those that are")
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
    """List disputes and inquiries in the order they were learned of."""
    from billing.queries.payments import disputes as read

    write_those_of(
        session, output, DISPUTES, read, payment=payment, state=state, limit=limit, after=after
    )


@disputes.command("show")
@click.argument("dispute")
@output_option
@click.pass_obj
def show(session: Session, dispute: str, output: Output) -> None:
    """Show a dispute, by our id or the provider's, with its fee and what was lost."""
    from billing.queries.payments import dispute as read

    write_one(session, output, "dispute", dispute, read)
