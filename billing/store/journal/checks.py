"""Checking the whole ledger: what its constraints hold, and what no constraint can.

Each check is one statement over all rows, so it sees one snapshot; none changes anything. The
database refuses most of what these checks look for, so a finding means that somebody used the
owner's rights, or that two parts of the program disagree.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection, Row, TextClause, text

from billing.ledger.accounts import CHART, AccountCode
from billing.rules.money import Money, format_money

SHOWN_MAX: Final = 20


class Severity(StrEnum):
    """Whether a finding is an error, or for information."""

    ERROR = "error"
    INFORMATION = "information"


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding of a check about one subject; `check` is its stable name in docs/ledger.md."""

    check: str
    severity: Severity
    subject: str
    what: str


@dataclass(frozen=True, slots=True)
class _Check:
    """A statement whose every row is a finding; its column `found` counts them all."""

    name: str
    statement: TextClause
    subject: Callable[[Row[Any]], str]
    what: Callable[[Row[Any]], str]
    severity: Severity = Severity.ERROR

    def run(self, conn: Connection) -> Iterator[Finding]:
        rows = conn.execute(self.statement, {"shown_max": SHOWN_MAX, **_CHART_COLUMNS}).all()
        for row in rows:
            yield Finding(self.name, self.severity, self.subject(row), self.what(row))
        if rows and rows[0].found > len(rows):
            rest = rows[0].found - len(rows)
            yield Finding(self.name, self.severity, "more", f"and {rest:,} more")


# Why a clearing account may hold something; the chart says which accounts those are.
_ON_ITS_WAY: Final = {
    AccountCode.PSP_CLEARING: "Captured and not yet settled and paid out by the provider.",
    AccountCode.PAYOUT_TRANSIT: "Sent by the provider and not yet seen at the bank.",
    AccountCode.REFUND_PAYABLE: "Requested and not yet confirmed by the provider.",
    AccountCode.DISPUTE_RECEIVABLE: "Disputes that are not decided.",
}
assert set(_ON_ITS_WAY) == {code for code, line in CHART.items() if line.clearing}

_CHART_COLUMNS: Final[Mapping[str, object]] = {
    "chart_codes": [code.value for code in CHART],
    "chart_classes": [line.account_class.value for line in CHART.values()],
    "chart_owned": [line.owned for line in CHART.values()],
    "clearing_codes": [code.value for code in _ON_ITS_WAY],
}


def _checked(select: str, order: str) -> TextClause:
    return text(
        f"SELECT *, count(*) OVER () AS found FROM ({select}) finding"  # noqa: S608  constants below
        f" ORDER BY {order} LIMIT :shown_max"
    )


def _entry(row: Row[Any]) -> str:
    return f"entry {row.entry_id} ({row.source_key})" if row.source_key else f"entry {row.entry_id}"


def _in_words(amount: Any, currency: str) -> str:
    try:
        return format_money(Money(int(amount), currency))
    except ValueError:  # an unknown currency is itself a part of the finding
        return f"{amount} minor units of {currency}"


_GLOBAL_SUM = _Check(
    name="global_sum",
    statement=_checked(
        "SELECT currency, sum(amount) AS amount FROM ledger.postings"
        " GROUP BY currency HAVING sum(amount) <> 0",
        "currency",
    ),
    subject=lambda row: f"all {row.currency} postings",
    what=lambda row: f"add up to {_in_words(row.amount, row.currency)}, not zero",
)

_ENTRY_SUM = _Check(
    name="entry_sum",
    statement=_checked(
        """
        SELECT s.*, e.source_key FROM (
          SELECT entry_id, currency, sum(amount) AS amount FROM ledger.postings
           GROUP BY entry_id, currency HAVING sum(amount) <> 0) s
          LEFT JOIN ledger.entries e ON e.id = s.entry_id""",
        "entry_id, currency",
    ),
    subject=_entry,
    what=lambda row: f"its postings add up to {_in_words(row.amount, row.currency)}, not zero",
)

_LINES = _Check(
    name="lines",
    statement=_checked(
        """
        SELECT s.*, e.source_key FROM (
          SELECT entry_id, count(*) AS lines, min(line) AS low, max(line) AS high
            FROM ledger.postings GROUP BY entry_id
          HAVING min(line) <> 1 OR max(line) <> count(*)) s
          LEFT JOIN ledger.entries e ON e.id = s.entry_id""",
        "entry_id",
    ),
    subject=_entry,
    what=lambda row: f"has {row.lines} posting(s) numbered from {row.low} to {row.high}",
)

_EMPTY = _Check(
    name="empty_entry",
    statement=_checked(
        """
        SELECT e.id AS entry_id, e.source_key FROM ledger.entries e
         WHERE NOT EXISTS (SELECT FROM ledger.postings p WHERE p.entry_id = e.id)""",
        "entry_id",
    ),
    subject=_entry,
    what=lambda _: "has no postings",
)

_STRAY = _Check(
    name="stray_posting",
    statement=_checked(
        """
        SELECT p.entry_id, p.line, e.source_key, p.account_id, p.currency,
               a.currency AS account_currency
          FROM ledger.postings p
          LEFT JOIN ledger.entries e ON e.id = p.entry_id
          LEFT JOIN ledger.accounts a ON a.id = p.account_id
         WHERE e.id IS NULL OR a.currency IS DISTINCT FROM p.currency""",
        "entry_id, line",
    ),
    subject=lambda row: f"line {row.line} of {_entry(row)}",
    what=lambda row: (
        f"is {row.currency} on account {row.account_id}, which is {row.account_currency}"
        if row.account_currency and row.source_key
        else "names an entry or an account that doesn't exist"
    ),
)

# The same text that `Entry.payload_hash` hashes, written by the database.
_PAYLOAD_HASH = _Check(
    name="payload_hash",
    statement=_checked(
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
    subject=_entry,
    what=lambda _: "doesn't match the hash taken when it was posted: it was changed since",
)

_REVERSAL = _Check(
    name="reversal",
    statement=_checked(
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
    subject=_entry,
    what=lambda row: f"is no exact reversal of {row.original}",
)

_CHART_MATCHES = _Check(
    name="chart",
    statement=_checked(
        """
        SELECT a.id, a.code, a.class AS class_letter, a.owner_id
          FROM ledger.accounts a
          LEFT JOIN unnest(CAST(:chart_codes AS text[]), CAST(:chart_classes AS text[]),
                           CAST(:chart_owned AS boolean[])) AS c(code, class, owned)
            ON c.code = a.code
         WHERE c.code IS NULL OR c.class <> a.class OR c.owned <> (a.owner_id IS NOT NULL)""",
        "id",
    ),
    subject=lambda row: f"account {row.id} ({row.code})",
    what=lambda row: (
        f"has class {row.class_letter} and {'an' if row.owner_id else 'no'} owner,"
        " which the chart doesn't say"
    ),
)

_CYCLE_RECEIVABLE = _Check(
    name="cycle_receivable",
    statement=_checked(
        """
        SELECT coalesce(i.cycle_id, j.cycle_id) AS cycle_id,
               coalesce(i.currency, j.currency) AS currency,
               i.number, i.status, coalesce(i.open, 0) AS open,
               coalesce(j.amount, 0) AS receivable
          FROM (SELECT cycle_id, currency, number, status,
                       CASE status WHEN 'open' THEN total ELSE 0 END AS open
                  FROM public.invoices) i
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
    subject=lambda row: f"cycle {row.cycle_id}",
    what=lambda row: (
        f"the ledger's receivable is {_in_words(row.receivable, row.currency)}, "
        + (
            f"but invoice {row.number} is {row.status} with"
            f" {_in_words(row.open, row.currency)} open"
            if row.number
            else "but it has no invoice in that currency"
        )
    ),
)

# The balance of a clearing account, by the kind of event that posted it.
_CLEARING = _Check(
    name="clearing",
    statement=_checked(
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
    subject=lambda row: f"{row.code} in {row.currency}",
    what=lambda row: (
        f"holds {_in_words(row.amount, row.currency)}: "
        + "; ".join(
            f"{count:,} x {kind} {_in_words(amount, row.currency)}"
            for kind, count, amount in zip(row.kinds, row.entries, row.amounts, strict=True)
        )
        + f". {_ON_ITS_WAY[AccountCode(row.code)]}"
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


def verify(conn: Connection) -> list[Finding]:
    """Check the whole ledger and return the findings, errors first; without an error it holds.

    Reads every posting a few times: minutes on tens of millions, and the connection's
    statement timeout applies to each check.
    """
    findings = [finding for check in CHECKS for finding in check.run(conn)]
    return sorted(findings, key=lambda finding: finding.severity is not Severity.ERROR)
