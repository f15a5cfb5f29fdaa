"""What goes back of an invoice, by line and part: tables, and what holds for any sequence."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.rules.line_parts import (
    LineParts,
    LineSplit,
    ReturnedLine,
    note_by_line,
    split_by_line,
    total_of,
)
from billing.rules.periods import Period
from billing.rules.recognition import Mode, Service, step
from billing.rules.refunds import Parts


def lines(*parts: Parts) -> list[LineParts]:
    return [LineParts(number, each) for number, each in enumerate(parts, start=1)]


def of_lines(split: LineSplit) -> dict[int, Parts]:
    return {each.line: each.parts for each in split.lines}


# --- refunds, disputes, write-offs --------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount", "left", "expected"),
    [
        (1550, Parts(1000, 2100), Parts(500, 1050)),  # ten of 31 days are earned
        (3100, Parts(1000, 2100), Parts(1000, 2100)),  # all of it
        (1189, Parts(300, 699, 190), Parts(300, 699, 190)),
        (1, Parts(300, 699, 190), Parts(0, 1, 0)),  # the largest remainder
        (2, Parts(1, 1, 1), Parts(1, 1, 0)),  # the earlier part wins a tie
        (100, Parts(0, 0, 500), Parts(0, 0, 100)),
        (100, Parts(500), Parts(100)),
        (150, Parts(40, 50, 10), Parts(90, 50, 10)),  # beyond what is left
        (7, Parts(), Parts(7)),
    ],
)
def test_a_refund_is_split_by_what_is_left(amount: int, left: Parts, expected: Parts) -> None:
    assert split_by_line(amount, lines(left)).parts == expected


# An invoice of a period that is half over, of what was used before it, and of a set-up fee.
PERIOD, USAGE, SETUP = Parts(500, 500, 190), Parts(800, 0, 152), Parts(200, 0, 0)


@pytest.mark.parametrize(
    ("amount", "expected"),
    [
        (2342, {1: PERIOD, 2: USAGE, 3: SETUP}),
        (1171, {1: Parts(250, 250, 95), 2: Parts(400, 0, 76), 3: Parts(100)}),
        (1, {2: Parts(1)}),
    ],
)
def test_each_line_gives_back_its_share_of_what_is_left(
    amount: int, expected: dict[int, Parts]
) -> None:
    assert of_lines(split_by_line(amount, lines(PERIOD, USAGE, SETUP))) == expected


def test_what_a_bank_takes_beyond_all_that_is_left_is_of_no_line() -> None:
    split = split_by_line(2350, lines(PERIOD, USAGE, SETUP))

    assert of_lines(split) == {1: PERIOD, 2: USAGE, 3: SETUP}
    assert (split.beyond, split.parts) == (8, Parts(1508, 500, 342))


# --- credit notes -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("net", "tax", "left", "expected"),
    [
        (310, 0, Parts(1000, 2100), Parts(100, 210)),  # ten of 31 days are earned
        (3100, 589, Parts(1000, 2100, 589), Parts(1000, 2100, 589)),  # all of it
        (2700, 513, Parts(20655, 20655, 7849), Parts(1350, 1350, 513)),
        (1, 0, Parts(300, 699, 190), Parts(0, 1, 0)),  # the largest remainder
        (0, 10, Parts(0, 0, 10), Parts(tax=10)),
        (0, 0, Parts(5, 5, 5), Parts()),
        (5, 0, Parts(5), Parts(5)),
        (3100, 589, Parts(1000, 2099, 589), None),
        (3100, 590, Parts(1000, 2100, 589), None),
        (1, 0, Parts(tax=5), None),
    ],
)
def test_a_credit_note_is_split_by_what_is_left_and_has_the_tax_it_says(
    net: int, tax: int, left: Parts, expected: Parts | None
) -> None:
    split = note_by_line([ReturnedLine(1, net, tax)], lines(left))

    assert (None if split is None else split.parts) == expected


def test_a_note_of_a_line_takes_what_was_earned_of_that_line() -> None:
    """What was used is earned whole; of the period that is half over, half is."""
    left = lines(PERIOD, USAGE, SETUP)

    used = note_by_line([ReturnedLine(2, 400, 76)], left)
    both = note_by_line([ReturnedLine(1, 1000, 190), ReturnedLine(3, 200, 0)], left)

    assert used is not None
    assert both is not None
    assert of_lines(used) == {2: Parts(400, 0, 76)}
    assert of_lines(both) == {1: PERIOD, 3: SETUP}


def test_a_note_takes_of_other_lines_what_a_refund_took_of_its_own() -> None:
    """1190 of 2342 were refunded: of every line a half. What was used is returned as a whole."""
    left = lines(Parts(250, 250, 95), Parts(400, 0, 76), Parts(100))

    note = note_by_line([ReturnedLine(2, 800, 152)], left)

    assert note is not None
    assert of_lines(note) == {1: Parts(167, 166, 76), 2: Parts(400, 0, 76), 3: Parts(67)}
    assert note.parts == Parts(634, 166, 152)


# --- any sequence -------------------------------------------------------------------------------

START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Line:
    """A line as the books have it: what was earned of it, and what went back."""

    net: int
    tax: int
    service: Service
    recognised: int = 0
    last: datetime | None = None
    back: Parts = field(default_factory=Parts)

    @property
    def left(self) -> Parts:
        return Parts(
            self.recognised - self.back.recognised,
            self.net - self.recognised - self.back.deferred,
            self.tax - self.back.tax,
        )


def moved(parts: Parts, by: Parts, sign: int) -> Parts:
    return Parts(
        parts.recognised + sign * by.recognised,
        parts.deferred + sign * by.deferred,
        parts.tax + sign * by.tax,
    )


@dataclass
class Books:
    """An invoice with its lines, and what went back of it and may come back."""

    lines: list[Line]
    mode: Mode
    now: datetime = START
    standing: list[LineSplit] = field(default_factory=list)

    @property
    def left(self) -> list[LineParts]:
        return lines(*(line.left for line in self.lines))

    def earn(self) -> None:
        for line in self.lines:
            done = step(line.left.deferred, line.service, self.mode, last=line.last, now=self.now)
            line.recognised += done.amount
            line.last = done.through or line.last

    def give_back(self, share: int) -> None:
        """Refund, lose in a dispute, or write off a share (of a thousand) of what is left."""
        self._book(split_by_line(total_of(self.left).total * share // 1000, self.left))

    def note(self, share: int) -> None:
        """Return a share of every second line by a credit note."""
        noted = [
            ReturnedLine(number, line.net * share // 1000, line.tax * share // 1000)
            for number, line in enumerate(self.lines, start=1)
            if number % 2
        ]
        split = note_by_line(noted, self.left)
        whole = total_of(self.left)
        net, tax = sum(each.net for each in noted), sum(each.tax for each in noted)
        fits = net <= whole.recognised + whole.deferred and tax <= whole.tax
        assert (split is not None) == fits
        if split is not None:
            assert split.parts.total == net + tax
            assert split.parts.tax == tax
            self._book(split)

    def take_back(self, which: int) -> None:
        """Let a refund fail, a lost dispute be won, a write-off be reopened."""
        if self.standing:
            split = self.standing.pop(which % len(self.standing))
            for each in split.lines:
                line = self.lines[each.line - 1]
                line.back = moved(line.back, each.parts, -1)

    def _book(self, split: LineSplit) -> None:
        self.standing.append(split)
        for each in split.lines:
            line = self.lines[each.line - 1]
            line.back = moved(line.back, each.parts, 1)

    def check(self) -> None:
        for line in self.lines:
            left, back = line.left, line.back
            assert min(left.recognised, left.deferred, left.tax) >= 0
            assert min(back.recognised, back.deferred, back.tax) >= 0
            assert left.recognised + left.deferred + back.recognised + back.deferred == line.net
            assert left.tax + back.tax == line.tax
        gone = sum(split.parts.total for split in self.standing)
        whole = sum(line.net + line.tax for line in self.lines)
        assert total_of(self.left).total + gone == whole


def service(start: int, days: int) -> Service:
    first = START + timedelta(days=start)
    return Service(Period(first, first + timedelta(days=days)), "UTC")


made = st.lists(
    st.builds(
        Line,
        st.integers(0, 10**7),
        st.integers(0, 10**6),
        st.builds(service, st.integers(-31, 5), st.integers(1, 40)),
    ),
    min_size=1,
    max_size=6,
)
deeds: st.SearchStrategy[tuple[str, int]] = st.tuples(
    st.sampled_from(["earn", "give_back", "note", "take_back", "wait"]), st.integers(0, 1000)
)


@given(made, st.sampled_from(["period_end", "daily"]), st.lists(deeds, max_size=25))
def test_whatever_happens_every_line_adds_up_and_nothing_is_below_zero(
    charged: list[Line], mode: Mode, story: Sequence[tuple[str, int]]
) -> None:
    books = Books(charged, mode)
    for what, size in story:
        if what == "wait":
            books.now += timedelta(hours=size // 10)
        elif what == "earn":
            books.earn()
        else:
            getattr(books, what)(size)
        books.check()

    books.now = START + timedelta(days=400)
    books.earn()
    books.check()
    assert all(line.left.deferred == 0 for line in books.lines)
    books.give_back(1000)
    books.check()
    assert total_of(books.left).total == 0
