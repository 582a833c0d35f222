"""The disturbances of the services while they work: swaps, key changes, signals."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

from harmgauge.auth.keys import LOOK_SECONDS
from tests.soak.asking import message
from tests.soak.journal import AccessLog
from tests.soak.limits import DRAIN_SECONDS
from tests.soak.pace import Pace
from tests.soak.stage import Stage
from tests.support.process import RunningService, running_service, wait_until

EXIT_SECONDS = DRAIN_SECONDS + 30
KILL_EVERY = 7
SLOW_CLIENT_EVERY = 3


class Disturber(threading.Thread):
    """Applies all disturbances except a restart to the steady service; `tell` sends a command to its clients."""

    def __init__(
        self,
        service: RunningService,
        stage: Stage,
        journal: AccessLog,
        pace: Pace,
        tell: Callable[..., None],
        *,
        shadows: bool,
    ) -> None:
        super().__init__(name="disturber")
        self._service = service
        self._stage = stage
        self._journal = journal
        self._tell = tell
        self._pace = pace
        self._serves = 0
        self._work = [(pace.swap, self._swap), (pace.hang_up, self._hang_up), (pace.keys, self._rotate)]
        if shadows:
            self._work.append((pace.shadow, self._shadow))
        self._shadow_steps = cycle(("load", "promote", "load", "drop"))
        self.stop = threading.Event()

    def run(self) -> None:
        begin = time.monotonic()
        due = [begin + seconds for seconds, _ in self._work]
        phase = ""
        while not self.stop.wait(0.1):
            if (now := self._pace.phase(time.monotonic() - begin)) != phase:
                phase = now
                self._journal.note("phase", name=phase)
                self._tell(light=phase == "light")
            for index, (seconds, work) in enumerate(self._work):
                if time.monotonic() >= due[index] and (phase == "storm" or work == self._rotate):
                    try:
                        work()
                    except Exception as error:
                        self._journal.note("failure", what=f"{work.__name__}: {error!r}")
                    due[index] = time.monotonic() + seconds

    def _other(self) -> Path:
        self._serves = 1 - self._serves
        return self._stage.bundles[self._serves]

    def _swap(self) -> None:
        folder = self._other()
        answer = self._service.client.post("/admin/bundle", json={"folder": str(folder.resolve())})
        self._journal.note("swap", status=answer.status_code, seconds=answer.json().get("seconds"))
        if answer.status_code not in (200, 409):
            self._journal.note("failure", what=f"swap: {answer.status_code} {answer.text}")

    def _hang_up(self) -> None:
        self._stage.point_to(self._other())
        os.kill(self._service.process.pid, signal.SIGHUP)
        self._journal.note("sighup")

    def _shadow(self) -> None:
        step = next(self._shadow_steps)
        client = self._service.client
        if step == "load":
            answer = client.post("/admin/shadow", json={"folder": str(self._other().resolve())})
        elif step == "promote":
            answer = client.post("/admin/shadow/promote")
        else:
            answer = client.delete("/admin/shadow")
        self._journal.note("shadow", step=step, status=answer.status_code)

    def _times_read(self) -> int:
        return self._service.said("are in force")

    def _rotate(self) -> None:
        """Add a new key, move all clients to it, and remove the old one."""
        before = self._times_read()
        key = self._stage.let_in_another_key()
        wait_until(lambda: self._times_read() > before, timeout_seconds=10 * LOOK_SECONDS)
        time.sleep(2 * LOOK_SECONDS)  # for the other service, which reloads its keys at other times
        self._tell(key=key)
        time.sleep(2)
        self._stage.lock_the_old_key_out()
        self._journal.note("keys")


class Restarter(threading.Thread):
    """Runs the other service, and stops and restarts it repeatedly under load."""

    def __init__(self, stage: Stage, port: int, journal: AccessLog, pace: Pace) -> None:
        super().__init__(name="restarter")
        self._stage = stage
        self._port = port
        self._journal = journal
        self._seconds = pace.restart
        self.stop = threading.Event()
        self.serves = threading.Event()
        self.process: int | None = None
        self.drained = threading.Event()
        """Set when the clients are gone: the last process may end."""

    def run(self) -> None:
        number = 0
        while not self.stop.is_set():
            number += 1
            try:
                self._generation(number)
            except Exception as error:
                self._journal.note("failure", what=f"restarted service: {error!r}")

    def _generation(self, number: int) -> None:
        settings = self._stage.settings("restarted", port=self._port)
        with running_service(self._stage.bundles[number % 2], **settings) as service:
            self.process = service.process.pid
            self._journal.note("start", number=number)
            self.serves.set()
            if self.stop.wait(self._seconds):
                self.drained.wait()
                self._end(service, "at rest")
            elif number % KILL_EVERY == 0:
                self._journal.note("kill")
                service.process.kill()
                service.wait()
            elif number % SLOW_CLIENT_EVERY == 0:
                with socket.create_connection(("127.0.0.1", self._port)) as slow:
                    slow.sendall(message("/score", bytes(12), Authorization=f"Bearer {self._stage.key}")[:-3])
                    time.sleep(0.2)
                    self._end(service, "slow client")
            else:
                self._end(service, "load")
            self.process = None
        for line in service.log:
            if "Traceback" in line or (" ERROR " in line and "timeout graceful shutdown exceeded" not in line):
                self._journal.note("failure", what=f"restarted service's log: {line.strip()}")

    def _end(self, service: RunningService, how: str) -> None:
        begin = time.monotonic()
        service.terminate()
        code = service.wait(EXIT_SECONDS)
        self._journal.note("drain", how=how, began=begin, seconds=time.monotonic() - begin, code=code)
