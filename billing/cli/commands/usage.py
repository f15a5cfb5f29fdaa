"""`billing usage`: events from files, and what was counted."""

from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

import click

from billing.cli.failures import FINDINGS, OK
from billing.cli.options import confirm, lasting
from billing.cli.output import Output, output_option, talk
from billing.cli.progress import progress
from billing.cli.records import plain
from billing.cli.references import find
from billing.cli.session import Session, person
from billing.errors import BadInput

if TYPE_CHECKING:
    from billing.flows.usage.importing import Imported, Numbered

_TOTALS: Final = ("meter", "n", "events", "sum", "max", "last", "keys", "billed", "revision")
_ALERTS: Final = ("at", "item", "n", "segment", "percent", "quantity", "included")
_EVENTS: Final = ("at", "meter", "n", "value", "key", "id", "received_at")
_NOT_COUNTED: Final = ("line", "id", "reason")
_DAYS: Final = ("day", "events", "counted", "dry_run")
_REASONS: Final = ("reason", "events", "words")


@click.group()
def usage() -> None:
    """Usage that is billed: events, and what they come to."""


@usage.command("import")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--format", "kind", type=click.Choice(["jsonl", "csv"]),
    help="What the file is; else its name says it: csv, or JSON lines.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Say what would be counted, and count nothing.")
@output_option
@click.pass_obj
def import_(session: Session, file: Path, kind: str | None, dry_run: bool, output: Output) -> int:
    """Count the events of a file: JSON lines, or CSV with a line of names.

    What was counted before isn't counted again: a file that was broken off is imported again from
    its beginning. Ends with 3 when rows conflict or are refused.
    """
    from billing.flows.usage.book import UsageBook
    from billing.flows.usage.importing import Imported, import_rows

    report = Imported()
    book = UsageBook(counts_paused=session.settings.pause.usage == "count")
    with file.open(encoding="utf-8", newline="") as lines, progress("import", None) as bar:
        rows = _rows(lines, kind or ("csv" if file.suffix.lower() == ".csv" else "jsonl"))
        now = session.now()
        try:
            for found in import_rows(session.engine, book, rows, now, dry_run=dry_run):
                report = found
                bar(report.rows, f"{report.rows:,} rows")
        except UnicodeDecodeError as error:
            raise BadInput(
                f"after {report.rows} rows, which are counted, the file is not UTF-8",
                where=str(file),
                remedy="write it in UTF-8, and import it again",
            ) from error
    output.record(_record(report, dry_run=dry_run), {"reasons": _REASONS, "rows": _NOT_COUNTED})
    missing = report.conflicting + report.refused
    if missing > len(report.not_counted):
        talk(f"the first {len(report.not_counted)} rows that aren't counted are listed")
    return FINDINGS if missing else OK


def _rows(lines: TextIO, kind: str) -> Iterator["Numbered"]:
    """Yield the rows of a file. Raises: BadInput for a table that has a name twice."""
    from billing.rules.usage_rows import read_json, read_table

    if kind == "csv":
        try:
            yield from read_table(lines)
        except UnicodeDecodeError:
            raise
        except ValueError as error:
            raise BadInput(str(error), where=f"{lines.name}: line 1") from error
        return
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield number, read_json(line)


def _record(report: "Imported", *, dry_run: bool) -> dict[str, Any]:
    numbers = {
        name: value
        for name, value in asdict(report).items()
        if name not in ("reasons", "not_counted", "rows")
    }
    from billing.presenters.usage_refusals import in_words

    why = dict(report.reasons)
    if report.conflicting:
        why["conflicting"] = report.conflicting
    reasons = [
        {"reason": reason, "events": events, "words": in_words(reason)}
        for reason, events in sorted(why.items())
    ]
    rows = [asdict(each) for each in report.not_counted]
    return {"dry_run": dry_run, "read": report.rows, **numbers, "reasons": reasons, "rows": rows}


@usage.command("show")
@click.argument("subscription")
@click.option(
    "--from", "from_n", type=click.IntRange(min=0), default=0, metavar="N",
    help="From which period on; the first one is 0.",
)  # fmt: skip
@click.option(
    "--events", type=click.IntRange(0, 1_000), default=10, show_default=True,
    help="How many of the last events to show.",
)  # fmt: skip
@click.option(
    "--days", type=click.IntRange(1, 400), default=40, show_default=True,
    help="How many days to look back for events.",
)  # fmt: skip
@click.option("--id", "event", metavar="ID", help="Only the event that was sent with this id.")
@output_option
@click.pass_obj
def show(
    session: Session,
    subscription: str,
    from_n: int,
    events: int,
    days: int,
    event: str | None,
    output: Output,
) -> None:
    """Show what was counted for a subscription, by period and meter, and the last events.

    Alerts tell which usage passed a threshold of what its item includes, and when it was noted.
    """
    from billing.queries import usage as queries
    from billing.rules.usage import event_id

    with session.connect() as conn:
        subscription_id = find(conn, "subscription", subscription)
        totals = queries.totals(conn, subscription_id, from_n=from_n)
        alerts = queries.alerts(conn, subscription_id, from_n=from_n)
        since = session.now() - timedelta(days=days)
        if event is None:
            last = queries.last_events(conn, subscription_id, since=since, limit=events)
        else:
            last = queries.events_of(conn, subscription_id, event_id(event))
    record = {
        "subscription_id": subscription_id,
        "totals": [plain(each) for each in totals],
        "alerts": [plain(each) for each in alerts],
        "events": [plain(each) for each in last],
    }
    output.record(record, {"totals": _TOTALS, "alerts": _ALERTS, "events": _EVENTS})


@usage.command("prune")
@click.option(
    "--keep-days", type=click.IntRange(1, 10_000), default=60, show_default=True,
    help="How many days of events to keep: more than usage is accepted late.",
)  # fmt: skip
@lasting
@output_option
@click.pass_obj
def prune(session: Session, keep_days: int, dry_run: bool, yes: bool, output: Output) -> None:
    """Take old days of events out, as the owner of the tables.

    Totals, and what was billed, stay. How many events a day had, and what they had added to each
    total, is kept, so that totals can still be counted again.
    """
    from billing.flows.usage import pruning

    now, keep = session.now(), timedelta(days=keep_days)
    with session.owners_engine() as owner:
        plan = pruning.planned(owner, now, keep)
        days = list(plan.days)
        if not dry_run:
            if days:
                talk(f"this will take {len(days)} day(s) before {plan.before} out for ever")
                confirm("Take them out?", yes=yes)
            days = list(pruning.prune(owner, plan, now, person()))
    output.records([{**plain(each), "dry_run": dry_run} for each in days], _DAYS)
    talk(f"{len(days)} day(s) {'would be' if dry_run else 'were'} taken out")
