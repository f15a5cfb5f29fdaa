"""Breaks as a work-list: taken, noted, and resolved one or many at a time, after a preview."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection
from starlette.responses import Response

from billing.console import references, tables, words
from billing.console.pages.lists import YES_NO, is_yes
from billing.console.tables import Cell, Filter, ListPage, PageTable
from billing.console.visits import ConsolePage, Visit, go
from billing.errors import BadInput, BillingError
from billing.flows.breaks import operator
from billing.flows.breaks.operator import Resolution
from billing.flows.service.api_keys import Scope
from billing.presenters import break_causes, break_notes, break_sides
from billing.queries import settlement
from billing.queries.settlement import Break
from billing.rules.money import Money, parse_money
from billing.rules.reconciliation import BreakKind, needs_second_person

MANY: Final = 200
"""How many are resolved at once at most."""
_SUGGESTED: Final = "suggested"


def _read(conn: Connection, *, resolved: bool | None, **asked: Any) -> Sequence[Break]:
    return settlement.breaks(conn, include_resolved=bool(resolved), **asked)


def _cells(row: Break) -> Sequence[Cell]:
    tone = "success" if row.resolved_at else "warning"
    told = break_sides.difference(row.kind, row.ours, row.theirs)
    return (
        Cell(words.plain(row.kind), f"/console/breaks/{row.id}", tone, str(row.id)),
        Cell(told or words.NOTHING),
        tables.plain(break_causes.in_words(row.suggested_cause)),
        tables.plain(row.found_at),
        tables.thing("payment", row.payment_id),
        Cell(row.provider),
        tables.plain(row.assigned_to),
    )


BREAKS: Final = ListPage(
    title="Breaks",
    place="breaks",
    headings=("break", "difference", "probable cause", "found at", "payment", "account", "who"),
    read=_read,
    cells=_cells,
    filters=(
        Filter("kind", "Kind", tuple(BreakKind)),
        Filter("provider", "Account"),
        Filter("currency", "Currency"),
        Filter("assigned_to", "Who"),
        Filter("proposed", "Proposed", YES_NO, is_yes),
        Filter("resolved", "Resolved too", YES_NO, is_yes),
    ),
    empty="Our books and the provider's agree.",
    forward=True,
)


def _list(visit: Visit) -> Response:
    return tables.show(BREAKS, visit, "breaks.html", may_close=visit.person.may(Scope.CLOSE))


def _found(conn: Connection, visit: Visit) -> Break:
    row = settlement.found_break(conn, references.find(conn, "break", visit.path["break_id"]))
    assert row is not None, "breaks are never deleted"
    return row


def _one(visit: Visit) -> Response:
    visit.query.only("inside", "adjust", "reason")
    with visit.connect() as conn:
        row = _found(conn, visit)
        notes = settlement.break_notes(conn, row.id)
        proposed = operator.proposal(conn, row.id) if row.resolved_at is None else None
    inside = visit.query.get("inside") == "yes"
    return visit.page(
        "break_inside.html" if inside else "break.html",
        section="breaks",
        row=row,
        difference=break_sides.difference(row.kind, row.ours, row.theirs),
        cause=break_causes.in_words(row.suggested_cause),
        lines=break_sides.lines(row.ours, row.theirs),
        facts=[
            ("found at", tables.plain(row.found_at)),
            ("account", Cell(row.provider)),
            ("payment", tables.thing("payment", row.payment_id)),
            ("customer", tables.thing("customer", row.customer_id)),
            ("who looks into it", Cell(row.assigned_to or "nobody")),
            ("resolved", tables.plain(row.resolved_at)),
            ("by", tables.plain(row.resolved_by)),
            ("id", Cell(str(row.id))),
        ],
        notes=PageTable(
            ("when", "who", "what"),
            [
                (
                    tables.plain(each.at),
                    Cell(each.actor),
                    Cell(break_notes.in_words(each.kind, each.words, each.facts)),
                )
                for each in notes
            ],
            empty="Nobody has noted anything.",
        ),
        proposed=proposed,
        own=proposed is not None and proposed.by == str(visit.person.actor),
        may_close=visit.person.may(Scope.CLOSE),
    )


def _annotate(visit: Visit) -> Response:
    with visit.connect() as conn:
        row = _found(conn, visit)
    operator.annotate(
        visit.desk.runtime.engine,
        row.id,
        words=visit.form.get("words"),
        now=visit.now,
        actor=visit.person.actor,
    )
    return go(f"/console/breaks/{row.id}")


def _assign(visit: Visit) -> Response:
    """Let the person who asks look into a break, or nobody."""
    with visit.connect() as conn:
        row = _found(conn, visit)
    to = visit.person.name if visit.form.get("to") == "me" else None
    operator.assign(
        visit.desk.runtime.engine, row.id, to=to, now=visit.now, actor=visit.person.actor
    )
    return go(f"/console/breaks/{row.id}")


# --- resolving ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Planned:
    """What resolving one break does, in words; `refused` says why it can't be.

    One that `waits` is proposed, for a second person to agree to.
    """

    row: Break
    plan: Resolution | None
    effects: Sequence[str]
    posting: Sequence[Sequence[Cell]]
    refused: str = ""
    waits: bool = False


def _ids(conn: Connection, typed: Sequence[str]) -> list[UUID]:
    if not typed:
        raise BadInput("select a break first")
    if len(typed) > MANY:
        raise BadInput(f"at most {MANY} are resolved at once")
    return list(dict.fromkeys(references.find(conn, "break", each) for each in typed))


def _adjustment(conn: Connection, typed: str, break_id: UUID, *, one: bool) -> Money | None:
    """Return what is adjusted for a break: nothing, what it lacks, or an amount for one."""
    if not typed:
        return None
    if typed == _SUGGESTED:
        return operator.preview(conn, break_id, None).suggested
    if not one:
        raise BadInput("one amount for many breaks is no adjustment of any of them", where="adjust")
    amount, _, currency = typed.rpartition(" ")
    try:
        return parse_money(amount.strip(), currency)
    except ValueError as error:
        raise BadInput(f"{error}; write it like 7.00 USD or -7.00 USD", where="adjust") from None


def _waits(conn: Connection, visit: Visit, break_id: UUID, adjustment: Money | None) -> bool:
    """Tell whether an adjustment needs a second person, and this one isn't that."""
    above = visit.desk.runtime.settings.console.second_person_above
    if not needs_second_person(adjustment, above):
        return False
    proposed = operator.proposal(conn, break_id)
    return (
        proposed is None
        or proposed.adjustment != str(adjustment)
        or proposed.by == str(visit.person.actor)
    )


def _planned(conn: Connection, visit: Visit, break_id: UUID, adjust: str, *, one: bool) -> Planned:
    row = settlement.found_break(conn, break_id)
    assert row is not None, "it was found a moment ago"
    try:
        plan = operator.preview(conn, break_id, _adjustment(conn, adjust, break_id, one=one))
    except BillingError as error:
        if one:
            raise
        return Planned(row, None, (), (), error.what)
    effects = break_notes.effects(plan.facts) or ["nothing is posted"]
    waits = _waits(conn, visit, break_id, plan.adjustment)
    return Planned(row, plan, effects, _posting(plan), waits=waits)


def _posting(plan: Resolution) -> Sequence[Sequence[Cell]]:
    """Return the postings of an adjustment as they will be made."""
    change = plan.adjustment
    if change is None:
        return ()
    amount, more = Cell(str(abs(change))), change.amount > 0
    clearing = (Cell("psp clearing"), amount if more else Cell(""), Cell("") if more else amount)
    against = (Cell("adjustments"), Cell("") if more else amount, amount if more else Cell(""))
    return (clearing, against) if more else (against, clearing)


def _preview(visit: Visit) -> Response:
    """Show what resolving does, and change nothing."""
    visit.query.only("id", "reason", "adjust", "all")
    adjust = visit.query.get("adjust")
    with visit.connect() as conn:
        ids = _ids(conn, visit.query.all("id"))
        plans = [_planned(conn, visit, each, adjust, one=len(ids) == 1) for each in ids]
        conn.rollback()  # a preview locks what it looks at
    return visit.page(
        "breaks_resolve.html",
        section="breaks",
        plans=plans,
        possible=[each for each in plans if each.plan is not None],
        adjust=adjust,
        reason=visit.query.get("reason"),
        headings=("account", "debit", "credit"),
        sums=_sums(plans),
        may_close=visit.person.may(Scope.CLOSE),
    )


def _sums(plans: Sequence[Planned]) -> str:
    sums: dict[str, int] = {}
    for each in plans:
        if each.plan is not None and (change := each.plan.adjustment) is not None:
            sums[change.currency] = sums.get(change.currency, 0) + change.amount
    return ", ".join(words.money(total, currency) for currency, total in sorted(sums.items()))


def _resolve(visit: Visit) -> Response:
    """Resolve what was selected, each by itself, with one reason; propose what takes two people."""
    form = visit.form
    form.only("id", "reason", "adjust")
    with visit.connect() as conn:
        ids = _ids(conn, form.all("id"))
        changes = {
            each: _adjustment(conn, form.get("adjust"), each, one=len(ids) == 1) for each in ids
        }
        waiting = {each for each in ids if _waits(conn, visit, each, changes[each])}
        conn.rollback()
    refused: list[tuple[UUID, str]] = []
    for each, change in changes.items():
        try:
            _post(visit, each, change, propose=each in waiting)
        except BillingError as error:
            if len(ids) == 1:
                raise
            refused.append((each, error.what))
    failed = {each for each, _ in refused}
    return visit.page(
        "breaks_resolved.html",
        section="breaks",
        done=len([each for each in ids if each not in waiting | failed]),
        proposed=len(waiting - failed),
        refused=PageTable(
            ("break", "why not"),
            [(Cell(str(each), f"/console/breaks/{each}"), Cell(why)) for each, why in refused],
        ),
    )


def _post(visit: Visit, break_id: UUID, change: Money | None, *, propose: bool) -> None:
    engine, reason = visit.desk.runtime.engine, visit.form.get("reason")
    told: dict[str, Any] = {"reason": reason, "now": visit.now, "actor": visit.person.actor}
    if propose and change is not None:
        operator.propose(engine, break_id, adjustment=change, **told)
        return
    above = visit.desk.runtime.settings.console.second_person_above
    operator.resolve(engine, break_id, adjustment=change, second_person_above=above, **told)


PAGES: Final = (
    ConsolePage("GET", "/breaks", Scope.READ, _list),
    ConsolePage("GET", "/breaks.csv", Scope.READ, lambda visit: tables.as_csv(BREAKS, visit)),
    ConsolePage("GET", "/breaks/resolve", Scope.READ, _preview),
    ConsolePage("POST", "/breaks/resolve", Scope.CLOSE, _resolve),
    ConsolePage("GET", "/breaks/{break_id}", Scope.READ, _one),
    ConsolePage("POST", "/breaks/{break_id}/notes", Scope.CLOSE, _annotate),
    ConsolePage("POST", "/breaks/{break_id}/assign", Scope.CLOSE, _assign),
)
