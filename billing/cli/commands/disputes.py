"""`billing disputes`: what cardholders' banks ask about and take back."""

from uuid import UUID

import click

from billing.cli.options import paged, word_option
from billing.cli.output import Output, output_option
from billing.cli.records import DISPUTES, plain, write_page
from billing.cli.references import find
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
    from billing.queries import payments as queries

    with session.connect() as conn:
        rows = queries.disputes(
            conn,
            payment_id=find(conn, "payment", payment) if payment else None,
            state=state,
            limit=limit + 1,
            after=after,
        )
    write_page(output, rows, DISPUTES, limit)


@disputes.command("show")
@click.argument("dispute")
@output_option
@click.pass_obj
def show(session: Session, dispute: str, output: Output) -> None:
    """Show a dispute, by our id or the provider's, with its fee and what was lost."""
    from billing.queries import payments as queries

    with session.connect() as conn:
        row = queries.dispute(conn, find(conn, "dispute", dispute))
    assert row is not None, "disputes are never deleted"
    output.record(plain(row))
