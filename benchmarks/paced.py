"""A producer that publishes trades as they happen: at a rate, each stamped with its moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from confluent_kafka import KafkaError, Message, Producer
from workload import PARTITIONS, VENUES

from marketlake.contracts.events import Trade, encode

_TICK_S: Final = 0.005
_RETURN: Final = 1e-4


@dataclass
class Sent:
    """What was published and acknowledged, by partition in order of offset.

    Attributes
    ----------
    event_us : dict of int to list of int
        Event time of each message of a partition, which is when it was handed to the producer.
    partition_of : dict of str to int
        Partition of each instrument.
    """

    event_us: dict[int, list[int]] = field(
        default_factory=lambda: {partition: [] for partition in range(PARTITIONS)}
    )
    partition_of: dict[str, int] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Messages acknowledged."""
        return sum(map(len, self.event_us.values()))


class PacedProducer:
    """Publishes on a thread of its own.

    Parameters
    ----------
    names : sequence of str
        Instruments; each trades at every venue of ``VENUES``.
    phases : sequence of (float, float)
        Seconds and trades a second, one after the other.
    """

    def __init__(
        self,
        bootstrap: str,
        topic: str,
        names: Sequence[str],
        phases: Sequence[tuple[float, float]],
        seed: int,
    ) -> None:
        self.sent = Sent()
        self._topic, self._names, self._phases = topic, names, phases
        self._random = np.random.default_rng(seed)
        self._prices = 100 * np.exp(self._random.normal(size=len(names)))
        self._number = 0
        self._failure: KafkaError | None = None
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
                "linger.ms": 5,
            }
        )
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def join(self) -> Sent:
        """Wait until all is published and acknowledged."""
        self._thread.join()
        if self._failure is not None:
            raise SystemExit(f"{self._topic}: {self._failure.str()}")
        return self.sent

    def _run(self) -> None:
        for seconds, rate in self._phases:
            started, due = time.monotonic(), 0
            while (passed := time.monotonic() - started) < seconds:
                wanted = int(passed * rate)
                for _ in range(wanted - due):
                    self._publish()
                due = wanted
                self._producer.poll(0)
                time.sleep(_TICK_S)
        self._producer.flush()

    def _publish(self) -> None:
        k = int(self._random.integers(len(self._names)))
        move = float(self._random.normal(0, _RETURN))
        self._prices[k] *= 1 + move
        self._number += 1
        name = self._names[k]
        now_us = time.time_ns() // 1_000
        trade = Trade(
            VENUES[int(self._random.integers(len(VENUES)))],
            name,
            now_us,
            round(float(self._prices[k]), 6),
            round(float(self._random.exponential()) + 0.0001, 4),
            str(self._number),
            "buy" if move > 0 else "sell",
        )

        def acknowledged(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                self._failure = error
                return
            partition = message.partition()
            assert partition is not None
            self.sent.event_us[partition].append(now_us)
            self.sent.partition_of[name] = partition

        self._producer.produce(self._topic, encode(trade), name, on_delivery=acknowledged)
