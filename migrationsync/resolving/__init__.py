"""Makes the two sides alike again: what is to be done about a record, and doing it."""
