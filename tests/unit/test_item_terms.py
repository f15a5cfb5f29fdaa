"""Terms of items, add-ons and coupons survive the way through JSON, exactly and with one digest."""

import hashlib
import json
from datetime import date, timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.plans.addons import AddonVersion
from billing.plans.coupon_terms import coupon_digest, coupon_from_terms, coupon_terms
from billing.plans.coupons import Coupon, CouponDuration
from billing.plans.currencies import AmountError, format_unit_price, parse_unit_price
from billing.plans.item_terms import item_from_terms, item_terms
from billing.plans.items import Item, Package, PackageRounding, QuantityRange, Tier
from billing.plans.meters import VALUED, Aggregate, Meter, meter_from_terms, meter_terms
from billing.plans.numbers import NumberError, format_number, parse_number
from billing.plans.terms import Cadence, PlanVersion

DAY = date(2027, 1, 1)
CURRENCIES = ("USD", "JPY", "KWD")
amounts = st.fixed_dictionaries({code: st.integers(0, 10**8) for code in CURRENCIES})
DIGITS = {"USD": 2, "JPY": 0, "KWD": 3}


def unit_price(code: str) -> st.SearchStrategy[Fraction]:
    return st.builds(lambda n: Fraction(n, 10 ** (12 - DIGITS[code])), st.integers(0, 10**20))


units = st.fixed_dictionaries({code: unit_price(code) for code in CURRENCIES})
names = st.text("abc-ä", min_size=1, max_size=8)
bounds: st.SearchStrategy[dict[str, int]] = st.one_of(st.just({}), amounts)
roundings: tuple[PackageRounding, ...] = ("up", "down")
durations: tuple[CouponDuration, ...] = ("once", "invoices", "months", "forever")
quantities = st.lists(st.integers(0, 10**6), min_size=3, max_size=3).map(
    lambda of: QuantityRange(min(of), max(of), sorted(of)[1])
)


@st.composite
def of_usage(draw: st.DrawFn) -> dict[str, Any]:
    aggregate = draw(st.sampled_from(Aggregate))
    meter = Meter(
        draw(names),
        draw(names),
        aggregate,
        value=draw(names) if aggregate in VALUED else None,
        key=draw(names) if aggregate is Aggregate.UNIQUE else None,
        where=draw(st.dictionaries(names, st.lists(names, min_size=1).map(tuple), max_size=2)),
    )
    return {
        "meter": meter,
        "late_for": timedelta(days=draw(st.integers(1, 366))),
        "bills_trial": draw(st.booleans()),
    }


@st.composite
def items(draw: st.DrawFn, code: str | None = None) -> Item:
    of_units: dict[str, Any] = {}
    match draw(st.sampled_from(["flat", "once", "unit", "tiers", "package"])):
        case "flat":
            return Item(code or draw(names), name=draw(st.none() | names), price=draw(amounts))
        case "once":
            return Item(code or draw(names), once=True, price=draw(amounts))
        case "unit":
            of_units["unit"] = draw(units)
        case "package":
            rounding = draw(st.sampled_from(roundings))
            of_units["package"] = Package(draw(st.integers(1, 10**6)), draw(amounts), rounding)
        case _:
            ends = sorted(draw(st.sets(st.integers(1, 10**6), max_size=4)))
            of_units["tiering"] = draw(st.sampled_from(["graduated", "volume"]))
            of_units["tiers"] = tuple(
                Tier(end, draw(units), draw(st.one_of(st.just({}), amounts)))
                for end in (*ends, None)
            )
    if draw(st.booleans()):
        of_units |= {"per": draw(names), "quantity": draw(quantities)}
    else:
        of_units |= draw(of_usage())
    included = draw(st.integers(0, 10**6))
    if included and "meter" in of_units:
        of_units["alert"] = draw(st.none() | st.integers(1, 100))
    minimum, maximum = draw(bounds), draw(bounds)
    if minimum and maximum:
        pairs = {each: sorted((minimum[each], maximum[each])) for each in CURRENCIES}
        minimum, maximum = ({each: pairs[each][end] for each in CURRENCIES} for end in (0, 1))
    return Item(
        code or draw(names),
        included=Fraction(included),
        minimum=minimum,
        maximum=maximum,
        **of_units,
    )


@given(items())
def test_an_item_is_rebuilt_from_its_terms(item: Item) -> None:
    stored = json.loads(json.dumps(item_terms(item)))

    again = item_from_terms(stored)

    assert again == item
    assert [again.price_in(code) for code in CURRENCIES] == [
        item.price_in(code) for code in CURRENCIES
    ]
    assert item_terms(again) == stored


@given(st.lists(items(), min_size=1, max_size=4))
def test_a_version_with_items_is_rebuilt_from_its_terms(sold: list[Item]) -> None:
    version = PlanVersion(
        "api", DAY, "keep", Cadence(1, "month"), None, None, {}, items=tuple(sold)
    )
    stored = json.loads(json.dumps(version.to_terms()))

    again = PlanVersion.from_terms("api", DAY, stored)

    assert (again, again.digest()) == (version, version.digest())
    assert "prices" not in stored


@given(items("sso"), st.sampled_from(["keep", "move"]))
def test_a_version_of_an_add_on_is_rebuilt_from_its_terms(item: Item, existing: Any) -> None:
    version = AddonVersion("sso", DAY, item, existing)
    stored = json.loads(json.dumps(version.to_terms()))

    again = AddonVersion.from_terms("sso", DAY, stored)

    assert (again, again.digest()) == (version, version.digest())


percentages = st.integers(1, 10**14).map(lambda n: Fraction(n, 10**12))
some_amounts = st.fixed_dictionaries({"USD": st.integers(1, 10**8)})


@st.composite
def coupons(draw: st.DrawFn) -> Coupon:
    duration = draw(st.sampled_from(durations))
    counted = duration in ("invoices", "months")
    percent = draw(st.none() | percentages)
    kept = percent is None and duration == "once" and draw(st.booleans())
    return Coupon(
        "spring",
        percent=percent,
        amounts={} if percent is not None else draw(some_amounts),
        on=draw(st.none() | st.just(("base", "seats"))),
        duration=duration,
        number=draw(st.integers(1, 999)) if counted else 1,
        until=draw(st.none() | st.dates()),
        limit=draw(st.none() | st.integers(1, 10**9)),
        stack=draw(st.integers(0, 1000)),
        rest="kept" if kept else "lost",
    )


@given(coupons())
def test_a_coupon_is_rebuilt_from_its_terms(coupon: Coupon) -> None:
    stored = json.loads(json.dumps(coupon_terms(coupon)))

    again = coupon_from_terms("spring", stored, coupon.until, coupon.limit)

    assert (again, coupon_digest(again)) == (coupon, coupon_digest(coupon))


def test_until_when_and_how_often_are_no_terms_of_a_coupon() -> None:
    coupon = Coupon("spring", percent=Fraction(15))
    ended = Coupon("spring", percent=Fraction(15), until=DAY, limit=5)

    assert coupon_digest(coupon) == coupon_digest(ended)


def test_digests_of_items_never_change_between_releases() -> None:
    """Published terms are compared by digest: another way to compute it refuses them all."""
    seats = Item(
        "seats",
        per="seat",
        quantity=QuantityRange(1, 500, 5),
        tiering="graduated",
        tiers=(
            Tier(5, {"USD": Fraction(0)}),
            Tier(None, {"USD": Fraction(8, 100)}, {"USD": 1000}),
        ),
        maximum={"USD": 90000},
    )
    version = PlanVersion(
        "api", DAY, "keep", Cadence(1, "month"), None, None, {},
        items=(Item("base", name="Team", price={"USD": 9900}), seats),
    )  # fmt: skip
    addon = AddonVersion("sso", DAY, Item("sso", once=True, price={"USD": 4900}))
    coupon = Coupon("spring", percent=Fraction("12.5"), duration="invoices", number=3, stack=10)

    assert version.digest() == sha256(
        '{"every":"1 month","existing":"keep","items":['
        '{"code":"base","name":"Team","price":{"USD":9900}},'
        '{"code":"seats","maximum":{"USD":90000},"per":"seat",'
        '"quantity":{"default":5,"max":500,"min":1},'
        '"tier":[{"unit":{"USD":"0.00"},"up_to":5},{"flat":{"USD":1000},"unit":{"USD":"0.0008"}}],'
        '"tiers":"graduated"}]}'
    )
    assert addon.digest() == sha256('{"existing":"keep","item":{"once":true,"price":{"USD":4900}}}')
    assert coupon_digest(coupon) == sha256('{"for":"3 invoices","percent":"12.5","stack":10}')


@pytest.mark.parametrize(
    "terms",
    [
        {"code": "a", "price": {"USD": 1}, "metre": "searches"},
        {"code": "a", "per": "a", "quantity": {"min": 1, "max": 2, "default": 1, "step": 1}},
        {"code": "a", "per": "a", "tiers": "volume", "tier": [{"unit": {"USD": "1"}, "x": 1}]},
        {"code": "a", "per": "a", "package": {"size": 1, "price": {"USD": 1}, "x": 1}},
    ],
)
def test_terms_of_an_item_that_are_not_known_are_refused(terms: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="unknown terms of an item"):
        item_from_terms(terms)


def test_other_terms_that_are_not_known_are_refused() -> None:
    addon = AddonVersion("sso", DAY, Item("sso", price={"USD": 4900})).to_terms()
    coupon = coupon_terms(Coupon("spring", percent=Fraction(15)))

    with pytest.raises(ValueError, match="every"):
        AddonVersion.from_terms("sso", DAY, addon | {"every": "1 year"})
    with pytest.raises(ValueError, match="until"):
        coupon_from_terms("spring", coupon | {"until": "2027-01-01"}, None, None)


def test_an_add_on_sells_an_item_of_its_own_code() -> None:
    with pytest.raises(ValueError, match="of its own code"):
        AddonVersion("sso", DAY, Item("seats", price={"USD": 4900}))


def test_the_terms_of_an_item_that_counts_usage_have_the_whole_definition_of_its_meter() -> None:
    where = {"region": ("eu", "us")}
    item = Item(
        "searches",
        meter=Meter("searches", "search", Aggregate.SUM, value="n", where=where),
        late_for=timedelta(days=14),
        unit={"USD": Fraction(2, 25)},
        included=Fraction("0.5"),
    )

    assert item_terms(item) == {
        "code": "searches",
        "meter": {
            "code": "searches",
            "event": "search",
            "aggregate": "sum",
            "value": "n",
            "where": {"region": ["eu", "us"]},
        },
        "late_for": 14,
        "unit": {"USD": "0.0008"},
        "included": "0.5",
    }


def test_terms_of_a_meter_that_are_not_known_are_refused() -> None:
    meter = meter_terms(Meter("searches", "search"))

    with pytest.raises(ValueError, match="unknown terms of a meter"):
        meter_from_terms(meter | {"window": "1 day"})


@pytest.mark.parametrize(
    ("aggregate", "value", "key"),
    [
        (Aggregate.SUM, None, None), (Aggregate.COUNT, "n", None), (Aggregate.UNIQUE, None, None),
        (Aggregate.MAX, "n", "user"),
    ],
)  # fmt: skip
def test_a_meter_reads_what_its_aggregate_needs(
    aggregate: Aggregate, value: str | None, key: str | None
) -> None:
    with pytest.raises(ValueError, match="don't fit"):
        Meter("searches", "search", aggregate, value, key)


def test_only_usage_is_accepted_late() -> None:
    with pytest.raises(ValueError, match="accepted late"):
        Item("seats", per="seat", unit={"USD": Fraction(1)}, late_for=timedelta(days=1))


@pytest.mark.parametrize(
    ("text", "currency", "minor", "again"),
    [
        ("12", "USD", Fraction(1200), "12.00"), ("0.0008", "USD", Fraction(2, 25), "0.0008"),
        ("0.10", "USD", Fraction(10), "0.10"), ("0", "USD", Fraction(0), "0.00"),
        ("10.5", "JPY", Fraction(21, 2), "10.5"), ("3", "JPY", Fraction(3), "3"),
        ("1.2345", "KWD", Fraction("1234.5"), "1.2345"), ("2", "KWD", Fraction(2000), "2.000"),
        ("0.000000000001", "USD", Fraction(1, 10**10), "0.000000000001"),
    ],
)  # fmt: skip
def test_the_price_of_a_unit_is_exact(
    text: str, currency: str, minor: Fraction, again: str
) -> None:
    assert parse_unit_price(text, currency) == minor
    assert format_unit_price(minor, currency) == again


@given(st.sampled_from(CURRENCIES).flatmap(lambda code: st.tuples(st.just(code), unit_price(code))))
def test_the_price_of_a_unit_reads_back(priced: tuple[str, Fraction]) -> None:
    currency, price = priced

    assert parse_unit_price(format_unit_price(price, currency), currency) == price


@pytest.mark.parametrize("text", ["", "1,5", "1e3", "-0.1", " 1", "01", "1.", ".5", "9" * 20, "٣"])
def test_what_is_no_price_of_a_unit_is_refused(text: str) -> None:
    with pytest.raises(AmountError):
        parse_unit_price(text, "USD")


@pytest.mark.parametrize("price", [Fraction(1, 3), Fraction(1, 10**11), Fraction(-1)])
def test_what_no_text_is_exactly_is_not_written(price: Fraction) -> None:
    with pytest.raises(ValueError, match="12 decimals"):
        format_unit_price(price, "USD")


@given(st.integers(0, 10**24))
def test_a_number_reads_back(scaled: int) -> None:
    number = Fraction(scaled, 10**12)

    assert parse_number(format_number(number)) == number


@pytest.mark.parametrize("text", ["", "-1", "1.", ".5", "1e3", "1.0000000000001", "01", "1 000"])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(NumberError):
        parse_number(text)


@pytest.mark.parametrize("number", [Fraction(1, 3), Fraction(-1)])
def test_a_number_without_exact_decimals_is_not_written(number: Fraction) -> None:
    with pytest.raises(ValueError, match="12 decimals"):
        format_number(number)


def sha256(canonical: str) -> str:
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()
