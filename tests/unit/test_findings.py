"""Findings are kinds with facts: each kind has a check, a sentence and a row in the docs."""

from pathlib import Path

import pytest

from billing.flows.prove import PromiseResult
from billing.ledger.findings import LedgerCheck, LedgerFinding, Severity
from billing.presenters import findings, ledger_findings, tie_out
from billing.presenters.findings import in_words
from billing.rules.promises import Finding, FindingKind
from billing.rules.reconciliation import TieOutReason
from billing.store.journal.checks import CHECKS
from billing.store.promises import (
    closed_agrees,
    counted,
    credit,
    discounted,
    every_penny,
    invoiced,
    metered,
    noted,
    nothing_abandoned,
    one_capture,
    one_cycle,
    taxed,
)

DOCS = Path(__file__).resolve().parents[2] / "docs"

IN_SQL = (
    one_cycle.AGAINST_CHANGES,
    one_cycle.CUT_AGAINST_CHANGE,
    one_cycle.RENEWAL_OVERDUE,
    *one_capture.CAPTURED_ONCE,
    *every_penny.EVERY_PENNY,
    *closed_agrees.CLOSED_AGREES,
    *nothing_abandoned.NOTHING_ABANDONED,
    *nothing_abandoned.OVERDUE,
    *noted.NOTED,
    *counted.COUNTED_ONCE,
    invoiced.ITEM_AGAINST_INVOICE,
    *metered.METERED,
    *credit.CREDIT_ADDS_UP,
    *credit.OVERDUE,
    *discounted.DISCOUNTS,
    *taxed.TAXED,
)
# Computed from the rows or from the catalogue.
COMPUTED = {
    FindingKind.SCHEDULE_UNUSABLE,
    FindingKind.CYCLES_MISSING,
    FindingKind.CYCLE_OFF_SCHEDULE,
    FindingKind.SEGMENTS_AGAINST_CHANGES,
    FindingKind.CYCLE_OF_OTHER_KIND,
    FindingKind.RENEWAL_OFF_SCHEDULE,
    FindingKind.DIGEST_DIFFERS,
    FindingKind.REFERENCE_DANGLES,
    FindingKind.TERMS_UNREADABLE,
    FindingKind.FACTS_UNREADABLE,
    FindingKind.INVOICE_AGAINST_FACTS,
    FindingKind.FACTS_AGAINST_TERMS,
    FindingKind.FACTS_AGAINST_ITEMS,
    FindingKind.CYCLE_NOT_FREE,
    FindingKind.CLOSINGS_AGAINST_FACTS,
    FindingKind.ITEMS_AGAINST_CHANGES,
    FindingKind.FACTS_AGAINST_DECISION,
    FindingKind.DECISION_AGAINST_REQUEST,
    FindingKind.NOTE_AGAINST_FACTS,
}


def test_every_kind_of_finding_is_found_by_one_check() -> None:
    kinds = [check.kind for check in IN_SQL]

    assert sorted([*kinds, *COMPUTED]) == sorted(FindingKind)
    assert [check.name for check in CHECKS] == list(LedgerCheck)


def test_every_kind_of_finding_has_a_sentence() -> None:
    assert set(findings._WORDS) == set(FindingKind)
    assert set(ledger_findings._SUBJECTS) == set(ledger_findings._WORDS) == set(LedgerCheck)


@pytest.mark.parametrize("kind", FindingKind)
def test_every_kind_of_finding_has_a_row_in_the_docs(kind: FindingKind) -> None:
    assert f"`{kind}`" in (DOCS / "promises.md").read_text()


def test_a_finding_is_told_with_its_amounts() -> None:
    finding = Finding(
        FindingKind.FEE_ENTRY, {"id": "txn_1", "currency": "USD", "fee": 59, "booked": 0}
    )

    assert in_words(finding) == "of txn_1 the provider kept 0.59 USD, the journal has 0.00 USD"


def test_an_unknown_currency_is_told_as_it_is() -> None:
    finding = Finding(
        FindingKind.FEE_ENTRY, {"id": "txn_1", "currency": "XXQ", "fee": 59, "booked": 0}
    )

    assert "59 minor units of XXQ" in in_words(finding)


def test_what_is_not_shown_is_counted() -> None:
    of_ledger = LedgerFinding(LedgerCheck.ENTRY_SUM, Severity.ERROR, more=3)
    result = PromiseResult(
        3,
        "",
        {},
        (
            LedgerFinding(LedgerCheck.ENTRY_SUM, Severity.ERROR, {"entry_id": 1}),
            of_ledger,
            Finding(FindingKind.FEE_ENTRY, more=1_000),
        ),
    )

    assert in_words(of_ledger) == "ledger, entry_sum: more: and 3 more"
    assert in_words(result.findings[-1]) == "and 1,000 more of this kind"
    assert result.by_kind == {"entry_sum": 4, "fee_entry": 1_000}


@pytest.mark.parametrize("reason", TieOutReason)
def test_every_reason_of_a_tie_out_has_a_sentence_that_the_docs_have(reason: TieOutReason) -> None:
    words = tie_out.in_words(str(reason))

    assert words != str(reason)
    assert f"| {words} |" in (DOCS / "reconciliation.md").read_text()


def test_a_reason_that_was_kept_as_a_sentence_is_told_as_it_is() -> None:
    assert tie_out.in_words("on its way, last year") == "on its way, last year"
