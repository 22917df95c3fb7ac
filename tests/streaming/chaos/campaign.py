"""Kills, disturbances, and the comparison with a lake that was left alone.

What a kill hit is read from the lake after the death. It counts if the dead process was at work on
a batch and more messages were waiting; else another is made.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import duckdb

from marketlake.contracts.tables import BRONZE_EVENTS
from marketlake.lake.compare import Difference, lake_differences
from marketlake.lake.manifests import Manifests
from marketlake.lake.storage import Storage
from streaming.pipeline import PIPELINE
from streaming.state_compare import state_differences
from tests.processes import MARKETLAKE, Process
from tests.streaming.chaos.errors import CampaignError
from tests.streaming.chaos.lives import Life
from tests.streaming.chaos.market import Market
from tests.streaming.chaos.places import LakePlace, SourcePlace
from tests.streaming.deaths import Hit, LakeAtDeath, commits, files_of
from tests.streaming.lakes import COMPARED

OFFSETS: Final = 1_000
"""Messages a batch: small, so that commits are much of a batch's time."""

_BACKLOG: Final = 20 * OFFSETS
_BATCHES: Final = 2
_WORK_S: Final = 3.0
"""A kill at random comes after up to so many whole batches and so many seconds."""
_COMMITS: Final = 24
"""Commits, of up to three batches, after one of which an aimed kill comes."""
_LOOK_S: Final = 0.05


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
    disturbances: list[str] = field(default_factory=list)
    missed: int = 0
    messages: int = 0
    differences: list[Difference] = field(default_factory=list)
    reconciled: str = ""

    def hits(self) -> Counter[Hit]:
        """Count the kills by what they hit."""
        return Counter(kill.hit for kill in self.kills)


class Campaign:
    """Kills, lives and the comparison.

    Parameters
    ----------
    lake : LakePlace
        The lake whose writers are killed; it must not exist.
    scratch : Path
        Folder for the undisturbed lake and for what the processes say.
    plant : callable
        What is done to the lake before it is compared: nothing, unless the campaign shall fail.
    """

    def __init__(
        self,
        source: SourcePlace,
        lake: LakePlace,
        scratch: Path,
        seed: int,
        say: Callable[[str], None],
        plant: Callable[[str], None] = lambda _lake: None,
    ) -> None:
        self.undisturbed = str(scratch / "undisturbed")
        self._source, self._place = source, lake
        self._lake = lake.uri
        self._log = scratch / "stream.log"
        self._say, self._plant = say, plant
        self._random = random.Random(seed)
        self._seed = seed
        self._publisher = source.publisher()
        self._report = Report()

    def run(self, kills: int, between: int, disturbances: int = 0) -> Report:
        """Make so many kills, at least ``between`` of them between two table commits."""
        report = self._report
        market = Market(self._publisher, self._seed, 600 + 120 * kills)
        market.publish(_BACKLOG)
        while self._wanted(kills, between, disturbances):
            left, missing = kills - len(report.kills), between - report.hits()[Hit.BETWEEN]
            disturbed = len(report.disturbances) < disturbances and (
                self._random.random() < 2 * disturbances / kills or left <= 1
            )
            aimed = missing >= left or self._random.random() < 0.5
            kill = self._kill(market, aimed=aimed, disturbed=disturbed)
            if kill is None:
                report.missed += 1
            else:
                report.kills.append(kill)
                self._say(f"kill {len(report.kills)}: {_line(kill)}")
            if report.missed + len(report.kills) > 3 * kills + 5:
                raise CampaignError(f"{report.missed} kills hit no batch; this machine is too busy")
            market.publish(max(0, _BACKLOG - self._waiting(market)))
        self._publisher.close()
        faulty = {**self._source.environment, **self._place.environment}
        self._finish(self._lake, 10 * OFFSETS, faulty)
        self._finish(self.undisturbed, 50 * OFFSETS, dict(self._source.quiet))
        report.messages = market.published
        self._compare()
        return report

    def _wanted(self, kills: int, between: int, disturbances: int) -> bool:
        report = self._report
        return (
            len(report.kills) < kills
            or report.hits()[Hit.BETWEEN] < between
            or len(report.disturbances) < disturbances
        )

    def _compare(self) -> None:
        report = self._report
        self._plant(self._lake)
        report.differences = differences(self.undisturbed, self._lake)
        done = Process(MARKETLAKE, "reconcile", "--lake", self._lake, environment=self._place.quiet)
        if done.wait() != 0:
            report.reconciled = (done.out + done.err).strip().rpartition("\n")[2]

    def _kill(self, market: Market, *, aimed: bool, disturbed: bool) -> Kill | None:
        """Start a stream, disturb what it needs, kill it, and look what it was at."""
        before = files_of(self._lake)
        faulty = {**self._source.environment, **self._place.environment}
        life = Life(self._source.uri, self._lake, OFFSETS, faulty, self._log)
        try:
            if disturbed:
                self._disturb(life, before)
            if aimed:
                self._await_commits(life)
            else:
                self._await_work(life, before)
            life.kill()
        finally:
            life.bury()
        found = LakeAtDeath(self._lake, before)
        hit, waiting = found.hit(), self._waiting(market)
        if hit is None or not waiting:
            return None
        done = found.last.sequence if found.last else -1
        if hit is Hit.FOLDING:
            return Kill(hit, done + 1, 0, 0, waiting)
        return Kill(hit, done, found.committed, len(found.tables), waiting)

    def _disturb(self, life: Life, before: set[str]) -> None:
        """Disturb the source at some point, and see that the stream goes on."""
        self._await_work(life, before)
        done = self._source.disturb()
        self._report.disturbances.append(done)
        self._say(f"disturbance {len(self._report.disturbances)}: {done}")
        decided = len(self._manifests())
        life.until(lambda: self._looked(lambda: len(self._manifests()) > decided))

    def _manifests(self) -> list[int]:
        return Manifests(Storage(self._lake), PIPELINE).sequences()

    def _looked(self, happened: Callable[[], bool]) -> bool:
        time.sleep(_LOOK_S)
        return happened()

    def _await_commits(self, life: Life) -> None:
        """Wait until the process has made a random number of commits."""
        wanted = commits(self._lake) + self._random.randint(1, _COMMITS)
        life.until(lambda: commits(self._lake) >= wanted)

    def _await_work(self, life: Life, before: set[str]) -> None:
        """Wait until the process has written something, then for some batches and seconds."""
        wanted = len(self._manifests()) + self._random.randint(0, _BATCHES)

        def at_work() -> bool:
            written = any(not name.endswith(".lease") for name in files_of(self._lake) - before)
            return written and len(self._manifests()) >= wanted

        life.until(lambda: self._looked(at_work))
        time.sleep(self._random.uniform(0, _WORK_S))

    def _finish(self, lake: str, offsets: int, environment: dict[str, str]) -> None:
        """Let a stream drain the topics into a lake."""
        life = Life(self._source.uri, lake, offsets, environment, self._log, "--until-idle")
        try:
            life.finish()
        finally:
            life.bury()

    def _waiting(self, market: Market) -> int:
        """Messages that no decided batch of the killed lake has."""
        manifests = Manifests(Storage(self._lake), PIPELINE)
        last = manifests.last()
        taken = sum(max(i.next_offset, 0) for i in last.inputs.values()) if last else 0
        return market.published - taken


def differences(undisturbed: str, lake: str) -> list[Difference]:
    """Compare two lakes, tables and state, bit for bit."""
    found: list[Difference] = []
    for table in (BRONZE_EVENTS, *COMPARED):
        try:
            found += lake_differences(undisturbed, lake, (table,))
        except duckdb.Error as error:
            found.append(Difference(table.path.replace("/", "."), "cannot be read", str(error)))
    return [*found, *state_differences(undisturbed, lake)]


def _line(kill: Kill) -> str:
    tables = f" ({kill.committed} of {kill.tables})" if kill.tables else ""
    return f"batch {kill.batch}, {kill.hit}{tables}; {kill.waiting:,} messages waiting"
