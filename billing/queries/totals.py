"""Totals over all data, for reports: what was opened, collected, declined, recovered, closed."""

from dataclasses import dataclass

from sqlalchemy import Connection, text


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts over the whole database; `ledger_imbalance` is the sum of |sum of a currency|."""

    subscriptions: int
    cycles_opened: int
    cycles_closed: int
    captured_payments: int
    attempts: int
    declines: int
    declines_by_code: dict[str, int]
    recovered_by_dunning: int
    unknown_attempts: int
    failed_payments: int
    doubly_captured_invoices: int
    captured_in_journal: int
    ledger_imbalance: int
    open_breaks: int


_COUNTS = text(
    """
    SELECT (SELECT count(*) FROM subscriptions) AS subscriptions,
           (SELECT count(*) FROM cycles) AS cycles_opened,
           (SELECT count(*) FROM cycles WHERE state = 'closed') AS cycles_closed,
           (SELECT count(*) FROM payments WHERE captured_at IS NOT NULL) AS captured_payments,
           (SELECT count(*) FROM attempts) AS attempts,
           (SELECT count(*) FROM attempts WHERE outcome = 'declined') AS declines,
           (SELECT count(*) FROM provider_calls
             WHERE kind = 'charge' AND finished_at IS NULL AND unknown_since IS NOT NULL)
             AS unknown_attempts,
           (SELECT count(*) FROM payments p
             WHERE p.captured_at IS NOT NULL
               AND EXISTS (SELECT FROM attempts a
                            WHERE a.payment_id = p.id AND a.outcome = 'declined'))
             AS recovered_by_dunning,
           (SELECT count(*) FROM payments WHERE state = 'FAILED') AS failed_payments,
           (SELECT count(*) FROM (SELECT payment_id FROM attempts WHERE outcome = 'succeeded'
                                   GROUP BY payment_id HAVING count(*) > 1) d)
             AS doubly_captured_invoices,
           (SELECT count(*) FROM ledger.entries WHERE kind = 'payment_captured')
             AS captured_in_journal,
           (SELECT coalesce(sum(abs(total)), 0)
              FROM (SELECT sum(amount) AS total FROM ledger.postings GROUP BY currency) s)
             AS ledger_imbalance,
           (SELECT count(*) FROM breaks WHERE resolved_at IS NULL) AS open_breaks
    """
)
_DECLINES = text(
    """
    SELECT decline_code, count(*) AS n FROM attempts WHERE outcome = 'declined'
     GROUP BY decline_code ORDER BY n DESC, decline_code
    """
)


def totals(conn: Connection) -> Totals:
    """Count everything once; a few sequential scans, so not for every second."""
    counts = {name: int(value) for name, value in conn.execute(_COUNTS).one()._mapping.items()}
    declines = {row.decline_code: int(row.n) for row in conn.execute(_DECLINES)}
    return Totals(declines_by_code=declines, **counts)
