"""Breaks as a work-list: taken, noted, and resolved one or many at a time, after a preview."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection
from starlette.responses import Response

from billing.console import references, tables, words
from billing.console.pages.lists import YES_NO, is_yes
from billing.console.requests import ConsolePage, PageRequest, go
from billing.console.tables import Cell, Filter, ListPage, PageTable
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


def _list(request: PageRequest) -> Response:
    return tables.show(BREAKS, request, "breaks.html", may_close=request.person.may(Scope.CLOSE))


def _found(conn: Connection, request: PageRequest) -> Break:
    row = settlement.found_break(conn, references.find(conn, "break", request.path["break_id"]))
    assert row is not None, "breaks are never deleted"
    return row


def _one(request: PageRequest) -> Response:
    request.query.only("inside", "adjust", "reason")
    with request.connect() as conn:
        row = _found(conn, request)
        notes = settlement.break_notes(conn, row.id)
        proposed = operator.proposal(conn, row.id) if row.resolved_at is None else None
    inside = request.query.get("inside") == "yes"
    return request.page(
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
        own=proposed is not None and proposed.by == str(request.person.actor),
        may_close=request.person.may(Scope.CLOSE),
    )


def _annotate(request: PageRequest) -> Response:
    with request.connect() as conn:
        row = _found(conn, request)
    operator.annotate(
        request.console.runtime.engine,
        row.id,
        words=request.form.get("words"),
        now=request.now,
        actor=request.person.actor,
    )
    return go(f"/console/breaks/{row.id}")


def _assign(request: PageRequest) -> Response:
    """Let the person who asks look into a break, or nobody."""
    with request.connect() as conn:
        row = _found(conn, request)
    to = request.person.name if request.form.get("to") == "me" else None
    operator.assign(
        request.console.runtime.engine, row.id, to=to, now=request.now, actor=request.person.actor
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


def _waits(
    conn: Connection, request: PageRequest, break_id: UUID, adjustment: Money | None
) -> bool:
    """Tell whether an adjustment needs a second person, and this one isn't that."""
    above = request.console.runtime.settings.console.second_person_above
    if not needs_second_person(adjustment, above):
        return False
    proposed = operator.proposal(conn, break_id)
    return (
        proposed is None
        or proposed.adjustment != str(adjustment)
        or proposed.by == str(request.person.actor)
    )


def _planned(
    conn: Connection, request: PageRequest, break_id: UUID, adjust: str, *, one: bool
) -> Planned:
    row = settlement.found_break(conn, break_id)
    assert row is not None, "it was found a moment ago"
    try:
        plan = operator.preview(conn, break_id, _adjustment(conn, adjust, break_id, one=one))
    except BillingError as error:
        if one:
            raise
        return Planned(row, None, (), (), error.what)
    effects = break_notes.effects(plan.facts) or ["nothing is posted"]
    waits = _waits(conn, request, break_id, plan.adjustment)
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


def _preview(request: PageRequest) -> Response:
    """Show what resolving does, and change nothing."""
    request.query.only("id", "reason", "adjust", "all")
    adjust = request.query.get("adjust")
    with request.connect() as conn:
        ids = _ids(conn, request.query.all("id"))
        plans = [_planned(conn, request, each, adjust, one=len(ids) == 1) for each in ids]
        conn.rollback()  # a preview locks what it looks at
    return request.page(
        "breaks_resolve.html",
        section="breaks",
        plans=plans,
        possible=[each for each in plans if each.plan is not None],
        adjust=adjust,
        reason=request.query.get("reason"),
        headings=("account", "debit", "credit"),
        sums=_sums(plans),
        may_close=request.person.may(Scope.CLOSE),
    )


def _sums(plans: Sequence[Planned]) -> str:
    sums: dict[str, int] = {}
    for each in plans:
        if each.plan is not None and (change := each.plan.adjustment) is not None:
            sums[change.currency] = sums.get(change.currency, 0) + change.amount
    return ", ".join(words.money(total, currency) for currency, total in sorted(sums.items()))


def _resolve(request: PageRequest) -> Response:
    """Resolve what was selected, each by itself, with one reason; propose what takes two people."""
    form = request.form
    form.only("id", "reason", "adjust")
    with request.connect() as conn:
        ids = _ids(conn, form.all("id"))
        changes = {
            each: _adjustment(conn, form.get("adjust"), each, one=len(ids) == 1) for each in ids
        }
        waiting = {each for each in ids if _waits(conn, request, each, changes[each])}
        conn.rollback()
    refused: list[tuple[UUID, str]] = []
    for each, change in changes.items():
        try:
            _post(request, each, change, propose=each in waiting)
        except BillingError as error:
            if len(ids) == 1:
                raise
            refused.append((each, error.what))
    failed = {each for each, _ in refused}
    return request.page(
        "breaks_resolved.html",
        section="breaks",
        done=len([each for each in ids if each not in waiting | failed]),
        proposed=len(waiting - failed),
        refused=PageTable(
            ("break", "why not"),
            [(Cell(str(each), f"/console/breaks/{each}"), Cell(why)) for each, why in refused],
        ),
    )


def _post(request: PageRequest, break_id: UUID, change: Money | None, *, propose: bool) -> None:
    engine, reason = request.console.runtime.engine, request.form.get("reason")
    told: dict[str, Any] = {"reason": reason, "now": request.now, "actor": request.person.actor}
    if propose and change is not None:
        operator.propose(engine, break_id, adjustment=change, **told)
        return
    above = request.console.runtime.settings.console.second_person_above
    operator.resolve(engine, break_id, adjustment=change, second_person_above=above, **told)


PAGES: Final = (
    ConsolePage("GET", "/breaks", Scope.READ, _list),
    ConsolePage("GET", "/breaks.csv", Scope.READ, lambda request: tables.as_csv(BREAKS, request)),
    ConsolePage("GET", "/breaks/resolve", Scope.READ, _preview),
    ConsolePage("POST", "/breaks/resolve", Scope.CLOSE, _resolve),
    ConsolePage("GET", "/breaks/{break_id}", Scope.READ, _one),
    ConsolePage("POST", "/breaks/{break_id}/notes", Scope.CLOSE, _annotate),
    ConsolePage("POST", "/breaks/{break_id}/assign", Scope.CLOSE, _assign),
)
