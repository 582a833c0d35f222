"""Connections that are closed to make room: by count, and by bytes."""

from __future__ import annotations

from dataclasses import dataclass

from harmgauge.server.connections import MAX_BUFFERS_BYTES, SMALL_BUFFER_BYTES, Connections


@dataclass(eq=False)
class Fake:
    """A connection that waits for its client, or does not."""

    waits_for_client: bool = True
    is_open: bool = True

    def give_up(self) -> None:
        self.is_open = False


def test_a_newcomer_takes_the_place_of_the_least_active_of_the_address_with_most() -> None:
    connections = Connections(5)
    lone = Fake()
    crowd = [Fake() for _ in range(4)]
    assert connections.add(lone, "10.0.0.1")
    assert all(connections.add(each, "10.0.0.2") for each in crowd)
    connections.active(crowd[0], "10.0.0.2")
    assert connections.add(Fake(), "10.0.0.3")
    assert [each.is_open for each in crowd] == [True, False, True, True]
    assert lone.is_open
    assert len(connections) == 5


def test_one_that_is_being_answered_stays_and_a_newcomer_is_refused_where_all_are() -> None:
    connections = Connections(2)
    busy, idle = Fake(waits_for_client=False), Fake()
    connections.add(busy, "10.0.0.1")
    connections.add(idle, "10.0.0.2")
    assert connections.add(Fake(waits_for_client=False), "10.0.0.3")
    assert (busy.is_open, idle.is_open) == (True, False)
    assert not connections.add(Fake(), "10.0.0.4")
    connections.remove(busy, "10.0.0.1")
    connections.remove(busy, "10.0.0.1")
    assert len(connections) == 1
    assert connections.add(Fake(), "10.0.0.4")


def test_the_largest_buffers_go_and_small_ones_are_not_counted() -> None:
    connections = Connections(100)
    small = [Fake() for _ in range(50)]
    for each in small:
        connections.buffer(each, SMALL_BUFFER_BYTES)
    assert connections.buffers_bytes == 0
    large, larger, newcomer = Fake(), Fake(), Fake()
    connections.buffer(large, MAX_BUFFERS_BYTES // 3)
    connections.buffer(larger, MAX_BUFFERS_BYTES // 2)
    connections.buffer(newcomer, MAX_BUFFERS_BYTES // 4)
    assert [each.is_open for each in (large, larger, newcomer)] == [True, False, True]
    assert connections.buffers_bytes == MAX_BUFFERS_BYTES // 3 + MAX_BUFFERS_BYTES // 4
    connections.buffer(newcomer, 0)
    connections.remove(large, "10.0.0.1")
    assert connections.buffers_bytes == 0
    connections.buffer(newcomer, 2 * MAX_BUFFERS_BYTES)
    assert not newcomer.is_open
    assert all(each.is_open for each in small)
