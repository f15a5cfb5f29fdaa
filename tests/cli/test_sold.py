"""`billing plans` where a catalog has items, add-ons and coupons."""

from tests.cli.world import World
from tests.scenarios.test_catalog_items import SPRING, SSO, TEAM


def published(world: World) -> World:
    (world.folder / "catalog" / "search.toml").write_text(TEAM + SSO + SPRING)
    assert world.run("plans", "apply", "--yes").exit_code == 0
    return world


def test_a_catalog_is_counted_whole(world: World) -> None:
    published(world)

    counted = world.json("plans", "check")
    said = world.run("plans", "check").stdout

    assert (counted["addons"], counted["coupons"], counted["problems"]) == (1, 1, [])
    assert "1 add-on, 1 coupon," in said


def test_what_is_to_be_published_is_told(world: World) -> None:
    (world.folder / "catalog" / "search.toml").write_text(TEAM + SSO + SPRING)

    found = world.json("plans", "diff")
    table = world.run("plans", "diff").stdout

    assert [(each["kind"], each["plan"]) for each in found] == [
        ("new_plan", "team"), ("new_version", "team"), ("new_addon", None), ("new_version", None),
        ("new_coupon", None),
    ]  # fmt: skip
    assert [each.get("addon") for each in found[2:4]] == ["sso", "sso"]
    assert found[4]["coupon"] == "spring"
    assert "seats to 2 0.00, beyond 12.005 USD a seat (graduated)" in found[1]["words"]
    assert found[4]["words"] == "new coupon: for 3 invoices; percent 15"
    assert "add-on sso" in table
    assert "coupon spring" in table


def test_a_plan_shows_its_items(world: World) -> None:
    plan = published(world).json("plans", "show", "team")

    assert plan["change"] == {"up": "now", "down": "now", "credit": "next_invoice"}
    (version,) = plan["versions"]
    assert version["prices"] == {}
    assert version["items"][0] == {"code": "base", "price": {"USD": 9900}}
    assert version["items"][1]["tier"] == [
        {"up_to": 2, "unit": {"USD": "0.00"}},
        {"unit": {"USD": "12.005"}},
    ]
    assert "99.00 USD" in world.run("plans", "show", "team").stdout


def test_a_plan_with_a_single_price_has_no_items(world: World) -> None:
    assert "items" not in world.json("plans", "show", "video-basic")["versions"][0]


def test_add_ons_and_coupons_are_shown(world: World) -> None:
    published(world)

    assert world.json("plans", "addons") == [
        {
            "code": "sso",
            "name": "Sso",
            "fits": ["team"],
            "retired": None,
            "versions": [
                {
                    "effective": "2026-01-01",
                    "existing": "keep",
                    "item": {"price": {"USD": 4900}},
                }
            ],
        }
    ]
    assert world.json("plans", "coupons") == [
        {
            "code": "spring",
            "percent": "15",
            "amount": {},
            "on": None,
            "for": "3 invoices",
            "stack": 0,
            "rest": "lost",
            "until": None,
            "limit": None,
            "redeemed": 0,
        }
    ]
    assert "49.00 USD" in world.run("plans", "addons").stdout
    assert "15 % off, for 3 invoices" in world.run("plans", "coupons").stdout


METERED = """
product = "Search API"

[[meter]]
code = "searches"
event = "search"
value = "n"
aggregate = "sum"
where = { region = ["eu", "us"] }

[[plan]]
code = "metered"
every = "1 month"

  [[plan.version]]
  effective = 2026-01-01

    [[plan.version.item]]
    code = "searches"
    meter = "searches"
    included = 100
    unit = { USD = "0.0008" }
"""


def test_meters_are_counted_and_shown(world: World) -> None:
    (world.folder / "catalog" / "metered.toml").write_text(METERED)

    assert world.json("plans", "check")["meters"] == 1
    assert "0.0008 USD a unit of searches beyond 100 included" in world.run("plans", "diff").stdout
    assert world.run("plans", "apply", "--yes").exit_code == 0
    assert world.json("plans", "meters") == [
        {
            "code": "searches",
            "event": "search",
            "aggregate": "sum",
            "value": "n",
            "where": {"region": ["eu", "us"]},
            "billed_by": ["metered searches"],
        }
    ]
    shown = world.run("plans", "meters").stdout
    assert "sum of n of search, where region is eu or us" in shown


def test_the_definition_of_a_meter_is_corrected_until_something_uses_it(world: World) -> None:
    written = world.folder / "catalog" / "metered.toml"
    written.write_text(METERED)
    assert world.run("plans", "apply", "--yes").exit_code == 0
    written.write_text(METERED.replace('"sum"', '"max"'))

    (found,) = world.json("plans", "diff")
    assert (found["kind"], found["plan"]) == ("corrected", "metered")
    assert "sum of n of search" in found["words"]
    assert "max of n of search" in found["words"]

    world.subscribed("ada", "metered")
    refused = world.run("plans", "diff")
    assert refused.exit_code == 3
    assert "meter searches" in refused.stdout
    assert world.run("plans", "apply", "--yes").exit_code != 0


def test_nothing_but_plans_is_published_yet(world: World) -> None:
    assert (world.json("plans", "addons"), world.json("plans", "coupons")) == ([], [])
    assert "no add-on is published" in world.run("plans", "addons").stderr
    assert "no coupon is published" in world.run("plans", "coupons").stderr
    assert world.json("plans", "meters") == []
    assert "no meter is published" in world.run("plans", "meters").stderr


def test_what_nobody_has_yet_is_corrected(world: World) -> None:
    published(world)
    file = world.folder / "catalog" / "search.toml"
    file.write_text(file.read_text().replace("49.00", "45.00").replace('"15"', '"20"'))

    applied = world.run("plans", "apply", "--yes")

    assert applied.exit_code == 0
    assert "nothing uses it yet, corrected: item: 49.00 USD -> 45.00 USD" in applied.stdout
    assert "nothing uses it yet, corrected: percent: 15 -> 20" in applied.stdout
