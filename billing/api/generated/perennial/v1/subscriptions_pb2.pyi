import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ChangeApplies(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CHANGE_APPLIES_UNSPECIFIED: _ClassVar[ChangeApplies]
    CHANGE_APPLIES_NOW: _ClassVar[ChangeApplies]
    CHANGE_APPLIES_PERIOD_END: _ClassVar[ChangeApplies]

class NoteDestination(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NOTE_DESTINATION_UNSPECIFIED: _ClassVar[NoteDestination]
    NOTE_DESTINATION_CREDIT: _ClassVar[NoteDestination]
    NOTE_DESTINATION_REFUND: _ClassVar[NoteDestination]
    NOTE_DESTINATION_OUTSIDE: _ClassVar[NoteDestination]
CHANGE_APPLIES_UNSPECIFIED: ChangeApplies
CHANGE_APPLIES_NOW: ChangeApplies
CHANGE_APPLIES_PERIOD_END: ChangeApplies
NOTE_DESTINATION_UNSPECIFIED: NoteDestination
NOTE_DESTINATION_CREDIT: NoteDestination
NOTE_DESTINATION_REFUND: NoteDestination
NOTE_DESTINATION_OUTSIDE: NoteDestination

class Subscription(_message.Message):
    __slots__ = ("id", "external_id", "customer_id", "plan", "plan_version", "currency", "quantity", "status", "zone", "every", "renews_at", "cancels_at", "canceled_at", "created_at", "provider")
    ID_FIELD_NUMBER: _ClassVar[int]
    EXTERNAL_ID_FIELD_NUMBER: _ClassVar[int]
    CUSTOMER_ID_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    PLAN_VERSION_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    ZONE_FIELD_NUMBER: _ClassVar[int]
    EVERY_FIELD_NUMBER: _ClassVar[int]
    RENEWS_AT_FIELD_NUMBER: _ClassVar[int]
    CANCELS_AT_FIELD_NUMBER: _ClassVar[int]
    CANCELED_AT_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    id: str
    external_id: str
    customer_id: str
    plan: str
    plan_version: str
    currency: str
    quantity: int
    status: str
    zone: str
    every: str
    renews_at: _timestamp_pb2.Timestamp
    cancels_at: _timestamp_pb2.Timestamp
    canceled_at: _timestamp_pb2.Timestamp
    created_at: _timestamp_pb2.Timestamp
    provider: str
    def __init__(self, id: _Optional[str] = ..., external_id: _Optional[str] = ..., customer_id: _Optional[str] = ..., plan: _Optional[str] = ..., plan_version: _Optional[str] = ..., currency: _Optional[str] = ..., quantity: _Optional[int] = ..., status: _Optional[str] = ..., zone: _Optional[str] = ..., every: _Optional[str] = ..., renews_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., cancels_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., canceled_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., provider: _Optional[str] = ...) -> None: ...

class SubscribeRequest(_message.Message):
    __slots__ = ("idempotency_key", "customer", "plan", "currency", "quantity", "items", "coupons", "zone", "starts", "external_id", "no_trial", "provider")
    class ItemsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    COUPONS_FIELD_NUMBER: _ClassVar[int]
    ZONE_FIELD_NUMBER: _ClassVar[int]
    STARTS_FIELD_NUMBER: _ClassVar[int]
    EXTERNAL_ID_FIELD_NUMBER: _ClassVar[int]
    NO_TRIAL_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    idempotency_key: str
    customer: str
    plan: str
    currency: str
    quantity: int
    items: _containers.ScalarMap[str, int]
    coupons: _containers.RepeatedScalarFieldContainer[str]
    zone: str
    starts: str
    external_id: str
    no_trial: bool
    provider: str
    def __init__(self, idempotency_key: _Optional[str] = ..., customer: _Optional[str] = ..., plan: _Optional[str] = ..., currency: _Optional[str] = ..., quantity: _Optional[int] = ..., items: _Optional[_Mapping[str, int]] = ..., coupons: _Optional[_Iterable[str]] = ..., zone: _Optional[str] = ..., starts: _Optional[str] = ..., external_id: _Optional[str] = ..., no_trial: _Optional[bool] = ..., provider: _Optional[str] = ...) -> None: ...

class SubscribeResponse(_message.Message):
    __slots__ = ("subscription", "replayed")
    SUBSCRIPTION_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    subscription: Subscription
    replayed: bool
    def __init__(self, subscription: _Optional[_Union[Subscription, _Mapping]] = ..., replayed: _Optional[bool] = ...) -> None: ...

class ChangeOrder(_message.Message):
    __slots__ = ("plan", "quantity", "items", "applies", "refund", "billing_day", "zone", "coupon")
    class ItemsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    PLAN_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    APPLIES_FIELD_NUMBER: _ClassVar[int]
    REFUND_FIELD_NUMBER: _ClassVar[int]
    BILLING_DAY_FIELD_NUMBER: _ClassVar[int]
    ZONE_FIELD_NUMBER: _ClassVar[int]
    COUPON_FIELD_NUMBER: _ClassVar[int]
    plan: str
    quantity: int
    items: _containers.ScalarMap[str, int]
    applies: ChangeApplies
    refund: bool
    billing_day: int
    zone: str
    coupon: str
    def __init__(self, plan: _Optional[str] = ..., quantity: _Optional[int] = ..., items: _Optional[_Mapping[str, int]] = ..., applies: _Optional[_Union[ChangeApplies, str]] = ..., refund: _Optional[bool] = ..., billing_day: _Optional[int] = ..., zone: _Optional[str] = ..., coupon: _Optional[str] = ...) -> None: ...

class PeriodSchedule(_message.Message):
    __slots__ = ("every", "zone", "anchor_day", "anchor_month", "anchor_weekday")
    EVERY_FIELD_NUMBER: _ClassVar[int]
    ZONE_FIELD_NUMBER: _ClassVar[int]
    ANCHOR_DAY_FIELD_NUMBER: _ClassVar[int]
    ANCHOR_MONTH_FIELD_NUMBER: _ClassVar[int]
    ANCHOR_WEEKDAY_FIELD_NUMBER: _ClassVar[int]
    every: str
    zone: str
    anchor_day: int
    anchor_month: int
    anchor_weekday: int
    def __init__(self, every: _Optional[str] = ..., zone: _Optional[str] = ..., anchor_day: _Optional[int] = ..., anchor_month: _Optional[int] = ..., anchor_weekday: _Optional[int] = ...) -> None: ...

class MovedPeriods(_message.Message):
    __slots__ = ("n", "starts_at", "before", "after")
    N_FIELD_NUMBER: _ClassVar[int]
    STARTS_AT_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    n: int
    starts_at: _timestamp_pb2.Timestamp
    before: PeriodSchedule
    after: PeriodSchedule
    def __init__(self, n: _Optional[int] = ..., starts_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., before: _Optional[_Union[PeriodSchedule, _Mapping]] = ..., after: _Optional[_Union[PeriodSchedule, _Mapping]] = ...) -> None: ...

class HeldTerms(_message.Message):
    __slots__ = ("plan", "version", "items", "addons")
    class ItemsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class AddonsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    PLAN_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    ADDONS_FIELD_NUMBER: _ClassVar[int]
    plan: str
    version: str
    items: _containers.ScalarMap[str, int]
    addons: _containers.ScalarMap[str, str]
    def __init__(self, plan: _Optional[str] = ..., version: _Optional[str] = ..., items: _Optional[_Mapping[str, int]] = ..., addons: _Optional[_Mapping[str, str]] = ...) -> None: ...

class ChangeLine(_message.Message):
    __slots__ = ("item", "description", "quantity", "gross_cents", "discount_cents", "net_cents", "tax_cents")
    ITEM_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    GROSS_CENTS_FIELD_NUMBER: _ClassVar[int]
    DISCOUNT_CENTS_FIELD_NUMBER: _ClassVar[int]
    NET_CENTS_FIELD_NUMBER: _ClassVar[int]
    TAX_CENTS_FIELD_NUMBER: _ClassVar[int]
    item: str
    description: str
    quantity: str
    gross_cents: int
    discount_cents: int
    net_cents: int
    tax_cents: int
    def __init__(self, item: _Optional[str] = ..., description: _Optional[str] = ..., quantity: _Optional[str] = ..., gross_cents: _Optional[int] = ..., discount_cents: _Optional[int] = ..., net_cents: _Optional[int] = ..., tax_cents: _Optional[int] = ...) -> None: ...

class ChangeInvoice(_message.Message):
    __slots__ = ("currency", "lines", "discount_cents", "net_cents", "tax_cents", "total_cents", "credit_cents", "due_cents")
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    DISCOUNT_CENTS_FIELD_NUMBER: _ClassVar[int]
    NET_CENTS_FIELD_NUMBER: _ClassVar[int]
    TAX_CENTS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_CENTS_FIELD_NUMBER: _ClassVar[int]
    CREDIT_CENTS_FIELD_NUMBER: _ClassVar[int]
    DUE_CENTS_FIELD_NUMBER: _ClassVar[int]
    currency: str
    lines: _containers.RepeatedCompositeFieldContainer[ChangeLine]
    discount_cents: int
    net_cents: int
    tax_cents: int
    total_cents: int
    credit_cents: int
    due_cents: int
    def __init__(self, currency: _Optional[str] = ..., lines: _Optional[_Iterable[_Union[ChangeLine, _Mapping]]] = ..., discount_cents: _Optional[int] = ..., net_cents: _Optional[int] = ..., tax_cents: _Optional[int] = ..., total_cents: _Optional[int] = ..., credit_cents: _Optional[int] = ..., due_cents: _Optional[int] = ...) -> None: ...

class ChangeNote(_message.Message):
    __slots__ = ("invoice", "currency", "discount_cents", "net_cents", "tax_cents", "total_cents", "destination")
    INVOICE_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    DISCOUNT_CENTS_FIELD_NUMBER: _ClassVar[int]
    NET_CENTS_FIELD_NUMBER: _ClassVar[int]
    TAX_CENTS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_CENTS_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_FIELD_NUMBER: _ClassVar[int]
    invoice: str
    currency: str
    discount_cents: int
    net_cents: int
    tax_cents: int
    total_cents: int
    destination: NoteDestination
    def __init__(self, invoice: _Optional[str] = ..., currency: _Optional[str] = ..., discount_cents: _Optional[int] = ..., net_cents: _Optional[int] = ..., tax_cents: _Optional[int] = ..., total_cents: _Optional[int] = ..., destination: _Optional[_Union[NoteDestination, str]] = ...) -> None: ...

class SubscriptionChange(_message.Message):
    __slots__ = ("id", "subscription_id", "applies", "holds_from", "before", "after", "invoice", "notes", "digest", "periods", "coupon")
    ID_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIPTION_ID_FIELD_NUMBER: _ClassVar[int]
    APPLIES_FIELD_NUMBER: _ClassVar[int]
    HOLDS_FROM_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    INVOICE_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    PERIODS_FIELD_NUMBER: _ClassVar[int]
    COUPON_FIELD_NUMBER: _ClassVar[int]
    id: str
    subscription_id: str
    applies: ChangeApplies
    holds_from: _timestamp_pb2.Timestamp
    before: HeldTerms
    after: HeldTerms
    invoice: ChangeInvoice
    notes: _containers.RepeatedCompositeFieldContainer[ChangeNote]
    digest: str
    periods: MovedPeriods
    coupon: str
    def __init__(self, id: _Optional[str] = ..., subscription_id: _Optional[str] = ..., applies: _Optional[_Union[ChangeApplies, str]] = ..., holds_from: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., before: _Optional[_Union[HeldTerms, _Mapping]] = ..., after: _Optional[_Union[HeldTerms, _Mapping]] = ..., invoice: _Optional[_Union[ChangeInvoice, _Mapping]] = ..., notes: _Optional[_Iterable[_Union[ChangeNote, _Mapping]]] = ..., digest: _Optional[str] = ..., periods: _Optional[_Union[MovedPeriods, _Mapping]] = ..., coupon: _Optional[str] = ...) -> None: ...

class QuoteChangeRequest(_message.Message):
    __slots__ = ("subscription", "order")
    SUBSCRIPTION_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    subscription: str
    order: ChangeOrder
    def __init__(self, subscription: _Optional[str] = ..., order: _Optional[_Union[ChangeOrder, _Mapping]] = ...) -> None: ...

class QuoteChangeResponse(_message.Message):
    __slots__ = ("change",)
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    change: SubscriptionChange
    def __init__(self, change: _Optional[_Union[SubscriptionChange, _Mapping]] = ...) -> None: ...

class MakeChangeRequest(_message.Message):
    __slots__ = ("idempotency_key", "subscription", "order", "quote_digest", "reason")
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIPTION_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    QUOTE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    idempotency_key: str
    subscription: str
    order: ChangeOrder
    quote_digest: str
    reason: str
    def __init__(self, idempotency_key: _Optional[str] = ..., subscription: _Optional[str] = ..., order: _Optional[_Union[ChangeOrder, _Mapping]] = ..., quote_digest: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class MakeChangeResponse(_message.Message):
    __slots__ = ("change", "replayed")
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    change: SubscriptionChange
    replayed: bool
    def __init__(self, change: _Optional[_Union[SubscriptionChange, _Mapping]] = ..., replayed: _Optional[bool] = ...) -> None: ...

class Redemption(_message.Message):
    __slots__ = ("id", "coupon", "subscription_id", "at")
    ID_FIELD_NUMBER: _ClassVar[int]
    COUPON_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIPTION_ID_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    id: str
    coupon: str
    subscription_id: str
    at: _timestamp_pb2.Timestamp
    def __init__(self, id: _Optional[str] = ..., coupon: _Optional[str] = ..., subscription_id: _Optional[str] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class RedeemCouponRequest(_message.Message):
    __slots__ = ("idempotency_key", "subscription", "coupon", "reason")
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIPTION_FIELD_NUMBER: _ClassVar[int]
    COUPON_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    idempotency_key: str
    subscription: str
    coupon: str
    reason: str
    def __init__(self, idempotency_key: _Optional[str] = ..., subscription: _Optional[str] = ..., coupon: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class RedeemCouponResponse(_message.Message):
    __slots__ = ("redemption", "replayed")
    REDEMPTION_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    redemption: Redemption
    replayed: bool
    def __init__(self, redemption: _Optional[_Union[Redemption, _Mapping]] = ..., replayed: _Optional[bool] = ...) -> None: ...

class CancelRequest(_message.Message):
    __slots__ = ("idempotency_key", "subscription", "now", "forgive", "credit_note", "on", "reason")
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIPTION_FIELD_NUMBER: _ClassVar[int]
    NOW_FIELD_NUMBER: _ClassVar[int]
    FORGIVE_FIELD_NUMBER: _ClassVar[int]
    CREDIT_NOTE_FIELD_NUMBER: _ClassVar[int]
    ON_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    idempotency_key: str
    subscription: str
    now: bool
    forgive: bool
    credit_note: NoteDestination
    on: str
    reason: str
    def __init__(self, idempotency_key: _Optional[str] = ..., subscription: _Optional[str] = ..., now: _Optional[bool] = ..., forgive: _Optional[bool] = ..., credit_note: _Optional[_Union[NoteDestination, str]] = ..., on: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class CancelResponse(_message.Message):
    __slots__ = ("subscription", "replayed")
    SUBSCRIPTION_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    subscription: Subscription
    replayed: bool
    def __init__(self, subscription: _Optional[_Union[Subscription, _Mapping]] = ..., replayed: _Optional[bool] = ...) -> None: ...

class PauseRequest(_message.Message):
    __slots__ = ("idempotency_key", "subscription", "periods", "until", "reason")
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIPTION_FIELD_NUMBER: _ClassVar[int]
    PERIODS_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    idempotency_key: str
    subscription: str
    periods: int
    until: str
    reason: str
    def __init__(self, idempotency_key: _Optional[str] = ..., subscription: _Optional[str] = ..., periods: _Optional[int] = ..., until: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class PauseResponse(_message.Message):
    __slots__ = ("subscription", "replayed")
    SUBSCRIPTION_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    subscription: Subscription
    replayed: bool
    def __init__(self, subscription: _Optional[_Union[Subscription, _Mapping]] = ..., replayed: _Optional[bool] = ...) -> None: ...

class ResumeRequest(_message.Message):
    __slots__ = ("idempotency_key", "subscription", "on", "reason")
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIPTION_FIELD_NUMBER: _ClassVar[int]
    ON_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    idempotency_key: str
    subscription: str
    on: str
    reason: str
    def __init__(self, idempotency_key: _Optional[str] = ..., subscription: _Optional[str] = ..., on: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class ResumeResponse(_message.Message):
    __slots__ = ("subscription", "replayed")
    SUBSCRIPTION_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    subscription: Subscription
    replayed: bool
    def __init__(self, subscription: _Optional[_Union[Subscription, _Mapping]] = ..., replayed: _Optional[bool] = ...) -> None: ...

class CreditGrant(_message.Message):
    __slots__ = ("id", "customer_id", "currency", "amount_cents", "left_cents", "source", "priority", "subscription_id", "effective_at", "expires_at", "reason", "created_at")
    ID_FIELD_NUMBER: _ClassVar[int]
    CUSTOMER_ID_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_CENTS_FIELD_NUMBER: _ClassVar[int]
    LEFT_CENTS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIPTION_ID_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_AT_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    id: str
    customer_id: str
    currency: str
    amount_cents: int
    left_cents: int
    source: str
    priority: int
    subscription_id: str
    effective_at: _timestamp_pb2.Timestamp
    expires_at: _timestamp_pb2.Timestamp
    reason: str
    created_at: _timestamp_pb2.Timestamp
    def __init__(self, id: _Optional[str] = ..., customer_id: _Optional[str] = ..., currency: _Optional[str] = ..., amount_cents: _Optional[int] = ..., left_cents: _Optional[int] = ..., source: _Optional[str] = ..., priority: _Optional[int] = ..., subscription_id: _Optional[str] = ..., effective_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., reason: _Optional[str] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class GrantCreditRequest(_message.Message):
    __slots__ = ("idempotency_key", "customer", "amount_cents", "currency", "reason", "priority", "expires_at", "subscription")
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_CENTS_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIPTION_FIELD_NUMBER: _ClassVar[int]
    idempotency_key: str
    customer: str
    amount_cents: int
    currency: str
    reason: str
    priority: int
    expires_at: _timestamp_pb2.Timestamp
    subscription: str
    def __init__(self, idempotency_key: _Optional[str] = ..., customer: _Optional[str] = ..., amount_cents: _Optional[int] = ..., currency: _Optional[str] = ..., reason: _Optional[str] = ..., priority: _Optional[int] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., subscription: _Optional[str] = ...) -> None: ...

class GrantCreditResponse(_message.Message):
    __slots__ = ("grant", "replayed")
    GRANT_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    grant: CreditGrant
    replayed: bool
    def __init__(self, grant: _Optional[_Union[CreditGrant, _Mapping]] = ..., replayed: _Optional[bool] = ...) -> None: ...

class LineToCredit(_message.Message):
    __slots__ = ("line", "amount_cents")
    LINE_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_CENTS_FIELD_NUMBER: _ClassVar[int]
    line: int
    amount_cents: int
    def __init__(self, line: _Optional[int] = ..., amount_cents: _Optional[int] = ...) -> None: ...

class ShareToCredit(_message.Message):
    __slots__ = ("part", "whole")
    PART_FIELD_NUMBER: _ClassVar[int]
    WHOLE_FIELD_NUMBER: _ClassVar[int]
    part: int
    whole: int
    def __init__(self, part: _Optional[int] = ..., whole: _Optional[int] = ...) -> None: ...

class CreditNoteLine(_message.Message):
    __slots__ = ("line", "gross_cents", "discount_cents", "net_cents", "tax_cents")
    LINE_FIELD_NUMBER: _ClassVar[int]
    GROSS_CENTS_FIELD_NUMBER: _ClassVar[int]
    DISCOUNT_CENTS_FIELD_NUMBER: _ClassVar[int]
    NET_CENTS_FIELD_NUMBER: _ClassVar[int]
    TAX_CENTS_FIELD_NUMBER: _ClassVar[int]
    line: int
    gross_cents: int
    discount_cents: int
    net_cents: int
    tax_cents: int
    def __init__(self, line: _Optional[int] = ..., gross_cents: _Optional[int] = ..., discount_cents: _Optional[int] = ..., net_cents: _Optional[int] = ..., tax_cents: _Optional[int] = ...) -> None: ...

class CreditNote(_message.Message):
    __slots__ = ("id", "number", "invoice_id", "invoice_number", "customer_id", "subscription_id", "currency", "net_cents", "tax_cents", "total_cents", "discount_cents", "destination", "reason", "refund_id", "grant_id", "created_at", "lines")
    ID_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    INVOICE_ID_FIELD_NUMBER: _ClassVar[int]
    INVOICE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    CUSTOMER_ID_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIPTION_ID_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    NET_CENTS_FIELD_NUMBER: _ClassVar[int]
    TAX_CENTS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_CENTS_FIELD_NUMBER: _ClassVar[int]
    DISCOUNT_CENTS_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REFUND_ID_FIELD_NUMBER: _ClassVar[int]
    GRANT_ID_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    id: str
    number: str
    invoice_id: str
    invoice_number: str
    customer_id: str
    subscription_id: str
    currency: str
    net_cents: int
    tax_cents: int
    total_cents: int
    discount_cents: int
    destination: NoteDestination
    reason: str
    refund_id: str
    grant_id: str
    created_at: _timestamp_pb2.Timestamp
    lines: _containers.RepeatedCompositeFieldContainer[CreditNoteLine]
    def __init__(self, id: _Optional[str] = ..., number: _Optional[str] = ..., invoice_id: _Optional[str] = ..., invoice_number: _Optional[str] = ..., customer_id: _Optional[str] = ..., subscription_id: _Optional[str] = ..., currency: _Optional[str] = ..., net_cents: _Optional[int] = ..., tax_cents: _Optional[int] = ..., total_cents: _Optional[int] = ..., discount_cents: _Optional[int] = ..., destination: _Optional[_Union[NoteDestination, str]] = ..., reason: _Optional[str] = ..., refund_id: _Optional[str] = ..., grant_id: _Optional[str] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., lines: _Optional[_Iterable[_Union[CreditNoteLine, _Mapping]]] = ...) -> None: ...

class CreateCreditNoteRequest(_message.Message):
    __slots__ = ("idempotency_key", "invoice", "destination", "lines", "share", "reason")
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    INVOICE_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    idempotency_key: str
    invoice: str
    destination: NoteDestination
    lines: _containers.RepeatedCompositeFieldContainer[LineToCredit]
    share: ShareToCredit
    reason: str
    def __init__(self, idempotency_key: _Optional[str] = ..., invoice: _Optional[str] = ..., destination: _Optional[_Union[NoteDestination, str]] = ..., lines: _Optional[_Iterable[_Union[LineToCredit, _Mapping]]] = ..., share: _Optional[_Union[ShareToCredit, _Mapping]] = ..., reason: _Optional[str] = ...) -> None: ...

class CreateCreditNoteResponse(_message.Message):
    __slots__ = ("note", "replayed")
    NOTE_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    note: CreditNote
    replayed: bool
    def __init__(self, note: _Optional[_Union[CreditNote, _Mapping]] = ..., replayed: _Optional[bool] = ...) -> None: ...
