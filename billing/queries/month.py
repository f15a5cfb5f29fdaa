"""A month in the books: its cycles, what keeps some open, and what every account turned over.

A cycle belongs to the month in which its period ends. Months are of UTC.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, text

from billing.store.rows import reader
from billing.store.settlement.runs import SettlementRun, runs, steps


@dataclass(frozen=True, slots=True)
class MonthCycles:
    """How many cycles end in a month, and how many of them are closed."""

    cycles: int
    closed: int
    last_closed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Turnover:
    """An account code in one currency, in minor units: before a month, in it, and at its end.

    Balances are debit positive.
    """

    code: str
    currency: str
    opening: int
    debit: int
    credit: int
    closing: int


@dataclass(frozen=True, slots=True)
class TiedOut:
    """What the last settlement run of an account found at its end, as it was kept."""

    run: SettlementRun
    lines: tuple[dict[str, object], ...]


_cycles = reader(MonthCycles)
_turnover = reader(Turnover)

_CYCLES: Final = text(
    """
    SELECT count(*) AS cycles, count(*) FILTER (WHERE state = 'closed') AS closed,
           max(closed_at) AS last_closed_at
      FROM cycles WHERE period_end > :begins AND period_end <= :ends
    """
)
_TURNOVER: Final = text(
    """
    SELECT a.code, a.currency,
           coalesce(sum(p.amount) FILTER (WHERE p.before), 0)::bigint AS opening,
           coalesce(sum(p.amount) FILTER (WHERE NOT p.before AND p.amount > 0), 0)::bigint AS debit,
           coalesce(-sum(p.amount) FILTER (WHERE NOT p.before AND p.amount < 0), 0)::bigint
             AS credit,
           sum(p.amount)::bigint AS closing
      FROM (SELECT l.account_id, l.amount, e.effective_at < :begins AS before
              FROM ledger.entries e JOIN ledger.postings l ON l.entry_id = e.id
             WHERE e.effective_at < :ends) p
      JOIN ledger.accounts a ON a.id = p.account_id
     GROUP BY a.code, a.currency
     ORDER BY a.currency, a.code
    """
)


def cycles(conn: Connection, begins: datetime, ends: datetime) -> MonthCycles:
    """Count the cycles whose periods end after `begins` and not after `ends`."""
    return _cycles(conn.execute(_CYCLES, {"begins": begins, "ends": ends}).one())


def turnover(conn: Connection, begins: datetime, ends: datetime) -> list[Turnover]:
    """Return every account's turnover from `begins` until before `ends`; reads the whole journal.

    The balances of a currency add up to zero.
    """
    return [_turnover(row) for row in conn.execute(_TURNOVER, {"begins": begins, "ends": ends})]


def tied_out(conn: Connection, provider: str) -> TiedOut | None:
    """Return the last tie-out of an account; None where no run came so far."""
    for run in runs(conn, limit=20, provider=provider):
        done = steps(conn, run.id)
        lines = done[-1].cursor.get("tie_out") if done else None
        if lines is not None and run.finished_at is not None:
            return TiedOut(run, tuple(lines))
    return None
