"""Items, add-ons and coupons that are published, corrected, taken out and in use."""

from datetime import date
from fractions import Fraction
from uuid import UUID

import pytest
from sqlalchemy import text

from billing.errors import BadInput, Conflict
from billing.flows.subscriptions.catalog import CatalogChange
from billing.ids import new_id
from billing.plans.coupon_terms import coupon_digest
from billing.plans.terms import ChangePolicy
from billing.queries.sold import published_addons, published_coupons
from billing.queries.subscriptions import published_plans
from billing.store.subscriptions import coupons
from billing.store.subscriptions.coupons import Redemption
from tests.scenarios.test_changes import BASE, HEAD, plan
from tests.scenarios.world import Subscriber, World

TEAM = """
product = "Search"

[[plan]]
code = "team"
every = "1 month"
change = { down = "now" }
  [[plan.version]]
  effective = 2026-01-01
    [[plan.version.item]]
    code = "base"
    price = { USD = "99.00" }
    [[plan.version.item]]
    code = "seats"
    per = "seat"
    quantity = { max = 100, default = 3 }
    tiers = "graduated"
    tier = [{ up_to = 2, unit = { USD = "0" } }, { unit = { USD = "12.005" } }]
    [[plan.version.item]]
    code = "setup"
    once = true
    price = { USD = "199.00" }
"""
MOVE = """
  [[plan.version]]
  effective = 2026-03-01
  existing = "move"
    [[plan.version.item]]
    code = "base"
    price = { USD = "89.00" }
    [[plan.version.item]]
    code = "seats"
    per = "seat"
    quantity = { default = 3 }
    unit = { USD = "5" }
    minimum = { USD = "20.00" }
"""
SSO = """
[[addon]]
code = "sso"
fits = ["team"]
  [[addon.version]]
  effective = 2026-01-01
  price = { USD = "49.00" }
"""
SPRING = """
[[coupon]]
code = "spring"
percent = "15"
for = "3 invoices"
"""


def kinds(changes: list[CatalogChange]) -> list[tuple[str, str, str]]:
    return [(change.subject, change.code, change.kind) for change in changes]


def changed(changes: list[CatalogChange]) -> list[CatalogChange]:
    """Leave out the plans of the catalog that ships."""
    return [change for change in changes if change.kind != "not_in_catalog"]


def test_all_that_is_sold_is_published_as_it_is_written(world: World) -> None:
    found = world.differences(TEAM + SSO + SPRING)
    world.publish(TEAM + SSO + SPRING)

    assert kinds(changed(found)) == [
        ("plan", "team", "new_plan"), ("plan", "team", "new_version"),
        ("addon", "sso", "new_addon"), ("addon", "sso", "new_version"),
        ("coupon", "spring", "new_coupon"),
    ]  # fmt: skip
    assert all(
        kind == "not_in_catalog" for _, _, kind in kinds(world.differences(TEAM + SSO + SPRING))
    )
    with world.engine.connect() as conn:
        plan, sold, off = published_plans(conn), published_addons(conn), published_coupons(conn)
    assert [item.code for item in plan["team"].versions[0].items] == ["base", "seats", "setup"]
    assert plan["team"].change == ChangePolicy("now", "now", "next_invoice")
    assert sold["sso"].versions[0].item.price["USD"] == 4900
    assert off["spring"].number == 3


def test_items_and_add_ons_that_nobody_has_are_corrected_and_taken_out(world: World) -> None:
    world.publish(TEAM + SSO + SPRING)
    later = SSO + '  [[addon.version]]\n  effective = 2026-05-01\n  price = { USD = "59.00" }\n'
    world.publish(TEAM + MOVE + later + SPRING)
    wanted = TEAM.replace("12.005", "12") + MOVE + SSO.replace("49.00", "45.00")
    wanted += SPRING.replace('"15"', '"20"')

    found = changed(world.differences(wanted))
    world.publish(wanted)

    assert kinds(found) == [
        ("plan", "team", "corrected"), ("addon", "sso", "corrected"),
        ("addon", "sso", "withdrawn"), ("coupon", "spring", "corrected"),
    ]  # fmt: skip
    with world.engine.connect() as conn:
        assert [v.item.price["USD"] for v in published_addons(conn)["sso"].versions] == [4500]
        assert published_coupons(conn)["spring"].percent == 20
    world.publish(TEAM + MOVE + later + SPRING)
    with world.engine.connect() as conn:
        assert len(published_addons(conn)["sso"].versions) == 2


def test_what_a_subscription_has_can_not_be_changed(world: World) -> None:
    world.publish(TEAM + SSO)
    has_addon(world, world.subscribed("team"), "sso", date(2026, 1, 1))

    with pytest.raises(Conflict, match="team of 2026-01-01"):
        world.publish(TEAM.replace("99.00", "98.00") + SSO)
    with pytest.raises(Conflict, match="sso of 2026-01-01"):
        world.publish(TEAM + SSO.replace("49.00", "48.00"))
    world.publish(TEAM + SSO.replace("fits =", 'name = "Sign-on"\nretired = 2026-06-01\nfits ='))

    with world.engine.connect() as conn:
        addon = published_addons(conn)["sso"]
    assert (addon.name, addon.retired) == ("Sign-on", date(2026, 6, 1))


def test_what_was_redeemed_stays_and_for_how_many_may_change(world: World) -> None:
    world.publish(TEAM + SPRING)
    redeem(world, world.subscribed("team"), "spring")

    with pytest.raises(Conflict, match="coupon spring"):
        world.publish(TEAM + SPRING.replace('"15"', '"20"'))
    world.publish(TEAM + SPRING + "until = 2026-02-01\nlimit = 1\n")

    with world.engine.connect() as conn:
        coupon = published_coupons(conn)["spring"]
        assert coupons.redeemed(conn) == {"spring": 1}
    assert (coupon.percent, coupon.until) == (Fraction(15), date(2026, 2, 1))
    assert coupon.limit == 1


def test_what_a_move_of_items_changes_is_summed_by_the_quantities_that_are_held(
    world: World,
) -> None:
    world.publish(TEAM)
    world.subscribed("team", items={"seats": 11})
    world.subscribed("team", items={"seats": 2})
    world.subscribed("team")  # has the usual three

    found = world.differences(TEAM + MOVE)

    (effect,) = (effect for change in found for effect in change.effects)
    before = 3 * 9900 + (10805 + 0 + 1201)  # 9 * 12.005 is 108.045, and 1 is 12.005
    after = 3 * 8900 + (5500 + 2000 + 2000)  # two of them come up to the minimum
    assert (effect.subscriptions, effect.before.amount, effect.after.amount) == (3, before, after)


def test_a_move_from_a_single_price_to_items_keeps_the_quantity(world: World) -> None:
    single = """
product = "Search"
[[plan]]
code = "units"
every = "1 month"
  [[plan.version]]
  effective = 2026-01-01
  price = { USD = "10.00" }
"""
    items = """
  [[plan.version]]
  effective = 2026-03-01
  existing = "move"
    [[plan.version.item]]
    code = "base"
    per = "unit"
    unit = { USD = "9.00" }
    [[plan.version.item]]
    code = "support"
    price = { USD = "5.00" }
"""
    world.publish(single)
    customer = world.subscribed("units", quantity=4)

    found = world.differences(single + items)
    world.publish(single + items)
    world.run_until("2026-03-02")

    (effect,) = (effect for change in found for effect in change.effects)
    assert (effect.before.amount, effect.after.amount) == (4000, 4 * 900 + 500)
    assert [invoice.total for invoice in world.invoices(customer)] == [4000, 4000, 4100]
    world.assert_everything_adds_up()


def test_a_plan_at_zero_has_periods_and_no_invoice(world: World) -> None:
    world.publish(HEAD + plan("free", "1 month", BASE.replace("20.00", "0")))
    customer = world.subscribed("free")

    world.run_until("2026-03-02")

    assert world.status(customer) == "active"
    assert world.invoices(customer) == []
    world.assert_everything_adds_up()


def test_a_plan_of_items_is_sold_in_their_currencies_and_without_a_quantity(world: World) -> None:
    world.publish(TEAM)

    with pytest.raises(BadInput, match="no price in 'EUR'"):
        world.subscribed("team", currency="EUR")
    with pytest.raises(BadInput, match="a quantity of its own"):
        world.subscribed("team", quantity=2)


def has_addon(world: World, customer: Subscriber, addon: str, version: date) -> None:
    """Let a subscription have an add-on."""
    values = {"s": customer.subscription_id, "a": addon, "v": version}
    with world.engine.begin() as conn:
        conn.execute(_HAS, values)


_HAS = text(
    "INSERT INTO subscription_items (subscription_id, item, quantity, addon, addon_version)"
    " VALUES (:s, :a, 1, :a, :v)"
)


def redeem(world: World, customer: Subscriber, code: str) -> UUID:
    """Let a subscription have a coupon."""
    with world.engine.begin() as conn:
        redemption = Redemption(
            id=new_id(),
            coupon=code,
            digest=coupon_digest(published_coupons(conn)[code]),
            customer_id=customer.customer_id,
            subscription_id=customer.subscription_id,
            at=world.now,
            actor="cli:ann",
        )
        coupons.redeem(conn, redemption)
    with world.engine.connect() as conn:
        owner, subscription = customer.customer_id, customer.subscription_id
        assert coupons.redemptions_of(conn, owner, subscription) == [redemption]
    return redemption.id
