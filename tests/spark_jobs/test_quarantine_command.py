"""Refused messages are mended and sent again, each once, and the stream then takes them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from typer.testing import CliRunner

from marketlake.contracts.events import Trade, encode
from marketlake.feeds.publish import Publisher, Target
from marketlake.feeds.publishers import open_publisher
from marketlake.lake.lease import lease
from marketlake.lake.query import open_lake
from marketlake.lake.storage import Storage
from marketlake.local.broker import EmbeddedBroker
from marketlake.settings.model import load_settings
from spark_jobs import resubmission
from spark_jobs.cli import app
from streaming.mending import verdicts
from tests.streaming.lakes import fill, publish

pytestmark = [pytest.mark.spark, pytest.mark.broker]

T0_US = 1_700_000_000_000_000


def trade(n: int, instrument: str = "BTC-USDT", venue: str = "binance") -> bytes:
    return encode(Trade(venue, instrument, T0_US + n * 1_000, 100.0 + n, 1.0, str(n), "buy"))


def upper_case(value: bytes) -> bytes:
    return value.replace(b'"binance"', b'"BINANCE"')


def lower_the_venue(value: bytes, reasons: list[str]) -> bytes | None:
    """Mend what the tests break; the mender that ``--with`` names."""
    if "unknown_instrument" not in reasons:
        return None
    return value.replace(b'"BINANCE"', b'"binance"')


@pytest.fixture
def source(broker: EmbeddedBroker) -> str:
    key = b"BTC-USDT"
    good = [("trade", key, trade(n)) for n in range(20)]
    broken = [("trade", key, upper_case(trade(n))) for n in range(20, 25)]
    elsewhere = [("quote", key, trade(25))]
    junk = [("trade", key, b"{"), ("trade", key, trade(3))]
    return publish(broker, [*good, *broken, *elsewhere, *junk], partitions=1)


def call(*arguments: str) -> dict:
    done = CliRunner().invoke(app, ["replay-quarantine", *arguments, "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def refused(*arguments: str | Path) -> str:
    given = [str(argument) for argument in arguments]
    done = CliRunner().invoke(app, ["replay-quarantine", *given, "--dry-run"])
    assert done.exit_code == 1
    return done.output


def ids(lake: Path) -> list[str]:
    rows = open_lake(str(lake)).sql("SELECT trade_id FROM silver.trades ORDER BY trade_id::INT")
    return [row[0] for row in rows.fetchall()]


def test_mended_messages_are_sent_once_and_taken(spark: SparkSession, source: str, tmp_path: Path):
    lake = tmp_path / "lake"
    fill(spark, source, lake)
    assert ids(lake) == [str(n) for n in range(20)]
    mend = ("--with", f"{__name__}:lower_the_venue")
    seen = call("--lake", str(lake), *mend, "--dry-run")
    assert (seen["chosen"], seen["sent"], seen["left"]) == (8, 5, 3)
    # On the lake's own source its end, which this run has declared, is past them.
    late = call("--lake", str(lake), "--to", source, *mend)
    assert (late["sent"], late["too_late"]) == (0, 5)
    mended = source + "-mended"
    first = call("--lake", str(lake), "--to", mended, *mend)
    assert (first["sent"], first["too_late"]) == (5, 0)
    second = call("--lake", str(lake), "--to", mended, *mend)
    assert (second["sent"], second["resubmitted_before"]) == (0, 5)
    # Nothing was wrong with the trade on the topic of quotes but its place.
    place = call("--lake", str(lake), "--to", mended, "--where", "topic LIKE '%.quotes'")
    assert place["sent"] == 1
    rest = call("--lake", str(lake), "--to", mended)
    assert (rest["chosen"], rest["sent"], rest["resubmitted_before"]) == (8, 0, 6)
    assert rest["wrong"] == {"unparsable": 1, "duplicate": 1}
    other = tmp_path / "mended"
    fill(spark, mended, other)
    assert ids(other) == [str(n) for n in range(20, 26)]


def test_messages_mended_by_hand(spark: SparkSession, source: str, tmp_path: Path):
    lake, file = tmp_path / "lake", tmp_path / "refused.jsonl"
    fill(spark, source, lake)
    done = CliRunner().invoke(
        app, ["replay-quarantine", "--lake", str(lake), "--export", str(file),
              "--where", "list_contains(reasons, 'unparsable')"],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["value"] for line in lines] == ["{"]
    file.write_text(json.dumps(lines[0] | {"value": trade(40).decode()}) + "\n")
    seen = call("--lake", str(lake), "--from", str(file), "--to", source + "-hand")
    assert (seen["sent"], seen["left"], seen["unmatched"]) == (1, 7, 0)
    line = file.read_text()
    file.write_text(line + json.dumps(lines[0] | {"offset": 10_000}) + "\n")
    seen = call("--lake", str(lake), "--from", str(file), "--dry-run", "--again")
    assert (seen["chosen"], seen["sent"], seen["left"], seen["unmatched"]) == (8, 1, 7, 1)
    file.write_text(line + line)
    assert "line 2: a message that an earlier line mends" in refused("--lake", lake, "--from", file)
    file.write_text('{"topic": "t"}\n')
    said = refused("--lake", lake, "--from", file)
    assert "line 1: not a line that --export wrote" in said


class Busy:
    """A mender in whose work another call comes."""

    lake = to = ""

    def __call__(self, value: bytes, _reasons: list[str]) -> bytes | None:
        arguments = ["replay-quarantine", "--lake", self.lake]
        other = CliRunner().invoke(app, [*arguments, "--to", self.to])
        assert other.exit_code == 1
        assert f"process {os.getpid()} writes lake {self.lake} (resubmitted)" in other.output
        assert CliRunner().invoke(app, [*arguments, "--dry-run"]).exit_code == 0
        return lower_the_venue(value, ["unknown_instrument"])


busy = Busy()


def test_of_two_calls_at_once_one_sends(spark: SparkSession, source: str, tmp_path: Path):
    lake = tmp_path / "lake"
    fill(spark, source, lake)
    busy.lake, busy.to = str(lake), source + "-busy"
    only = ("--where", "list_contains(reasons, 'unknown_instrument')")
    done = call("--lake", busy.lake, "--to", busy.to, "--with", f"{__name__}:busy", *only)
    assert done["sent"] == 5
    fill(spark, busy.to, tmp_path / "mended")
    assert ids(tmp_path / "mended") == [str(n) for n in range(20, 25)]


def no_mender(_value: bytes, _reasons: list[str]) -> bytes | None:
    raise ValueError("cannot")


def test_a_mender_that_fails_leaves_nothing_open(
    spark: SparkSession, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    lake = tmp_path / "lake"
    fill(spark, source, lake)
    opened: list[Publisher] = []
    closed: list[Publisher] = []

    def watched(target: Target) -> Publisher:
        publisher = open_publisher(target)
        close = publisher.close
        opened.append(publisher)
        monkeypatch.setattr(publisher, "close", lambda: (closed.append(publisher), close()))
        return publisher

    monkeypatch.setattr(resubmission, "open_publisher", watched)
    arguments = ["--lake", str(lake), "--to", source + "-no", "--with", f"{__name__}:no_mender"]
    done = CliRunner().invoke(app, ["replay-quarantine", *arguments])
    assert done.exit_code == 1
    assert "cannot" in done.output
    assert len(opened) == 1
    assert closed == opened
    with lease(Storage(str(lake)), "resubmitted"):
        pass


def test_each_message_is_judged_by_itself():
    settings = load_settings()
    same = trade(1)
    found = verdicts([same, same, b"[]", b"{}", upper_case(trade(2))], settings)
    assert [v.reasons for v in found] == [
        [],
        [],
        ["unparsable"],
        ["unknown_type"],
        ["unknown_instrument"],
    ]
    assert [v.instrument for v in found[:2]] == ["BTC-USDT", "BTC-USDT"]
    assert found[0].time_us == T0_US + 1_000
