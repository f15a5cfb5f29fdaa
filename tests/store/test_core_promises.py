"""The core tables attacked with plain SQL, as the application's role and as their owner.

What the ledger refuses is in `test_ledger_promises`.
"""

from collections.abc import Iterator
from functools import partial
from itertools import product

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from billing.embedded.servers import EmbeddedPostgres
from billing.rules.invoices import CHANGES, InvoiceStatus
from billing.rules.payments import TRANSITIONS, State
from tests.conftest import Admin
from tests.store import attacks
from tests.store.attacks import run


def an_id(last: str) -> str:
    return f"'018f0000-0000-7000-8000-{last:0>12}'"


CUSTOMER, OTHER_CUSTOMER, CARD, SUBSCRIPTION = an_id("a1"), an_id("a2"), an_id("b1"), an_id("51")
OTHER_CARD = an_id("b2")
CLOSED, OPENED = an_id("c0"), an_id("c1")
PAID_INVOICE, OPEN_INVOICE = an_id("10"), an_id("11")
CAPTURED, CREATED, LOOSE = an_id("d0"), an_id("d1"), an_id("d9")
DIGEST = "repeat('0', 64)"

SCENE = f"""
INSERT INTO plans (code, product, name, applied_at) VALUES ('p', 'P', 'P', '2026-01-01');
INSERT INTO plan_versions (plan, effective, terms, digest, published_at)
VALUES ('p', '2026-01-01', '{{}}', {DIGEST}, '2026-01-01');
INSERT INTO customers (id, provider, name, created_at)
VALUES ({CUSTOMER}, 'stripe', 'Ann', '2026-01-01'),
       ({OTHER_CUSTOMER}, 'stripe', 'Bob', '2026-01-01');
INSERT INTO provider_customers (id, customer_id, provider, created_at)
VALUES ({CUSTOMER}, {CUSTOMER}, 'stripe', '2026-01-01'),
       ({OTHER_CUSTOMER}, {OTHER_CUSTOMER}, 'stripe', '2026-01-01');
INSERT INTO payment_methods (id, customer_id, provider_payment_method_id, kind, brand, last4,
                             exp_month, exp_year, created_at)
VALUES ({CARD}, {CUSTOMER}, 'pm_1', 'card', 'visa', '4242', 12, 2030, '2026-01-01');
INSERT INTO subscriptions (id, customer_id, plan, plan_version, currency, quantity, invoice_prefix,
                           status, anchor_local, zone, every, next_n, renews_at, created_at)
VALUES ({SUBSCRIPTION}, {CUSTOMER}, 'p', '2026-01-01', 'USD', 1, 'P', 'active', '2026-01-01', 'UTC',
        '1 month', 2, '2026-03-01', '2026-01-01');
INSERT INTO subscription_events (subscription_id, at, kind, actor, words)
VALUES ({SUBSCRIPTION}, '2026-01-01', 'created', 'operator', 'began');
INSERT INTO subscription_changes (subscription_id, kind, holds_from, asked_at, actor, why)
VALUES ({SUBSCRIPTION}, 'pause', '2026-02-10', '2026-02-10', 'operator', 'holiday');
INSERT INTO plan_versions (plan, effective, terms, digest, published_at)
VALUES ('p', '2027-01-01', '{{}}', {DIGEST}, '2026-01-01');
INSERT INTO plan_corrections (plan, effective, n, corrected_at)
VALUES ('p', '2027-01-01', 1, '2026-01-02');
INSERT INTO cycles (id, subscription_id, n, kind, period_start, period_end, plan, plan_version,
                    opened_at)
VALUES ({CLOSED}, {SUBSCRIPTION}, 0, 'regular', '2026-01-01', '2026-02-01', 'p', '2026-01-01',
        '2026-01-01'),
       ({OPENED}, {SUBSCRIPTION}, 1, 'regular', '2026-02-01', '2026-03-01', 'p', '2026-01-01',
        '2026-02-01');
INSERT INTO invoices (id, cycle_id, subscription_id, customer_id, number, currency, net, tax, total,
                      status, issued_at, resolved_at)
VALUES ({PAID_INVOICE}, {CLOSED}, {SUBSCRIPTION}, {CUSTOMER}, 'P-0000', 'USD', 100, 0, 100, 'paid',
        '2026-01-01', '2026-01-01'),
       ({OPEN_INVOICE}, {OPENED}, {SUBSCRIPTION}, {CUSTOMER}, 'P-0001', 'USD', 100, 0, 100, 'open',
        '2026-02-01', NULL);
INSERT INTO invoice_lines (invoice_id, line, description, quantity, unit_amount, amount)
VALUES ({PAID_INVOICE}, 1, 'P', 1, 100, 100), ({OPEN_INVOICE}, 1, 'P', 1, 60, 60),
       ({OPEN_INVOICE}, 2, 'P', 1, 40, 40);
INSERT INTO payments (id, invoice_id, subscription_id, customer_id, amount, currency, state,
                      provider_payment_id, amount_captured, attempt_n, next_attempt_at,
                      next_attempt_kind, dispatch_after, captured_at, created_at, updated_at)
VALUES ({CAPTURED}, {PAID_INVOICE}, {SUBSCRIPTION}, {CUSTOMER}, 100, 'USD', 'CAPTURED', 'pi_1', 100,
        1, NULL, NULL, '2026-01-01', '2026-01-01', '2026-01-01', '2026-01-01'),
       ({CREATED}, {OPEN_INVOICE}, {SUBSCRIPTION}, {CUSTOMER}, 100, 'USD', 'CREATED', NULL, 0,
        1, '2026-02-01', 'first', '2026-02-01', NULL, '2026-02-01', '2026-02-01');
INSERT INTO payment_transitions (payment_id, from_state, to_state, at, actor, cause)
VALUES ({CAPTURED}, 'CREATED', 'AUTHORIZED', '2026-01-01', 'worker', 'outcome'),
       ({CAPTURED}, 'AUTHORIZED', 'CAPTURED', '2026-01-01', 'worker', 'outcome');
INSERT INTO attempts (payment_id, n, kind, payment_method_id, rung, finished_at, outcome)
VALUES ({CAPTURED}, 1, 'first', {CARD}, 0, '2026-01-01', 'succeeded'),
       ({CREATED}, 1, 'first', {CARD}, 0, NULL, NULL);
INSERT INTO provider_fences (provider, state, since, checked_database, written_by)
VALUES ('stripe', 'open', '2026-01-01', this_database(), this_transaction());
INSERT INTO provider_calls (subject_id, kind, n, customer_id, idempotency_key, request,
                            first_sent_at, finished_at, outcome)
VALUES ({CAPTURED}, 'charge', 1, {CUSTOMER}, 'k:a1', '{{}}', '2026-01-01', '2026-01-01',
        'succeeded'),
       ({CREATED}, 'charge', 1, {CUSTOMER}, 'l:a1', '{{}}', '2026-02-01', NULL, NULL);
UPDATE cycles SET state = 'closed', closed_at = '2026-01-02', digest = {DIGEST} WHERE id = {CLOSED};
INSERT INTO test_clock (now) VALUES ('2026-02-10')
"""
TABLES = (
    "plans", "plan_versions", "plan_corrections", "subscriptions", "subscription_events",
    "subscription_changes", "cycles", "invoices",
    "invoice_lines", "payments", "payment_transitions", "attempts", "provider_calls",
    "test_clock",
)  # fmt: skip


assert_refused = partial(attacks.assert_refused, tables=TABLES)


@pytest.fixture(scope="module")
def scene(pg_server: EmbeddedPostgres, admin: Admin, template_db: str) -> Iterator[str]:
    """A database with one subscription: a closed and paid cycle, and an open one."""
    statements = (*SCENE.split(";"),)
    with attacks.database("core_promises", pg_server, admin, template_db, *statements) as url:
        yield url


def cycle(n: int, start: str, end: str, kind: str = "regular") -> str:
    return (
        "INSERT INTO cycles (id, subscription_id, n, kind, period_start, period_end, plan,"
        f" plan_version, opened_at) VALUES (gen_random_uuid(), {SUBSCRIPTION}, {n}, '{kind}',"
        f" '{start}', '{end}', 'p', '2026-01-01', '2026-03-01')"
    )


def invoice(cycle_id: str, *, total: int = 100, net: int = 100, number: str = "X") -> str:
    return (
        "INSERT INTO invoices (id, cycle_id, subscription_id, customer_id, number, currency, net,"
        f" tax, total, status, issued_at) VALUES ({an_id('1f')}, {cycle_id}, {SUBSCRIPTION},"
        f" {CUSTOMER}, '{number}', 'USD', {net}, 0, {total}, 'open', '2026-03-01')"
    )


def line(invoice_id: str, number: int, amount: int) -> str:
    return (
        "INSERT INTO invoice_lines (invoice_id, line, description, quantity, unit_amount, amount)"
        f" VALUES ({invoice_id}, {number}, 'extra', 1, {amount}, {amount})"
    )


def payment(invoice_id: str = "NULL", **columns: str) -> str:
    values = {
        "id": LOOSE,
        "invoice_id": invoice_id,
        "customer_id": CUSTOMER,
        "payment_method_id": CARD,
        "amount": "100",
        "currency": "'USD'",
        "state": "'CREATED'",
        "dispatch_after": "'2026-01-01'",
        "created_at": "'2026-01-01'",
        "updated_at": "'2026-01-01'",
    } | columns
    return f"INSERT INTO payments ({', '.join(values)}) VALUES ({', '.join(values.values())})"


def attempt(payment_id: str, n: int) -> str:
    return (
        "INSERT INTO attempts (payment_id, n, kind, payment_method_id, rung)"
        f" VALUES ({payment_id}, {n}, 'manual', {CARD}, 0)"
    )


def charge(payment_id: str, n: int, key: str = "m:a2") -> str:
    return (
        "INSERT INTO provider_calls (subject_id, kind, n, customer_id, idempotency_key, request,"
        f" first_sent_at) VALUES ({payment_id}, 'charge', {n}, {CUSTOMER}, '{key}', '{{}}',"
        " '2026-03-01')"
    )


ELSEWHERE = (
    "INSERT INTO provider_customers (id, customer_id, provider, created_at)"
    f" VALUES (gen_random_uuid(), {CUSTOMER}, 'other', '2026-01-01')"
)
CLOSE = f"UPDATE cycles SET state = 'closed', closed_at = '2026-03-01', digest = {DIGEST}"

# --- what nobody may insert or change -----------------------------------------------------------

ATTACKS: dict[str, tuple[str, ...]] = {
    # Promise 1: periods tile.
    "a gap": ("cycles_follow_without_gap", cycle(2, "2026-03-02", "2026-04-01")),
    # A payment is of a customer that there is, with that customer's payment method.
    "a payment of nobody": (
        'payments_customer|null value in column "provider"',
        payment(customer_id=an_id("ff"), payment_method_id="NULL"),
    ),
    "a payment with another customer's card": (
        "payments_method_of_customer",
        payment(customer_id=OTHER_CUSTOMER),
    ),
    "another customer's card for a payment": (
        "payments_method_of_customer",
        f"INSERT INTO payment_methods (id, customer_id, provider_payment_method_id, kind,"
        f" created_at) VALUES ({OTHER_CARD}, {OTHER_CUSTOMER}, 'pm_2', 'bank', '2026-01-01')",
        f"UPDATE payments SET payment_method_id = {OTHER_CARD} WHERE id = {CREATED}",
    ),
    "an attempt with another customer's card": (
        "attempts_method_of_customer",
        f"INSERT INTO payment_methods (id, customer_id, provider_payment_method_id, kind,"
        f" created_at) VALUES ({OTHER_CARD}, {OTHER_CUSTOMER}, 'pm_2', 'bank', '2026-01-01')",
        payment(),
        f"INSERT INTO attempts (payment_id, n, kind, payment_method_id, rung)"
        f" VALUES ({LOOSE}, 1, 'first', {OTHER_CARD}, 0)",
    ),
    "a card without its last digits": (
        "payment_methods_card_is_complete",
        f"UPDATE payment_methods SET last4 = NULL WHERE id = {CARD}",
    ),
    "a wallet that expires": (
        "payment_methods_expiry_is_a_cards",
        f"UPDATE payment_methods SET kind = 'wallet' WHERE id = {CARD}",
    ),
    "a payment method of no known kind": (
        "payment_methods_kind",
        f"UPDATE payment_methods SET kind = 'cheque', exp_month = NULL, exp_year = NULL"
        f" WHERE id = {CARD}",
    ),
    "an overlap": ("cycles_follow_without_gap", cycle(2, "2026-02-27", "2026-04-01")),
    "a skipped number": ("cycles_follow_without_gap", cycle(3, "2026-03-01", "2026-04-01")),
    "a cycle before the first": ("cycles_n_check", cycle(-1, "2025-12-01", "2026-01-01")),
    "a second cycle under a number": ("cycles_one_each", cycle(1, "2026-02-01", "2026-03-01")),
    "a second cycle for a period": (
        "cycles_follow_without_gap",
        cycle(2, "2026-02-01", "2026-03-01"),
    ),
    "a second beginning": ("cycles_one_each", cycle(0, "2026-03-01", "2026-04-01")),
    "an empty period": ("cycles_go_forward", cycle(2, "2026-03-01", "2026-03-01")),
    "a period backwards": ("cycles_go_forward", cycle(2, "2026-03-01", "2026-02-01")),
    "a cycle of no known kind": (
        "cycles_kind",
        cycle(2, "2026-03-01", "2026-04-01", kind="gift"),
    ),
    "a cycle on terms that were never published": (
        "cycles_plan_plan_version_fkey",
        cycle(2, "2026-03-01", "2026-04-01").replace("'2026-01-01'", "'2026-01-02'"),
    ),
    "a period moved": (
        "cycle 1 of subscription .*: only its closing may be written",
        f"UPDATE cycles SET period_end = '2026-02-28' WHERE id = {OPENED}",
    ),
    "a cycle given to somebody else": (
        "only its closing may be written",
        f"UPDATE cycles SET subscription_id = {an_id('52')} WHERE id = {OPENED}",
    ),
    "a cycle made free": (
        "only its closing may be written",
        f"UPDATE cycles SET kind = 'skipped' WHERE id = {OPENED}",
    ),
    "a live subscription that never renews": (
        "subscriptions_renew_while_live",
        "UPDATE subscriptions SET renews_at = NULL",
    ),
    "a canceled subscription that renews": (
        "subscriptions_renew_while_live",
        "UPDATE subscriptions SET status = 'canceled', canceled_at = now()",
    ),
    "parking without an error": (
        "subscriptions_parked_with",
        "UPDATE subscriptions SET parked_at = now()",
    ),
    # Promise 2: one capture.
    "a second payment for an invoice": ("payments_invoice_id_key", payment(PAID_INVOICE)),
    "a second payment under one PaymentIntent": (
        "payments_provider_payment_id_key",
        payment(provider_payment_id="'pi_1'"),
    ),
    "a payment of nothing": ("payments_amount_check", payment(amount="0")),
    "a payment's amount edited": (
        f"payment {CREATED[1:-1]}: what it collects can't change",
        f"UPDATE payments SET amount = 1 WHERE id = {CREATED}",
    ),
    "a payment's currency edited": (
        "what it collects can't change",
        f"UPDATE payments SET currency = 'EUR' WHERE id = {CREATED}",
    ),
    "a payment moved to another customer": (
        "what it collects can't change",
        f"UPDATE payments SET customer_id = {OTHER_CUSTOMER} WHERE id = {CREATED}",
    ),
    "a payment moved to another invoice": (
        "what it collects can't change",
        f"UPDATE payments SET invoice_id = NULL WHERE id = {CREATED}",
    ),
    "more captured than asked for": (
        "payments_captured_within_amount",
        f"UPDATE payments SET amount_captured = 101 WHERE id = {CAPTURED}",
    ),
    "more refunded than captured": (
        "payments_refunded_within_captured",
        f"UPDATE payments SET amount_refunded = 101 WHERE id = {CAPTURED}",
    ),
    "a refund below zero": (
        "payments_refunded_within_captured|counted forward",
        f"UPDATE payments SET amount_refunded = -1 WHERE id = {CAPTURED}",
    ),
    "attempts counted back": (
        "attempts are counted forward",
        f"UPDATE payments SET attempt_n = 0 WHERE id = {CREATED}",
    ),
    "an attempt for a captured payment scheduled": (
        "payments_decided_have_no_next",
        f"UPDATE payments SET next_attempt_at = now(), next_attempt_kind = 'manual'"
        f" WHERE id = {CAPTURED}",
    ),
    "a payment of a closed cycle collected again": (
        "what was settled, refunded or closed isn't collected again",
        "UPDATE payments SET state = 'CREATED', captured_at = NULL, confirmed_at = NULL,"
        f" amount_captured = 0 WHERE id = {CAPTURED}",
    ),
    "a settled payment collected again": (
        "what was settled, refunded or closed isn't collected again",
        payment(state="'CAPTURED'", captured_at="'2026-01-01'", settled_at="'2026-01-02'"),
        f"UPDATE payments SET state = 'CREATED', captured_at = NULL, settled_at = NULL"
        f" WHERE id = {LOOSE}",
    ),
    "an invoice owed again whose payment has its money": (
        "it is paid, or something was given for it",
        f"UPDATE invoices SET status = 'open', resolved_at = NULL WHERE id = {PAID_INVOICE}",
    ),
    "a confirmation of what was never captured": (
        "payments_confirmed_were_captured",
        f"UPDATE payments SET confirmed_at = now() WHERE id = {CREATED}",
    ),
    "a second open charge": ("provider_calls_one_open", charge(CREATED, 2)),
    "an attempt under a number that is taken": (
        "attempts_pkey",
        attempt(CAPTURED, 1),
    ),
    "a charge under a number that is taken": (
        "provider_calls_pkey",
        charge(CAPTURED, 1),
    ),
    "a charge under a key that was used": (
        "provider_calls_own_key",
        charge(CAPTURED, 2, key="k:a1"),
    ),
    "a key longer than the provider takes": (
        "provider_calls_idempotency_key_check",
        charge(CAPTURED, 2, key="k" * 256),
    ),
    "an open charge's request edited": (
        "call l:a1: what was sent can't change",
        f"UPDATE provider_calls SET request = '{{\"amount\": 1}}' WHERE subject_id = {CREATED}",
    ),
    "an open charge's key edited": (
        "what was sent can't change",
        f"UPDATE provider_calls SET idempotency_key = 'other' WHERE subject_id = {CREATED}",
    ),
    "a finished charge opened again": (
        "call k:a1 is finished and can't change",
        "UPDATE provider_calls SET finished_at = NULL, outcome = NULL"
        f" WHERE subject_id = {CAPTURED}",
    ),
    "an open attempt's payment method edited": (
        f"attempt 1 of payment {CREATED[1:-1]}: what was tried can't change",
        f"UPDATE attempts SET payment_method_id = gen_random_uuid() WHERE payment_id = {CREATED}",
    ),
    "a finished attempt edited": (
        f"attempt 1 of payment {CAPTURED[1:-1]} is finished and can't change",
        f"UPDATE attempts SET message = 'x' WHERE payment_id = {CAPTURED}",
    ),
    "a finished attempt opened again": (
        "is finished and can't change",
        f"UPDATE attempts SET finished_at = NULL, outcome = NULL WHERE payment_id = {CAPTURED}",
    ),
    "an attempt finished without an outcome": (
        "attempts_finished_with_outcome",
        f"UPDATE attempts SET finished_at = now() WHERE payment_id = {CREATED}",
    ),
    # Promise 3: invoices.
    "a second invoice for a cycle": ("invoices_cycle_id_key", invoice(OPENED)),
    "an invoice number twice": (
        "invoices_number_key",
        cycle(2, "2026-03-01", "2026-04-01").replace("gen_random_uuid()", an_id("c2")),
        invoice(an_id("c2"), number="P-0000"),
    ),
    "a total that isn't net plus tax": (
        "invoices_total_is_net_and_tax",
        cycle(2, "2026-03-01", "2026-04-01").replace("gen_random_uuid()", an_id("c2")),
        invoice(an_id("c2"), total=101),
    ),
    "an invoice's total edited": (
        "invoice P-0001: only its status may change",
        f"UPDATE invoices SET net = 1, total = 1 WHERE id = {OPEN_INVOICE}",
    ),
    "an invoice's number edited": (
        "only its status may change",
        f"UPDATE invoices SET number = 'P-0009' WHERE id = {OPEN_INVOICE}",
    ),
    "lines that don't add up": (
        "invoice X: its lines are numbered 1..n, come in one statement and add up to net",
        cycle(2, "2026-03-01", "2026-04-01").replace("gen_random_uuid()", an_id("c2")),
        invoice(an_id("c2")),
        line(an_id("1f"), 1, 99),
    ),
    "lines in two statements": (
        "come in one statement",
        cycle(2, "2026-03-01", "2026-04-01").replace("gen_random_uuid()", an_id("c2")),
        invoice(an_id("c2")),
        line(an_id("1f"), 1, 60),
        line(an_id("1f"), 2, 40),
    ),
    "lines numbered with a gap": (
        "numbered 1..n",
        cycle(2, "2026-03-01", "2026-04-01").replace("gen_random_uuid()", an_id("c2")),
        invoice(an_id("c2")),
        line(an_id("1f"), 2, 100),
    ),
    "a line that comes later": ("come in one statement", line(PAID_INVOICE, 2, 5)),
    "a line of nothing that comes later": ("come in one statement", line(PAID_INVOICE, 2, 0)),
    # Promise 4: closed is closed.
    "a cycle closed without a digest": (
        "cycles_closed_with_digest",
        f"UPDATE cycles SET state = 'closed', closed_at = now() WHERE id = {OPENED}",
    ),
    "a cycle closed at no time": (
        "cycles_closed_with_instant",
        f"UPDATE cycles SET state = 'closed', digest = {DIGEST} WHERE id = {OPENED}",
    ),
    "a digest that is none": (
        "cycles_digest_check",
        f"{CLOSE.replace(DIGEST, repr('x'))} WHERE id = {OPENED}",
    ),
    "a closed cycle opened again": (
        "cycle 0 of subscription .* is closed and can't change",
        f"UPDATE cycles SET state = 'opened', closed_at = NULL, digest = NULL WHERE id = {CLOSED}",
    ),
    "a closed cycle closed again": ("is closed and can't change", f"{CLOSE} WHERE id = {CLOSED}"),
    "a break resolved without words": (
        "breaks_resolved_in_words",
        "INSERT INTO breaks (id, provider, kind, dedupe_key, ours, theirs, suggested_cause,"
        " found_at, resolved_at)"
        " VALUES (gen_random_uuid(), 'p', 'k', 'k', '{}', '{}', 'c', now(), now())",
    ),
    # Time and terms.
    "the test clock turned back": (
        "the test clock only goes forward: .* is before",
        "UPDATE test_clock SET now = '2026-02-09'",
    ),
    "a second test clock": (
        "test_clock_pkey|test_clock_id_check",
        "INSERT INTO test_clock (id, now) VALUES (2, '2026-01-01')",
    ),
    "a version published twice": (
        "plan_versions_pkey",
        "INSERT INTO plan_versions (plan, effective, terms, digest, published_at)"
        f" VALUES ('p', '2026-01-01', '{{}}', {DIGEST}, now())",
    ),
    "somebody else's card as what is charged": (
        "provider_customers_method",
        f"UPDATE provider_customers SET payment_method_id = {CARD}"
        f" WHERE customer_id = {OTHER_CUSTOMER}",
    ),
    # A payment is at one account at a time, and its customer is there too.
    "a card of another account as what is charged": (
        "provider_customers_method",
        ELSEWHERE,
        f"UPDATE provider_customers SET payment_method_id = {CARD} WHERE provider = 'other'",
    ),
    "a payment moved while a charge of it is open": (
        "stays at account stripe",
        ELSEWHERE,
        f"UPDATE payments SET provider = 'other' WHERE id = {CREATED}",
    ),
    "a captured payment moved": (
        "stays at account stripe",
        ELSEWHERE,
        f"UPDATE payments SET provider = 'other', provider_payment_id = NULL WHERE id = {CAPTURED}",
    ),
    "a payment moved with what the former account holds": (
        "stays at account stripe",
        ELSEWHERE,
        payment(),
        f"UPDATE payments SET provider = 'other', provider_payment_id = 'pi_9' WHERE id = {LOOSE}",
    ),
    "a payment moved to an account that its customer isn't at": (
        "payments_customer_there",
        payment(),
        f"UPDATE payments SET provider = 'nowhere' WHERE id = {LOOSE}",
    ),
    "a charge at an account that its payment isn't at": (
        "its payment is at another account",
        ELSEWHERE,
        payment(),
        "INSERT INTO provider_calls (subject_id, kind, n, customer_id, provider, idempotency_key,"
        f" request, first_sent_at) VALUES ({LOOSE}, 'charge', 1, {CUSTOMER}, 'other', 'x:a1',"
        " '{}', '2026-03-01')",
    ),
    "a subscription collected where its customer isn't": (
        "subscriptions_customer_there",
        f"UPDATE subscriptions SET provider = 'other' WHERE id = {SUBSCRIPTION}",
    ),
    "a customer collected from where they aren't": (
        "customers_at_account",
        f"UPDATE customers SET provider = 'other' WHERE id = {CUSTOMER}",
        "SET CONSTRAINTS ALL IMMEDIATE",
    ),
    "a customer's row at an account moved to another": (
        "permission denied|the provider account of a row can't change",
        f"UPDATE provider_customers SET provider = 'other' WHERE customer_id = {OTHER_CUSTOMER}",
    ),
}

# The application has no right to these; the owner has, and meets a trigger.
DESTRUCTION = {
    **{
        f"{table} truncated": (
            f"permission denied|{table} is append-only: TRUNCATE refused",
            f"TRUNCATE {table} CASCADE",
        )
        for table in TABLES
        if table not in ("plans", "subscriptions", "test_clock")
    },
    "terms edited": (
        "permission denied|plan_versions is append-only: UPDATE refused",
        'UPDATE plan_versions SET terms = \'{"every": "1 day"}\'',
    ),
    "a version deleted": (
        "permission denied|plan_versions is append-only: DELETE refused",
        "DELETE FROM plan_versions",
    ),
    "history edited": (
        "permission denied|payment_transitions is append-only: UPDATE refused",
        "UPDATE payment_transitions SET cause = 'void'",
    ),
    "history deleted": (
        "permission denied|payment_transitions is append-only: DELETE refused",
        "DELETE FROM payment_transitions",
    ),
    "a timeline edited": (
        "permission denied|subscription_events is append-only: UPDATE refused",
        "UPDATE subscription_events SET words = 'x'",
    ),
    "a change of a subscription edited": (
        "permission denied|subscription_changes is append-only: UPDATE refused",
        "UPDATE subscription_changes SET holds_from = '2026-01-01'",
    ),
    "a change of a subscription deleted": (
        "permission denied|subscription_changes is append-only: DELETE refused",
        "DELETE FROM subscription_changes",
    ),
    "a correction edited": (
        "permission denied|plan_corrections is append-only: UPDATE refused",
        "UPDATE plan_corrections SET corrected_at = now()",
    ),
    "a version in use corrected": (
        "in use and can't be corrected",
        "INSERT INTO plan_corrections (plan, effective, n, corrected_at)"
        " VALUES ('p', '2026-01-01', 1, '2026-01-02')",
    ),
    "a line edited": (
        "permission denied|invoice_lines is append-only: UPDATE refused",
        "UPDATE invoice_lines SET amount = 1",
    ),
    "a line deleted": (
        "permission denied|invoice_lines is append-only: DELETE refused",
        "DELETE FROM invoice_lines",
    ),
    "a cycle deleted": (
        "permission denied|cycle 1 of subscription .* can't be deleted",
        f"DELETE FROM cycles WHERE id = {OPENED}",
    ),
    "an invoice deleted": (
        "permission denied|invoice P-0001 can't be deleted",
        f"DELETE FROM invoices WHERE id = {OPEN_INVOICE}",
    ),
    "a payment deleted": (
        f"permission denied|payment {CREATED[1:-1]} can't be deleted",
        f"DELETE FROM payments WHERE id = {CREATED}",
    ),
    "an attempt deleted": (
        f"permission denied|attempt 1 of payment {CREATED[1:-1]} can't be deleted",
        f"DELETE FROM attempts WHERE payment_id = {CREATED}",
    ),
    "a charge deleted": (
        "permission denied|call l:a1 can't be deleted",
        f"DELETE FROM provider_calls WHERE subject_id = {CREATED}",
    ),
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_an_attack_is_refused(attacker: Engine, attack: tuple[str, ...]) -> None:
    says, *statements = attack
    assert_refused(attacker, says, *statements)


@pytest.mark.parametrize(("says", "statement"), DESTRUCTION.values(), ids=DESTRUCTION)
def test_destruction_is_refused(attacker: Engine, says: str, statement: str) -> None:
    assert_refused(attacker, says, statement)


@pytest.mark.parametrize(("says", "statement"), DESTRUCTION.values(), ids=DESTRUCTION)
def test_replica_mode_does_not_let_destruction_pass(
    owner: Engine, says: str, statement: str
) -> None:
    says = says.removeprefix("permission denied|")
    assert_refused(owner, says, "SET LOCAL session_replication_role = replica", statement)


# Triggers hold these; foreign keys sleep in replica mode, plain constraints never do.
GUARDED = ("can't change", "may", "statement", "1..n", "forward", "stays at", "at another account")
BY_TRIGGER = [name for name, (says, *_) in ATTACKS.items() if any(word in says for word in GUARDED)]


@pytest.mark.parametrize("name", BY_TRIGGER)
def test_replica_mode_does_not_let_an_attack_pass(owner: Engine, name: str) -> None:
    says, *statements = ATTACKS[name]
    assert_refused(owner, says, "SET LOCAL session_replication_role = replica", *statements)


def test_replica_mode_was_tried_on_every_sort_of_guard() -> None:
    assert len(BY_TRIGGER) > 20


# --- state machines: the database's table is the program's --------------------------------------

_CAPTURED = (State.CAPTURED, State.SETTLED, State.REFUNDED)


def set_state(state: State) -> str:
    captured_at = "'2026-01-01'" if state in _CAPTURED else "NULL"
    return f"UPDATE payments SET state = '{state}', captured_at = {captured_at} WHERE id = {LOOSE}"


@pytest.mark.parametrize(("before", "after"), list(product(State, State)))
def test_a_payment_moves_only_as_the_table_of_transitions_says(
    app: Engine, before: State, after: State
) -> None:
    captured_at = "'2026-01-01'" if before in _CAPTURED else "NULL"
    there = payment(state=f"'{before}'", captured_at=captured_at)
    with app.connect() as conn:
        run(conn, there)
        if before is after or (before, after) in TRANSITIONS:
            run(conn, set_state(after))
            return
        with pytest.raises(DBAPIError, match=f"{before} -> {after} is no legal transition"):
            run(conn, set_state(after))


@pytest.mark.parametrize(("before", "after"), list(product(InvoiceStatus, InvoiceStatus)))
def test_an_invoice_changes_only_as_its_rule_says(
    app: Engine, before: InvoiceStatus, after: InvoiceStatus
) -> None:
    def resolved(status: InvoiceStatus) -> str:
        return "NULL" if status is InvoiceStatus.OPEN else "'2026-03-01'"

    there = (
        invoice(an_id("c2"))
        .replace("issued_at)", "issued_at, resolved_at)")
        .replace("'open', '2026-03-01'", f"'{before}', '2026-03-01', {resolved(before)}")
    )
    change = (
        f"UPDATE invoices SET status = '{after}', resolved_at = {resolved(after)}"
        f" WHERE id = {an_id('1f')}"
    )
    with app.connect() as conn:
        opened = cycle(2, "2026-03-01", "2026-04-01").replace("gen_random_uuid()", an_id("c2"))
        run(conn, opened, there, payment(an_id("1f")))
        if before is after or (before, after) in CHANGES:
            run(conn, change)
            return
        with pytest.raises(DBAPIError, match=f"invoice X: {before} -> {after} is no legal change"):
            run(conn, change)


def test_the_honest_way_is_open(app: Engine) -> None:
    """What the attacks vary is allowed when it is done right."""
    with app.connect() as conn:
        run(
            conn,
            cycle(2, "2026-03-01", "2026-04-01").replace("gen_random_uuid()", an_id("c2")),
            invoice(an_id("c2")),
            line(an_id("1f"), 1, 60).replace("60, 60)", "60, 60), ") + line_values(2, 40),
            payment(an_id("1f")),
            attempt(LOOSE, 1),
            charge(LOOSE, 1),
            f"UPDATE provider_calls SET sends = 2, answered = 1 WHERE subject_id = {LOOSE}",
            "UPDATE provider_calls SET finished_at = now(), outcome = 'declined'"
            f" WHERE subject_id = {LOOSE}",
            "UPDATE attempts SET finished_at = now(), outcome = 'declined'"
            f" WHERE payment_id = {LOOSE}",
            attempt(LOOSE, 2),
            charge(LOOSE, 2, key="n:a2"),
            f"{CLOSE} WHERE id = {OPENED}",
            "UPDATE test_clock SET now = '2026-02-11'",
        )


def line_values(number: int, amount: int) -> str:
    return f"({an_id('1f')}, {number}, 'extra', 1, {amount}, {amount})"


@pytest.mark.parametrize(
    "statement",
    [
        "SET session_replication_role = replica",
        "ALTER TABLE payments DISABLE TRIGGER ALL",
        "DROP TRIGGER guard ON cycles",
        "ALTER TABLE cycles DROP CONSTRAINT cycles_follow_without_gap",
        "CREATE OR REPLACE FUNCTION guard_payment() RETURNS trigger"
        " LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        "UPDATE alembic_version SET version_num = '9999'",
        "DROP TABLE breaks",
    ],
)
def test_the_application_cannot_touch_the_guards(app: Engine, statement: str) -> None:
    assert_refused(app, "permission denied|must be owner", statement)
