"""Decisions as columns: the kind, and the facts beside it. Older rows hold a sentence."""

from collections.abc import Mapping
from typing import Any

from billing.rules.decisions import Decision


def with_decision(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns to write, with a decision among them as its two columns."""
    columns = dict(values)
    if isinstance(decision := columns.get("decision"), Decision):
        columns["decision"] = str(decision.kind)
        columns["decision_facts"] = dict(decision.facts)
    return columns
