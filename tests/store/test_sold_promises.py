"""Published add-ons and coupons attacked with plain SQL, as the application and as their owner."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from billing.embedded.servers import EmbeddedPostgres
from billing.store.engine import APP_ROLE, make_engine
from tests.conftest import Admin
from tests.store import attacks
from tests.store.attacks import run
from tests.store.test_core_promises import CUSTOMER, DIGEST, OTHER_CUSTOMER, SUBSCRIPTION, an_id
from tests.store.test_core_promises import SCENE as CORE
from tests.waiting import until

OTHER_DIGEST = "repeat('1', 64)"
SCENE = f"""{CORE};
INSERT INTO addons (code, name, fits, applied_at) VALUES ('sso', 'SSO', '{{p}}', '2026-01-01');
INSERT INTO addon_versions (addon, effective, terms, digest, published_at)
VALUES ('sso', '2026-01-01', '{{}}', {DIGEST}, '2026-01-01'),
       ('sso', '2026-02-01', '{{}}', {DIGEST}, '2026-01-01'),
       ('sso', '2027-01-01', '{{}}', {DIGEST}, '2026-01-01');
INSERT INTO addon_corrections (addon, effective, n, corrected_at)
VALUES ('sso', '2027-01-01', 1, '2026-01-02');
INSERT INTO subscription_items (subscription_id, item, quantity, addon, addon_version)
VALUES ({SUBSCRIPTION}, 'sso', 1, 'sso', '2026-02-01');
INSERT INTO coupons (code, terms, digest, redemptions_max, published_at, applied_at)
VALUES ('spring', '{{"for": "once"}}', {DIGEST}, 2, '2026-01-01', '2026-01-01'),
       ('free', '{{"for": "once"}}', {DIGEST}, NULL, '2026-01-01', '2026-01-01');
INSERT INTO redemptions (id, coupon, digest, customer_id, subscription_id, at, actor)
VALUES ({an_id("e1")}, 'spring', {DIGEST}, {CUSTOMER}, {SUBSCRIPTION}, '2026-01-02', 'cli:ann')
"""
TABLES = ("addons", "addon_versions", "addon_corrections", "coupons", "redemptions")

assert_refused = partial(attacks.assert_refused, tables=TABLES)


def redemption(number: str, **other: str) -> str:
    values = {
        "id": an_id(number), "coupon": "'spring'", "digest": DIGEST, "customer_id": OTHER_CUSTOMER,
        "subscription_id": "NULL", "at": "'2026-01-03'", "actor": "'x'",
    } | other  # fmt: skip
    return f"INSERT INTO redemptions ({', '.join(values)}) VALUES ({', '.join(values.values())})"


REFUSED = {
    "an add-on with the code of a single price": (
        "addons_check|addons_code_check",
        "INSERT INTO addons (code, name, fits, applied_at) VALUES ('base', 'B', '{p}', now())",
    ),
    "an add-on that fits no plan": (
        "addons_fits_check",
        "INSERT INTO addons (code, name, fits, applied_at) VALUES ('x', 'X', '{}', now())",
    ),
    "a version of no add-on": (
        "addon_versions_addon_fkey",
        "INSERT INTO addon_versions (addon, effective, terms, digest, published_at)"
        f" VALUES ('none', '2026-01-01', '{{}}', {DIGEST}, now())",
    ),
    "a version published twice": (
        "addon_versions_pkey",
        "INSERT INTO addon_versions (addon, effective, terms, digest, published_at)"
        f" VALUES ('sso', '2026-01-01', '{{}}', {DIGEST}, now())",
    ),
    "a correction without its digest": (
        "addon_corrections_with_digest",
        "INSERT INTO addon_corrections (addon, effective, n, terms, corrected_at)"
        " VALUES ('sso', '2027-01-01', 2, '{}', now())",
    ),
    "a version that a subscription has corrected": (
        "in use and can't be corrected",
        "INSERT INTO addon_corrections (addon, effective, n, corrected_at)"
        " VALUES ('sso', '2026-02-01', 1, now())",
    ),
    "a version that a subscription may have had corrected": (
        "in use and can't be corrected",
        "INSERT INTO addon_corrections (addon, effective, n, corrected_at)"
        " VALUES ('sso', '2026-01-01', 1, now())",
    ),
    "an item of a version that was never published": (
        "subscription_items_addon_version",
        "UPDATE subscription_items SET addon_version = '2026-03-01' WHERE addon = 'sso'",
    ),
    "another plan's way to change": (
        "plans_change_credit",
        "UPDATE plans SET change_credit = 'cash'",
    ),
    "what was redeemed with other terms": (
        "redemptions_of_terms",
        f"UPDATE coupons SET terms = '{{}}', digest = {OTHER_DIGEST} WHERE code = 'spring'",
    ),
    "terms of a coupon with the digest of others": (
        "its digest is that of its terms",
        "UPDATE coupons SET terms = '{}' WHERE code = 'free'",
    ),
    "a digest without its terms": (
        "its digest is that of its terms",
        f"UPDATE coupons SET digest = {OTHER_DIGEST} WHERE code = 'free'",
    ),
    "a coupon for no redemption": (
        "coupons_redemptions_max_check",
        "UPDATE coupons SET redemptions_max = 0",
    ),
    "a redemption of no coupon": ("redemptions_of_terms", redemption("e2", coupon="'none'")),
    "a redemption of other terms": (
        "redemptions_of_terms", redemption("e2", digest=OTHER_DIGEST),
    ),
    "a redemption twice for a subscription": (
        "redemptions_once",
        redemption("e2", customer_id=CUSTOMER, subscription_id=SUBSCRIPTION),
    ),
    "a redemption twice for a customer": (
        "redemptions_once",
        redemption("e2", coupon="'free'"),
        redemption("e3", coupon="'free'"),
    ),
    "a redemption for somebody else's subscription": (
        "redemptions_of_customer", redemption("e2", subscription_id=SUBSCRIPTION),
    ),
    "a redemption above the limit": (
        "was redeemed 2 times, which is all",
        redemption("e2"),
        redemption("e3", customer_id=CUSTOMER),
    ),
}  # fmt: skip

DESTRUCTION = {
    **{
        f"{table} truncated": (
            f"permission denied|{table} is append-only: TRUNCATE refused",
            f"TRUNCATE {table} CASCADE",
        )
        for table in TABLES
    },
    **{
        f"{table} edited": (
            f"permission denied|{table} is append-only: UPDATE refused",
            f"UPDATE {table} SET {column} = {value}",
        )
        for table, column, value in (
            ("addon_versions", "published_at", "now()"),
            ("addon_corrections", "corrected_at", "now()"),
            ("redemptions", "actor", "'y'"),
        )
    },
    **{
        f"{table} deleted": (
            f"permission denied|{table} is append-only: DELETE refused",
            f"DELETE FROM {table}",
        )
        for table in ("addon_versions", "addon_corrections", "redemptions", "coupons")
    },
    "another instant of publication": (
        "permission denied|coupon free stays what was published",
        "UPDATE coupons SET published_at = now() WHERE code = 'free'",
    ),
    "another code of a coupon": (
        "permission denied|coupon free stays what was published",
        "UPDATE coupons SET code = 'freer' WHERE code = 'free'",
    ),
}


@pytest.fixture(scope="module")
def scene(pg_server: EmbeddedPostgres, admin: Admin, template_db: str) -> Iterator[str]:
    statements = (*SCENE.split(";"),)
    with attacks.database("sold_promises", pg_server, admin, template_db, *statements) as url:
        yield url


@pytest.fixture(scope="module", params=["application", "owner"])
def database(scene: str, request: pytest.FixtureRequest) -> Iterator[Engine]:
    engine = make_engine(scene, role=None if request.param == "owner" else APP_ROLE)
    yield engine
    engine.dispose()


@pytest.mark.parametrize("attack", [*REFUSED, *DESTRUCTION])
def test_the_database_refuses(database: Engine, attack: str) -> None:
    says, *statements = {**REFUSED, **DESTRUCTION}[attack]

    assert_refused(database, says, *statements)


ALLOWED = {
    "a coupon that nobody redeemed is corrected": (
        f"UPDATE coupons SET terms = '{{}}', digest = {OTHER_DIGEST} WHERE code = 'free'",
    ),
    "a coupon that was redeemed ends earlier": (
        "UPDATE coupons SET redeemable_until = '2026-02-01', redemptions_max = 1",
    ),
    "a coupon without a limit is redeemed for many": (
        redemption("e2", coupon="'free'"),
        redemption("e3", coupon="'free'", customer_id=CUSTOMER),
        redemption("e4", coupon="'free'", customer_id=CUSTOMER, subscription_id=SUBSCRIPTION),
    ),
    "a version that nobody has is corrected again": (
        "INSERT INTO addon_corrections (addon, effective, n, terms, digest, corrected_at)"
        f" VALUES ('sso', '2027-01-01', 2, '{{}}', {DIGEST}, now())",
    ),
}


@pytest.mark.parametrize("allowed", ALLOWED)
def test_the_database_allows(database: Engine, allowed: str) -> None:
    with database.connect() as conn:
        run(conn, *ALLOWED[allowed])
        conn.rollback()


def test_of_two_last_redemptions_at_once_one_is_refused(scene: str) -> None:
    """The second one waits for the first, and counts it."""
    engine = make_engine(scene, pool_size=3)
    with ThreadPoolExecutor(1) as pool, engine.connect() as first:
        run(first, redemption("f1"))
        second = pool.submit(_redeemed, engine)
        until(lambda: _somebody_waits(engine) or second.done())
        first.commit()
        refused = second.result()
    engine.dispose()

    assert "was redeemed 2 times" in refused


def _somebody_waits(engine: Engine) -> bool:
    waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND locktype = 'transactionid')"
    with engine.connect() as conn:
        return bool(conn.execute(text(waits)).scalar())


def _redeemed(engine: Engine) -> str:
    try:
        with engine.begin() as conn:
            run(conn, redemption("f2", customer_id=CUSTOMER))
    except DBAPIError as error:
        return str(error.orig)
    return ""
