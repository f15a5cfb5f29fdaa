"""What the database refuses about credit notes: more than a line, gaps, edits, and two at once.

Every attack is tried as the application's role and as the owner; a refused one changes nothing.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from billing.embedded.servers import EmbeddedPostgres
from billing.store.engine import APP_ROLE, make_engine
from tests.conftest import Admin
from tests.store import attacks
from tests.store.attacks import run
from tests.store.test_core_promises import (
    CAPTURED,
    CUSTOMER,
    OPEN_INVOICE,
    OTHER_CUSTOMER,
    PAID_INVOICE,
    SCENE,
    SUBSCRIPTION,
)
from tests.waiting import PATIENCE

INVOICE = "'018f0000-0000-7000-8000-000000000c10'"
FIRST = "'018f0000-0000-7000-8000-000000000c21'"
NEW = "'018f0000-0000-7000-8000-000000000c22'"
GRANT = "'018f0000-0000-7000-8000-000000000c31'"
NEW_GRANT = "'018f0000-0000-7000-8000-000000000c32'"
OTHER = "'018f0000-0000-7000-8000-000000000c23'"
OTHER_GRANT = "'018f0000-0000-7000-8000-000000000c33'"
REFUND = "'018f0000-0000-7000-8000-000000000c41'"


def inserted(table: str, values: dict[str, str]) -> str:
    return f"INSERT INTO {table} ({', '.join(values)}) VALUES ({', '.join(values.values())})"


def note(note_id: str = NEW, **columns: str) -> str:
    """Return the statement of a note of the rest of line 1, the second of its series."""
    values = {
        "id": note_id,
        "series": "'P'",
        "n": "2",
        "invoice_id": INVOICE,
        "subscription_id": SUBSCRIPTION,
        "customer_id": CUSTOMER,
        "currency": "'USD'",
        "net": "45",
        "tax": "9",
        "discount": "5",
        "recognised": "0",
        "deferred": "45",
        "destination": "'credit'",
        "reason": "'an outage'",
        "actor": "'cli'",
        "created_at": "'2026-02-03'",
    } | columns
    return inserted("credit_notes", values)


def line(note_id: str = NEW, **columns: str) -> str:
    """Return the statement of that note's line: all that is left of line 1."""
    values = {
        "note_id": note_id,
        "invoice_id": INVOICE,
        "line": "1",
        "n": "2",
        "gross": "50",
        "discount": "5",
        "net": "45",
        "tax": "9",
        "all_gross": "100",
        "all_discount": "10",
        "all_net": "90",
        "all_tax": "18",
    } | columns
    return inserted("credit_note_lines", values)


def grant(grant_id: str = NEW_GRANT, **columns: str) -> str:
    values = {
        "id": grant_id,
        "customer_id": CUSTOMER,
        "currency": "'USD'",
        "amount": "54",
        "source": "'credit_note'",
        "effective_at": "'2026-02-03'",
        "reason": "'a note'",
        "invoice_id": INVOICE,
        "actor": "'cli'",
        "created_at": "'2026-02-03'",
        "note_id": NEW,
    } | columns
    return inserted("credit_grants", values)


def refund(**columns: str) -> str:
    values = {
        "id": REFUND,
        "payment_id": CAPTURED,
        "amount": "60",
        "currency": "'USD'",
        "state": "'requested'",
        "recognised": "60",
        "deferred": "0",
        "tax": "0",
        "reason": "'late'",
        "requested_by": "'cli'",
        "next_attempt_at": "'2026-03-01'",
        "dispatch_after": "'1970-01-01'",
        "created_at": "'2026-03-01'",
    } | columns
    return inserted("refunds", values)


def of_paid_invoice(amount: int) -> tuple[str, ...]:
    """Return the statements of a note of the invoice that came to 100 and has a payment."""
    parts = {"net": str(amount), "tax": "0", "discount": "0"}
    return (
        note(invoice_id=PAID_INVOICE, deferred=str(amount), **parts),
        line(
            invoice_id=PAID_INVOICE,
            n="1",
            gross=str(amount),
            all_gross=str(amount),
            all_discount="0",
            all_net=str(amount),
            all_tax="0",
            **parts,
        ),
        grant(amount=str(amount), invoice_id=PAID_INVOICE),
    )


HONEST = (note(), line(), grant())
# An invoice of two lines: 100 less 10, with 18 of tax, and 40 with 8. A half of the first is given
# back.
NOTE_SCENE = (
    inserted(
        "invoices",
        {
            "id": INVOICE,
            "kind": "'one_off'",
            "subscription_id": SUBSCRIPTION,
            "customer_id": CUSTOMER,
            "number": "'P-0009'",
            "currency": "'USD'",
            "net": "130",
            "tax": "26",
            "total": "156",
            "discount": "10",
            "status": "'paid'",
            "issued_at": "'2026-02-01'",
            "resolved_at": "'2026-02-01'",
        },
    ),
    f"""
    INSERT INTO invoice_lines (invoice_id, line, description, quantity, amount, discount, tax)
    VALUES ({INVOICE}, 1, 'P', 1, 90, 10, 18), ({INVOICE}, 2, 'Q', 1, 40, 0, 8)""",
    note(FIRST, n="1"),
    line(FIRST, n="1", all_gross="50", all_discount="5", all_net="45", all_tax="9"),
    grant(GRANT, note_id=FIRST),
)
TABLES = ("credit_notes", "credit_note_lines", "credit_grants", "refunds", "payments", "invoices")

assert_refused = partial(attacks.assert_refused, tables=TABLES)


@pytest.fixture(scope="module")
def scene(pg_server: EmbeddedPostgres, admin: Admin, template_db: str) -> Iterator[str]:
    """A paid invoice of two lines, and a credit note of half of the first."""
    statements = (*SCENE.split(";"), *NOTE_SCENE)
    with attacks.database("credit_notes", pg_server, admin, template_db, *statements) as url:
        yield url


ATTACKS = {
    "more than is left of a line": (
        "come to more than it",
        note(),
        line(gross="51", all_gross="101"),
    ),
    "more than a line's net": (
        "come to more than it",
        note(net="46", deferred="46"),
        line(net="46", all_net="91"),
    ),
    "more than a line's tax": (
        "come to more than it",
        note(tax="10"),
        line(tax="10", all_tax="19"),
    ),
    "more than a line's discount": (
        "come to more than it",
        note(discount="6"),
        line(discount="6", all_discount="11"),
    ),
    "a line as if it were the first": (
        "credit_note_lines_in_order",
        note(),
        line(n="1", all_gross="50", all_discount="5", all_net="45", all_tax="9"),
        grant(),
    ),
    "a first line that doesn't begin with nothing": (
        "begin_empty",
        note(net="40", tax="8", discount="0", deferred="40"),
        line(
            line="2", n="1", gross="40", net="40", tax="8", discount="0",
            all_gross="39", all_net="40", all_tax="8", all_discount="0",
        ),
    ),
    "a line that forgets the one before": (
        "credit_note_lines_follow",
        note(),
        line(all_gross="50"),
        grant(),
    ),
    "a line behind a gap": ("credit_note_lines_follow", note(), line(n="3"), grant()),
    "a line that isn't on the invoice": (
        "credit_note_lines_of_line",
        note(),
        line(line="3", n="1", all_gross="50", all_discount="5", all_net="45", all_tax="9"),
        grant(),
    ),
    "a line of another invoice": (
        "credit_note_lines_of_note",
        note(),
        line(
            invoice_id=PAID_INVOICE, n="1", discount="0", tax="0",
            all_gross="50", all_discount="0", all_net="45", all_tax="0",
        ),
        grant(),
    ),
    "a line of nothing": ("gross_check", note(), line(gross="0", all_gross="50")),
    "a line below zero": ("net_check", note(), line(net="-1", all_net="44")),
    "lines that don't add up": ("add up to it", note(net="44", deferred="44"), line()),
    "tax that doesn't add up": ("add up to it", note(tax="8"), line()),
    "a line that comes later": (
        "add up to it",
        line(FIRST, line="2", n="1", gross="40", discount="0", net="40", tax="8",
             all_gross="40", all_discount="0", all_net="40", all_tax="8"),
    ),
    "a note without lines": ("its lines and what it gives", note(), grant()),
    "a note that gives nothing": ("its lines and what it gives", note(), line()),
    "a note to the card that gives credit": (
        "its lines and what it gives",
        note(destination="'refund'"),
        line(),
        grant(),
    ),
    "a note paid outside that gives credit too": (
        "its lines and what it gives",
        note(destination="'outside'"),
        line(),
        grant(),
    ),
    "a note of nothing": (
        "give_something",
        note(net="0", tax="0", deferred="0"),
    ),
    "parts that don't add up": ("parts_add_up", note(deferred="44")),
    "a destination that isn't one": ("destination_check", note(destination="'cash'")),
    "credit of another amount than the note's": (
        "credit_grants_of_note",
        note(),
        line(),
        grant(amount="55"),
    ),
    "credit of a note for another customer": (
        "credit_grants_of_note",
        note(),
        line(),
        grant(customer_id=OTHER_CUSTOMER),
    ),
    "credit of a note twice": ("credit_grants_note_id_key", grant(note_id=FIRST)),
    "credit from a note that there isn't": ("from_note", grant(note_id="NULL")),
    "goodwill that names a note": ("from_note", grant(source="'goodwill'")),
    "a number twice": ("credit_notes_number|credit_notes_series", note(n="1"), line()),
    "a number behind a gap": ("credit_notes_follow", note(n="3"), line(), grant()),
    "a note of an open invoice": ("is open", note(invoice_id=OPEN_INVOICE)),
    "a note of another customer": (
        "is of its subscription, customer",
        note(customer_id=OTHER_CUSTOMER),
    ),
    "a note in another currency": ("is of its subscription, customer", note(currency="'EUR'")),
    "a note of no subscription": ("is of its subscription", note(subscription_id="NULL")),
    "a note edited": (
        "permission denied|credit_notes is append-only",
        f"UPDATE credit_notes SET reason = 'x' WHERE id = {FIRST}",
    ),
    "a note deleted": (
        "permission denied|credit_notes is append-only",
        f"DELETE FROM credit_notes WHERE id = {FIRST}",
    ),
    "a line edited": (
        "permission denied|credit_note_lines is append-only",
        "UPDATE credit_note_lines SET gross = 49, all_gross = 49",
    ),
    "a line deleted": (
        "permission denied|credit_note_lines is append-only",
        "DELETE FROM credit_note_lines",
    ),
    "all notes gone": (
        "permission denied|credit_notes is append-only",
        "TRUNCATE credit_notes CASCADE",
    ),
    "a refund for a note that takes its parts again": (
        "refunds_parts_add_up",
        refund(note_id=FIRST, amount="54", recognised="54"),
    ),
    "a refund for a note of another amount": (
        "refunds_of_note",
        f"UPDATE payments SET amount_refunded = 60 WHERE id = {CAPTURED}",
        refund(note_id=FIRST, recognised="0"),
    ),
    "more than the invoice, by a note after a refund": (
        "101 is given back, and it came to 100",
        f"UPDATE payments SET amount_refunded = 60 WHERE id = {CAPTURED}",
        refund(),
        *of_paid_invoice(41),
    ),
    "more than the invoice, by a refund after a note": (
        "101 is given back, and it came to 100",
        *of_paid_invoice(41),
        f"UPDATE payments SET amount_refunded = 60 WHERE id = {CAPTURED}",
        refund(),
    ),
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_an_attack_is_refused(attacker: Engine, attack: tuple[str, ...]) -> None:
    says, *statements = attack
    assert_refused(attacker, says, *statements)


@pytest.mark.parametrize(
    "statements",
    [
        HONEST,
        of_paid_invoice(40),
        (
            *of_paid_invoice(40),
            f"UPDATE payments SET amount_refunded = 60 WHERE id = {CAPTURED}",
            refund(),
        ),
    ],
)
def test_the_honest_way_is_open(app: Engine, statements: tuple[str, ...]) -> None:
    with app.connect() as conn:
        run(conn, *statements, "SET CONSTRAINTS ALL IMMEDIATE")
        conn.rollback()


@pytest.fixture
def race(pg_server: EmbeddedPostgres, admin: Admin, template_db: str) -> Iterator[Engine]:
    """The same scene for one test alone, as the application has it."""
    statements = (*SCENE.split(";"), *NOTE_SCENE)
    with attacks.database("credit_notes_race", pg_server, admin, template_db, *statements) as url:
        engine = make_engine(url, role=APP_ROLE)
        yield engine
        engine.dispose()


@pytest.mark.parametrize("isolation", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
def test_two_at_once_can_not_both_give_back_what_is_left(race: Engine, isolation: str) -> None:
    """The second has begun before the first is committed, and is refused for it."""
    series = "'Q'"
    with (
        race.connect().execution_options(isolation_level=isolation) as first,
        race.connect().execution_options(isolation_level=isolation) as second,
        ThreadPoolExecutor(1) as pool,
    ):
        run(second, note(OTHER, series=series, n="1"))
        run(first, *HONEST)
        waiting = pool.submit(run, second, line(OTHER), grant(OTHER_GRANT, note_id=OTHER))
        first.commit()
        with pytest.raises(DBAPIError, match=r"credit_note_lines_in_order|could not serialize"):
            waiting.result(PATIENCE)
    with race.connect() as conn:
        given = conn.exec_driver_sql("SELECT sum(gross) FROM credit_note_lines WHERE line = 1")
        assert given.scalar_one() == 100


@pytest.mark.parametrize("isolation", ["READ COMMITTED", "REPEATABLE READ"])
def test_what_was_taken_back_before_its_commit_is_left_for_another(
    race: Engine, isolation: str
) -> None:
    with (
        race.connect().execution_options(isolation_level=isolation) as first,
        race.connect().execution_options(isolation_level=isolation) as second,
        ThreadPoolExecutor(1) as pool,
    ):
        run(second, note(OTHER, series="'Q'", n="1"))
        run(first, *HONEST)
        waiting = pool.submit(run, second, line(OTHER), grant(OTHER_GRANT, note_id=OTHER))
        first.rollback()
        waiting.result(PATIENCE)
        second.commit()
