"""An operator's work on a break: annotate, assign, and resolve it with a reason.

Resolving may post an `adjustment` to `psp_clearing`, so that our books equal the provider's
balance; the break, a note and the audit log keep the reason.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Engine

from billing.crash_points import CrashPoint, marked
from billing.errors import BadInput, Conflict, ErrorCode, NotFound
from billing.flows.breaks.booked import booked
from billing.ledger import keys, recipes
from billing.ledger.accounts import Account, AccountCode
from billing.rules.actor import Actor
from billing.rules.money import Money
from billing.rules.payments import Cause, State
from billing.rules.reconciliation import (
    ACCEPTABLE,
    BreakFound,
    BreakKind,
    BreakNoteKind,
    RowOutcome,
    lacking,
    needs_second_person,
    still_lacking,
    suggested_adjustment,
)
from billing.store.access import audit
from billing.store.journal import posting, reads
from billing.store.payments import payments, refunds
from billing.store.settlement import breaks, exchanges
from billing.store.settlement import rows as settlement_rows
from billing.store.settlement.breaks import Break

# The provider's side of a resolved break has the amounts that our books still lack under this name.
UNADJUSTED: Final = "unadjusted"
# Resolving a break of these kinds means that the payment's money is accounted for in another way.
_SETTLES_PAYMENT: Final = frozenset({BreakKind.MISSING_AT_PROVIDER, BreakKind.CURRENCY_MISMATCH})
# Resolving a break of these kinds accepts the charge as the provider shows it.
_CONFIRMS_PAYMENT: Final = frozenset(
    {BreakKind.AMOUNT_MISMATCH, BreakKind.FEE_MISMATCH, BreakKind.FX_MISMATCH}
)


@dataclass(frozen=True, slots=True)
class Resolution:
    """The effects of resolving a break, apart from closing it.

    Each is None where there is none: `accepts` is the transaction that is posted as it is,
    `settles_payment` and `settles_refund` are what counts as settled.
    """

    break_id: UUID
    kind: BreakKind
    suggested: Money | None
    adjustment: Money | None
    accepts: str | None
    settles_payment: UUID | None
    settles_refund: str | None

    @property
    def facts(self) -> dict[str, str]:
        """The effects as JSON, as the note of it keeps them; amounts are "7.00 USD"."""
        found = {
            "suggested": self.suggested,
            "adjustment": self.adjustment,
            "accepts": self.accepts,
            "settles_payment": self.settles_payment,
            "settles_refund": self.settles_refund,
        }
        return {name: str(value) for name, value in found.items() if value is not None}


def annotate(engine: Engine, break_id: UUID, *, words: str, now: datetime, actor: Actor) -> None:
    """Add a note, which can't be removed. Raises `NotFound`, `BadInput` for an empty one."""
    if not words.strip():
        raise BadInput("a note says something", code=ErrorCode.NOTE_EMPTY)
    _note(engine, break_id, BreakNoteKind.WRITTEN, now=now, actor=actor, words=words.strip())


@dataclass(frozen=True, slots=True)
class Proposal:
    """An adjustment that a person proposed for a break, like "7.00 USD", and why."""

    by: str
    adjustment: str
    reason: str


def propose(
    engine: Engine, break_id: UUID, *, reason: str, adjustment: Money, now: datetime, actor: Actor
) -> None:
    """Write an adjustment down that another person has to agree to, by resolving with it.

    Raises `NotFound`, `Conflict`, `BadInput`.
    """
    if not reason.strip():
        raise BadInput("resolving a break takes a reason", code=ErrorCode.REASON_MISSING)
    facts = {"reason": reason.strip(), "adjustment": str(adjustment)}
    _note(
        engine,
        break_id,
        BreakNoteKind.PROPOSED,
        now=now,
        actor=actor,
        facts=facts,
        adjustment=adjustment,
    )


def proposal(conn: Connection, break_id: UUID) -> Proposal | None:
    """Return what was proposed last for a break."""
    for note in reversed(breaks.notes(conn, break_id)):
        if note.kind is BreakNoteKind.PROPOSED:
            return Proposal(note.actor, note.facts["adjustment"], note.facts["reason"])
    return None


def _note(
    engine: Engine,
    break_id: UUID,
    kind: BreakNoteKind,
    *,
    now: datetime,
    actor: Actor,
    words: str | None = None,
    facts: Mapping[str, Any] | None = None,
    adjustment: Money | None = None,
) -> None:
    """Add a note; one about an adjustment only where that could be posted now."""
    with marked(CrashPoint.BREAK_ANNOTATED), engine.begin() as conn:
        if adjustment is None:
            _locked(conn, break_id)
        else:
            preview(conn, break_id, adjustment)
        breaks.annotate(conn, break_id, kind, at=now, actor=actor, words=words, facts=facts)


def assign(engine: Engine, break_id: UUID, *, to: str | None, now: datetime, actor: Actor) -> None:
    """Assign the break to a person, or take that back.

    Raises: NotFound, Conflict, BadInput.
    """
    if to is not None and not to.strip():
        raise BadInput("nobody is assigned without a name", code=ErrorCode.ASSIGNEE_MISSING)
    with marked(CrashPoint.BREAK_ASSIGNED), engine.begin() as conn:
        row = _open(conn, break_id)
        if row.assigned_to == to:
            return
        breaks.change(conn, break_id, assigned_to=to)
        kind = BreakNoteKind.ASSIGNED if to else BreakNoteKind.UNASSIGNED
        facts = {"name": to or row.assigned_to}
        breaks.annotate(conn, break_id, kind, at=now, actor=actor, facts=facts)


def preview(conn: Connection, break_id: UUID, adjustment: Money | None) -> Resolution:
    """Return what resolving would do. Raises `NotFound`, `Conflict`."""
    row = _open(conn, break_id)
    _refuse_twice(conn, row, adjustment)
    return _plan(conn, row, adjustment)


def resolve(
    engine: Engine,
    break_id: UUID,
    *,
    reason: str,
    adjustment: Money | None,
    now: datetime,
    actor: Actor,
    second_person_above: Mapping[str, int] | None = None,
) -> Resolution:
    """Close a break with a reason, posting an adjustment of `psp_clearing` if one is given.

    A difference in a matched charge is accepted with it: the payment becomes SETTLED and its fee
    is posted by the next run. An adjustment above `second_person_above`, in minor units by
    currency, has to be proposed by somebody else before. Raises `NotFound`, `Conflict`, `BadInput`
    for an empty reason.
    """
    if not reason.strip():
        raise BadInput("resolving a break takes a reason", code=ErrorCode.REASON_MISSING)
    with marked(CrashPoint.BREAK_RESOLVED), engine.begin() as conn:
        _lock_what_it_is_about(conn, break_id)
        row = _open(conn, break_id)
        _refuse_twice(conn, row, adjustment)
        plan = _plan(conn, row, adjustment)
        proposed = _agreed(conn, row, adjustment, actor, second_person_above or {})
        lacks = _lacking(conn, row)
        if adjustment is not None:
            _adjust(conn, row, adjustment, now)
        _settle_row(conn, row, plan, now)
        if row.payment_id is not None:
            _answer_for_payment(conn, row, row.payment_id, reason, now, actor)
        if plan.kind is BreakKind.REFUND_MISSING:
            _answer_for_refund(conn, row, now)
        breaks.change(
            conn,
            break_id,
            resolved_at=now,
            resolution=reason.strip(),
            resolved_by=str(actor),
            theirs=_with_unadjusted(row, plan, lacks),
        )
        breaks.annotate(
            conn,
            break_id,
            BreakNoteKind.RESOLVED,
            at=now,
            actor=actor,
            facts={"reason": reason.strip(), **plan.facts, **proposed},
        )
        audit.record(
            conn,
            actor=actor,
            action="break.resolve",
            subject=f"break:{break_id}",
            why=reason.strip(),
            detail={
                "kind": row.kind,
                "adjustment": None if adjustment is None else str(adjustment),
            },
        )
    return plan


def apply_earlier_decision(
    conn: Connection, known: Break, difference: BreakFound, *, now: datetime
) -> None:
    """Apply an operator's earlier decision to a (locked) settlement row that came later.

    `known` is the resolved break, found by the list of charges or by another row; `difference` is
    the row's own. The break keeps the amounts that our books still lack.
    """
    kind, transaction_id = known.kind, difference.transaction_id
    assert transaction_id is not None, "a settlement row's difference names its transaction"
    _decide(conn, known.provider, kind, transaction_id, now)
    has = booked(
        conn,
        kind,
        known.provider,
        difference.ours,
        difference.theirs,
        payment_id=difference.payment_id,
        break_id=known.id,
    )
    missing = lacking(kind, difference.theirs, has)
    theirs = dict(known.theirs)
    if known.provider_transaction_id is None:
        theirs |= difference.theirs
        missing = still_lacking(missing, _adjusted(conn, known))
    else:
        before = [Money(each["amount"], each["currency"]) for each in theirs.get(UNADJUSTED, ())]
        missing = still_lacking([*before, *missing], None)
    breaks.change(
        conn,
        known.id,
        theirs={**theirs, UNADJUSTED: _as_json(missing)},
        provider_transaction_id=known.provider_transaction_id or transaction_id,
    )


def _as_json(amounts: Sequence[Money]) -> list[dict[str, Any]]:
    return [{"amount": money.amount, "currency": money.currency} for money in amounts]


def _adjusted(conn: Connection, known: Break) -> Money | None:
    """Return the amount that resolving a break posts to `psp_clearing`."""
    stored = reads.entry_by_source_key(conn, keys.adjustment(known.id))
    if stored is None:
        return None
    clearing = Account(AccountCode.PSP_CLEARING, provider=known.provider)
    return next(line.money for line in stored.entry.postings if line.account == clearing)


def _lock_what_it_is_about(conn: Connection, break_id: UUID) -> None:
    """Lock settlement row and payment before the break: all code that writes breaks uses this
    order.
    """
    row = breaks.get(conn, break_id)
    if row is None:
        return
    if row.provider_transaction_id is not None:
        settlement_rows.lock_row(conn, row.provider, row.provider_transaction_id)
    if row.payment_id is not None:
        payments.lock_known_payment(conn, row.payment_id)


def _locked(conn: Connection, break_id: UUID) -> Break:
    row = breaks.lock(conn, break_id)
    if row is None:
        raise NotFound(f"no break {break_id}", code=ErrorCode.BREAK_NOT_FOUND, break_id=break_id)
    return row


def _open(conn: Connection, break_id: UUID) -> Break:
    row = _locked(conn, break_id)
    if row.resolved_at is not None:
        raise Conflict(
            f"break {break_id} is resolved: {row.resolution}",
            code=ErrorCode.BREAK_RESOLVED,
            break_id=break_id,
        )
    return row


def _booked(conn: Connection, row: Break) -> tuple[Money, ...]:
    return booked(
        conn,
        row.kind,
        row.provider,
        row.ours,
        row.theirs,
        payment_id=row.payment_id,
        break_id=row.id,
    )


def _lacking(conn: Connection, row: Break) -> tuple[Money, ...]:
    """Return what `psp_clearing` lacks for a break, as the journal stands now."""
    return lacking(row.kind, row.theirs, _booked(conn, row))


def _plan(conn: Connection, row: Break, adjustment: Money | None) -> Resolution:
    kind = row.kind
    suggested = suggested_adjustment(kind, row.theirs, _booked(conn, row))
    if adjustment is not None:
        _check_adjustment(row, adjustment)
    return Resolution(
        break_id=row.id,
        kind=kind,
        suggested=suggested,
        adjustment=adjustment,
        accepts=row.provider_transaction_id if kind in ACCEPTABLE else None,
        settles_payment=row.payment_id if kind in _SETTLES_PAYMENT else None,
        settles_refund=row.ours["refund"] if kind is BreakKind.REFUND_MISSING else None,
    )


def _refuse_twice(conn: Connection, row: Break, adjustment: Money | None) -> None:
    """Check that no exchange has posted the same amount as the adjustment. Raises: Conflict."""
    if adjustment is None or row.kind != BreakKind.UNKNOWN_AT_PROVIDER:
        return
    net = suggested_adjustment(row.kind, row.theirs, ())
    waiting = (
        None if net is None else exchanges.waiting_for(conn, row.provider, net.currency, net.amount)
    )
    if waiting is not None:
        raise Conflict(
            f"{net} is a side of {waiting}, which is in the books and waits for its transactions",
            code=ErrorCode.EXCHANGE_SIDE,
        )


def _check_adjustment(row: Break, adjustment: Money) -> None:
    if not adjustment.amount:
        raise BadInput("an adjustment of nothing adjusts nothing", code=ErrorCode.ADJUSTMENT_ZERO)
    named = (row.currency, row.ours.get("currency"), row.theirs.get("currency"))
    about = sorted({code for code in (*named, row.theirs.get("customer_currency")) if code})
    if about and adjustment.currency not in about:
        raise BadInput(
            f"the break is about {' and '.join(about)}, the adjustment about {adjustment.currency}",
            code=ErrorCode.ADJUSTMENT_CURRENCY,
        )


def _agreed(
    conn: Connection,
    row: Break,
    adjustment: Money | None,
    actor: Actor,
    above: Mapping[str, int],
) -> dict[str, str]:
    """Return who proposed an adjustment that needs a second person; nothing where it needs none.

    Raises `Conflict` where nobody else proposed it.
    """
    if not needs_second_person(adjustment, above):
        return {}
    proposed = proposal(conn, row.id)
    if proposed is None or proposed.adjustment != str(adjustment) or proposed.by == str(actor):
        raise Conflict(f"an adjustment of {adjustment} needs a second person, who agrees to it")
    return {"proposed_by": proposed.by}


def _adjust(conn: Connection, row: Break, change: Money, now: datetime) -> None:
    entry = recipes.adjustment(
        break_id=row.id,
        account=Account(AccountCode.PSP_CLEARING, provider=row.provider),
        change=change,
        effective_at=now,
    )
    posting.post(conn, [entry])


def _settle_row(conn: Connection, row: Break, plan: Resolution, now: datetime) -> None:
    """Take the break's settlement row out of matching, as accepted or resolved."""
    if row.provider_transaction_id is None:
        return
    settled = settlement_rows.lock_row(conn, row.provider, row.provider_transaction_id)
    if settled.matched_at is None:
        _decide(conn, row.provider, plan.kind, row.provider_transaction_id, now)


def _decide(
    conn: Connection, provider: str, kind: BreakKind, transaction_id: str, now: datetime
) -> None:
    accepted = kind in ACCEPTABLE
    settlement_rows.decide_row(
        conn,
        provider,
        transaction_id,
        str(RowOutcome.ACCEPTED if accepted else RowOutcome.RESOLVED),
        now,
        done=True,
        nothing_to_post=not accepted,
    )


def _answer_for_payment(
    conn: Connection, row: Break, payment_id: UUID, reason: str, now: datetime, actor: Actor
) -> None:
    """Mark a capture whose difference an operator accepted as confirmed, or as settled."""
    settles = row.kind in _SETTLES_PAYMENT
    payment = payments.lock_known_payment(conn, payment_id)
    if payment.captured_at is None or not (settles or row.kind in _CONFIRMS_PAYMENT):
        return
    if not settles or payment.settled_at is not None or payment.state != State.CAPTURED:
        payments.change(
            conn,
            payment.id,
            now,
            confirmed_at=payment.confirmed_at or now,
            settled_at=payment.settled_at or (now if settles else None),
        )
        return
    payments.move(
        conn,
        payment.id,
        [State.CAPTURED, State.SETTLED],
        cause=Cause.SETTLEMENT,
        now=now,
        actor=actor,
        evidence={"break": str(row.id), "kind": row.kind, "reason": reason},
        settled_at=now,
        confirmed_at=payment.confirmed_at or now,
    )


def _answer_for_refund(conn: Connection, row: Break, now: datetime) -> None:
    """Mark a refund whose absence an operator has explained as settled."""
    refund = refunds.get(conn, UUID(row.ours["refund"]))
    if refund is not None and refund.settled_at is None:
        refunds.change(conn, refund.id, settled_at=now)


def _with_unadjusted(row: Break, plan: Resolution, wanted: Sequence[Money]) -> dict[str, Any]:
    """Return the provider's side with the amounts that our books still lack, for the tie-out."""
    left = still_lacking(wanted, plan.adjustment) if wanted else ()
    return {**row.theirs, UNADJUSTED: _as_json(left)} if left else dict(row.theirs)
