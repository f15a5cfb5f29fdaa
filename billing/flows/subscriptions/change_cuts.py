"""A change at once to other periods: the running cycle is cut, and the next one begins there.

what is left of the cut period is given back  ->  its credit pays the new period's invoice
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from billing.errors import Conflict, ErrorCode
from billing.flows.cycles import opening
from billing.flows.cycles.deciding import CannotOpen, Opening, decide
from billing.flows.cycles.holding import BatchHoldings
from billing.flows.policy import Policy
from billing.flows.subscriptions.change_invoices import (
    TO_CREDIT,
    GivesBack,
    QuotedNote,
    charged_for,
    cost_of_change,
    give_to,
    quoted_notes,
    running,
)
from billing.flows.subscriptions.changed_terms import ChangedTerms
from billing.plans.terms import Plan
from billing.store.payments import invoices, recognition
from billing.store.subscriptions import changes, cycles, segments
from billing.store.subscriptions.cycles import Cycle
from billing.store.subscriptions.subscriptions import Subscription


@dataclass(frozen=True, slots=True)
class Cut:
    """A cycle that is cut, the notes of what was paid for after that, and the cycle that follows.

    The notes are issued before the invoice of that cycle, which their credit pays first. Where it
    has none, they go where the change or its plan says.
    """

    cycle: Cycle
    notes: tuple[QuotedNote, ...]
    opening: Opening


def quoted(
    conn: Connection,
    subscription: Subscription,
    terms: ChangedTerms,
    batch: BatchHoldings,
    policy: Policy,
    cycle: Cycle,
    catalog: Mapping[str, Plan],
    gives_back: GivesBack,
) -> Cut:
    """Return what a change does that cuts a cycle. Raises: Conflict."""
    at, change_id = terms.change.holds_from, terms.change.change_id
    assert change_id is not None, "every change of items has an id"
    period = running(subscription, cycle, batch, policy, at)
    before = period.facts(terms.before, terms.before_version, terms.plan_before)
    charged = charged_for(conn, subscription.id, cycle)
    nothing = replace(before, charges=())
    cost = cost_of_change(subscription, charged, before, nothing, period.scheduled.period, at)
    notes = quoted_notes(conn, cost.returns, TO_CREDIT, change_id, at)
    give_to(batch, subscription.customer_id, notes, at)
    begins, *later = terms.to_come
    after = replace(subscription.in_segments(begins, later), next_n=cycle.n + 1, renews_at=at)
    asked = changes.of(conn, subscription.id)
    held = replace(batch.of(after, at), addons=batch.addons, changes=terms.asked)
    try:
        opened = decide(after, catalog, at, policy, asked, held=held)
    except CannotOpen as error:
        raise Conflict(
            f"cycle {after.next_n} of subscription {subscription.id} can't be opened: {error}",
            code=ErrorCode.CYCLE_NOT_OPENABLE,
            reason=error.reason,
            **error.facts,
        ) from error
    if opened.facts is None:
        notes = quoted_notes(conn, cost.returns, gives_back, change_id, at)
    return Cut(cycle, notes, replace(opened, after_cut=True))


def write(conn: Connection, subscription: Subscription, terms: ChangedTerms, cut: Cut) -> None:
    """Cut the cycle of a (locked) subscription and open the next one; the notes are issued."""
    at, change_id = terms.change.holds_from, terms.change.change_id
    assert change_id is not None, "it is written"
    cycle = cut.cycle
    charged = invoices.of_period(conn, subscription.id, cycle.period_start, cycle.period_end)
    cycles.cut(conn, subscription.id, cycle.n, cut_at=at, change_id=change_id)
    earned_now = {each.id: at for each in charged if each.recognise_at is not None}
    recognition.schedule_next(conn, earned_now)
    opening.write(conn, [cut.opening], at)
    segments.begin(conn, subscription, terms.to_come[:1], terms.to_come[1:])
