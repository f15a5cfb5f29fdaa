"""Every reason of a refusal has a sentence."""

import pytest

from billing.presenters.usage_refusals import REFUSED, in_words
from billing.rules.usage import UsageRefusal


def test_every_reason_has_a_sentence_of_its_own() -> None:
    assert set(REFUSED) == set(UsageRefusal)
    assert len(set(REFUSED.values())) == len(REFUSED)


@pytest.mark.parametrize("reason", ["conflicting", *UsageRefusal])
def test_a_reason_is_found_by_its_code(reason: str) -> None:
    assert len(in_words(str(reason))) > 20
