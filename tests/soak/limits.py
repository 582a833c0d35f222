"""Limits of the services of a soak, by which their clients judge them."""

DRAIN_SECONDS = 8.0
MAX_BODY_BYTES = 2**20
ROWS_PER_SECOND_PER_KEY = 20_000
