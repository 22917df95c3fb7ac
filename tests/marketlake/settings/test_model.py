"""Settings are closed to unknown keys wherever they come from, and each refusal is one line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from marketlake.settings.model import Settings, SettingsError, load_settings


@pytest.fixture(autouse=True)
def _without_variables(monkeypatch):
    for name in os.environ:
        if name.startswith("MARKETLAKE_"):
            monkeypatch.delenv(name)


@pytest.fixture
def file(tmp_path: Path):
    def write(text):
        path = tmp_path / "marketlake.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def refused(*args, **kwargs):
    with pytest.raises(SettingsError) as e:
        load_settings(*args, **kwargs)
    assert "\n" not in str(e.value)
    return str(e.value)


def test_without_anything_the_defaults_hold():
    settings = load_settings()
    assert settings.stream.lateness_ms == 60_000
    assert settings.bars.intervals == ("1s", "1m")
    assert settings == Settings()


def test_the_file_wins_over_the_defaults_and_the_environment_over_the_file(file, monkeypatch):
    path = file("[stream]\nlateness_ms = 1\nidle_ms = 2000\n[spreads]\nmin_net_bps = 3.5\n")
    assert load_settings(path).stream.lateness_ms == 1
    monkeypatch.setenv("MARKETLAKE_STREAM__LATENESS_MS", "7")
    settings = load_settings(path)
    assert settings.stream.lateness_ms == 7
    assert settings.stream.idle_ms == 2_000, "what the environment does not name stays"
    assert settings.spreads.min_net_bps == 3.5


def test_lists_and_tables_may_come_from_the_environment_as_json(monkeypatch):
    monkeypatch.setenv("MARKETLAKE_BARS__INTERVALS", '["1s", "1m", "5m"]')
    monkeypatch.setenv("MARKETLAKE_SPREADS__TAKER_FEE_BPS", '{"okx": 3}')
    settings = load_settings()
    assert settings.bars.intervals == ("1s", "1m", "5m")
    assert settings.spreads.taker_fee_bps == {"okx": 3.0}


def test_indicators_are_named_in_a_list_and_by_default_left_to_the_registry(monkeypatch):
    assert load_settings().indicators.names is None
    monkeypatch.setenv("MARKETLAKE_INDICATORS__NAMES", '["sma_7", "macd_5_35_5"]')
    assert load_settings().indicators.names == ("sma_7", "macd_5_35_5")


def test_an_unknown_key_of_the_file_is_named(file):
    assert "stream.latenes_ms" in refused(file("[stream]\nlatenes_ms = 1\n"))
    assert "straem" in refused(file("[straem]\nlateness_ms = 1\n"))
    message = refused(file("[stream]\na = 1\n[bars]\nb = 2\n"))
    assert "stream.a" in message
    assert "bars.b" in message


def test_an_unknown_key_of_the_constructor_is_named():
    assert "stream.latenes_ms" in refused(stream={"latenes_ms": 1})
    assert "straem" in refused(straem={})
    with pytest.raises(ValidationError, match="straem"):
        Settings(straem={})


def test_an_unknown_variable_is_named(monkeypatch):
    monkeypatch.setenv("MARKETLAKE_STREAM__LATENES_MS", "5")
    assert "stream.latenes_ms" in refused()
    monkeypatch.delenv("MARKETLAKE_STREAM__LATENES_MS")
    monkeypatch.setenv("MARKETLAKE_STRAEM__LATENESS_MS", "5")
    assert "MARKETLAKE_STRAEM__LATENESS_MS" in refused()


def test_variables_that_place_things_are_no_settings(monkeypatch):
    for name in ("DATA", "CACHE", "JARS"):
        monkeypatch.setenv(f"MARKETLAKE_{name}", "/somewhere")
    assert load_settings() == Settings()


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("stream", "lateness_ms", -1), ("stream", "lateness_ms", "soon"),
        ("stream", "lateness_ms", 86_400_001), ("stream", "merge_buckets", 0),
        ("anomalies", "enter_score", 0), ("anomalies", "window_bars", 4),
        ("spreads", "max_quote_age_ms", 0), ("spreads", "uniform_taker_fee_bps", -1),
        ("bars", "intervals", ["1m"]), ("bars", "intervals", ["1s", "5m", "1m"]),
        ("bars", "intervals", ["1s", "1s"]), ("bars", "intervals", []),
        ("bars", "intervals", ["1s", "2m"]),
    ],
)  # fmt: skip
def test_a_value_outside_its_domain_is_named(section, key, value):
    message = refused(**{section: {key: value}})
    assert section in message
    if section != "bars":
        assert f"{section}.{key}" in message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MARKETLAKE_STREAM__LATENESS_MS", "soon"),
        ("MARKETLAKE_STREAM", "not json"),
        ("MARKETLAKE_BARS__INTERVALS", "1s,1m"),
        ("MARKETLAKE_SPREADS__TAKER_FEE_BPS", "okx=3"),
    ],
)
def test_a_variable_that_cannot_be_read_is_one_clear_line(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    section = name.removeprefix("MARKETLAKE_").split("__")[0].lower()
    assert section in refused()


@pytest.mark.parametrize("text", [b"[stream", b"\xff\xfe = 1", b"stream = 3\n", b"[stream]\nx"])
def test_a_damaged_file_is_one_clear_line(file, text):
    refused(file(text))


def test_an_absent_file_is_named(tmp_path):
    assert "absent.toml" in refused(tmp_path / "absent.toml")


def test_settings_do_not_change():
    settings = load_settings()
    with pytest.raises(ValidationError):
        settings.stream.lateness_ms = 5
