"""Reading the journal: balances, statements, entries. Always set-based, always from postings.

A balance is the sum of an account's postings; no balance is stored anywhere.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import Any, TypeAlias

from sqlalchemy import Connection, Row, text

from billing.ledger import keys
from billing.ledger.accounts import CHART, Account, AccountCode
from billing.ledger.journal import Entry, Posting
from billing.rules.money import Money


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """An entry read back; `posted_at` is the real time of its transaction."""

    id: int
    posted_at: datetime
    payload_hash: bytes
    entry: Entry


@dataclass(frozen=True, slots=True)
class TrialBalanceRow:
    """The turnover and balance of an account code in one currency, in minor units."""

    code: str
    currency: str
    debit: int
    credit: int
    balance: int


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One posting of an account, with the entry it belongs to."""

    entry_id: int
    line: int
    kind: str
    source_key: str
    effective_at: datetime
    cycle_id: uuid.UUID | None
    account: Account
    money: Money

    @property
    def cursor(self) -> tuple[int, int]:
        """Pass the last line's cursor as `before` to read on."""
        return self.entry_id, self.line


CycleReceivables: TypeAlias = dict[uuid.UUID, tuple[Money, ...]]

_TRIAL_BALANCE = text("""
SELECT a.code, a.currency,
       sum(p.debit) AS debit, sum(p.credit) AS credit, sum(p.debit) - sum(p.credit) AS balance
  FROM (SELECT account_id,
               coalesce(sum(amount) FILTER (WHERE amount > 0), 0) AS debit,
               coalesce(-sum(amount) FILTER (WHERE amount < 0), 0) AS credit
          FROM ledger.postings GROUP BY account_id) p
  JOIN ledger.accounts a ON a.id = p.account_id
 GROUP BY a.code, a.currency
 ORDER BY a.code, a.currency
""")

_BALANCE = """
SELECT coalesce(sum(p.amount), 0)
  FROM ledger.accounts a
  JOIN ledger.postings p ON p.account_id = a.id
 WHERE {where}
"""

_STATEMENT = """
SELECT p.entry_id, p.line, p.amount, p.currency, p.owner_id, p.provider,
       e.kind, e.source_key, e.effective_at, e.cycle_id
  FROM ({page}) p
  JOIN ledger.entries e ON e.id = p.entry_id
 ORDER BY p.entry_id DESC, p.line DESC
"""

# For few accounts with long histories (one customer's, or a shared one): the newest of each by its
# index, then the newest of those.
_PAGE_OF_FEW = """
SELECT p.*, a.owner_id, a.provider
  FROM ledger.accounts a
 CROSS JOIN LATERAL (
       SELECT * FROM ledger.postings p
        WHERE p.account_id = a.id AND {before}
        ORDER BY p.entry_id DESC, p.line DESC LIMIT :limit) p
 WHERE {where}
 ORDER BY p.entry_id DESC, p.line DESC LIMIT :limit
"""

# Very many accounts with a few postings each (all customers'): backwards through the journal.
_PAGE_OF_MANY = """
SELECT p.*, a.owner_id, a.provider
  FROM ledger.postings p
  JOIN ledger.accounts a ON a.id = p.account_id
 WHERE {where} AND {before}
 ORDER BY p.entry_id DESC, p.line DESC LIMIT :limit
"""

# The statement has only the conditions asked for: "or the parameter is null" would lose the index.
_CONDITIONS = {
    "code": "a.code = :code",
    "currency": "a.currency = :currency",
    "owner_id": "a.owner_id = :owner_id",
}
_BEFORE = "(p.entry_id, p.line) < (:before_entry, :before_line)"

_CYCLE_RECEIVABLES = text("""
SELECT e.cycle_id, a.currency, sum(p.amount) AS amount
  FROM ledger.entries e
  JOIN ledger.postings p ON p.entry_id = e.id
  JOIN ledger.accounts a ON a.id = p.account_id
 WHERE e.cycle_id = ANY(CAST(:cycle_ids AS uuid[])) AND a.code = 'receivable'
 GROUP BY e.cycle_id, a.currency
 ORDER BY e.cycle_id, a.currency
""")

_ENTRIES = """
SELECT e.id, e.kind, e.source_key, e.payload_hash, e.effective_at, e.posted_at, e.cycle_id,
       e.customer_id, r.source_key AS reverses, a.code, a.owner_id, a.provider, p.amount, p.currency
  FROM ledger.entries e
  JOIN ledger.postings p ON p.entry_id = e.id
  JOIN ledger.accounts a ON a.id = p.account_id
  LEFT JOIN ledger.entries r ON r.id = e.reverses_entry_id
 WHERE {where}
 ORDER BY e.id, p.line
"""
_ENTRIES_OF_CYCLES = text(_ENTRIES.format(where="e.cycle_id = ANY(CAST(:cycle_ids AS uuid[]))"))
_ENTRY_BY_KEY = text(_ENTRIES.format(where="e.source_key = :source_key"))
_ENTRY_BY_ID = text(_ENTRIES.format(where="e.id = :id"))


def trial_balance(conn: Connection) -> list[TrialBalanceRow]:
    """Return debits, credits and balance by account code and currency; each currency's
    balances add up to zero.
    """
    return [
        TrialBalanceRow(row.code, row.currency, int(row.debit), int(row.credit), int(row.balance))
        for row in conn.execute(_TRIAL_BALANCE)
    ]


def balance(
    conn: Connection, code: AccountCode, currency: str, owner_id: uuid.UUID | None = None
) -> Money:
    """Return an account's balance, debit positive; all owners together where none is named."""
    asked = {"code": code.value, "currency": currency, "owner_id": owner_id}
    total = conn.execute(text(_BALANCE.format(where=_where(asked))), asked).scalar_one()
    return Money(int(total), currency)


def _where(asked: Mapping[str, Any]) -> str:
    """Return the conditions on accounts for the given arguments."""
    return " AND ".join(sql for name, sql in _CONDITIONS.items() if asked[name] is not None)


def account_statement(
    conn: Connection,
    code: AccountCode,
    currency: str | None = None,
    owner_id: uuid.UUID | None = None,
    *,
    limit: int = 50,
    before: tuple[int, int] | None = None,
) -> list[StatementLine]:
    """Return the account's postings, newest first; read on with the last line's `cursor`."""
    before_entry, before_line = before or (None, None)
    asked = {"code": code.value, "currency": currency, "owner_id": owner_id}
    of_all_customers = CHART[code].owned and owner_id is None
    page = (_PAGE_OF_MANY if of_all_customers else _PAGE_OF_FEW).format(
        where=_where(asked), before=_BEFORE if before else "true"
    )
    rows = conn.execute(
        text(_STATEMENT.format(page=page)),
        asked | {"limit": limit, "before_entry": before_entry, "before_line": before_line},
    )
    return [
        StatementLine(
            entry_id=row.entry_id,
            line=row.line,
            kind=row.kind,
            source_key=row.source_key,
            effective_at=row.effective_at,
            cycle_id=row.cycle_id,
            account=Account(code, row.owner_id, row.provider),
            money=Money(row.amount, row.currency),
        )
        for row in rows
    ]


def cycle_receivables(conn: Connection, cycle_ids: Sequence[uuid.UUID]) -> CycleReceivables:
    """Return the receivable of each cycle, by currency; every cycle asked for has a key.

    An empty value means that nothing was ever posted to the cycle's receivable.
    """
    sums: dict[uuid.UUID, list[Money]] = {cycle_id: [] for cycle_id in cycle_ids}
    for row in conn.execute(_CYCLE_RECEIVABLES, {"cycle_ids": list(sums)}):
        sums[row.cycle_id].append(Money(int(row.amount), row.currency))
    return {cycle_id: tuple(amounts) for cycle_id, amounts in sums.items()}


def entries_of(conn: Connection, cycle_ids: Sequence[uuid.UUID]) -> list[StoredEntry]:
    """Return all entries of the cycles in the order they were posted."""
    rows = conn.execute(_ENTRIES_OF_CYCLES, {"cycle_ids": list(cycle_ids)})
    return [_stored_entry(list(lines)) for _, lines in groupby(rows, key=attrgetter("id"))]


_WITHHELD = text("""
SELECT coalesce(sum(p.amount), 0)
  FROM ledger.entries e
  JOIN ledger.postings p ON p.entry_id = e.id
  JOIN ledger.accounts a ON a.id = p.account_id
 WHERE e.source_key = ANY(:keys) AND a.code = :code
""")


def withheld_in_dispute(
    conn: Connection, dispute_id: uuid.UUID, transaction_ids: Sequence[str]
) -> int:
    """Return what these movements of a dispute hold back, in minor units of the payment."""
    of_each = (keys.dispute_opened, keys.dispute_won)
    made = [key(dispute_id, each) for each in transaction_ids for key in of_each]
    params = {"keys": made, "code": AccountCode.DISPUTE_RECEIVABLE}
    return int(conn.execute(_WITHHELD, params).scalar_one())


def entry_by_source_key(conn: Connection, source_key: str) -> StoredEntry | None:
    """Return the entry with this source key, or None."""
    rows = conn.execute(_ENTRY_BY_KEY, {"source_key": source_key}).all()
    return _stored_entry(rows) if rows else None


def entry(conn: Connection, entry_id: int) -> StoredEntry | None:
    """Return one entry by its number, or None."""
    rows = conn.execute(_ENTRY_BY_ID, {"id": entry_id}).all()
    return _stored_entry(rows) if rows else None


def _stored_entry(lines: Sequence[Row[Any]]) -> StoredEntry:
    head = lines[0]
    return StoredEntry(
        id=head.id,
        posted_at=head.posted_at,
        payload_hash=bytes(head.payload_hash),
        entry=Entry(
            head.kind,
            head.source_key,
            head.effective_at,
            tuple(
                Posting(
                    Account(AccountCode(line.code), line.owner_id, line.provider),
                    Money(line.amount, line.currency),
                )
                for line in lines
            ),
            cycle_id=head.cycle_id,
            reverses=head.reverses,
            customer_id=head.customer_id,
        ),
    )
