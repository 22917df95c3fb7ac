"""The recorded depeg through Kafka and through Kinesis: all clean and computed rows are the same.

``python -m tests.streaming.depeg_by_both FOLDER``; exit 1 on a difference. Minutes, most of them
publishing: events of a key wait for each other, and bars of a minute are one round of few keys. The
tests do the same with the books of LINK.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from marketlake.feeds.kinesis_publisher import KinesisPublisher
from marketlake.feeds.recorded.catalog import open_recording
from marketlake.feeds.replay import replay
from marketlake.lake.storage import Storage
from marketlake.local.broker import EmbeddedBroker
from spark_jobs.sessions import job_session
from tests.kinesis_servers import access_to, kinesalite_server
from tests.s3_servers import NO_AWS
from tests.streaming import kinesis, lakes

EVENTS = 196_819


def main() -> int:
    os.environ |= NO_AWS
    recording, began_s = open_recording(Path(sys.argv[1])), time.monotonic()

    def tell(text: str) -> None:
        print(f"{time.monotonic() - began_s:6.1f} s  {text}", flush=True)

    with tempfile.TemporaryDirectory(prefix="depeg-") as name, EmbeddedBroker() as broker:
        folder = Path(name)
        with kinesalite_server(folder) as url:
            spark = job_session("depeg by both", Storage(name))
            source, summary = lakes.publish_recording(broker, recording)
            assert summary.published == EVENTS, summary
            tell(f"Kafka holds {summary.published:,} events")
            tell(f"by Kafka: {lakes.fill(spark, source, folder / 'kafka')}")
            prefix = kinesis.new_streams(url, shards=2)
            publisher = KinesisPublisher(access_to(url), prefix, aggregate=True)
            assert replay(recording, publisher).published == EVENTS
            publisher.close()
            tell("Kinesis holds them, too")
            tell(f"by Kinesis: {kinesis.fill(spark, url, prefix, folder / 'kinesis')}")
            lakes.assert_same_market(folder / "kafka", folder / "kinesis")
            tell("silver and gold are identical")
            spark.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
