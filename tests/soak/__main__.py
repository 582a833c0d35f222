"""`python -m tests.soak`: an hour of mixed traffic with faults; no response may be lost, swapped or miscounted."""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tqdm import tqdm

from tests.soak import judge, report
from tests.soak.clients import Clients, targets
from tests.soak.faults import Disturber, Restarter
from tests.soak.heartbeat import Heartbeat
from tests.soak.journal import AccessLog, read
from tests.soak.pace import Pace
from tests.soak.sampling import Sampler, look
from tests.soak.stage import Stage, quiet_port
from tests.support.process import RunningService, fresh_service, grpc_port, wait_until

log = logging.getLogger("soak")

REST_SECONDS = 6.0


def soak(asked: argparse.Namespace, stage: Stage, journal: AccessLog) -> None:
    """Run everything from the first start to the last stop."""
    pace = Pace(asked.minutes)
    port = quiet_port()
    restarter = Restarter(stage, port, journal, pace)
    with fresh_service(stage.current, **stage.settings("steady", grpc_port=0)) as steady:
        processes: list[Clients] = []
        threads: list[Any] = []
        try:
            restarter.start()
            restarter.serves.wait()
            everybody = targets(stage, steady.port, grpc_port(steady), port, asked.rate, asked.restarted_rate)
            processes += [Clients(each, journal) for each in everybody]
            for each in processes:
                wait_until(lambda each=each: each.said, timeout_seconds=120)

            def tell(**command: Any) -> None:
                for each in processes:
                    each.tell(**command)
                if "key" in command:
                    wait_until(lambda: all(each.key == command["key"] for each in processes), timeout_seconds=120)

            disturber = Disturber(steady, stage, journal, pace, tell, shadows=asked.shadow)
            sampler = Sampler(
                steady,
                journal,
                lambda: restarter.process,
                lambda: {str(number): each.said for number, each in enumerate(processes)},
            )
            threads += [disturber, sampler, Heartbeat(journal)]
            for thread in threads:
                thread.start()
            run_on(asked, processes)
            for thread in (*threads, restarter):
                thread.stop.set()
            for thread in threads:
                thread.join()
            for each in processes:
                each.stop()
            close(steady, journal)
        finally:
            for thread in threads:
                thread.stop.set()
            restarter.stop.set()
            restarter.drained.set()
            for each in processes:
                each.end()
            restarter.join()
    for line in steady.log:
        if "Traceback" in line or " ERROR " in line:
            journal.note("failure", what=f"steady service's log: {line.strip()}")


def run_on(asked: argparse.Namespace, processes: list[Clients]) -> None:
    """Run until the time is over and the requests are answered, or the longest wait has passed."""
    begin = time.monotonic()
    told = 0.0
    with tqdm(total=asked.requests, desc="soak", unit=" requests", disable=None, smoothing=0) as bar:
        while True:
            time.sleep(0.5)
            said = [service for each in processes for service in each.said.values()]
            single = sum(service["single"] for service in said)
            minutes = (time.monotonic() - begin) / 60
            bar.update(single - bar.n)
            if bar.disable and minutes >= told + 1:  # no terminal: one line per minute
                told = minutes
                wrong = sum(service["wrong"] for service in said)
                log.info("%.0f minutes: %s requests, %d wrong", minutes, f"{single:,}", wrong)
            enough = minutes >= asked.minutes and single >= asked.requests
            if enough or minutes >= (asked.most_minutes or 1.5 * asked.minutes):
                return


def close(steady: RunningService, journal: AccessLog) -> None:
    """Compare the counters with what clients saw, measure the memory at rest, and stop the steady service."""
    seen = judge.ledgers(read(journal.path))["steady"]
    metrics = steady.metrics()
    counters = {name: metrics[name] for name in metrics if name.endswith("_total")}
    journal.note("counters", untrue=judge.untrue_counters(seen, metrics), counters=counters)
    time.sleep(REST_SECONDS)
    journal.note("rest", steady=look(steady.process.pid))
    begin = time.monotonic()
    steady.terminate()
    code = steady.wait(60)
    journal.note("drain", how="at rest", began=begin, seconds=time.monotonic() - begin, code=code)


def options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60, help="at least so long")
    parser.add_argument("--most-minutes", type=float, help="end then, answered or not; by default half as long again")
    parser.add_argument("--requests", type=int, default=10_000_000, help="single rows to be answered at least")
    parser.add_argument("--rate", type=float, default=3300, help="requests a second to the steady service, at most")
    parser.add_argument("--restarted-rate", type=float, default=500, help="requests a second to the restarted service")
    parser.add_argument("--shadow", action="store_true", help="load, promote and drop shadows as well")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="for the report; without it only the verdict")
    parser.add_argument("--journal", type=Path, help="the log, by default runs/soak/DATE.jsonl")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a further setting of both services, {name} in it telling them apart: --set capture_dir=/tmp/{name}",
    )
    parser.add_argument("--report-only", type=Path, metavar="JOURNAL", help="judge and report an earlier soak")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Returns 0 if every bar is met."""
    asked = options(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    path = asked.report_only or asked.journal or Path(f"runs/soak/{datetime.now(UTC):%Y-%m-%d-%H%M}.jsonl")
    if asked.report_only is None:
        journal = AccessLog(path)
        try:
            with tempfile.TemporaryDirectory(prefix="soak-") as folder:
                settings = dict(each.split("=", 1) for each in asked.set)
                stage = Stage(Path(folder), settings)
                journal.note(
                    "plan",
                    minutes=asked.minutes,
                    requests=asked.requests,
                    settings=settings,
                    command=" ".join(["python -m tests.soak", *(arguments or sys.argv[1:])]),
                    date=f"{datetime.now(UTC):%Y-%m-%d}",
                )
                soak(asked, stage, journal)
        finally:
            journal.close()
    events = read(path)
    bars = judge.judge(events)
    sys.stdout.write(report.table(bars) + "\n")
    if asked.out is not None:
        sys.stdout.write(f"written to {report.write(asked.out, events, bars)}\n")
    sys.stdout.write(f"the journal is {path}\n")
    return 0 if all(bar.good for bar in bars) else 1


if __name__ == "__main__":
    sys.exit(main())
