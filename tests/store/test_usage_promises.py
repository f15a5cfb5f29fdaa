"""Usage attacked with plain SQL, as application and as owner."""

from collections.abc import Iterator
from functools import partial

import pytest
from sqlalchemy import Engine

from billing.embedded.servers import EmbeddedPostgres
from billing.store.engine import APP_ROLE, make_engine
from tests.conftest import Admin
from tests.store import attacks
from tests.store.attacks import run
from tests.store.test_core_promises import SCENE as CORE
from tests.store.test_core_promises import SUBSCRIPTION, an_id

EVENT, OTHER_EVENT, SEALED_EVENT = an_id("e1"), an_id("e2"), an_id("e3")
OF = f"{SUBSCRIPTION}, 'searches', 1, 0"
SCENE = f"""{CORE};
INSERT INTO usage_ids (id, received_on, at, payload)
VALUES ({EVENT}, '2026-02-03', '2026-02-03', 7);
INSERT INTO usage_events (id, at, meter, subscription_id, n, segment, value, received_at, payload)
VALUES ({EVENT}, '2026-02-03', 'searches', {SUBSCRIPTION}, 1, 0, 5, '2026-02-03', 7),
       ({SEALED_EVENT}, '2026-01-02', 'searches', {SUBSCRIPTION}, 1, 0, 5, '2026-01-02', 7);
INSERT INTO usage_totals (subscription_id, meter, n, segment, events, id_sum, sum, max, last_at,
                          last_id, last, keys)
VALUES ({OF}, 2, 40, 10, 5, '2026-02-03', {EVENT}, 5, 1);
INSERT INTO usage_keys (subscription_id, meter, n, segment, key) VALUES ({OF}, {an_id("f1")});
INSERT INTO usage_counts VALUES ('2026-02-03', 'accepted', 0, 2);
INSERT INTO usage_days VALUES ('2026-01-02', 1, 1, 20, '2026-02-08', 'cli:ann');
INSERT INTO usage_sealed (subscription_id, meter, n, segment, events, id_sum)
VALUES ({OF}, 1, 20);
INSERT INTO usage_closings (subscription_id, meter, n, segment, revision, quantity, events, id_sum,
                            at)
VALUES ({OF}, 1, 10, 2, 40, '2026-03-01')
"""
TABLES = (
    "usage_ids", "usage_events", "usage_totals", "usage_keys", "usage_counts",
    "usage_days", "usage_sealed", "usage_closings",
)  # fmt: skip
NO_RIGHT = "permission denied|append-only"

assert_refused = partial(attacks.assert_refused, tables=TABLES)


def event(**other: str) -> str:
    values = {
        "id": OTHER_EVENT, "at": "'2026-02-04'", "meter": "'searches'",
        "subscription_id": SUBSCRIPTION, "n": "1", "segment": "0", "value": "1",
        "received_at": "'2026-02-04'", "payload": "7",
    } | other  # fmt: skip
    return f"INSERT INTO usage_events ({', '.join(values)}) VALUES ({', '.join(values.values())})"


def closing(revision: int, **other: str) -> str:
    values = {
        "subscription_id": SUBSCRIPTION, "meter": "'searches'", "n": "1", "segment": "0",
        "quantity": "1", "events": "1", "id_sum": "1", "at": "'2026-03-02'",
    } | other  # fmt: skip
    return (
        f"INSERT INTO usage_closings (revision, {', '.join(values)})"
        f" VALUES ({revision}, {', '.join(values.values())})"
    )


def total(change: str) -> str:
    return f"UPDATE usage_totals SET {change}"


REFUSED = {
    "an event twice": ("usage_events\\w*_pkey", event(id=EVENT, at="'2026-02-03'")),
    "an id twice on a day": (
        "usage_ids\\w*_pkey",
        f"INSERT INTO usage_ids VALUES ('2026-02-03', 1, '2026-02-03', {EVENT})",
    ),
    "a value that is none": ("usage_events_value_check", event(value="'NaN'")),
    "a value without end": ("usage_events_value_check", event(value="'Infinity'")),
    "a value too large": ("usage_events_value_check", event(value="-1e18")),
    "a value too fine": ("usage_events_value_check", event(value="1e-13")),
    "a period before the first": ("usage_events_n_check", event(n="-1")),
    "an event of a sealed day": ("its day is sealed", event(at="'2026-01-02 23:59:59Z'")),
    "an event before a sealed day": ("its day is sealed", event(at="'2025-12-01'")),
    "an event changed": (NO_RIGHT, "UPDATE usage_events SET value = 9"),
    "an event deleted": (
        "permission denied|its day isn't sealed",
        f"DELETE FROM usage_events WHERE id = {EVENT}",
    ),
    "all events deleted": (NO_RIGHT, "TRUNCATE usage_events"),
    "an id changed": (NO_RIGHT, "UPDATE usage_ids SET at = '2026-02-05'"),
    "a total that loses events": ("events are only added", total("events = 1")),
    "a total that changes without an event": ("events are only added", total("sum = 99")),
    "a highest value that falls": ("events are only added", total("events = 3, max = 4")),
    "a last value that is older": (
        "events are only added",
        total("events = 3, last_at = '2026-02-02'"),
    ),
    "a sum that is forgotten": ("events are only added", total("events = 3, sum = NULL")),
    "keys that are forgotten": ("events are only added", total("events = 3, keys = 0")),
    "a total of another period": (
        "permission denied|events are only added",
        total("events = 3, n = 2"),
    ),
    "a fingerprint out of range": (
        "usage_totals_id_sum_check",
        total("events = 3, id_sum = 2::numeric ^ 128"),
    ),
    "a last value without its instant": (
        "usage_totals_last_has_an_instant",
        total("events = 3, last_at = NULL"),
    ),
    "a total deleted": ("permission denied|events are only added", "DELETE FROM usage_totals"),
    "a total of no subscription": (
        "usage_totals_subscription_id_fkey",
        "INSERT INTO usage_totals (subscription_id, meter, n, segment, events, id_sum)"
        f" VALUES ({an_id('99')}, 'searches', 1, 0, 1, 1)",
    ),
    "a key taken back": (NO_RIGHT, "DELETE FROM usage_keys"),
    "fewer events received": ("only added to", "UPDATE usage_counts SET events = 1"),
    "an outcome that there isn't": (
        "usage_counts_outcome_check",
        "INSERT INTO usage_counts VALUES ('2026-02-03', 'lost', 0, 1)",
    ),
    "a sealed day changed": (NO_RIGHT, "UPDATE usage_days SET events = 0"),
    "a sealed total deleted": ("permission denied|only added to", "DELETE FROM usage_sealed"),
    "a sealed total that shrinks": (
        "permission denied|only added to",
        "UPDATE usage_sealed SET events = 1",
    ),
    "a second closing of a revision": ("usage_closings_pkey", closing(1)),
    "a closing behind a gap": ("usage_closings_follow_without_gap", closing(3)),
    "a closing before the first": ("usage_closings_revision_check", closing(0)),
    "a closing on an invoice that isn't there": (
        "usage_closings_invoice_id_fkey",
        closing(2, invoice_id=an_id("99")),
    ),
    "a closing changed": (NO_RIGHT, "UPDATE usage_closings SET quantity = 9"),
    "a closing taken back": (NO_RIGHT, "DELETE FROM usage_closings"),
    "a year of days at once": (
        "make 1 to 62 days at once",
        "SELECT make_usage_days('2026-01-01', '2027-01-01')",
    ),
}


@pytest.fixture(scope="module")
def scene(pg_server: EmbeddedPostgres, admin: Admin, template_db: str) -> Iterator[str]:
    """The scene of the core promises, with a meter, events and what they came to."""
    statements = (*SCENE.split(";"),)
    with attacks.database("usage_promises", pg_server, admin, template_db, *statements) as url:
        yield url


@pytest.fixture(params=[APP_ROLE, None], ids=["application", "owner"])
def attacker(scene: str, request: pytest.FixtureRequest) -> Iterator[Engine]:
    engine = make_engine(scene, role=request.param)
    yield engine
    engine.dispose()


@pytest.mark.parametrize("name", REFUSED)
def test_what_counts_usage_otherwise_is_refused(attacker: Engine, name: str) -> None:
    says, *statements = REFUSED[name]
    assert_refused(attacker, says, *statements)


def test_the_application_seals_no_day(scene: str) -> None:
    app = make_engine(scene, role=APP_ROLE)
    assert_refused(
        app,
        "permission denied",
        "INSERT INTO usage_days VALUES ('2026-02-03', 1, 1, 1, '2026-02-08', 'x')",
    )
    app.dispose()


def test_a_sealed_day_is_emptied_by_the_owner_alone(scene: str) -> None:
    statement = f"DELETE FROM usage_events WHERE id = {SEALED_EVENT}"
    app = make_engine(scene, role=APP_ROLE)
    assert_refused(app, "permission denied", statement)
    app.dispose()
    owner = make_engine(scene, role=None)
    with owner.connect() as conn:
        run(conn, statement)
        conn.rollback()
    owner.dispose()


def test_days_are_made_once_and_their_tables_are_guarded_as_all(attacker: Engine) -> None:
    with attacker.connect() as conn:
        made = "SELECT make_usage_days('2026-02-04', '2026-02-06')"
        assert conn.exec_driver_sql(made).scalar() == 6, "events and ids of three days"
        assert conn.exec_driver_sql(made).scalar() == 0
        run(conn, event())
        lies = "SELECT tableoid::regclass::text FROM usage_events WHERE id = "
        assert conn.exec_driver_sql(lies + OTHER_EVENT).scalar() == "usage_events_20260204"
        silenced = conn.exec_driver_sql(
            "SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal AND tgenabled <> 'A'"
        )
        assert silenced.scalar() == 0
        conn.rollback()


def test_no_table_is_made_for_a_day_that_is_sealed_or_that_has_events_elsewhere(
    attacker: Engine,
) -> None:
    with attacker.connect() as conn:
        run(conn, "SELECT make_usage_days('2026-01-01', '2026-02-03')")
        days = conn.exec_driver_sql(
            "SELECT min(c.relname), max(c.relname) FROM pg_inherits i"
            " JOIN pg_class c ON c.oid = i.inhrelid WHERE c.relname ~ '^usage_events_\\d+$'"
        ).one()
        conn.rollback()
    assert tuple(days) == ("usage_events_20260103", "usage_events_20260202")
