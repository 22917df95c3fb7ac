"""``marketlake demo``: broker, market, pipeline, lake and report with one command."""

from __future__ import annotations

import json
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from marketlake.contracts.events import EventType
from marketlake.feeds.kafka_publisher import KafkaPublisher
from marketlake.feeds.publish import Publisher
from marketlake.feeds.recorded.catalog import open_recording
from marketlake.feeds.replay import replay
from marketlake.feeds.simulator.config import DEMO_PERPETUALS, SimulationConfig
from marketlake.feeds.simulator.market import simulate
from marketlake.lake.storage import Storage
from marketlake.local.broker import EmbeddedBroker
from marketlake.report.html import write_report
from marketlake.report.live import LiveView
from marketlake.settings.model import load_settings
from spark_jobs.errors import JobError, one_line
from spark_jobs.observed import observed
from spark_jobs.options import Config, Json
from spark_jobs.sessions import job_session
from spark_jobs.stream_command import print_summary
from streaming.live_progress import LiveProgress
from streaming.runner import StreamRunner, StreamSummary
from streaming.sources.kafka import KafkaSource

_DEMO_BATCH = 50_000
_MARKER = "_marketlake/demo.json"


def demo_command(
    *,
    dataset: Annotated[
        Path | None,
        typer.Option(help="Recorded data set to replay; a simulated market where none is given."),
    ] = None,
    lake: Annotated[str, typer.Option(help="Folder of the lake.")] = "./lake",
    report: Annotated[Path, typer.Option(help="Where the HTML report goes.")] = Path("report.html"),
    seed: Annotated[int, typer.Option(help="Seed of the simulated market.")] = 7,
    minutes: Annotated[int, typer.Option(min=1, max=1_440, help="Simulated minutes.")] = 10,
    config: Config = None,
    json_output: Json = False,
) -> None:
    """See the main job: market, broker, stream, lake, live view and report."""
    with one_line("demo"):
        settings = load_settings(config)
        # Small batches, so that there is something to see while it runs.
        stream = {"trigger_ms": 0, "max_offsets_per_batch": _DEMO_BATCH}
        settings = settings.model_copy(update={"stream": settings.stream.model_copy(update=stream)})
        publish = _publisher_of(dataset, seed, minutes)
        storage = Storage(lake, settings.s3)
        _make_room(storage)
        console = Console(stderr=True)
        with tempfile.TemporaryDirectory(prefix="marketlake-demo-") as folder:
            console.print("starting a Kafka broker and Spark …", highlight=False)
            with EmbeddedBroker(Path(folder)) as broker:
                publisher = KafkaPublisher(broker.bootstrap)
                feed = _Feed(publish, publisher)
                feed.start()
                spark = job_session("marketlake demo", storage, light=True)
                with LiveView(console) as view:
                    source = KafkaSource.parse(f"kafka:{broker.bootstrap}")
                    live = LiveProgress(lake, view.update)
                    quiet = settings.observability.model_copy(update={"log_level": "warning"})
                    with observed(source, quiet, live.batch, on_lag=live.lag) as listener:
                        runner = StreamRunner(spark, source, lake, settings, listener)
                        runner.stop_on_signals()
                        summary = runner.run(until_idle=True, complete=feed.done)
                feed.check()
                spark.stop()
        path = write_report(lake, report, _title(dataset))
    _say(summary, lake, path, json_output=json_output)


def _say(summary: StreamSummary, lake: str, report: Path, *, json_output: bool) -> None:
    if json_output:
        typer.echo(
            json.dumps({**msgspec.to_builtins(summary), "lake": lake, "report": str(report)})
        )
        return
    print_summary(summary, json_output=False)
    typer.echo(f"report: {report.absolute()}")
    typer.echo(f'look around: marketlake sql --lake {lake} "select * from gold.bars limit 5"')


def _title(dataset: Path | None) -> str:
    return "simulated market" if dataset is None else dataset.resolve().name


def _publisher_of(dataset: Path | None, seed: int, minutes: int) -> Callable[[Publisher], None]:
    if dataset is not None:
        recording = open_recording(dataset)
        return lambda publisher: _ignore(replay(recording, publisher))
    config = SimulationConfig(seed=seed, duration_s=60 * minutes, perpetuals=DEMO_PERPETUALS)
    return lambda publisher: _simulate(config, publisher)


def _ignore(_result: object) -> None:
    """Drop what a publisher reports; the live view counts what arrives."""


def _simulate(config: SimulationConfig, publisher: Publisher) -> None:
    event_type: EventType
    for event_type, key, value in simulate(config).messages():
        publisher.publish(event_type, key, value, 0)
    publisher.flush()


class _Feed(threading.Thread):
    """Publishes in the background; the stream drains once it is done."""

    def __init__(self, publish: Callable[[Publisher], None], publisher: KafkaPublisher) -> None:
        super().__init__(name="feed", daemon=True)
        self._publish = publish
        self._publisher = publisher
        self._error: Exception | None = None

    def run(self) -> None:
        """Publish everything."""
        try:
            self._publish(self._publisher)
            self._publisher.close()
        except Exception as error:  # noqa: BLE001 - told by check(), in the main thread
            self._error = error

    def done(self) -> bool:
        """True once nothing more will be published."""
        return not self.is_alive()

    def check(self) -> None:
        """Raise what ended the feed early."""
        if self._error is not None:
            raise JobError(f"the feed broke off: {self._error}") from self._error


def _make_room(storage: Storage) -> None:
    """Take away the lake of an earlier demo; touch nothing else."""
    if next(storage.walk(""), None) is not None:
        if not storage.exists(_MARKER):
            raise JobError(
                f"{storage.path('').rstrip('/')} is not empty and no demo made it; "
                "name another folder: --lake DIR"
            )
        storage.delete_all("")
    storage.write(_MARKER, json.dumps({"made_at_s": int(time.time())}).encode())
