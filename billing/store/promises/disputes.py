"""Promise 3 for disputes: the journal has the amounts withheld and lost."""
# ruff: noqa: S608  statements are put together from constants of this file

from typing import Final

from billing.ledger.keys import EntryKind
from billing.rules.promises import FindingKind
from billing.store.in_list import in_list
from billing.store.promises.check import STANDS, check

_KINDS: Final = in_list((EntryKind.DISPUTE_OPENED, EntryKind.DISPUTE_WON, EntryKind.DISPUTE_LOST))

_DISPUTE_BOOKED = check(
    FindingKind.DISPUTE_ENTRY,
    f"""
    SELECT coalesce(d.id, j.dispute) AS id, d.state, d.funds_withdrawn,
           coalesce(d.currency, j.currency) AS currency, d.lost, coalesce(j.held, 0) AS held,
           coalesce(j.lost, 0) AS booked
      FROM (SELECT id::text AS id, state, currency, funds_withdrawn,
                   lost_recognised + lost_deferred + lost_tax AS lost
              FROM disputes) d
      FULL JOIN (
           SELECT split_part(e.source_key, ':', 2) AS dispute,
                  min(l.currency) FILTER (WHERE a.code = 'dispute_receivable') AS currency,
                  sum(l.amount) FILTER (WHERE a.code = 'dispute_receivable') AS held,
                  -sum(l.amount) FILTER (WHERE e.kind = '{EntryKind.DISPUTE_LOST}'
                                           AND a.code = 'dispute_receivable') AS lost
             FROM ledger.entries e
             JOIN ledger.postings l ON l.entry_id = e.id
             JOIN ledger.accounts a ON a.id = l.account_id
            WHERE e.kind IN {_KINDS} AND {STANDS}
            GROUP BY 1) j
        ON j.dispute = d.id
     WHERE d.id IS NULL OR j.currency <> d.currency
        OR coalesce(j.lost, 0) <> d.lost
        OR (coalesce(j.held, 0) > 0) <> (d.funds_withdrawn AND d.state <> 'lost')
        OR coalesce(j.held, 0) < 0""",
    "id",
)

DISPUTED: Final = (_DISPUTE_BOOKED,)
