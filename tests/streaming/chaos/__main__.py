"""``python -m tests.streaming.chaos --seed S --kills N --lake URI`` (``scripts/chaos``).

Exit 1 on any difference between the lake and the one that was left alone.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from marketlake.feeds.publish import PublishError
from marketlake.lake.errors import LakeError
from marketlake.lake.storage import Storage
from marketlake.local.broker import EmbeddedBroker
from marketlake.local.errors import LocalError
from tests.s3_servers import NO_AWS
from tests.streaming.chaos.campaign import Campaign, Report
from tests.streaming.chaos.errors import CampaignError
from tests.streaming.chaos.places import KafkaPlace, SourcePlace, kinesis_place, lake_place
from tests.streaming.chaos.plants import PLANTS

_LAKE: Final = (
    "lake to fill, which must not exist: a folder, or s3a://BUCKET/PREFIX on an S3 of its own "
    "that fails (moto behind a proxy)"
)
_SOURCE: Final = (
    "a broker of its own, or a Kinesis of its own (kinesalite) that throttles and breaks"
)
_DISTURBANCES: Final = "how often the broker is killed, or shards split or merge, in mid-run"
_PLANT: Final = "a fault to plant in the lake at the end: the campaign must then fail"


def main() -> int:
    """Run a campaign; give the exit status."""
    options = _options()
    os.environ |= NO_AWS
    print(f"seed {options.seed}", flush=True)
    scratch = Path(tempfile.mkdtemp(prefix="marketlake-chaos-"))
    try:
        with (
            lake_place(options.lake, options.seed, options.s3_faults) as lake,
            _source(options.source, options.seed, scratch) as source,
        ):
            if Storage(options.lake).exists(""):
                raise CampaignError(f"{options.lake} exists; name another lake")
            plant = PLANTS[options.plant]
            say = partial(print, flush=True)
            campaign = Campaign(source, lake, scratch, options.seed, say, plant)
            report = campaign.run(options.kills, options.kills // 4, options.disturbances)
    except (CampaignError, LakeError, LocalError, PublishError) as error:
        print(f"chaos: {error} (what was said: {scratch})", file=sys.stderr)
        return 1
    if not _told(report):
        return 1
    shutil.rmtree(scratch)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/chaos", description="Kill a stream and what it needs; its lake must not show."
    )
    add = parser.add_argument
    add("--seed", type=int, default=1, help="market, and when what befalls the stream")
    add("--kills", type=int, default=20, help="kills of the driver that hit a batch at work")
    add("--lake", required=True, help=_LAKE)
    add("--source", choices=("kafka", "kinesis"), default="kafka", help=_SOURCE)
    add("--disturbances", type=int, default=0, help=_DISTURBANCES)
    add("--s3-faults", type=float, default=0.05, help="part of the S3 requests that fail or wait")
    add("--plant", choices=tuple(PLANTS), default="nothing", help=_PLANT)
    return parser.parse_args()


@contextmanager
def _source(name: str, seed: int, scratch: Path) -> Iterator[SourcePlace]:
    if name == "kafka":
        with EmbeddedBroker() as broker:
            yield KafkaPlace(broker, random.Random(seed))
    else:
        with kinesis_place(seed, scratch) as place:
            yield place


def _told(report: Report) -> bool:
    """Say what was seen; tell whether the lake is as it should be."""
    hits = ", ".join(f"{count} {hit}" for hit, count in report.hits().items())
    print(
        f"{len(report.kills)} kills ({hits}), {report.missed} more hit no batch; "
        f"{len(report.disturbances)} disturbances"
    )
    for difference in report.differences:
        print(f"{difference.table}: {difference.problem}: {difference.row[:300]}")
    if report.reconciled:
        print(f"reconcile: {report.reconciled}")
    if report.differences or report.reconciled:
        return False
    print(
        f"identical to the undisturbed run over the same {report.messages:,} messages; reconciled"
    )
    return True


if __name__ == "__main__":
    sys.exit(main())
