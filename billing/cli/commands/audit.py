"""`billing audit`: who changed what, when and why."""

import click

from billing.cli.output import Output, output_option
from billing.cli.records import write_page
from billing.cli.session import Session

_COLUMNS = ("id", "at", "actor", "action", "subject", "why", "detail")


@click.group()
def audit() -> None:
    """Who changed what, when and why."""


@audit.command("list")
@click.option("--actor", metavar="WHO", help="Only what one did, like api:shop:... or cli:ada.")
@click.option("--action", metavar="WORD", help="Only one action, like payment.refund.")
@click.option("--subject", metavar="ID", help="Only what was done to one thing.")
@click.option("--after", type=click.IntRange(1), metavar="ID", help="Go on after this line.")
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=50, show_default=True,
    help="How many lines at most.",
)  # fmt: skip
@output_option
@click.pass_obj
def list_(
    session: Session,
    actor: str | None,
    action: str | None,
    subject: str | None,
    after: int | None,
    limit: int,
    output: Output,
) -> None:
    """List the audit log, the latest first."""
    from billing.queries.access import audit_entries

    with session.connect() as conn:
        rows = audit_entries(
            conn, actor=actor, action=action, subject=subject, before=after, limit=limit + 1
        )
    write_page(output, rows, _COLUMNS, limit)
