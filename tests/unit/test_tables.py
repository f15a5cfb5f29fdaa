"""Tables as texts: what is written without rich is what rich would have drawn."""

import io

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from billing.cli.tables import TextTable, aligned, wrapped

WORDS = st.text(st.sampled_from("abz019 .-:,é日本ł—👍"), max_size=12).map(lambda text: text.strip())


def drawn(table: TextTable) -> list[str]:
    console = Console(file=io.StringIO(), width=10_000, highlight=False)
    with console.capture() as capture:
        console.print(wrapped(table))
    return [line.rstrip() for line in capture.get().rstrip("\n").split("\n")]


@given(st.lists(st.tuples(WORDS, WORDS, WORDS), max_size=5), st.sets(st.integers(0, 2)))
def test_a_list_is_aligned_as_rich_aligns_it(
    rows: list[tuple[str, str, str]], right: set[int]
) -> None:
    table = TextTable(rows, ("ID", "AMOUNT", "PARKED REASON"), "attempt rows", right, whole={0})

    assert aligned(table) == drawn(table)


@given(st.lists(st.tuples(WORDS.filter(bool), WORDS), min_size=1, max_size=5))
def test_names_and_values_are_aligned_as_rich_aligns_them(rows: list[tuple[str, str]]) -> None:
    table = TextTable(rows, whole={0})

    assert "\n".join(aligned(table)).rstrip() == "\n".join(drawn(table))


def test_a_table_without_rows_has_its_headings_and_its_title_in_one_line() -> None:
    assert aligned(TextTable((), ("N",), "recent cycles")) == ["recent cycles", "N"]


def test_headings_are_marked_and_so_are_names() -> None:
    def strong(text: str) -> str:
        return f"*{text}*"

    assert aligned(TextTable([["1", "a"]], ("N", "ID"), right={0}), strong) == ["*N  ID*", "1  a"]
    assert aligned(TextTable([["id", "1"], ["name", "a"]]), strong) == ["*id  *  1", "*name*  a"]
