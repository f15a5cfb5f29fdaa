"""Connections, and what their errors say."""

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError


def test_an_error_does_not_repeat_the_values_of_its_statement(engine: Engine) -> None:
    with engine.connect() as conn, pytest.raises(DBAPIError) as caught:
        conn.execute(text("SELECT CAST(:email AS text), 1 / 0"), {"email": "ada@example.org"})

    assert "division by zero" in str(caught.value)
    assert "ada@example.org" not in str(caught.value)
