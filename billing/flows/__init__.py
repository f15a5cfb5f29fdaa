"""The flows: load, decide, save. Each function is one transaction or names where it has none."""
