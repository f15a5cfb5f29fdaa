"""Mutants of the data, made from the catalogue of the schema.

Every table, every column and every sort of row gives mutants by itself: a column that is added
later joins without a line here. A table is skipped only where `SKIPPED` says why, a column only
where its value is another one in each run.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, text

SKIPPED: Final[Mapping[str, str]] = {
    "alembic_version": "the schema's migration, which every role compares when it starts",
    **dict.fromkeys(("usage_days", "usage_sealed"), "no day of the story is sealed"),
}

# What differs from run to run, and with it which mutants there are.
BY_CHANCE: Final = frozenset({("usage_counts", "slot")})
"""The slot follows from the number of the database's process."""

# What sorts of rows a table has, where its column `state`, `status` or `kind` doesn't say it.
SORTS: Final[Mapping[str, str]] = {
    "payments": "state || CASE WHEN invoice_id IS NULL THEN ', without invoice' ELSE '' END",
    "cycles": "kind || ' ' || state || CASE WHEN after_cut THEN ', after a cut' ELSE '' END",
    "segments": "CASE WHEN from_n = 0 THEN 'first' ELSE 'later' END",
    "provider_calls": "kind || ', ' || coalesce(outcome, 'open')",
    "tax_calls": "kind",
    "tax_decisions": "provider",
    "settlement_rows": "kind || ', ' || outcome",
    "breaks": "CASE WHEN resolved_at IS NULL THEN 'open' ELSE 'resolved' END",
    "attempts": "coalesce(outcome, 'open')",
    "reconciliation_runs": "'any'",
    "reconciliation_steps": "'any'",
    "ledger.accounts": "code",
    "ledger.postings": "(SELECT a.code FROM ledger.accounts a WHERE a.id = account_id)",
    "payment_transitions": "to_state",
    "invoice_lines": "(SELECT i.status FROM invoices i WHERE i.id = invoice_id)"
    " || CASE WHEN unit_price IS NULL THEN ', in tiers' ELSE '' END",
    "subscription_items": "CASE WHEN addon IS NOT NULL THEN 'add-on' WHEN billed_in IS NULL"
    " THEN 'held' ELSE 'charged once' END",
    "credit_grants": "source || CASE WHEN expiry_due_at IS NULL THEN '' ELSE ', expires' END",
    "credit_notes": "destination",
    "credit_note_lines": "(SELECT c.destination FROM credit_notes c WHERE c.id = note_id)",
    "refunds": "state || CASE WHEN note_id IS NULL THEN '' ELSE ', of a note' END",
    "provider_events": "'any'",
    "subscription_events": "'any'",
    "fx_events": "CASE WHEN payment_id IS NULL THEN 'by hand' ELSE 'of a payment' END",
}
_SAYS_THE_SORT: Final = ("state", "status", "kind")
WHOLE_ROW: Final = "row"
BY_HAND: Final = "by hand"

# Rows of a sort in an order that is the same whenever the story is told: ids of the provider are
# random, and ours begin with an instant that several rows share.
_PAYMENT: Final = (
    "(SELECT (p.created_at, p.subscription_id, p.amount) FROM payments p WHERE p.id = {})"
)
_INVOICE: Final = "(SELECT (i.subscription_id, i.issued_at) FROM invoices i WHERE i.id = {})"
_ENTRY: Final = (
    "{0}effective_at, {0}customer_id, (SELECT i.subscription_id FROM invoices i"
    " WHERE i.id::text = split_part({0}source_key, '\\:', 2))"
)
ORDERS: Final[Mapping[str, str]] = {
    "api_keys": "name",
    "attempts": f"{_PAYMENT.format('payment_id')}, n",
    "breaks": "found_at, kind, theirs ->> 'amount'",
    "credit_grants": "created_at, customer_id, amount",
    "credit_moves": "at, customer_id, n",
    "top_ups": "created_at, customer_id",
    "credit_notes": "series, n",
    "credit_note_lines": "(SELECT (c.series, c.n) FROM credit_notes c WHERE c.id = note_id), line",
    "cycles": "subscription_id, n",
    "fx_events": "at, to_amount",
    "invoice_lines": f"{_INVOICE.format('invoice_id')}, line",
    "invoices": "subscription_id, issued_at",
    "ledger.accounts": "owner_id, currency, provider",
    "ledger.entries": _ENTRY.format(""),
    "ledger.postings": f"(SELECT ({_ENTRY.format('e.')}) FROM ledger.entries e"
    " WHERE e.id = entry_id), line",
    "payment_transitions": f"{_PAYMENT.format('payment_id')}, id",
    "payments": "created_at, subscription_id, amount",
    "payouts": "created",
    "provider_calls": f"{_PAYMENT.format('subject_id')}, first_sent_at, n",
    "provider_events": "created, type",
    "refunds": "created_at, customer_id, amount",
    "line_parts": f"{_INVOICE.format('invoice_id')}, kind, nth, line",
    "revenue_recognitions": f"{_INVOICE.format('invoice_id')}, through, line",
    "settlement_rows": f"created, amount, {_PAYMENT.format('payment_id')}, provider",
    "subscription_changes": "subscription_id, id",
    "subscription_items": "quantity, subscription_id",
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column, as the catalogue describes it.

    `refers` is the table and column it refers to, `words` are what its check lets stand in it.
    """

    name: str
    type: str
    nullable: bool
    written: bool
    refers: tuple[str, str] | None
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Described:
    """A table: its columns, its key, and the columns of its unique indexes."""

    name: str
    columns: Sequence[Column]
    key: Sequence[str]
    unique: Sequence[Sequence[str]]

    @property
    def sort(self) -> str:
        """The SQL that says of which sort a row is."""
        names = {column.name for column in self.columns}
        said = next((name for name in _SAYS_THE_SORT if name in names), "'any'")
        return SORTS.get(self.name, said)


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of one row: in which column ("row" for all of it), how, and of which sort."""

    table: str
    column: str
    how: str
    sort: str
    statement: str

    @property
    def several(self) -> bool:
        """Whether rows of several tables are changed."""
        return self.table not in self.statement or self.sort == BY_HAND

    @property
    def place(self) -> str:
        """Where it is: the table and the column."""
        return f"{self.table}.{self.column}"


_COLUMNS: Final = text(
    """
    SELECT CASE n.nspname WHEN 'public' THEN '' ELSE n.nspname || '.' END || c.relname
             AS table_name,
           a.attname AS name, format_type(a.atttypid, NULL) AS type, NOT a.attnotnull AS nullable,
           a.attgenerated = '' AND a.attidentity <> 'a' AS written,
           (SELECT f.confrelid::regclass::text || ' ' || fa.attname FROM pg_constraint f
              CROSS JOIN unnest(f.conkey, f.confkey) AS k(here, there)
              JOIN pg_attribute fa ON fa.attrelid = f.confrelid AND fa.attnum = k.there
             WHERE f.contype = 'f' AND f.conrelid = c.oid AND k.here = a.attnum
               AND a.attname <> 'provider'
             ORDER BY cardinality(f.conkey), f.conname LIMIT 1) AS refers,
           ARRAY(SELECT pg_get_constraintdef(k.oid) FROM pg_constraint k
                  WHERE k.contype = 'c' AND k.conrelid = c.oid AND k.conkey = ARRAY[a.attnum])
             AS checks
      FROM pg_attribute a
      JOIN pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p') AND NOT c.relispartition
      JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname IN ('public', 'ledger')
     WHERE a.attnum > 0 AND NOT a.attisdropped
     ORDER BY 1, a.attnum"""
)
_INDEXES: Final = text(
    """
    SELECT CASE n.nspname WHEN 'public' THEN '' ELSE n.nspname || '.' END || c.relname
             AS table_name,
           i.indisprimary AS is_key,
           ARRAY(SELECT a.attname::text FROM unnest(i.indkey) WITH ORDINALITY AS k(number, place)
                   JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.number
                  WHERE k.place <= i.indnkeyatts ORDER BY k.place) AS columns
      FROM pg_index i
      JOIN pg_class c ON c.oid = i.indrelid
      JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname IN ('public', 'ledger')
     WHERE i.indisunique AND NOT c.relispartition ORDER BY 1, i.indexrelid"""
)
_WORDS: Final = re.compile(r"'([^']+)'::text")


def described(conn: Connection) -> list[Described]:
    """Read all tables from the catalogue, in order of their names."""
    columns: dict[str, list[Column]] = {}
    for row in conn.execute(_COLUMNS):
        words = [word for each in row.checks if "ANY" in each for word in _WORDS.findall(each)]
        refers = tuple(row.refers.split(" ")) if row.refers else None
        columns.setdefault(row.table_name, []).append(
            Column(row.name, row.type, row.nullable, row.written, refers, tuple(words))
        )
    keys: dict[str, list[str]] = {}
    unique: dict[str, list[list[str]]] = {}
    for row in conn.execute(_INDEXES):
        unique.setdefault(row.table_name, []).append(row.columns)
        if row.is_key:
            keys[row.table_name] = row.columns
    return [
        Described(name, found, keys[name], unique[name])
        for name, found in columns.items()
        if name not in SKIPPED
    ]


def sorts(conn: Connection, table: Described) -> list[str]:
    """Return of which sorts a table has rows."""
    found = conn.execute(text(f"SELECT DISTINCT {table.sort} FROM {table.name} ORDER BY 1"))
    return [str(sort) for (sort,) in found]


def mutants(conn: Connection, table: Described) -> Iterator[Mutant]:
    """Yield the mutants of a table: its columns changed, its rows deleted and doubled."""
    for sort in sorts(conn, table):
        which = _first(table, sort)
        for column in table.columns:
            if column.written and (table.name, column.name) not in BY_CHANCE:
                yield from _changed(conn, table, column, sort, which)
        yield Mutant(
            table.name, WHOLE_ROW, "deleted", sort, f"DELETE FROM {table.name} WHERE {which}"
        )
        yield Mutant(table.name, WHOLE_ROW, "doubled", sort, _doubled(table, which))


def _first(table: Described, sort: str) -> str:
    """Return the condition that holds for the first row of a sort."""
    key = ", ".join(table.key)
    quoted = sort.replace("'", "''").replace(":", "\\:")
    order = f"{ORDERS[table.name]}, {key}" if table.name in ORDERS else key
    return (
        f"({key}) = (SELECT {key} FROM {table.name}"
        f" WHERE {table.sort} = '{quoted}' ORDER BY {order} LIMIT 1)"
    )


def _changed(
    conn: Connection, table: Described, column: Column, sort: str, which: str
) -> Iterator[Mutant]:
    found = conn.execute(text(f"SELECT {column.name} AS value FROM {table.name} WHERE {which}"))
    value = found.scalar_one()
    changes = _set(table, column) if value is None else _others(table, column, value)
    for how, expression in changes.items():
        yield Mutant(
            table.name,
            column.name,
            how,
            sort,
            f"UPDATE {table.name} SET {column.name} = {expression} WHERE {which}",
        )


def _others(table: Described, column: Column, value: object) -> dict[str, str]:
    """Return what a value becomes, by what that means."""
    if column.type == "text":
        changes = _other_texts(table, column, str(value))
    elif column.refers or column.type == "uuid":
        changes = {"another": _another(table, column)}
        changes |= {"dangling": "gen_random_uuid()"} if column.type == "uuid" else {}
    elif column.type in _NUMBERS:
        changes = {"one more": f"{column.name} + 1"}
        changes |= {"negative": f"-{column.name}"} if value else {}
    elif value == {} and column.type == "jsonb":
        changes = {"filled": "'{\"x\": 1}'"}
    else:
        how, expression = _CHANGED[column.type]
        changes = {how: expression.format(column.name)}
    return changes | ({"none": "NULL"} if column.nullable else {})


_NUMBERS: Final = ("bigint", "integer", "smallint", "numeric", "double precision")
# How a value of each other type is changed: a new type needs its line.
_CHANGED: Final[Mapping[str, tuple[str, str]]] = {
    "boolean": ("the opposite", "NOT {}"),
    "timestamp with time zone": ("later", "{} + interval '1 day'"),
    "timestamp without time zone": ("later", "{} + interval '1 day'"),
    "date": ("later", "{} + 1"),
    "jsonb": ("emptied", "'{{}}'"),
    "text[]": ("emptied", "'{{}}'"),
    "bytea": ("another", "sha256({})"),
}


def _other_texts(table: Described, column: Column, value: str) -> dict[str, str]:
    if column.words:
        return {f"`{word}`": f"'{word}'" for word in _other_words(column, value)}
    if column.name.endswith("currency"):
        return {"another": f"CASE {column.name} WHEN 'USD' THEN 'EUR' ELSE 'USD' END"}
    return {"another": _another(table, column) if column.refers else f"{column.name} || 'x'"}


def _other_words(column: Column, value: str) -> Sequence[str]:
    """Return every other state; of words that say something else, the next two."""
    if column.name in ("state", "status"):
        return [word for word in column.words if word != value]
    place = column.words.index(value)
    return [*column.words[place + 1 :], *column.words[:place]][:2]


def _set(table: Described, column: Column) -> dict[str, str]:
    """Return what an empty value becomes: what another row has, or anything of its type."""
    anything = {
        "uuid": "gen_random_uuid()",
        "text": f"'{column.words[0]}'" if column.words else "'x'",
        "jsonb": "'{}'",
        "date": "DATE '2026-02-01'",
    }.get(column.type, "1" if "int" in column.type or column.type == "numeric" else "now()")
    other = (
        f"(SELECT o.{column.name} FROM {table.name} o WHERE o.{column.name} IS NOT NULL"
        f" ORDER BY {ORDERS.get(table.name, '1')} LIMIT 1)"
    )
    return {"set": f"coalesce({other}, {anything})"}


def _another(table: Described, column: Column) -> str:
    """Return the SQL of another row's value: of the table it refers to, else of this one."""
    there, name = column.refers or (table.name, column.name)
    return (
        f"(SELECT o.{name} FROM {there} o WHERE o.{name} <> {table.name}.{column.name}"
        f" ORDER BY {ORDERS.get(there, '1')} LIMIT 1)"
    )


def _doubled(table: Described, which: str) -> str:
    """Return the copy of a row under other keys: one column of each unique index is another."""
    changed = dict[str, str]()
    by_name = {column.name: column for column in table.columns}
    for index in table.unique:
        candidates = [by_name[name] for name in index if by_name[name].written]
        if len(candidates) < len(index) or any(column.name in changed for column in candidates):
            continue  # the database gives it another value
        free = [column for column in candidates if not column.refers] or candidates
        changed[free[-1].name] = _fresh(free[-1])
    names = [column.name for column in table.columns if column.written]
    values = ", ".join(changed.get(name, name) for name in names)
    return (
        f"INSERT INTO {table.name} ({', '.join(names)})"
        f" SELECT {values} FROM {table.name} WHERE {which}"
    )


def _fresh(column: Column) -> str:
    """Return the SQL of a value that no other row has."""
    if column.refers and column.nullable:
        return "NULL"
    return _FRESH.get(column.type, "{} + 1").format(column.name)


_FRESH: Final[Mapping[str, str]] = {
    "uuid": "gen_random_uuid()",
    "text": "{} || 'x'",
    "timestamp with time zone": "{} + interval '1 second'",
    "boolean": "NOT {}",
}
