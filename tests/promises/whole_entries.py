"""Mutants of whole journal entries, of each kind: balanced, and with the right hash.

Whoever goes about it with care leaves nothing that the ledger's own checks see. What is left is
that an entry and its event are two records, and that only one of them was changed.
"""

from collections.abc import Iterator
from typing import Final

from billing.ledger.keys import EntryKind
from tests.promises.catalogue import ORDERS, WHOLE_ROW, Mutant

ENTRIES: Final = "whole entries"

_FIRST: Final = (
    "(SELECT id FROM ledger.entries WHERE kind = '{kind}' ORDER BY "
    + ORDERS["ledger.entries"]
    + " LIMIT 1)"
)
# The hash of an entry, as `Entry.payload_hash` computes it.
_HASHED: Final = """
UPDATE ledger.entries e SET payload_hash = (
  SELECT sha256(convert_to(
    '{"cycle_id":"' || coalesce(e.cycle_id::text, '') || '","effective_at":"'
    || to_char(e.effective_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24\\:MI\\:SS.US')
    || '","kind":"' || e.kind || '","postings":['
    || (SELECT string_agg('["' || a.code || '","' || coalesce(a.owner_id::text, '') || '","'
                          || p.currency || '",' || p.amount || ']', ','
                          ORDER BY a.code COLLATE "C", coalesce(a.owner_id::text, '') COLLATE "C",
                                   p.currency COLLATE "C", p.amount)
          FROM ledger.postings p JOIN ledger.accounts a ON a.id = p.account_id
         WHERE p.entry_id = e.id)
    || '],"reverses":"'
    || coalesce((SELECT r.source_key FROM ledger.entries r WHERE r.id = e.reverses_entry_id), '')
    || '"}', 'UTF8')))
 WHERE e.id = ENTRY"""
_LAST: Final = "(SELECT max(id) FROM ledger.entries)"

_CHANGES: Final = {
    "deleted": (
        "CREATE TEMPORARY TABLE gone ON COMMIT DROP AS SELECT {first} AS id;"
        "UPDATE ledger.entries SET reverses_entry_id = NULL"
        " WHERE reverses_entry_id = (SELECT id FROM gone) OR id = (SELECT id FROM gone);"
        "DELETE FROM ledger.postings WHERE entry_id = (SELECT id FROM gone);"
        "DELETE FROM ledger.entries WHERE id = (SELECT id FROM gone);"
        "DROP TABLE gone"
    ),
    "doubled": (
        "INSERT INTO ledger.entries (kind, source_key, payload_hash, effective_at, cycle_id,"
        " customer_id) SELECT kind, source_key || '/2', payload_hash, effective_at, NULL,"
        " customer_id FROM ledger.entries WHERE id = {first};"
        "INSERT INTO ledger.postings (entry_id, line, account_id, amount, currency)"
        " SELECT {last}, line, account_id, amount, currency FROM ledger.postings"
        " WHERE entry_id = {first};" + _HASHED.replace("ENTRY", _LAST)
    ),
    "one more": (
        "UPDATE ledger.postings p SET amount = amount + CASE line"
        " WHEN (SELECT line FROM ledger.postings WHERE entry_id = p.entry_id AND amount > 0"
        "        ORDER BY line LIMIT 1) THEN 1"
        " WHEN (SELECT line FROM ledger.postings o WHERE entry_id = p.entry_id AND amount < 0"
        "          AND currency = (SELECT currency FROM ledger.postings f"
        "                           WHERE f.entry_id = p.entry_id AND f.amount > 0"
        "                           ORDER BY line LIMIT 1)"
        "        ORDER BY line LIMIT 1) THEN -1 ELSE 0 END"
        " WHERE entry_id = {first};" + _HASHED.replace("ENTRY", "{first}")
    ),
    "the other way round": (
        "UPDATE ledger.postings SET amount = -amount WHERE entry_id = {first};"
        + _HASHED.replace("ENTRY", "{first}")
    ),
    "a day later": (
        "CREATE TEMPORARY TABLE moved ON COMMIT DROP AS SELECT {first} AS id;"
        "UPDATE ledger.entries SET effective_at = effective_at + interval '1 day'"
        " WHERE id = (SELECT id FROM moved);"
        + _HASHED.replace("ENTRY", "(SELECT id FROM moved)")
        + ";DROP TABLE moved"
    ),
}


def mutants() -> Iterator[Mutant]:
    """Yield the mutants of each kind of entry."""
    for kind in EntryKind:
        first = _FIRST.format(kind=kind)
        for how, change in _CHANGES.items():
            statement = change.replace("{first}", first).replace("{last}", _LAST)
            yield Mutant(ENTRIES, kind, how, WHOLE_ROW, statement)
