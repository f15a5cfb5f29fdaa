"""Of cases that are made in bulk, a share is run; the shares together are all of them."""

import os

import pytest

from tests import shares
from tests.repeatable import SEED
from tests.shares import part

CASES = [f"case {number}" for number in range(50)]


@pytest.mark.parametrize("of", [1, 2, 7, 50])
def test_shares_of_some_commits_are_all_cases_and_none_is_in_two(of: int) -> None:
    chosen = {tuple(part(CASES, of, f"7 {commit:09x}")) for commit in range(20 * of)}

    assert sorted(case for each in chosen for case in each) == sorted(CASES)
    assert max(map(len, chosen)) - min(map(len, chosen)) <= 1


def test_one_word_chooses_one_share() -> None:
    assert part(CASES, 7, "7 f83b9fa17") == part(CASES, 7, "7 f83b9fa17")


def test_all_cases_are_run_where_all_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares, "WHOLE", True)

    assert shares.share(CASES, 7) == CASES


def test_what_the_header_says_chooses_this_share_again() -> None:
    assert shares.repeated() == f"TEST_SEED={SEED} TEST_SHARE={os.environ['TEST_SHARE']}"
