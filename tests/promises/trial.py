"""Trying a mutant: what the database refuses, and what the proof names."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Final

import psycopg
from sqlalchemy import Connection, select, text
from sqlalchemy.exc import DBAPIError

from billing.flows import prove
from billing.flows.credit_notes import recomputing as notes
from billing.flows.cycles import digest_repair, recomputing
from billing.ledger.findings import LedgerFinding, Severity
from billing.rules.promises import Finding, FindingKind
from billing.store.journal import checks as ledger_checks
from billing.store.promises import (
    closed_agrees,
    counted,
    credit,
    discounted,
    every_penny,
    held,
    invoiced,
    metered,
    noted,
    nothing_abandoned,
    one_capture,
    one_cycle,
    references,
    taxed,
)
from billing.store.promises.one_capture import LEGAL_COLUMNS
from billing.store.subscriptions import addons, digest, item_changes, plans
from billing.store.tables import customer_tax_facts, vat_checks
from tests.promises.catalogue import BY_HAND, WHOLE_ROW, Mutant

Kinds = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a mutant: who refused it, or else which kinds of findings name it."""

    refused: str | None
    found: Kinds = ()

    @property
    def survives(self) -> bool:
        """Tell whether it stands in the database and the proof says nothing."""
        return self.refused is None and not self.found


@dataclass(frozen=True, slots=True)
class Outcome:
    """A mutant, and what became of it in the owner's hands and in the application's."""

    mutant: Mutant
    owner: Verdict
    app: Verdict


@dataclass(frozen=True, slots=True)
class _Reader:
    """A part of the proof: the SQL it reads, and what it finds."""

    sql: str
    run: Callable[[Connection], Iterator[str]]

    def reads(self, mutant: Mutant) -> bool:
        """Tell whether it might: it names the table, and the column unless all of a row changed."""
        if mutant.several:
            return True
        names = [mutant.table.rpartition(".")[2]]
        names += [] if mutant.column == WHOLE_ROW else [mutant.column]
        return all(re.search(rf"\b{name}\b", self.sql) for name in names)


class Proof:
    """The proof of the promises at an instant, in parts, so that only those are run that matter.

    A part that doesn't name a column can't find what was changed in it.
    """

    def __init__(self, conn: Connection, now: datetime) -> None:
        self._parts = [*_statements(now), *_references(conn)]
        self._computed = list(_computed())

    def all_kinds(self, conn: Connection) -> Kinds:
        """Return which kinds of findings there are, whatever was changed."""
        parts = [*self._parts, *self._computed]
        return tuple(dict.fromkeys(kind for part in parts for kind in part.run(conn)))

    def kinds(self, conn: Connection, mutant: Mutant) -> Kinds:
        """Return which kinds of findings name a mutant: of a generated one the first alone.

        What is computed in Python takes longest and is asked last.
        """
        parts = (part for part in (*self._parts, *self._computed) if part.reads(mutant))
        named = (kind for part in parts for kind in part.run(conn))
        return tuple(dict.fromkeys(named if mutant.sort == BY_HAND else islice(named, 1)))


def _statements(now: datetime) -> Iterator[_Reader]:
    times = {
        **LEGAL_COLUMNS,
        "overdue": now - prove.GRACE,
        "unreconciled": now - prove.RECONCILE_GRACE,
    }
    for check in (
        one_cycle.AGAINST_CHANGES,
        one_cycle.CUT_AGAINST_CHANGE,
        one_cycle.RENEWAL_OVERDUE,
        *one_capture.CAPTURED_ONCE,
        *every_penny.EVERY_PENNY,
        *closed_agrees.CLOSED_AGREES,
        *nothing_abandoned.NOTHING_ABANDONED,
        *nothing_abandoned.OVERDUE,
        invoiced.ITEM_AGAINST_INVOICE,
        *credit.CREDIT_ADDS_UP,
        *credit.OVERDUE,
        *noted.NOTED,
        *counted.COUNTED_ONCE,
        *discounted.DISCOUNTS,
        *metered.METERED,
        *taxed.TAXED,
    ):
        yield _Reader(check.query.select, partial(_kinds, partial(check.run, params=times)))
    for ledger in ledger_checks.CHECKS:
        if ledger.severity is Severity.ERROR:
            yield _Reader(ledger.query.select, partial(_kinds, ledger.run))


def _references(conn: Connection) -> Iterator[_Reader]:
    for key in references.foreign_keys(conn):
        yield _Reader(key.query.select, partial(_kinds, key.run))


_OF_FACTS: Final = (invoiced._INVOICES, invoiced._LOST, invoiced._FREE)
_OF_TAXES: Final = (taxed._DECISIONS, taxed._INVOICES, taxed._RATES)


def _computed() -> Iterator[_Reader]:
    """Yield what is computed again in Python: schedules, invoices, notes and digests."""
    scheduled = (one_cycle._SCHEDULES, one_cycle._SEGMENTS, item_changes._ALL)
    yield _Reader(" ".join(each.text for each in scheduled), partial(_kinds, _schedules))
    sold = (plans.VERSIONS.as_they_hold, addons.VERSIONS.as_they_hold)
    read = (*_OF_FACTS, *sold, item_changes._ALL, held._CHANGED, *_OF_TAXES)
    known = " ".join(str(select(table)) for table in (customer_tax_facts, vat_checks))
    told = " ".join(each.text for each in read)
    yield _Reader(f"{told} {known}", partial(_kinds, _invoices))
    yield _Reader(noted._LINES.text, partial(_kinds, notes.differing))
    digests = (digest._ROWS, digest._ENTRIES, closed_agrees._CLOSED)
    yield _Reader(" ".join(each.text for each in digests), partial(_kinds, _digests))


def _kinds(
    run: Callable[[Connection], Iterable[Finding | LedgerFinding]], conn: Connection
) -> Iterator[str]:
    for each in run(conn):
        yield str(each.kind if isinstance(each, Finding) else each.check)


def _schedules(conn: Connection) -> Iterable[Finding | LedgerFinding]:
    changes = item_changes.of_all(conn)
    return prove._one_cycle_a_period(conn, None, prove.GRACE, changes).findings


def _invoices(conn: Connection) -> Iterable[Finding]:
    return recomputing.differing(conn, item_changes.of_all(conn))


def _digests(conn: Connection) -> Iterator[Finding]:
    for _ in digest_repair.differing(conn):
        yield Finding(FindingKind.DIGEST_DIFFERS)


def _rows(conn: Connection, statement: str) -> int:
    """Execute a statement, and return how many rows it changed."""
    done = conn.execute(text(statement))
    return done.rowcount if statement.lstrip().startswith(("INSERT", "UPDATE", "DELETE")) else 0


def tried(conn: Connection, mutant: Mutant, proof: Proof | None) -> Verdict:
    """Make a mutant in a savepoint, look at it, and take it back; without a proof, only make it."""
    attempt = conn.begin_nested()
    try:
        hit = sum(_rows(conn, each) for each in mutant.statement.split(";"))
        conn.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))
    except DBAPIError as error:
        attempt.rollback()
        return Verdict(refused_by(error))
    assert hit > 0, f"it hit nothing: {mutant.statement}"
    found = proof.kinds(conn, mutant) if proof else ()
    attempt.rollback()
    return Verdict(None, found)


_RAISED: Final = re.compile(r"PL/pgSQL function (?:public\.)?([a-z_.]+)\(")


def refused_by(error: DBAPIError) -> str:
    """Return who refused it: a missing right, a trigger's function, or a constraint."""
    assert isinstance(error.orig, psycopg.Error), error
    said = error.orig.diag
    if isinstance(error.orig, psycopg.errors.InsufficientPrivilege):
        return "no right"
    raised = _RAISED.search(said.context or "")
    if raised:
        return f"trigger {raised.group(1)}"
    if said.constraint_name:
        return f"constraint {said.constraint_name}"
    if isinstance(error.orig, psycopg.errors.NotNullViolation):
        return f"not null {said.column_name}"
    raise error
