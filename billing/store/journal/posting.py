"""The journal in Postgres: posting entries in batches. The one place that writes the ledger.

The database refuses anything that isn't a journal (see `migrations/versions/0002_ledger.py`); this
module makes writing cheap and a retry harmless. `reads` reads the journal, `checks` checks the
whole ledger.
"""

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeAlias

import psycopg
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from billing.errors import Conflict, ErrorCode
from billing.ledger.accounts import CHART, AccountCode
from billing.ledger.journal import Entry, Posting
from billing.store.arrays import literal
from billing.store.journal.reads import entry_by_source_key


class EntryConflict(Conflict):
    """Another entry stands under this source key. Roll the transaction back."""

    code = ErrorCode.SOURCE_KEY_TAKEN


class UnknownEntry(Conflict):
    """The entry to be reversed isn't in the journal. Roll the transaction back."""

    code = ErrorCode.ENTRY_NOT_FOUND


class CycleAlreadyClosed(Conflict):
    """The entry belongs to a closed cycle. The transaction is lost; roll it back."""

    code = ErrorCode.CYCLE_CLOSED


class AlreadyReversed(Conflict):
    """The entry to be reversed was reversed before. The transaction is lost; roll it back."""

    code = ErrorCode.ENTRY_REVERSED


@dataclass(frozen=True, slots=True)
class PostedEntry:
    """An entry's row in the journal; `created` is False when it was there before."""

    id: int
    created: bool


_AccountKey: TypeAlias = tuple[str, str, uuid.UUID | None, str | None]


_RESOLVE_ACCOUNTS = text("""
SELECT a.code, a.currency, a.owner_id, a.provider, a.id
  FROM unnest(CAST(:codes AS text[]), CAST(:currencies AS text[]), CAST(:owners AS uuid[]))
         AS w(code, currency, owner_id)
  JOIN ledger.accounts a
    ON a.code = w.code AND a.currency = w.currency AND a.owner_id = w.owner_id
UNION ALL
SELECT a.code, a.currency, a.owner_id, a.provider, a.id
  FROM unnest(CAST(:codes AS text[]), CAST(:currencies AS text[]), CAST(:owners AS uuid[]),
              CAST(:providers AS text[]))
         AS w(code, currency, owner_id, provider)
  JOIN ledger.accounts a
    ON a.code = w.code AND a.currency = w.currency AND a.owner_id IS NULL
   AND a.provider IS NOT DISTINCT FROM w.provider
 WHERE w.owner_id IS NULL
""")

_CREATE_ACCOUNTS = text("""
INSERT INTO ledger.accounts (code, currency, owner_id, provider, class)
SELECT * FROM unnest(CAST(:codes AS text[]), CAST(:currencies AS text[]),
                     CAST(:owners AS uuid[]), CAST(:providers AS text[]),
                     CAST(:classes AS text[]))
ON CONFLICT DO NOTHING
""")

_RESOLVE_ENTRIES = text("""
SELECT source_key, id, payload_hash FROM ledger.entries WHERE source_key = ANY(:source_keys)
""")

_INSERT_ENTRIES = text("""
INSERT INTO ledger.entries
       (kind, source_key, payload_hash, effective_at, cycle_id, reverses_entry_id, customer_id)
SELECT kind, source_key, payload_hash, effective_at, cycle_id, reverses_entry_id,
       coalesce(customer_id, (SELECT c.customer_id FROM cycles c WHERE c.id = x.cycle_id))
  FROM unnest(CAST(:kinds AS text[]), CAST(:source_keys AS text[]),
              CAST(:payload_hashes AS bytea[]), CAST(:effective_ats AS timestamptz[]),
              CAST(:cycle_ids AS uuid[]), CAST(:reverses_ids AS bigint[]),
              CAST(:customer_ids AS uuid[]))
         AS x(kind, source_key, payload_hash, effective_at, cycle_id, reverses_entry_id,
              customer_id)
ON CONFLICT (source_key) DO NOTHING
RETURNING source_key, id
""")

_INSERT_POSTINGS = text("""
INSERT INTO ledger.postings (entry_id, line, account_id, amount, currency)
SELECT * FROM unnest(CAST(:entry_ids AS bigint[]), CAST(:lines AS smallint[]),
                     CAST(:account_ids AS bigint[]), CAST(:amounts AS bigint[]),
                     CAST(:currencies AS text[]))
""")


def post(conn: Connection, entries: Sequence[Entry]) -> list[PostedEntry]:
    """Write entries in the caller's transaction, in a handful of statements for all of them.

    Returns one `PostedEntry` an entry, in the order given. An existing entry is returned as it is.
    Two transactions that post overlapping batches wait for each other and can't deadlock, if each
    calls this once. Needs READ COMMITTED, the default.

    Raises: EntryConflict when another payload stands under a source key, UnknownEntry,
    AlreadyReversed, CycleAlreadyClosed. After any of them the transaction must be rolled back.
    """
    by_key = _one_per_key(entries)
    # All writers use one order: first all accounts, then keys (and with them cycles), sorted.
    accounts = _account_ids(conn, by_key.values())
    pending = sorted(by_key.values(), key=lambda e: (str(e.cycle_id or ""), e.source_key))
    posted: dict[str, PostedEntry] = {}
    while pending:
        # A reversal is inserted after the entry of the same batch that it reverses.
        unposted = {entry.source_key for entry in pending}
        wave = [entry for entry in pending if entry.reverses not in unposted]
        if not wave:
            raise UnknownEntry(f"entries that reverse each other in a circle: {sorted(unposted)}")
        posted |= _post_wave(conn, wave, accounts)
        pending = [entry for entry in pending if entry.source_key not in posted]
    return _in_order(entries, posted)


class Reversal(Protocol):
    """A recipe that reverses an entry."""

    def __call__(self, of: Entry, /, *, effective_at: datetime, after_close: bool = False) -> Entry:
        """Return the reversal of `of`."""
        ...


def reverse(
    conn: Connection,
    source_key: str,
    recipe: Reversal,
    *,
    effective_at: datetime,
    after_close: bool = False,
) -> PostedEntry:
    """Post the reversal of a source key's entry, by the given recipe. Raises: UnknownEntry."""
    stored = entry_by_source_key(conn, source_key)
    if stored is None:
        raise UnknownEntry(f"there is no entry {source_key} to be reversed")
    (posted,) = post(
        conn, [recipe(stored.entry, effective_at=effective_at, after_close=after_close)]
    )
    return posted


def _one_per_key(entries: Sequence[Entry]) -> dict[str, Entry]:
    by_key: dict[str, Entry] = {}
    for entry in entries:
        first = by_key.setdefault(entry.source_key, entry)
        if first is not entry and first.payload_hash() != entry.payload_hash():
            raise _conflict(entry.source_key)
    return by_key


def _in_order(entries: Sequence[Entry], posted: Mapping[str, PostedEntry]) -> list[PostedEntry]:
    result: list[PostedEntry] = []
    seen: set[str] = set()
    for entry in entries:
        at = posted[entry.source_key]
        result.append(PostedEntry(at.id, at.created and entry.source_key not in seen))
        seen.add(entry.source_key)
    return result


def _account_ids(conn: Connection, entries: Iterable[Entry]) -> dict[_AccountKey, int]:
    """Return the ids of all accounts named; create those that are missing.

    The ids are not cached between calls: a transaction that is rolled back later would leave a
    wrong id in the cache.
    """
    wanted = {_account_key(posting) for entry in entries for posting in entry.postings}
    found = _resolve_accounts(conn, wanted)
    missing = wanted - found.keys()
    if missing:
        ordered = sorted(missing, key=lambda key: (key[0], key[1], str(key[2] or ""), key[3] or ""))
        conn.execute(
            _CREATE_ACCOUNTS,
            _account_columns(ordered)
            | {
                "classes": literal(
                    [CHART[AccountCode(code)].account_class.value for code, *_ in ordered]
                )
            },
        )
        # A second statement, so that it sees what a concurrent transaction just created.
        found |= _resolve_accounts(conn, missing)
    return found


def _account_key(posting: Posting) -> _AccountKey:
    account = posting.account
    return str(account.code), posting.money.currency, account.owner_id, account.provider


def _account_columns(keys: Iterable[_AccountKey]) -> dict[str, Any]:
    codes, currencies, owners, providers = [], [], [], []
    for code, currency, owner_id, provider in keys:
        codes.append(code)
        currencies.append(currency)
        owners.append(owner_id)
        providers.append(provider)
    return {
        "codes": literal(codes),
        "currencies": literal(currencies),
        "owners": literal(owners),
        "providers": literal(providers),
    }


def _resolve_accounts(conn: Connection, keys: Iterable[_AccountKey]) -> dict[_AccountKey, int]:
    rows = conn.execute(_RESOLVE_ACCOUNTS, _account_columns(keys))
    return {(row.code, row.currency, row.owner_id, row.provider): row.id for row in rows}


def _post_wave(
    conn: Connection, wave: Sequence[Entry], accounts: Mapping[_AccountKey, int]
) -> dict[str, PostedEntry]:
    hashes = {entry.source_key: entry.payload_hash() for entry in wave}
    created = _insert_entries(conn, wave, hashes)
    existing = _check_existing(conn, hashes, hashes.keys() - created.keys())
    if created:
        _insert_postings(conn, [e for e in wave if e.source_key in created], created, accounts)
    return {key: PostedEntry(id_, True) for key, id_ in created.items()} | {
        key: PostedEntry(id_, False) for key, id_ in existing.items()
    }


def _insert_entries(
    conn: Connection, wave: Sequence[Entry], hashes: Mapping[str, bytes]
) -> dict[str, int]:
    """Insert the entries that aren't there and return their ids by source key."""
    reversed_ids = _reversed_ids(conn, wave)
    with _refusals_named():
        rows = conn.execute(
            _INSERT_ENTRIES,
            {
                "kinds": literal([entry.kind for entry in wave]),
                "source_keys": literal([entry.source_key for entry in wave]),
                "payload_hashes": literal([hashes[entry.source_key] for entry in wave]),
                "effective_ats": literal([entry.effective_at for entry in wave]),
                "cycle_ids": literal([entry.cycle_id for entry in wave]),
                "customer_ids": literal([entry.customer() for entry in wave]),
                "reverses_ids": literal(
                    [
                        None if entry.reverses is None else reversed_ids[entry.reverses]
                        for entry in wave
                    ]
                ),
            },
        )
        return {source_key: id_ for source_key, id_ in rows}


def _reversed_ids(conn: Connection, wave: Sequence[Entry]) -> dict[str, int]:
    keys = sorted({entry.reverses for entry in wave if entry.reverses is not None})
    if not keys:
        return {}
    rows = conn.execute(_RESOLVE_ENTRIES, {"source_keys": keys})
    ids = {source_key: id_ for source_key, id_, _ in rows}
    for key in keys:
        if key not in ids:
            raise UnknownEntry(
                f"the entry to be reversed is not in the journal: {key}",
                where="ledger.entries",
                source_key=key,
            )
    return ids


def _check_existing(
    conn: Connection, hashes: Mapping[str, bytes], keys: Iterable[str]
) -> dict[str, int]:
    """Return the ids of entries that were there already, having compared their payload."""
    source_keys = sorted(keys)
    if not source_keys:
        return {}
    # A second statement, so that it sees the entry whose insertion we waited for.
    existing: dict[str, int] = {}
    for source_key, id_, payload_hash in conn.execute(
        _RESOLVE_ENTRIES, {"source_keys": source_keys}
    ):
        if bytes(payload_hash) != hashes[source_key]:
            raise _conflict(source_key)
        existing[source_key] = id_
    assert len(existing) == len(source_keys), "posting needs READ COMMITTED"
    return existing


def _insert_postings(
    conn: Connection,
    entries: Sequence[Entry],
    ids: Mapping[str, int],
    accounts: Mapping[_AccountKey, int],
) -> None:
    """Insert all postings of new entries in one statement: the trigger checks each entry as a
    whole.
    """
    entry_ids, lines, account_ids, amounts, currencies = [], [], [], [], []
    for entry in entries:
        entry_id = ids[entry.source_key]
        for line, posting in enumerate(entry.postings, start=1):
            entry_ids.append(entry_id)
            lines.append(line)
            account_ids.append(accounts[_account_key(posting)])
            amounts.append(posting.money.amount)
            currencies.append(posting.money.currency)
    conn.execute(
        _INSERT_POSTINGS,
        {
            "entry_ids": literal(entry_ids),
            "lines": literal(lines),
            "account_ids": literal(account_ids),
            "amounts": literal(amounts),
            "currencies": literal(currencies),
        },
    )


def _conflict(source_key: str) -> EntryConflict:
    return EntryConflict(
        f"another entry stands under the source key {source_key}",
        where="ledger.entries",
        source_key=source_key,
    )


@contextmanager
def _refusals_named() -> Iterator[None]:
    """Turn the database's refusals that a caller may act on into errors of ours."""
    try:
        yield
    except IntegrityError as error:
        if isinstance(error.orig, psycopg.Error):
            diagnosis = error.orig.diag
            what = diagnosis.message_primary or str(error.orig)
            if diagnosis.constraint_name == "entries_cycle_open":
                raise CycleAlreadyClosed(
                    what,
                    where="ledger.entries",
                ) from error
            if diagnosis.constraint_name == "entries_reversed_once":
                raise AlreadyReversed(
                    f"an entry can be reversed once: {diagnosis.message_detail}",
                    where="ledger.entries",
                ) from error
        raise
