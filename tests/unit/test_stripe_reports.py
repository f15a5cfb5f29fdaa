"""Reading settlement reports: exact amounts, any order of columns, and one clear error."""

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from billing.cli.remedies import remedy_of
from billing.errors import ErrorCode
from billing.gateway.objects import ProviderPayout, Unreadable
from billing.gateway.reports import MalformedReport, ReportedMovement
from billing.gateway.stripe.report_formats import minor_units
from billing.gateway.stripe.reports import movements
from billing.plans.currencies import AmountError
from billing.rules.money import Money
from billing.rules.reconciliation import MovementKind, PayoutStatus

HEADER = (
    "balance_transaction_id,created_utc,available_on_utc,currency,gross,fee,net,reporting_category,"
    "source_id,charge_id,payment_intent_id,customer_facing_amount,customer_facing_currency,"
    "automatic_payout_id,payment_metadata[payment]"
)
ROW = (
    "txn_1,2026-03-01 09:30:00,2026-03-03 00:00:00,usd,19.99,0.88,19.11,charge,ch_1,ch_1,pi_1,"
    "19.99,usd,po_1,"
)
OURS = "018f0000-0000-7000-8000-0000000000e1"


def read(
    folder: Path, *lines: str, header: str = HEADER, encoding: str = "utf-8"
) -> list[ReportedMovement]:
    path = folder / "report.csv"
    path.write_bytes("\r\n".join([header, *lines]).encode(encoding))
    found = list(movements(path))
    rows = [row for row in found if isinstance(row, ReportedMovement)]
    assert rows == found
    return rows


def fields(row: ReportedMovement) -> list[str]:
    """A row without its kind; what isn't said is written as COPY does."""
    id_, _, *found = row
    return [id_, *("\\N" if value is None else value for value in found)]


def test_a_row_is_read_into_minor_units(tmp_path: Path) -> None:
    (line,) = read(tmp_path, ROW)

    assert fields(line) == [
        "txn_1", "charge", "ch_1", "pi_1", "ch_1", "1999", "88", "1911", "USD", "1999", "USD",
        "\\N", "po_1", "2026-03-01T09:30:00+00:00", "2026-03-03T00:00:00+00:00", "{}",
    ]  # fmt: skip


def test_a_category_is_read_as_a_kind_of_movement(tmp_path: Path) -> None:
    (charge, fee) = read(tmp_path, ROW, ROW.replace(",charge,", ",network_cost,"))

    assert (charge.kind, fee.kind) == (MovementKind.CHARGE, MovementKind.FEE)


def test_columns_are_found_by_name_in_any_order(tmp_path: Path) -> None:
    header = (
        "net,fee,gross,currency,reporting_category,created,balance_transaction_id,new,source_id"
    )

    (line,) = read(tmp_path, "-5.00,0.00,-5.00,EUR,refund,2026-03-01,txn_2,x,re_1", header=header)

    assert fields(line)[:8] == ["txn_2", "refund", "re_1", "\\N", "\\N", "-500", "0", "-500"]
    assert fields(line)[13] == "2026-03-01T00:00:00+00:00"


def test_what_the_customer_saw_has_the_sign_of_the_movement(tmp_path: Path) -> None:
    row = ROW.replace("19.99,0.88,19.11,charge", "-17.45,0.00,-17.45,refund")

    (line,) = read(tmp_path, row)

    assert fields(line)[9:11] == ["-1999", "USD"]


def test_our_own_ids_are_kept_and_nothing_else_of_the_metadata(tmp_path: Path) -> None:
    ours, stranger = read(tmp_path, ROW + OURS, ROW.replace("txn_1", "txn_2") + '"a"" b"')

    assert fields(ours)[-1] == f'{{"payment": "{OURS}"}}'
    assert fields(stranger)[-1] == "{}"


def test_a_byte_order_mark_and_empty_lines_are_no_rows(tmp_path: Path) -> None:
    assert len(read(tmp_path, ROW, "", encoding="utf-8-sig")) == 1


@pytest.mark.parametrize(
    ("text", "currency", "amount"),
    [
        ("19.99", "USD", 1999),
        ("-0.05", "USD", -5),
        ("10", "USD", 1000),
        ("10.5", "USD", 1050),
        ("1200", "JPY", 1200),
        ("1200.00", "JPY", 1200),
        ("120.00", "ISK", 120),
        ("1.250", "KWD", 1250),
    ],
)
def test_an_amount_is_exact(text: str, currency: str, amount: int) -> None:
    assert minor_units(text, currency) == amount


@pytest.mark.parametrize("text", ["19.999", "1e3", "19,99", "", "1 000.00", "NaN", "+1.00"])
def test_what_is_no_exact_amount_is_refused(text: str) -> None:
    with pytest.raises(AmountError):
        minor_units(text, "USD")


MALFORMED = {
    "too many decimals": ("19.99,0.88", "19.999,0.88", "gross", "3 decimals"),
    "a decimal comma": ("19.99,0.88", '"19,99",0.88', "gross", "19,99"),
    "another net": ("19.11", "19.12", "net", "gross minus fee"),
    "no currency": ("usd,19.99", "us$,19.99", "currency", "currency"),
    "no instant": ("2026-03-01 09:30:00", "yesterday", "created_utc", "no instant"),
    "a year that nobody lives in": (
        "2026-03-01 09:30:00",
        "9999-12-31 23:59:59",
        "created_utc",
        "no instant",
    ),
    "a year before any report": ("2026-03-01 09:30:00", "0001-01-01", "created_utc", "no instant"),
    "an amount that no provider takes": (
        "19.99,0.88,19.11",
        "92233720368547758.07,0,92233720368547758.07",
        "gross",
        "more than",
    ),
    "no such day": ("2026-03-01 09:30:00", "2026-02-30 09:30:00", "created_utc", "no instant"),
    "no id": ("txn_1,", "txn 1,", "balance_transaction_id", "no id"),
    "no category": (",charge,", ",Charge!,", "reporting_category", "category"),
    "fields missing": (",po_1,", "", "balance_transaction_id", "fields"),
}


@pytest.mark.parametrize(("old", "new", "column", "words"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_row_names_its_line_and_column(
    tmp_path: Path, old: str, new: str, column: str, words: str
) -> None:
    assert old in ROW
    quoted = ROW.replace("txn_1", "txn_0").replace("po_1,", 'po_1,"two\r\nlines"')

    with pytest.raises(MalformedReport) as refused:
        read(tmp_path, ROW, quoted, ROW.replace(old, new), ROW)

    assert words in refused.value.what
    assert refused.value.where == f"{tmp_path / 'report.csv'}:5, column {column}"


@pytest.mark.parametrize(("old", "new"), [("usd,19.99", "usdc,19.99"), ("usd,19.99", "uss,19.99")])
def test_a_row_in_a_currency_of_no_books_stops_no_other(tmp_path: Path, old: str, new: str) -> None:
    path = tmp_path / "report.csv"
    path.write_text("\n".join([HEADER, ROW.replace(old, new), ROW.replace("txn_1", "txn_2")]))

    unreadable, read_ = movements(path)

    assert isinstance(unreadable, Unreadable)
    assert (unreadable.id, unreadable.shown) == ("txn_1", " ".join(new.split(",")[::-1]))
    assert isinstance(read_, ReportedMovement)
    assert read_.id == "txn_2"


@pytest.mark.parametrize("code", ["ang", "clf", "xdr", "std", "hrk"])
def test_a_row_in_a_currency_that_is_not_sold_is_read(tmp_path: Path, code: str) -> None:
    path = tmp_path / "report.csv"
    path.write_text("\n".join([HEADER, ROW.replace("usd,19.99", f"{code},19.99")]))

    (found,) = movements(path)

    assert isinstance(found, ReportedMovement)
    assert found.currency == code.upper()


def test_a_file_that_is_no_report_says_which_columns_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(MalformedReport, match="currency, gross, fee, net, reporting_category"):
        read(tmp_path, "x", header="balance_transaction_id,created_utc,amount")


def test_a_file_that_is_no_text_or_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MalformedReport, match="not UTF-8"):
        read(tmp_path, "ä", header=HEADER, encoding="latin-1")
    with pytest.raises(MalformedReport, match="can't be read"):
        list(movements(tmp_path / "none.csv"))


def test_a_report_that_does_not_say_whose_its_rows_are_is_refused(tmp_path: Path) -> None:
    header = "net,fee,gross,currency,reporting_category,created,balance_transaction_id"

    with pytest.raises(MalformedReport, match="which payment") as refused:
        read(tmp_path, "1.00,0.00,1.00,EUR,charge,2026-03-01,txn_2", header=header)
    assert "payment_intent_id" in (remedy_of(refused.value) or "")


def test_a_charge_is_known_by_what_its_row_is_about(tmp_path: Path) -> None:
    header = HEADER.replace("charge_id,", "").replace("payment_intent_id,", "")

    (line,) = read(tmp_path, ROW.replace("ch_1,ch_1,pi_1,", "ch_1,"), header=header)

    assert fields(line)[2:5] == ["ch_1", "\\N", "ch_1"]


TORN = {
    "a quoted field that never ends": (ROW.replace("po_1,", 'po_1,"018f'), "not CSV"),
    "text behind a closing quote": (ROW.replace("po_1,", 'po_1,"a"b'), "not CSV"),
    "a formula for an amount": (ROW.replace("19.99,0.88", "=19.99,0.88"), "=19.99"),
    "a formula for an id": (ROW.replace("txn_1", "=cmd()"), "no id"),
    "digits of another script": (ROW.replace("19.99,0.88", "١٩.٩٩,0.88"), "١٩.٩٩"),
    "thousands separators": (
        ROW.replace("19.99,0.88,19.11", '"1,019.99",0.88,1019.11'),
        "1,019.99",
    ),
    "an amount in parentheses": (ROW.replace("19.99,0.88", "(19.99),0.88"), "(19.99)"),
    "a zero byte": (ROW.replace("ch_1,ch_1", "ch_1\x00,ch_1"), "no id"),
    "an amount beyond a bigint": (
        ROW.replace("19.99,0.88,19.11", "99999999999999999999.99,0.88,99999999999999999999.11"),
        "gross",
    ),
}


@pytest.mark.parametrize(("torn", "words"), TORN.values(), ids=TORN)
def test_a_torn_or_dressed_up_row_is_refused(tmp_path: Path, torn: str, words: str) -> None:
    with pytest.raises(MalformedReport) as refused:
        read(tmp_path, ROW.replace("txn_1", "txn_0"), torn)

    assert words in f"{refused.value.what} {refused.value.where}"
    assert f"{tmp_path / 'report.csv'}:3" in (refused.value.where or "")


EXPORTED_OTHERWISE = {
    "1,009.99": ("has thousands separators", ErrorCode.REPORT_THOUSANDS),
    "-1,009.99": ("has thousands separators", ErrorCode.REPORT_THOUSANDS),
    "1,009": ("has thousands separators", ErrorCode.REPORT_THOUSANDS),
    "1 009.99": ("has thousands separators", ErrorCode.REPORT_THOUSANDS),
    "1'009.99": ("has thousands separators", ErrorCode.REPORT_THOUSANDS),
    "1,00,009.99": ("has thousands separators", ErrorCode.REPORT_THOUSANDS),
    "19,99": ("has a decimal comma", ErrorCode.REPORT_DECIMAL_COMMA),
    "1.009,99": ("has a decimal comma", ErrorCode.REPORT_DECIMAL_COMMA),
    "1 009,99": ("has a decimal comma", ErrorCode.REPORT_DECIMAL_COMMA),
    "(19.99)": ("is negative by its brackets", ErrorCode.REPORT_AMOUNT_FORMAT),
    "$19.99": ("something beside it", ErrorCode.REPORT_AMOUNT_FORMAT),
    "19.99 USD": ("something beside it", ErrorCode.REPORT_AMOUNT_FORMAT),
    "19.999": ("has 3 decimals, but USD has 2", ErrorCode.REPORT_MALFORMED),
    "nothing": ("is not an amount", ErrorCode.REPORT_MALFORMED),
}


@pytest.mark.parametrize(
    ("written", "words", "code"),
    [(written, *expected) for written, expected in EXPORTED_OTHERWISE.items()],
)
def test_an_amount_of_another_format_is_named_with_what_to_choose(
    tmp_path: Path, written: str, words: str, code: ErrorCode
) -> None:
    with pytest.raises(MalformedReport, match=words) as refused:
        read(tmp_path, ROW.replace("19.99,0.88", f'"{written}",0.88'))

    assert refused.value.code is code
    assert repr(written) in refused.value.what
    assert remedy_of(refused.value)


@pytest.mark.parametrize(
    ("separator", "name"), [(";", "semicolons"), ("\t", "tabulators"), ("|", "vertical bars")]
)
def test_columns_that_commas_do_not_separate_are_named(
    tmp_path: Path, separator: str, name: str
) -> None:
    with pytest.raises(MalformedReport, match=name) as refused:
        read(tmp_path, ROW.replace(",", separator), header=HEADER.replace(",", separator))

    assert refused.value.code is ErrorCode.REPORT_SEPARATOR
    assert "commas" in (remedy_of(refused.value) or "")


@pytest.mark.parametrize(
    ("header", "words"),
    [("", "lacks the column"), ('"' + "x" * 70_000 + '"', "not CSV"), ('"balance', "not CSV")],
    ids=["an empty file", "one endless field", "a quote that never ends"],
)
def test_a_header_that_is_none_is_refused(tmp_path: Path, header: str, words: str) -> None:
    with pytest.raises(MalformedReport, match=words):
        read(tmp_path, header=header)


def test_a_column_named_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MalformedReport, match="gross"):
        read(tmp_path, ROW + ",1.00", header=HEADER + ",gross")


# --- payouts, and the account's own time zone ----------------------------------------------------

OF_PAYOUTS = (
    "payout_id,effective_at_utc,effective_at,currency,gross,fee,net,reporting_category,"
    "balance_transaction_id,description,payout_expected_arrival_date,payout_status"
)


def payouts_of(
    folder: Path, *lines: str, zone: str = "UTC", header: str = OF_PAYOUTS
) -> list[ReportedMovement | ProviderPayout | Unreadable]:
    path = folder / "payouts.csv"
    path.write_text("\n".join([header, *lines]))
    return list(movements(path, ZoneInfo(zone)))


@pytest.mark.parametrize("sign", ["", "-"])
def test_a_report_of_payouts_says_what_left_and_how_far_it_came(tmp_path: Path, sign: str) -> None:
    row, payout = payouts_of(
        tmp_path,
        f"po_1,2026-03-01 00:00:00,2026-02-28 19:00:00,usd,{sign}97.30,0.00,{sign}97.30,payout,"
        "txn_1,STRIPE PAYOUT,2026-03-03,paid",
    )

    assert isinstance(row, ReportedMovement)
    assert (row.kind, row.source_id, row.amount, row.net) == (
        MovementKind.PAYOUT, "po_1", "-9730", "-9730",
    )  # fmt: skip
    assert row.created == "2026-03-01T00:00:00+00:00"
    assert payout == ProviderPayout(
        "po_1", Money(9730, "USD"), PayoutStatus.PAID,
        datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 3, tzinfo=UTC),
    )  # fmt: skip


def test_a_payout_that_came_back_brings_its_money(tmp_path: Path) -> None:
    row, payout = payouts_of(
        tmp_path,
        "po_1,2026-03-01 00:00:00,,usd,-97.30,0.00,-97.30,payout_reversal,txn_2,,,failed",
    )

    assert isinstance(row, ReportedMovement)
    assert (row.kind, row.amount) == (MovementKind.PAYOUT_FAILURE, "9730")
    assert isinstance(payout, ProviderPayout)
    assert (payout.status, payout.arrival) == (PayoutStatus.FAILED, None)


def test_a_payout_whose_fee_may_be_on_either_side_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MalformedReport, match="isn't said"):
        payouts_of(tmp_path, "po_1,2026-03-01,,usd,97.30,1.00,96.30,payout,txn_1,,,paid")


@pytest.mark.parametrize(
    ("zone", "written", "instant"),
    [
        ("UTC", "2026-03-01 09:30:00", "2026-03-01T09:30:00+00:00"),
        ("Europe/Berlin", "2026-03-01 09:30:00", "2026-03-01T08:30:00+00:00"),
        ("Europe/Berlin", "2026-07-01 00:30:00", "2026-06-30T22:30:00+00:00"),
        ("Europe/Berlin", "2026-10-25 02:30:00", "2026-10-25T00:30:00+00:00"),
        ("America/Los_Angeles", "2026-03-01", "2026-03-01T08:00:00+00:00"),
        ("Asia/Kolkata", "2026-03-01T09:30:00Z", "2026-03-01T09:30:00+00:00"),
    ],
)
def test_instants_that_are_not_in_utc_by_name_are_in_the_zone_of_the_account(
    tmp_path: Path, zone: str, written: str, instant: str
) -> None:
    header = HEADER.replace("created_utc", "created").replace("available_on_utc", "available_on")

    (row,) = payouts_of(
        tmp_path,
        ROW.replace("2026-03-01 09:30:00", written).replace("2026-03-03 00:00:00", written),
        zone=zone,
        header=header,
    )

    assert isinstance(row, ReportedMovement)
    assert (row.created, row.available_on) == (instant, instant)


def test_columns_in_utc_stay_in_utc_whatever_the_zone(tmp_path: Path) -> None:
    (row,) = payouts_of(tmp_path, ROW, zone="Europe/Berlin", header=HEADER)

    assert isinstance(row, ReportedMovement)
    assert row.created == "2026-03-01T09:30:00+00:00"
