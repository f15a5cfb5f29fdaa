"""The recovery of one account: everything that is unknown here is adopted, then the fence opens.

It may be killed anywhere and run again: what was adopted is known, and isn't found again.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from billing.crash_points import CrashPoint, marked
from billing.flows import fence
from billing.flows.context import Context
from billing.flows.recovery import adopting
from billing.flows.recovery.finding import (
    AdoptionResult,
    Done,
    RecoveryItem,
    UnknownObjects,
    Why,
    find,
    preview,
)
from billing.rules.reconciliation.knowledge import FenceState
from billing.store import fences


@dataclass(frozen=True, slots=True)
class Adoption:
    """What became of one object of the preview."""

    item: RecoveryItem
    result: AdoptionResult
    why: Why | None


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a recovery will do: the objects, and the preview of each. `unknown` None: nothing."""

    account: str
    unknown: UnknownObjects | None
    items: Sequence[RecoveryItem]


def prepare(context: Context) -> Prepared:
    """Compare the context's account with this database and return what a recovery will do.

    Closes the fence where something is unknown, and changes nothing else. Raises `Unavailable`,
    `BadInput`.
    """
    account = context.account
    if fence.passes(context, account):
        return Prepared(account, None, ())
    with context.engine.connect() as conn:
        state, since = fences.find(conn, account), fence.known_since(conn, account)
    if state is None or state.state is not FenceState.RECOVERING or since is None:
        fence.check(context, account)  # it raises what hindered it before
        return prepare(context)
    unknown = find(context, since)
    with context.engine.connect() as conn:
        return Prepared(account, unknown, preview(conn, account, unknown))


def recover(context: Context, prepared: Prepared) -> Iterator[Adoption]:
    """Adopt what was prepared, and yield what became of each object. Raises `Unavailable`."""
    unknown = prepared.unknown
    if unknown is None:
        return
    charged = {each.ours: each.issued_at for each in unknown.payments}
    payment = partial(adopting.payment, payers=set[UUID](), charged=charged)
    by_id = {item.theirs: item for item in prepared.items}
    steps: list[tuple[str, Callable[[], Done]]] = [
        *((each.id, _step(adopting.customer, context, each)) for each in unknown.customers),
        *((each.newest.id, _step(payment, context, each)) for each in unknown.payments),
        *((each.id, _step(adopting.refund, context, each)) for each in unknown.refunds),
        *(
            (each.id, _step(adopting.dispute, context, each))
            for each in unknown.disputes
            if each.id in by_id
        ),
    ]
    for theirs, step in steps:
        result, why = step()
        yield Adoption(by_id[theirs], result, why)


def _step(
    adopt: Callable[[Context, Any], Done], context: Context, found: Any
) -> Callable[[], Done]:
    return lambda: adopt(context, found)


def finish(context: Context, prepared: Prepared, done: Sequence[Adoption]) -> bool:
    """Open the fence, unless something holds it closed; True when it is open.

    What couldn't be placed is passed over from now on. Raises `Unavailable`.
    """
    account, now = prepared.account, context.clock.now()
    if prepared.unknown is None:
        return True
    if any(each.result is AdoptionResult.HELD for each in done):
        return False
    with context.engine.connect() as conn:
        database, before = fences.this_database(conn), fences.find(conn, account)
    left = find(context, prepared.unknown.since)
    passed_over = _ids(left) | (frozenset[str]() if before is None else before.passed_over)
    with marked(CrashPoint.FENCE_REOPENED), context.engine.begin() as conn:
        fences.reopen(conn, account, database=database, passed_over=sorted(passed_over), now=now)
    return True


def _ids(unknown: UnknownObjects) -> frozenset[str]:
    charges = (charge.id for each in unknown.payments for charge in each.charges)
    return frozenset(
        [
            *charges,
            *(each.id for each in unknown.refunds),
            *(each.id for each in unknown.customers),
        ]
    )
