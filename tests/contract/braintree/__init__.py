"""The sandbox as Braintree, asked by its unmodified SDK."""
