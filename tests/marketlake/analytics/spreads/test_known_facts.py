"""What is known of the recorded data: the folds must find it, and nothing more."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from marketlake.analytics.depth.market import empty_market, top_rows
from marketlake.analytics.depth.terms import Terms
from marketlake.analytics.spreads.executable import ExecutableSpreads
from marketlake.analytics.spreads.indicative import NO_CLOSE_US, IndicativeSpreads
from marketlake.analytics.spreads.pair import PAIR_WIDTH
from marketlake.analytics.spreads.universe import build_universe
from marketlake.contracts.instruments import resolve, with_fee
from tests.marketlake.analytics.depth import plain_walk

pytestmark = pytest.mark.recorded

LEVELS = 10
SECOND_US = 1_000_000
MIN_NOTIONAL = 10.0


@pytest.fixture(scope="module")
def link(recorded_data):
    """Books a second of both venues, of a repeated second the later one."""
    folder = recorded_data / "link-books-2021-08-20"
    books = [pd.read_csv(folder / f"orderbook_{name}.csv.gz") for name in ("bnc", "hb")]
    return [book.drop_duplicates("timestamp", keep="last").set_index("timestamp") for book in books]


def levels_of(book):
    """Prices and sizes: ``[rows, 4, levels]``."""
    kinds = ("b", "bv", "a", "av")
    return np.stack(
        [book[[f"{k}{n}" for n in range(1, LEVELS + 1)]].to_numpy(float) for k in kinds], axis=1
    )


def opportunities(link, fee_bps, **costs):
    """Rows of the fold: binance is instrument 0, huobi 1."""
    listed = [with_fee(resolve(v, "LINK-USDT"), fee_bps) for v in ("binance", "huobi")]
    parts = []
    for code, book in enumerate(link):
        levels = levels_of(book)
        times = pd.to_datetime(book.index, utc=True).as_unit("us").astype("int64").to_numpy()
        parts.append((times, np.full(times.size, code), levels))
    times, codes, levels = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort([codes, times])
    levels = levels[order]
    names = ("bid_price", "bid_quantity", "ask_price", "ask_quantity")
    columns = {name: levels[:, at, 0].copy() for at, name in enumerate(names)}
    columns |= {"time_us": times[order], "instrument": codes[order]}
    columns |= {"book": np.arange(order.size), "levels": levels}
    universe, _ = build_universe(listed)
    zero = np.zeros(2)
    values = {"slippage_bps": 0.0, "transfer_bps": 0.0, **costs}
    terms = Terms(
        2 * SECOND_US, SECOND_US, 0.0, min_notional=np.full(2, MIN_NOTIONAL), base_withdrawal=zero,
        quote_withdrawal=zero, **values,
    )  # fmt: skip
    market = empty_market(2, LEVELS).with_levels()
    fold = ExecutableSpreads(universe, terms, market, np.zeros((4, PAIR_WIDTH)))
    return fold.step(top_rows(columns, LEVELS), int(times.max()))


def test_the_books_of_link_cross_in_186_per_mille_of_the_seconds_by_8_bps_at_most(link):
    one, two = link
    gross = pd.concat([two["b1"] / one["a1"] - 1, one["b1"] / two["a1"] - 1], axis=1).max(axis=1)
    assert round((gross > 0).mean() * 100, 1) == 18.6
    assert round(gross.max() * 1e4, 1) == 8.0


def test_at_ten_bps_a_leg_no_opportunity_is_left_through_depth_either(link):
    assert opportunities(link, 10.0)["time_us"].size == 0


def test_at_two_bps_every_opportunity_is_that_of_a_walk_from_scratch_each_second(link):
    found = opportunities(link, 2.0)
    assert found["time_us"].size > 10
    assert (found["quantity"] > 0).all()
    books = {code: levels_of(book) for code, book in enumerate(link)}
    times = [pd.to_datetime(book.index, utc=True).as_unit("us").astype("int64") for book in link]
    at = {code: dict(zip(t.tolist(), range(len(t)), strict=True)) for code, t in enumerate(times)}
    expected, last = {}, {}
    for now_us in sorted({*at[0], *at[1]}):
        last |= {code: at[code][now_us] for code in (0, 1) if now_us in at[code]}
        for buy, sell in ((0, 1), (1, 0)):
            if len(last) < 2 or any(now_us - times[c][last[c]] > 2 * SECOND_US for c in (0, 1)):
                continue
            asks = list(books[buy][last[buy]][2:].T)
            bids = list(books[sell][last[sell]][:2].T)
            if bids[0][0] / asks[0][0] <= 1.0:
                continue
            spent, out = plain_walk.walk([("buy", asks), ("sell", bids)], 4.0, 0.0)
            if spent >= MIN_NOTIONAL:
                expected[now_us, buy, sell] = out[0], (out[1] / spent - 1) * 1e4
    rows = zip(
        *(found[n].tolist() for n in (
            "time_us", "buy", "sell", "status", "quantity", "gross_bps", "since_us"
        )), strict=True,
    )  # fmt: skip
    opened = {}
    for now_us, buy, sell, status, quantity, gross_bps, since_us in rows:
        if status == 2:
            assert (now_us, buy, sell) not in expected
            continue
        assert (quantity, gross_bps) == pytest.approx(expected[now_us, buy, sell], rel=1e-9)
        opened[since_us, buy, sell] = now_us
    # Each second that pays lies in an opportunity that has opened by then.
    begins = {
        key for key in expected
        if (key[0] - SECOND_US, *key[1:]) not in expected
        or key[0] - SECOND_US not in {*at[0], *at[1]}
    }  # fmt: skip
    assert {(since, buy, sell) for since, buy, sell in opened} == begins


def test_depth_finds_more_than_the_best_prices_do(link):
    best = [book.copy() for book in link]
    for book in best:
        book.loc[:, [f"{k}{n}" for k in ("b", "a") for n in range(2, LEVELS + 1)]] = np.nan
    shallow, deep = opportunities(best, 2.0), opportunities(link, 2.0)
    assert deep["capacity"].max() > shallow["capacity"].max()
    assert deep["time_us"].size >= shallow["time_us"].size


def test_slippage_takes_what_fees_leave(link):
    assert opportunities(link, 2.0, slippage_bps=2.1)["time_us"].size == 0


def test_kraken_and_coinbase_closes_are_as_far_apart_as_is_known(recorded_data):
    folder = recorded_data / "depeg-2023-03"
    kraken = pd.read_parquet(folder / "kraken_btcusd.parquet")
    coinbase = pd.read_parquet(folder / "coinbase_btcusd.parquet")
    series = {}
    times = pd.to_datetime(kraken.index, utc=True).as_unit("us").astype("int64")
    series[1] = times, kraken["close"].astype(float), kraken["volume"].astype(float)
    times = coinbase["start"].astype("int64") * SECOND_US
    series[0] = times, coinbase["close"].astype(float), coinbase["volume"].astype(float)
    rows = sorted(
        (int(t) + 60 * SECOND_US - 1, code, float(close), float(volume))
        for code, columns in series.items()
        for t, close, volume in zip(*columns, strict=True)
    )
    listed = [with_fee(resolve(v, "BTC-USD"), 10.0) for v in ("coinbase", "kraken")]
    universe, _ = build_universe(listed)
    fold = IndicativeSpreads(
        universe, 60 * SECOND_US - 1, np.full((2, 2), np.nan), np.full((2, 2), NO_CLOSE_US)
    )
    time_us, code, close, volume = (np.array(column) for column in zip(*rows, strict=True))
    out = fold.step(
        {"time_us": time_us, "instrument": code, "interval": np.ones(code.size, np.int64),
         "close": close, "volume": volume}
    )  # fmt: skip
    gap = out["gross_bps"]
    assert np.median(gap).round(1) == 1.6
    assert np.percentile(gap, 99).round() == 18
    assert int(gap.max()) == 57
    assert ((gap - out["fees_bps"]) > 0).mean() < 0.01
