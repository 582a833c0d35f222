"""The cost of a request beside its inference: the CPU time of the service less that of bare ONNX Runtime."""

from __future__ import annotations

from dataclasses import dataclass

from tests.bench.proc import CpuTime


@dataclass(frozen=True)
class Spent:
    """The totals of a load: `requests` were answered, and `rows` ran, including rows that wrk did not wait for."""

    requests: int
    rows: int
    service: CpuTime
    load_generator: CpuTime
    voluntary_switches: int


@dataclass(frozen=True)
class RequestCost:
    """Averages per request.

    `user_seconds` and `system_seconds` are the service's CPU time beyond inference, `inference_seconds` that of bare
    ONNX Runtime for the same rows. The load generator is another process, and is in none of them.
    """

    beyond_inference_seconds: float
    user_seconds: float
    system_seconds: float
    inference_seconds: float
    voluntary_switches: float
    load_generator_seconds: float


def request_cost(spent: Spent, bare_per_row: CpuTime) -> RequestCost:
    """`bare_per_row`: CPU time of the bare run per row, measured just before and after. Raises ValueError if no request
    was answered.
    """
    if spent.requests <= 0:
        raise ValueError("no request was answered: the load is too short, or the service does not respond")
    beyond = (spent.service - bare_per_row * spent.rows) * (1 / spent.requests)
    return RequestCost(
        beyond_inference_seconds=beyond.seconds,
        user_seconds=beyond.user_seconds,
        system_seconds=beyond.system_seconds,
        inference_seconds=bare_per_row.seconds * spent.rows / spent.requests,
        voluntary_switches=spent.voluntary_switches / spent.requests,
        load_generator_seconds=spent.load_generator.seconds / spent.requests,
    )
