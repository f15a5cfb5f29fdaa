"""Promise 3 for settlement: the journal has fees and exchanges."""
# ruff: noqa: S608  statements are put together from constants of this file

from typing import Final

from billing.ledger.keys import EntryKind
from billing.rules.promises import FindingKind
from billing.rules.reconciliation import (
    BOOKED_BY_RULE,
    DISPUTES,
    OF_CUSTOMERS,
    MovementKind,
    RowOutcome,
)
from billing.store.in_list import in_list
from billing.store.promises.check import STANDS, check
from billing.store.source_keys import key_sql, within_sql

# Rows of these are done with, and had nothing to post.
_NOT_POSTED: Final = in_list([RowOutcome.RESOLVED, RowOutcome.OTHER_ENGINE])

_BOOKED_AS_SUCH: Final = (MovementKind.RESERVE, MovementKind.CONTRIBUTION, *BOOKED_BY_RULE)


def _posted(kind: EntryKind, account: str) -> str:
    """Return the SELECT of what standing entries of a kind post to an account, by source."""
    return f"""
           SELECT substr(e.source_key, length('{kind.prefix}') + 1) AS id,
                  min(l.currency) AS currency, sum(l.amount) AS amount
             FROM ledger.entries e
             JOIN ledger.postings l ON l.entry_id = e.id
             JOIN ledger.accounts a ON a.id = l.account_id AND a.code = '{account}'
            WHERE e.kind = '{kind}' AND {STANDS}
            GROUP BY 1"""


_FEE_BOOKED = check(
    FindingKind.FEE_ENTRY,
    f"""
    SELECT coalesce(r.id, j.id) AS id, coalesce(r.currency, j.currency) AS currency,
           coalesce(r.fee, 0) AS fee, coalesce(j.amount, 0) AS booked
      FROM (SELECT {within_sql("provider", "provider_transaction_id")} AS id, currency,
                   CASE WHEN kind = '{MovementKind.FEE}' THEN -net ELSE fee END AS fee
              FROM settlement_rows
             WHERE posted_at IS NOT NULL AND outcome NOT IN {_NOT_POSTED}
               AND kind NOT IN {in_list(DISPUTES)}) r
      FULL JOIN ({_posted(EntryKind.FEE_SETTLED, "psp_fees")}) j
        ON j.id = r.id
     WHERE coalesce(r.fee, 0) <> coalesce(j.amount, 0) OR j.currency <> r.currency""",
    "id",
)

# An exchange has two sides, each in its own currency; only exchanges post to `fx_position`.
_EXCHANGE_BOOKED = check(
    FindingKind.EXCHANGE_ENTRY,
    f"""
    SELECT coalesce(x.source_key, j.source_key, r.source_key) AS id, x.from_amount,
           x.from_currency, x.to_amount, x.to_currency, j.sides::text AS sides
      FROM fx_events x
      FULL JOIN (
           SELECT e.source_key, jsonb_object_agg(l.currency, l.amount) AS sides
             FROM ledger.entries e
             JOIN ledger.postings l ON l.entry_id = e.id
             JOIN ledger.accounts a ON a.id = l.account_id AND a.code = 'fx_position'
            WHERE e.kind = '{EntryKind.FX_EVENT}' AND {STANDS}
            GROUP BY 1) j
        ON j.source_key = x.source_key
      FULL JOIN (
           SELECT {key_sql(EntryKind.FX_EVENT, "provider", "provider_transaction_id")}
                  AS source_key
             FROM settlement_rows
            WHERE posted_at IS NOT NULL AND outcome NOT IN {_NOT_POSTED}
              AND kind IN {in_list(OF_CUSTOMERS)}
              AND customer_currency <> currency AND amount <> 0 AND customer_amount <> 0) r
        ON r.source_key = coalesce(x.source_key, j.source_key)
     WHERE j.sides IS DISTINCT FROM CASE WHEN x.source_key IS NOT NULL THEN jsonb_build_object(
             x.from_currency, x.from_amount, x.to_currency, -x.to_amount) END
        OR r.source_key IS NOT NULL AND x.source_key IS NULL""",
    "id",
)

_MOVEMENT_BOOKED = check(
    FindingKind.MOVEMENT_ENTRY,
    f"""
    SELECT coalesce(r.id, j.id) AS id, coalesce(r.currency, j.currency) AS currency,
           coalesce(r.amount, 0) AS moved, coalesce(j.amount, 0) AS booked
      FROM (SELECT {within_sql("provider", "provider_transaction_id")} AS id, currency, amount
              FROM settlement_rows
             WHERE posted_at IS NOT NULL AND outcome NOT IN {_NOT_POSTED}
               AND kind IN {in_list(_BOOKED_AS_SUCH)}) r
      FULL JOIN ({_posted(EntryKind.MOVEMENT_BOOKED, "psp_clearing")}) j
        ON j.id = r.id
     WHERE coalesce(r.amount, 0) <> coalesce(j.amount, 0) OR j.currency <> r.currency""",
    "id",
)

SETTLED: Final = (_FEE_BOOKED, _EXCHANGE_BOOKED, _MOVEMENT_BOOKED)
