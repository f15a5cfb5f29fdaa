"""What a caller asked for is read again from the metadata of what came of it."""

import pytest

from billing.rules.reconciliation.knowledge import METADATA_MAX
from billing.rules.request_marks import REQUEST, RequestMark, read_mark

HASH = bytes(range(32))


@pytest.mark.parametrize("scope", ["api:shop", "api:a b", "x" * 67])
@pytest.mark.parametrize("key", ["k", "~" * 255, "00" * 32])
def test_a_mark_is_read_as_it_was_written(scope: str, key: str) -> None:
    mark = RequestMark(scope, key, HASH)
    (value,) = mark.as_metadata().values()
    assert len(value) <= METADATA_MAX
    assert read_mark(mark.as_metadata()) == mark


@pytest.mark.parametrize("value", ["", "a b c", "zz" * 32 + " k s", "00" * 32 + " k", "00" * 32])
def test_what_is_no_mark_is_none(value: str) -> None:
    assert read_mark({REQUEST: value}) is None


def test_an_object_without_a_mark_has_none() -> None:
    assert read_mark({"payment": "1"}) is None


def test_a_callers_key_is_never_the_whole_value() -> None:
    (value,) = RequestMark("api:shop", "live:0190:20260101T000000Z:a1", HASH).as_metadata().values()
    assert value.startswith(HASH.hex())
