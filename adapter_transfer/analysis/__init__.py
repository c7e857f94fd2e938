"""Analysis: what the records in a store say. Reads records, trains nothing, needs no torch."""
