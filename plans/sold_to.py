"""Countries that something is sold to: every class has a rate there."""

from collections.abc import Iterable

from billing.plans.catalogs import Catalog
from billing.plans.errors import CatalogError, CatalogProblem
from billing.plans.taxes import without_rate


def check_sold_to(
    catalog: Catalog, where: str, countries: Iterable[str], default_class: str
) -> None:
    """Check that each class of a catalog has a rate in each of the countries.

    What says no class is of the `default_class`. Raises: CatalogError, with all that are missing.
    """
    classes = {each or default_class for each in catalog.tax_classes}
    missing = list(without_rate(catalog.tax_rates, countries, classes))
    if missing:
        raise CatalogError([_problem(where, *each) for each in missing])


def _problem(where: str, country: str, tax_class: str) -> CatalogProblem:
    what = f"the class {tax_class!r} has no rate for {country}, which is sold to"
    remedy = f'add [[tax_rate]] with country = "{country}" and class = "{tax_class}"'
    return CatalogProblem(where, 1, "tax_rate", what, remedy)
