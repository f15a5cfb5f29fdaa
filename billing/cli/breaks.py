"""`billing breaks`: differences between our books and the provider's."""

from uuid import UUID

import click

from billing.cli.options import more_hint, paged, word_option
from billing.cli.output import Output, output_option
from billing.cli.records import BREAKS, plain
from billing.cli.references import find
from billing.cli.session import Session
from billing.reconciliation import BreakKind


@click.group()
def breaks() -> None:
    """Differences between our books and the provider's."""


@breaks.command("list")
@word_option("--kind", BreakKind, "Only those of one kind")
@click.option("--all", "include_resolved", is_flag=True, help="Resolved ones too.")
@paged
@output_option
@click.pass_obj
def list_(
    session: Session,
    kind: str | None,
    include_resolved: bool,
    limit: int,
    after: UUID | None,
    output: Output,
) -> None:
    """List open breaks in the order they were found."""
    from billing.store import breaks as stored

    with session.connect() as conn:
        rows = stored.page(
            conn, kind=kind, include_resolved=include_resolved, limit=limit + 1, after=after
        )
    output.records([plain(row) for row in rows[:limit]], BREAKS)
    if rows:
        more_hint(len(rows), limit, rows[:limit][-1].id)


@breaks.command("show")
@click.argument("break_id", metavar="BREAK")
@output_option
@click.pass_obj
def show(session: Session, break_id: str, output: Output) -> None:
    """Show a break with both sides."""
    from billing.store import breaks as stored

    with session.connect() as conn:
        row = stored.get(conn, find(conn, "break", break_id))
    assert row is not None, "breaks are never deleted"
    output.record(plain(row))
