"""What a change within a period charges and returns: the facts of its invoice, and credit notes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection

from billing.errors import Conflict, ErrorCode
from billing.flows.credit_notes import drafting, issuing
from billing.flows.credit_notes.drafting import Asked, DraftedNote, NotCreditable
from billing.flows.cycles import crediting, held_terms
from billing.flows.cycles.charging import Holdings, facts_of_cycle, terms_of_charges
from billing.flows.cycles.holding import BatchHoldings
from billing.flows.policy import Policy
from billing.flows.refunds.requesting import NotRefundable
from billing.ids import derived_id
from billing.plans.terms import Plan, PlanVersion
from billing.pricing import (
    Charged,
    Discount,
    Facts,
    InvoiceKind,
    LineLeft,
    LineReturn,
    Return,
    draft,
    lines_of_change,
    still_held,
)
from billing.rules.actor import Actor
from billing.rules.credit_notes import Destination
from billing.rules.item_changes import HeldTerms
from billing.rules.money import Money
from billing.rules.periods import Period, ScheduledPeriod
from billing.store.payments import credit_notes, invoices, payments
from billing.store.payments.invoices import Invoice
from billing.store.payments.payments import LockedPayment
from billing.store.subscriptions import cycles
from billing.store.subscriptions.cycles import Cycle
from billing.store.subscriptions.subscriptions import Subscription


@dataclass(frozen=True, slots=True)
class QuotedNote:
    """A credit note of a change: its id, and what it gives back, as credit or to the card."""

    note_id: UUID
    asked: Asked
    drafted: DraftedNote


@dataclass(frozen=True, slots=True)
class GivesBack:
    """Where goes what a change takes away, and whether a caller asked for just that."""

    to: Destination
    insists: bool = False


TO_CREDIT: Final = GivesBack(Destination.CREDIT)


@dataclass(frozen=True, slots=True)
class RunningPeriod:
    """The period of an open cycle, and what its subscription holds at an instant within it."""

    subscription: Subscription
    cycle: Cycle
    scheduled: ScheduledPeriod
    batch: BatchHoldings
    policy: Policy
    at: datetime

    def facts(self, held: HeldTerms, version: PlanVersion, plan: Plan) -> Facts:
        """Return the facts that the whole period would have with what is held.

        What a provider would tax them with isn't asked: nothing is invoiced by them.
        """
        changed, holds = self._holding(held, version)
        if holds.tax is not None and holds.tax.by_provider:
            holds = replace(holds, tax=None)
        return facts_of_cycle(changed, plan, version, self.scheduled, self.policy, holds)

    def taxed(self, facts: Facts, held: HeldTerms, version: PlanVersion, plan: Plan) -> Facts:
        """Return the facts of what is charged of the period with the taxes of a provider.

        Those by the catalog's rates are there already. Raises: TaxUndecided.
        """
        changed, holds = self._holding(held, version)
        if holds.tax is None or not holds.tax.by_provider:
            return facts
        terms = terms_of_charges(changed, plan, version, self.scheduled, self.policy, holds)
        of_each = [terms[charge.source, charge.item] for charge in facts.charges]
        return holds.tax.taxed(facts, of_each)

    def _holding(self, held: HeldTerms, version: PlanVersion) -> tuple[Subscription, Holdings]:
        return held_terms.with_quantities(
            held_terms.with_plan(self.subscription, held),
            replace(self.batch.of(self.subscription, self.at), addons=self.batch.addons),
            held,
            version,
        )


def running(
    subscription: Subscription, cycle: Cycle, batch: BatchHoldings, policy: Policy, at: datetime
) -> RunningPeriod:
    """Return the period of a cycle, as it was opened."""
    scheduled = subscription.segment.nth(cycle.n)
    scheduled = replace(scheduled, period=Period(cycle.period_start, cycle.period_end))
    return RunningPeriod(subscription, cycle, scheduled, batch, policy, at)


@dataclass(frozen=True, slots=True)
class ChargedPeriod:
    """What was charged for a period, and at which percentages off."""

    pieces: Sequence[Charged] = ()
    discounts: tuple[Discount, ...] = ()


@dataclass(frozen=True, slots=True)
class ChangeCost:
    """What a change costs: the facts of its invoice, and what is returned, by invoice.

    The facts are None where nothing is charged.
    """

    facts: Facts | None
    returns: Mapping[UUID, Asked]


def lock_payments(conn: Connection, subscription_id: UUID) -> list[LockedPayment]:
    """Lock the payments of what was invoiced for the last period; return the undecided ones."""
    undecided = payments.lock_collecting(conn, subscription_id)
    cycle = cycles.last(conn, subscription_id)
    if cycle is not None:
        period = (cycle.period_start, cycle.period_end)
        for invoice in invoices.of_period(conn, subscription_id, *period):
            payment = payments.of_invoice(conn, invoice.id)
            if payment is not None:
                payments.lock_known_payment(conn, payment.id)
    return undecided


def charged_for(conn: Connection, subscription_id: UUID, cycle: Cycle) -> ChargedPeriod:
    """Return what was charged for a cycle's period, with its invoice and those of changes in it.

    What is charged anew has the percentages off that its period's invoice had; an amount was used
    up there. Raises: Conflict, where an invoice of an earlier release has no facts.
    """
    start, end = cycle.period_start, cycle.period_end
    found: list[Charged] = []
    discounts: tuple[Discount, ...] = ()
    for invoice in invoices.of_period(conn, subscription_id, start, end):
        if invoice.facts is None:
            raise Conflict(
                f"invoice {invoice.number} is of an earlier release: what was charged can't be"
                " compared",
                code=ErrorCode.CHANGE_INVOICE_WITHOUT_FACTS,
                number=invoice.number,
            )
        facts = Facts.from_document(invoice.facts)
        found += _charged(conn, invoice, facts)
        if facts.kind is InvoiceKind.CYCLE:
            discounts = tuple(each for each in facts.discounts if each.percent is not None)
    return ChargedPeriod(found, discounts)


def _charged(conn: Connection, invoice: Invoice, facts: Facts) -> Iterator[Charged]:
    lines, noted = draft(facts).lines, credit_notes.last_of_lines(conn, invoice.id)
    for index, charge in enumerate(facts.charges):
        if charge.once or charge.metered:
            continue
        left = tuple(
            LineLeft(n, line.gross - (noted[n + 1].all_gross if n + 1 in noted else 0))
            for n, line in enumerate(lines)
            if line.charge == index
        )
        yield Charged(invoice.id, left, charge)


def cost_of_change(
    subscription: Subscription,
    charged: ChargedPeriod,
    before: Facts,
    after: Facts,
    period: Period,
    at: datetime,
) -> ChangeCost:
    """Return what a change at an instant of a period costs.

    `before` and `after` are the facts that the whole period would have with what is held.
    """
    change = lines_of_change(
        still_held(charged.pieces, before.charges),
        after.charges,
        period,
        at,
        subscription.zone,
        step=after.step,
    )
    charges = tuple(charge for charge in change.charges if not charge.price.is_free)
    facts = None
    if charges:
        facts = replace(
            after,
            kind=InvoiceKind.CHANGE,
            charges=charges,
            discounts=charged.discounts,
            carried=0,
            waives=True,
        )
    return ChangeCost(facts, _by_invoice(change.returns))


def _by_invoice(returns: Sequence[LineReturn]) -> Mapping[UUID, Asked]:
    lines: dict[UUID, list[Return]] = {}
    for each in returns:
        lines.setdefault(each.invoice, []).append(Return(each.line, each.gross))
    return {invoice: Asked(tuple(of_one)) for invoice, of_one in lines.items()}


def quoted_notes(
    conn: Connection,
    returns: Mapping[UUID, Asked],
    gives_back: GivesBack,
    change_id: UUID,
    at: datetime,
) -> tuple[QuotedNote, ...]:
    """Return the credit notes of a change, with the ids that they will have.

    What was free has none. Where nobody insists on money, and none can go back, they are credit.

    Raises: NotCreditable, where not so much is left of an invoice; NotRefundable.
    """
    try:
        drafted = list(_drafted(conn, returns, gives_back.to))
    except NotRefundable:
        if gives_back.insists:
            raise
        drafted = list(_drafted(conn, returns, Destination.CREDIT))
    return tuple(
        QuotedNote(derived_id("change_note", change_id, k, at), asked, note)
        for k, (asked, note) in enumerate(drafted)
    )


def _drafted(
    conn: Connection, returns: Mapping[UUID, Asked], to: Destination
) -> Iterator[tuple[Asked, DraftedNote]]:
    for invoice_id, asked in returns.items():
        try:
            yield asked, drafting.drafted(conn, invoice_id, asked, to)
        except NotCreditable as error:
            if error.code is not ErrorCode.CREDIT_NOTE_OF_NOTHING:
                raise


def issue_notes(
    conn: Connection, notes: Sequence[QuotedNote], reason: str, actor: Actor, now: datetime
) -> None:
    """Issue notes that were quoted in this transaction."""
    for note in notes:
        issuing.issue(
            conn,
            note.drafted.invoice.id,
            note.asked,
            destination=note.drafted.destination,
            reason=reason,
            actor=actor,
            now=now,
            note_id=note.note_id,
        )


def give_to(batch: BatchHoldings, owner: UUID, notes: Sequence[QuotedNote], at: datetime) -> None:
    """Let what notes give back be credit of their customer, before they are issued."""
    for note in notes:
        total = Money(note.drafted.note.total, note.drafted.note.currency)
        batch.add(owner, crediting.grant_of_note(note.note_id, owner, total, at))
