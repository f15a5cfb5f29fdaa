"""A check lets a row through where it can't tell: what may be absent is listed.

Every check over several columns is evaluated for all combinations of the values that it names, with
NULL for each column that may be absent.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from tests.store.test_core_promises import OPEN_INVOICE, SUBSCRIPTION, an_id
from tests.store.test_sold_promises import scene as sold_scene

scene = sold_scene

# The checks that can't tell about some rows, and why those are right.
ABSENT_IS_RIGHT: Final[Mapping[str, str]] = {
    "credit_grants_expire_later": "credit without an expiry never expires",
    "credit_grants_not_in_the_past": "the same",
    "entries_not_itself": "most entries reverse none",
    "invoice_lines_period": "a line without a service has neither start nor end",
    "invoices_digest_of_facts": "`invoices_facts_with_rules`: both are there or neither is",
    "payments_capture_within_amount": "without it the whole amount is captured",
    "subscriptions_bill_usage_that_was": "a subscription without meters bills no usage",
}

_CHECKS = text(
    """
    SELECT c.conname AS name, pg_get_expr(c.conbin, c.conrelid) AS rule,
           array_agg(a.attname::text ORDER BY a.attnum) AS columns,
           array_agg(format_type(a.atttypid, NULL) ORDER BY a.attnum) AS types,
           array_agg(NOT a.attnotnull ORDER BY a.attnum) AS absent
      FROM pg_constraint c
      JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey)
     WHERE c.contype = 'c' AND c.connamespace IN ('public'::regnamespace, 'ledger'::regnamespace)
     GROUP BY c.oid
    HAVING count(*) > 1 AND bool_or(NOT a.attnotnull)
    """
)
_SAMPLES: Final[Mapping[str, Sequence[str]]] = {
    "bigint": ("0", "1", "5"),
    "boolean": ("true", "false"),
    "date": ("2026-01-01", "2027-01-01"),
    "integer": ("0", "1", "5"),
    "jsonb": ("{}",),
    "numeric": ("0", "1.5"),
    "smallint": ("0", "1", "5"),
    "timestamp with time zone": ("2026-01-01", "2027-01-01"),
    "text[]": ("{x}",),
    "uuid": ("018f0000-0000-7000-8000-000000000001",),
}


@dataclass(frozen=True, slots=True)
class Check:
    """A check of several columns, of which some may be absent."""

    name: str
    rule: str
    columns: Sequence[str]
    types: Sequence[str]
    absent: Sequence[bool]

    def samples(self, n: int) -> str:
        """Return the values to try for a column, as an array."""
        named = re.findall(r"'([^']*)'::text", self.rule) if self.types[n] == "text" else ()
        values = [f"'{value}'" for value in (*named, *_SAMPLES.get(self.types[n], ("x",)))]
        return f"ARRAY[{', '.join(values + ['NULL'] * self.absent[n])}]::{self.types[n]}[]"

    def cannot_tell(self, conn: Connection) -> bool:
        """Tell whether the check comes to NULL for some values."""
        tried = ", ".join(
            f"unnest({self.samples(n)}) AS _{n}({name})" for n, name in enumerate(self.columns)
        )
        found = conn.exec_driver_sql(f"SELECT FROM {tried} WHERE ({self.rule}) IS NULL LIMIT 1")
        return found.first() is not None


def test_only_what_may_be_absent_is_let_through_by_a_check_that_cannot_tell(
    engine: Engine,
) -> None:
    with engine.connect() as conn:
        checks = [Check(*row) for row in conn.execute(_CHECKS)]
        assert len(checks) > 40
        found = {each.name for each in checks if each.cannot_tell(conn)}
    assert found == set(ABSENT_IS_RIGHT)


def change(**other: str) -> str:
    values = {
        "subscription_id": SUBSCRIPTION, "kind": "'quantity'", "holds_from": "'2026-03-01'",
        "asked_at": "'2026-02-10'", "actor": "'x'", "why": "'x'", "change_id": an_id("f1"),
        "applies": "'now'",
    } | other  # fmt: skip
    names, given = ", ".join(values), ", ".join(values.values())
    return f"INSERT INTO subscription_changes ({names}) VALUES ({given})"


REFUSED = {
    "a change of a quantity that says no time": (
        "subscription_changes_apply", change(applies="NULL"),
    ),
    "a change of the plan that says no time": (
        "subscription_changes_apply", change(kind="'plan'", applies="NULL"),
    ),
    "a change for another time": ("subscription_changes_apply", change(applies="'soon'")),
    "what was held, for a time": (
        "subscription_changes_apply", change(kind="'held'", change_id="NULL"),
    ),
    "a line of NaN units": (
        "invoice_lines_quantity",
        "INSERT INTO invoice_lines (invoice_id, line, description, quantity, unit_amount, amount)"
        f" VALUES ({OPEN_INVOICE}, 3, 'P', 'NaN', 1, 1)",
    ),
    "a line of endless units": (
        "invoice_lines_quantity",
        "INSERT INTO invoice_lines (invoice_id, line, description, quantity, unit_amount, amount)"
        f" VALUES ({OPEN_INVOICE}, 3, 'P', 'Infinity', 1, 1)",
    ),
    "an add-on that fits a plan without a name": (
        "addons_fit_named_plans",
        "INSERT INTO addons (code, name, fits, applied_at) VALUES ('x', 'X', '{p, NULL}', now())",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("says", "statement"), REFUSED.values(), ids=REFUSED)
def test_what_is_left_out_is_refused(attacker: Engine, says: str, statement: str) -> None:
    with pytest.raises(DBAPIError, match=says), attacker.begin() as conn:
        conn.exec_driver_sql(statement)


def test_a_change_that_says_when_it_holds_is_taken(attacker: Engine) -> None:
    with attacker.connect() as conn:
        conn.exec_driver_sql(change())
        conn.exec_driver_sql(change(change_id=an_id("f2"), applies="'period_end'"))
        conn.rollback()
