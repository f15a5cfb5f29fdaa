"""`billing close`: what the next closing would close, and how the books stand."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from billing.cli.failures import FINDINGS, OK
from billing.cli.options import confirm, lasting, provider_option
from billing.cli.output import Output, output_option, talk
from billing.cli.records import TAX_TOTALS, plain
from billing.cli.session import Session, person

if TYPE_CHECKING:
    from billing.flows.settlement.tie_out import CloseReport
    from billing.queries.usage_closed import ReceivedUsage

_BALANCES = ("code", "currency", "debit", "credit", "balance")
_TIE_OUT = ("account", "currency", "clearing", "provider", "unexplained", "why")
_RECEIVED = ("outcome", "events")
_USAGE = (
    "month", "meter", "periods", "counted", "billed", "late", "unbilled", "forgiven", "waiting",
)  # fmt: skip
_CYCLES = ("why", "count")
_DIGESTS = ("cycle_id", "subscription_id", "n", "zone")


@click.group()
def close() -> None:
    """Closing the books: cycles, trial balance, and the tie-out with the provider."""


@close.command("preview")
@output_option
@click.pass_obj
def preview(session: Session, output: Output) -> None:
    """Show how many cycles would be closed now, and what keeps the others open."""
    from billing.queries import books

    with session.connect() as conn:
        waiting = books.why_open(conn, session.now())
    output.records([{"why": why, "count": count} for why, count in waiting.items()], _CYCLES)
    ready = waiting.get("ready", 0)
    talk(f"{ready} cycle(s) would be closed; the reconciler does it at its next tick")


@close.command("show")
@click.option("--offline", is_flag=True, help="Don't ask the provider for its balance: no tie-out.")
@provider_option("Ask only this account for its balance; else each one.")
@output_option
@click.pass_obj
def show(session: Session, offline: bool, provider: str | None, output: Output) -> int:
    """Show the close report: cycles, trial balance, taxes, usage, provider tie-out.

    Per account and currency, psp_clearing equals the provider's balance, or the report says why
    not. Ends with 3 when something is unexplained.
    """
    from billing.flows.settlement import tie_out

    balances = None if offline else session.runtime.gateways.balances(provider)
    with session.engine_for_long_reads() as engine, engine.connect() as conn:
        found = tie_out.report(conn, now=session.now(), balances=balances)
    output.record(
        _record(found),
        {
            "open_cycles": _CYCLES,
            "trial_balance": _BALANCES,
            "taxes": TAX_TOTALS,
            "usage_received": _RECEIVED,
            "usage": _USAGE,
            "tie_out": _TIE_OUT,
        },
    )
    if found.ties_out:
        talk("the books tie out" if not offline else "debits equal credits")
        return OK
    talk("something is unexplained: docs/reconciliation.md says how to look for it")
    return FINDINGS


@close.command("repair-digests")
@click.option(
    "--zone", "zones", multiple=True, required=True, metavar="ZONE",
    help="A zone that a server or a login had by default, like Europe/Berlin. May be repeated.",
)  # fmt: skip
@lasting
@output_option
@click.pass_obj
def repair_digests(
    session: Session, zones: tuple[str, ...], dry_run: bool, yes: bool, output: Output
) -> int:
    """Prove and write down that digests were computed in another zone than UTC.

    Cycles that earlier releases closed through a pooler may have such digests. Nothing of a cycle
    changes: its zone is written down where the digest of today's rows in that zone is the one it
    was closed with, and `billing prove` computes it so from then on. Ends with 3 if others differ.
    """
    from billing.flows.cycles import digest_repair

    with session.engine_for_long_reads() as engine, engine.connect() as conn:
        found = digest_repair.wrong(conn, zones)
    proven = [each for each in found if each.zone is not None]
    if proven and not dry_run:
        talk(f"the digests of {len(proven)} cycle(s) are right in {', '.join(zones)}")
        confirm("Write that down?", yes=yes)
        with session.engine_for_long_reads() as engine:
            found = digest_repair.repair(engine, zones, actor=person())
    output.records([asdict(each) for each in found], _DIGESTS)
    others = len(found) - len(proven)
    if others:
        talk(f"{others} cycle(s) differ in all of these zones, too: docs/promises.md")
        return FINDINGS
    return OK


def _record(found: "CloseReport") -> dict[str, Any]:
    return {
        "as_of": found.as_of,
        "cycles_closed": found.closed,
        "cycles_open": found.opened,
        "cycles_ready": found.ready,
        "last_closed_at": found.last_closed_at,
        "open_cycles": [{"why": why, "count": n} for why, n in found.waiting.items()],
        "trial_balance": [asdict(row) for row in found.trial_balance],
        "taxes": [{**plain(each), "owed": each.owed} for each in found.taxes],
        "usage_received": _received(found.received),
        "usage": [asdict(row) for row in found.usage],
        "tie_out": [_line(line.to_json()) for line in found.tie_out or ()],
    }


def _received(received: "ReceivedUsage") -> list[dict[str, Any]]:
    """Return how many events had which outcome; refused ones by their reason, too."""
    figures = {name: value for name, value in asdict(received).items() if name != "reasons"}
    figures |= {f"refused: {reason}": events for reason, events in received.reasons.items()}
    return [{"outcome": name, "events": events} for name, events in figures.items() if events]


def _line(line: Mapping[str, Any]) -> dict[str, Any]:
    """Return a line of the tie-out, with its reasons as codes and in words."""
    from billing.presenters.tie_out import in_words
    from billing.rules.money import Money, format_money

    why = [
        f"{in_words(reason)}: {format_money(Money(amount, line['currency']))}"
        for reason, amount in line["reasons"].items()
    ]
    return {**line, "why": why}
