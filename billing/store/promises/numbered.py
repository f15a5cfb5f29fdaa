"""Promise 3 for the numbers of series: none is missing, given twice, or of no invoice."""

from typing import Final

from billing.rules.promises import FindingKind
from billing.store.promises.check import check

_SERIES = check(
    FindingKind.SERIES_BROKEN,
    """
    SELECT coalesce(s.series, g.series) AS series, coalesce(s.last, 0) AS last,
           coalesce(g.given, 0) AS given, coalesce(g.highest, 0) AS highest, g.after_gap
      FROM invoice_series s
      FULL JOIN (
           SELECT series, count(*) AS given, max(n) AS highest,
                  min(n) FILTER (WHERE n <> before + 1) AS after_gap
             FROM (SELECT series, n,
                          lag(n, 1, 0) OVER (PARTITION BY series ORDER BY n) AS before
                     FROM invoice_numbers) chained
            GROUP BY series) g ON g.series = s.series
     WHERE s.last IS DISTINCT FROM g.given OR g.given <> g.highest""",
    "series",
)

# A number that looks like one of a series is in it.
_OF_INVOICE = check(
    FindingKind.NUMBER_OF_INVOICE,
    """
    SELECT coalesce(n.number, i.number) AS number, n.series
      FROM invoice_numbers n
      FULL JOIN invoices i ON i.number = n.number
     WHERE i.id IS NULL
        OR n.number IS NULL
           AND EXISTS (SELECT FROM invoice_series s
                        WHERE i.number ~ ('^' || s.series || '-[0-9]+$'))""",
    "number",
)

NUMBERED: Final = (_SERIES, _OF_INVOICE)
