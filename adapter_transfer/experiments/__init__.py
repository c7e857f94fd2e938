"""Experiments: from what a user writes to a plan, its execution, and the records in the store."""
