"""What the processor says, and the validation errors that the sandbox knows, with their texts."""

# Braintree's documentation, "Processor responses": authorisation. Soft declines may be retried.
_DECLINES = """
2000 soft Do Not Honor
2001 soft Insufficient Funds
2002 soft Limit Exceeded
2003 soft Cardholder's Activity Limit Exceeded
2004 hard Expired Card
2005 hard Invalid Credit Card Number
2006 hard Invalid Expiration Date
2007 hard No Account
2008 hard Card Account Length Error
2009 hard No Such Issuer
2010 hard Card Issuer Declined CVV
2011 hard Voice Authorization Required
2012 hard Processor Declined - Possible Lost Card
2013 hard Processor Declined - Possible Stolen Card
2014 hard Processor Declined - Fraud Suspected
2015 hard Transaction Not Allowed
2016 soft Duplicate Transaction
2017 hard Cardholder Stopped Billing
2018 hard Cardholder Stopped All Billing
2019 hard Invalid Transaction
2020 hard Violation
2021 hard Security Violation
2022 hard Declined - Updated Cardholder Available
2023 hard Processor Does Not Support This Feature
2024 hard Card Type Not Enabled
2025 soft Set Up Error - Merchant
2026 soft Invalid Merchant ID
2027 hard Set Up Error - Amount
2028 hard Set Up Error - Hierarchy
2029 hard Set Up Error - Card
2030 hard Set Up Error - Terminal
2031 hard Encryption Error
2032 hard Surcharge Not Permitted
2033 hard Inconsistent Data
2034 soft No Action Taken
2035 soft Partial Approval For Amount In Group III Version
2036 hard Authorization could not be found
2037 hard Already Reversed
2038 soft Processor Declined
2039 hard Invalid Authorization Code
2040 soft Invalid Store
2041 hard Declined - Call For Approval
2042 soft Invalid Client ID
2043 hard Error - Do Not Retry, Call Issuer
2044 hard Declined - Call Issuer
2045 hard Invalid Merchant Number
2046 soft Declined
2047 hard Call Issuer. Pick Up Card
2048 soft Invalid Amount
2049 hard Invalid SKU Number
2050 hard Invalid Credit Plan
2051 hard Credit Card Number does not match method of payment
2052 hard Invalid Level III Purchase
2053 hard Card reported as lost or stolen
2054 hard Reversal amount does not match authorization amount
2055 hard Invalid Transaction Division Number
2056 hard Transaction amount exceeds the transaction division limit
2057 soft Issuer or Cardholder has put a restriction on the card
2058 hard Merchant not Mastercard SecureCode enabled
2059 hard Address Verification Failed
2060 hard Address Verification and Card Security Code Failed
2061 hard Invalid Transaction Data
2062 soft Invalid Tax Amount
2063 hard PayPal Business Account preference resulted in the transaction failing
2064 hard Invalid Currency Code
2065 hard Refund Time Limit Exceeded
2066 hard PayPal Business Account Restricted
2067 hard Authorization Expired
2068 hard PayPal Business Account Locked or Closed
2069 hard PayPal Blocking Duplicate Order IDs
2070 hard PayPal Buyer Revoked Pre-Approved Payment Authorization
2071 hard PayPal Payee Account Invalid Or Does Not Have a Confirmed Email
2072 hard PayPal Payee Email Incorrectly Formatted
2073 hard PayPal Validation Error
2074 hard Funding Instrument In The PayPal Account Was Declined By The Processor Or Bank, \
Or It Can't Be Used For This Payment
2075 hard Payer Account Is Locked Or Closed
2076 hard Payer Cannot Pay For This Transaction With PayPal
2077 hard Transaction Refused Due To PayPal Risk Model
2078 soft Invalid Secure Payment Data
2079 hard PayPal Merchant Account Configuration Error
2080 soft Invalid user credentials
2081 hard PayPal pending payments are not supported
2082 hard PayPal Domestic Transaction Required
2083 hard PayPal Phone Number Required
2084 hard PayPal Tax Info Required
2085 hard PayPal Payee Blocked Transaction
2086 hard PayPal Transaction Limit Exceeded
2087 hard PayPal reference transactions not enabled for your account
2088 hard Currency not enabled for your PayPal seller account
2089 hard PayPal payee email permission denied for this request
2090 hard PayPal or Venmo account not configured to refund more than settled amount
2091 hard Currency of this transaction must match currency of your PayPal account
2092 soft No Data Found - Try Another Verification Method
2093 hard PayPal payment method is invalid
2094 hard PayPal payment has already been completed
2095 hard PayPal refund is not allowed after partial refund
2096 hard PayPal buyer account can't be the same as the seller account
2097 hard PayPal authorization amount limit exceeded
2098 hard PayPal authorization count limit exceeded
2099 soft Cardholder Authentication Required
2100 hard PayPal channel initiated billing not enabled for your account
2101 soft Additional authorization required
2102 soft Incorrect PIN
2103 soft PIN try exceeded
2104 soft Offline Issuer Declined
2105 soft Cannot Authorize at this time (Life cycle)
2106 soft Cannot Authorize at this time (Policy)
2107 hard Card Not Activated
2108 hard Closed Card
3000 soft Processor Network Unavailable - Try Again
"""
_TABLE = {
    code: (kind, text)
    for code, kind, text in (line.split(" ", 2) for line in _DECLINES.strip().splitlines())
}
APPROVED, PARTLY_APPROVED, PROCESSED, UNAVAILABLE = "1000", "1004", "1002", "3000"
_APPROVALS = {
    APPROVED: "Approved",
    PARTLY_APPROVED: "Approved for Partial Amount",
    PROCESSED: "Processed",
}
SETTLEMENTS = {
    "4000": "Settled",
    "4001": "Settlement Declined",
    "4002": "Settlement Pending",
    "4003": "Already Captured",
    "4004": "Already Refunded",
    "4005": "PayPal Risk Rejected",
    "4006": "Capture Amount Exceeded Allowable Limit",
    "4018": "PayPal Pending Payments Not Supported",
    "4019": "PayPal Refund Transaction with an Open Case Not Allowed",
    "4020": "PayPal Refund Attempt Limit Reached",
    "4021": "PayPal Refund Transaction Not Allowed",
    "4022": "PayPal Refund Invalid Partial Amount",
    "4023": "PayPal Refund Merchant Account Missing ACH",
    "4024": "Refund Time Limit Exceeded",
}


# Mastercard's merchant advice codes, as Braintree passes them on.
ADVICE = {
    "01": "New account information available",
    "02": "Try again later",
    "03": "Do not try again",
    "04": "Token requirements not fulfilled for this token type",
    "21": "Payment Cancellation",
    "22": "Merchant does not qualify for product code",
    "24": "Retry after 1 hour",
    "25": "Retry after 24 hours",
    "26": "Retry after 2 days",
    "27": "Retry after 4 days",
    "28": "Retry after 6 days",
    "29": "Retry after 8 days",
    "30": "Retry after 10 days",
    "40": "Consumer non-reloadable prepaid card",
    "41": "Consumer single-use virtual card number",
}


def is_decline(code: str) -> bool:
    """Whether a code is one of the documented declines."""
    return code in _TABLE


def response_text(code: str) -> str:
    """Return the processor's text for a code; codes without one of their own have a common one."""
    if code in _APPROVALS:
        return _APPROVALS[code]
    return _TABLE.get(code, ("soft", "Processor Declined"))[1]


def response_type(code: str) -> str:
    """Return approved, soft_declined or hard_declined."""
    if code in _APPROVALS:
        return "approved"
    return f"{_TABLE.get(code, ('soft', ''))[0]}_declined"


def settlement_text(code: str) -> str:
    """Return the processor's text for an answer to a settlement."""
    return SETTLEMENTS.get(code, "Settlement Declined")


# Braintree's documentation, "Validation errors".
VALIDATIONS = {
    "81501": "Amount cannot be negative.",
    "81502": "Amount is required.",
    "81503": "Amount is an invalid format.",
    "81528": "Amount is too large.",
    "81531": "Amount must be greater than zero.",
    "81534": "Tax amount cannot be negative.",
    "81535": "Tax amount is an invalid format.",
    "81536": "Tax amount is too large.",
    "915159": "Discount amount is an invalid format.",
    "915160": "Discount amount cannot be negative.",
    "915161": "Discount amount is too large.",
    "915162": "Shipping amount is an invalid format.",
    "915163": "Shipping amount cannot be negative.",
    "915164": "Shipping amount is too large.",
    "91501": "Order ID is too long.",
    "91504": "Transaction can only be voided if status is authorized, submitted_for_settlement, or"
    " - for PayPal - settlement_pending.",
    "91505": "Credit transactions cannot be refunded.",
    "91506": "Cannot refund transaction unless it is settled.",
    "91507": "Cannot submit for settlement unless status is authorized.",
    "91508": "Cannot determine payment method.",
    "91510": "Customer ID is invalid.",
    "91511": "Customer does not have any credit cards.",
    "91512": "Transaction has already been completely refunded.",
    "91513": "Merchant account ID is invalid.",
    "91515": "Cannot provide both payment_method_token and credit_card attributes.",
    "91516": "Cannot provide both payment_method_token and customer_id unless the payment_method"
    " belongs to the customer.",
    "91518": "Payment method token is invalid.",
    "91521": "Refund amount is too large.",
    "91522": "Settlement amount is too large.",
    "91523": "Transaction type is invalid.",
    "91524": "Transaction type is required.",
    "91526": "Custom field is invalid: {detail}.",
    "91564": "Cannot use a payment_method_nonce more than once.",
    "91565": "Unknown or expired payment_method_nonce.",
    "91575": "Cannot simulate transaction settlement in this state.",
    "915103": "Cannot submit for partial settlement.",
    "91537": "Purchase order number is too long.",
    "91548": "Purchase order number is invalid.",
    "91581": "Shipping address doesn't match the customer.",
    "91702": "Billing address ID is invalid.",
    "915133": "Transaction source is invalid.",
    "915165": "Ships from postal code is too long.",
    "915167": "Ships from postal code has invalid characters.",
    "915202": "Product SKU is invalid.",
    "915229": "Exchange rate quote ID is too long.",
    "915265": "Processing merchant category code is invalid.",
    "915129": "Cannot update transaction details that are not submitted for settlement.",
    "915200": "Refund authorization hard declined.",
    "915201": "Refund authorization soft declined.",
    "915230": "API request key is too long.",
    "915232": "API request key can be reused only with the same request.",
    "915233": "API request key is in flight.",
    "915234": "API request key was used with a request that failed.",
    "92201": "Company is not valid. DBA/business section must be between 3, 7 or 12 characters and"
    " the product descriptor can be up to 18, 14, or 9 characters.",
    "92202": "Phone must be 10 - 14 characters and can only contain numbers, dashes, parentheses"
    " and periods.",
    "92206": "URL must be 13 characters or shorter.",
    "81604": "Email is an invalid format.",
    "91609": "Customer ID has already been taken.",
    "91610": "Customer ID is invalid (use only letters, numbers, '-', and '_').",
    "91602": "Custom field is invalid: {detail}.",
    "91612": "Customer ID is too long.",
    "91731": "Cannot use a payment_method_nonce more than once.",
    "91732": "Unknown or expired payment_method_nonce.",
    "81709": "Expiration date is required.",
    "81710": "Expiration date is invalid.",
    "81714": "Credit card number is required.",
    "81715": "Credit card number is invalid.",
    "81716": "Credit card number must be 12-19 digits.",
    "81717": "Credit card number is not an accepted test number.",
    "81703": "Credit card type is not accepted by this merchant account.",
    "81724": "Duplicate card exists in the vault.",
    "81763": "Duplicate card exists in the vault for the customer.",
    "91704": "Customer ID is required.",
    "91705": "Customer ID is invalid.",
    "91718": "Credit card token is invalid.",
    "91719": "Credit card token has already been taken.",
    "91720": "Credit card token is too long.",
    "91721": "Token is reserved.",
    "81706": "CVV is required.",
    "81707": "CVV must be 4 digits for American Express and 3 digits for other card types.",
    "82902": "Cannot vault a one-time use PayPal account.",
    "92906": "PayPal account token has already been taken.",
    "93102": "Nonce is invalid.",
    "93103": "Nonce is required.",
    "93104": "Customer ID is required.",
    "93105": "Customer ID is invalid.",
    "93107": "Cannot use a payment_method_nonce more than once.",
    "93108": "Unknown or expired payment_method_nonce.",
    "82301": "Settlement Date is required",
    "82302": "Settlement Date is invalid",
    "82303": "Group by custom field is not a valid custom field.",
    "915157": "Too many line items.",
    "95801": "Commodity code is too long.",
    "95803": "Description is too long.",
    "95804": "Discount amount is an invalid format.",
    "95805": "Discount amount is too large.",
    "95806": "Discount amount cannot be negative.",
    "95807": "Kind is invalid.",
    "95808": "Kind is required.",
    "95809": "Product code is too long.",
    "95810": "Quantity is an invalid format.",
    "95811": "Quantity is required.",
    "95812": "Quantity is too large.",
    "95813": "Total amount is an invalid format.",
    "95814": "Total amount is required.",
    "95815": "Total amount is too large.",
    "95816": "Total amount must be greater than zero.",
    "95817": "Unit amount is an invalid format.",
    "95818": "Unit amount is required.",
    "95819": "Unit amount is too large.",
    "95820": "Unit amount must be greater than zero.",
    "95821": "Unit of measure is too long.",
    "95822": "Name is required.",
    "95823": "Name is too long.",
    "95824": "Unit tax amount is an invalid format.",
    "95825": "Unit tax amount is too large.",
    "95826": "Unit tax amount cannot be negative.",
    "95827": "Tax amount is an invalid format.",
    "95828": "Tax amount is too large.",
    "95829": "Tax amount cannot be negative.",
    "95830": "UPC code is missing.",
    "95831": "UPC code is too long.",
    "95832": "UPC type is missing.",
    "95833": "UPC type is invalid.",
    "95701": "Evidence can only be attached to disputes that are in an Open state",
    "95702": "Evidence can only be removed from disputes that are in an Open state",
    "95704": "Disputes can only be accepted when they are in an Open state",
    "95705": "Disputes can only be finalized when they are in an Open state",
    "81801": "Address must have at least one field filled in.",
}
