import hashlib
import re
import time
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from billing.ledger.accounts import CHART, Account, AccountClass, AccountCode
from billing.ledger.journal import EmptyEntry, Entry, JournalError, Posting, UnbalancedEntry
from billing.rules.money import Money

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ANN = uuid.UUID("018f0000-0000-7000-8000-00000000000a")
BOB = uuid.UUID("018f0000-0000-7000-8000-00000000000b")
CYCLE = uuid.UUID("018f0000-0000-7000-8000-0000000000c1")
CLEARING = Account(AccountCode.PSP_CLEARING, provider="stripe")
RECEIVABLE = Account(AccountCode.RECEIVABLE, ANN)
FEES = Account(AccountCode.PSP_FEES)


def postings(*legs: tuple[Account, int, str]) -> tuple[Posting, ...]:
    return tuple(Posting(account, Money(amount, currency)) for account, amount, currency in legs)


PAID = postings((CLEARING, 999, "USD"), (RECEIVABLE, -999, "USD"))


def entry(**changes: Any) -> Entry:
    facts: dict[str, Any] = {
        "kind": "payment_captured",
        "source_key": "payment_captured:p1:1",
        "effective_at": AT,
        "postings": PAID,
        "cycle_id": CYCLE,
    }
    return Entry(**(facts | changes))


# --- the chart -----------------------------------------------------------------------------


def test_every_account_code_is_in_the_chart() -> None:
    assert set(CHART) == set(AccountCode)


def test_the_customers_own_their_receivable_and_their_credit_and_nothing_else() -> None:
    owned = {code for code, line in CHART.items() if line.owned}

    assert owned == {AccountCode.RECEIVABLE, AccountCode.CUSTOMER_CREDIT}


def test_clearing_accounts_are_balance_sheet_accounts() -> None:
    clearing = [line for line in CHART.values() if line.clearing]

    assert {line.account_class for line in clearing} == {AccountClass.ASSET, AccountClass.LIABILITY}


def test_the_page_lists_the_chart_as_it_is() -> None:
    page = (Path(__file__).parents[2] / "docs" / "ledger.md").read_text("utf-8")
    row = re.compile(r"^\| `([a-z_]+)` \| ([ALERX]) \| (.*?) \| (.*?) \| (.+?) \|$", re.MULTILINE)

    listed = {
        match[1]: (match[2], match[3] == "customer", match[4] == "yes", match[5])
        for match in row.finditer(page)
    }

    assert listed == {
        code.value: (line.account_class.value, line.owned, line.clearing, line.meaning)
        for code, line in CHART.items()
    }


@pytest.mark.parametrize(
    ("code", "owner", "error", "says"),
    [
        (AccountCode.RECEIVABLE, None, ValueError, "name the owner"),
        (AccountCode.REVENUE, ANN, ValueError, "has no owner"),
        (AccountCode.RECEIVABLE, str(ANN), TypeError, "UUID"),
        ("receivable", ANN, TypeError, "no account of the chart"),
        ("petty_cash", None, TypeError, "no account of the chart"),
    ],
)
def test_an_account_that_the_chart_does_not_have_cannot_be_named(
    code: Any, owner: Any, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        Account(code, owner)


def test_clearing_is_kept_for_each_account_at_a_provider() -> None:
    with pytest.raises(ValueError, match="per account at a provider"):
        Account(AccountCode.PSP_CLEARING)
    with pytest.raises(ValueError, match="all providers together"):
        Account(AccountCode.PSP_FEES, provider="eu")
    assert str(Account(AccountCode.PSP_CLEARING, provider="eu")) == "psp_clearing(eu)"


# --- entries -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("legs", "says"),
    [
        ([(CLEARING, 999, "USD"), (RECEIVABLE, -998, "USD")], "USD postings add up to 1"),
        ([(CLEARING, 999, "USD"), (RECEIVABLE, 999, "USD")], "USD postings add up to 1998"),
        ([(CLEARING, 999, "USD"), (RECEIVABLE, -999, "EUR")], "USD postings add up to 999"),
        ([(CLEARING, 999, "USD")], "USD postings add up to 999"),
        (
            [
                (CLEARING, 5, "USD"),
                (RECEIVABLE, -5, "USD"),
                (CLEARING, 5, "JPY"),
                (RECEIVABLE, -6, "JPY"),
            ],
            "JPY postings add up to -1",
        ),
    ],
)
def test_an_unbalanced_entry_cannot_be_built(legs: list[Any], says: str) -> None:
    with pytest.raises(UnbalancedEntry, match=says):
        entry(postings=postings(*legs))


def test_an_entry_of_a_thousand_postings_can_be_built() -> None:
    assert len(entry(postings=PAID * 500).postings) == 1000


def test_an_entry_without_postings_cannot_be_built() -> None:
    with pytest.raises(EmptyEntry):
        entry(postings=())


def test_a_posting_of_nothing_cannot_be_built() -> None:
    with pytest.raises(EmptyEntry, match="psp_clearing"):
        Posting(CLEARING, Money(0, "USD"))


@pytest.mark.parametrize(
    ("account", "money"),
    [(Money(5, "USD"), CLEARING), ("psp_clearing", Money(5, "USD")), (CLEARING, 5)],
)
def test_a_posting_of_mixed_up_values_cannot_be_built(account: Any, money: Any) -> None:
    with pytest.raises(TypeError, match="a posting needs"):
        Posting(account, money)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"kind": ""}, "no kind of entry"),
        ({"kind": "Invoice issued"}, "no kind of entry"),
        ({"kind": None}, "no kind of entry"),
        ({"source_key": ""}, "no source key"),
        ({"source_key": "payment_captured"}, "no source key"),
        ({"source_key": 'payment_captured:"'}, "no source key"),
        ({"source_key": "payment_captured:p1\n"}, "no source key"),
        ({"source_key": "payment_captured:" + "x" * 201}, "no source key"),
        ({"source_key": ANN}, "no source key"),
        ({"source_key": None}, "needs a source key"),
        ({"reverses": "not a key"}, "no source key"),
        ({"reverses": "payment_captured:p1:1"}, "can't reverse itself"),
        ({"effective_at": AT.replace(tzinfo=None)}, "aware instant"),
        ({"effective_at": "2026-03-01"}, "aware instant"),
        ({"cycle_id": str(CYCLE)}, "no cycle id"),
        ({"postings": list(PAID)}, "as a tuple"),
        ({"postings": (PAID[0], None)}, "something among its postings"),
        ({"postings": PAID * 501}, "more than 1000 postings"),
    ],
)
def test_an_entry_of_mixed_up_values_cannot_be_built(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(JournalError, match=says):
        entry(**changes)


# --- the payload hash ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("owned_by", "named", "customer"),
    [
        ((None, None), None, None),
        ((None, None), BOB, BOB),
        ((None, ANN), None, ANN),
        ((ANN, None), None, ANN),
        ((ANN, BOB), None, ANN),
        ((ANN, None), BOB, BOB),
    ],
)
def test_an_entry_is_of_the_customer_it_names_or_else_of_the_first_owner(
    owned_by: tuple[uuid.UUID | None, ...],
    named: uuid.UUID | None,
    customer: uuid.UUID | None,
) -> None:
    accounts = [
        CLEARING if owner is None else replace(RECEIVABLE, owner_id=owner) for owner in owned_by
    ]
    legs = postings((accounts[0], 5, "USD"), (accounts[1], -5, "USD"))

    assert entry(postings=legs, customer_id=named).customer() == customer


def test_the_payload_hash_is_taken_over_text_that_anybody_can_write_down() -> None:
    text = (
        '{"cycle_id":"018f0000-0000-7000-8000-0000000000c1"'
        ',"effective_at":"2026-03-01T12:00:00.000000"'
        ',"kind":"payment_captured"'
        ',"postings":[["psp_clearing","","USD",999]'
        ',["receivable","018f0000-0000-7000-8000-00000000000a","USD",-999]]'
        ',"reverses":""}'
    )

    assert entry().payload_hash() == hashlib.sha256(text.encode()).digest()


def test_what_an_entry_does_not_have_is_an_empty_text() -> None:
    text = (
        '{"cycle_id":""'
        ',"effective_at":"2026-03-01T12:00:00.000000"'
        ',"kind":"payment_captured"'
        ',"postings":[["psp_clearing","","USD",999]'
        ',["receivable","018f0000-0000-7000-8000-00000000000a","USD",-999]]'
        ',"reverses":"invoice_issued:i1"}'
    )

    found = entry(cycle_id=None, reverses="invoice_issued:i1").payload_hash()

    assert found == hashlib.sha256(text.encode()).digest()


def test_the_payload_hash_is_the_same_on_a_machine_in_another_zone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = entry().payload_hash()
    try:
        with monkeypatch.context() as moved:
            moved.setenv("TZ", "Asia/Tokyo")
            time.tzset()
            assert entry().payload_hash() == here
            assert entry(effective_at=AT.astimezone(None)).payload_hash() == here
    finally:
        time.tzset()


@pytest.mark.parametrize(
    "same",
    [
        {"source_key": "payment_captured:p2:1"},
        {"postings": PAID[::-1]},
        {"effective_at": AT.astimezone(timezone(timedelta(hours=9)))},
    ],
    ids=["another key", "another order", "another zone"],
)
def test_the_payload_hash_does_not_depend_on_how_it_is_said(same: dict[str, Any]) -> None:
    assert entry(**same).payload_hash() == entry().payload_hash()


@pytest.mark.parametrize(
    "other",
    [
        {"kind": "payment_adopted"},
        {"effective_at": AT + timedelta(microseconds=1)},
        {"cycle_id": None},
        {"reverses": "invoice_issued:i1"},
        {"postings": postings((CLEARING, 998, "USD"), (RECEIVABLE, -998, "USD"))},
        {"postings": postings((CLEARING, 999, "EUR"), (RECEIVABLE, -999, "EUR"))},
        {"postings": postings((FEES, 999, "USD"), (RECEIVABLE, -999, "USD"))},
        {"postings": postings((RECEIVABLE, 999, "USD"), (CLEARING, -999, "USD"))},
        {"postings": (PAID[0], Posting(Account(AccountCode.RECEIVABLE, BOB), PAID[1].money))},
    ],
)
def test_the_payload_hash_changes_with_what_is_said(other: dict[str, Any]) -> None:
    assert entry(**other).payload_hash() != entry().payload_hash()


def test_the_payload_hash_leaves_the_account_at_a_provider_out() -> None:
    elsewhere = Account(AccountCode.PSP_CLEARING, provider="eu")
    other = entry(postings=postings((elsewhere, 999, "USD"), (RECEIVABLE, -999, "USD")))

    assert other.payload_hash() == entry().payload_hash(), "it follows from the event"


# --- for all entries -----------------------------------------------------------------------

accounts = st.sampled_from(
    [
        Account(code, owner, provider)
        for code, line in CHART.items()
        for owner in ((ANN, BOB) if line.owned else (None,))
        for provider in (("stripe", "eu") if line.per_provider else (None,))
    ]
)
amounts = st.integers(-(2**53), 2**53).filter(bool)
legs = st.lists(
    st.builds(
        lambda account, amount, currency: Posting(account, Money(amount, currency)),
        accounts,
        amounts,
        st.sampled_from(["USD", "EUR", "JPY"]),
    ),
    min_size=1,
    max_size=6,
)


@given(legs)
def test_an_entry_can_be_built_exactly_when_every_currency_adds_up_to_zero(
    some: list[Posting],
) -> None:
    balanced = all(
        sum(p.money.amount for p in some if p.money.currency == currency) == 0
        for currency in ("USD", "EUR", "JPY")
    )

    try:
        entry(postings=tuple(some))
    except UnbalancedEntry:
        assert not balanced
    else:
        assert balanced


@given(legs, st.randoms())
def test_mirrored_legs_balance_and_hash_alike_in_any_order(
    some: list[Posting], random: Any
) -> None:
    whole = [*some, *(posting.negated() for posting in some)]
    shuffled = whole.copy()
    random.shuffle(shuffled)

    assert set(entry(postings=tuple(whole)).sums().values()) == {0}
    assert (
        entry(postings=tuple(whole)).payload_hash()
        == entry(postings=tuple(shuffled)).payload_hash()
    )


@given(legs, st.integers(0, 11), st.integers(1, 10**6))
def test_any_amount_changed_in_a_balanced_entry_is_noticed(
    some: list[Posting], at: int, by: int
) -> None:
    whole = [*some, *(posting.negated() for posting in some)]
    spoilt = whole[at % len(whole)]
    assume(spoilt.money.amount + by != 0)
    whole[at % len(whole)] = Posting(
        spoilt.account, spoilt.money + Money(by, spoilt.money.currency)
    )

    with pytest.raises(UnbalancedEntry):
        entry(postings=tuple(whole))
