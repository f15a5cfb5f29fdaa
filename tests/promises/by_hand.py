"""Mutants of the data that were thought of: each breaks the sense of a promise.

What the catalogue of the schema gives changes one column of one row. Here several rows are changed
together, so that they agree as far as whoever did it would think of.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tests.promises import catalogue
from tests.promises.catalogue import Mutant
from tests.promises.subjects import (
    ASKED,
    CLOSED,
    CREDITED,
    CUT,
    EXPIRED,
    EXPIRING,
    FAILED,
    GRANT,
    HELD,
    LIVE,
    LOST,
    NEXT_WITH_ITEMS,
    NOTE_TO_CARD,
    NOTE_TO_CREDIT,
    NOTED,
    ONE_OFF,
    OPEN,
    OPENED,
    ORDERED,
    OTHER,
    PAUSED,
    PAYOUT,
    REFUND,
    SEATED,
    SETTLED,
    USED,
    USER,
    WITH_ITEMS,
    YEN,
    row_of,
)

OF_ENDED: Final = "subscription_id IN (SELECT id FROM subscriptions WHERE canceled_at IS NOT NULL)"


@dataclass(frozen=True, slots=True)
class Attack:
    """What is done, which promise it breaks, and the kind of finding that has to name it."""

    promise: int
    named: str
    does: Sequence[str]

    def mutant(self, name: str) -> Mutant:
        return Mutant("rows", name, "together", catalogue.BY_HAND, ";".join(self.does))


def _attack(promise: int, named: str, *does: str) -> Attack:
    return Attack(promise, named, does)


def _with_facts(invoice: str, facts: str) -> str:
    """Return the statement that gives an invoice other facts, with their digest."""
    return (
        f"UPDATE invoices SET facts = {facts},"
        f" facts_digest = encode(sha256(convert_to({facts}, 'UTF8')), 'hex') WHERE id = {invoice}"
    )


BY_HAND: Final[Mapping[str, Attack]] = {
    # --- promise 1 ---
    "the last cycle is gone, as if it had never been": _attack(
        1, "renewal_off_schedule",
        f"DELETE FROM cycles WHERE subscription_id = {LIVE}"
        f" AND n = (SELECT next_n - 1 FROM subscriptions WHERE id = {LIVE})",
        f"UPDATE subscriptions SET next_n = next_n - 1 WHERE id = {LIVE}",
    ),
    "a subscription is billed a period early": _attack(
        1, "renewal_off_schedule",
        f"UPDATE subscriptions SET renews_at = renews_at - interval '7 days' WHERE id = {LIVE}",
    ),
    "a period is billed a second time under the next number": _attack(
        1, "cycle_off_schedule",
        "INSERT INTO cycles (id, subscription_id, n, kind, period_start, period_end, plan,"
        " plan_version, state, opened_at, customer_id) SELECT gen_random_uuid(), c.subscription_id,"
        " s.next_n, 'skipped', c.period_start + interval '1 second', c.period_end, c.plan,"
        " c.plan_version, 'opened', c.opened_at, c.customer_id"
        f" FROM cycles c JOIN subscriptions s ON s.id = c.subscription_id WHERE s.id = {LIVE}"
        " AND c.n = s.next_n - 1",
        f"UPDATE subscriptions SET next_n = next_n + 1 WHERE id = {LIVE}",
    ),
    "a renewal is forgotten": _attack(
        1, "renewal_overdue",
        f"UPDATE subscriptions SET renews_at = renews_at - interval '90 days' WHERE id = {LIVE}",
    ),
    "a subscription is given another cadence": _attack(
        1, "cycle_off_schedule", f"UPDATE subscriptions SET every = '1 year' WHERE id = {LIVE}",
    ),
    "a subscription is moved to another zone": _attack(
        1, "cycle_off_schedule",
        f"UPDATE subscriptions SET zone = 'Asia/Tokyo' WHERE id = {LIVE}",
    ),
    "a cut is moved with the cycle that begins there": _attack(
        1, "cut_against_change",
        f"UPDATE cycles SET period_start = period_start + interval '1 hour'"
        f" WHERE subscription_id = {CUT} AND after_cut",
        "UPDATE cycle_cuts SET cut_at = cut_at + interval '1 hour'",
        f"UPDATE segments SET starts_at = starts_at + interval '1 hour'"
        f" WHERE subscription_id = {CUT} AND from_n = 1",
    ),
    "the periods to come are those of another cadence": _attack(
        1, "segments_against_changes",
        "UPDATE subscriptions SET segments_to_come = NULL WHERE segments_to_come IS NOT NULL",
    ),
    "a paused subscription was billed": _attack(
        1, "cycle_against_changes",
        f"UPDATE cycles SET kind = 'regular' WHERE subscription_id = {PAUSED} AND kind = 'paused'",
    ),
    # --- promise 2 ---
    "a second payment of an invoice is captured": _attack(
        2, "captured_twice",
        "ALTER TABLE payments DROP CONSTRAINT payments_invoice_id_key",
        f"UPDATE payments SET invoice_id = (SELECT invoice_id FROM payments WHERE id = {SETTLED})"
        f" WHERE id = {OTHER}",
    ),
    "two payments have exchanged their PaymentIntents": _attack(
        2, "capture_not_in_history",
        "ALTER TABLE payments DROP CONSTRAINT payments_provider_payment_id_key",
        "UPDATE payments p SET provider_payment_id = q.provider_payment_id FROM payments q"
        f" WHERE p.id IN ({SETTLED}, {OTHER}) AND q.id IN ({SETTLED}, {OTHER})"
        " AND p.id <> q.id",
    ),
    "a declined payment says that it was captured": _attack(
        2, "state_not_in_history",
        "UPDATE payments SET state = 'CAPTURED', amount_captured = amount, captured_at ="
        f" updated_at, next_attempt_at = NULL, next_attempt_kind = NULL WHERE id = {FAILED}",
    ),
    "a declined payment has a history of a capture": _attack(
        2, "attempts_miscounted",
        "UPDATE payments SET state = 'CAPTURED', amount_captured = amount,"
        f" captured_at = updated_at WHERE id = {FAILED}",
        "INSERT INTO payment_transitions (payment_id, from_state, to_state, at, actor, cause)"
        " SELECT id, 'FAILED', 'CREATED', updated_at, 'x', 'reopened_by_operator' FROM payments"
        f" WHERE id = {FAILED} UNION ALL"
        " SELECT id, 'CREATED', 'CAPTURED', updated_at, 'x', 'outcome' FROM payments"
        f" WHERE id = {FAILED}",
    ),
    "a captured payment is tried again": _attack(
        2, "attempts_miscounted",
        "INSERT INTO attempts (payment_id, n, kind, payment_method_id, rung, customer_id)"
        f" SELECT payment_id, n + 1, kind, payment_method_id, rung, customer_id FROM attempts"
        f" WHERE payment_id = {SETTLED}",
        "INSERT INTO provider_calls (subject_id, kind, n, customer_id, idempotency_key, request,"
        " first_sent_at, provider) SELECT subject_id, kind, n + 1, customer_id,"
        " idempotency_key || 'x', request, first_sent_at, provider FROM provider_calls"
        f" WHERE subject_id = {SETTLED} AND kind = 'charge'",
        f"UPDATE payments SET attempt_n = attempt_n + 1 WHERE id = {SETTLED}",
    ),
    "less was captured than asked for": _attack(
        2, "captured_amount",
        f"UPDATE payments SET amount_captured = amount_captured - 1 WHERE id = {SETTLED}",
    ),
    "another amount was asked for at the provider": _attack(
        2, "request_differs",
        "UPDATE provider_calls SET request = jsonb_set(request, '{amount}', '1')"
        f" WHERE subject_id = {SETTLED} AND kind = 'charge'",
    ),
    "another currency was asked for at the provider": _attack(
        2, "request_differs",
        "UPDATE provider_calls SET request = jsonb_set(request, '{currency}', '\"EUR\"')"
        f" WHERE subject_id = {SETTLED} AND kind = 'charge'",
    ),
    "a refund was asked for twice": _attack(
        2, "calls_miscounted",
        "INSERT INTO provider_calls (subject_id, kind, n, customer_id, idempotency_key, request,"
        " first_sent_at, finished_at, outcome, provider) SELECT subject_id, kind, n + 2,"
        " customer_id, idempotency_key || 'x', request, first_sent_at, finished_at, outcome,"
        f" provider FROM provider_calls WHERE kind = 'refund' AND subject_id = {REFUND}",
    ),
    "a capture of an authorisation asked for more": _attack(
        2, "call_contradicts_payment",
        "UPDATE provider_calls SET request = jsonb_set(request, '{amount}', '99999')"
        " WHERE kind = 'capture'",
    ),
    # --- promise 3 ---
    "the last number of a series is taken back, with its count": _attack(
        3, "number_of_invoice",
        "DELETE FROM invoice_numbers WHERE n = (SELECT last FROM invoice_series)",
        "UPDATE invoice_series SET last = last - 1",
    ),
    "the first number of a series is taken out of it": _attack(
        3, "series_broken",
        "DELETE FROM invoice_numbers WHERE n = 1",
    ),
    "an invoice is a unit dearer, with its line": _attack(
        3, "invoice_entry",
        f"UPDATE invoices SET net = net + 1, total = total + 1 WHERE id = (SELECT invoice_id"
        f" FROM payments WHERE id = {SETTLED})",
        "UPDATE invoice_lines SET amount = amount + 1, unit_amount = unit_amount + 1"
        f" WHERE invoice_id = (SELECT invoice_id FROM payments WHERE id = {SETTLED})",
    ),
    "an invoice and its payment are a unit dearer": _attack(
        3, "capture_entry",
        f"UPDATE invoices SET net = net + 1, total = total + 1 WHERE id = (SELECT invoice_id"
        f" FROM payments WHERE id = {SETTLED})",
        "UPDATE invoice_lines SET amount = amount + 1, unit_amount = unit_amount + 1"
        f" WHERE invoice_id = (SELECT invoice_id FROM payments WHERE id = {SETTLED})",
        "UPDATE payments SET amount = amount + 1, amount_captured = amount_captured + 1"
        f" WHERE id = {SETTLED}",
        "UPDATE provider_calls SET request = jsonb_set(request, '{amount}',"
        " to_jsonb((request ->> 'amount')::bigint + 1))"
        f" WHERE subject_id = {SETTLED} AND kind = 'charge'",
    ),
    "an invoice, its payment and its call are in another currency": _attack(
        3, "invoice_entry",
        "UPDATE invoices SET currency = 'EUR' WHERE id = (SELECT invoice_id"
        f" FROM payments WHERE id = {YEN})",
        f"UPDATE payments SET currency = 'EUR' WHERE id = {YEN}",
        "UPDATE provider_calls SET request = jsonb_set(request, '{currency}', '\"EUR\"')"
        f" WHERE subject_id = {YEN}",
    ),
    "a payment is given to another customer, with all of it": _attack(
        3, "invoice_and_payment",
        "CREATE TEMPORARY TABLE thief ON COMMIT DROP AS SELECT id FROM customers"
        f" WHERE provider = 'stripe' AND id <> (SELECT customer_id FROM payments WHERE id ="
        f" {SETTLED}) ORDER BY id LIMIT 1",
        f"UPDATE attempts SET customer_id = (SELECT id FROM thief) WHERE payment_id = {SETTLED}",
        "UPDATE provider_calls SET customer_id = (SELECT id FROM thief)"
        f" WHERE subject_id = {SETTLED}",
        f"UPDATE payments SET customer_id = (SELECT id FROM thief) WHERE id = {SETTLED}",
        "DROP TABLE thief",
    ),
    "a whole subscription is given to another customer": _attack(
        3, "invoice_entry",
        "CREATE TEMPORARY TABLE theft ON COMMIT DROP AS SELECT s.id AS subscription,"
        " (SELECT id FROM customers c WHERE c.provider = 'stripe' AND c.id <> s.customer_id"
        f" ORDER BY id LIMIT 1) AS thief FROM subscriptions s WHERE s.id = {LIVE}",
        *(
            f"UPDATE {table} SET customer_id = t.thief FROM theft t WHERE {table}.{key}"
            for table, key in {
                "subscriptions": "id = t.subscription",
                "cycles": "subscription_id = t.subscription",
                "invoices": "subscription_id = t.subscription",
                "attempts": "payment_id IN (SELECT id FROM payments"
                " WHERE subscription_id = t.subscription)",
                "provider_calls": "subject_id IN (SELECT id FROM payments"
                " WHERE subscription_id = t.subscription)",
                "payments": "subscription_id = t.subscription",
            }.items()
        ),
        "DROP TABLE theft",
    ),
    "an invoice was forgiven by hand": _attack(
        3, "invoice_and_payment",
        "UPDATE invoices SET status = 'paid', resolved_at = issued_at WHERE status = 'open'",
    ),
    "a debt was written off without the books": _attack(
        3, "invoice_end_entry",
        f"UPDATE invoices SET status = 'uncollectible', resolved_at = issued_at WHERE id ="
        f" (SELECT invoice_id FROM payments WHERE id = {OPEN})",
        "UPDATE payments SET state = 'FAILED', next_attempt_at = NULL, next_attempt_kind = NULL"
        f" WHERE id = {OPEN}",
        "INSERT INTO payment_transitions (payment_id, from_state, to_state, at, actor, cause)"
        f" SELECT id, 'CREATED', 'FAILED', updated_at, 'x', 'ladder_over' FROM payments"
        f" WHERE id = {OPEN}",
    ),
    "a refund was made smaller on our side alone": _attack(
        3, "refund_entry",
        "UPDATE refunds SET amount = amount - 1, deferred = deferred - (deferred > 0)::int,"
        f" recognised = recognised - (deferred = 0)::int WHERE id = {REFUND}",
    ),
    "a refund was given to another payment": _attack(
        3, "refunds_add_up", f"UPDATE refunds SET payment_id = {OTHER} WHERE id = {REFUND}",
    ),
    "a refund that nobody sent says that it succeeded": _attack(
        3, "refund_entry",
        "UPDATE refunds SET state = 'succeeded', finished_at = created_at, next_attempt_at = NULL"
        f" WHERE id = {ASKED}",
    ),
    "a refund that was asked for is gone": _attack(
        3, "refund_entry",
        f"UPDATE payments SET amount_refunded = amount_refunded - (SELECT amount FROM refunds"
        f" WHERE id = {ASKED}) WHERE id = (SELECT payment_id FROM refunds WHERE id = {ASKED})",
        f"DELETE FROM refunds WHERE id = {ASKED}",
    ),
    "a dispute was decided without the books": _attack(
        3, "dispute_entry",
        "UPDATE disputes SET state = 'lost', stage = 'lost', lost_deferred = amount,"
        f" closed_at = updated_at WHERE id = {HELD}",
    ),
    "a lost dispute was won without the books": _attack(
        3, "dispute_entry",
        "UPDATE disputes SET state = 'won', stage = 'won', lost_deferred = 0, lost_recognised = 0,"
        f" lost_tax = 0 WHERE id = {LOST}",
    ),
    "a dispute is about another payment": _attack(
        3, "row_contradicts_books",
        f"UPDATE disputes d SET payment_id = {OTHER}, customer_id = (SELECT customer_id FROM"
        f" payments WHERE id = {OTHER}) WHERE id = {HELD}",
    ),
    "revenue was earned a day early": _attack(
        3, "recognition_entry",
        "UPDATE revenue_recognitions SET through = through - interval '6 hours'"
        " WHERE (invoice_id, through) = (SELECT invoice_id, through FROM revenue_recognitions"
        " ORDER BY invoice_id, through LIMIT 1)",
    ),
    "revenue moved from one day of an invoice to the next": _attack(
        3, "recognition_entry",
        "CREATE TEMPORARY TABLE two ON COMMIT DROP AS SELECT invoice_id, min(through) AS first,"
        " max(through) AS last FROM revenue_recognitions GROUP BY 1 HAVING count(*) > 1"
        " ORDER BY 1 LIMIT 1",
        "UPDATE revenue_recognitions r SET amount = amount + 1 FROM two t"
        " WHERE r.invoice_id = t.invoice_id AND r.through = t.first",
        "UPDATE revenue_recognitions r SET amount = amount - 1 FROM two t"
        " WHERE r.invoice_id = t.invoice_id AND r.through = t.last",
        "DROP TABLE two",
    ),
    "the provider kept more than its report says": _attack(
        3, "fee_entry",
        "UPDATE settlement_rows SET fee = fee - 1, net = net + 1"
        f" WHERE provider_transaction_id = {row_of(SETTLED)}",
    ),
    "the provider's row of a charge is larger": _attack(
        3, "row_contradicts_books",
        "UPDATE settlement_rows SET amount = amount + 1, net = net + 1"
        f" WHERE provider_transaction_id = {row_of(SETTLED)}",
    ),
    "the provider's rows of two charges are exchanged": _attack(
        3, "row_contradicts_books",
        f"UPDATE settlement_rows SET payment_id = CASE payment_id WHEN {ONE_OFF} THEN {SETTLED}"
        f" ELSE {ONE_OFF} END WHERE payment_id IN ({ONE_OFF}, {SETTLED}) AND kind = 'charge'",
    ),
    "the provider's row of a payout is gone": _attack(
        3, "payout_entry",
        f"DELETE FROM settlement_rows WHERE kind = 'payout' AND source_id = {PAYOUT}",
    ),
    "a payout is larger than what arrived": _attack(
        3, "payout_arrival",
        f"UPDATE payouts SET amount = amount + 1 WHERE provider_payout_id = {PAYOUT}",
    ),
    "a payout that arrived is still on its way": _attack(
        3, "payout_arrival",
        f"UPDATE payouts SET status = 'in_transit' WHERE provider_payout_id = {PAYOUT}",
    ),
    "an exchange and its entry are of other amounts": _attack(
        3, "payload_hash",
        "UPDATE fx_events SET to_amount = to_amount + 1 WHERE payment_id IS NULL",
        "UPDATE ledger.postings l SET amount = amount + sign(amount)::int FROM fx_events x,"
        " ledger.entries e WHERE x.payment_id IS NULL AND e.source_key = x.source_key"
        " AND l.entry_id = e.id AND l.currency = x.to_currency",
    ),
    "a resolved break is open again, and its adjustment stands": _attack(
        3, "adjustment_entry",
        "UPDATE breaks SET resolved_at = NULL, resolution = NULL, resolved_by = NULL"
        " WHERE id::text = (SELECT substr(source_key, length('adjustment:') + 1)"
        " FROM ledger.entries WHERE kind = 'adjustment' LIMIT 1)",
    ),
    "a row was moved to another account at the provider": _attack(
        3, "other_account",
        f"UPDATE payments SET provider = 'eu' WHERE id = {FAILED}",
        f"UPDATE provider_calls SET provider = 'eu' WHERE subject_id = {FAILED}",
    ),
    "an entry was posted under the key of another event": _attack(
        3, "entry_key",
        "UPDATE ledger.entries SET source_key = source_key || 'x'"
        " WHERE kind = 'write_off_reversed'",
    ),
    # --- promise 4 ---
    "a closed cycle's invoice has another number": _attack(
        4, "digest_differs",
        f"UPDATE invoices SET number = number || 'x' WHERE cycle_id = {CLOSED}",
    ),
    "a closed cycle's line has other words": _attack(
        4, "digest_differs",
        "UPDATE invoice_lines SET description = 'a gift' WHERE invoice_id ="
        f" (SELECT id FROM invoices WHERE cycle_id = {CLOSED})",
    ),
    "a closed cycle has a period of other terms": _attack(
        4, "digest_differs", f"UPDATE cycles SET plan = 'weekly' WHERE id = {CLOSED}",
    ),
    "a cycle was closed that isn't paid": _attack(
        4, "closed_unresolved",
        "UPDATE cycles SET state = 'closed', closed_at = opened_at, digest = repeat('0', 64)"
        f" WHERE id = {OPENED}",
    ),
    "a closed cycle's payment was never compared": _attack(
        4, "closed_unresolved",
        "UPDATE payments SET confirmed_at = NULL WHERE invoice_id ="
        f" (SELECT id FROM invoices WHERE cycle_id = {CLOSED})",
    ),
    "a cycle was closed over an open break": _attack(
        4, "closed_with_break",
        "INSERT INTO breaks (id, provider, kind, dedupe_key, cycle_id, ours, theirs,"
        " suggested_cause, found_at) SELECT gen_random_uuid(), 'stripe', 'amount_mismatch', 'k',"
        f" id, '{{}}', '{{}}', 'c', closed_at FROM cycles WHERE id = {CLOSED}",
    ),
    "a closed cycle's digest is excused by a zone that is none": _attack(
        4, "digest_differs", "UPDATE digest_zones SET zone = '../etc/passwd'",
    ),
    # --- promise 5 ---
    "nothing follows for a payment": _attack(
        5, "nothing_follows",
        "UPDATE payments SET next_attempt_at = NULL, next_attempt_kind = NULL"
        f" WHERE id = {OPEN}",
    ),
    "an attempt is forgotten": _attack(
        5, "attempt_overdue",
        "UPDATE payments SET next_attempt_at = next_attempt_at - interval '90 days'"
        f" WHERE id = {OPEN}",
    ),
    "a live subscription never renews": _attack(
        5, "never_renews",
        "ALTER TABLE subscriptions DROP CONSTRAINT subscriptions_renew_while_live",
        f"UPDATE subscriptions SET renews_at = NULL WHERE id = {LIVE}",
    ),
    "a capture was never compared, and nobody looks": _attack(
        5, "unconfirmed",
        f"UPDATE payments SET confirmed_at = NULL WHERE id = {ONE_OFF}",
    ),
    "a refund without an outcome isn't asked for": _attack(
        5, "call_not_due",
        "UPDATE provider_calls SET finished_at = NULL, outcome = NULL WHERE kind = 'refund'"
        f" AND subject_id = {REFUND}",
    ),
    "a break that stood open is gone": _attack(
        5, "row_without_break",
        "DELETE FROM breaks WHERE resolved_at IS NULL AND provider_transaction_id IN"
        " (SELECT provider_transaction_id FROM settlement_rows WHERE outcome = 'duplicate_charge')",
    ),
    "a payout arrived, and the books have it on its way": _attack(
        5, "payout_unbooked",
        "CREATE TEMPORARY TABLE gone ON COMMIT DROP AS SELECT id FROM ledger.entries"
        f" WHERE source_key = 'payout_arrived:' || {PAYOUT}",
        "DELETE FROM ledger.postings WHERE entry_id = (SELECT id FROM gone)",
        "DELETE FROM ledger.entries WHERE id = (SELECT id FROM gone)",
        "DROP TABLE gone",
    ),
    # --- promise 7 ---
    "an invoice's facts are another document, with its digest": _attack(
        7, "facts_unreadable", _with_facts(WITH_ITEMS, "'{}'"),
    ),
    "an invoice's facts make no amounts": _attack(
        7, "facts_unreadable",
        _with_facts(WITH_ITEMS, "replace(facts, '\"source\"', '\"share\"\\:[1,0],\"source\"')"),
    ),
    "an open invoice has no facts any more": _attack(
        7, "facts_unreadable",
        "UPDATE invoices SET facts = NULL, rules = NULL, facts_digest = NULL WHERE id ="
        f" (SELECT invoice_id FROM payments WHERE id = {OPEN})",
    ),
    "one line of an invoice is dearer, and another one cheaper": _attack(
        7, "invoice_against_facts",
        "UPDATE invoice_lines SET amount = amount + CASE line WHEN 1 THEN 1 ELSE -1 END"
        f" WHERE invoice_id = {WITH_ITEMS} AND line < 3",
    ),
    "a line that somebody asked for is said to be of a plan": _attack(
        7, "facts_against_terms",
        _with_facts(ORDERED, "replace(facts, '\"source\"\\:\"order\"', '\"source\"\\:\"plan\"')"),
    ),
    "an invoice's facts are dearer, with its lines, payment and call": _attack(
        7, "facts_against_terms",
        _with_facts(WITH_ITEMS, "replace(facts, '\"amount\"\\:\"9900\"', '\"amount\"\\:\"9901\"')"),
        f"UPDATE invoices SET net = net + 1, total = total + 1 WHERE id = {WITH_ITEMS}",
        "UPDATE invoice_lines SET amount = amount + 1, unit_amount = unit_amount + 1, unit_price ="
        f" '9901' WHERE invoice_id = {WITH_ITEMS} AND line = 1",
        "UPDATE payments SET amount = amount + 1, amount_captured = amount_captured + 1"
        f" WHERE invoice_id = {WITH_ITEMS}",
        "UPDATE provider_calls SET request = jsonb_set(request, '{amount}',"
        " to_jsonb((request ->> 'amount')::bigint + 1)) WHERE kind = 'charge' AND subject_id ="
        f" (SELECT id FROM payments WHERE invoice_id = {WITH_ITEMS})",
    ),
    "a price was published with another amount afterwards": _attack(
        7, "terms_unreadable",
        "UPDATE plan_versions SET terms = replace(terms::text, '9900', '9800')::jsonb"
        " WHERE plan = 'team'",
    ),
    "a subscription holds more seats than it was billed for": _attack(
        7, "facts_against_items",
        f"UPDATE subscription_items SET quantity = 8 WHERE subscription_id = {SEATED}"
        " AND item = 'seats'",
    ),
    "an item that was charged once is to be charged again": _attack(
        7, "facts_against_items",
        f"UPDATE subscription_items SET billed_in = NULL WHERE subscription_id = {SEATED}",
    ),
    "an item that was charged once names the invoice after it": _attack(
        7, "item_against_invoice",
        f"UPDATE subscription_items SET billed_in = {NEXT_WITH_ITEMS}"
        f" WHERE subscription_id = {SEATED} AND item = 'setup'",
    ),
    "a period that was skipped was free": _attack(
        7, "cycle_not_free",
        "UPDATE cycles SET kind = 'free' WHERE id = (SELECT id FROM cycles WHERE kind = 'skipped'"
        " ORDER BY subscription_id, n LIMIT 1)",
    ),
    "a coupon took off less than the invoice says": _attack(
        7, "discount_of_invoice", "UPDATE invoice_discounts SET amount = amount - 1",
    ),
    "the coupon of an invoice was somebody else's": _attack(
        7, "discount_of_redemption",
        "UPDATE redemptions SET subscription_id = NULL, customer_id = (SELECT c.id FROM customers c"
        " WHERE c.id <> redemptions.customer_id ORDER BY c.id LIMIT 1) WHERE id ="
        " (SELECT redemption_id FROM invoice_discounts LIMIT 1)",
    ),
    "a coupon that is for one invoice was used for two": _attack(
        7, "redemption_overused",
        "INSERT INTO invoice_discounts (invoice_id, redemption_id, base, amount) SELECT"
        f" {WITH_ITEMS}, redemption_id, base, amount FROM invoice_discounts LIMIT 1",
    ),
    "usage is billed that nobody had": _attack(
        7, "closings_against_facts",
        f"UPDATE usage_closings SET quantity = quantity + 1 WHERE {USED}",
    ),
    "more was billed than was counted": _attack(
        7, "closing_against_total",
        f"UPDATE usage_totals SET events = events - 1 WHERE subscription_id = {USER} AND n = 0",
    ),
    "usage is billed by the invoice of another subscription": _attack(
        7, "closing_of_invoice",
        f"UPDATE usage_closings SET invoice_id = {WITH_ITEMS} WHERE {USED}",
    ),
    "what was used is never billed": _attack(
        7, "usage_passed_over", f"DELETE FROM usage_closings WHERE subscription_id = {USER}",
    ),
    "usage is to be billed once more": _attack(
        7, "usage_closed_ahead",
        f"UPDATE subscriptions SET usage_from_n = 0 WHERE id = {USER}",
    ),
    "what was used before an end is never billed": _attack(
        7, "usage_left_unbilled",
        f"UPDATE usage_totals SET events = events + 1 WHERE {OF_ENDED}",
        "UPDATE subscriptions SET usage_due_at = NULL WHERE canceled_at IS NOT NULL",
    ),
    # --- promise 8 ---
    "less credit pays an invoice, and its payment is larger": _attack(
        8, "credit_of_invoice",
        f"UPDATE invoices SET credit = credit - 1 WHERE id = {CREDITED}",
        "UPDATE payments SET amount = amount + 1, amount_captured = amount_captured + 1"
        f" WHERE invoice_id = {CREDITED}",
    ),
    "a grant of credit is larger": _attack(
        8, "grant_moves", f"UPDATE credit_grants SET amount = amount + 1 WHERE id = {GRANT}",
    ),
    "a grant of credit is larger, with its moves": _attack(
        8, "credit_balance",
        "UPDATE credit_moves SET amount = amount + (n = 0)::int, left_before = left_before"
        f" + (n > 0)::int, left_after = left_after + 1 WHERE grant_id = {GRANT}",
        f"UPDATE credit_grants SET amount = amount + 1 WHERE id = {GRANT}",
    ),
    "credit that was used is there again": _attack(
        8, "credit_balance",
        f"DELETE FROM credit_moves WHERE grant_id = {GRANT} AND n > 0",
    ),
    "a use of credit names another invoice": _attack(
        8, "credit_entry",
        f"UPDATE credit_moves SET invoice_id = {WITH_ITEMS} WHERE grant_id = {GRANT} AND n = 1",
    ),
    "credit that was given away expired to revenue": _attack(
        8, "credit_expired_to",
        "UPDATE ledger.postings SET account_id = (SELECT id FROM ledger.accounts"
        " WHERE code = 'revenue' AND currency = 'USD') WHERE account_id IN (SELECT id FROM"
        " ledger.accounts WHERE code = 'credit_grants') AND entry_id IN (SELECT id FROM"
        " ledger.entries WHERE kind = 'credit_expired')",
    ),
    "credit paid before its time": _attack(
        8, "credit_out_of_place",
        f"UPDATE credit_grants SET effective_at = effective_at + interval '10 days'"
        f" WHERE id = {EXPIRED}",
    ),
    "credit of one subscription paid another one": _attack(
        8, "credit_out_of_place",
        f"UPDATE credit_grants SET subscription_id = {SEATED} WHERE id = {GRANT}",
    ),
    "credit expires and nobody looks": _attack(
        8, "credit_expiry_due",
        f"UPDATE credit_grants SET expiry_due_at = NULL WHERE id = {EXPIRING}",
    ),
    "credit expired long ago and nobody looked": _attack(
        8, "credit_not_expired",
        "UPDATE credit_grants SET effective_at = '2026-01-01', created_at = '2026-01-01',"
        " expires_at = '2026-01-02', expiry_due_at = '2026-01-02'"
        f" WHERE id = {EXPIRING}",
    ),
    # --- promise 9 ---
    "a credit note is of an invoice that is void": _attack(
        9, "note_of_invoice", f"UPDATE invoices SET status = 'void' WHERE id = {NOTED}",
    ),
    "a credit note is larger than its lines": _attack(
        9, "note_lines",
        f"UPDATE credit_notes SET net = net + 1, deferred = deferred + 1 WHERE id = {NOTE_TO_CARD}",
    ),
    "more of a line was given back than it came to": _attack(
        9, "notes_within_line",
        "UPDATE credit_note_lines SET gross = gross * 100, net = net * 100,"
        f" all_gross = all_gross * 100, all_net = all_net * 100 WHERE note_id = {NOTE_TO_CARD}",
    ),
    "more of an invoice was given back than it came to": _attack(
        9, "given_back_above",
        "UPDATE credit_notes SET net = net * 100, deferred = net * 100 - recognised"
        f" WHERE id = {NOTE_TO_CARD}",
    ),
    "a line of a credit note gave its discount back as well": _attack(
        9, "note_against_facts",
        "UPDATE credit_note_lines SET discount = discount + 1, all_discount = all_discount + 1,"
        f" net = net - 1, all_net = all_net - 1 WHERE note_id = {NOTE_TO_CARD}",
        "UPDATE credit_notes SET discount = discount + 1, net = net - 1, deferred = deferred - 1"
        f" WHERE id = {NOTE_TO_CARD}",
    ),
    "the credit that a credit note gave is gone": _attack(
        9, "note_given",
        "DELETE FROM credit_moves WHERE grant_id ="
        f" (SELECT id FROM credit_grants WHERE note_id = {NOTE_TO_CREDIT})",
        f"DELETE FROM credit_grants WHERE note_id = {NOTE_TO_CREDIT}",
    ),
    "a credit note gave back what was earned": _attack(
        9, "note_entry",
        "UPDATE credit_notes SET recognised = recognised + 1, deferred = deferred - 1"
        f" WHERE id = {NOTE_TO_CREDIT}",
    ),
    # --- promise 10 ---
    "an event counts twice": _attack(
        10, "usage_counted_twice",
        "INSERT INTO usage_events (id, at, meter, subscription_id, n, segment, value, key,"
        " received_at, payload) SELECT id, at + interval '1 second', meter, subscription_id, n,"
        " segment, value, key, received_at, payload FROM usage_events ORDER BY id, meter LIMIT 1",
    ),
    "who used something is forgotten": _attack(
        10, "usage_key_missing",
        f"DELETE FROM usage_keys WHERE subscription_id = {USER}",
        f"UPDATE usage_totals SET keys = NULL WHERE subscription_id = {USER}",
    ),
    "a day was sealed with more than totals have of it": _attack(
        10, "usage_sealed",
        "INSERT INTO usage_days (day, events, counted, id_sum, sealed_at, actor)"
        " VALUES ('2025-12-31', 1, 1, 1, now(), 'x')",
    ),
}  # fmt: skip
