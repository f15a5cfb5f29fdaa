"""`billing fx`: exchanges between currencies, and recording those that somebody made."""

import re
from datetime import UTC, datetime
from decimal import Decimal  # noqa: TID251  exchange rates are no money
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import click

from billing.cli.options import confirm, lasting, more_hint, paged, provider_option
from billing.cli.output import Output, output_option, talk
from billing.cli.records import EXCHANGES, plain
from billing.cli.references import find
from billing.cli.session import Session, person
from billing.errors import BadInput

if TYPE_CHECKING:
    from billing.flows.breaks.exchanges import Exchange
    from billing.queries.settlement import RecordedExchange

_RATE: Final = re.compile(r"[0-9]{1,12}(\.[0-9]{1,18})?")
_INSTANTS: Final = ["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M", "%Y-%m-%d"]


@click.group()
def fx() -> None:
    """Exchanges between currencies."""


@fx.command("list")
@paged
@output_option
@click.pass_obj
def list_(session: Session, limit: int, after: UUID | None, output: Output) -> None:
    """List exchanges in the order they came into the books.

    Those of customers' payments are among them: charged in one currency, settled in another.
    """
    from billing.queries import settlement

    with session.connect() as conn:
        rows = settlement.exchanges(conn, limit=limit + 1, after=after)
    records = [_shown(row) for row in rows[:limit]]
    if output.format == "table":
        records = [_in_words(each) for each in records]
    output.records(records, EXCHANGES)
    if rows:
        more_hint(len(rows), limit, rows[:limit][-1].id)


@fx.command("show")
@click.argument("exchange", metavar="EXCHANGE")
@output_option
@click.pass_obj
def show(session: Session, exchange: str, output: Output) -> None:
    """Show an exchange, by its id, its source key or its provider's transaction."""
    from billing.queries import settlement

    with session.connect() as conn:
        row = settlement.exchange(conn, find(conn, "exchange", exchange))
    assert row is not None, "exchanges are never deleted"
    record = _shown(row)
    output.record(_in_words(record) if output.format == "table" else record)


@fx.command("record")
@click.option("--from", "sold", required=True, metavar="AMOUNT", help='Given, like "100.00 EUR".')
@click.option(
    "--to", "bought", required=True, metavar="AMOUNT",
    help='What came of it, with its fee, like "108.40 USD".',
)  # fmt: skip
@click.option(
    "--fee", metavar="AMOUNT", help='What of it stayed with the provider, like "0.50 USD".'
)
@click.option(
    "--rate", required=True, metavar="RATE",
    help="How much one unit became, like 1.084; exact, and kept as given.",
)  # fmt: skip
@click.option(
    "--at", "instant", required=True, type=click.DateTime(_INSTANTS), metavar="INSTANT",
    help="When, in UTC, like 2026-03-01T10:00:00Z.",
)  # fmt: skip
@click.option("--source", required=True, metavar="TEXT", help="Where the rate is from.")
@click.option("--reason", required=True, metavar="TEXT", help="Why; kept.")
@click.option(
    "--reference", "references", multiple=True, metavar="TRANSACTION",
    help="The provider's balance transaction; twice, first the one out, then the one in.",
)  # fmt: skip
@provider_option("The account that holds the money; needed where there are several.")
@lasting
@output_option
@click.pass_obj
def record(
    session: Session,
    sold: str,
    bought: str,
    fee: str | None,
    rate: str,
    instant: datetime,
    source: str,
    reason: str,
    references: tuple[str, ...],
    provider: str | None,
    dry_run: bool,
    yes: bool,
    output: Output,
) -> None:
    """Record an exchange that somebody made of what the provider holds.

    With both references, their breaks are resolved by it. Without, the exchange waits: once the
    settlement shows its transactions, the same command with them says that they are it, and
    nothing is posted twice.
    """
    from billing.flows.breaks import exchanges as exchanging
    from billing.presenters import exchanges as presenter

    account = session.runtime.gateways.only(provider)
    exchange = _read(account, sold, bought, fee, rate, instant, source)
    with session.connect() as conn:
        plan = exchanging.preview(conn, exchange, references, now=session.now())
        conn.rollback()
    if plan.changes and not dry_run:
        for effect in presenter.in_words(plan, exchange):
            talk(effect)
        confirm("Record it?", yes=yes)
        plan = exchanging.record(
            session.engine,
            exchange,
            references,
            reason=reason,
            now=session.now(),
            actor=person(),
        )
    words = presenter.in_words(plan, exchange)
    told = {
        "action": "record",
        "dry_run": dry_run,
        "source_key": plan.source_key,
        "posts": plan.posts,
        "explains": list(plan.explains),
        "words": words,
    }
    verb = "would record it: " if dry_run else "recorded it: "
    output.message(told, (verb if plan.changes else "") + "; ".join(words))


def _read(
    account: str,
    sold: str,
    bought: str,
    fee: str | None,
    rate: str,
    instant: datetime,
    source: str,
) -> "Exchange":
    """Read what was typed. Raises: BadInput."""
    from billing.cli.amounts import read_money
    from billing.flows.breaks.exchanges import Exchange
    from billing.rules.money import Money

    if not _RATE.fullmatch(rate):
        raise BadInput(f"{rate!r} is no rate", where="--rate", remedy="write it like 1.084")
    comes = read_money(bought, "--to")
    return Exchange(
        provider=account,
        sold=read_money(sold, "--from"),
        bought=comes,
        fee=Money(0, comes.currency) if fee is None else read_money(fee, "--fee"),
        rate=Decimal(rate),
        at=instant.replace(tzinfo=UTC),
        source=source,
    )


def _shown(row: "RecordedExchange") -> dict[str, Any]:
    """Return an exchange as a record; its rate is text, as no float may come of it."""
    return {**plain(row), "rate": f"{row.rate:f}"}


def _in_words(record: dict[str, Any]) -> dict[str, Any]:
    from billing.rules.money import Money

    sides = ("from_amount", "from_currency", "to_amount", "to_currency", "fee")
    return {
        **{name: value for name, value in record.items() if name not in sides},
        "sold": str(Money(record["from_amount"], record["from_currency"])),
        "bought": str(Money(record["to_amount"], record["to_currency"])),
        "fee": str(Money(record["fee"], record["to_currency"])),
    }
