"""Braintree's processor and rejection codes, and the class of each.

The codes are those of developer.paypal.com/braintree/docs/reference/general/processor-responses
(authorization, settlement) and of gateway rejections there. Each known code is a metric label; one
that isn't known has the class of its response type and counts as "other".
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from billing.gateway.declines import classes
from billing.rules.dunning import AUTHENTICATION_REQUIRED, Advice, DeclineClass

REJECTED: Final = "gateway_rejected_"
_AUTHENTICATION: Final = "2099"  # of the cardholder: the payment waits, the card is good

# A later attempt may succeed: documented as soft declines, or a state of the processor's.
_SOFT: Final = """
    2000 2001 2002 2003 2016 2025 2026 2034 2035 2038 2040 2042 2046 2048 2057 2062 2078 2080 2092
    2101 2102 2103 2104 2105 2106 3000
    4001 4003 4004 4006 4018 4019 4020 4021 4022 4023 4024
    gateway_rejected_application_incomplete gateway_rejected_manual_transaction
"""
# Documented as hard, but about our account, which we set right: no customer is given up for it.
_OUR_ACCOUNT: Final = """
    2023 2028 2030 2045 2055 2056 2058 2063 2064 2066 2068 2079 2081 2087 2088 2089 2091 2100
"""
# Hard declines that the customer sets right: by another date, number, code, address or card, with
# their bank, or in their PayPal account, also where they took the agreement back.
_NEEDS_CUSTOMER: Final = """
    2004 2006 2010 2022 2024 2041 2044 2051 2059 2060 2070 2071 2072 2074 2075 2076 2082 2083 2084
    2086 2093 2107
    gateway_rejected_avs gateway_rejected_avs_and_cvv gateway_rejected_cvv
    gateway_rejected_three_d_secure gateway_rejected_token_issuance
"""
_HARD: Final = """
    2005 2007 2008 2009 2011 2012 2013 2014 2015 2017 2018 2019 2020 2021 2027 2029 2031 2032 2033
    2036 2037 2039 2043 2047 2049 2050 2052 2053 2054 2061 2065 2067 2069 2073 2077 2085 2090 2094
    2095 2096 2097 2098 2108 4005
    gateway_rejected_excessive_retry gateway_rejected_fraud gateway_rejected_risk_threshold
"""


DECLINE_CLASSES: Final = classes(
    (DeclineClass.SOFT, _SOFT + _OUR_ACCOUNT),
    (DeclineClass.NEEDS_CUSTOMER, _NEEDS_CUSTOMER),
    (DeclineClass.HARD, _HARD),
)
_BY_TYPE: Final[Mapping[str, DeclineClass]] = MappingProxyType(
    {"soft_declined": DeclineClass.SOFT, "hard_declined": DeclineClass.HARD}
)

_UPDATE: Final = (Advice.CONFIRM_CARD_DATA, DeclineClass.NEEDS_CUSTOMER)
_LATER: Final = (Advice.TRY_AGAIN_LATER, DeclineClass.SOFT)
_NEVER: Final = (Advice.DO_NOT_TRY_AGAIN, DeclineClass.HARD)
# Mastercard's merchant advice code, which is more specific than the code that it comes with.
_ADVICE: Final[Mapping[str, tuple[Advice, DeclineClass]]] = MappingProxyType(
    {
        "01": _UPDATE,  # new account information available
        "02": _LATER,
        "03": _NEVER,
        "04": _UPDATE,  # token requirements not fulfilled
        "21": _NEVER,  # the cardholder canceled the agreement
        "22": _NEVER,  # the merchant doesn't qualify for the product code
        **dict.fromkeys(("24", "25", "26", "27", "28", "29", "30"), _LATER),  # after 1 h to 10 d
        "40": _UPDATE,  # a prepaid card that can't be loaded again
        "41": _UPDATE,  # a card number for one payment
    }
)


def classify(
    code: str, response_type: str | None = None, advice_code: str | None = None
) -> tuple[str, DeclineClass, Advice | None]:
    """Return a decline's code, class and advice; the advice outranks the code, the code its type.

    A payment that the cardholder has to confirm has the engine's own code: it says nothing
    about the card.
    """
    if code == _AUTHENTICATION:
        return AUTHENTICATION_REQUIRED, DeclineClass.NEEDS_CUSTOMER, None
    advice, by_advice = _ADVICE.get(advice_code or "", (None, None))
    by_type = _BY_TYPE.get(response_type or "", DeclineClass.SOFT)
    return code, by_advice or DECLINE_CLASSES.get(code, by_type), advice
