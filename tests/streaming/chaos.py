"""The fault campaign: a stream is killed again and again, and its lake must not show it.

``python -m tests.streaming.chaos --seed S --kills N --lake URI`` (``scripts/chaos``); exit 1 on any
difference. A simulated market is published to a broker of its own, and ``marketlake stream``
processes that read it get SIGKILL while they take batches. The last one may finish; another lake
is filled undisturbed from the same topics, and the two are compared bit for bit.

What a kill hit is read from the lake after the death. It counts if the dead process was at work on
a batch and more messages were waiting; else another is made.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Final

from marketlake.contracts.events import EventType
from marketlake.contracts.tables import BRONZE_EVENTS
from marketlake.feeds.kafka_publisher import KafkaPublisher
from marketlake.feeds.publish import Publisher, PublishError
from marketlake.feeds.simulator.market import simulate
from marketlake.feeds.simulator.wire_corruption import fuzz_messages
from marketlake.lake.compare import Difference, lake_differences
from marketlake.lake.errors import LakeError
from marketlake.lake.manifests import Manifests
from marketlake.lake.storage import Storage
from marketlake.local.broker import EmbeddedBroker
from marketlake.local.errors import LocalError
from streaming.pipeline import PIPELINE
from streaming.sources.kafka import KafkaSource
from streaming.state_compare import state_differences
from tests.streaming.deaths import Hit, LakeAtDeath, commits, files_of
from tests.streaming.lakes import COMPARED, faulty_market

OFFSETS: Final = 1_000
"""Messages a batch: small, so that commits are much of a batch's time."""

_BACKLOG: Final = 20 * OFFSETS
_BATCHES: Final = 2
_WORK_S: Final = 3.0
"""A kill at random comes after up to so many whole batches and so many seconds."""
_COMMITS: Final = 24
"""Commits, of up to three batches, after one of which an aimed kill comes."""
_LIFE_S: Final = 300.0
_POLL_S: Final = 0.001
_LOOK_S: Final = 0.05
_TYPES: Final[tuple[EventType, ...]] = ("trade", "quote", "book", "bar")


class CampaignError(Exception):
    """The campaign could not be done as asked."""


@dataclass(frozen=True)
class Kill:
    """One kill that counts: the batch it hit, and tables that had the batch of those to get it."""

    hit: Hit
    batch: int
    committed: int
    tables: int
    waiting: int


@dataclass
class Report:
    """What a campaign did."""

    kills: list[Kill] = field(default_factory=list)
    missed: int = 0
    messages: int = 0
    differences: list[Difference] = field(default_factory=list)

    def hits(self) -> Counter[Hit]:
        """Count the kills by what they hit."""
        return Counter(kill.hit for kill in self.kills)


class Market:
    """A simulated market with faults of delivery and junk, published piece by piece."""

    def __init__(self, publisher: Publisher, seed: int, duration_s: int) -> None:
        self.published = 0
        self._publisher = publisher
        self._messages = _messages(seed, duration_s)

    def publish(self, count: int) -> None:
        """Publish the next messages."""
        sent = 0
        for event_type, key, value in islice(self._messages, count):
            self._publisher.publish(event_type, key, value, 0)
            sent += 1
        self._publisher.flush()
        self.published += sent
        if sent < count:
            raise CampaignError(f"the market ended after {self.published} messages; kill less")


def _messages(seed: int, duration_s: int) -> Iterator[tuple[EventType, bytes, bytes]]:
    junk = cycle(fuzz_messages(seed, 400))
    for n, message in enumerate(simulate(faulty_market(seed, duration_s)).messages()):
        yield message
        if n % 100 == 99:
            yield _TYPES[n // 100 % 4], b"junk", next(junk)


class Campaign:
    """Kills, lives and the comparison, over one broker.

    Parameters
    ----------
    lake : str
        The lake whose writers are killed; it must not exist.
    scratch : Path
        Folder for the undisturbed lake and for what the processes say.
    """

    def __init__(
        self, bootstrap: str, lake: str, scratch: Path, seed: int, say: Callable[[str], None]
    ) -> None:
        prefix = f"chaos-{seed}-{os.getpid()}"
        self.undisturbed = str(scratch / "undisturbed")
        self._lake = lake
        self._log = scratch / "stream.log"
        self._say = say
        self._random = random.Random(seed)
        self._seed = seed
        self._source = KafkaSource(bootstrap, prefix)
        self._publisher = KafkaPublisher(bootstrap, prefix, partitions=3)

    def run(self, kills: int, between: int) -> Report:
        """Make so many kills, at least ``between`` of them between two table commits."""
        report = Report()
        market = Market(self._publisher, self._seed, 600 + 120 * kills)
        market.publish(_BACKLOG)
        while (left := kills - len(report.kills)) > 0 or report.hits()[Hit.BETWEEN] < between:
            wanted = between - report.hits()[Hit.BETWEEN]
            kill = self._kill(aimed=wanted >= left or self._random.random() < 0.5)
            if kill is None:
                report.missed += 1
            else:
                report.kills.append(kill)
                self._say(f"kill {len(report.kills)}: {_line(kill)}")
            if report.missed + len(report.kills) > 3 * kills + 5:
                raise CampaignError(f"{report.missed} kills hit no batch; this machine is too busy")
            market.publish(max(0, _BACKLOG - self._waiting()))
        self._finish(self._lake, 10 * OFFSETS)
        self._finish(self.undisturbed, 50 * OFFSETS)
        report.messages = market.published
        report.differences = lake_differences(
            self.undisturbed, self._lake, (BRONZE_EVENTS, *COMPARED)
        )
        report.differences += state_differences(self.undisturbed, self._lake)
        return report

    def _kill(self, *, aimed: bool) -> Kill | None:
        """Start a stream, kill it, and look what it was at."""
        before = files_of(self._lake)
        process = self._start(self._lake, OFFSETS)
        try:
            if aimed:
                self._await_commits(process)
            else:
                self._await_work(process, before)
            process.kill()
            if process.wait() != -signal.SIGKILL:
                raise CampaignError(f"a stream ended by itself: {self._last_line()}")
        finally:
            _bury(process)
        found = LakeAtDeath(self._lake, before)
        hit, waiting = found.hit(), self._waiting()
        if hit is None or not waiting:
            return None
        done = found.last.sequence if found.last else -1
        if hit is Hit.FOLDING:
            return Kill(hit, done + 1, 0, 0, waiting)
        return Kill(hit, done, found.committed, len(found.tables), waiting)

    def _await_commits(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until the process has made a random number of commits."""
        wanted = commits(self._lake) + self._random.randint(1, _COMMITS)
        self._await(process, lambda: commits(self._lake) >= wanted)

    def _await_work(self, process: subprocess.Popen[bytes], before: set[str]) -> None:
        """Wait until the process has written something, then for some batches and seconds."""
        manifests = Manifests(Storage(self._lake), PIPELINE)
        wanted = len(manifests.sequences()) + self._random.randint(0, _BATCHES)

        def at_work() -> bool:
            time.sleep(_LOOK_S)
            written = any(not name.endswith(".lease") for name in files_of(self._lake) - before)
            return written and len(manifests.sequences()) >= wanted

        self._await(process, at_work)
        time.sleep(self._random.uniform(0, _WORK_S))

    def _await(self, process: subprocess.Popen[bytes], happened: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _LIFE_S
        while not happened():
            if process.poll() is not None:
                raise CampaignError(f"a stream ended by itself: {self._last_line()}")
            if time.monotonic() > deadline:
                raise CampaignError(f"a stream did nothing in {_LIFE_S:.0f} s")
            time.sleep(_POLL_S)

    def _start(self, lake: str, offsets: int, *more: str) -> subprocess.Popen[bytes]:
        uri = f"kafka:{self._source.bootstrap}/{self._source.prefix}"
        command = [sys.executable, "-m", "spark_jobs.cli", "stream", "--source", uri]
        command += ["--lake", lake, "--max-offsets", str(offsets), *more]
        # An hour: nothing goes idle, which the undisturbed run could not repeat.
        settings = {"MARKETLAKE_STREAM__TRIGGER_MS": "0", "MARKETLAKE_STREAM__IDLE_MS": "3600000"}
        with self._log.open("ab") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | settings,
                start_new_session=True,
            )

    def _finish(self, lake: str, offsets: int) -> None:
        """Let a stream drain the topics into a lake."""
        process = self._start(lake, offsets, "--until-idle")
        try:
            if process.wait() != 0:
                raise CampaignError(f"a stream failed: {self._last_line()}")
        finally:
            _bury(process)

    def _waiting(self) -> int:
        """Messages that no decided batch of the killed lake has."""
        _, inputs = self._source.look()
        ends = self._source.end_offsets(inputs)
        last = Manifests(Storage(self._lake), PIPELINE).last()
        taken = {n: max(i.next_offset, 0) for n, i in last.inputs.items()} if last else {}
        return sum(end - taken.get(name, 0) for name, end in ends.items())

    def _last_line(self) -> str:
        return self._log.read_text(errors="replace").strip().rpartition("\n")[2]


def _bury(process: subprocess.Popen[bytes]) -> None:
    """Kill a driver, and wait until what it leaves behind, JVM and workers, has ended too."""
    process.kill()
    process.wait()
    deadline = time.monotonic() + 10
    with contextlib.suppress(ProcessLookupError):
        while time.monotonic() < deadline:
            os.killpg(process.pid, 0)
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)


def _line(kill: Kill) -> str:
    tables = f" ({kill.committed} of {kill.tables})" if kill.tables else ""
    return f"batch {kill.batch}, {kill.hit}{tables}; {kill.waiting:,} messages waiting"


def main() -> int:
    """Run a campaign; give the exit status."""
    parser = argparse.ArgumentParser(description="Kill a stream; its lake must not show it.")
    parser.add_argument("--seed", type=int, default=1, help="market, and when kills come")
    parser.add_argument("--kills", type=int, default=20, help="kills that hit a batch at work")
    parser.add_argument("--lake", required=True, help="lake to fill; it must not exist")
    options = parser.parse_args()
    if Path(options.lake).exists():
        print(f"chaos: {options.lake} exists; name another folder", file=sys.stderr)
        return 1
    say = partial(print, flush=True)
    scratch = Path(tempfile.mkdtemp(prefix="marketlake-chaos-"))
    try:
        with EmbeddedBroker() as broker:
            campaign = Campaign(broker.bootstrap, options.lake, scratch, options.seed, say)
            report = campaign.run(options.kills, between=options.kills // 4)
    except (CampaignError, LakeError, LocalError, PublishError) as error:
        print(f"chaos: {error} (what was said: {scratch})", file=sys.stderr)
        return 1
    hits = ", ".join(f"{count} {hit}" for hit, count in report.hits().items())
    say(f"{len(report.kills)} kills ({hits}), {report.missed} more hit no batch")
    for difference in report.differences:
        say(f"{difference.table}: {difference.problem}: {difference.row[:300]}")
    if report.differences:
        return 1
    say(f"identical to the undisturbed run over the same {report.messages:,} messages")
    shutil.rmtree(scratch)
    return 0


if __name__ == "__main__":
    sys.exit(main())
