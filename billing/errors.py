"""The errors that a user meets: what went wrong, where, a code and the facts.

What to do about it is written where the error is shown, because a person at a shell and a program
at the API do different things: `billing.cli.remedies` and `billing.api.remedies` have a table by
code each. A part that only ever shows its errors on a terminal (configuration, the CLI itself,
embedded servers) may give `remedy` with the error.
"""

from collections.abc import Mapping
from enum import StrEnum


class ErrorCode(StrEnum):
    """What went wrong, for programs. Each has its line in docs/operations.md."""

    # One for each family, for errors that have none of their own.
    ERROR = "error"
    BAD_INPUT = "bad_input"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    UNAVAILABLE = "unavailable"
    SCHEMA_UNKNOWN = "schema_unknown"

    # Customers, plans, subscriptions.
    CUSTOMER_NOT_FOUND = "customer_not_found"
    CUSTOMER_EXISTS = "customer_exists"
    CUSTOMER_UNFINISHED = "customer_unfinished"
    CUSTOMER_ELSEWHERE = "customer_elsewhere"
    PLAN_NOT_PUBLISHED = "plan_not_published"
    PLAN_RETIRED = "plan_retired"
    VERSION_PUBLISHED = "version_published"
    VERSION_NOT_ON_SALE = "version_not_on_sale"
    PRICE_MISSING = "price_missing"
    COUPON_NOT_FOUND = "coupon_not_found"
    COUPON_EXPIRED = "coupon_expired"
    COUPON_USED_UP = "coupon_used_up"
    COUPON_REDEEMED_ALREADY = "coupon_redeemed_already"
    COUPON_CURRENCY = "coupon_currency"
    COUPON_DOES_NOT_FIT = "coupon_does_not_fit"
    ADDON_DOES_NOT_FIT = "addon_does_not_fit"
    ADDON_NOT_ON_SALE = "addon_not_on_sale"
    ITEM_UNKNOWN = "item_unknown"
    ITEM_QUANTITY = "item_quantity"
    ITEM_QUANTITY_RANGE = "item_quantity_range"
    ZONE_UNKNOWN = "zone_unknown"
    SUBSCRIPTION_NOT_FOUND = "subscription_not_found"
    SUBSCRIPTION_EXISTS = "subscription_exists"
    SUBSCRIBED_ALREADY = "subscribed_already"
    SERVED_NOT_BILLED = "served_not_billed"
    SUBSCRIPTION_ENDED = "subscription_ended"
    SUBSCRIPTION_NOT_PAUSABLE = "subscription_not_pausable"
    CHANGE_NOTHING = "change_nothing"
    TAX_UNDECIDED = "tax_undecided"
    TAX_CALL_NOT_FOUND = "tax_call_not_found"
    TAX_CALL_NOT_REFUSED = "tax_call_not_refused"
    TAX_PLACE = "tax_place"
    VAT_ID = "vat_id"
    CHANGE_PERIOD_BEGINS = "change_period_begins"
    CHANGE_BILLING_DAY = "change_billing_day"
    CHANGE_PERIOD_NOT_OPENED = "change_period_not_opened"
    CHANGE_INVOICE_WITHOUT_FACTS = "change_invoice_without_facts"
    CHANGE_PAYMENT_UNDER_WAY = "change_payment_under_way"
    CHANGE_PAST_DUE = "change_past_due"
    CHANGE_UNPAID = "change_unpaid"
    CHANGE_ENDING = "change_ending"
    CHANGE_NOT_FOUND = "change_not_found"
    CHANGE_HOLDS = "change_holds"
    CHANGE_RESTED_ON = "change_rested_on"
    CHANGE_ID_TAKEN = "change_id_taken"
    QUOTE_MOVED = "quote_moved"
    DATE_PASSED = "date_passed"
    NO_PERIOD_MISSED = "no_period_missed"
    NOT_PARKED = "not_parked"
    CYCLE_NOT_OPENABLE = "cycle_not_openable"

    # Payments.
    PAYMENT_NOT_FOUND = "payment_not_found"
    PAYMENT_PARKED = "payment_parked"
    PAYMENT_NOT_AUTHORISED = "payment_not_authorised"
    AUTHORISATION_UNDER_WAY = "authorisation_under_way"
    CAPTURE_UNDER_WAY = "capture_under_way"
    VOID_UNDER_WAY = "void_under_way"
    ATTEMPT_OPEN = "attempt_open"
    PAYMENT_NOT_RETRYABLE = "payment_not_retryable"
    ONE_OFF_IS_FINAL = "one_off_is_final"
    WRITTEN_OFF_AND_CLOSED = "written_off_and_closed"
    ILLEGAL_TRANSITION = "illegal_transition"
    TRANSITION_CAUSE = "transition_cause"
    AMOUNT_BELOW_MINIMUM = "amount_below_minimum"
    AMOUNT_ABOVE_MAXIMUM = "amount_above_maximum"
    PAYER_MISSING = "payer_missing"
    PAYMENT_METHOD_MISSING = "payment_method_missing"
    PAYMENT_METHOD_NOT_FOUND = "payment_method_not_found"
    PAYMENT_METHOD_OF_ANOTHER = "payment_method_of_another"
    CARD_NUMBER_REFUSED = "card_number_refused"

    # Refunds.
    NOTHING_CAPTURED = "nothing_captured"
    NOTHING_LEFT_TO_REFUND = "nothing_left_to_refund"
    REFUND_TOO_HIGH = "refund_too_high"
    REFUND_ID_TAKEN = "refund_id_taken"

    # Invoices.
    INVOICE_ID_TAKEN = "invoice_id_taken"
    INVOICE_OF_SUBSCRIPTION = "invoice_of_subscription"
    INVOICE_NOT_OPEN = "invoice_not_open"

    # Credit notes.
    CREDIT_NOTE_ID_TAKEN = "credit_note_id_taken"
    CREDIT_NOTE_LINE = "credit_note_line"
    CREDIT_NOTE_OF_NOTHING = "credit_note_of_nothing"
    CREDIT_NOTE_OF_TOP_UP = "credit_note_of_top_up"
    CREDIT_NOTE_TOO_HIGH = "credit_note_too_high"
    INVOICE_NOT_PAID = "invoice_not_paid"

    # Credit.
    GRANT_NOT_FOUND = "grant_not_found"
    GRANT_ID_TAKEN = "grant_id_taken"
    GRANT_PAYS_NOTHING = "grant_pays_nothing"
    GRANT_PAID_FOR = "grant_paid_for"
    GRANT_USED_UP = "grant_used_up"

    # Callers of the API.
    API_KEY_NAME = "api_key_name"
    API_KEY_NOT_FOUND = "api_key_not_found"
    PEPPER_MISSING = "pepper_missing"
    IDEMPOTENCY_KEY_MALFORMED = "idempotency_key_malformed"
    IDEMPOTENCY_KEY_REUSED = "idempotency_key_reused"
    REQUEST_IN_FLIGHT = "request_in_flight"
    EVENT_NOT_FOUND = "event_not_found"

    # Breaks and exchanges.
    REASON_MISSING = "reason_missing"
    NOTE_EMPTY = "note_empty"
    ASSIGNEE_MISSING = "assignee_missing"
    BREAK_NOT_FOUND = "break_not_found"
    BREAK_RESOLVED = "break_resolved"
    BREAK_OF_OTHER_KIND = "break_of_other_kind"
    ADJUSTMENT_ZERO = "adjustment_zero"
    ADJUSTMENT_CURRENCY = "adjustment_currency"
    EXCHANGE_ONE_CURRENCY = "exchange_one_currency"
    EXCHANGE_AMOUNT_SIGN = "exchange_amount_sign"
    EXCHANGE_FEE = "exchange_fee"
    EXCHANGE_SOURCE_MISSING = "exchange_source_missing"
    EXCHANGE_RATE = "exchange_rate"
    EXCHANGE_RATE_DIFFERS = "exchange_rate_differs"
    EXCHANGE_REFERENCES = "exchange_references"
    EXCHANGE_AMOUNTS_DIFFER = "exchange_amounts_differ"
    EXCHANGE_SHOWN_ALREADY = "exchange_shown_already"
    EXCHANGE_OF_OTHERS = "exchange_of_others"
    EXCHANGE_WAITING = "exchange_waiting"
    EXCHANGE_RECORDED_OTHERWISE = "exchange_recorded_otherwise"
    EXCHANGE_SIDE = "exchange_side"
    TRANSACTION_NOT_READ = "transaction_not_read"
    TRANSACTION_EXPLAINED = "transaction_explained"

    # Settlement.
    RUN_NOT_FOUND = "run_not_found"
    LEASE_LOST = "lease_lost"
    AS_OF_TO_COME = "as_of_to_come"
    REPORT_MALFORMED = "report_malformed"
    REPORT_UNREADABLE = "report_unreadable"
    REPORT_DAMAGED = "report_damaged"
    REPORT_CHANGED = "report_changed"
    REPORT_COLUMNS_MISSING = "report_columns_missing"
    REPORT_COLUMNS_TWICE = "report_columns_twice"
    REPORT_COLUMN_NEEDED = "report_column_needed"
    REPORT_CARD_NUMBER = "report_card_number"
    REPORT_DECIMAL_COMMA = "report_decimal_comma"
    REPORT_THOUSANDS = "report_thousands"
    REPORT_AMOUNT_FORMAT = "report_amount_format"
    REPORT_SEPARATOR = "report_separator"
    REPORT_INSTANT = "report_instant"

    # Usage.
    USAGE_STILL_ACCEPTED = "usage_still_accepted"

    # Journal and database.
    SOURCE_KEY_TAKEN = "source_key_taken"
    ENTRY_NOT_FOUND = "entry_not_found"
    ENTRY_REVERSED = "entry_reversed"
    CYCLE_CLOSED = "cycle_closed"
    RECOVERING = "recovering"
    DATABASE_URL_UNREADABLE = "database_url_unreadable"
    CLOCK_AHEAD = "clock_ahead"
    DATABASE_UNREACHABLE = "database_unreachable"
    DATABASE_SESSION = "database_session"
    REVISION_UNKNOWN = "revision_unknown"
    ROLE_UNUSABLE = "role_unusable"
    MIGRATION_ROLLED_BACK = "migration_rolled_back"
    ROLES_MISSING = "roles_missing"


class BillingError(Exception):
    """Something the user can act on; `exit_code` is what the CLI ends with.

    `code` is the class's, unless the raiser names a narrower one. `facts` are ids, amounts and
    the like, as values.
    """

    exit_code = 1
    code = ErrorCode.ERROR

    def __init__(
        self,
        what: str,
        *,
        code: ErrorCode | None = None,
        where: str | None = None,
        remedy: str | None = None,
        **facts: object,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.remedy = remedy
        self.facts: Mapping[str, object] = facts
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        parts = [self.what]
        if self.where:
            parts.append(f"where: {self.where}")
        if self.remedy:
            parts.append(f"remedy: {self.remedy}")
        return "\n  ".join(parts)


class BadInput(BillingError):
    """What the user typed or configured can't be taken; nothing was changed."""

    exit_code = 2
    code = ErrorCode.BAD_INPUT


class NotFound(BadInput):
    """No such thing; nothing was changed."""

    code = ErrorCode.NOT_FOUND


class Conflict(BadInput):
    """The thing exists already or is in a state that forbids this; nothing was changed."""

    code = ErrorCode.CONFLICT


class Unavailable(BillingError):
    """A server we depend on (database, Redis, provider) doesn't answer; trying again may work."""

    exit_code = 4
    code = ErrorCode.UNAVAILABLE


class SchemaUnknown(BillingError):
    """The database's schema is not the one this code was written for."""

    exit_code = 5
    code = ErrorCode.SCHEMA_UNKNOWN


def first_line(error: object) -> str:
    """Return what an error says in one line; the database's go on for many."""
    return str(error).strip().split("\n", 1)[0]


def remedy_from(remedies: Mapping[ErrorCode, str], error: BillingError) -> str | None:
    """Return what a table says to do about an error, with the error's facts filled in."""
    words = remedies.get(error.code)
    if words is None:
        return None
    return words.format_map({name: _in_words(fact) for name, fact in error.facts.items()})


def _in_words(fact: object) -> str:
    return ", ".join(map(str, fact)) if isinstance(fact, tuple | list) else str(fact)
