"""The catalog: what ships is good, and every mistake is named with file, line, key and remedy."""

from datetime import date
from pathlib import Path

import pytest

from billing.plans.load import CatalogError, CatalogProblem, load_catalog
from billing.plans.terms import (
    Cadence,
    ChangePolicy,
    Dunning,
    version_for_new,
    version_for_period,
)

ROOT = Path(__file__).parents[2]
CATALOG = ROOT / "plans" / "catalog"

GOOD = """\
product = "Video streaming"

[[plan]]
code = "video-basic"
every = "1 month"
trial = "14 days"
retry_after = ["3d", "5d"]
then = "cancel"

  [[plan.version]]
  effective = 2026-01-01
  price = { USD = "9.99", JPY = "1200" }

  [[plan.version]]
  effective = 2026-09-01
  existing = "keep"
  price = { USD = "11.99", JPY = "1400" }
"""


def test_the_catalog_that_ships_is_good() -> None:
    catalog = load_catalog(CATALOG)

    assert len(catalog.plans) >= 6
    assert len({plan.product for plan in catalog.plans.values()}) >= 2
    every = {str(version.every) for plan in catalog.plans.values() for version in plan.versions}
    assert every == {"1 month", "1 year", "2 weeks"}


def test_the_price_changes_of_2026_show_in_the_catalog_that_ships() -> None:
    plans = load_catalog(CATALOG).plans
    january, autumn = date(2026, 1, 1), date(2026, 10, 1)

    basic, premium = plans["video-basic"].versions, plans["video-premium"].versions

    assert version_for_period(basic, january, autumn).prices["USD"] == 999  # grandfathered
    assert version_for_new(basic, autumn).prices["USD"] == 1199
    assert version_for_period(premium, january, autumn).prices["USD"] == 2199  # moved


def test_the_examples_of_the_documentation_are_good(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "plans.md").read_text(encoding="utf-8")
    parts = [part.split("```")[0] for part in page.split("```toml\n")[1:]]
    simple, items, meters, usage, taxes = parts

    assert set(load_catalog(write(tmp_path, simple)).plans) == {"video-basic"}
    sold = load_catalog(write(tmp_path, items))
    (version,) = sold.plans["api-team"].versions
    assert [item.code for item in version.items] == ["base", "seats", "projects", "setup"]
    assert (set(sold.addons), set(sold.coupons)) == ({"sso"}, {"spring"})
    assert set(load_catalog(write(tmp_path, meters)).meters) == {"searches"}
    assert set(load_catalog(write(tmp_path, usage)).plans) == {"api"}
    rates = load_catalog(write(tmp_path, taxes)).tax_rates
    assert [rate.jurisdiction for rate in rates] == ["DE", "DE", "CA-QC"]


def test_a_plan_is_read_whole(tmp_path: Path) -> None:
    plan = load_catalog(write(tmp_path, GOOD)).plans["video-basic"]

    first, second = plan.versions
    assert (plan.product, plan.name) == ("Video streaming", "Video Basic")
    assert plan.dunning == Dunning((Cadence(3, "day"), Cadence(5, "day")), "cancel")
    assert plan.catch_up is None
    assert (plan.one_per_customer, plan.trial_once, plan.on_dispute) == (False, False, "continue")
    assert (first.every, first.trial, first.anchor_day) == (MONTH, Cadence(14, "day"), None)
    assert dict(first.prices) == {"USD": 999, "JPY": 1200}
    assert (second.effective, second.existing) == (date(2026, 9, 1), "keep")


def test_what_costs_nothing_has_a_price_of_zero(tmp_path: Path) -> None:
    text = GOOD.replace('USD = "9.99", JPY = "1200"', 'USD = "0", JPY = "0"')

    (first, _) = load_catalog(write(tmp_path, text)).plans["video-basic"].versions

    assert dict(first.prices) == {"USD": 0, "JPY": 0}


def test_a_plan_says_when_changes_apply(tmp_path: Path) -> None:
    text = GOOD.replace("then =", 'change = { down = "now", credit = "none" }\nthen =')

    usual = load_catalog(write(tmp_path, GOOD)).plans["video-basic"].change
    own = load_catalog(write(tmp_path, text)).plans["video-basic"].change

    assert usual == ChangePolicy("now", "period_end", "next_invoice")
    assert own == ChangePolicy("now", "now", "none")


def test_a_version_may_have_terms_of_its_own(tmp_path: Path) -> None:
    text = GOOD.replace(
        'existing = "keep"', 'existing = "keep"\ntrial = "none"\nevery = "2 months"'
    )

    first, second = load_catalog(write(tmp_path, text)).plans["video-basic"].versions

    assert (first.trial, first.every) == (Cadence(14, "day"), MONTH)
    assert (second.trial, second.every) == (None, Cadence(2, "month"))


def test_versions_are_sorted_by_their_dates(tmp_path: Path) -> None:
    text = GOOD.replace("2026-01-01", "2027-01-01")

    versions = load_catalog(write(tmp_path, text)).plans["video-basic"].versions

    assert [version.effective.year for version in versions] == [2026, 2027]


# what is written instead of what, and the one problem it makes: line, key, words of it
MISTAKES = {
    "unknown key": ('every = "1 m', 'evry = "1 m', 5, "plan.evry", "did you mean 'every'?"),
    "unknown key of a file": ("product =", "currency = 1\nproduct =", 1, "currency", "known are"),
    "unknown key of a version": ("existing", "exisiting", 16, "plan.version.exisiting", "existing"),
    "float price": ('"9.99"', "9.99", 12, "plan.version.price.USD", 'in quotes: USD = "9.99"'),
    "number price": ('"1200"', "1200", 12, "plan.version.price.JPY", 'in quotes: JPY = "1200"'),
    "third decimal": ('"9.99"', '"9.999"', 12, "plan.version.price.USD", "USD has 2 decimals"),
    "decimals in yen": ('"1200"', '"1200.5"', 12, "plan.version.price.JPY", "JPY has no decimals"),
    "third decimal not 0": (
        'USD = "9.99"', 'USD = "9.99", KWD = "1.234"', 12, "plan.version.price.KWD", "'1.230'",
    ),
    "no amount": ('"9.99"', '"9,99"', 12, "plan.version.price.USD", "write it like '9.99'"),
    "negative price": ('"9.99"', '"-9.99"', 12, "plan.version.price.USD", "below zero"),
    "price too large": ('"9.99"', '"1000000"', 12, "plan.version.price.USD", "'999999.99'"),
    "price beyond bigint": ('"9.99"', f'"{"9" * 30}"', 12, "plan.version.price.USD", "more than"),
    "price of two things": ('"9.99"', '["9.99"]', 12, "plan.version.price.USD", "is a list"),
    "unknown currency": (
        'USD = "9.99"', 'USD = "9.99", XYZ = "1"', 12, "plan.version.price.XYZ", "ISO 4217",
    ),
    "currency in lower case": (
        'USD = "9.99"', 'USD = "9.99", eur = "1"', 12, "plan.version.price.eur", "write 'EUR'",
    ),
    "no price at all": (
        '{ USD = "9.99", JPY = "1200" }', "{}", 12, "plan.version.price", "is empty",
    ),
    "price is a text": (
        '{ USD = "9.99", JPY = "1200" }', '"9.99"', 12, "plan.version.price", "write a table",
    ),
    "one date twice": (
        "2026-09-01", "2026-01-01", 15, "plan.version.effective", "the date of another version",
    ),
    "date in quotes": (
        "2026-09-01", '"2026-09-01"', 15, "plan.version.effective", "without quotes",
    ),
    "date with a time": (
        "2026-09-01", "2026-09-01T00:00:00Z", 15, "plan.version.effective", "alone: 2026-09-01",
    ),
    "missing date": ("  effective = 2026-09-01\n", "", 14, "plan.version.effective", "is missing"),
    "missing price": (
        '  price = { USD = "11.99", JPY = "1400" }\n', "", 14, "plan.version.price", "is missing",
    ),
    "missing code": ('code = "video-basic"\n', "", 3, "plan.code", "is missing"),
    "missing product": ('product = "Video streaming"\n', "", 1, "product", "is missing"),
    "bad code": ("video-basic", "Video Basic", 4, "plan.code", "small letters"),
    "code is a number": ('"video-basic"', "7", 4, "plan.code", "7 is a number"),
    "blank name": ("every =", 'name = " "\nevery =', 5, "plan.name", "is empty"),
    "unknown cadence": ("1 month", "1 fortnight", 5, "plan.every", "is not a cadence"),
    "cadence is a number": ('"1 month"', "1", 5, "plan.every", "a text in quotes"),
    "endless cadence": ("1 month", "40 years", 5, "plan.every", "write at most '3 years'"),
    "endless trial": ("14 days", "1000 days", 6, "plan.trial", "write at most '2 years'"),
    "bad existing": ('"keep"', '"mvoe"', 16, "plan.version.existing", "did you mean 'move'"),
    "first version moves": (
        "effective = 2026-01-01", 'effective = 2026-01-01\n  existing = "move"', 12,
        "plan.version.existing", "first version",
    ),
    "a currency is dropped": (
        '{ USD = "11.99", JPY = "1400" }', '{ USD = "11.99" }', 17, "plan.version.price",
        "subscriptions in JPY would have no price",
    ),
    "a move changes the cadence": (
        'existing = "keep"', 'existing = "move"\n  every = "1 year"', 17, "plan.version.every",
        "can't change for subscriptions that exist",
    ),
    "unknown then": ('"cancel"', '"give up"', 8, "plan.then", "write 'cancel' or 'unpaid'"),
    "then without ladder": (
        'retry_after = ["3d", "5d"]\n', "", 3, "plan.retry_after", "is missing beside then",
    ),
    "ladder without then": ('then = "cancel"\n', "", 3, "plan.then", "beside retry_after"),
    "ladder is a text": ('["3d", "5d"]', '"3d"', 7, "plan.retry_after", "a list of texts"),
    "ladder of numbers": ('["3d", "5d"]', "[3, 5]", 7, "plan.retry_after", "a list of texts"),
    "bad step": ('"5d"', '"5x"', 7, "plan.retry_after", "is not a cadence"),
    "endless step": ('"5d"', '"90d"', 7, "plan.retry_after", "write at most '60 days'"),
    "endless ladder": (
        '["3d", "5d"]', str(["1d"] * 11), 7, "plan.retry_after", "write at most 10",
    ),
    "flag in quotes": (
        "then =", 'trial_once = "yes"\nthen =', 8, "plan.trial_once", "true or false, without",
    ),
    "flag as a number": (
        "then =", "one_per_customer = 1\nthen =", 8, "plan.one_per_customer", "true or false",
    ),
    "unknown on_dispute": (
        "then =", 'on_dispute = "stop"\nthen =', 8, "plan.on_dispute", "'continue' or 'pause'",
    ),
    "unknown catch_up": ("then =", 'catch_up = "all"\nthen =', 8, "plan.catch_up", "'bill' or"),
    "anchor_day out of range": ("then =", "anchor_day = 32\nthen =", 8, "plan.anchor_day", "31"),
    "anchor_day is a boolean": (
        "then =", "anchor_day = true\nthen =", 8, "plan.anchor_day", "true or false",
    ),
    "anchor is another word": (
        "then =", 'anchor = "quarter"\nthen =', 8, "plan.anchor", "write 'calendar'",
    ),
    "two anchors": (
        "then =", 'anchor = "calendar"\nanchor_day = 1\nthen =', 8, "plan.anchor", "anchor_day",
    ),
    "no weekday": (
        "then =", 'anchor_weekday = "mon"\nthen =', 8, "plan.anchor_weekday", "write 'monday'",
    ),
    "month without a day": (
        "then =", "anchor_month = 4\nthen =", 3, "plan.anchor_day", "beside anchor_month",
    ),
    "weekday of a month": (
        "then =", 'anchor_weekday = "monday"\nthen =', 8, "plan.anchor_weekday", "in weeks",
    ),
    "month of every month": (
        "then =", "anchor_day = 1\nanchor_month = 4\nthen =", 9, "plan.anchor_month", "a year",
    ),
    "plan is no list": ("[[plan]]", "[plan]", 3, "plan", "begin each one with [[plan]]"),
    "card number": ("Video streaming", "4111 1111 1111 1111", 1, "product", "card number"),
    "card number as a key": (
        "then =", "4111111111111111 = 1\nthen =", 8, "plan.[card number removed]", "",
    ),
    "change is a text": ("then =", 'change = "now"\nthen =', 8, "plan.change", "write a table"),
    "unknown change": (
        "then =", 'change = { upgrade = "now" }\nthen =', 8, "plan.change.upgrade", "mean 'up'",
    ),
    "unknown time of a change": (
        "then =", 'change = { up = "later" }\nthen =', 8, "plan.change.up", "'now' or 'period_end'",
    ),
    "unknown credit": (
        "then =", 'change = { credit = "cash" }\nthen =', 8, "plan.change.credit", "'refund'",
    ),
    "a tax is a number": (
        "existing", "tax = 1\n  existing", 16, "plan.version.tax", "write a table",
    ),
    "a meter of nothing": ("product =", "meter = [{}]\nproduct =", 1, "meter.code", "is missing"),
    "broken syntax": ('product = "Video', "product = Video", 1, "product", "not valid TOML"),
    "unclosed text": ('JPY = "1400" }', 'JPY = "1400 }', 17, "price", "not valid TOML"),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "line", "key", "words"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_named_with_its_place_and_remedy(
    tmp_path: Path, old: str, new: str, line: int, key: str, words: str
) -> None:
    assert old in GOOD

    problems = problems_of(write(tmp_path, GOOD.replace(old, new, 1)))

    assert (problems[0].line, problems[0].key) == (line, key)
    assert problems[0].file == str(tmp_path / "video.toml")
    assert words in str(problems[0])
    assert all(problem.remedy for problem in problems)


def test_every_is_wanted_once_per_version_that_has_none(tmp_path: Path) -> None:
    problems = problems_of(write(tmp_path, GOOD.replace('every = "1 month"\n', "")))

    assert [(p.line, p.key, p.what) for p in problems] == [
        (9, "plan.version.every", "is missing"),
        (13, "plan.version.every", "is missing"),
    ]


def test_an_alignment_needs_months(tmp_path: Path) -> None:
    text = GOOD.replace('"1 month"', '"2 weeks"\nanchor_day = 1')

    (problem, _) = problems_of(write(tmp_path, text))

    assert (problem.line, problem.key) == (6, "plan.anchor_day")
    assert "2 weeks" in problem.what


@pytest.mark.parametrize(
    ("every", "anchor", "terms"),
    [
        ("1 month", 'anchor = "calendar"', (1, None, None)),
        ("3 months", 'anchor = "calendar"', (1, 1, None)),
        ("1 year", 'anchor = "calendar"', (1, 1, None)),
        ("2 weeks", 'anchor = "calendar"', (None, None, 1)),
        ("1 week", 'anchor_weekday = "sunday"', (None, None, 7)),
        ("6 months", "anchor_day = 31\nanchor_month = 3", (31, 3, None)),
    ],
)
def test_periods_may_begin_with_the_calendars(
    tmp_path: Path, every: str, anchor: str, terms: tuple[int | None, int | None, int | None]
) -> None:
    text = GOOD.replace('"1 month"', f'"{every}"\n{anchor}')

    version = load_catalog(write(tmp_path, text)).plans["video-basic"].versions[0]

    assert (version.anchor_day, version.anchor_month, version.anchor_weekday) == terms


@pytest.mark.parametrize("every", ["1 day", "5 months"])
def test_what_no_year_has_room_for_is_not_aligned_to_it(tmp_path: Path, every: str) -> None:
    text = GOOD.replace('"1 month"', f'"{every}"\nanchor = "calendar"')

    (problem, _) = problems_of(write(tmp_path, text))

    assert (problem.line, problem.key) == (6, "plan.anchor")
    assert "in 1, 2, 3, 4 or 6 months" in problem.remedy


def test_two_plans_of_one_code_are_refused_across_files(tmp_path: Path) -> None:
    write(tmp_path, GOOD, "a.toml")
    write(tmp_path, GOOD, "b.toml")

    (problem,) = problems_of(tmp_path)

    assert (problem.file, problem.line) == (str(tmp_path / "b.toml"), 4)
    assert f"{tmp_path / 'a.toml'}:4" in problem.what


def test_all_problems_of_all_files_come_at_once(tmp_path: Path) -> None:
    write(tmp_path, GOOD.replace('"9.99"', "9.99").replace("14 days", "14 nights"), "a.toml")
    write(tmp_path, "product = [", "b.toml")
    write(tmp_path, GOOD.replace('"cancel"', '"stop"').replace("video-basic", "x"), "c.toml")

    problems = problems_of(tmp_path)

    places = [(Path(problem.file).name, problem.line) for problem in problems]
    assert places == [("a.toml", 6), ("a.toml", 12), ("b.toml", 1), ("c.toml", 8)]


def test_files_that_can_not_be_read_are_problems_too(tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes(b'# fine\nproduct = "caf\xe9"\n')

    assert problems_of(tmp_path / "absent.toml")[0].what.startswith("can't be read")
    assert problems_of(tmp_path)[0].line == 2
    (tmp_path / "latin.toml").unlink()
    assert problems_of(tmp_path)[0].what == "no *.toml file here"


def test_a_problem_never_repeats_a_card_number(tmp_path: Path) -> None:
    card = "4111 1111 1111 1111"
    text = GOOD.replace("Video streaming", card).replace("1 month", card).replace("then", card)

    problems = problems_of(write(tmp_path, text))
    quoted = problems_of(write(tmp_path, GOOD.replace("14 days", card)))

    assert "1111" not in "".join(str(problem) for problem in problems + quoted)


def test_a_file_from_windows_reads_the_same(tmp_path: Path) -> None:
    windows = tmp_path / "video.toml"
    windows.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())

    assert load_catalog(windows) == load_catalog(write(tmp_path, GOOD, "unix.toml"))


MONTH = Cadence(1, "month")


def write(directory: Path, text: str, name: str = "video.toml") -> Path:
    path = directory / name
    path.write_text(text, encoding="utf-8")
    return path


def problems_of(path: Path) -> tuple[CatalogProblem, ...]:
    with pytest.raises(CatalogError) as refused:
        load_catalog(path)
    return refused.value.problems


@pytest.mark.parametrize(
    "text",
    ["a = " + "[" * 100_000, "a = " + "{x=" * 100_000, "a = " + "9" * 5_000],
    ids=["lists", "tables", "digits"],
)
def test_what_no_reader_can_bear_is_no_valid_toml(text: str, tmp_path: Path) -> None:
    with pytest.raises(CatalogError) as refused:
        load_catalog(write(tmp_path, text))

    assert "not valid TOML" in refused.value.problems[0].what


@pytest.mark.parametrize("character", ["\\u0000", "\\u001b[2J", "\\u009b", "\\u202e", "\\n"])
@pytest.mark.parametrize("place", ["Video streaming", "video-basic", "cancel"])
def test_a_text_with_a_control_character_is_refused(
    character: str, place: str, tmp_path: Path
) -> None:
    with pytest.raises(CatalogError) as refused:
        load_catalog(write(tmp_path, GOOD.replace(place, place + character)))

    assert "has a control character" in {problem.what for problem in refused.value.problems}
    assert all(problem.what.isprintable() for problem in refused.value.problems)


@pytest.mark.parametrize(
    ("usual", "ours"),
    [("interval", "every"), ("billing_period", "every"), ("id", "code"), ("ladder", "retry_after"),
     ("trial_days", "trial"), ("title", "name")],
)  # fmt: skip
def test_what_other_catalogs_call_a_key_leads_to_ours(
    usual: str, ours: str, tmp_path: Path
) -> None:
    with pytest.raises(CatalogError) as refused:
        load_catalog(write(tmp_path, GOOD.replace("every =", f'{usual} = "x"\nevery =', 1)))

    assert f"did you mean {ours!r}?" in {problem.remedy for problem in refused.value.problems}


@pytest.mark.parametrize("price", ["20", "9.99"])
def test_a_price_without_quotes_is_called_a_number(price: str, tmp_path: Path) -> None:
    with pytest.raises(CatalogError) as refused:
        load_catalog(write(tmp_path, GOOD.replace('USD = "9.99"', f"USD = {price}")))

    assert f"{price} is a number" in refused.value.problems[0].what
