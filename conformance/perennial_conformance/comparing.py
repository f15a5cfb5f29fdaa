"""What an engine answered, held against what is published."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from perennial_conformance.loading import Case

OPTIONAL: Final[Mapping[str, frozenset[str]]] = {"plan_change": frozenset(("credit", "debit"))}
"""What an engine may leave out of an answer: some know only what a change costs on the whole."""


class Status(StrEnum):
    """What became of a case."""

    CONFORMS = "conforms"
    DIFFERS = "differs"
    UNSUPPORTED = "unsupported"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The status of a case and what it rests on.

    `variant` names the published answer that was given, where there are several; `answer` is what
    the adapter answered, or its reason.
    """

    case: Case
    status: Status
    answer: Any
    variant: str | None = None


def judge(case: Case, reply: Mapping[str, Any]) -> Outcome:
    """Return the outcome of a case from the adapter's reply."""
    if "unsupported" in reply:
        return Outcome(case, Status.UNSUPPORTED, str(reply["unsupported"]))
    if "result" not in reply:
        return Outcome(case, Status.FAILED, str(reply.get("error", "no result")))
    result = reply["result"]
    for variant in case.variants:
        if _agrees(variant.expected, result, OPTIONAL.get(case.kind, frozenset())):
            name = variant.name if len(case.variants) > 1 else None
            return Outcome(case, Status.CONFORMS, result, name)
    return Outcome(case, Status.DIFFERS, result)


def _agrees(expected: Mapping[str, Any], result: Any, optional: frozenset[str]) -> bool:
    """Say whether a result has all that is expected; further fields don't count."""
    if not isinstance(result, Mapping):
        return False
    asked = {
        name: value for name, value in expected.items() if name in result or name not in optional
    }
    return all(_has(result, name, value) for name, value in asked.items())


def _has(result: Mapping[str, Any], name: str, value: Any) -> bool:
    if name not in ("includes", "excludes"):
        return _same(result.get(name), value)
    dates = result.get("dates")
    if not isinstance(dates, list) or not dates:
        return False
    days = {str(day) for day in dates}
    return days >= set(value) if name == "includes" else not days & set(value)


def _same(one: Any, other: Any) -> bool:
    """Compare JSON values; 1, true and 1.0 are three different answers."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return type(one) is type(other) and bool(one == other)
