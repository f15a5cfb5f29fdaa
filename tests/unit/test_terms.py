"""Terms: cadences in words, versions with a digest, and which version applies when."""

import hashlib
import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from billing.plans.catalogs import Catalog
from billing.plans.terms import (
    Cadence,
    CadenceError,
    Existing,
    NoVersion,
    Plan,
    PlanVersion,
    version_for_new,
    version_for_period,
)


@pytest.mark.parametrize(
    ("text", "count", "unit"),
    [
        ("1 month", 1, "month"), ("2 weeks", 2, "week"), ("14 days", 14, "day"),
        ("1 year", 1, "year"), ("3d", 3, "day"), ("2w", 2, "week"), ("3mo", 3, "month"),
        ("1y", 1, "year"), ("1 months", 1, "month"), ("12 month", 12, "month"), ("1 day", 1, "day"),
    ],
)  # fmt: skip
def test_a_cadence_is_read(text: str, count: int, unit: str) -> None:
    cadence = Cadence.parse(text)

    assert (cadence.count, cadence.unit) == (count, unit)
    assert Cadence.parse(str(cadence)) == cadence


@pytest.mark.parametrize(
    "text",
    ["", "month", "monthly", "0 days", "-1 day", "1.5 months", "3m", "1 fortnight", "1  month",
     " 1 month", "1 Month", "01 day", "10000 days", "1 month\n", "٣ days"],
)  # fmt: skip
def test_what_is_no_cadence_is_refused(text: str) -> None:
    with pytest.raises(CadenceError):
        Cadence.parse(text)


def test_a_catalog_is_a_copy_that_nobody_changes() -> None:
    plan = Plan("basic", "Video", "Basic", None, None, (version_of("2026-01-01"),))
    given = {"basic": plan}

    catalog = Catalog(given)
    given.clear()

    assert catalog.plans == {"basic": plan}
    with pytest.raises(TypeError):
        catalog.plans["other"] = plan  # type: ignore[index]


def test_a_cadence_reads_like_english() -> None:
    assert [str(Cadence.parse(text)) for text in ("1mo", "2w", "1d")] == [
        "1 month", "2 weeks", "1 day",
    ]  # fmt: skip


def test_terms_survive_the_way_through_json() -> None:
    for version in (
        version_of("2026-01-01"),
        replace(version_of("2026-01-01"), trial=Cadence(14, "day"), anchor_day=1),
        replace(version_of("2026-01-01"), anchor_day=1, anchor_month=4),
        replace(version_of("2026-01-01"), anchor_weekday=7),
    ):
        stored = json.loads(json.dumps(version.to_terms()))
        again = PlanVersion.from_terms(version.plan, version.effective, stored)

        assert again == version
        assert again.digest() == version.digest()


def test_the_digest_depends_on_the_terms_and_not_on_their_order() -> None:
    version = version_of("2026-01-01", USD=999, EUR=899)

    assert version.digest() == version_of("2026-01-01", EUR=899, USD=999).digest()
    assert version.digest() != version_of("2026-01-01", EUR=899, USD=998).digest()


def test_the_digest_is_taken_over_the_terms_in_order_of_their_names() -> None:
    version = replace(version_of("2026-01-01"), trial=Cadence(14, "day"), anchor_day=1)
    canonical = json.dumps(dict(sorted(version.to_terms().items())), separators=(",", ":"))

    assert canonical.startswith('{"anchor_day":1,"every":')
    assert version.digest() == hashlib.sha256(canonical.encode()).hexdigest()


def test_a_digest_never_changes_between_releases() -> None:
    """Published versions are compared by digest: another way to compute it refuses them all."""
    canonical = b'{"every":"1 month","existing":"keep","prices":{"EUR":899,"USD":999}}'

    version = version_of("2026-01-01", USD=999, EUR=899)

    assert version.digest() == hashlib.sha256(canonical).hexdigest()


def test_unknown_terms_are_refused() -> None:
    terms = version_of("2026-01-01").to_terms() | {"seats": 5}

    with pytest.raises(ValueError, match="seats"):
        PlanVersion.from_terms("video", date(2026, 1, 1), terms)


def test_a_version_can_not_be_changed() -> None:
    version = version_of("2026-01-01")

    with pytest.raises(TypeError):
        version.prices["USD"] = 1  # type: ignore[index]


HISTORY: list[tuple[str, Existing]] = [
    ("2026-01-01", "keep"), ("2026-03-01", "move"), ("2026-06-01", "keep"),
    ("2026-09-01", "move"), ("2026-09-15", "keep"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("on", "effective"),
    [
        ("2026-01-01", "2026-01-01"), ("2026-02-28", "2026-01-01"), ("2026-03-01", "2026-03-01"),
        ("2026-08-31", "2026-06-01"), ("2027-01-01", "2026-09-15"),
    ],
)  # fmt: skip
def test_a_new_subscription_gets_the_latest_version(on: str, effective: str) -> None:
    assert str(version_for_new(history(), date.fromisoformat(on)).effective) == effective


def test_before_the_first_version_nothing_is_sold() -> None:
    with pytest.raises(NoVersion):
        version_for_new(history(), date(2025, 12, 31))


@pytest.mark.parametrize(
    ("held", "on", "effective"),
    [
        ("2026-01-01", "2026-02-28", "2026-01-01"),  # nothing happened yet
        ("2026-01-01", "2026-03-01", "2026-03-01"),  # moved on the day itself
        ("2026-01-01", "2026-08-31", "2026-03-01"),  # passed by what says keep
        ("2026-06-01", "2026-08-31", "2026-06-01"),
        ("2026-01-01", "2026-12-01", "2026-09-01"),  # two moves in one gap: the later one
        ("2026-06-01", "2026-09-10", "2026-09-01"),
        ("2026-09-15", "2026-12-01", "2026-09-15"),  # an earlier move doesn't take it back
    ],
)  # fmt: skip
def test_a_period_is_priced_by_the_version_held_until_one_moves_it(
    held: str, on: str, effective: str
) -> None:
    version = version_for_period(history(), date.fromisoformat(held), date.fromisoformat(on))

    assert str(version.effective) == effective


def test_a_version_prices_no_period_that_began_before_it_was_published() -> None:
    start = datetime(2026, 3, 1, tzinfo=UTC)
    held = version_of("2026-01-01")
    moving = replace(version_of("2026-03-01", "move"), published_at=start)
    day, tick = date(2026, 3, 1), timedelta(microseconds=1)

    assert version_for_period([held, moving], held.effective, day, start) is moving
    assert version_for_period([held, moving], held.effective, day, start - tick) is held
    assert version_for_period([held, moving], held.effective, day) is moving
    assert moving == version_of("2026-03-01", "move"), "when it was published is no term"


def test_a_version_nobody_published_can_not_be_held() -> None:
    with pytest.raises(NoVersion):
        version_for_period(history(), date(2026, 2, 2), date(2026, 2, 3))


def history() -> list[PlanVersion]:
    versions = [version_of(*entry) for entry in HISTORY]
    return sorted(versions, key=lambda version: version.digest())  # in no order of dates


def version_of(effective: str, existing: Existing = "keep", **prices: int) -> PlanVersion:
    return PlanVersion(
        plan="video",
        effective=date.fromisoformat(effective),
        existing=existing,
        every=Cadence(1, "month"),
        trial=None,
        anchor_day=None,
        prices=prices or {"USD": 999},
    )


def test_a_cadence_counts_from_1_to_9999() -> None:
    assert [Cadence(count, "day").count for count in (1, 9999)] == [1, 9999]
    for count in (0, 10_000, True, "3"):
        with pytest.raises(CadenceError, match="is no count of a cadence"):
            Cadence(count, "day")  # type: ignore[arg-type]
