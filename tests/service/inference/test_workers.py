"""The queue of batches: their order, who gets them, and that none is lost."""

from __future__ import annotations

import random
import threading
import time

from harmgauge.inference.batch import Batch
from harmgauge.inference.workers import Jobs
from tests.support.process import wait_until


def batches(count: int) -> list[Batch]:
    return [Batch([]) for _ in range(count)]


def test_batches_that_wait_leave_in_their_order() -> None:
    jobs, made = Jobs(2), batches(5)
    for batch in made:
        jobs.put(batch)
    assert [jobs.get(number % 2) for number in range(5)] == made


def test_the_last_worker_to_wait_gets_the_next_batch() -> None:
    jobs, got = Jobs(3), list[tuple[int, Batch | None]]()
    waiting = [
        threading.Thread(target=lambda number=number: got.append((number, jobs.get(number)))) for number in range(3)
    ]
    for number, thread in enumerate(waiting):
        thread.start()
        wait_until(lambda number=number: len(jobs._idle) == number + 1)
    made = batches(2)
    for number, batch in enumerate(made, 1):
        jobs.put(batch)
        wait_until(lambda number=number: len(got) == number)
    jobs.put(None)
    for thread in waiting:
        thread.join()
    assert got == [(2, made[0]), (1, made[1]), (0, None)]


def test_no_batch_is_lost_or_handed_out_twice() -> None:
    workers, made = 4, batches(3000)
    jobs, got = Jobs(workers), list[Batch]()

    def work(number: int) -> None:
        while (batch := jobs.get(number)) is not None:
            got.append(batch)
            if batch is made[0] or random.random() < 0.05:
                time.sleep(0.001)

    threads = [threading.Thread(target=work, args=[number]) for number in range(workers)]
    for thread in threads:
        thread.start()
    for number, batch in enumerate(made):
        jobs.put(batch)
        if number % 100 == 0:
            time.sleep(0.002)  # all of them wait
    for _ in range(workers):
        jobs.put(None)
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    assert len(got) == len(set(map(id, got))) == len(made)


def test_a_batch_wakes_one_worker() -> None:
    jobs, woken = Jobs(2), list[int]()
    locks = jobs._wake

    def work(number: int) -> None:
        jobs.get(number)
        woken.append(number)

    for number in range(2):
        threading.Thread(target=work, args=[number]).start()
        wait_until(lambda number=number: len(jobs._idle) == number + 1)
    jobs.put(batches(1)[0])
    wait_until(lambda: woken == [1])
    time.sleep(0.05)
    assert woken == [1]
    assert locks[0].locked(), "the other still waits"
    jobs.put(None)
    wait_until(lambda: woken == [1, 0])
