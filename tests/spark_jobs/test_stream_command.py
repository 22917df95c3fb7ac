"""What ``marketlake stream`` says of a Kinesis that it cannot read, before Spark is started."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from spark_jobs.cli import app
from tests.kinesis_servers import moto_that_looks_who_asks


def run(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, ["stream", *map(str, arguments)])


def told(tmp_path: Path, source: str) -> str:
    """The one line that a run fails with."""
    result = run("--source", source, "--lake", tmp_path / "lake", "--until-idle")
    assert result.exit_code == 1
    (line,) = result.stderr.strip().splitlines()
    assert not (tmp_path / "lake").exists()
    return line


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch):
    return lambda url: monkeypatch.setenv("AWS_ENDPOINT_URL_KINESIS", url)


def test_a_source_that_is_none(tmp_path: Path):
    line = told(tmp_path, "kinesis:somewhere")
    assert line.startswith("stream: --source: 'kinesis:somewhere' names no topics or streams")


def test_absent_streams(moto: str, endpoint, tmp_path: Path):
    endpoint(moto)
    prefix = f"x{uuid.uuid4().hex[:8]}"
    assert told(tmp_path, f"kinesis:eu-west-1/{prefix}") == (
        f"stream: Kinesis in eu-west-1 has none of the streams {prefix}.trades, {prefix}.quotes, "
        f"{prefix}.books, {prefix}.bars; publish to one first, or name another region or prefix: "
        "kinesis:REGION/PREFIX"
    )


def test_credentials_that_are_refused(endpoint, tmp_path: Path):
    with moto_that_looks_who_asks() as url:
        endpoint(url)
        line = told(tmp_path, "kinesis:eu-west-2/market")
    assert "AWS refuses the credentials" in line


def test_no_credentials(endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    endpoint("http://127.0.0.1:1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    assert "no complete AWS credentials are found" in told(tmp_path, "kinesis:ap-south-1")


def test_a_region_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("AWS_ENDPOINT_URL_KINESIS", raising=False)
    line = told(tmp_path, "kinesis:xx-nowhere-9")
    assert "Kinesis in xx-nowhere-9" in line
    assert "check the region" in line


def test_a_setting_out_of_its_range(moto: str, endpoint, tmp_path: Path, monkeypatch):
    endpoint(moto)
    monkeypatch.setenv("MARKETLAKE_KINESIS__STARTING_POSITION", "noon")
    line = told(tmp_path, "kinesis:eu-west-1")
    assert "starting_position is trim_horizon, latest, or a time" in line
