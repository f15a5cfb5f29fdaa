"""A run as text for a terminal, as JSON, and as Markdown tables of several runs."""

import json
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from perennial_conformance.comparing import Outcome, Status
from perennial_conformance.loading import KINDS, Case, Source
from perennial_conformance.running import Run

_WORDS = {
    Status.CONFORMS: "conforms",
    Status.DIFFERS: "differs",
    Status.UNSUPPORTED: "not supported",
    Status.FAILED: "failed",
}


def summary(run: Run) -> str:
    """Return one sentence on a run."""
    parts = ", ".join(f"{run.count(status)} {word}" for status, word in _WORDS.items())
    return f"{run.engine} {run.version}: {parts}, of {len(run.outcomes)}"


def as_text(run: Run, *, verbose: bool = False) -> str:
    """Return what differs or failed, with what is published, and the summary."""
    lines = []
    for outcome in run.outcomes:
        told = outcome.status in (Status.DIFFERS, Status.FAILED)
        if told or verbose:
            lines.append(f"{_WORDS[outcome.status]:14}{outcome.case.id}")
        if told:
            lines += _against(outcome)
    return "\n".join([*lines, summary(run)])


def _against(outcome: Outcome) -> list[str]:
    lines = [f"    {outcome.case.rule}", f"    answered   {_short(outcome.answer)}"]
    for variant in outcome.case.variants:
        lines.append(f"    published  {_short(variant.expected)}")
        lines += [f"               {source.url}" for source in variant.sources]
    return lines


def as_json(run: Run) -> str:
    """Return a run with every answer."""
    outcomes = [
        {
            "id": outcome.case.id,
            "kind": outcome.case.kind,
            "status": outcome.status,
            "variant": outcome.variant,
            "answer": outcome.answer,
        }
        for outcome in run.outcomes
    ]
    head = {"engine": run.engine, "version": run.version, "surface": run.surface}
    rows = ",\n".join(f"  {json.dumps(each, ensure_ascii=False)}" for each in outcomes)
    return f'{json.dumps(head, ensure_ascii=False)[:-1]}, "outcomes": [\n{rows}\n]}}\n'


def from_json(text: str, cases: Sequence[Case]) -> Run:
    """Return the run that `as_json` wrote. A case that it doesn't have stands as not run."""
    data = json.loads(text)
    found = {row["id"]: row for row in data["outcomes"]}
    outcomes = tuple(
        _recorded(case, found[case.id])
        if case.id in found
        else Outcome(case, Status.FAILED, "not run")
        for case in cases
    )
    return Run(data["engine"], data["version"], data["surface"], outcomes)


def _recorded(case: Case, row: Mapping[str, Any]) -> Outcome:
    return Outcome(case, Status(row["status"]), row["answer"], row["variant"])


def as_markdown(runs: Sequence[Run]) -> str:
    """Return a table of the engines, one of the cases for each kind, and what differs in words."""
    parts = [_engines(runs)]
    rows = list(zip(*(run.outcomes for run in runs), strict=True))
    for kind, group in groupby(rows, key=lambda row: row[0].case.kind):
        parts.append(f"### `{kind}`\n\nThe answer is {KINDS[kind]}.\n\n{_table(runs, list(group))}")
    differing = [each for run in runs for each in _differing(run)]
    if differing:
        parts.append("### What differs\n\n" + "\n".join(differing))
    return "\n\n".join(parts) + "\n"


def _engines(runs: Sequence[Run]) -> str:
    lines = ["| engine | version | asked through | conforms | differs | not supported | failed |"]
    lines.append("|---|---|---|---|---|---|---|")
    for run in runs:
        counts = " | ".join(str(run.count(status)) for status in _WORDS)
        lines.append(f"| {run.engine} | {run.version} | {run.surface} | {counts} |")
    return "\n".join(lines)


def _table(runs: Sequence[Run], rows: Sequence[Sequence[Outcome]]) -> str:
    lines = [f"| case | rule | source | {' | '.join(run.engine for run in runs)} |"]
    lines.append("|---" * (3 + len(runs)) + "|")
    for row in rows:
        case = row[0].case
        cells = " | ".join(_cell(outcome) for outcome in row)
        lines.append(f"| {case.id} | {case.rule} | {_sources(case)} | {cells} |")
    return "\n".join(lines)


def _cell(outcome: Outcome) -> str:
    word = _WORDS[outcome.status]
    return f"{word}: {outcome.variant}" if outcome.variant else word


def _sources(case: Case) -> str:
    """Return a case's sources; a figure that was worked out has a star."""
    told = (_link(source) for variant in case.variants for source in variant.sources)
    return ", ".join(dict.fromkeys(told))


def _link(source: Source) -> str:
    url, _, path = source.url.partition(" ")
    name = path.rpartition("/")[2] if path else url.partition("://")[2].split("/")[0]
    return f"[{name}]({url}){'' if source.published else '*'}"


def _differing(run: Run) -> list[str]:
    return [
        f"- {run.engine}, {outcome.case.id}: `{_short(outcome.answer)}`, published is "
        + " or ".join(f"`{_short(variant.expected)}`" for variant in outcome.case.variants)
        for outcome in run.outcomes
        if outcome.status in (Status.DIFFERS, Status.FAILED)
    ]


def _short(answer: Any) -> str:
    text = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
    return text if len(text) <= 200 else text[:200] + " ..."
