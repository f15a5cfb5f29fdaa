from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import pytest
from sqlalchemy import create_engine, text

from billing.store.rows import names_of, reader


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True, slots=True)
class Thing:
    id: int
    colour: Colour
    second: Colour | None
    at: datetime | None

    @property
    def is_red(self) -> bool:
        return self.colour is Colour.RED


def thing(colour: str, second: str | None) -> Thing:
    query = text("SELECT 1 AS id, :colour AS colour, :second AS second, NULL AS at, 2 AS other")
    engine = create_engine("sqlite://")
    with engine.connect() as conn:
        row = conn.execute(query, {"colour": colour, "second": second}).one()
    engine.dispose()
    return reader(Thing)(row)


def test_a_row_becomes_a_value_with_enums_and_without_columns_it_does_not_name() -> None:
    assert thing("red", "red") == Thing(1, Colour.RED, Colour.RED, None)
    assert thing("red", None).second is None
    assert thing("red", None).is_red


def test_a_stored_word_that_the_enum_does_not_know_is_refused() -> None:
    with pytest.raises(ValueError, match="green"):
        thing("green", None)


def test_names_are_those_of_the_columns_and_not_of_properties() -> None:
    assert names_of(Thing) == ("id", "colour", "second", "at")
