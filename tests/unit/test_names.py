"""One class, one name; and callers of the API see the names that they have always seen."""

import ast
from collections import defaultdict
from pathlib import Path
from typing import Final

from fastapi import FastAPI

from billing.api.app import ROUTERS

ROOT: Final = Path(__file__).parents[2]
PACKAGES: Final = ("billing", "plans", "workers")
GENERATED: Final = ROOT / "billing" / "api" / "generated"

SCHEMAS: Final = {
    "Account", "Addon", "AddonVersion", "Addons", "Applies", "AuditLine", "Cancel", "ChangeOrder",
    "Coupon", "Coupons", "Credit", "CreditGrant", "CreditGrantWithMoves", "CreditMove",
    "CreditNote", "CreditNoteLine", "CreditNotes", "CreditSource", "Customer", "Destination",
    "DraftedInvoice", "DraftedLine", "DraftedNote", "HeldTerms", "Invoice", "InvoiceLine",
    "InvoiceWithLines", "Item", "ItemPrice", "LineToCredit", "Meter", "MoveKind", "MovedPeriods",
    "NewCapture", "NewChange", "NewCreditGrant", "NewCreditNote", "NewCustomer", "NewInvoice",
    "NewInvoiceLine", "NewPayment", "NewPaymentMethod", "NewRefund", "NewSubscription", "NewTopUp",
    "TaxFacts", "TaxFactsOrder", "InvoiceTax", "Page_TaxFacts_",
    "Package", "Page_AuditLine_", "Page_CreditGrant_", "Page_Credit_", "Page_Customer_",
    "Page_Invoice_", "Page_PaymentMethod_", "Page_Payment_", "Page_Refund_", "Page_Subscription_",
    "Page_Transaction_", "Pause", "Payment", "PaymentMethod", "PaymentMethodKind",
    "PaymentWithRefunds", "Plan", "PlanVersion", "Plans", "QuantityRange", "Redeem", "Redemption",
    "Refund", "RefundState", "RefusedEvent", "Resume", "Schedule", "Service", "ShareToCredit",
    "State", "Status", "Subscription", "SubscriptionChange", "Tier", "Timeline", "TimelineLine",
    "Transaction", "Usage", "UsageAlert", "UsageAnswer", "UsageRefusal", "UsageTotal", "Why",
}  # fmt: skip


def classes() -> dict[str, list[str]]:
    """Return where each class name of the product is defined, private ones as well."""
    found = defaultdict(list)
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if path.is_relative_to(GENERATED):
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ClassDef):
                    found[node.name].append(f"{path.relative_to(ROOT)}:{node.lineno}")
    return found


def test_no_class_name_is_defined_twice() -> None:
    twice = {name: places for name, places in classes().items() if len(places) > 1}

    assert twice == {}


def test_the_public_schemas_keep_their_names() -> None:
    application = FastAPI()
    for router in ROUTERS:
        application.include_router(router)
    schemas = application.openapi()["components"]["schemas"]

    assert set(schemas) == SCHEMAS
    titles = {name: schema["title"] for name, schema in schemas.items()}
    assert titles == {name: name.replace("_", "[", 1).replace("_", "]") for name in SCHEMAS}
