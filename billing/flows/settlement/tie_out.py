"""The end of a settlement: close ready cycles, and compare the books with the balance.

`psp_clearing` is our record of the provider's balance. Per currency the two are equal, or lines
explain the difference: captures that the provider hasn't settled, transactions that we haven't
matched, breaks. The rest is unexplained. When the same amount is unexplained in two runs in a row,
it becomes a break.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection

from billing.flows.cycles import closing as closing
from billing.flows.settlement import payout_tie_out
from billing.flows.settlement.step_run import StepRun
from billing.queries import taxes, usage_closed
from billing.queries.taxes import TaxTotal
from billing.queries.usage_closed import MonthOfUsage, ReceivedUsage
from billing.rules.actor import RECONCILER
from billing.rules.reconciliation import BreakFound, BreakKind, RunSource, RunState, TieOutReason
from billing.store.journal.reads import TrialBalanceRow, trial_balance
from billing.store.settlement import breaks, runs, tie_out
from billing.store.subscriptions import cycles

BATCH: Final = 500


def close(step: StepRun) -> None:
    """Close every cycle that is ready, and compare the books with the provider's balance.

    Where the provider tells no balance, what its movements come to stands for it, and its payouts
    are compared with what they carried.
    """
    done = closing.run(step.context.engine, now=step.now, batch=BATCH)
    step.counts["cycles_closed"] += done.closed
    step.counts["held_back"] += done.held_back
    if step.provider not in step.context.gateways.names:
        return
    gateway = step.context.gateway
    balances = gateway.balance() if gateway.capabilities.lists_balance else None
    with step.batch() as conn:
        payout_tie_out.compare_payouts(conn, step)
        lines = compare_balances(conn, step.provider, balances)
        step.cursor["tie_out"] = [line.to_json() for line in lines]
        _record(conn, step, lines)


@dataclass(frozen=True, slots=True)
class TieOut:
    """One currency of an account: its balance, our `psp_clearing`, and what explains the rest.

    `provider` is what its movements come to where the provider tells no balance.
    clearing + reasons + unexplained = provider, in minor units.
    """

    account: str
    currency: str
    provider: int
    clearing: int
    reasons: Mapping[TieOutReason, int]

    @property
    def unexplained(self) -> int:
        """The unexplained difference; a person has to look unless it is zero."""
        return self.provider - self.clearing - sum(self.reasons.values())

    def to_json(self) -> dict[str, Any]:
        """Return the line as it is kept and shown."""
        return {
            "account": self.account,
            "currency": self.currency,
            "provider": self.provider,
            "clearing": self.clearing,
            "reasons": {str(reason): amount for reason, amount in self.reasons.items()},
            "unexplained": self.unexplained,
        }


def compare_balances(
    conn: Connection, account: str, balances: Mapping[str, int] | None
) -> list[TieOut]:
    """Compare an account's `psp_clearing` with its balances, in every currency of either.

    Without balances it is compared with what the movements that were read come to.
    """
    held = tie_out.clearing(conn, account)
    reasons = tie_out.reasons(conn, account, by_movements=balances is None)
    if balances is None:
        balances = tie_out.moved(conn, account)
    return [
        TieOut(
            account,
            currency,
            balances.get(currency, 0),
            held.get(currency, 0),
            reasons.get(currency, {}),
        )
        for currency in sorted({*balances, *held, *reasons})
    ]


def _record(conn: Connection, step: StepRun, lines: Sequence[TieOut]) -> None:
    """Record amounts that are unexplained in two runs, and resolve breaks of currencies that tie
    out now.
    """
    before = _unexplained_before(conn, step)
    known = breaks.page(
        conn, provider=step.provider, kind=str(BreakKind.BALANCE_MISMATCH), limit=1000
    )
    shown = {(row.currency, row.theirs["unexplained"]) for row in known}
    for line in lines:
        if (line.currency, line.unexplained) in shown:
            continue
        if line.unexplained and before.get(line.currency) == line.unexplained:
            found = BreakFound(
                kind=BreakKind.BALANCE_MISMATCH,
                # The same amount may be unexplained again later: each time is a break of its own.
                subject=f"{line.currency}:{line.unexplained}:{step.run.id}",
                ours={
                    "account": "psp_clearing",
                    "amount": line.clearing,
                    "currency": line.currency,
                },
                theirs={
                    "amount": line.provider,
                    "currency": line.currency,
                    "unexplained": line.unexplained,
                    "reasons": line.to_json()["reasons"],
                },
                provider=step.provider,
                run_id=step.run.id,
                currency=line.currency,
            )
            step.counts["breaks_new"] += breaks.record(conn, found, now=step.now)
    unexplained: dict[str | None, int] = {line.currency: line.unexplained for line in lines}
    for row in known:
        if unexplained.get(row.currency) != row.theirs["unexplained"]:
            breaks.change(
                conn,
                row.id,
                resolved_at=step.now,
                resolution="the balances differ by another amount, or by nothing, by now",
                resolved_by=str(RECONCILER),
            )


def _unexplained_before(conn: Connection, step: StepRun) -> dict[str, int]:
    for run in runs.runs(conn, limit=20, source=RunSource.PROVIDER, provider=step.provider):
        if run.id == step.run.id or run.state is not RunState.SUCCEEDED:
            continue
        last = runs.steps(conn, run.id)[-1]
        return {line["currency"]: line["unexplained"] for line in last.cursor.get("tie_out", [])}
    return {}


# --- the close report -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CloseReport:
    """The close report: cycles, why some are open, trial balance, taxes by place, usage, tie-out.

    `ready` cycles close at the next run. `tie_out` is None where the provider wasn't asked.
    """

    as_of: datetime
    closed: int
    opened: int
    ready: int
    waiting: Mapping[str, int]
    last_closed_at: datetime | None
    trial_balance: Sequence[TrialBalanceRow]
    taxes: Sequence[TaxTotal]
    received: ReceivedUsage
    usage: Sequence[MonthOfUsage]
    tie_out: Sequence[TieOut] | None

    @property
    def ties_out(self) -> bool:
        """Tell whether the tie-out explains all differences and debits equal credits."""
        sums: dict[str, int] = {}
        for row in self.trial_balance:
            sums[row.currency] = sums.get(row.currency, 0) + row.balance
        return not any(sums.values()) and not any(line.unexplained for line in self.tie_out or ())


def report(
    conn: Connection,
    *,
    now: datetime,
    balances: Mapping[str, Mapping[str, int] | None] | None,
) -> CloseReport:
    """Return the close report as of domain time `now`; reads the whole journal once.

    `balances` has the balance of each account, by currency; None for one whose provider tells none.
    """
    waiting = cycles.why_open(conn, now)
    counts = cycles.counts(conn)
    ready = waiting.pop("ready", 0)
    return CloseReport(
        as_of=now,
        closed=counts.closed,
        opened=counts.opened,
        ready=ready,
        waiting=waiting,
        last_closed_at=counts.last_closed_at,
        trial_balance=trial_balance(conn),
        taxes=taxes.totals(conn, None, None),
        received=usage_closed.received_usage(conn),
        usage=usage_closed.by_month(conn),
        tie_out=None
        if balances is None
        else [
            line
            for account, balance in balances.items()
            for line in compare_balances(conn, account, balance)
        ],
    )
