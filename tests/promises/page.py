"""The page about the mutants of the data, written from what became of them."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.promises.by_hand import BY_HAND
from tests.promises.catalogue import SKIPPED, Mutant
from tests.promises.run import Results
from tests.promises.survivors import Reason
from tests.promises.trial import Outcome
from tests.promises.whole_entries import ENTRIES

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "promises-attacked.md"
BEGINS: Final = "<!-- Written by `make attacks` from here ... -->\n"
ENDS: Final = "<!-- ... to here. -->\n"


def stands() -> str:
    """Return what stands on the page between its marks."""
    return PAGE.read_text().partition(BEGINS)[2].partition(ENDS)[0]


def kinds_named() -> set[str]:
    """Return the kinds of findings that it says mutants were named as."""
    named = [line.split(" | ")[2] for line in stands().splitlines() if line.count(" | ") > 1]
    return {kind for each in named for kind in re.findall(r"`([a-z_]+)`", each)}


def write(results: Results, known: Sequence[Reason]) -> None:
    """Write the page anew between its marks."""
    before, _, rest = PAGE.read_text().partition(BEGINS)
    PAGE.write_text(before + BEGINS + written(results, known) + ENDS + rest.partition(ENDS)[2])


def written(results: Results, known: Sequence[Reason]) -> str:
    """Return what has to stand there.

    Lines about what wasn't tried are those of the page: they can't be said otherwise.
    """
    standing = _Standing(stands())
    return "\n".join(
        (
            *_counted(results, standing),
            *_by_hand(results.by_hand),
            *_entries(results, known, standing),
            *_columns(results, known, standing),
            "",
        )
    )


class _Standing:
    """The lines of the page, by the section they are in and what they begin with."""

    def __init__(self, page: str) -> None:
        self._lines: dict[tuple[str, str], list[str]] = {}
        section = ""
        for line in page.splitlines():
            section = line.lstrip("# ") if line.startswith("#") else section
            first = line.split(" | ")[0]
            self._lines.setdefault((section, first), []).append(line)

    def lines(self, section: str, first: str) -> list[str]:
        """Return the lines, or one which says that there are none."""
        return self._lines.get((section, first), [f"{first} | isn't on the page |"])


def _counted(results: Results, standing: _Standing) -> Iterator[str]:
    made = len(results.made)
    yield "## How many"
    yield ""
    yield "| | in the owner's hands, guards off | in the application's, guards on |"
    yield "|---|---|---|"
    yield f"| generated mutants | {made} | {made} |"
    if len(results.generated) == made:
        yield from _came_to_what(results.generated)
    else:
        for what in (
            "refused by the database",
            "named by `billing prove`",
            "survive, with a reason",
        ):
            yield from standing.lines("How many", f"| {what}")


def _came_to_what(outcomes: Sequence[Outcome]) -> Iterator[str]:
    owner = Counter(_came_to(each) for each in outcomes)
    taken = [each for each in outcomes if not each.app.refused]
    surviving = sum(each.owner.survives for each in taken)
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


def _entries(results: Results, known: Sequence[Reason], standing: _Standing) -> Iterator[str]:
    title = "Whole entries of the journal, balanced and with the right hash"
    yield ""
    yield f"## {title}"
    yield ""
    yield "| kind | how | named as |"
    yield "|---|---|---|"
    tried = _by_place(results.entries)
    for place, kind in _by_table(results.made)[ENTRIES].items():
        if place not in tried:
            yield from standing.lines(title, f"| `{kind}`")
        for each in tried.get(place, ()):
            named = _kinds(each.owner.found) or f"*survives:* {_why(each, known)}"
            yield f"| `{each.mutant.column}` | {each.mutant.how} | {named} |"
    yield ""
    refused = sorted({str(each.app.refused) for each in results.entries})
    yield f"The application is refused each of them: {', '.join(refused)}."


def _columns(results: Results, known: Sequence[Reason], standing: _Standing) -> Iterator[str]:
    tried = _by_place(results.columns)
    yield ""
    yield "## Every column of every table"
    for table, columns in _by_table(results.made).items():
        if table == ENTRIES:
            continue
        yield ""
        yield f"### `{table}`"
        yield ""
        yield (
            "| column | changes | named as | the owner is refused by | the application | survives |"
        )
        yield "|---|---|---|---|---|---|"
        for place, column in columns.items():
            if place in tried:
                yield _column(column, tried[place], known)
            else:
                yield from standing.lines(f"`{table}`", f"| `{column}`")
    yield ""
    for table, why in SKIPPED.items():
        yield f"`{table}` is left out: {why}."


def _by_table(mutants: Iterable[Mutant]) -> dict[str, dict[str, str]]:
    """Return the places of each table, each with its column."""
    found: dict[str, dict[str, str]] = {}
    for each in mutants:
        found.setdefault(each.table, {})[each.place] = each.column
    return found


def _by_place(outcomes: Iterable[Outcome]) -> dict[str, list[Outcome]]:
    found: dict[str, list[Outcome]] = {}
    for each in outcomes:
        found.setdefault(each.mutant.place, []).append(each)
    return found


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
