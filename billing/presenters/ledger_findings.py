"""The findings of a check of the ledger: what each is about, and what is wrong with it."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from billing.ledger.accounts import CHART, AccountCode
from billing.ledger.findings import LedgerCheck, LedgerFinding
from billing.presenters.text import amount

Facts = Mapping[str, Any]


def subject(finding: LedgerFinding) -> str:
    """Return what a finding is about."""
    return "more" if finding.more else _SUBJECTS[finding.check](finding.facts)


def what(finding: LedgerFinding) -> str:
    """Return what is wrong with its subject."""
    if finding.more:
        return f"and {finding.more:,} more"
    return _WORDS[finding.check](finding.facts)


def _entry(facts: Facts) -> str:
    source_key = f" ({facts['source_key']})" if facts["source_key"] else ""
    return f"entry {facts['entry_id']}{source_key}"


# Why a clearing account may hold something; the chart says which accounts those are.
_ON_ITS_WAY: Final = {
    AccountCode.PSP_CLEARING: "Captured and not yet settled and paid out by the provider.",
    AccountCode.PAYOUT_TRANSIT: "Sent by the provider and not yet seen at the bank.",
    AccountCode.REFUND_PAYABLE: "Requested and not yet confirmed by the provider.",
    AccountCode.DISPUTE_RECEIVABLE: "Disputes that are not decided.",
}
assert set(_ON_ITS_WAY) == {code for code, line in CHART.items() if line.clearing}

_SUBJECTS: Final[Mapping[LedgerCheck, Callable[[Facts], str]]] = {
    LedgerCheck.GLOBAL_SUM: lambda row: f"all {row['currency']} postings",
    LedgerCheck.ENTRY_SUM: _entry,
    LedgerCheck.LINES: _entry,
    LedgerCheck.EMPTY_ENTRY: _entry,
    LedgerCheck.STRAY_POSTING: lambda row: f"line {row['line']} of {_entry(row)}",
    LedgerCheck.PAYLOAD_HASH: _entry,
    LedgerCheck.REVERSAL: _entry,
    LedgerCheck.CHART: lambda row: f"account {row['id']} ({row['code']})",
    LedgerCheck.CYCLE_RECEIVABLE: lambda row: f"cycle {row['cycle_id']}",
    LedgerCheck.CLEARING: lambda row: f"{row['code']} in {row['currency']}",
}
_WORDS: Final[Mapping[LedgerCheck, Callable[[Facts], str]]] = {
    LedgerCheck.GLOBAL_SUM: lambda row: (
        f"add up to {amount(row['amount'], row['currency'])}, not zero"
    ),
    LedgerCheck.ENTRY_SUM: lambda row: (
        f"its postings add up to {amount(row['amount'], row['currency'])}, not zero"
    ),
    LedgerCheck.LINES: lambda row: (
        f"has {row['lines']} posting(s) numbered from {row['low']} to {row['high']}"
    ),
    LedgerCheck.EMPTY_ENTRY: lambda _: "has no postings",
    LedgerCheck.STRAY_POSTING: lambda row: (
        f"is {row['currency']} on account {row['account_id']}, which is {row['account_currency']}"
        if row["account_currency"] and row["source_key"]
        else "names an entry or an account that doesn't exist"
    ),
    LedgerCheck.PAYLOAD_HASH: lambda _: (
        "doesn't match the hash taken when it was posted: it was changed since"
    ),
    LedgerCheck.REVERSAL: lambda row: f"is no exact reversal of {row['original']}",
    LedgerCheck.CHART: lambda row: (
        f"has class {row['class_letter']}, {'an' if row['owner_id'] else 'no'} owner and"
        f" {row['provider'] or 'no provider'}, which the chart doesn't say"
    ),
    LedgerCheck.CYCLE_RECEIVABLE: lambda row: (
        f"the ledger's receivable is {amount(row['receivable'], row['currency'])}, "
        + (
            f"but invoice {row['number']} is {row['status']} with"
            f" {amount(row['open'], row['currency'])} open"
            if row["number"]
            else "but it has no invoice in that currency"
        )
    ),
    LedgerCheck.CLEARING: lambda row: (
        f"holds {amount(row['amount'], row['currency'])}: "
        + "; ".join(
            f"{count:,} x {kind} {amount(part, row['currency'])}"
            for kind, count, part in zip(row["kinds"], row["entries"], row["amounts"], strict=True)
        )
        + f". {_ON_ITS_WAY[AccountCode(row['code'])]}"
    ),
}
