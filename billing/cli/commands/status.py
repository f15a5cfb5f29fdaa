"""`billing status`: the engine at a glance, once or again and again."""

import contextlib
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from billing.cli.output import Output, cell, draw, output_option, stdout_is_terminal
from billing.cli.session import Session
from billing.cli.tables import TextTable, wrapped
from billing.errors import BadInput
from billing.rules.texts import one_line

if TYPE_CHECKING:
    from rich.console import RenderableType

_EVERY_SECONDS = 1.0


@click.command()
@click.option("--watch", is_flag=True, help="Refresh every second until Ctrl-C.")
@output_option
@click.pass_obj
def status(session: Session, watch: bool, output: Output) -> None:
    """Show processes, what is due, queue, subscriptions, payments, parked, breaks, ledger.

    Works while Redis or the processes are down, and says so. With --watch and -o jsonl, one
    object a second.
    """
    if watch:
        with contextlib.suppress(KeyboardInterrupt):  # how watching ends
            _watch(session, output)
        return
    from billing.cli.status_figures import gather

    figures = gather(session)
    if output.format == "table":
        draw(_page(figures))
    else:
        output.record(figures)


def _watch(session: Session, output: Output) -> None:
    from billing.cli.status_figures import gather

    if output.format == "jsonl":
        while True:
            output.record(gather(session))
            sys.stdout.flush()
            time.sleep(_EVERY_SECONDS)
    if output.format == "json" or not stdout_is_terminal():
        raise BadInput("--watch needs a terminal", remedy="or -o jsonl: one object a second")
    _live(session)


def _live(session: Session) -> None:
    """Redraw until Ctrl-C; while something doesn't answer, that is what is shown."""
    from rich.live import Live

    with Live(screen=True, auto_refresh=False) as live:
        while True:
            live.update(_frame(session), refresh=True)
            time.sleep(_EVERY_SECONDS)


def _frame(session: Session) -> "RenderableType":
    from rich.text import Text

    from billing.cli.failures import as_billing_error
    from billing.cli.status_figures import gather

    try:
        return wrapped(_page(gather(session)))
    except Exception as error:
        known = as_billing_error(error)
        if known is None:
            raise
        return Text(f"{known}\n\nstill trying; Ctrl-C ends")


def _page(figures: Mapping[str, Any]) -> TextTable:
    rows = [
        (name if number == 0 else "", one_line(line))
        for name, words in _lines(figures)
        for number, line in enumerate(words.splitlines() or [""])
    ]
    return TextTable(rows, whole=(0,))


def _lines(figures: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the page as names and words, in the order in which an operator asks."""
    due, marks = figures["due"], figures["watermarks"]
    return [
        ("time", f"{cell(figures, 'now')} ({figures['mode']})"),
        *_processes(figures["processes"]),
        *((f"provider {each['provider']}", _provider(each)) for each in figures["providers"]),
        ("queue", _queue(figures["queue"])),
        (
            "due now",
            f"{due['renewals']} renewals, {due['attempts']} attempts; next {cell(due, 'next_at')}",
        ),
        (
            "done up to",
            f"renewals {cell(marks, 'renewals')}, charges {cell(marks, 'charges')};"
            f" lag {figures['lag_seconds']} s",
        ),
        ("subscriptions", _counts(figures["subscriptions"])),
        ("payments", _counts(figures["payments"])),
        ("dunning", _counts({f"rung {rung}": n for rung, n in figures["dunning"].items()})),
        ("parked", _counts(figures["parked"])),
        ("unknown", f"{figures['unknown_attempts']} attempts"),
        ("taxes", _counts(figures["taxes"])),
        ("breaks", _counts({kind: n for kind, n in figures["breaks"].items() if n}) or "none"),
        ("open cycles", str(figures["cycles_open"])),
        ("ledger sum", _sums(figures["ledger_sum"])),
        *((f"task {task['task']}", _task(task)) for task in figures["tasks"]),
    ]


def _processes(found: Sequence[Mapping[str, Any]] | None) -> list[tuple[str, str]]:
    if found is None:
        return [("processes", "`billing up` does not run here; roles run by hand are not listed")]
    return [(f"process {each['name']}", _process(each)) for each in found]


def _process(child: Mapping[str, Any]) -> str:
    words = f"{child['state']}, pid {child['pid'] or '-'}, since {child['since']}"
    if child["restarts"]:
        words += f", {child['restarts']} restart(s), last: {child['last_exit']}"
    return words


def _provider(fence: Mapping[str, Any]) -> str:
    if fence["state"] == "open":
        return "compared with this database"
    if fence["state"] == "unchecked":
        why = fence["evidence"].get("error")
        words = "not compared yet with this state of the database: nothing is sent to it"
        return f"{words}; {why}" if why else words
    return (
        f"RECOVERING since {cell(fence, 'since')} ({fence['cause']}): nothing is sent to it;"
        f" {fence['evidence'].get('theirs')} is unknown here; `billing recover --dry-run`"
    )


def _queue(queue: Mapping[str, Any]) -> str:
    if queue["messages"] is None:
        return f"Redis is down, charges wait: {queue['error']}"
    if queue["error"] is not None:
        return f"{queue['messages']} messages; Redis takes no more, charges wait: {queue['error']}"
    return f"{queue['messages']} messages"


def _task(task: Mapping[str, Any]) -> str:
    words = f"last done {cell(task, 'last_success_at')}"
    return words + (f", then failed: {task['last_error']}" if task["last_error"] else "")


def _sums(sums: Mapping[str, int]) -> str:
    from billing.rules.money import Money

    return ", ".join(str(Money(total, currency)) for currency, total in sums.items())


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())
