import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TaxFacts(_message.Message):
    __slots__ = ("customer_id", "holds_from", "country", "region", "postal_code", "vat_id", "exempt")
    CUSTOMER_ID_FIELD_NUMBER: _ClassVar[int]
    HOLDS_FROM_FIELD_NUMBER: _ClassVar[int]
    COUNTRY_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    POSTAL_CODE_FIELD_NUMBER: _ClassVar[int]
    VAT_ID_FIELD_NUMBER: _ClassVar[int]
    EXEMPT_FIELD_NUMBER: _ClassVar[int]
    customer_id: str
    holds_from: _timestamp_pb2.Timestamp
    country: str
    region: str
    postal_code: str
    vat_id: str
    exempt: str
    def __init__(self, customer_id: _Optional[str] = ..., holds_from: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., country: _Optional[str] = ..., region: _Optional[str] = ..., postal_code: _Optional[str] = ..., vat_id: _Optional[str] = ..., exempt: _Optional[str] = ...) -> None: ...

class SetTaxFactsRequest(_message.Message):
    __slots__ = ("idempotency_key", "customer", "country", "region", "postal_code", "vat_id", "exempt", "holds_from")
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    COUNTRY_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    POSTAL_CODE_FIELD_NUMBER: _ClassVar[int]
    VAT_ID_FIELD_NUMBER: _ClassVar[int]
    EXEMPT_FIELD_NUMBER: _ClassVar[int]
    HOLDS_FROM_FIELD_NUMBER: _ClassVar[int]
    idempotency_key: str
    customer: str
    country: str
    region: str
    postal_code: str
    vat_id: str
    exempt: str
    holds_from: _timestamp_pb2.Timestamp
    def __init__(self, idempotency_key: _Optional[str] = ..., customer: _Optional[str] = ..., country: _Optional[str] = ..., region: _Optional[str] = ..., postal_code: _Optional[str] = ..., vat_id: _Optional[str] = ..., exempt: _Optional[str] = ..., holds_from: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class SetTaxFactsResponse(_message.Message):
    __slots__ = ("tax_facts", "replayed")
    TAX_FACTS_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    tax_facts: TaxFacts
    replayed: bool
    def __init__(self, tax_facts: _Optional[_Union[TaxFacts, _Mapping]] = ..., replayed: _Optional[bool] = ...) -> None: ...

class ListTaxFactsRequest(_message.Message):
    __slots__ = ("customer",)
    CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    customer: str
    def __init__(self, customer: _Optional[str] = ...) -> None: ...

class ListTaxFactsResponse(_message.Message):
    __slots__ = ("tax_facts",)
    TAX_FACTS_FIELD_NUMBER: _ClassVar[int]
    tax_facts: _containers.RepeatedCompositeFieldContainer[TaxFacts]
    def __init__(self, tax_facts: _Optional[_Iterable[_Union[TaxFacts, _Mapping]]] = ...) -> None: ...

class InvoiceTax(_message.Message):
    __slots__ = ("jurisdiction", "name", "treatment", "rate", "included", "reason", "base", "amount")
    JURISDICTION_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    TREATMENT_FIELD_NUMBER: _ClassVar[int]
    RATE_FIELD_NUMBER: _ClassVar[int]
    INCLUDED_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    BASE_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    jurisdiction: str
    name: str
    treatment: str
    rate: str
    included: bool
    reason: str
    base: int
    amount: int
    def __init__(self, jurisdiction: _Optional[str] = ..., name: _Optional[str] = ..., treatment: _Optional[str] = ..., rate: _Optional[str] = ..., included: _Optional[bool] = ..., reason: _Optional[str] = ..., base: _Optional[int] = ..., amount: _Optional[int] = ...) -> None: ...

class GetInvoiceTaxesRequest(_message.Message):
    __slots__ = ("invoice",)
    INVOICE_FIELD_NUMBER: _ClassVar[int]
    invoice: str
    def __init__(self, invoice: _Optional[str] = ...) -> None: ...

class GetInvoiceTaxesResponse(_message.Message):
    __slots__ = ("invoice_id", "number", "currency", "net", "tax", "total", "taxes")
    INVOICE_ID_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    NET_FIELD_NUMBER: _ClassVar[int]
    TAX_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    TAXES_FIELD_NUMBER: _ClassVar[int]
    invoice_id: str
    number: str
    currency: str
    net: int
    tax: int
    total: int
    taxes: _containers.RepeatedCompositeFieldContainer[InvoiceTax]
    def __init__(self, invoice_id: _Optional[str] = ..., number: _Optional[str] = ..., currency: _Optional[str] = ..., net: _Optional[int] = ..., tax: _Optional[int] = ..., total: _Optional[int] = ..., taxes: _Optional[_Iterable[_Union[InvoiceTax, _Mapping]]] = ...) -> None: ...
