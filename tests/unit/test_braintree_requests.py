"""What an object at Braintree carries: custom fields, written and read back."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from billing.gateway.braintree.fields import OURS, SECOND, metadata
from billing.gateway.braintree.requests import FIELDS, LONG, LONGEST_FIELD, custom_fields

PAGE = Path(__file__).resolve().parents[2] / "docs" / "braintree.md"
WORDS = st.text("abc -{}", min_size=1, max_size=500).map(str.strip).filter(bool)


def test_every_field_is_on_the_page_that_says_what_has_to_be_set_up() -> None:
    page = PAGE.read_text()
    names = [*FIELDS, *(f"{name}{SECOND}" for name in LONG)]

    assert [name for name in names if f"`{OURS}{name}`" not in page] == []


@given(st.dictionaries(st.sampled_from(LONG), WORDS))
def test_what_is_long_goes_on_in_a_second_field_and_is_read_back_whole(
    told: dict[str, str],
) -> None:
    fields = custom_fields(told)

    assert all(len(value) <= LONGEST_FIELD for value in fields.values())
    assert all(value == value.strip() for value in fields.values()), "a space might be cut off"
    read = metadata({"custom_fields": fields})
    left_out = {name for name in told if name not in read}
    assert read == {name: value for name, value in told.items() if name not in left_out}
    assert all(len(told[name]) > LONGEST_FIELD for name in left_out)


def test_words_of_500_characters_are_whole() -> None:
    told = {"request": "issued order {} " * 31 + "ends"}

    assert len(told["request"]) == 500
    assert metadata({"custom_fields": custom_fields(told)}) == told


def test_what_is_too_long_for_its_field_is_left_out() -> None:
    assert custom_fields({"payment": "p" * 256, "request": "r" * 511, "invoice": "i"}) == {
        f"{OURS}invoice": "i"
    }
