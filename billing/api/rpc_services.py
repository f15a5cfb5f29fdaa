"""The gRPC services that are served."""

from collections.abc import Sequence
from typing import Final

from google.protobuf.descriptor import FileDescriptor

from billing.api.generated.perennial.v1 import (
    payments_pb2,
    payments_pb2_grpc,
    subscriptions_pb2,
    subscriptions_pb2_grpc,
    taxes_pb2,
    taxes_pb2_grpc,
    usage_pb2,
    usage_pb2_grpc,
)
from billing.api.routes.common import Services
from billing.api.rpc import SCOPES, PaymentService
from billing.api.rpc_server import ServedService
from billing.api.rpc_subscriptions import (
    CREDIT_SCOPES,
    SUBSCRIPTION_SCOPES,
    CreditService,
    SubscriptionService,
)
from billing.api.rpc_taxes import TAX_SCOPES, CustomerTaxService
from billing.api.rpc_usage import USAGE_SCOPES, UsageService

_PAYMENTS: Final[FileDescriptor] = payments_pb2.DESCRIPTOR
_SUBSCRIPTIONS: Final[FileDescriptor] = subscriptions_pb2.DESCRIPTOR
_TAXES: Final[FileDescriptor] = taxes_pb2.DESCRIPTOR
_USAGE: Final[FileDescriptor] = usage_pb2.DESCRIPTOR


def rpc_services(services: Services) -> Sequence[ServedService]:
    """Return the services, each with what answers its calls and the scopes that they need."""
    counted = services.metrics
    return (
        ServedService(
            _PAYMENTS.services_by_name["PaymentService"],
            PaymentService(services.payments, counted),
            payments_pb2_grpc.add_PaymentServiceServicer_to_server,
            SCOPES,
        ),
        ServedService(
            _SUBSCRIPTIONS.services_by_name["SubscriptionService"],
            SubscriptionService(services.customers, counted),
            subscriptions_pb2_grpc.add_SubscriptionServiceServicer_to_server,
            SUBSCRIPTION_SCOPES,
        ),
        ServedService(
            _SUBSCRIPTIONS.services_by_name["CreditService"],
            CreditService(services.credit, services.credit_notes, counted),
            subscriptions_pb2_grpc.add_CreditServiceServicer_to_server,
            CREDIT_SCOPES,
        ),
        ServedService(
            _TAXES.services_by_name["TaxService"],
            CustomerTaxService(services.engine, services.customers, counted),
            taxes_pb2_grpc.add_TaxServiceServicer_to_server,
            TAX_SCOPES,
        ),
        ServedService(
            _USAGE.services_by_name["UsageService"],
            UsageService(services.usage),
            usage_pb2_grpc.add_UsageServiceServicer_to_server,
            USAGE_SCOPES,
        ),
    )
