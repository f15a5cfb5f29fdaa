"""Asking for taxes at once, by whoever waits for them: a command, or a request of a caller.

Work that turns out to want taxes is rolled back. The call is committed as a row and sent, and once
its answer is written the work is done again.
"""

from collections.abc import Callable
from typing import Final, TypeVar
from uuid import UUID

from billing.crash_points import CrashPoint, marked
from billing.flows.context import Context
from billing.flows.cycles.external_taxes import TaxesToAsk, TaxesWanted, call_row
from billing.flows.taxes import sending
from billing.store.payments import tax_calls
from billing.tax.calls import TaxCallState

Done = TypeVar("Done")

# One invoice wants one calculation; a change may want another one when it meets a new period.
_ROUNDS: Final = 3


def with_taxes(context: Context, work: Callable[[], Done]) -> Done:
    """Do work in a transaction of its own, and ask for the taxes that it turns out to want.

    Raises what `work` raises; its `TaxUndecided` where the provider doesn't answer, or refuses.
    """
    for _ in range(_ROUNDS):
        try:
            return work()
        except Exception as error:
            wanted = _wanted_by(error)
            if wanted is None or not _asked(context, wanted):
                raise
    return work()


def _wanted_by(error: BaseException | None) -> TaxesToAsk | None:
    """Return what an error says is wanted, or what caused it."""
    while error is not None:
        if isinstance(error, TaxesWanted):
            return error.wanted
        error = error.__cause__
    return None


def _asked(context: Context, wanted: TaxesToAsk) -> bool:
    """Ask the provider; tell whether the call has an end."""
    at_once = context.at_one_instant()
    call_id = wanted.call_id or _begun(at_once, wanted)
    send = sending.begin(at_once, call_id)
    if send is None:
        return False  # another process sends it just now
    answer = sending.attempt(at_once, send)
    return sending.finish(context, send, answer) is not TaxCallState.OPEN


def _begun(context: Context, wanted: TaxesToAsk) -> UUID:
    row = call_row(wanted, context.clock.now(), context.policy.mode, waits=False)
    with marked(CrashPoint.TAXES_WANTED), context.engine.begin() as conn:
        tax_calls.add(conn, [row])
    found: UUID = row["id"]
    return found
