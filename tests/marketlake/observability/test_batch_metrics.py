"""The metrics as Prometheus sees them: scraped over HTTP and parsed."""

import socket
import urllib.request

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from marketlake.observability.figures import BatchFigures, InputFigures
from marketlake.observability.metrics import BatchMetrics, MetricsError, serve
from tests.local_servers import free_port

NOON_S = 1_700_000_000
FIRST = BatchFigures(
    sequence=0,
    kind="messages",
    seconds=0.4,
    read=10,
    quarantined=3,
    silver={"silver/trades": 5, "silver/bars": 2},
    reasons={"duplicate": 2, "late": 2},
    gold={"gold/bars": 4},
    inputs={
        "market.trades-0": InputFigures((NOON_S - 60) * 1_000_000, (NOON_S - 5) * 1_000_000),
        "market.bars-0": InputFigures(None, None, active=False),
    },
    latest_event_us={"silver/trades": (NOON_S - 5) * 1_000_000 + 500_000},
)


class Clock:
    now_s = float(NOON_S)

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
def metrics(registry, clock):
    return BatchMetrics(registry, clock=clock)


@pytest.fixture
def scrape(registry):
    with serve(registry, free_port()) as server:

        def get(name, **labels):
            with urllib.request.urlopen(server.url, timeout=5) as answer:
                text = answer.read().decode()
            found = [
                sample.value
                for family in text_string_to_metric_families(text)
                for sample in family.samples
                if sample.name == name and sample.labels == labels
            ]
            assert len(found) <= 1
            return found[0] if found else None

        yield get


def test_counts_add_up_over_batches(metrics, scrape):
    metrics.observe(FIRST)
    metrics.observe(
        BatchFigures(1, "messages", 2.0, 7, 0, {"silver/trades": 7}, gold={"gold/bars": 1})
    )
    assert scrape("marketlake_messages_read_total") == 17
    assert scrape("marketlake_silver_rows_total", table="silver/trades") == 12
    assert scrape("marketlake_silver_rows_total", table="silver/bars") == 2
    assert scrape("marketlake_quarantined_messages_total") == 3
    assert scrape("marketlake_quarantine_reasons_total", reason="duplicate") == 2
    assert scrape("marketlake_gold_rows_total", table="gold/bars") == 5
    assert scrape("marketlake_batches_total", kind="messages") == 2
    assert scrape("marketlake_last_batch_seconds") == 2.0
    assert scrape("marketlake_last_batch_timestamp_seconds") == NOON_S
    assert scrape("marketlake_batch_seconds_count") == 2
    assert scrape("marketlake_batch_seconds_sum") == pytest.approx(2.4)
    assert scrape("marketlake_batch_seconds_bucket", le="0.5") == 1
    assert scrape("marketlake_unaccounted_messages") == 0
    assert scrape("marketlake_messages_read_created") is None


def test_a_batch_that_does_not_add_up_shows(metrics, scrape):
    lost = BatchFigures(0, "messages", 1.0, 10, 1, {"silver/trades": 8})
    doubled = BatchFigures(1, "messages", 1.0, 10, 1, {"silver/trades": 10})
    assert (lost.unaccounted, doubled.unaccounted) == (1, -1)
    metrics.observe(lost)
    assert scrape("marketlake_unaccounted_messages") == 1
    metrics.observe(doubled)
    assert scrape("marketlake_unaccounted_messages") == 2


def test_event_times_of_inputs(metrics, scrape):
    metrics.observe(FIRST)
    trades, bars = "market.trades-0", "market.bars-0"
    assert scrape("marketlake_input_watermark_timestamp_seconds", input=trades) == NOON_S - 60
    assert scrape("marketlake_input_latest_event_timestamp_seconds", input=trades) == NOON_S - 5
    assert scrape("marketlake_input_active", input=trades) == 1
    assert scrape("marketlake_input_active", input=bars) == 0
    # What gave nothing yet has no time, rather than 1970 or the dawn of int64.
    assert scrape("marketlake_input_watermark_timestamp_seconds", input=bars) is None


def test_freshness_grows_between_batches_and_late_rows_do_not_age_a_table(metrics, scrape, clock):
    metrics.observe(FIRST)
    assert scrape("marketlake_table_freshness_seconds", table="silver/trades") == 4.5
    clock.now_s += 30
    assert scrape("marketlake_table_freshness_seconds", table="silver/trades") == 34.5
    late = {"silver/trades": (NOON_S - 900) * 1_000_000}
    metrics.observe(BatchFigures(1, "messages", 1.0, 0, 0, latest_event_us=late))
    assert scrape("marketlake_table_freshness_seconds", table="silver/trades") == 34.5
    new = {"silver/trades": (NOON_S + 28) * 1_000_000}
    metrics.observe(BatchFigures(2, "messages", 1.0, 0, 0, latest_event_us=new))
    assert scrape("marketlake_table_freshness_seconds", table="silver/trades") == 2


def test_lag_that_is_no_longer_known_is_no_longer_told(metrics, scrape):
    metrics.set_lag({"a-0": 12, "a-1": 0})
    assert scrape("marketlake_input_lag_messages", input="a-0") == 12
    assert scrape("marketlake_input_lag_messages", input="a-1") == 0
    metrics.set_lag({"a-1": 3})
    assert scrape("marketlake_input_lag_messages", input="a-0") is None
    assert scrape("marketlake_input_lag_messages", input="a-1") == 3
    metrics.set_lag({})
    assert scrape("marketlake_input_lag_messages", input="a-1") is None


def test_two_streams_in_one_process_do_not_mix(metrics, scrape):
    other = BatchMetrics(CollectorRegistry())
    other.observe(FIRST)
    assert scrape("marketlake_messages_read_total") == 0


def test_port_0_is_off(registry):
    assert serve(registry, 0) is None


def test_the_endpoint_is_on_the_loopback_only_and_frees_its_port(registry):
    port = free_port()
    server = serve(registry, port)
    assert server.url == f"http://127.0.0.1:{port}/metrics"
    # Another loopback address answers only where all are bound.
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.2", port), 2):
        pass
    server.close()
    with serve(registry, port) as again:
        assert again.url == server.url


def test_a_used_port_gives_one_line(registry):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(MetricsError) as caught:
            serve(registry, port)
    assert str(caught.value) == (
        f"metrics port {port} on 127.0.0.1 is in use: choose another, or 0 for no metrics"
    )


def test_a_port_that_is_none_gives_one_line(registry):
    with pytest.raises(MetricsError, match="metrics port 70000 is none"):
        serve(registry, 70_000)


def test_the_watermark_is_the_least_of_active_inputs_that_have_one():
    def batch(*inputs):
        named = {str(i): position for i, position in enumerate(inputs)}
        return BatchFigures(0, "messages", 1.0, 0, 0, inputs=named)

    silent, quiet = InputFigures(None, None), InputFigures(10, 10, active=False)
    assert batch(silent, quiet, InputFigures(30, 90), InputFigures(20, 95)).watermark_us == 20
    assert batch(quiet, InputFigures(15, 15, active=False), silent).watermark_us == 15
    assert batch(silent).watermark_us is None
