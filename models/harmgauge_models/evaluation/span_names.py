"""The periods by which an evaluation can split rows: names on the command line, to numpy's units of time."""

SPANS = {"hour": "h", "day": "D", "week": "D", "month": "M", "quarter": "M", "year": "Y"}
