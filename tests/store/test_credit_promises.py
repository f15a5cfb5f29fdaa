"""What the database refuses about credit: balances below zero, gaps, edits, and grants of the past.

Every attack is tried as the application's role and as the owner; a refused one changes nothing.
"""

from collections.abc import Iterator
from functools import partial

import pytest
from sqlalchemy import Engine

from billing.embedded.servers import EmbeddedPostgres
from billing.store.engine import APP_ROLE, make_engine
from tests.conftest import Admin
from tests.store import attacks
from tests.store.attacks import run
from tests.store.test_core_promises import CUSTOMER, OPEN_INVOICE, OTHER_CUSTOMER, SCENE

GRANT = "'018f0000-0000-7000-8000-000000000e01'"
USED = "'018f0000-0000-7000-8000-000000000e02'"
NEW = "'018f0000-0000-7000-8000-000000000e03'"


def inserted(table: str, values: dict[str, str]) -> str:
    return f"INSERT INTO {table} ({', '.join(values)}) VALUES ({', '.join(values.values())})"


def grant(grant_id: str = NEW, **columns: str) -> str:
    """Return the statement of a grant over 5.00, which never expires."""
    values = {
        "id": grant_id, "customer_id": CUSTOMER, "currency": "'USD'", "amount": "500",
        "source": "'goodwill'", "effective_at": "'2026-01-02'", "reason": "'an outage'",
        "actor": "'cli'", "created_at": "'2026-01-02'",
    }  # fmt: skip
    return inserted("credit_grants", values | columns)


def move(grant_id: str = GRANT, **columns: str) -> str:
    """Return the statement of the second move of a grant: 2.00 of 5.00 expire."""
    values = {
        "grant_id": grant_id, "n": "1", "customer_id": CUSTOMER, "currency": "'USD'",
        "kind": "'expired'", "amount": "200", "left_before": "500", "left_after": "300",
        "at": "'2026-01-03'", "actor": "'cli'",
    }  # fmt: skip
    return inserted("credit_moves", values | columns)


def first(grant_id: str, **columns: str) -> str:
    begins = {"n": "0", "kind": "'granted'", "amount": "500", "left_before": "0"}
    return move(grant_id, **begins | {"left_after": "500"} | columns)


SCENE_OF_CREDIT = (
    *SCENE.split(";"), grant(GRANT), first(GRANT), grant(USED), first(USED), move(USED),
)  # fmt: skip
ATTACKS = {
    "more than is left": (
        "credit_moves", move(amount="501", left_after="-1"),
    ),
    "a move that leaves something else": ("credit_moves_add_up", move(left_after="400")),
    "a move from what isn't there": (
        "credit_moves_follow", move(left_before="900", left_after="700"),
    ),
    "a move without the one before": ("credit_moves_follow", move(n="2")),
    "a second move of the same amount": ("credit_moves_pkey", move(USED)),
    "a move from an old balance": (
        "credit_moves_follow", move(USED, n="2", left_before="500", left_after="300"),
    ),
    "a grant that is granted again": (
        "credit_moves_begin", move(n="1", kind="'granted'", amount="500", left_after="1000"),
    ),
    "a first move that is larger than the grant": (
        "its first move is its amount", grant(), first(NEW, amount="600", left_after="600"),
    ),
    "credit that pays no invoice": (
        "credit_moves_of_an_invoice", move(kind="'applied'"),
    ),
    "a move for somebody else": (
        "credit_moves_of_grant", move(customer_id=OTHER_CUSTOMER),
    ),
    "a move in another currency": ("credit_moves_of_grant", move(currency="'EUR'")),
    "a grant of nothing": ("credit_grants_amount_check", grant(amount="0")),
    "a grant for the past": (
        "credit_grants_not_in_the_past", grant(effective_at="'2026-01-01'"),
    ),
    "a grant that has expired": (
        "credit_grants_not_in_the_past|credit_grants_expire_later",
        grant(expires_at="'2026-01-01'"),
    ),
    "a grant that ends before it begins": (
        "credit_grants_expire_later",
        grant(effective_at="'2026-03-01'", expires_at="'2026-02-01'"),
    ),
    "credit that is bought by no invoice": (
        "credit_grants_bought_by_invoice|what is bought", grant(source="'bought'"),
    ),
    "credit that is bought and not paid for": (
        "what is bought is what a paid invoice", grant(source="'bought'", invoice_id=OPEN_INVOICE),
    ),
    "credit that goes back with no money": ("credit_moves_of_money", move(kind="'refunded'")),
    "credit that comes back with no money": (
        "credit_moves_of_money", move(kind="'restored'", left_after="700"),
    ),
    "a priority that there isn't": ("credit_grants_priority_check", grant(priority="0")),
}  # fmt: skip
# The application lacks the right; the owner meets the trigger.
EDITS = {
    "a grant made larger": f"UPDATE credit_grants SET amount = 900 WHERE id = {GRANT}",
    "a grant that expires at once": (
        f"UPDATE credit_grants SET expires_at = '2026-01-03' WHERE id = {GRANT}"
    ),
    "a grant deleted": f"DELETE FROM credit_grants WHERE id = {USED}",
    "a move edited": f"UPDATE credit_moves SET amount = 1 WHERE grant_id = {USED}",
    "a move deleted": f"DELETE FROM credit_moves WHERE grant_id = {USED} AND n = 1",
    "all moves deleted": "TRUNCATE credit_moves",
}
ROLES = [pytest.param(APP_ROLE, id="as the application"), pytest.param(None, id="as the owner")]


@pytest.fixture(scope="module")
def url(pg_server: EmbeddedPostgres, admin: Admin, template_db: str) -> Iterator[str]:
    with attacks.database(
        "credit_promises", pg_server, admin, template_db, *SCENE_OF_CREDIT
    ) as found:
        yield found


@pytest.fixture(params=ROLES)
def anybody(request: pytest.FixtureRequest, url: str) -> Iterator[Engine]:
    engine = make_engine(url, role=request.param)
    yield engine
    engine.dispose()


refused = partial(attacks.assert_refused, tables=("credit_grants", "credit_moves"))


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_on_credit_is_refused(anybody: Engine, name: str) -> None:
    says, *statements = ATTACKS[name]

    refused(anybody, says, *statements)


@pytest.mark.parametrize("name", EDITS)
def test_a_grant_and_its_moves_stay_what_they_are(anybody: Engine, name: str) -> None:
    refused(anybody, "permission denied|may change|can't be deleted|append-only", EDITS[name])


def test_the_honest_way_is_open(url: str) -> None:
    engine = make_engine(url, role=APP_ROLE)
    with engine.connect() as conn:
        run(
            conn,
            move(),
            move(n="2", kind="'applied'", left_before="300", left_after="100",
                 invoice_id=OPEN_INVOICE),
            move(n="3", kind="'returned'", left_before="100", left_after="300",
                 invoice_id=OPEN_INVOICE),
            f"UPDATE credit_grants SET expiry_due_at = '2026-02-01' WHERE id = {GRANT}",
        )  # fmt: skip
        conn.rollback()
    engine.dispose()
