"""Totals over all data, for reports: what was opened, collected, declined, recovered, closed."""

from dataclasses import dataclass

from sqlalchemy import Connection, text

from billing.store.payments.provider_calls import UNKNOWN_ATTEMPT


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts over the whole database; `ledger_imbalance` is the sum of |sum of a currency|.

    `paid_by_method` counts attempts that succeeded: of cards, and of wallets by their name.
    """

    subscriptions: int
    cycles_opened: int
    cycles_closed: int
    captured_payments: int
    attempts: int
    declines: int
    declines_by_code: dict[str, int]
    paid_by_method: dict[str, int]
    recovered_by_dunning: int
    unknown_attempts: int
    failed_payments: int
    doubly_captured_invoices: int
    captured_in_journal: int
    ledger_imbalance: int
    open_breaks: int


_COUNTS = text(
    f"""
    SELECT (SELECT count(*) FROM subscriptions) AS subscriptions,
           (SELECT count(*) FROM cycles) AS cycles_opened,
           (SELECT count(*) FROM cycles WHERE state = 'closed') AS cycles_closed,
           (SELECT count(*) FROM payments WHERE captured_at IS NOT NULL) AS captured_payments,
           (SELECT count(*) FROM attempts) AS attempts,
           (SELECT count(*) FROM attempts WHERE outcome = 'declined') AS declines,
           (SELECT count(*) FROM provider_calls WHERE {UNKNOWN_ATTEMPT}) AS unknown_attempts,
           (SELECT count(*) FROM payments p
             WHERE p.captured_at IS NOT NULL
               AND EXISTS (SELECT FROM attempts a
                            WHERE a.payment_id = p.id AND a.outcome = 'declined'))
             AS recovered_by_dunning,
           (SELECT count(*) FROM payments WHERE state = 'FAILED') AS failed_payments,
           (SELECT count(*)
              FROM (SELECT a.payment_id FROM attempts a WHERE a.outcome = 'succeeded'
                     GROUP BY a.payment_id
                    HAVING count(*) - (SELECT count(*) FROM payment_transitions t
                                        WHERE t.payment_id = a.payment_id
                                          AND t.cause = 'settlement_declined') > 1) d)
             AS doubly_captured_invoices,
           (SELECT count(*) FILTER (WHERE kind = 'payment_captured')
                   - count(*) FILTER (WHERE kind = 'capture_returned') FROM ledger.entries
             WHERE kind IN ('payment_captured', 'capture_returned'))
             AS captured_in_journal,
           (SELECT coalesce(sum(abs(total)), 0)
              FROM (SELECT sum(amount) AS total FROM ledger.postings GROUP BY currency) s)
             AS ledger_imbalance,
           (SELECT count(*) FROM breaks WHERE resolved_at IS NULL) AS open_breaks
    """  # noqa: S608  our constant
)
_DECLINES = text(
    """
    SELECT decline_code, count(*) AS n FROM attempts WHERE outcome = 'declined'
     GROUP BY decline_code ORDER BY n DESC, decline_code
    """
)

_METHODS = text(
    """
    SELECT CASE m.kind WHEN 'card' THEN m.kind ELSE coalesce(m.brand, m.kind) END AS method,
           count(*) AS n
      FROM attempts a JOIN payment_methods m ON m.id = a.payment_method_id
     WHERE a.outcome = 'succeeded' GROUP BY method ORDER BY n DESC, method
    """
)


def totals(conn: Connection) -> Totals:
    """Count everything once; a few sequential scans, so not for every second."""
    counts = {name: int(value) for name, value in conn.execute(_COUNTS).one()._mapping.items()}
    declines = {row.decline_code: int(row.n) for row in conn.execute(_DECLINES)}
    methods = {row.method: int(row.n) for row in conn.execute(_METHODS)}
    return Totals(declines_by_code=declines, paid_by_method=methods, **counts)
