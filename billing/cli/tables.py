"""Tables for people: aligned texts, which rich wraps where a terminal is too narrow for them."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.table import Table

_GAP: Final = "  "


@dataclass(frozen=True, slots=True)
class TextTable:
    """Texts in rows, each of one line. Without headings, the first of a row names the second.

    `right` are the columns that are aligned to the right, `whole` those that are never wrapped.
    """

    rows: Sequence[Sequence[str]]
    headings: Sequence[str] = ()
    title: str = ""
    right: Collection[int] = ()
    whole: Collection[int] = ()

    @property
    def widths(self) -> list[int]:
        """How many cells of a terminal each column takes."""
        rows = [self.headings, *self.rows] if self.headings else self.rows
        return [max(map(_cells, column)) for column in zip(*rows, strict=True)]

    @property
    def width(self) -> int:
        """How many cells of a terminal a line takes."""
        widths = self.widths
        return sum(widths) + len(_GAP) * (len(widths) - 1)


def aligned(table: TextTable, strong: Callable[[str], str] = str) -> list[str]:
    """Return the lines of a table that may be as wide as its texts.

    `strong` marks the headings, or the names at the beginnings of lines. This is what rich makes of
    it, whose import and drawing take as long as asking the database.
    """
    widths = table.widths

    def padded(row: Sequence[str]) -> list[str]:
        pads = [" " * (width - _cells(text)) for text, width in zip(row, widths, strict=True)]
        return [
            pads[index] + text if index in table.right else text + pads[index]
            for index, text in enumerate(row)
        ]

    lines = [table.title] if table.title else []
    if table.headings:
        lines.append(strong(_GAP.join(padded(table.headings)).rstrip()))
        return lines + [_GAP.join(padded(row)).rstrip() for row in table.rows]
    for row in table.rows:
        name, *others = padded(row)
        lines.append(_GAP.join([strong(name), *others]).rstrip())
    return lines


def _cells(text: str) -> int:
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def wrapped(table: TextTable) -> "Table":
    """Return what rich draws in the width that a terminal has."""
    from rich.table import Table
    from rich.text import Text

    drawn = Table(
        box=None,
        pad_edge=False,
        show_header=bool(table.headings),
        title=table.title or None,
        title_justify="left",
    )
    names = not table.headings
    for index, heading in enumerate(table.headings or ("",) * len(table.widths)):
        drawn.add_column(
            Text(heading),
            justify="right" if index in table.right else "left",
            overflow="fold",
            no_wrap=index in table.whole,
            min_width=len(heading) or None,
            style="bold" if names and index == 0 else "",
        )
    for row in table.rows:
        drawn.add_row(*map(Text, row))
    return drawn
