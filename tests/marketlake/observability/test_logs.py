"""Log lines as a collector reads them, and as a person does."""

import io
import json
import logging
import sys
from datetime import UTC, datetime

import pytest

from marketlake.observability.figures import BatchFigures, InputFigures
from marketlake.observability.logs import LogError, configure_logs, log_batch

BATCH = BatchFigures(
    sequence=41,
    kind="messages",
    seconds=0.25,
    read=1_000,
    quarantined=3,
    silver={"silver/trades": 997},
    reasons={"duplicate": 3},
    gold={"gold/bars": 12},
    inputs={"market.trades-0": InputFigures(1_678_518_900_000_001, 1_678_518_960_000_000)},
    lag_messages={"market.trades-0": 20, "market.trades-1": 5},
)


@pytest.fixture(autouse=True)
def loggers():
    """Give every logger back as it was."""
    names = ["", "marketlake", "streaming", "spark_jobs", "py4j", "pyspark"]
    names += ["SQLQueryContextLogger", "DataFrameQueryContextLogger"]
    root = logging.getLogger()
    levels = {name: logging.getLogger(name).level for name in names}
    handlers = list(root.handlers)
    yield
    for handler in [h for h in root.handlers if h not in handlers]:
        root.removeHandler(handler)
        handler.close()
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_batch_is_one_json_line(capsys):
    configure_logs()
    before = datetime.now(UTC)
    log_batch(BATCH)
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = lines(captured.err)
    assert before <= datetime.fromisoformat(line.pop("time")) <= datetime.now(UTC)
    assert line == {
        "level": "info",
        "logger": "marketlake.observability.logs",
        "event": "batch",
        "sequence": 41,
        "kind": "messages",
        "read": 1000,
        "silver": {"silver/trades": 997},
        "quarantined": 3,
        "reasons": {"duplicate": 3},
        "gold": {"gold/bars": 12},
        "seconds": 0.25,
        "rows_per_s": 4000,
        "watermark": "2023-03-11T07:15:00.000001Z",
        "lag": 25,
    }


def test_what_is_not_known_is_null(capsys):
    configure_logs()
    log_batch(BatchFigures(0, "control", 0.0, 0, 0))
    (line,) = lines(capsys.readouterr().err)
    assert (line["watermark"], line["lag"], line["rows_per_s"]) == (None, None, 0)


def test_a_silent_row_is_an_error_line(capsys):
    configure_logs("error")
    log_batch(BATCH)
    log_batch(BatchFigures(7, "messages", 1.0, 10, 1, {"silver/bars": 8}))
    (line,) = lines(capsys.readouterr().err)
    assert (line["level"], line["sequence"], line["unaccounted"]) == ("error", 7, 1)


@pytest.mark.parametrize(("level", "written"), [("info", 1), ("warning", 0)])
def test_the_level_decides(capsys, level, written):
    configure_logs(level)
    log_batch(BATCH)
    assert len(lines(capsys.readouterr().err)) == written


def test_a_file_gets_lines_also_after_it_was_moved_away(tmp_path):
    file = tmp_path / "logs" / "stream.jsonl"
    configure_logs(file=file)
    log_batch(BATCH)
    file.rename(tmp_path / "old.jsonl")
    log_batch(BATCH)
    assert [line["sequence"] for line in lines(file.read_text())] == [41]
    assert len(lines((tmp_path / "old.jsonl").read_text())) == 1


def test_configured_twice_a_line_comes_once(capsys, tmp_path):
    configure_logs(file=tmp_path / "first.jsonl")
    configure_logs()
    log_batch(BATCH)
    assert len(lines(capsys.readouterr().err)) == 1
    assert (tmp_path / "first.jsonl").read_text() == ""


def test_a_file_that_cannot_be_written_gives_one_line(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(LogError, match="cannot be written") as caught:
        configure_logs(file=tmp_path / "taken" / "stream.jsonl")
    assert "\n" not in str(caught.value)


def test_a_terminal_gets_plain_text(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    configure_logs()
    log_batch(BATCH)
    text = terminal.getvalue()
    assert text.count("\n") == 1
    assert "\x1b" not in text
    assert not text.startswith("{")
    for part in ("batch", "sequence=41", "read=1000", "lag=25"):
        assert part in text


def test_a_terminal_gets_plain_traces_without_local_variables(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    configure_logs()
    hidden = "do not " + "show"
    try:
        raise ValueError(len(hidden))
    except ValueError:
        logging.getLogger("streaming.x").exception("no answer")
    assert "ValueError: 11" in terminal.getvalue()
    assert hidden not in terminal.getvalue()


def test_lines_go_where_standard_error_is_at_that_moment(monkeypatch, capsys):
    configure_logs()
    later = io.StringIO()
    monkeypatch.setattr(sys, "stderr", later)
    log_batch(BATCH)
    assert len(lines(later.getvalue())) == 1
    assert capsys.readouterr().err == ""


def test_secrets_are_hidden(capsys):
    configure_logs()
    logging.getLogger("marketlake.somewhere").info(
        "connected to https://me:hunter2@host/path",
        extra={
            "sasl_password": "hunter2",
            "options": {"fs.s3a.secret.key": "hunter2", "sasl.jaas.config": "hunter2", "acks": 1},
            "url": "kafka://hunter2@host",
            "key_count": 3,
        },
    )
    try:
        raise ValueError("https://me:hunter2@host/path refused")
    except ValueError:
        logging.getLogger("streaming.x").exception("no answer")
    text = capsys.readouterr().err
    assert "hunter2" not in text
    first, second = lines(text)
    assert first["event"] == "connected to https://***@host/path"
    assert first["options"]["acks"] == 1
    assert first["key_count"] == 3
    assert "ValueError: https://***@host/path refused" in second["exception"]


def test_other_libraries_are_quiet_but_their_warnings_are_json(capsys):
    configure_logs("debug")
    logging.getLogger("py4j.clientserver").error("There was an exception on the Python side")
    logging.getLogger("pyspark.sql").warning("a remark")
    logging.getLogger("botocore").info("request sent")
    assert capsys.readouterr().err == ""
    logging.getLogger("botocore").warning("retry %d", 2)
    (line,) = lines(capsys.readouterr().err)
    assert (line["event"], line["level"], line["logger"]) == ("retry 2", "warning", "botocore")
