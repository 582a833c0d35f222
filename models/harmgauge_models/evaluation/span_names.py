"""The periods that an evaluation can split rows by: command-line names to numpy's units of time."""

SPANS = {"hour": "h", "day": "D", "week": "D", "month": "M", "quarter": "M", "year": "Y"}
