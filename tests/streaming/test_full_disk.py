"""A disk that is full in the midst of a batch: one clear line, and nothing lost."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from marketlake.local.broker import EmbeddedBroker
from spark_jobs.reconcile_command import reconcile

from .lakes import assert_same, assert_same_state, fill, market_messages, publish, settings_with

pytestmark = [pytest.mark.spark, pytest.mark.broker, pytest.mark.slow]

_OFFSETS = 1_000
_NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount"]
_PARTS = (0.4, 0.8)
"""Parts of the room that the whole lake needs, one after the other; then there is enough."""

# A file system of its own that only this script and its children see; it ends with them.
_SCRIPT = """
set -eu
place=$1 kept=$2; shift 2
mount -t tmpfs -o size=1m none "$place"
for room_bytes in $ROOMS; do
  mount -o "remount,size=$room_bytes" "$place"
  status=0
  "$@" --lake "$place/lake" > "$kept/out" 2> "$kept/err-$room_bytes" || status=$?
  echo "$room_bytes $status"
done
cp -a "$place/lake" "$kept/lake"
"""


def _may_mount() -> bool:
    try:
        tried = [*_NAMESPACE, "mount", "-t", "tmpfs", "none", "/mnt"]
        return subprocess.run(tried, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not _may_mount(), reason="a file system of one's own needs user namespaces")
@pytest.mark.timeout(600)
def test_a_stream_goes_on_when_a_full_disk_has_room_again(
    spark: SparkSession, broker: EmbeddedBroker, tmp_path: Path
):
    source = publish(broker, market_messages(seed=8, seconds=20, fuzz=20))
    undisturbed = tmp_path / "undisturbed"
    fill(spark, source, undisturbed, settings_with(max_offsets_per_batch=_OFFSETS))
    needed_bytes = sum(f.stat().st_blocks * 512 for f in undisturbed.rglob("*"))
    rooms = [int(part * needed_bytes) for part in _PARTS] + [20 * needed_bytes]

    place = tmp_path / "place"
    place.mkdir()
    stream = [sys.executable, "-m", "spark_jobs.cli", "stream", "--source", source]
    stream += ["--max-offsets", str(_OFFSETS), "--until-idle"]
    done = subprocess.run(
        [*_NAMESPACE, "bash", "-c", _SCRIPT, "-", str(place), str(tmp_path), *stream],
        env={**os.environ, "ROOMS": " ".join(map(str, rooms))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    ends = [tuple(map(int, line.split())) for line in done.stdout.splitlines()]
    assert ends == [*((room, 1) for room in rooms[:-1]), (rooms[-1], 0)]
    for room in rooms[:-1]:
        said = (tmp_path / f"err-{room}").read_text()
        [told] = [line for line in said.splitlines() if line.startswith("stream: ")]
        assert re.search("No space left on device|disk", told), told
    lake = tmp_path / "lake"
    assert_same(undisturbed, lake)
    assert_same_state(undisturbed, lake)
    assert reconcile(str(lake), settings_with()) == []
