"""``marketlake feed`` as a program: local venues, a real broker, and what a reader then finds."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from confluent_kafka import Consumer
from typer.testing import CliRunner

from marketlake.contracts.events import TOPICS, topic_of
from marketlake.local.broker import EmbeddedBroker
from spark_jobs.cli import app
from streaming.stages.decode import decode
from streaming.stages.validate import TimeBounds, validate
from tests.local_servers import free_port

from .frames import (
    binance_depth,
    binance_snapshot,
    binance_trade,
    kraken_book,
    kraken_trade,
    okx_book,
    okx_trade,
)
from .local_venues import (
    CLOSE,
    DROP,
    Hold,
    LocalVenues,
    Pause,
)

pytest.importorskip("ccxt")
ROOT = Path(__file__).parents[4]
DIGITS = "1010" + "100000000" + "1000" + "150000000"


def settings_file(folder: Path, server: LocalVenues, **feed: Any) -> Path:
    """Write settings that lead to the local server and take all of its past for news."""
    feed = {
        "subscriptions_per_s": 100, "history_ms": 10**13, "backoff_first_ms": 100,
        "backoff_max_ms": 200, "silence_ms": 5_000, **feed,
    }  # fmt: skip
    lines = ["[feed]", *(f"{name} = {json.dumps(value)}" for name, value in feed.items())]
    lines += ["[feed.gateways]"]
    lines += [f'{v} = "{server.address}"' for v in ("binance", "okx", "kraken", "alpaca")]
    path = folder / "settings.toml"
    path.write_text("\n".join(lines))
    return path


def run(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, ["feed", *map(str, arguments)])


def read_all(bootstrap: str, prefix: str) -> list[tuple[str, bytes, bytes]]:
    """Give (topic, key, value) of everything in the four topics."""
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": uuid.uuid4().hex}
        | {"auto.offset.reset": "earliest", "enable.partition.eof": True}
    )
    topics = [topic_of(event_type, prefix) for event_type in TOPICS]
    consumer.subscribe(topics)
    found: list[tuple[str, bytes, bytes]] = []
    ends = 0
    while ends < len(topics):
        message = consumer.poll(20)
        assert message is not None
        if message.error() is not None:
            ends += 1
        else:
            found.append((message.topic(), message.key(), message.value()))
    consumer.close()
    return found


def play_everything(server: LocalVenues) -> None:
    """Trades and books of three venues, with every fault between them."""
    trades = [binance_trade(n) for n in range(1, 201)]
    server.play(
        "btcusdt@trade",
        [*trades[:100], "{garbage", *trades[95:100], Hold("100 of binance"), DROP],
        [*trades[90:150], Hold("150 of binance"), CLOSE],  # sent again, as venues do
        [*trades[140:], Pause(60)],
    )
    server.rest["api.binance.com/api/v3/depth"] = binance_snapshot(10)
    server.play(
        "btcusdt@depth@100ms",
        [binance_depth(11, 13, bids=[["99.0", "5"]]), Pause(0.2), binance_depth(15, 15)],
        [binance_depth(11, 12, bids=[["98.0", "5"]])],
    )
    server.play(
        "trades:BTC-USDT",
        [okx_trade(n) for n in range(1, 51)],
        [okx_trade(n) for n in range(40, 81)],
    )
    server.play(
        "books:BTC-USDT",
        [
            okx_book(5, -1, [["100", "1"]], [["101", "1"]]), Pause(0.1),
            okx_book(9, 8, [["98", "2"]], []),
        ],
        [okx_book(20, -1, [["100", "4"]], [["102", "4"]]), Hold("50 of okx"), DROP],
        [okx_book(30, -1, [["100", "5"]], [["102", "5"]])],
    )  # fmt: skip
    server.play(
        "trade:BTC/USD",
        [kraken_trade(n, f"2023-11-14T22:13:20.{n:06d}Z") for n in range(1, 31)],
    )
    server.play("book:BTC/USD", [kraken_book("snapshot", [(100.0, 1.5)], [(101.0, 1.0)], DIGITS)])


@pytest.mark.broker
@pytest.mark.slow
def test_nothing_is_lost_or_doubled_and_every_event_is_sound(
    broker: EmbeddedBroker, server: LocalVenues, tmp_path: Path
) -> None:
    play_everything(server)
    prefix = f"feed{uuid.uuid4().hex[:8]}"
    wanted = {"binance": 200, "okx": 80, "kraken": 30}
    last, errors = feed_until(wanted, server, broker, prefix, settings_file(tmp_path, server))
    assert last["ended"] is True
    assert "Traceback" not in errors
    messages = read_all(broker.bootstrap, prefix)
    assert len(messages) == sum(last["published"].values())
    found = [json.loads(value) for _, _, value in messages]
    ids = Counter((e["venue"], int(e["trade_id"])) for e in found if e["type"] == "trade")
    assert ids == {(venue, n): 1 for venue, count in wanted.items() for n in range(1, count + 1)}
    assert {key for _, key, _ in messages} == {b"BTC-USDT", b"BTC-USD"}
    assert_sound(messages, prefix)
    assert_every_fault_was_met(last["venues"]["binance"], last["venues"]["okx"], errors)


def feed_until(
    wanted: dict[str, int], server: LocalVenues, broker: EmbeddedBroker, prefix: str, settings: Path
) -> tuple[dict[str, Any], str]:
    """Run the feed until it has so many trades a venue; give its last report and its errors."""
    command = [
        sys.executable, "-m", "spark_jobs.cli", "feed",
        "--venues", "binance,okx,kraken",
        "--instruments", "binance/BTC-USDT,okx/BTC-USDT,kraken/BTC-USD",
        "--channels", "trades,books", "--to", f"kafka:{broker.bootstrap}/{prefix}",
        "--config", settings, "--partitions", "1",
        "--json", "--report-s", "0.2",
    ]  # fmt: skip
    program = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 300
    try:
        for line in program.stdout:
            report = json.loads(line)
            trades = {
                venue: notes["channels"].get("trades", {}).get("events", 0)
                for venue, notes in report["venues"].items()
            }
            for venue, count in (("binance", 100), ("binance", 150), ("okx", 50)):
                if trades.get(venue, 0) >= count:
                    server.release(f"{count} of {venue}")
            if trades == wanted or time.monotonic() > deadline:
                break
        program.send_signal(signal.SIGTERM)
        rest, errors = program.communicate(timeout=120)
    finally:
        program.kill()
    assert program.returncode == 0, errors
    return json.loads(rest.splitlines()[-1]), errors


def assert_sound(messages: list[tuple[str, bytes, bytes]], prefix: str) -> None:
    """The pipeline's own first stages have nothing to say of them."""
    for topic in TOPICS.values():
        values = [value for name, _, value in messages if name == f"{prefix}.{topic}"]
        decoded = decode(values)
        assert decoded.undecoded == {}
        for event_type, rows in decoded.rows.items():
            now_us = np.full(len(values), time.time_ns() // 1_000)
            validate(rows, event_type, now_us, TimeBounds(10_000_000))
            assert not rows.reasons.any()


def assert_every_fault_was_met(binance: dict[str, Any], okx: dict[str, Any], errors: str) -> None:
    """Each is counted."""
    assert binance["missed_trades"] == 0
    assert binance["skipped"]["repeat"] >= 5 + 10 + 10
    assert binance["skipped"]["unreadable"] == 1
    assert binance["failures"] >= 2
    assert okx["channels"]["books"]["gaps"] == 1
    assert okx["skipped"]["repeat"] >= 11
    lost = [json.loads(line) for line in errors.splitlines() if '"venue lost"' in line]
    assert {(entry["venue"], entry["reason"]) for entry in lost} >= {("binance", "closed")}


@pytest.mark.broker
def test_it_ends_by_itself_and_says_what_it_did(
    broker: EmbeddedBroker, server: LocalVenues, tmp_path: Path
) -> None:
    server.play("trades:BTC-USDT", [okx_trade(n) for n in range(1, 51)])
    result = run(
        "--venues", "okx", "--instruments", "BTC-USDT", "--channels", "trades",
        "--to", f"kafka:{broker.bootstrap}/fewer", "--partitions", 1, "--max-events", 20,
        "--config", settings_file(tmp_path, server),
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"published 20 events to kafka:{broker.bootstrap}/fewer;")
    assert len(read_all(broker.bootstrap, "fewer")) == 20


@pytest.mark.broker
def test_metrics_are_served_while_it_runs(
    broker: EmbeddedBroker, server: LocalVenues, tmp_path: Path
) -> None:
    trades = [okx_trade(n) for n in range(1, 52)]
    server.play("trades:BTC-USDT", [*trades[:50], Hold("50 scraped"), trades[50]])
    path = settings_file(tmp_path, server)
    port = free_port()
    path.write_text(path.read_text() + f"\n[observability]\nmetrics_port = {port}\n")
    published = 'marketlake_feed_published_total{channel="trades"} 50.0'
    seen: list[str] = []

    def scrape() -> None:
        deadline = time.monotonic() + 120
        # Other counts reach 50 before it.
        while time.monotonic() < deadline and not (seen and published in seen[-1]):
            time.sleep(0.05)
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
                    seen.append(answer.read().decode())
            except OSError:
                continue
        # The last trade, with which it ends.
        server.release("50 scraped")

    scraper = threading.Thread(target=scrape)
    scraper.start()
    result = run(
        "--venues", "okx", "--instruments", "BTC-USDT", "--channels", "trades", "--max-events", 51,
        "--to", f"kafka:{broker.bootstrap}/measured", "--config", path,
    )  # fmt: skip
    scraper.join()
    assert result.exit_code == 0, result.output
    assert published in seen[-1]
    assert 'marketlake_feed_venue_state{state="live",venue="okx"} 1.0' in seen[-1]


def test_a_dry_run_shows_what_would_be_subscribed_to(server: LocalVenues, tmp_path: Path) -> None:
    arguments = (
        "--venues", "okx,kraken", "--instruments", "okx/BTC-USDT-PERP,kraken/BTC-USD",
        "--config", settings_file(tmp_path, server), "--dry-run",
    )  # fmt: skip
    plain = run(*arguments)
    assert plain.exit_code == 0, plain.output
    assert [line.split() for line in plain.stdout.splitlines()] == [
        ["okx", channel, "BTC-USDT-PERP", "BTC/USDT:USDT"]
        for channel in ("trades", "quotes", "books", "bars")
    ] + [
        ["kraken", channel, "BTC-USD", "BTC/USD"]
        for channel in ("trades", "quotes", "books", "bars")
    ]
    as_json = run(*arguments, "--json", "--channels", "books")
    assert json.loads(as_json.stdout.splitlines()[0]) == {
        "venue": "okx",
        "channel": "books",
        "instrument": "BTC-USDT-PERP",
        "symbol": "BTC/USDT:USDT",
    }
    assert server.connections.total() == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--venues", "okxx", "--instruments", "BTC-USDT"), "no live venue 'okxx'; near it: okx"),
        (("--venues", "okx", "--instruments", "BTC-USDC"), "okx has no BTC-USDC; near it: BTC-"),
        (("--venues", "alpaca", "--instruments", "AAPL-USD"), "set APCA_API_KEY_ID"),
        (("--venues", "bitstamp", "--instruments", "BTC-USD-PERP"), "watched for spot, fx only"),
        (("--venues", "okx", "--instruments", "BTC-USDT", "--to", "mars:1"), "names no topics"),
    ],
)
def test_a_failure_is_one_line_and_exit_1(
    server: LocalVenues,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.delenv("APCA_API_KEY_ID", raising=False)
    result = run(*options, "--config", settings_file(tmp_path, server), "--dry-run")
    assert result.exit_code == 1
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


@pytest.mark.parametrize("venue", ["okx", "alpaca"])
def test_without_the_extra_it_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, venue: str
) -> None:
    for name in ("ccxt", "ccxt.pro", "aiohttp"):
        monkeypatch.setitem(sys.modules, name, None)
    result = run("--venues", venue, "--instruments", "BTC-USD", "--to", "kafka:127.0.0.1:1")
    assert result.exit_code == 1
    assert result.stderr == (
        "feed: live feeds need ccxt, which is not installed; type: pip install 'marketlake[live]'\n"
    )
