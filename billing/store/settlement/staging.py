"""Copying the provider's balance transactions into the settlement rows, each once."""
# ruff: noqa: S608  statements are put together from constants of this file

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from json import dumps
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, TextClause, text

from billing.rules.reconciliation import OF_CUSTOMERS, MovementKind
from billing.store.arrays import literal
from billing.store.in_list import in_list
from billing.store.rows import reader

_COLUMNS: Final = (
    "provider", "provider_transaction_id", "run_id", "kind", "category", "source_id",
    "provider_payment_id", "provider_charge_id", "amount", "fee", "net", "currency",
    "customer_amount", "customer_currency", "exchange_rate", "provider_payout_id", "created",
    "available_on", "metadata",
)  # fmt: skip
_STAGE_TABLE: Final = text(
    "CREATE TEMPORARY TABLE settlement_staging (LIKE settlement_rows INCLUDING DEFAULTS)"
    " ON COMMIT DROP"
)
_ANALYZE: Final = text("ANALYZE settlement_staging")
# A page at a time, a table of its own would cost more than the page.
_PAGE: Final = f"""
    unnest(CAST(:provider AS text[]), CAST(:provider_transaction_id AS text[]),
           CAST(:run_id AS uuid[]), CAST(:kind AS text[]), CAST(:category AS text[]),
           CAST(:source_id AS text[]),
           CAST(:provider_payment_id AS text[]), CAST(:provider_charge_id AS text[]),
           CAST(:amount AS bigint[]), CAST(:fee AS bigint[]), CAST(:net AS bigint[]),
           CAST(:currency AS text[]), CAST(:customer_amount AS bigint[]),
           CAST(:customer_currency AS text[]), CAST(:exchange_rate AS numeric[]),
           CAST(:provider_payout_id AS text[]), CAST(:created AS timestamptz[]),
           CAST(:available_on AS timestamptz[]), CAST(:metadata AS jsonb[]))
      AS s({", ".join(_COLUMNS)})"""


# Columns that a report has only if its maker chose them.
_LEARNED: Final = (
    "source_id", "provider_payment_id", "provider_charge_id", "customer_amount",
    "customer_currency", "exchange_rate", "available_on",
)  # fmt: skip


# Movements of these kinds are known by the provider's word alone. Others have several words. A row
# of before a word had its kind keeps the kind that it was decided as.
_BY_CATEGORY: Final = in_list([MovementKind.ADJUSTMENT, MovementKind.OTHER])


def _learns(name: str) -> str:
    return f"r.{name} IS NULL AND s.{name} IS NOT NULL"


def _merging(source: str) -> tuple[TextClause, TextClause, TextClause]:
    """Return the statements that copy the rows of `source`.

    Rows are inserted in one order, so that two sources at once can't deadlock. A transaction that
    was read before stays as it is. A later source fills in what the first one left out: the payout
    at any time, the object until the row is matched. The last statement returns the rows of
    `source` that contradict those read before.
    """
    names = ", ".join(_COLUMNS)
    return (
        text(
            f"""
            UPDATE settlement_rows AS r
               SET provider_payout_id = coalesce(r.provider_payout_id, s.provider_payout_id)
                   {"".join(f", {name} = coalesce(r.{name}, s.{name})" for name in _LEARNED)},
                   metadata = s.metadata || r.metadata
              FROM {source}
             WHERE r.provider = s.provider
               AND r.provider_transaction_id = s.provider_transaction_id
               AND (r.provider_payout_id IS NULL AND s.provider_payout_id IS NOT NULL
                    OR r.matched_at IS NULL
                       AND ((s.metadata || r.metadata) <> r.metadata
                            {"".join(f" OR {_learns(name)}" for name in _LEARNED)}))
            """
        ),
        text(
            f"""
            INSERT INTO settlement_rows ({names})
            SELECT {names} FROM {source} ORDER BY s.provider_transaction_id
                ON CONFLICT (provider, provider_transaction_id) DO NOTHING
            """
        ),
        text(
            f"""
            SELECT r.provider_transaction_id, r.payment_id, r.category, r.amount, r.fee, r.net,
                   r.currency, s.category AS their_category, s.amount AS their_amount,
                   s.fee AS their_fee, s.net AS their_net, s.currency AS their_currency
              FROM {source}
              JOIN settlement_rows r ON r.provider = s.provider
                                    AND r.provider_transaction_id = s.provider_transaction_id
             WHERE (r.amount, r.fee, r.net, r.currency) <> (s.amount, s.fee, s.net, s.currency)
                OR r.category <> s.category
                   AND (r.kind <> s.kind OR r.kind IN {_BY_CATEGORY})
             ORDER BY 1
            """
        ),
    )


_FROM_PAGE: Final = _merging(_PAGE)
_FROM_STAGING: Final = _merging("settlement_staging AS s")


@dataclass(frozen=True, slots=True)
class ChangedRow:
    """A transaction that is shown otherwise than it was read before: in its amounts or its kind."""

    provider_transaction_id: str
    payment_id: UUID | None
    category: str
    amount: int
    fee: int
    net: int
    currency: str
    their_category: str
    their_amount: int
    their_fee: int
    their_net: int
    their_currency: str


_changed = reader(ChangedRow)


@dataclass(frozen=True, slots=True)
class Merged:
    """The result of staging: new transactions, and those that contradict earlier readings."""

    new: int
    changed: Sequence[ChangedRow]


def make_staging(conn: Connection) -> None:
    """Create this transaction's staging table; it writes no log and is gone at the end."""
    conn.execute(_STAGE_TABLE)


def analyze_staging(conn: Connection) -> None:
    """Let the planner know how much is staged."""
    conn.execute(_ANALYZE)


def copy_into_staging() -> str:
    """Return the COPY that fills the staging table, in text form."""
    return f"COPY settlement_staging ({', '.join(_COLUMNS)}) FROM STDIN"


def merge_staging(conn: Connection) -> Merged:
    """Copy the staged rows into the settlement rows, once each."""
    return _merge(conn, _FROM_STAGING, {})


def stage(conn: Connection, rows: Sequence[Mapping[str, Any]]) -> Merged:
    """Copy a page of balance transactions into the settlement rows, once each."""
    if not rows:
        return Merged(0, ())
    columns = {name: [row[name] for row in rows] for name in _COLUMNS}
    columns["metadata"] = [dumps(value) for value in columns["metadata"]]
    return _merge(conn, _FROM_PAGE, {name: literal(values) for name, values in columns.items()})


def _merge(
    conn: Connection,
    statements: tuple[TextClause, TextClause, TextClause],
    params: Mapping[str, Any],
) -> Merged:
    learn, insert, changed = statements
    conn.execute(learn, params)
    new = conn.execute(insert, params).rowcount
    return Merged(new, [_changed(row) for row in conn.execute(changed, params)])


_WITHOUT_CUSTOMERS_MONEY = text(
    f"""
    SELECT r.currency, p.currency AS paid_in, count(*) AS n
      FROM settlement_staging s
      JOIN settlement_rows r ON r.provider = s.provider
                            AND r.provider_transaction_id = s.provider_transaction_id
      JOIN LATERAL (
           SELECT currency FROM payments
            WHERE provider = r.provider AND provider_payment_id = r.provider_payment_id
            UNION ALL
           SELECT currency FROM payments
            WHERE provider = r.provider AND provider_charge_id = r.provider_charge_id
            LIMIT 1) p ON p.currency <> r.currency
     WHERE r.matched_at IS NULL AND r.customer_currency IS NULL
       AND r.kind IN {in_list(OF_CUSTOMERS)}
     GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT 1
    """
)


@dataclass(frozen=True, slots=True)
class ForeignRows:
    """Staged rows about payments in another currency, without what the customers paid."""

    currency: str
    paid_in: str
    n: int


_foreign = reader(ForeignRows)


def without_customers_money(conn: Connection) -> ForeignRows | None:
    """Return what most of the staged rows lack that are about payments in another currency."""
    row = conn.execute(_WITHOUT_CUSTOMERS_MONEY).one_or_none()
    return None if row is None else _foreign(row)


_STAGED_SPAN = text("SELECT min(created) AS first, max(created) AS last FROM settlement_staging")


def staged_span(conn: Connection) -> tuple[datetime, datetime] | None:
    """Return the first and the last instant of the staged rows."""
    row = conn.execute(_STAGED_SPAN).one()
    return None if row.first is None else (row.first, row.last)
