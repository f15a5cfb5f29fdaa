"""The page about the mutants of the data, written from what became of them."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

from tests.promises.by_hand import BY_HAND
from tests.promises.catalogue import SKIPPED
from tests.promises.run import Results
from tests.promises.survivors import Reason
from tests.promises.trial import Outcome

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "promises-attacked.md"
BEGINS: Final = "<!-- Written by `make attacks` from here ... -->\n"
ENDS: Final = "<!-- ... to here. -->\n"


def stands() -> str:
    """Return what stands on the page between its marks."""
    return PAGE.read_text().partition(BEGINS)[2].partition(ENDS)[0]


def write(results: Results, known: Sequence[Reason]) -> None:
    """Write the page anew between its marks."""
    before, _, rest = PAGE.read_text().partition(BEGINS)
    PAGE.write_text(before + BEGINS + written(results, known) + ENDS + rest.partition(ENDS)[2])


def written(results: Results, known: Sequence[Reason]) -> str:
    """Return what has to stand there."""
    return "\n".join(
        (
            *_counted(results.generated),
            *_by_hand(results.by_hand),
            *_entries(results.entries, known),
            *_columns(results.columns, known),
            "",
        )
    )


def _counted(outcomes: Sequence[Outcome]) -> Iterator[str]:
    owner = Counter(_came_to(each) for each in outcomes)
    taken = [each for each in outcomes if not each.app.refused]
    surviving = sum(each.owner.survives for each in taken)
    yield "## How many"
    yield ""
    yield "| | in the owner's hands, guards off | in the application's, guards on |"
    yield "|---|---|---|"
    yield f"| generated mutants | {len(outcomes)} | {len(outcomes)} |"
    yield f"| refused by the database | {owner['refused']} | {len(outcomes) - len(taken)} |"
    yield f"| named by `billing prove` | {owner['named']} | {len(taken) - surviving} |"
    yield f"| survive, with a reason | {owner['survives']} | {surviving} |"


def _came_to(outcome: Outcome) -> str:
    if outcome.owner.refused:
        return "refused"
    return "survives" if outcome.owner.survives else "named"


def _by_hand(outcomes: Sequence[Outcome]) -> Iterator[str]:
    yield ""
    yield "## What was thought of"
    yield ""
    yield "| what was done | promise | named as | the application is refused by |"
    yield "|---|---|---|---|"
    for each in outcomes:
        name = each.mutant.column
        yield (
            f"| {name} | {BY_HAND[name].promise} | {_kinds(each.owner.found)} |"
            f" {each.app.refused or 'nothing'} |"
        )


def _entries(outcomes: Sequence[Outcome], known: Sequence[Reason]) -> Iterator[str]:
    yield ""
    yield "## Whole entries of the journal, balanced and with the right hash"
    yield ""
    yield "| kind | how | named as |"
    yield "|---|---|---|"
    for each in outcomes:
        named = _kinds(each.owner.found) or f"*survives:* {_why(each, known)}"
        yield f"| `{each.mutant.column}` | {each.mutant.how} | {named} |"
    yield ""
    refused = sorted({str(each.app.refused) for each in outcomes})
    yield f"The application is refused each of them: {', '.join(refused)}."


def _columns(outcomes: Sequence[Outcome], known: Sequence[Reason]) -> Iterator[str]:
    yield ""
    yield "## Every column of every table"
    for table, of_table in groupby(outcomes, key=lambda each: each.mutant.table):
        yield ""
        yield f"### `{table}`"
        yield ""
        yield (
            "| column | changes | named as | the owner is refused by | the application | survives |"
        )
        yield "|---|---|---|---|---|---|"
        columns = dict[str, list[Outcome]]()
        for each in of_table:
            columns.setdefault(each.mutant.column, []).append(each)
        for column, of_column in columns.items():
            yield _column(column, of_column, known)
    yield ""
    for table, why in SKIPPED.items():
        yield f"`{table}` is left out: {why}."


def _column(column: str, each: Sequence[Outcome], known: Sequence[Reason]) -> str:
    hows = ", ".join(dict.fromkeys(outcome.mutant.how for outcome in each))
    named = _kinds(sorted({kind for outcome in each for kind in outcome.owner.found}))
    owner = _refusals(outcome.owner.refused for outcome in each)
    return (
        f"| `{column}` | {hows} | {named} | {owner} | {_application(each)} |"
        f" {_survives(each, known)} |"
    )


def _kinds(found: Iterable[str]) -> str:
    return ", ".join(f"`{kind}`" for kind in found)


def _refusals(refused: Iterable[str | None]) -> str:
    return ", ".join(sorted({each for each in refused if each}))


def _application(of_column: Sequence[Outcome]) -> str:
    refused = _refusals(each.app.refused for each in of_column)
    taken = sum(each.app.refused is None for each in of_column)
    if not taken:
        return f"is refused by {refused}"
    return f"may do {taken} of {len(of_column)}" + (f", refused by {refused}" if refused else "")


def _survives(of_column: Sequence[Outcome], known: Sequence[Reason]) -> str:
    surviving = [each for each in of_column if each.owner.survives]
    whys = dict[str, dict[str, list[str]]]()
    for each in surviving:
        hows = whys.setdefault(_why(each, known), {})
        hows.setdefault(each.mutant.how, []).append(each.mutant.sort)
    if len(whys) == 1 and not any(each.owner.found for each in of_column):
        return next(iter(whys))
    return "; ".join(f"{_which(hows)}: {why}" for why, hows in whys.items())


def _which(hows: Mapping[str, Sequence[str]]) -> str:
    """Return the changes with the sorts of rows; a column without sorts has none to tell."""
    return "; ".join(
        how if set(sorts) == {"any"} else f"{how} ({' / '.join(sorts)})"
        for how, sorts in hows.items()
    )


def _why(outcome: Outcome, known: Sequence[Reason]) -> str:
    found = (reason.why for reason in known if reason.explains(outcome.mutant))
    return next(found, "no reason yet")
