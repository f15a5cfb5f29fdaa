"""`billing taxes`: what is owed where, published rates, and what a provider didn't answer."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import click

from billing.cli.options import reason_option
from billing.cli.output import Output, output_option, talk
from billing.cli.records import TAX_CALLS, TAX_PAYABLE, TAX_RATES, TAX_TOTALS, plain
from billing.cli.session import Session

_DAY = click.DateTime(["%Y-%m-%d"])


@click.group()
def taxes() -> None:
    """Taxes by place, their rates, and calls to the provider that computes them."""


@taxes.command("report")
@click.option("--from", "first", type=_DAY, metavar="DATE", help="The first day (UTC); else all.")
@click.option("--to", "last", type=_DAY, metavar="DATE", help="The first day after it; else all.")
@output_option
@click.pass_obj
def report(session: Session, first: datetime | None, last: datetime | None, output: Output) -> None:
    """Sum up taxes by place, name, treatment and rate.

    Invoices count when they were issued; credit notes and voids take their share back when they
    were. So do refunds without a credit note, lost disputes and write-offs, each in a column of its
    own. What is owed is told by the journal, too.
    """
    from billing.queries import taxes as queries

    since, until = (None if day is None else day.replace(tzinfo=UTC) for day in (first, last))
    with session.engine_for_long_reads() as engine, engine.connect() as conn:
        found = queries.totals(conn, since, until)
        owed = queries.payable(conn)
    record: dict[str, Any] = {
        "from": since,
        "to": until,
        "taxes": [{**plain(each), "owed": each.owed} for each in found],
        "payable": [plain(each) for each in owed],
    }
    output.record(record, {"taxes": TAX_TOTALS, "payable": TAX_PAYABLE})


@taxes.command("rates")
@output_option
@click.pass_obj
def rates(session: Session, output: Output) -> None:
    """List the published rates."""
    from billing.plans.numbers import exact_text
    from billing.queries import taxes as queries

    with session.connect() as conn:
        published = queries.published_rates(conn)
    rows = [{**plain(each), "rate": exact_text(each.rate)} for each in published]
    output.records(rows, TAX_RATES)
    if not rows:
        talk("no rate is published: `billing plans apply` publishes those of the catalog")


@taxes.command("waiting")
@output_option
@click.pass_obj
def waiting(session: Session, output: Output) -> None:
    """List calls about taxes that have no answer, and what a provider refused to record.

    An invoice waits for its calculation, and is never issued without it.
    """
    from billing.queries import taxes as queries

    with session.connect() as conn:
        found = queries.waiting(conn)
    output.records([plain(each) for each in found], TAX_CALLS)
    if not found:
        talk("every call about taxes is answered")


@taxes.command("retry")
@click.argument("call", type=click.UUID)
@reason_option
@output_option
@click.pass_obj
def retry(session: Session, call: UUID, reason: str, output: Output) -> None:
    """Let a record that the provider refused be sent again, once that is put right."""
    from billing.flows.taxes import retrying

    with session.audited("taxes.retry", call, reason) as conn:
        known = retrying.retry(conn, call, session.now())
    record = {"call_id": call, "kind": known.kind, "invoice_id": known.invoice_id}
    output.message(record, f"the {known.kind} {call} is sent again by a worker")
