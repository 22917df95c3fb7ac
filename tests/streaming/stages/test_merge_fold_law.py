"""Law 2 for step two: neither the cutting into batches nor the luck of arrival shows."""

from __future__ import annotations

from functools import cache

import msgspec
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from marketlake.analytics.arrays import pack_arrays, row_count, take
from marketlake.analytics.depth.market import NO_TRANSIT_US
from marketlake.settings.model import AnomalySettings, SpreadSettings
from streaming.stages.fold_output import INTERVALS
from streaming.stages.merge_fold import MergeEvents, MergeFold

NAMES = (
    ("binance", "BTC-USDT"), ("okx", "BTC-USDT"), ("coinbase", "BTC-USD"), ("kraken", "BTC-USD"),
    ("kraken", "BTC-USDC"), ("binance", "USDC-USDT"), ("coinbase", "USDC-USD"),
    ("kraken", "USDT-USD"), ("binance", "BTC-USDT-PERP"), ("okx", "ETH-USDT"),
    ("binance", "ETH-USDT"), ("binance", "ETH-BTC"),
)  # fmt: skip
PRICE = {"BTC": 95_000.0, "ETH": 3_000.0, "USDC": 1.0, "USDT": 1.0}
DEPTH = 3
T0 = 1_736_949_600_000_000
SPAN_US = 20_000_000
SETTINGS = SpreadSettings(
    uniform_taker_fee_bps=1.0, max_quote_age_ms=1_500, max_close_age_ms=4_000, min_notional=100.0,
    depth_levels=DEPTH, slippage_bps=0.2, triangle_intervals=("1s", "1m"), min_close_notional=0.0,
    basis_interval="1s", withdrawal_fees={"okx/BTC": 1e-7, "binance/USDT": 1e-3},
)  # fmt: skip
BARS, TOPS = ("trades-0", "trades-1", "bars-0"), ("quotes-0", "quotes-1", "books-0")


ANOMALIES = AnomalySettings(min_bars=3, venue_enter_score=1.5, venue_min_move_bps=20.0)


def prices(rng, codes):
    pairs = [NAMES[c][1].split("-")[:2] for c in codes]
    level = np.array([PRICE[base] / PRICE.get(quote, 1.0) for base, quote in pairs])
    return level * np.exp(rng.normal(scale=5e-4, size=codes.size))


def bars_of(rng, name, codes):
    """Closed bars of an input: one at most an instrument, interval and moment."""
    draws = rng.integers(1, 20, 90), rng.integers(0, 2, 90), rng.choice(codes, 90)
    keys = {tuple(map(int, key)) for key in zip(*draws, strict=True)}
    time_s, interval, instrument = (np.array(c, np.int64) for c in zip(*sorted(keys), strict=True))
    close, volume = prices(rng, instrument), rng.choice([0.0, 1.0], time_s.size, p=[0.2, 0.8])
    # What the comparison of venues makes of highs and lows is tested by itself.
    reach = 1e-4
    return {
        "time_us": T0 + time_s * 1_000_000 - 1,
        "interval": interval,
        "instrument": instrument,
        "origin": np.full(time_s.size, int(name.startswith("bars")), np.int64),
        "high": close * (1 + reach),
        "low": close * (1 - reach),
        "close": close,
        "volume": volume,
        "quote_volume": close * volume,
    }


def tops_of(rng, name, codes):
    """Best bids and asks of an input; many share a moment, some lack a side."""
    n = 400
    time_us = T0 + np.sort(rng.integers(0, SPAN_US // 50_000, n)) * 50_000
    instrument = rng.choice(codes, n).astype(np.int64)
    mid, half = prices(rng, instrument), rng.choice([1e-5, 1e-4, 5e-4], n)
    bid, ask = mid * (1 - half), mid * (1 + half)
    sizes = rng.choice([1e-4, 1.0, 100.0], (2, n))
    levels = {}
    if name.startswith("books"):
        bid[rng.random(n) < 0.1] = np.nan
        levels["levels"] = book_levels(rng, bid, sizes[0], ask, sizes[1])
    return {
        **levels,
        "time_us": time_us,
        "transit_us": rng.choice(
            [2_000, 30_000, 2_500_000, NO_TRANSIT_US], n, p=[0.6, 0.3, 0.05, 0.05]
        ),
        "instrument": instrument,
        "sequence": np.arange(n),
        "content": rng.integers(0, 2**63, n).astype(np.uint64),
        "bid_price": bid,
        "bid_quantity": sizes[0],
        "ask_price": ask,
        "ask_quantity": sizes[1],
        "event": np.full(n, int(name.startswith("quotes")), np.int8),
    }


def book_levels(rng, bid, bid_size, ask, ask_size):
    """Levels behind the best prices; the last is at times absent."""
    levels = np.empty((bid.size, 4, DEPTH))
    for at, best, size, sign in ((0, bid, bid_size, -1), (2, ask, ask_size, 1)):
        steps = np.cumsum(rng.uniform(1e-5, 4e-4, (bid.size, DEPTH)), axis=1)
        levels[:, at] = best[:, None] * (1 + sign * (steps - steps[:, :1]))
        levels[:, at + 1] = rng.choice([1e-4, 1.0, 100.0], (bid.size, DEPTH))
        levels[:, at + 1, 0] = size
    levels[rng.random(bid.size) < 0.2, :, DEPTH - 1] = np.nan
    return levels


@cache
def inputs(seed):
    """Rows of each input in time order; an instrument comes from one input of a kind."""
    rng = np.random.default_rng(seed)
    codes = rng.permutation(len(NAMES))
    halves = {"0": codes[::2], "1": codes[1::2]}
    rows = {}
    for name in (*BARS, *TOPS):
        own = codes if name in ("bars-0", "books-0") else halves[name[-1]]
        rows[name] = (bars_of if name in BARS else tops_of)(rng, name, own)
    return rows


def events_of(name, rows):
    """What an input sends: instruments by their place among those that occur."""
    packed = {"bars": pack_arrays({}), "tops": pack_arrays({})}
    codes = np.empty(0, np.int64)
    if row_count(rows):
        codes, place = np.unique(rows["instrument"], return_inverse=True)
        packed["bars" if name in BARS else "tops"] = pack_arrays({**rows, "instrument": place})
    return MergeEvents([NAMES[int(c)] for c in codes], **packed)


class Rows:
    """Rows given so far, by names instead of codes, every number by its bits."""

    def __init__(self):
        self.indicative, self.executable, self.ids = [], [], []
        self.triangle_studies, self.triangles, self.basis = [], [], []
        self.anomalies = []

    def take(self, output):
        # repr of a float tells every bit but the payload of a NaN.
        self.anomalies += [repr(anomaly) for anomaly in output.anomalies]
        for kind in ("triangle_studies", "triangles"):
            columns = getattr(output, kind)
            for i in range(row_count(columns)):
                cycle = output.cycles[int(columns["cycle"][i])]
                rest = {k: v[i].tobytes() for k, v in columns.items() if k != "cycle"}
                getattr(self, kind).append((cycle.venue, cycle.text, sorted(rest.items())))
        for i in range(row_count(output.basis)):
            names = [output.instruments[int(output.basis[k][i])] for k in ("spot", "perp")]
            rest = {k: v[i].tobytes() for k, v in output.basis.items() if k not in ("spot", "perp")}
            self.basis.append(([i.instrument for i in names], sorted(rest.items())))
        for kind in ("indicative", "executable"):
            columns = getattr(output, kind)
            for i in range(row_count(columns)):
                names = [output.instruments[int(columns[side][i])] for side in ("buy", "sell")]
                key = tuple((n.venue, n.instrument) for n in names)
                rest = {k: v[i].tobytes() for k, v in columns.items() if k not in ("buy", "sell")}
                getattr(self, kind).append((int(columns["time_us"][i]), key, sorted(rest.items())))
                if kind == "executable":
                    self.ids.append((key, int(columns["since_us"][i]), int(columns["time_us"][i])))
                else:
                    self.ids.append((names[0].base, int(columns["interval"][i]), self.times(-1)))

    def times(self, at):
        return self.indicative[at][0]

    def done(self):
        return (
            sorted(self.indicative), sorted(self.executable), sorted(self.triangle_studies),
            sorted(self.triangles), sorted(self.basis), sorted(self.anomalies),
        )  # fmt: skip


def fold_all(seed, batches, *, shuffle=None, restart=False):
    """Take each input up to its watermark of each batch."""
    rows = inputs(seed)
    before = dict.fromkeys(rows, 0)
    fold, out = MergeFold(SETTINGS, anomalies=ANOMALIES), Rows()
    for watermarks in batches:
        parts = []
        for name, columns in rows.items():
            passed = (columns["time_us"] >= before[name]) & (columns["time_us"] < watermarks[name])
            parts.append(events_of(name, take(columns, np.flatnonzero(passed))))
        if shuffle is not None:
            parts = [parts[i] for i in shuffle.permutation(len(parts))]
        # As between tasks, everything travels as bytes.
        parts = [msgspec.msgpack.decode(msgspec.msgpack.encode(p), type=MergeEvents) for p in parts]
        out.take(
            fold.step(parts, min(watermarks[n] for n in BARS), min(watermarks[n] for n in TOPS))
        )
        before = watermarks
        if restart:
            restored = MergeFold(SETTINGS, anomalies=ANOMALIES)
            restored.restore(fold.state())
            assert restored.state() == fold.state()
            fold = restored
    return out, fold.state()


def last_watermarks(seed):
    """Inputs end at different times, so that some rows stay pending."""
    rng = np.random.default_rng(seed + 1_000)
    return {n: T0 + int(SPAN_US * rng.uniform(0.8, 1.1)) for n in (*BARS, *TOPS)}


@cache
def at_once(seed):
    out, state = fold_all(seed, [last_watermarks(seed)])
    return out.done(), state


@settings(max_examples=25, deadline=None, phases=[Phase.generate])
@given(data=st.data(), seed=st.integers(0, 3))
def test_any_batches_and_any_order_of_parts_give_the_same_bits(data, seed):
    last = last_watermarks(seed)
    count = data.draw(st.integers(0, 5))
    draws = {
        n: sorted(data.draw(st.lists(st.integers(T0, w), min_size=count, max_size=count)))
        for n, w in last.items()
    }
    batches = [{n: draws[n][i] for n in last} for i in range(count)] + [last]
    shuffle = np.random.default_rng(data.draw(st.integers(0, 99)))
    out, state = fold_all(seed, batches, shuffle=shuffle, restart=data.draw(st.booleans()))
    expected, expected_state = at_once(seed)
    for found, wanted in zip(out.done(), expected, strict=True):
        assert found == wanted
    assert state == expected_state


@pytest.mark.parametrize("seed", range(4))
def test_the_events_hold_what_the_law_is_about(seed):
    (indicative, executable, studies, triangles, basis, _), _ = at_once(seed)
    assert len(indicative) > 30
    for rows in (executable, triangles):
        statuses = [dict(rest)["status"][0] for *_, rest in rows]
        assert {0, 1, 2} <= set(statuses)
    assert len(studies) > 1
    assert len(basis) > 8
    out, _ = fold_all(seed, [last_watermarks(seed)])
    assert len(set(out.ids)) == len(out.ids), "one row a moment and opportunity or study"


def test_a_batch_without_events_closes_what_expired():
    fold = MergeFold(SETTINGS, anomalies=ANOMALIES)
    rows = inputs(0)["quotes-0"]

    def top(instrument, bid, ask):
        columns = take(rows, np.array([0]))
        code = NAMES.index(instrument)
        values = {"bid_price": bid, "ask_price": ask, "bid_quantity": 1.0, "ask_quantity": 1.0}
        columns |= {n: np.array([v]) for n, v in values.items()}
        columns |= {"time_us": np.array([T0]), "instrument": np.array([code])}
        return events_of("quotes-0", columns)

    parts = [top(("binance", "BTC-USDT"), 99, 100.0), top(("okx", "BTC-USDT"), 110.0, 111.0)]
    opened = fold.step(parts, T0, T0 + 1).executable
    assert opened["status"].tolist() == [0]
    assert not row_count(fold.step([], T0, T0 + 1_500_000).executable)
    restored = MergeFold(SETTINGS, anomalies=ANOMALIES)
    restored.restore(fold.state())
    closed = restored.step([], T0, T0 + 1_500_001).executable
    assert closed["status"].tolist() == [2]
    assert closed["time_us"].tolist() == [T0 + 1_500_001]
    assert closed["since_us"].tolist() == [T0]


def test_an_instrument_that_left_the_reference_table_is_named():
    fold = MergeFold(SETTINGS, anomalies=ANOMALIES)
    empty = pack_arrays({})
    with pytest.raises(ValueError, match="mtgox BTC-USD is in the state but not in the reference"):
        fold.step([MergeEvents([("mtgox", "BTC-USD")], empty, empty)], 0, 0)


def test_fees_come_from_the_settings_before_the_reference_table():
    for fees, expected in (
        (SpreadSettings(), [10.0, 15.0]),
        (SpreadSettings(taker_fee_bps={"okx": 3.0}), [10.0, 3.0]),
        (SpreadSettings(taker_fee_bps={"okx": 3.0}, uniform_taker_fee_bps=1.5), [1.5, 1.5]),
    ):
        fold = MergeFold(fees)
        empty = pack_arrays({})
        names = [("okx", "BTC-USDT"), ("binance", "BTC-USDT")]
        output = fold.step([MergeEvents(names, empty, empty)], 0, 0)
        assert [i.venue for i in output.instruments] == ["binance", "okx"]
        assert [i.taker_fee_bps for i in output.instruments] == expected


def test_interval_codes_are_those_of_the_families():
    assert INTERVALS[:2] == ("1s", "1m")
