"""Every row of money says whose it is, and the tables that grow say when a row was written."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from billing.embedded.servers import EmbeddedPostgres
from tests.conftest import Admin
from tests.store import attacks
from tests.store.test_core_promises import CUSTOMER, SCENE
from tests.store.test_money_promises import DISPUTE, MONEY_SCENE, PENDING

UNKNOWN = "'018f0000-0000-7000-8000-0000000000f9'"
MORE = f"""
INSERT INTO disputes (id, provider, provider_dispute_id, provider_charge_id, amount, currency,
                      reason, stage, state, opened_at, updated_at)
VALUES ({UNKNOWN}, 'stripe', 'dp_9', 'ch_9', 60, 'USD', 'fraudulent', 'needs_response', 'opened',
        '2026-02-01', '2026-02-01');
INSERT INTO provider_events (provider, event_id, type, kind, object_id, created, received_at,
                             source, payload, next_try_at)
VALUES ('stripe', 'evt_1', 'x', 'other', 'ch_1', '2026-02-01', '2026-02-01', 'webhook', '{{}}',
        '2026-02-01')
"""


@pytest.fixture(scope="module")
def scene(pg_server: EmbeddedPostgres, admin: Admin, template_db: str) -> Iterator[str]:
    """The scene of the money promises, a dispute of a payment nobody knows, and an event."""
    statements = (*SCENE.split(";"), *MONEY_SCENE.split(";"), *MORE.split(";"))
    with attacks.database("whose_and_when", pg_server, admin, template_db, *statements) as url:
        yield url


@pytest.mark.parametrize(
    ("table", "only"),
    [
        ("cycles", "true"),
        ("attempts", "true"),
        ("refunds", f"id = {PENDING}"),
        ("disputes", f"id = {DISPUTE}"),
    ],
)
def test_a_row_takes_the_customer_of_what_it_belongs_to(app: Engine, table: str, only: str) -> None:
    with app.connect() as conn:
        rows = conn.exec_driver_sql(f"SELECT DISTINCT customer_id FROM {table} WHERE {only}").all()

    assert [f"'{row.customer_id}'" for row in rows] == [CUSTOMER]


def test_a_dispute_of_an_unknown_payment_is_nobodys_until_the_payment_is_known(
    app: Engine,
) -> None:
    with app.connect() as conn:
        before = conn.exec_driver_sql(
            f"SELECT customer_id FROM disputes WHERE id = {UNKNOWN}"
        ).scalar()
        conn.exec_driver_sql(f"UPDATE disputes SET customer_id = {CUSTOMER} WHERE id = {UNKNOWN}")
        after = conn.exec_driver_sql(
            f"SELECT customer_id FROM disputes WHERE id = {UNKNOWN}"
        ).scalar()

    assert before is None
    assert f"'{after}'" == CUSTOMER


@pytest.mark.parametrize("table", ["payment_transitions", "provider_events"])
def test_a_row_says_in_which_month_the_database_wrote_it(app: Engine, table: str) -> None:
    with app.connect() as conn:
        agree = conn.exec_driver_sql(
            f"SELECT bool_and(month = date_trunc('month', now() AT TIME ZONE 'UTC')) FROM {table}"
        ).scalar()

    assert agree is True


def test_the_month_of_an_event_never_changes(attacker: Engine) -> None:
    attacks.assert_refused(
        attacker,
        "the month in which a row was written can't change|permission denied",
        "UPDATE provider_events SET month = '2020-01-01'",
        tables=["provider_events"],
    )
