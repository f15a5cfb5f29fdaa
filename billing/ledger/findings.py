"""What a check of the whole ledger can find: the check, and the facts of the rows it found."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class LedgerCheck(StrEnum):
    """The checks of the ledger, each with its row in docs/ledger.md."""

    GLOBAL_SUM = "global_sum"
    ENTRY_SUM = "entry_sum"
    LINES = "lines"
    EMPTY_ENTRY = "empty_entry"
    STRAY_POSTING = "stray_posting"
    PAYLOAD_HASH = "payload_hash"
    REVERSAL = "reversal"
    CHART = "chart"
    CYCLE_RECEIVABLE = "cycle_receivable"
    CLEARING = "clearing"


class Severity(StrEnum):
    """Whether a finding is an error, or for information."""

    ERROR = "error"
    INFORMATION = "information"


@dataclass(frozen=True, slots=True)
class LedgerFinding:
    """A finding of a check, with ids, amounts and counts as facts.

    Only the first of a check are kept one by one. The last of a check may instead count how many
    `more` there are; it has no facts.
    """

    check: LedgerCheck
    severity: Severity
    facts: Mapping[str, Any] = field(default_factory=dict)
    more: int = 0
