"""Promise 3 for disputes: the journal has the amounts withheld and lost."""
# ruff: noqa: S608  statements are put together from constants of this file

from typing import Final

from billing.store.promises.check import STANDS, check, in_words

_DISPUTE_BOOKED = check(
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
                  -sum(l.amount) FILTER (WHERE e.kind = 'dispute_lost'
                                           AND a.code = 'dispute_receivable') AS lost
             FROM ledger.entries e
             JOIN ledger.postings l ON l.entry_id = e.id
             JOIN ledger.accounts a ON a.id = l.account_id
            WHERE e.kind IN ('dispute_opened', 'dispute_won', 'dispute_lost') AND {STANDS}
            GROUP BY 1) j
        ON j.dispute = d.id
     WHERE d.id IS NULL OR j.currency <> d.currency
        OR coalesce(j.lost, 0) <> d.lost
        OR (coalesce(j.held, 0) > 0) <> (d.funds_withdrawn AND d.state <> 'lost')
        OR coalesce(j.held, 0) < 0""",
    "id",
    lambda row: (
        f"dispute {row.id} is {row.state or 'not there'} with"
        f" {in_words(row.lost, row.currency)} lost; the journal has"
        f" {in_words(row.booked, row.currency)} lost and"
        f" {in_words(row.held, row.currency)} withheld"
    ),
)

DISPUTED: Final = (_DISPUTE_BOOKED,)
