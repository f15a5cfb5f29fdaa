"""Payouts against what they carried: where the provider tells no balance, these have to add up.

The movements of a payout make its amount, and so does what the payout's event told. Where one
differs, that is a break; it is resolved by the run that finds them equal.
"""

from datetime import timedelta
from typing import Final

from sqlalchemy import Connection

from billing.flows.settlement.step_run import OVERLAP, StepRun
from billing.gateway.capabilities import PayoutBasis
from billing.rules.reconciliation import BreakCause, BreakFound, BreakKind
from billing.store.settlement import breaks, payout_sums
from billing.store.settlement.payout_sums import PayoutSum

# An event may come after its payout was read.
TOLD_WITHIN: Final = timedelta(days=10)


def compare_payouts(conn: Connection, step: StepRun) -> None:
    """Record payouts that are not what their movements come to, and resolve what agrees now."""
    can = step.context.gateway.capabilities
    if can.payout_basis is None:
        return
    since = step.run.window_from - OVERLAP - max(can.movements_lag, TOLD_WITHIN)
    net = can.payout_basis is PayoutBasis.NET
    found = payout_sums.sums(conn, step.provider, since=since, net=net)
    for each in found:
        if each.agrees:
            breaks.explain(
                conn,
                step.provider,
                BreakKind.PAYOUT_MISMATCH,
                each.payout,
                now=step.now,
                resolution="the payout is what its movements come to by now",
            )
    differing = [_difference(each, step) for each in found if not each.agrees]
    step.counts["payouts_compared"] += len(found)
    step.counts["breaks_new"] += breaks.record_all(conn, differing, now=step.now)


def _difference(each: PayoutSum, step: StepRun) -> BreakFound:
    theirs = {"payout": each.payout, "amount": each.paid, "currency": each.currency}
    if each.told is not None:
        theirs["told"] = each.told
    return BreakFound(
        kind=BreakKind.PAYOUT_MISMATCH,
        subject=each.payout,
        ours={"payout": each.payout, "amount": each.carried, "currency": each.currency},
        theirs=theirs,
        cause=BreakCause.PAYOUT_NOT_ITS_MOVEMENTS,
        currency=each.currency,
        provider=step.provider,
        run_id=step.run.id,
    )
