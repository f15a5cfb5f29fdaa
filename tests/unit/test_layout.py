"""Tables fit into a terminal: ids are cut, columns left out, headings and amounts stay whole."""

import pytest

from billing.cli.layout import fitted

COLUMNS = ("id", "invoice", "amount", "customer_id", "state", "decision")
ROWS = [
    {
        "id": f"01a20375-3e{n}4-7b90-84bf-e4cf13f0721b",
        "invoice": f"P-000{n}",
        "amount": "9.99 USD",
        "customer_id": "01a203a3-5ec8-7b90-84bf-e4cf13f0721b",
        "state": "CAPTURED",
        "decision": "captured, nothing follows",
    }
    for n in range(3)
]


def test_where_there_is_room_everything_is_shown() -> None:
    layout = fitted(COLUMNS, ROWS, None)

    assert (layout.columns, layout.left_out) == (COLUMNS, ())
    assert layout.rows[0][0] == ROWS[0]["id"]


def test_ids_are_cut_to_what_tells_them_apart_and_no_further_than_commands_take() -> None:
    layout = fitted(COLUMNS, ROWS, 200)

    assert [row[0] for row in layout.rows] == ["01a20375-3e0", "01a20375-3e1", "01a20375-3e2"]
    assert {row[3] for row in layout.rows} == {"01a203a3"}


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100])
def test_a_table_is_as_wide_as_the_terminal_at_most(width: int) -> None:
    layout = fitted(COLUMNS, ROWS, width)

    needed = [
        max(len(name), *(len(row[place]) for row in layout.rows))
        for place, name in enumerate(layout.columns)
    ]
    assert sum(needed) + 2 * (len(needed) - 1) <= width
    assert (*layout.columns, *layout.left_out) == COLUMNS
    if width >= 80:
        assert {"id", "invoice", "amount", "customer_id", "state"} <= set(layout.columns)


def test_other_texts_and_gaps_are_left_alone() -> None:
    rows = [{"id": "-"}, {"id": "01a20375-3e04-7b90-84bf-e4cf13f0721b"}, {"id": "pi_1"}]

    assert [row[0] for row in fitted(("id",), rows, 80).rows] == [row["id"] for row in rows]
    assert [row[0] for row in fitted(("id",), rows[:2], 80).rows] == ["-", "01a20375"]
