"""The command line of replay, against a real broker."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from marketlake.kinesis.client import KinesisAccess
from marketlake.local.broker import EmbeddedBroker
from spark_jobs.cli import app
from tests.kinesis_servers import records_of


def run(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, ["replay", *map(str, arguments)])


@pytest.fixture
def bars(tmp_path: Path) -> Path:
    """Three bars of FTT in BUSD, one of them without a close."""
    path = tmp_path / "FTTBUSD.csv.gz"
    with gzip.open(path, "wt") as file:
        file.write(
            ",Kline open time,Open price,High price,Low price,Close price,Volume,Number of trades\n"
            "0,60000,1,1,1,1,1,1\n1,120000,1,1,1,,1,1\n2,180000,1,1,1,1,1,1\n"
        )
    return path


@pytest.mark.broker
def test_replay_prints_json_and_resumes_only_when_asked(
    broker: EmbeddedBroker, bars: Path, tmp_path: Path
) -> None:
    target = f"kafka:{broker.bootstrap}/command-test"
    journal = tmp_path / "journal.json"
    arguments = (bars, "--to", target, "--journal", journal, "--partitions", "1")
    first = run(*arguments, "--json")
    assert first.exit_code == 0, first.output
    summary = json.loads(first.stdout)
    del summary["elapsed_s"]
    assert summary == {
        "target": target,
        "files": 1,
        "ignored_files": [],
        "published": 2,
        "resumed_after": 0,
        "already_finished": False,
        # A bar of the minute from 00:01 is published at 00:02.
        "first_time": "1970-01-01T00:02:00.000+00:00",
        "last_time": "1970-01-01T00:04:00.000+00:00",
        "rows_read": 3,
        "rows_used": 2,
        "events": {"bar": 2},
        "skipped": {"missing_value": 1},
        "skipped_parts": {},
    }
    resumed = run(*arguments, "--resume")
    assert resumed.exit_code == 0
    assert "nothing to do: all 2 events were published" in resumed.stdout
    again = run(*arguments)
    assert again.exit_code == 0
    assert "published 2 events" in again.stdout
    assert "1 rows gave no event: 1 missing_value" in again.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--to", "somewhere"), "names no topics or streams of events"),
        (("--to", "kafka:127.0.0.1:1", "--speed", "fast"), "--speed is 'max' or a number"),
    ],
)
def test_a_failure_is_one_line_and_exit_1(
    bars: Path, options: tuple[str, ...], message: str
) -> None:
    result = run(bars, *options)
    assert result.exit_code == 1
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_a_folder_without_recordings_is_refused(tmp_path: Path) -> None:
    result = run(tmp_path, "--to", "kafka:127.0.0.1:1")
    assert result.exit_code == 1
    assert "no recorded data here" in result.stderr


def test_help_lists_every_option() -> None:
    result = run("--help")
    assert result.exit_code == 0
    for option in ("--to", "--speed", "--resume", "--restart", "--journal", "--json"):
        assert option in result.stdout
    assert "kinesis:REGION[/PREFIX]" in result.stdout


def test_replay_publishes_to_kinesis(
    moto: str, bars: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As boto3 itself finds the endpoint.
    monkeypatch.setenv("AWS_ENDPOINT_URL_KINESIS", moto)
    arguments = (bars, "--to", "kinesis:eu-west-1/replayed", "--journal", tmp_path / "j.json")
    absent = run(*arguments)
    assert absent.exit_code == 1
    assert "Kinesis in eu-west-1 has no stream replayed.trades" in absent.stderr
    first = run(*arguments, "--partitions", "1", "--json")
    assert first.exit_code == 0, first.output
    assert json.loads(first.stdout)["published"] == 2
    resumed = run(*arguments, "--resume")
    assert "nothing to do: all 2 events were published" in resumed.stdout
    client = KinesisAccess("eu-west-1", moto).client()
    assert [r["PartitionKey"] for r in records_of(client, "replayed.bars")] == ["FTT-BUSD"] * 2
