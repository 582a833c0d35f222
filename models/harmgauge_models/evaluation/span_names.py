"""The periods by which an evaluation can split rows: command-line names and NumPy's units of time."""

SPANS = {"hour": "h", "day": "D", "week": "D", "month": "M", "quarter": "M", "year": "Y"}
