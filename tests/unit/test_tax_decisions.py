"""Decisions on taxes: where something is taxed, at which rate, and who owes it."""

from datetime import date
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.plans.countries import EU
from billing.plans.taxes import RateTreatment, TaxRate
from billing.plans.territories import territory_at
from billing.tax import (
    Buyer,
    Seller,
    TaxedItem,
    TaxRequest,
    Undecided,
    UndecidedReason,
    decide,
    read_response,
    request_at,
    table_decision,
)

DAY = date(2026, 3, 1)
SINCE = date(2020, 1, 1)
STANDARD = {
    "FR": "20", "IT": "22", "DE": "19", "GR": "24", "GB": "20", "CH": "8.1",
}  # fmt: skip


def levied(
    country: str,
    percent: str,
    *,
    region: str | None = None,
    tax_class: str = "saas",
    name: str = "VAT",
    treatment: RateTreatment = RateTreatment.STANDARD,
) -> TaxRate:
    return TaxRate(country, tax_class, name, Fraction(percent), SINCE, region, treatment=treatment)


RATES = (
    *(levied(country, percent) for country, percent in STANDARD.items()),
    levied("FR", "5.5", tax_class="books", treatment=RateTreatment.REDUCED),
    levied("US", "8.875", region="NY", name="Sales tax"),
    levied("CA", "5", name="GST"),
    levied("CA", "9.975", region="QC", name="QST"),
)
SAAS = TaxedItem("base", "saas")


def asked(seller: Seller, buyer: Buyer, *items: TaxedItem, on: date = DAY) -> TaxRequest:
    return request_at("table", seller, buyer, items or (SAAS,), on, RATES)


FROM_FR = Seller("FR")
ITALIAN = "IT00743110157"
# TX-031 to TX-034 are of lago-api spec/scenarios/customers/customer_eu_taxes_spec.rb; the others
# follow from its policy, and from registrations.
PLACES: dict[str, tuple[Seller, Buyer, tuple[str, str, str]]] = {
    "TX-031": (FROM_FR, Buyer("FR"), ("FR", "standard", "20")),
    "TX-032": (FROM_FR, Buyer("IT"), ("IT", "standard", "22")),
    "TX-033": (FROM_FR, Buyer("IT", vat_id=ITALIAN), ("IT", "reverse_charge", "0")),
    "TX-034": (FROM_FR, Buyer("FR", vat_id="FR40303265045"), ("FR", "standard", "20")),
    "outside the EU": (FROM_FR, Buyer("US", "NY"), ("US", "exempt", "0")),
    "an id that the register denied": (
        FROM_FR, Buyer("IT", vat_id=ITALIAN, vat_confirmed=False), ("IT", "standard", "22"),
    ),
    "a look-up that failed changes nothing": (
        FROM_FR, Buyer("IT", vat_id=ITALIAN, vat_confirmed=None), ("IT", "reverse_charge", "0"),
    ),
    "not confirmed yet, where it has to be": (
        Seller("FR", reverse_charge="confirmed"), Buyer("IT", vat_id=ITALIAN),
        ("IT", "standard", "22"),
    ),
    "confirmed, where it has to be": (
        Seller("FR", reverse_charge="confirmed"),
        Buyer("IT", vat_id=ITALIAN, vat_confirmed=True), ("IT", "reverse_charge", "0"),
    ),
    "a Greek id begins with EL": (
        FROM_FR, Buyer("GR", vat_id="EL094259216"), ("GR", "reverse_charge", "0"),
    ),
    "an id of the seller's state": (
        FROM_FR, Buyer("IT", vat_id="FR40303265045"), ("IT", "standard", "22"),
    ),
    "an exemption": (FROM_FR, Buyer("FR", exempt="a school"), ("FR", "exempt", "0")),
    "registered outside the EU": (
        Seller("FR", frozenset({"GB"})), Buyer("GB"), ("GB", "standard", "20"),
    ),
    "from outside into the EU, registered": (
        Seller("GB", frozenset({"EU"})), Buyer("DE"), ("DE", "standard", "19"),
    ),
    "from outside to a business of the EU": (
        Seller("GB", frozenset({"EU"})), Buyer("IT", vat_id=ITALIAN), ("IT", "reverse_charge", "0"),
    ),
    "from outside into the EU, not registered": (
        Seller("GB"), Buyer("DE"), ("DE", "not_registered", "0"),
    ),
    "at home, outside the EU": (Seller("GB"), Buyer("GB"), ("GB", "standard", "20")),
    "a region where the seller is registered": (
        Seller("US", frozenset({"US-NY"})), Buyer("US", "NY"), ("US-NY", "standard", "8.875"),
    ),
    "a region where they aren't": (
        Seller("US", frozenset({"US-NY"})), Buyer("US", "CA"), ("US", "not_registered", "0"),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("seller", "buyer", "expected"), PLACES.values(), ids=PLACES)
def test_where_something_is_taxed(
    seller: Seller, buyer: Buyer, expected: tuple[str, str, str]
) -> None:
    (tax,) = decide(asked(seller, buyer))

    assert (tax.jurisdiction, tax.treatment, tax.rate) == (*expected[:2], Fraction(expected[2]))


def in_territory(
    country: str, region: str | None = None, postal_code: str | None = None, **more: Any
) -> Buyer:
    found = territory_at(country, region, postal_code)
    return Buyer(country, region, territory=None if found is None else found.name, **more)


OF_TERRITORIES = (
    *RATES, levied("ES", "21"), levied("ES", "7", region="CN", name="IGIC"), levied("PT", "23"),
    levied("PT", "22", region="30"), levied("AT", "20"), levied("FI", "25.5"),
)  # fmt: skip
FROM_DE = Seller("DE")
# Articles 6, 7, 104 and 105 of Directive 2006/112/EC; IGIC is 7 %, and IVA in Madeira 22 %.
TERRITORIES: dict[str, tuple[Seller, Buyer, tuple[str, str, str]]] = {
    "the mainland": (FROM_DE, in_territory("ES", "MD"), ("ES", "standard", "21")),
    "nobody said where in Spain": (FROM_DE, in_territory("ES"), ("ES", "standard", "21")),
    "Canary Islands": (FROM_DE, in_territory("ES", "CN"), ("ES-CN", "exempt", "0")),
    "a province of them": (FROM_DE, in_territory("ES", "TF"), ("ES-CN", "exempt", "0")),
    "their postal code": (
        FROM_DE, in_territory("ES", postal_code="35001"), ("ES-CN", "exempt", "0"),
    ),
    "a seller of the mainland": (Seller("ES"), in_territory("ES", "CN"), ("ES-CN", "exempt", "0")),
    "registered there": (
        Seller("ES", frozenset({"ES-CN"})), in_territory("ES", "CN"), ("ES-CN", "standard", "7"),
    ),
    "a business there": (
        FROM_DE, in_territory("ES", "CN", vat_id="ESB58378431"), ("ES-CN", "exempt", "0"),
    ),
    "Ceuta": (FROM_DE, in_territory("ES", "CE"), ("ES-CE", "exempt", "0")),
    "Melilla": (FROM_DE, in_territory("ES", postal_code="52001"), ("ES-ML", "exempt", "0")),
    "Åland": (FROM_DE, in_territory("FI", postal_code="AX-22100"), ("FI-01", "exempt", "0")),
    "Åland as a country": (FROM_DE, in_territory("AX"), ("AX", "exempt", "0")),
    "Büsingen": (FROM_DE, in_territory("DE", "BW", "78266"), ("DE-BUS", "exempt", "0")),
    "Heligoland": (FROM_DE, in_territory("DE", "HEL"), ("DE-HEL", "exempt", "0")),
    "Livigno": (FROM_DE, in_territory("IT", "SO", "23041"), ("IT-LIV", "exempt", "0")),
    "Campione": (FROM_DE, in_territory("IT", postal_code="22061"), ("IT-CAM", "exempt", "0")),
    "Mount Athos": (FROM_DE, in_territory("GR", "69"), ("GR-69", "exempt", "0")),
    "Réunion": (FROM_DE, in_territory("FR", postal_code="97400"), ("FR-974", "exempt", "0")),
    "from outside the EU": (
        Seller("GB", frozenset({"EU"})), in_territory("ES", "CN"), ("ES-CN", "not_registered", "0"),
    ),
    "Madeira": (FROM_DE, in_territory("PT", "30"), ("PT-30", "standard", "22")),
    "its postal code": (
        FROM_DE, in_territory("PT", postal_code="9000-001"), ("PT-30", "standard", "22"),
    ),
    "a business in Madeira": (
        FROM_DE, in_territory("PT", "30", vat_id="PT501964843"), ("PT", "reverse_charge", "0"),
    ),
    "the Portuguese mainland": (FROM_DE, in_territory("PT", "11"), ("PT", "standard", "23")),
    "Monaco": (FROM_DE, in_territory("MC"), ("FR", "standard", "20")),
    "Isle of Man": (FROM_DE, in_territory("IM"), ("GB", "exempt", "0")),
    "Isle of Man, registered": (
        Seller("GB"), in_territory("IM"), ("GB", "standard", "20"),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("seller", "buyer", "expected"), TERRITORIES.values(), ids=TERRITORIES)
def test_a_special_territory_is_not_taxed_as_the_rest_of_its_country(
    seller: Seller, buyer: Buyer, expected: tuple[str, str, str]
) -> None:
    request = request_at("table", seller, buyer, (SAAS,), DAY, OF_TERRITORIES)

    (tax,) = decide(TaxRequest.from_document(request.document()))

    assert (tax.jurisdiction, tax.treatment, tax.rate) == (*expected[:2], Fraction(expected[2]))


@pytest.mark.parametrize("buyer", [in_territory("PT", "20"), in_territory("AT", None, "6691")])
def test_a_territory_with_rates_of_its_own_waits_for_them(buyer: Buyer) -> None:
    request = request_at("table", FROM_DE, buyer, (SAAS,), DAY, OF_TERRITORIES)

    with pytest.raises(Undecided) as why:
        decide(request)

    assert why.value.reason is UndecidedReason.RATE_MISSING
    assert why.value.country in ("PT-20", "AT-JM")


def test_a_request_that_names_no_territory_is_decided_as_it_was() -> None:
    rates = (levied("ES", "21"),)

    (tax,) = decide(request_at("table", FROM_DE, Buyer("ES", "CN"), (SAAS,), DAY, rates))

    assert tax.jurisdiction == "ES"


def test_several_taxes_of_one_place_are_all_levied() -> None:
    taxes = decide(asked(Seller("CA"), Buyer("CA", "QC")))

    assert [(tax.name, tax.jurisdiction, tax.rate) for tax in taxes] == [
        ("GST", "CA", 5),
        ("QST", "CA-QC", Fraction("9.975")),
    ]


def test_each_class_has_its_rate_and_names_its_items() -> None:
    taxes = decide(
        asked(FROM_FR, Buyer("FR"), SAAS, TaxedItem("seats", "saas"), TaxedItem("guide", "books"))
    )

    assert [(tax.treatment, tax.rate, tax.on) for tax in taxes] == [
        ("standard", 20, ("base", "seats")),
        ("reduced", Fraction("5.5"), ("guide",)),
    ]


UNDECIDED: dict[str, tuple[Seller, Buyer, TaxedItem, UndecidedReason]] = {
    "no place": (FROM_FR, Buyer(), SAAS, UndecidedReason.PLACE_MISSING),
    "an exemption without a place": (
        FROM_FR, Buyer(exempt="a school"), SAAS, UndecidedReason.PLACE_MISSING,
    ),
    "a state without rates": (FROM_FR, Buyer("ES"), SAAS, UndecidedReason.RATE_MISSING),
    "a class without a rate": (
        FROM_FR, Buyer("FR"), TaxedItem("base", "tea"), UndecidedReason.RATE_MISSING,
    ),
    "no region, where rates differ": (
        Seller("CA"), Buyer("CA"), SAAS, UndecidedReason.REGION_MISSING,
    ),
    "no region, where registrations differ": (
        Seller("US", frozenset({"US-NY"})), Buyer("US"), SAAS, UndecidedReason.REGION_MISSING,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("seller", "buyer", "item", "reason"), UNDECIDED.values(), ids=UNDECIDED)
def test_what_can_not_be_decided_is_never_untaxed(
    seller: Seller, buyer: Buyer, item: TaxedItem, reason: UndecidedReason
) -> None:
    with pytest.raises(Undecided) as why:
        decide(asked(seller, buyer, item))

    assert why.value.reason is reason


buyers = st.builds(
    Buyer,
    country=st.sampled_from(sorted(STANDARD)),
    vat_id=st.sampled_from([None, ITALIAN, "DE136695976"]),
    vat_confirmed=st.sampled_from([None, True, False]),
    exempt=st.sampled_from([None, "a school"]),
)
sellers = st.builds(
    Seller,
    country=st.sampled_from(sorted(STANDARD)),
    registrations=st.frozensets(st.sampled_from(["EU", "GB", "CH"])),
    reverse_charge=st.sampled_from(["valid", "confirmed"]),
)


@given(sellers, buyers)
def test_a_decision_follows_from_its_document_alone(seller: Seller, buyer: Buyer) -> None:
    request = asked(seller, buyer)

    decision = table_decision(request)
    again = table_decision(TaxRequest.from_document(decision.request))

    assert again == decision
    assert read_response(decision.response) == decide(request)


@given(sellers, buyers)
def test_a_seller_of_the_eu_leaves_none_of_it_untaxed_but_businesses_and_the_exempt(
    seller: Seller, buyer: Buyer
) -> None:
    (tax,) = decide(asked(seller, buyer))

    if seller.country in EU and buyer.country in EU and tax.rate == 0:
        assert buyer.exempt or (buyer.vat_id and buyer.country != seller.country)


@pytest.mark.parametrize("spoilt", ['{"x":1}', '{"provider":"table"}', "[]"])
def test_what_is_no_request_is_refused(spoilt: str) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        TaxRequest.from_document(spoilt)


def test_a_request_with_a_key_too_many_is_refused() -> None:
    document = asked(FROM_FR, Buyer("FR")).document()

    with pytest.raises(ValueError, match="canonical"):
        TaxRequest.from_document(document.replace('{"buyer"', '{"more":1,"buyer"'))
