"""Checking the whole ledger: what its constraints hold, and what no constraint can.

Each check is one query over all rows, so it sees one snapshot; none changes anything. The
database refuses most of what these checks look for, so a finding means that somebody used the
owner's rights, or that two parts of the program disagree.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from billing.ledger.accounts import CHART
from billing.ledger.findings import LedgerCheck, LedgerFinding, Severity
from billing.store.findings import FindingQuery, found, with_rows


@dataclass(frozen=True, slots=True)
class _Check:
    """A query whose every row is a finding; its columns are the facts."""

    name: LedgerCheck
    query: FindingQuery
    severity: Severity = Severity.ERROR

    def run(self, conn: Connection) -> Iterator[LedgerFinding]:
        for facts, more in found(conn, self.query, _CHART_COLUMNS):
            yield LedgerFinding(self.name, self.severity, facts, more)


_CHART_COLUMNS: Final[Mapping[str, object]] = {
    "chart_codes": [code.value for code in CHART],
    "chart_classes": [line.account_class.value for line in CHART.values()],
    "chart_owned": [line.owned for line in CHART.values()],
    "chart_per_provider": [line.per_provider for line in CHART.values()],
    "clearing_codes": [code.value for code, line in CHART.items() if line.clearing],
}


_GLOBAL_SUM = _Check(
    name=LedgerCheck.GLOBAL_SUM,
    query=FindingQuery(
        "SELECT currency, sum(amount) AS amount FROM ledger.postings"
        " GROUP BY currency HAVING sum(amount) <> 0",
        "currency",
    ),
)

_ENTRY_SUM = _Check(
    name=LedgerCheck.ENTRY_SUM,
    query=FindingQuery(
        """
        SELECT s.*, e.source_key FROM (
          SELECT entry_id, currency, sum(amount) AS amount FROM ledger.postings
           GROUP BY entry_id, currency HAVING sum(amount) <> 0) s
          LEFT JOIN ledger.entries e ON e.id = s.entry_id""",
        "entry_id, currency",
    ),
)

_LINES = _Check(
    name=LedgerCheck.LINES,
    query=FindingQuery(
        """
        SELECT s.*, e.source_key FROM (
          SELECT entry_id, count(*) AS lines, min(line) AS low, max(line) AS high
            FROM ledger.postings GROUP BY entry_id
          HAVING min(line) <> 1 OR max(line) <> count(*)) s
          LEFT JOIN ledger.entries e ON e.id = s.entry_id""",
        "entry_id",
    ),
)

_EMPTY = _Check(
    name=LedgerCheck.EMPTY_ENTRY,
    query=FindingQuery(
        """
        SELECT e.id AS entry_id, e.source_key FROM ledger.entries e
         WHERE NOT EXISTS (SELECT FROM ledger.postings p WHERE p.entry_id = e.id)""",
        "entry_id",
    ),
)

_STRAY = _Check(
    name=LedgerCheck.STRAY_POSTING,
    query=FindingQuery(
        """
        SELECT p.entry_id, p.line, e.source_key, p.account_id, p.currency,
               a.currency AS account_currency
          FROM ledger.postings p
          LEFT JOIN ledger.entries e ON e.id = p.entry_id
          LEFT JOIN ledger.accounts a ON a.id = p.account_id
         WHERE e.id IS NULL OR a.currency IS DISTINCT FROM p.currency""",
        "entry_id, line",
    ),
)

# The same text that `Entry.payload_hash` hashes, written by the database.
_PAYLOAD_HASH = _Check(
    name=LedgerCheck.PAYLOAD_HASH,
    query=FindingQuery(
        """
        SELECT e.id AS entry_id, e.source_key
          FROM ledger.entries e
          JOIN (SELECT p.entry_id,
                       string_agg(
                         '["' || a.code || '","' || coalesce(a.owner_id::text, '') || '","'
                         || p.currency || '",' || p.amount || ']', ','
                         ORDER BY a.code COLLATE "C", coalesce(a.owner_id::text, '') COLLATE "C",
                                  p.currency COLLATE "C", p.amount) AS postings
                  FROM ledger.postings p JOIN ledger.accounts a ON a.id = p.account_id
                 GROUP BY p.entry_id) l ON l.entry_id = e.id
          LEFT JOIN ledger.entries r ON r.id = e.reverses_entry_id
         WHERE e.payload_hash <> sha256(convert_to(
                 '{"cycle_id":"' || coalesce(e.cycle_id::text, '')
                 || '","effective_at":"'
                 || to_char(e.effective_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24\\:MI\\:SS.US')
                 || '","kind":"' || e.kind || '","postings":[' || l.postings
                 || '],"reverses":"' || coalesce(r.source_key, '') || '"}', 'UTF8'))""",
        "entry_id",
    ),
)

_REVERSAL = _Check(
    name=LedgerCheck.REVERSAL,
    query=FindingQuery(
        """
        SELECT r.id AS entry_id, r.source_key, o.source_key AS original
          FROM ledger.entries r
          JOIN ledger.entries o ON o.id = r.reverses_entry_id
         WHERE EXISTS (
           SELECT FROM ledger.postings p
            WHERE p.entry_id IN (r.id, o.id)
            GROUP BY p.account_id, abs(p.amount) HAVING sum(p.amount) <> 0)""",
        "entry_id",
    ),
)

_CHART_MATCHES = _Check(
    name=LedgerCheck.CHART,
    query=FindingQuery(
        """
        SELECT a.id, a.code, a.class AS class_letter, a.owner_id, a.provider
          FROM ledger.accounts a
          LEFT JOIN unnest(CAST(:chart_codes AS text[]), CAST(:chart_classes AS text[]),
                           CAST(:chart_owned AS boolean[]),
                           CAST(:chart_per_provider AS boolean[]))
                 AS c(code, class, owned, per_provider)
            ON c.code = a.code
         WHERE c.code IS NULL OR c.class <> a.class OR c.owned <> (a.owner_id IS NOT NULL)
            OR c.per_provider <> (a.provider IS NOT NULL)""",
        "id",
    ),
)

_CYCLE_RECEIVABLE = _Check(
    name=LedgerCheck.CYCLE_RECEIVABLE,
    query=FindingQuery(
        """
        SELECT coalesce(i.cycle_id, j.cycle_id) AS cycle_id,
               coalesce(i.currency, j.currency) AS currency,
               i.number, i.status, coalesce(i.open, 0) AS open,
               coalesce(j.amount, 0) AS receivable
          FROM (SELECT cycle_id, currency, number, status,
                       CASE status WHEN 'open' THEN due ELSE 0 END AS open
                  FROM public.invoices WHERE cycle_id IS NOT NULL) i
          FULL JOIN (
               SELECT e.cycle_id, p.currency, sum(p.amount) AS amount
                 FROM ledger.postings p
                 JOIN ledger.entries e ON e.id = p.entry_id
                 JOIN ledger.accounts a ON a.id = p.account_id
                WHERE a.code = 'receivable' AND e.cycle_id IS NOT NULL
                GROUP BY e.cycle_id, p.currency) j
            ON j.cycle_id = i.cycle_id AND j.currency = i.currency
         WHERE coalesce(i.open, 0) <> coalesce(j.amount, 0)""",
        "cycle_id, currency",
    ),
)

# The balance of a clearing account, by the kind of event that posted it.
_CLEARING = _Check(
    name=LedgerCheck.CLEARING,
    query=FindingQuery(
        """
        SELECT code, currency, sum(amount) AS amount,
               array_agg(kind ORDER BY kind) AS kinds,
               array_agg(entries ORDER BY kind) AS entries,
               array_agg(amount ORDER BY kind) AS amounts
          FROM (SELECT a.code, a.currency, e.kind, count(*) AS entries, sum(p.amount) AS amount
                  FROM ledger.accounts a
                  JOIN ledger.postings p ON p.account_id = a.id
                  JOIN ledger.entries e ON e.id = p.entry_id
                 WHERE a.code = ANY(CAST(:clearing_codes AS text[]))
                 GROUP BY a.code, a.currency, e.kind) k
         GROUP BY code, currency HAVING sum(amount) <> 0""",
        "code, currency",
    ),
    severity=Severity.INFORMATION,
)

CHECKS = (
    _GLOBAL_SUM,
    _ENTRY_SUM,
    _LINES,
    _EMPTY,
    _STRAY,
    _PAYLOAD_HASH,
    _REVERSAL,
    _CHART_MATCHES,
    _CYCLE_RECEIVABLE,
    _CLEARING,
)


def verify(conn: Connection) -> list[LedgerFinding]:
    """Check the whole ledger and return the findings, errors first; without an error it holds.

    Reads every posting a few times: minutes on tens of millions, and the connection's
    statement timeout applies to some checks together.
    """
    some = with_rows(conn, CHECKS, _CHART_COLUMNS)
    findings = [finding for check in some for finding in check.run(conn)]
    return sorted(findings, key=lambda finding: finding.severity is not Severity.ERROR)
