"""The proof sees what the constraints would refuse: each guard is taken off and the rows spoilt."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from psycopg import sql
from sqlalchemy import Connection, Engine, event, text

from billing.embedded.servers import EmbeddedPostgres
from billing.flows.prove import PromiseResult, examine, prove
from billing.presenters.findings import in_words
from billing.sandbox import SandboxServer
from billing.store.engine import make_engine
from tests.conftest import Admin
from tests.scenarios.world import World

TABLES = (
    "cycles",
    "invoices",
    "invoice_lines",
    "payments",
    "payment_transitions",
    "attempts",
    "provider_calls",
    "ledger.entries",
    "ledger.postings",
)
# The rows that the attacks below are about, by who they belong to: see `story`.
ONE_TRY = "payments WHERE captured_at IS NOT NULL AND attempt_n = 1 AND currency = 'USD'"
PAID = f"(SELECT id FROM {ONE_TRY} ORDER BY id LIMIT 1)"
OTHER = f"(SELECT id FROM {ONE_TRY} ORDER BY id LIMIT 1 OFFSET 1)"
FAILED = "(SELECT id FROM payments WHERE state = 'FAILED' ORDER BY id LIMIT 1)"
DUNNING = "(SELECT id FROM payments WHERE state = 'CREATED' ORDER BY id LIMIT 1)"
CLOSED = "(SELECT id FROM cycles WHERE state = 'closed' AND kind = 'regular' ORDER BY id LIMIT 1)"
CAPTURE = f"FROM ledger.entries WHERE source_key LIKE 'payment_captured%' || {PAID} || '%'"
INVOICE = f"(SELECT invoice_id FROM payments WHERE id = {PAID})"


@dataclass(frozen=True)
class Told:
    """A database after a story, and the owner's connection to spoil it with."""

    world: World
    owner: Engine


@pytest.fixture(scope="module")
def told(
    pg_server: EmbeddedPostgres,
    admin: Admin,
    template_db: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Told]:
    """Three months of all sorts of subscriptions, with closed and open books."""
    name = sql.Identifier("proof")
    copy = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")
    admin.execute(copy.format(name, sql.Identifier(template_db)))
    url = pg_server.url("proof")
    folder: Path = tmp_path_factory.mktemp("proof")
    with SandboxServer(folder / "sandbox") as sandbox:
        world = World(url, sandbox.url, folder / "catalog")
        story(world)
        owner = make_engine(url, role=None)
        yield Told(world, owner)
        owner.dispose()
        world.close()
    admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


def story(world: World) -> None:
    for card in ("pm_card_visa", "pm_sbx_decline_1_then_ok"):
        world.subscribed("video-premium", card=card)
    world.subscribed("video-basic")
    world.subscribed("office-team", card="pm_sbx_ok_1_then_stolen_card")
    world.subscribed("video-premium", currency="JPY")
    world.run_until("2026-03-10")
    world.close_books()
    world.subscribed("video-premium", card="pm_sbx_insufficient_funds")
    world.run_until("2026-03-11")
    world.close_books()


def spoilt(told: Told, attack: str) -> list[PromiseResult]:
    """Return what the proof says after an attack with all guards off; it is rolled back."""
    with told.owner.connect() as conn, conn.begin() as attempt:
        conn.execute(text("SET LOCAL session_replication_role = replica"))
        for table in TABLES:
            conn.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER ALL"))
        for statement in attack.split(";"):
            _one_row(conn, statement)
        results = examine(conn, told.world.now)
        attempt.rollback()
    return results


def _one_row(conn: Connection, statement: str) -> None:
    done = conn.execute(text(statement))
    assert statement.lstrip().startswith("ALTER") or done.rowcount > 0, "the attack hit nothing"


def test_a_story_without_tampering_has_no_findings_and_says_what_was_read(told: Told) -> None:
    results = prove(told.world.engine, told.world.now)

    assert [(result.promise, result.findings) for result in results] == [
        (promise, ()) for promise in (1, 2, 3, 4, 5, 7, 8, 9, 10)
    ]
    assert all(result.holds and result.title for result in results)
    assert results[0].checked == {"subscriptions": 6, "subscriptions_parked": 0, "cycles": 15}
    assert results[1].checked["payments_captured"] == 12
    assert results[2].checked["currencies"] == 2
    assert results[3].checked["cycles_closed"] == 14
    assert results[4].checked["payments_undecided"] == 1


ATTACKS = {
    # promise 1
    "a cycle is gone": (
        1,
        "DELETE FROM cycles WHERE n = 1 AND subscription_id ="
        " (SELECT subscription_id FROM cycles WHERE n = 2 LIMIT 1)",
        "without number 1",
    ),
    "a cycle is longer than its schedule": (
        1,
        "UPDATE cycles SET period_end = period_end + interval '1 day' WHERE n = 2",
        "its schedule says",
    ),
    "a cycle is of another kind": (
        1,
        "UPDATE cycles SET kind = 'regular' WHERE kind = 'trial'",
        "cycle 0 is regular, its schedule says trial",
    ),
    "a renewal was moved": (
        1,
        "UPDATE subscriptions SET renews_at = renews_at + interval '1 day' WHERE next_n = 3",
        "but cycle 3 starts at",
    ),
    "the anchor was moved": (
        1,
        "UPDATE subscriptions SET anchor_local = anchor_local + interval '1 hour' WHERE next_n = 3",
        "its schedule says",
    ),
    "the zone is unknown": (
        1,
        "UPDATE subscriptions SET zone = 'Europe/Atlantis'",
        "can't be computed",
    ),
    "a renewal was forgotten": (
        1,
        "UPDATE subscriptions SET renews_at = '2026-03-01', next_n = 2 WHERE next_n = 3",
        "is due since 2026-03-01",
    ),
    # promise 2
    "two payments have exchanged what they are at the provider": (
        2,
        "ALTER TABLE payments DROP CONSTRAINT payments_provider_payment_id_key;"
        f"UPDATE payments p SET provider_payment_id = q.provider_payment_id FROM payments q"
        f" WHERE p.id IN ({PAID}, {OTHER}) AND q.id IN ({PAID}, {OTHER}) AND p.id <> q.id",
        "its history pi_",
    ),
    "a capture was dated back": (
        2,
        f"UPDATE payments SET captured_at = '2001-01-01' WHERE id = {PAID}",
        "2001-01-01",
    ),
    "a payment was settled by hand": (
        2,
        "UPDATE payments SET settled_at = '2026-03-01'"
        f" WHERE id = {OTHER};"
        f"DELETE FROM payment_transitions WHERE to_state = 'SETTLED' AND payment_id = {OTHER};"
        f"UPDATE settlement_rows SET payment_id = NULL WHERE payment_id = {OTHER}",
        "settled on 2026-03-01 00:00 UTC, which neither",
    ),
    "a settled payment lost the instant of it": (
        2,
        f"UPDATE payments SET settled_at = NULL WHERE id = {PAID} AND state = 'SETTLED'",
        "has no instant of its settlement",
    ),
    "more was captured than asked for": (
        2,
        "ALTER TABLE payments DROP CONSTRAINT payments_captured_within_amount;"
        f"UPDATE payments SET amount_captured = amount + 1 WHERE id = {PAID}",
        "captured",
    ),
    "a second payment of a cycle was captured": (
        2,
        "ALTER TABLE payments DROP CONSTRAINT payments_invoice_id_key;"
        f"UPDATE payments SET invoice_id = {INVOICE} WHERE id = {OTHER}",
        "has 2 captured payments",
    ),
    "two payments share a PaymentIntent": (
        2,
        "ALTER TABLE payments DROP CONSTRAINT payments_provider_payment_id_key;"
        f"UPDATE payments SET provider_payment_id = 'pi_1' WHERE id IN ({PAID}, {OTHER})",
        "2 payments name the provider's payment pi_1",
    ),
    "two payments share a charge": (
        2,
        f"UPDATE payments SET provider_charge_id = 'ch_1' WHERE id IN ({PAID}, {OTHER})",
        "2 payments name the provider's charge ch_1",
    ),
    "a state was set without a transition": (
        2,
        f"UPDATE payments SET state = 'REFUNDED' WHERE id = {PAID}",
        "is REFUNDED, but its history ends at SETTLED",
    ),
    "a transition is missing": (
        2,
        f"DELETE FROM payment_transitions WHERE payment_id = {PAID} AND to_state = 'AUTHORIZED'",
        "its history says AUTHORIZED -> CAPTURED (outcome) when it was CREATED",
    ),
    "a transition was made for no legal cause": (
        2,
        f"UPDATE payment_transitions SET cause = 'settlement' WHERE payment_id = {FAILED}",
        "CREATED -> FAILED (settlement)",
    ),
    "an attempt is missing": (
        2,
        f"DELETE FROM attempts WHERE payment_id = {PAID}",
        "but has 0 attempt(s)",
    ),
    "an attempt has another number": (
        2,
        f"UPDATE attempts SET n = 7 WHERE payment_id = {PAID}",
        "numbered 7 to 7",
    ),
    "a captured payment has an open attempt": (
        2,
        f"UPDATE attempts SET finished_at = NULL, outcome = NULL WHERE payment_id = {PAID}",
        "1 open",
    ),
    "two attempts succeeded": (
        2,
        "INSERT INTO attempts (payment_id, n, kind, payment_method_id, rung, finished_at, outcome,"
        " customer_id) SELECT payment_id, n + 1, kind, payment_method_id, rung, finished_at,"
        f" outcome, customer_id FROM attempts WHERE payment_id = {PAID}",
        "2 succeeded",
    ),
    "an attempt succeeded and nobody noticed": (
        2,
        f"UPDATE attempts SET outcome = 'succeeded' WHERE payment_id = {FAILED}",
        "is FAILED at attempt",
    ),
    "a charge is open although its attempt has an end": (
        2,
        f"UPDATE provider_calls SET finished_at = NULL, outcome = NULL WHERE subject_id = {PAID}",
        "is succeeded, but its call to the provider is open",
    ),
    "a charge is open although its payment is decided": (
        2,
        f"UPDATE provider_calls SET finished_at = NULL, outcome = NULL WHERE subject_id = {PAID}",
        "but the charge",
    ),
    "a charge succeeded and nobody noticed": (
        2,
        f"UPDATE provider_calls SET outcome = 'succeeded' WHERE subject_id = {FAILED}",
        "came to: succeeded",
    ),
    "a charge came to something else than its attempt": (
        2,
        f"UPDATE provider_calls SET outcome = 'absent' WHERE subject_id = {FAILED}",
        "but its call to the provider is absent",
    ),
    "a charge of no attempt was sent": (
        2,
        f"DELETE FROM attempts WHERE payment_id = {PAID}",
        "is missing, but its call to the provider is succeeded",
    ),
    "an attempt was never sent": (
        2,
        f"DELETE FROM provider_calls WHERE subject_id = {PAID}",
        "but its call to the provider is missing",
    ),
    "another amount was sent": (
        2,
        "UPDATE provider_calls SET request = jsonb_set(request, '{amount}', '1')"
        f" WHERE subject_id = {PAID}",
        "was sent as 1 USD",
    ),
    # promise 3
    "a posting was changed": (
        3,
        "UPDATE ledger.postings SET amount = amount + 1 WHERE entry_id = 1 AND line = 1",
        "entry_sum",
    ),
    "an entry was changed on both sides": (
        3,
        "UPDATE ledger.postings SET amount = amount * 2 WHERE entry_id = 1",
        "payload_hash",
    ),
    "a cycle is filed under another customer": (
        3,
        "UPDATE cycles SET customer_id = gen_random_uuid() WHERE n = 1",
        "is filed under another customer",
    ),
    "a charge is filed under another customer": (
        3,
        f"UPDATE provider_calls SET customer_id = gen_random_uuid() WHERE subject_id = {PAID}",
        "charge 1 of payment",
    ),
    "an entry is filed under another customer": (
        3,
        "UPDATE ledger.entries SET customer_id = gen_random_uuid() WHERE id = 1",
        "is filed under another customer",
    ),
    "a capture is not in the journal": (
        3,
        f"DELETE FROM ledger.postings WHERE entry_id = (SELECT id {CAPTURE});DELETE {CAPTURE}",
        "the journal has 0 payment_captured entry(s)",
    ),
    "a capture in the journal belongs to no payment": (
        3,
        "UPDATE ledger.entries SET source_key ="
        " 'payment_captured:018f0000-0000-7000-8000-000000000000:1'"
        f" WHERE id = (SELECT id {CAPTURE})",
        "is not captured",
    ),
    "an invoice is not in the journal": (
        3,
        "UPDATE ledger.entries SET kind = 'other'"
        f" WHERE source_key = 'invoice_issued:' || {INVOICE}",
        "the journal has 0 invoice_issued entry(s)",
    ),
    "a write-off is not in the journal": (
        3,
        "UPDATE ledger.entries SET kind = 'other' WHERE kind = 'write_off'",
        "0 write-off(s)",
    ),
    "an invoice was marked paid": (
        3,
        "UPDATE invoices SET status = 'paid', resolved_at = issued_at WHERE status = 'open'",
        "its payment over 19.99 USD is CREATED",
    ),
    "an invoice has no payment": (
        3,
        f"DELETE FROM attempts WHERE payment_id = {DUNNING};"
        f"DELETE FROM payments WHERE id = {DUNNING}",
        "payment is missing",
    ),
    "a line was changed": (
        3,
        "UPDATE invoice_lines SET amount = amount + 1",
        "its lines add up to",
    ),
    "a cycle was never billed": (
        3,
        "UPDATE cycles SET kind = 'regular' WHERE kind = 'trial'",
        "is regular and has no invoice",
    ),
    # promise 4
    "a closed cycle's plan was changed": (
        4,
        f"UPDATE cycles SET plan = 'another' WHERE id = {CLOSED}",
        "is not what it was when it was closed",
    ),
    "a closed cycle's invoice was changed": (
        4,
        f"UPDATE invoices SET number = 'X-1' WHERE cycle_id = {CLOSED}",
        "is not what it was when it was closed",
    ),
    "a closed cycle's digest was changed": (
        4,
        f"UPDATE cycles SET digest = repeat('0', 64) WHERE id = {CLOSED}",
        "closed with 000000000000",
    ),
    "a cycle was closed though nobody confirmed it": (
        4,
        "UPDATE payments SET confirmed_at = NULL WHERE invoice_id ="
        f" (SELECT id FROM invoices WHERE cycle_id = {CLOSED})",
        "not confirmed by the provider",
    ),
    "a cycle was closed though its payment isn't settled": (
        4,
        "UPDATE payments SET settled_at = NULL WHERE invoice_id ="
        f" (SELECT id FROM invoices WHERE cycle_id = {CLOSED})",
        "and not settled",
    ),
    "a cycle was closed though it isn't paid": (
        4,
        "UPDATE cycles SET state = 'closed', closed_at = now(), digest = repeat('0', 64)"
        " WHERE state = 'opened'",
        "receivable",
    ),
    "a closed cycle has a difference": (
        4,
        "INSERT INTO breaks (id, kind, dedupe_key, cycle_id, ours, theirs, suggested_cause,"
        f" found_at) SELECT gen_random_uuid(), 'k', 'k', {CLOSED}, '{{}}', '{{}}', 'c',"
        " TIMESTAMPTZ '2000-01-01'",
        "(k) is open",
    ),
    "a closed cycle's attempt is open": (
        4,
        f"UPDATE attempts SET finished_at = NULL, outcome = NULL WHERE payment_id = {PAID}",
        "is closed while attempt 1",
    ),
    # promise 5
    "nothing follows for a payment": (
        5,
        "UPDATE payments SET next_attempt_at = NULL, next_attempt_kind = NULL"
        f" WHERE id = {DUNNING}",
        "with no attempt to come and is not parked",
    ),
    "a charge without an outcome isn't asked for": (
        5,
        f"UPDATE provider_calls SET finished_at = NULL, outcome = NULL WHERE subject_id = {PAID}",
        "has no outcome, and it isn't asked for any more: what it belongs to is SETTLED",
    ),
    "an attempt was forgotten": (
        5,
        f"UPDATE payments SET next_attempt_at = '2026-03-01' WHERE id = {DUNNING}",
        "its ladder attempt is due since 2026-03-01",
    ),
    "a subscription never renews": (
        5,
        "ALTER TABLE subscriptions DROP CONSTRAINT subscriptions_renew_while_live;"
        "UPDATE subscriptions SET renews_at = NULL WHERE status = 'active'",
        "will never renew",
    ),
    "a capture was never compared": (
        5,
        f"UPDATE payments SET confirmed_at = NULL WHERE id = {PAID}",
        "never compared",
    ),
}


@pytest.mark.parametrize(("promise", "attack", "words"), ATTACKS.values(), ids=ATTACKS)
def test_the_proof_names_what_was_tampered_with(
    told: Told, promise: int, attack: str, words: str
) -> None:
    (result,) = [result for result in spoilt(told, attack) if result.promise == promise]

    assert any(words in in_words(finding) for finding in result.findings), result.findings
    assert not result.holds


def test_a_thousand_findings_are_counted_and_twenty_shown(told: Told) -> None:
    results = spoilt(
        told,
        "INSERT INTO subscriptions (id, customer_id, plan, plan_version, currency, quantity,"
        " invoice_prefix, status, anchor_local, zone, every, next_n, renews_at, created_at)"
        " SELECT gen_random_uuid(), id, 'video-premium', '2026-01-01', 'USD', 1, 'M' || g,"
        " 'active', '2026-01-01', 'UTC', '1 month', 3, '2026-04-01', now()"
        " FROM generate_series(1, 1000) g, (SELECT id FROM customers LIMIT 1) c",
    )

    findings = results[0].findings
    assert len(findings) == 21
    assert (
        in_words(findings[-1]) == "and 980 more cycles that aren't where their schedule puts them"
    )


def test_without_a_time_nothing_is_called_late(told: Told) -> None:
    much_later = told.world.now + timedelta(days=400)
    with told.owner.connect() as conn:
        assert all(result.holds for result in examine(conn))
        late = [result.promise for result in examine(conn, much_later) if not result.holds]
    assert late == [1, 5]


def test_the_proof_reads_one_snapshot_and_may_not_write(told: Told) -> None:
    statements: list[str] = []

    def listen(conn: object, cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    event.listen(told.world.engine, "before_cursor_execute", listen)
    try:
        prove(told.world.engine, told.world.now)
    finally:
        event.remove(told.world.engine, "before_cursor_execute", listen)
    assert not any(word in " ".join(statements) for word in ("INSERT", "UPDATE", "DELETE"))
    with told.world.engine.connect() as conn:
        assert conn.execute(text("SHOW transaction_read_only")).scalar() == "off", "put back"
        assert conn.execute(text("SHOW statement_timeout")).scalar() == "30s"
