"""The columns of each noun in tables. JSON carries every field of the row, under the same names."""

from collections.abc import Callable, Sequence
from dataclasses import fields
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

from billing.cli.options import more_hint
from billing.cli.output import Columns, Output
from billing.plans.numbers import exact_text

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

CUSTOMERS: Final = ("id", "external_id", "name", "email", "card_brand", "card_last4")
INVOICE_TAXES: Final = (
    "jurisdiction", "name", "treatment", "rate", "included", "base", "amount", "reason",
)  # fmt: skip
TAX_TOTALS: Final = (
    "jurisdiction", "name", "treatment", "rate", "currency", "invoices", "base", "amount",
    "base_back", "amount_back", "base_lost", "refunded", "disputed", "written_off", "owed",
)  # fmt: skip
TAX_PAYABLE: Final = ("currency", "owed", "otherwise")
TAX_RATES: Final = (
    "country", "region", "tax_class", "name", "rate", "treatment", "since", "until",
)  # fmt: skip
TAX_CALLS: Final = (
    "id", "kind", "state", "provider", "customer_id", "subscription_id", "number", "note",
    "asked_at", "sends", "refusal", "error_class", "error_message",
)  # fmt: skip
TAX_FACTS: Final = ("holds_from", "country", "region", "postal_code", "vat_id", "exempt")
ACCOUNTS: Final = ("provider", "provider_customer_id", "payment_method_id", "created_at")
MOVED_SUBSCRIPTIONS: Final = ("subscription_id", "plan", "named")
MOVED_PAYMENTS: Final = (
    "payment_id", "subscription_id", "amount", "state", "provider", "follows",
)  # fmt: skip
PAYMENT_METHODS: Final = (
    "provider", "provider_payment_method_id", "kind", "brand", "last4", "exp_month", "exp_year",
    "created_at",
)  # fmt: skip
SUBSCRIPTIONS: Final = (
    "id", "external_id", "customer_name", "plan", "status", "renews_at", "parked_reason",
)  # fmt: skip
HELD: Final = ("item", "quantity", "addon", "addon_version", "billed_in")
REDEMPTIONS: Final = ("id", "coupon", "subscription_id", "at", "invoices", "taken")
CYCLES: Final = (
    "n", "kind", "period_start", "period_end", "plan_version", "state", "invoice_number",
    "total", "invoice_status", "payment_state",
)  # fmt: skip
PAYMENTS: Final = (
    "id", "invoice_number", "customer_name", "amount", "state", "attempts", "decline_code",
    "next_attempt_at", "parked_reason",
)  # fmt: skip
ATTEMPTS: Final = (
    "n", "kind", "first_sent_at", "sends", "outcome", "decline_code", "advice_code", "decision",
)  # fmt: skip
TRANSITIONS: Final = ("at", "from_state", "to_state", "cause", "actor")
REFUNDS: Final = (
    "id", "payment_id", "amount", "state", "reason", "requested_by", "failure_reason", "created_at",
)  # fmt: skip
CREDIT_NOTES: Final = (
    "id", "number", "invoice_number", "total", "destination", "refund_state", "reason",
    "created_at",
)  # fmt: skip
NOTE_LINES: Final = ("line", "gross", "discount", "net", "tax")
DISPUTES: Final = (
    "id", "payment_id", "amount", "state", "reason", "stage", "opened_at", "closed_at",
)  # fmt: skip
EXCHANGES: Final = ("id", "at", "sold", "bought", "fee", "rate", "source", "references")
INVOICES: Final = (
    "id", "number", "customer_name", "period_start", "total", "status", "payment_state",
)  # fmt: skip
LINES: Final = (
    "line", "item", "description", "quantity", "unit_amount", "discount", "amount", "tax", "left",
)  # fmt: skip
GRANTS: Final = (
    "id", "customer_id", "amount", "left", "source", "priority", "expires_at", "reason",
)  # fmt: skip
CREDIT_MOVES: Final = ("n", "at", "kind", "amount", "left_after", "invoice_number", "actor")
CREDIT: Final = ("currency", "left", "usable")
PARKED: Final = ("id", "kind", "external_id", "parked_at", "reason", "error")
BREAKS: Final = ("id", "kind", "found_at", "payment_id", "suggested_cause", "resolved_at")

EVENTS: Final = (
    "event_id", "kind", "object_id", "created", "source", "tries", "words", "last_error",
)  # fmt: skip
REPLAYED: Final = ("object_id", "types", "words")
TRIGGERED: Final = ("event_id", "type", "object_id")


def plain(row: "DataclassInstance") -> dict[str, Any]:
    """Return the value that was made from a row as a record, its decisions in words."""
    record = {field.name: _shown(getattr(row, field.name)) for field in fields(row)}
    if "parked_facts" in record:
        from billing.presenters import parking

        record = parking.with_sentence(record, "parked_error", "parked_reason", "parked_facts")
    if "decision_facts" in record:
        from billing.presenters import decisions

        record = decisions.with_sentence(record)
    return record


def _shown(value: object) -> object:
    """Return an exact number as a whole one, or as text where it isn't whole."""
    if not isinstance(value, Fraction):
        return value
    return int(value) if value.denominator == 1 else exact_text(value)


def write_page(
    output: Output,
    rows: "Sequence[DataclassInstance]",
    columns: Columns,
    limit: int,
    *,
    by: str = "id",
    record: "Callable[[DataclassInstance], dict[str, Any]]" = plain,
) -> None:
    """Write up to `limit` rows; if there was one more, tell how to go on after the last one."""
    shown = rows[:limit]
    output.records([record(row) for row in shown], columns)
    if shown:
        more_hint(len(rows), limit, getattr(shown[-1], by))
