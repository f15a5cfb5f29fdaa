"""The proof sees what the guards of credit notes would refuse: they are off and rows are spoilt."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, Engine, text

from billing.flows.prove import examine
from billing.presenters.findings import in_words
from billing.rules.credit_notes import Destination
from billing.rules.promises import Finding
from billing.store.engine import make_engine
from tests.scenarios.money import paid
from tests.scenarios.test_credit_notes import noted, part
from tests.scenarios.world import World

TABLES = ("credit_notes", "credit_note_lines", "credit_grants", "refunds", "invoices", "payments",
          "ledger.entries", "ledger.postings")  # fmt: skip
TO = "(SELECT id FROM credit_notes WHERE destination = '{}')"
CREDIT, REFUND, OUTSIDE = (TO.format(each) for each in ("credit", "refund", "outside"))
ENTRY = f"SELECT id FROM ledger.entries WHERE source_key = 'credit_note:' || {CREDIT}"


@pytest.fixture
def told(world: World, db_url: str) -> Iterator[tuple[World, Engine]]:
    """A note of each destination, of one invoice."""
    ada = paid(world)
    for amount, to in ((1000, Destination.CREDIT), (300, Destination.REFUND)):
        noted(world, ada, part(amount), to)
    noted(world, ada, part(200), Destination.OUTSIDE)
    world.settle()
    owner = make_engine(db_url, role=None)
    yield world, owner
    owner.dispose()


def kinds(conn: Connection, world: World) -> set[str]:
    results = examine(conn, world.now)
    found = [each for result in results for each in result.findings]
    assert all(in_words(each) for each in found)
    return {str(each.kind) for each in found if isinstance(each, Finding)}


ATTACKS = {
    "a note of another customer": (
        "note_of_invoice",
        f"UPDATE credit_notes SET customer_id = gen_random_uuid() WHERE id = {OUTSIDE}",
    ),
    "a note of another series": (
        "note_of_invoice",
        f"UPDATE credit_notes SET series = 'X', n = 1 WHERE id = {OUTSIDE}",
    ),
    "a note with another net": (
        "note_lines",
        f"UPDATE credit_notes SET net = net + 1, deferred = deferred + 1 WHERE id = {OUTSIDE}",
    ),
    "a note without lines": (
        "note_lines",
        f"DELETE FROM credit_note_lines WHERE note_id = {OUTSIDE}",
    ),
    "a line that gives back more than was charged": (
        "notes_within_line",
        f"UPDATE credit_note_lines SET gross = 9000, all_gross = 9000 WHERE note_id = {CREDIT}",
    ),
    "a sum that isn't one": (
        "notes_within_line",
        f"UPDATE credit_note_lines SET all_net = all_net + 1 WHERE note_id = {OUTSIDE}",
    ),
    "a discount that the invoice doesn't have": (
        "note_against_facts",
        f"UPDATE credit_note_lines SET discount = 1, all_discount = 1 WHERE note_id = {OUTSIDE}",
    ),
    "more given back than the invoice came to": (
        "given_back_above",
        "UPDATE invoices SET total = 1400",
    ),
    "more money given back than was captured": (
        "given_back_above",
        "UPDATE payments SET amount_captured = 499",
    ),
    "a refund that gives back less": (
        "note_given",
        f"UPDATE refunds SET amount = 299 WHERE note_id = {REFUND}",
    ),
    "a grant that is gone": ("note_given", f"DELETE FROM credit_grants WHERE note_id = {CREDIT}"),
    "another destination": (
        "note_given",
        f"UPDATE credit_notes SET destination = 'outside' WHERE id = {CREDIT}",
    ),
    "parts that moved": (
        "note_entry",
        f"UPDATE credit_notes SET recognised = 1, deferred = deferred - 1 WHERE id = {CREDIT}",
    ),
    "another instant": (
        "note_entry",
        "UPDATE credit_notes SET created_at = created_at + interval '1 second'"
        f" WHERE id = {CREDIT}",
    ),
    "an entry that is gone": (
        "note_entry",
        f"DELETE FROM ledger.postings WHERE entry_id = ({ENTRY});"
        f" DELETE FROM ledger.entries WHERE id = ({ENTRY})",
    ),
}


def test_nothing_is_found_that_was_not_spoilt(told: tuple[World, Engine]) -> None:
    world, owner = told
    with owner.connect() as conn:
        assert kinds(conn, world) == set()
    world.assert_everything_adds_up()


def test_each_attack_is_found_by_its_kind(told: tuple[World, Engine]) -> None:
    world, owner = told
    for name, (kind, attack) in ATTACKS.items():
        with owner.connect() as conn, conn.begin() as attempt:
            conn.execute(text("SET LOCAL session_replication_role = replica"))
            for table in TABLES:
                conn.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER ALL"))
            for constraint in ("refunds_of_note", "credit_notes_follow"):
                table = "refunds" if constraint == "refunds_of_note" else "credit_notes"
                conn.execute(text(f"ALTER TABLE {table} DROP CONSTRAINT {constraint}"))
            for dropped in ("invoices_total_is_net_and_tax", "invoices_credit_within_total"):
                conn.execute(text(f"ALTER TABLE invoices DROP CONSTRAINT {dropped}"))
            for statement in attack.split(";"):
                assert conn.execute(text(statement)).rowcount > 0, name
            assert kind in kinds(conn, world), name
            attempt.rollback()
