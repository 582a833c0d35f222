"""The accounting of a request's cost, on processes whose figures are known."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from tests.bench.accounting import RequestCost, Spent, request_cost
from tests.bench.point import Point, median
from tests.bench.proc import CpuTime, cpu_time, resident_mib, voluntary_switches
from tests.bench.system_calls import parse
from tests.bench.wakeups import WakeupCounter, Wakeups

TICKS = os.sysconf("SC_CLK_TCK")


def write_process(proc: Path, *, user_ticks: int, system_ticks: int, switches: dict[int, int]) -> None:
    """Write the files of process 7, whose command's name looks like the fields behind it, with these threads."""

    def stat(user: int, system: int, start: int) -> str:
        return f"7 (a) S 1 (x) R 1 7 7 0 -1 4194304 9 0 0 0 {user} {system} 3 4 20 0 2 0 {start} 999 50 0\n"

    folder = proc / "7"
    folder.mkdir(exist_ok=True)
    (folder / "stat").write_text(stat(user_ticks, system_ticks, 100))
    (folder / "status").write_text("Name:\ta\nVmHWM:\t 9999 kB\nVmRSS:\t  2560 kB\n")
    for thread, count in switches.items():
        task = folder / "task" / str(thread)
        task.mkdir(parents=True, exist_ok=True)
        (task / "stat").write_text(stat(1, 1, 100 + thread))
        (task / "status").write_text(f"voluntary_ctxt_switches:\t{count}\nnonvoluntary_ctxt_switches:\t77\n")


def test_a_process_is_read_from_its_files(tmp_path: Path) -> None:
    write_process(tmp_path, user_ticks=3 * TICKS, system_ticks=TICKS // 2, switches={7: 10, 8: 4})
    assert cpu_time(7, tmp_path) == CpuTime(3.0, 0.5)
    assert resident_mib(7, tmp_path) == 2.5
    assert voluntary_switches(7, tmp_path) == {(7, 107): 10, (8, 108): 4}


def test_a_request_costs_what_the_service_used_less_the_bare_run_of_its_rows(tmp_path: Path) -> None:
    write_process(tmp_path, user_ticks=100, system_ticks=10, switches={})
    before = cpu_time(7, tmp_path)
    write_process(tmp_path, user_ticks=100 + 2 * TICKS, system_ticks=10 + TICKS, switches={})
    spent = Spent(
        requests=1000,
        rows=1010,
        service=cpu_time(7, tmp_path) - before,
        load_generator=CpuTime(0.03, 0.07),
        voluntary_switches=2500,
    )
    cost = request_cost(spent, bare_per_row=CpuTime(1.5e-3, 0.1e-3))
    assert cost.user_seconds == pytest.approx((2 - 1010 * 1.5e-3) / 1000)
    assert cost.system_seconds == pytest.approx((1 - 1010 * 0.1e-3) / 1000)
    assert cost.beyond_inference_seconds == pytest.approx(cost.user_seconds + cost.system_seconds)
    assert cost.inference_seconds == pytest.approx(1.01 * 1.6e-3)
    assert (cost.beyond_inference_seconds + cost.inference_seconds) * 1000 == pytest.approx(3.0)
    assert cost.voluntary_switches == 2.5
    assert cost.load_generator_seconds == pytest.approx(1e-4)


def test_a_load_without_answers_is_an_error() -> None:
    with pytest.raises(ValueError, match="no request was answered"):
        request_cost(Spent(0, 0, CpuTime(), CpuTime(), 0), CpuTime(1e-3, 0))


def test_wakeups_include_threads_that_start_and_end_meanwhile() -> None:
    wakeups = Wakeups({(7, 1): 100, (8, 1): 50})
    wakeups.add({(7, 1): 110, (8, 1): 55, (9, 2): 3})
    wakeups.add({(7, 1): 120, (9, 3): 1})  # 8 has ended, and 9 is another thread with the same id
    assert wakeups.count == 20 + 5 + 3 + 1


def test_wakeups_of_a_real_process_are_counted() -> None:
    ping, pong = threading.Semaphore(0), threading.Semaphore(0)

    def answer() -> None:
        for _ in range(500):
            ping.acquire()
            pong.release()

    with WakeupCounter(os.getpid()) as counter:
        partner = threading.Thread(target=answer)
        partner.start()
        for _ in range(500):
            ping.release()
            pong.acquire()
        partner.join()
    assert counter.count >= 250


def test_the_median_is_that_of_each_figure() -> None:
    points = [
        Point(
            "1 row, raw", 4, rate, rate / 10, rate * 2, rate * 3, RequestCost(*[rate / share for share in range(1, 7)])
        )
        for rate in (5.0, 1.0, 3.0)
    ]
    assert median(points) == points[2]


def test_the_table_of_strace_is_read_with_and_without_errors() -> None:
    summary = (
        "% time     seconds  usecs/call     calls    errors syscall\n"
        "------ ----------- ----------- --------- --------- ----------------\n"
        " 60.00    0.000600           1       600       200 futex\n"
        " 40.00    0.000400           0       900           epoll_pwait2\n"
        "------ ----------- ----------- --------- --------- ----------------\n"
        "100.00    0.001000           0      1500       200 total\n"
    )
    assert parse(summary) == {"epoll_pwait2": 900, "futex": 600}
