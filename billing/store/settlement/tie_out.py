"""Our books against the provider's balance: the sums that explain why the two differ."""
# ruff: noqa: S608  a statement is put together from a constant of `fx`

from collections.abc import Mapping
from typing import Final

from sqlalchemy import Connection, TextClause, text

from billing.ledger.keys import EntryKind
from billing.rules.reconciliation import RowOutcome, TieOutReason
from billing.store.settlement import exchanges

_CLEARING = text(
    """
    SELECT a.currency, sum(l.amount) AS amount
      FROM ledger.accounts a JOIN ledger.postings l ON l.account_id = a.id
     WHERE a.code = 'psp_clearing' AND a.provider = :provider GROUP BY a.currency
    """
)

# Each is what the provider's balance holds and our account doesn't, by currency.
_REASONS: Final[Mapping[TieOutReason, TextClause]] = {
    TieOutReason.CAPTURED_NOT_SETTLED: text(
        """
        SELECT currency, -sum(amount_captured) AS amount FROM payments
         WHERE provider = :provider AND captured_at IS NOT NULL AND settled_at IS NULL
         GROUP BY currency
        """
    ),
    TieOutReason.SETTLED_NOT_POSTED: text(
        """
        SELECT currency, sum(net) AS amount
          FROM (SELECT currency, net FROM settlement_rows
                 WHERE provider = :provider AND matched_at IS NULL
                 UNION ALL
                SELECT currency, net FROM settlement_rows
                 WHERE provider = :provider AND matched_at IS NOT NULL AND posted_at IS NULL) r
         GROUP BY currency
        """
    ),
    TieOutReason.OTHER_ENGINES: text(
        f"""
        SELECT currency, sum(net) AS amount FROM settlement_rows
         WHERE provider = :provider AND outcome = '{RowOutcome.OTHER_ENGINE}' GROUP BY currency
        """
    ),
    TieOutReason.REFUNDED_NOT_SETTLED: text(
        """
        SELECT f.currency, sum(f.amount) AS amount FROM refunds f
         WHERE f.provider = :provider AND f.state = 'succeeded' AND f.settled_at IS NULL
         GROUP BY f.currency
        """
    ),
    TieOutReason.REFUND_PENDING: text(
        """
        SELECT f.currency, -sum(f.amount) AS amount FROM refunds f
         WHERE f.provider = :provider AND f.state = 'pending' AND f.next_attempt_at IS NOT NULL
           AND f.settled_at IS NOT NULL
         GROUP BY f.currency
        """
    ),
    TieOutReason.EXCHANGED_NOT_SHOWN: text(
        f"""
        SELECT l.currency, -sum(l.amount) AS amount
          FROM fx_events x
          JOIN ledger.entries e ON e.source_key = x.source_key
          JOIN ledger.postings l ON l.entry_id = e.id
          JOIN ledger.accounts a ON a.id = l.account_id AND a.code = 'psp_clearing'
         WHERE x.provider = :provider AND {exchanges.UNSHOWN} GROUP BY 1
        """
    ),
    TieOutReason.BREAK_NOT_ADJUSTED: text(
        """
        SELECT u.money ->> 'currency' AS currency,
               sum(CAST(u.money ->> 'amount' AS bigint)) AS amount
          FROM breaks b, jsonb_array_elements(b.theirs -> 'unadjusted') AS u(money)
         WHERE b.provider = :provider AND b.resolved_at IS NOT NULL AND b.theirs ? 'unadjusted'
         GROUP BY 1
        """
    ),
}

# A dispute is booked with the day on which its money moves, which may be days ahead; a balance that
# a provider tells has it at once.
_REASONS_BY_MOVEMENTS: Final[Mapping[TieOutReason, TextClause]] = {
    TieOutReason.DISPUTED_NOT_SETTLED: text(
        f"""
        SELECT a.currency, -sum(l.amount) AS amount
          FROM disputes d CROSS JOIN unnest(d.transaction_ids) AS moved(id)
          JOIN ledger.entries e
            ON e.source_key IN ('{EntryKind.DISPUTE_OPENED.prefix}' || d.id || ':' || moved.id,
                                '{EntryKind.DISPUTE_WON.prefix}' || d.id || ':' || moved.id)
          JOIN ledger.postings l ON l.entry_id = e.id
          JOIN ledger.accounts a ON a.id = l.account_id AND a.code = 'psp_clearing'
         WHERE d.provider = :provider
           AND NOT EXISTS (SELECT FROM settlement_rows r
                            WHERE r.provider = d.provider
                              AND r.provider_transaction_id = moved.id)
         GROUP BY 1
        """
    ),
}


def clearing(conn: Connection, provider: str) -> dict[str, int]:
    """Return the balance of an account's `psp_clearing` by currency."""
    rows = conn.execute(_CLEARING, {"provider": provider})
    return {row.currency: int(row.amount) for row in rows}


_MOVED = text(
    """
    SELECT currency, sum(net) AS amount FROM settlement_rows
     WHERE provider = :provider GROUP BY currency
    """
)


def moved(conn: Connection, provider: str) -> dict[str, int]:
    """Return what the movements read of an account come to, by currency.

    It stands for the balance of an account whose provider tells none.
    """
    rows = conn.execute(_MOVED, {"provider": provider})
    return {row.currency: int(row.amount) for row in rows}


def reasons(
    conn: Connection, provider: str, *, by_movements: bool = False
) -> dict[str, dict[TieOutReason, int]]:
    """Return, by currency, the reasons for differing from the account's balance, with amounts.

    `by_movements`: the balance is what the movements read come to, as `moved` returns it.
    """
    found: dict[str, dict[TieOutReason, int]] = {}
    asked = {**_REASONS, **_REASONS_BY_MOVEMENTS} if by_movements else _REASONS
    for reason, statement in asked.items():
        for row in conn.execute(statement, {"provider": provider}):
            if row.amount:
                found.setdefault(row.currency, {})[reason] = int(row.amount)
    return found
