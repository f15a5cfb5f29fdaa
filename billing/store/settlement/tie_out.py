"""Our books against the provider's balance: the sums that explain why the two differ."""
# ruff: noqa: S608  a statement is put together from a constant of `fx`

from collections.abc import Mapping
from typing import Final

from sqlalchemy import Connection, TextClause, text

from billing.store.settlement import exchanges

_CLEARING = text(
    """
    SELECT a.currency, sum(l.amount) AS amount
      FROM ledger.accounts a JOIN ledger.postings l ON l.account_id = a.id
     WHERE a.code = 'psp_clearing' GROUP BY a.currency
    """
)

# Each is what the provider's balance holds and our account doesn't, by currency.
_REASONS: Final[Mapping[str, TextClause]] = {
    "captured by us, not in the provider's settlement yet": text(
        """
        SELECT currency, -sum(amount_captured) AS amount FROM payments
         WHERE captured_at IS NOT NULL AND settled_at IS NULL GROUP BY currency
        """
    ),
    "settled by the provider, not matched or posted yet": text(
        """
        SELECT currency, sum(net) AS amount
          FROM (SELECT currency, net FROM settlement_rows WHERE matched_at IS NULL
                 UNION ALL
                SELECT currency, net FROM settlement_rows
                 WHERE matched_at IS NOT NULL AND posted_at IS NULL) r
         GROUP BY currency
        """
    ),
    "refunded by us, not in the provider's settlement yet": text(
        """
        SELECT f.currency, sum(f.amount) AS amount FROM refunds f
         WHERE f.state = 'succeeded' AND f.settled_at IS NULL
         GROUP BY f.currency
        """
    ),
    "taken from the balance for refunds that are still pending": text(
        """
        SELECT f.currency, -sum(f.amount) AS amount FROM refunds f
         WHERE f.state = 'pending' AND f.next_attempt_at IS NOT NULL
           AND f.settled_at IS NOT NULL
         GROUP BY f.currency
        """
    ),
    "exchanged by us, not in the provider's settlement yet": text(
        f"""
        SELECT l.currency, -sum(l.amount) AS amount
          FROM fx_events x
          JOIN ledger.entries e ON e.source_key = x.source_key
          JOIN ledger.postings l ON l.entry_id = e.id
          JOIN ledger.accounts a ON a.id = l.account_id AND a.code = 'psp_clearing'
         WHERE {exchanges.UNSHOWN} GROUP BY 1
        """
    ),
    "breaks that were resolved without adjusting the books": text(
        """
        SELECT u.money ->> 'currency' AS currency,
               sum(CAST(u.money ->> 'amount' AS bigint)) AS amount
          FROM breaks b, jsonb_array_elements(b.provider -> 'unadjusted') AS u(money)
         WHERE b.resolved_at IS NOT NULL AND b.provider ? 'unadjusted' GROUP BY 1
        """
    ),
}


def clearing(conn: Connection) -> dict[str, int]:
    """Return the balance of `psp_clearing` by currency."""
    return {row.currency: int(row.amount) for row in conn.execute(_CLEARING)}


def reasons(conn: Connection) -> dict[str, dict[str, int]]:
    """Return, by currency, the reasons for differing from the provider's balance, with amounts."""
    found: dict[str, dict[str, int]] = {}
    for words, statement in _REASONS.items():
        for row in conn.execute(statement):
            if row.amount:
                found.setdefault(row.currency, {})[words] = int(row.amount)
    return found
