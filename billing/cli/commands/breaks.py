"""`billing breaks`: what differs from the provider's books, and what is done about it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from billing.cli.options import confirm, lasting, more_hint, paged, word_option
from billing.cli.output import Output, output_option, talk
from billing.cli.records import BREAKS, plain
from billing.cli.references import find
from billing.cli.session import Session, person
from billing.errors import BadInput
from billing.rules.reconciliation import BreakKind

if TYPE_CHECKING:
    from billing.flows.breaks.operator import Resolution
    from billing.queries.settlement import Break, BreakNote
    from billing.rules.money import Money

_NOTES = ("at", "actor", "words")
_SUGGESTED = "suggested"
_RESOLVED = ("id", "kind", "suggested", "adjustment", "words")


@click.group()
def breaks() -> None:
    """Differences between our books and the provider's."""


@breaks.command("list")
@word_option("--kind", BreakKind, "Only those of one kind")
@click.option("--assigned-to", metavar="NAME", help="Only those that NAME looks into.")
@click.option("--all", "include_resolved", is_flag=True, help="Resolved ones too.")
@paged
@output_option
@click.pass_obj
def list_(
    session: Session,
    kind: str | None,
    assigned_to: str | None,
    include_resolved: bool,
    limit: int,
    after: UUID | None,
    output: Output,
) -> None:
    """List open breaks in the order they were found."""
    from billing.queries import settlement

    with session.connect() as conn:
        rows = settlement.breaks(
            conn,
            kind=kind,
            assigned_to=assigned_to,
            include_resolved=include_resolved,
            limit=limit + 1,
            after=after,
        )
    output.records([_shown(row) for row in rows[:limit]], BREAKS)
    if rows[:limit]:
        more_hint(len(rows), limit, rows[:limit][-1].id)


@breaks.command("show")
@click.argument("break_id", metavar="BREAK")
@output_option
@click.pass_obj
def show(session: Session, break_id: str, output: Output) -> None:
    """Show a break with both sides and its notes."""
    from billing.queries import settlement

    with session.connect() as conn:
        found = find(conn, "break", break_id)
        row = settlement.found_break(conn, found)
        notes = [_note(note) for note in settlement.break_notes(conn, found)]
    assert row is not None, "breaks are never deleted"
    output.record({**_shown(row), "notes": notes}, {"notes": _NOTES})


@breaks.command("annotate")
@click.argument("break_id", metavar="BREAK")
@click.argument("words")
@output_option
@click.pass_obj
def annotate(session: Session, break_id: str, words: str, output: Output) -> None:
    """Add a note to a break; notes stay."""
    from billing.flows.breaks import operator

    found = _find(session, break_id)
    operator.annotate(session.engine, found, words=words, now=session.now(), actor=person())
    output.message({"action": "annotate", "id": found, "words": words}, f"noted on break {found}")


@breaks.command("assign")
@click.argument("break_id", metavar="BREAK")
@click.argument("name", required=False)
@click.option("--nobody", is_flag=True, help="Nobody looks into it any more.")
@output_option
@click.pass_obj
def assign(session: Session, break_id: str, name: str | None, nobody: bool, output: Output) -> None:
    """Say who looks into a break."""
    from billing.flows.breaks import operator

    if (name is None) is not nobody:
        raise BadInput("name who looks into it, or give --nobody", where="breaks assign")
    found = _find(session, break_id)
    operator.assign(session.engine, found, to=name, now=session.now(), actor=person())
    words = f"break {found} is assigned to {name or 'nobody'}"
    output.message({"action": "assign", "id": found, "assigned_to": name}, words)


@breaks.command("resolve")
@click.argument("break_ids", metavar="BREAK...", nargs=-1, required=True)
@click.option("--reason", required=True, metavar="TEXT", help="How it is explained; kept.")
@click.option(
    "--adjust",
    metavar="AMOUNT",
    help='Post an adjustment of psp_clearing, like "7.00 USD" or "-7.00 USD",'
    f' or "{_SUGGESTED}" for what `--dry-run` suggests.',
)
@lasting
@output_option
@click.pass_obj
def resolve(
    session: Session,
    break_ids: Sequence[str],
    reason: str,
    adjust: str | None,
    dry_run: bool,
    yes: bool,
    output: Output,
) -> None:
    """Close a break, or many, with a reason, and adjust the books if need be.

    An adjustment changes psp_clearing against the account adjustments, so that the books say what
    the provider's balance says. The cycle of the break can close from then on. Of many, each is
    resolved by itself, and "suggested" adjusts those that suggest something.
    """
    found = list(dict.fromkeys(_find(session, each) for each in break_ids))
    plans = [_preview(session, each, adjust, one=len(found) == 1) for each in found]
    if not dry_run:
        for plan in plans:
            for words in (f"this closes break {plan.break_id} ({plan.kind})", *_effects(plan)):
                talk(words)
        confirm("Resolve it?" if len(plans) == 1 else f"Resolve these {len(plans)}?", yes=yes)
        plans = [_resolve(session, plan, reason) for plan in plans]
    records = [_resolved(plan, dry_run) for plan in plans]
    if len(plans) > 1:
        output.records(records, _RESOLVED)
        return
    (plan,) = plans
    told = "; ".join(_effects(plan)) or "nothing is posted"
    verb = "would resolve" if dry_run else "resolved"
    output.message(records[0], f"{verb} break {plan.break_id}: {told}")


def _preview(session: Session, break_id: UUID, adjust: str | None, *, one: bool) -> "Resolution":
    from billing.flows.breaks import operator

    if not one and adjust not in (None, _SUGGESTED):
        raise BadInput(
            "one amount for many breaks is no adjustment of any of them",
            where="--adjust",
            remedy=f'"{_SUGGESTED}" adjusts each by what it lacks',
        )
    with session.connect() as conn:
        plan = operator.preview(conn, break_id, None)
        lacks_nothing = adjust == _SUGGESTED and plan.suggested is None
        if not (lacks_nothing and not one):
            plan = operator.preview(conn, break_id, _adjustment(adjust, plan))
        conn.rollback()
    return plan


def _resolve(session: Session, plan: "Resolution", reason: str) -> "Resolution":
    from billing.flows.breaks import operator

    return operator.resolve(
        session.engine,
        plan.break_id,
        reason=reason,
        adjustment=plan.adjustment,
        now=session.now(),
        actor=person(),
    )


def _resolved(plan: "Resolution", dry_run: bool) -> dict[str, Any]:
    return {
        "action": "resolve",
        "dry_run": dry_run,
        "id": plan.break_id,
        "kind": str(plan.kind),
        "suggested": None if plan.suggested is None else str(plan.suggested),
        "adjustment": None if plan.adjustment is None else str(plan.adjustment),
        "words": _effects(plan),
    }


def _effects(plan: "Resolution") -> list[str]:
    from billing.presenters import break_notes

    return break_notes.effects(plan.facts)


def _note(note: "BreakNote") -> dict[str, Any]:
    from billing.presenters import break_notes

    return {**plain(note), "words": break_notes.in_words(note.kind, note.words, note.facts)}


def _shown(row: "Break") -> dict[str, Any]:
    from billing.presenters import break_causes

    return {**plain(row), "suggested_cause": break_causes.in_words(row.suggested_cause)}


def _find(session: Session, break_id: str) -> UUID:
    with session.connect() as conn:
        return find(conn, "break", break_id)


def _adjustment(typed: str | None, plan: "Resolution") -> "Money | None":
    """Read what was typed after --adjust. Raises: BadInput."""
    from billing.cli.amounts import read_money

    if typed is None:
        return None
    if typed == _SUGGESTED:
        if plan.suggested is None:
            raise BadInput(
                "this break suggests no adjustment",
                where="--adjust",
                remedy='give the amount yourself, like "7.00 USD", or leave --adjust out',
            )
        return plan.suggested
    return read_money(typed, "--adjust", '"7.00 USD" or "-7.00 USD"')
