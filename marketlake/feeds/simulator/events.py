"""The events of one listing, block after block: trades, quotes, books and the venue's bars."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from marketlake.contracts.events import INTERVAL_US, Bar, Book, Event, EventType, Quote, Trade
from marketlake.feeds.simulator.config import Listing, SimulationConfig
from marketlake.feeds.simulator.delivery import BoolArray, Delivery
from marketlake.feeds.simulator.incidents import Incident, IncidentKind, prints_only
from marketlake.feeds.simulator.prices import FloatArray, IntArray, PricePaths
from marketlake.feeds.simulator.quoting import ListingPrices, requote_times
from marketlake.feeds.simulator.tape import BarMaker, Tape, TradeMaker

STREAMS: Final[tuple[EventType, ...]] = ("trade", "quote", "book", "bar")
ARBITRAGE_QUOTE_STEP_US: Final = 250_000


@dataclass(frozen=True, slots=True)
class Block:
    """A stretch of the simulation, microseconds after its start, the end excluded."""

    begin_us: int
    end_us: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Messages of one stream in one block, with the times they are published at."""

    events: list[Event]
    published_us: IntArray
    late: int = 0
    duplicates: int = 0
    reordered: int = 0
    lost: int = 0


class ListingStream:
    """Generates what one venue publishes of one instrument; blocks must come in order."""

    def __init__(
        self,
        listing: Listing,
        config: SimulationConfig,
        paths: PricePaths,
        incidents: Sequence[Incident],
        seed: np.random.SeedSequence,
        shares: tuple[float, float],
    ) -> None:
        concerned = [one for one in incidents if one.concerns(listing.venue, listing.instrument)]
        noise_seed, prints_seed, *seeds = seed.spawn(2 + 2 * len(STREAMS))
        self._listing = listing
        self._config = config
        self._paths = paths
        self._prices = ListingPrices(
            listing, config, paths, concerned, np.random.default_rng(noise_seed)
        )
        self._rng = dict(zip(STREAMS, map(np.random.default_rng, seeds[:4]), strict=True))
        self._delivery = {
            name: Delivery(config, self._prices.profile, np.random.default_rng(one))
            for name, one in zip(STREAMS, seeds[4:], strict=True)
        }
        trade_share, quote_share = shares
        self._rates = {
            "quote": config.quotes_per_second * quote_share,
            "book": config.books_per_second * quote_share,
        }
        start_us = config.start_time_us
        self._trades = TradeMaker(
            self._prices,
            paths,
            config.trades_per_second * trade_share,
            [
                (one.start_us - start_us, one.end_us - start_us, one.magnitude)
                for one in concerned
                if one.kind == "bad_print" or prints_only(one)
            ],
            np.random.default_rng(prints_seed),
        )
        self._bars = BarMaker(start_us, keeps_empty=self._prices.profile.publishes_empty_bars)
        self._silent = _windows(concerned, "stale_venue", start_us)
        self._dislocated = _windows(concerned, "arbitrage_real", start_us)
        self._sequence = dict.fromkeys(STREAMS, 0)
        self._last_log_mid = {"quote": math.nan, "book": math.nan}

    def block(self, block: Block) -> list[Batch]:
        """Generate the next block."""
        tape = self._trades.block(self._rng["trade"], block.begin_us, block.end_us)
        batches = [self._trade_batch(tape), self._quote_batch(block), self._book_batch(block)]
        if self._config.bars:
            batches.append(self._bar_batch(block, tape))
        return batches

    def _trade_batch(self, tape: Tape) -> Batch:
        lost = self._delivery["trade"].lost(len(tape.times_us)) & ~tape.planted
        sequences = self._take_sequences("trade", len(lost))
        kept = ~lost
        times_us = tape.times_us[kept]
        columns = (
            times_us + self._config.start_time_us,
            self._prices.to_price(tape.ticks[kept]),
            tape.quantities[kept],
            tape.buys[kept],
            sequences[kept],
        )
        venue, instrument = self._listing.venue, self._listing.instrument

        def build(received: list[int]) -> list[Event]:
            rows = zip(*(column.tolist() for column in columns), received, strict=True)
            return [
                Trade(venue, instrument, t, p, q, str(n), "buy" if b else "sell", n, r)
                for t, p, q, b, n, r in rows
            ]

        return self._send("trade", times_us, int(lost.sum()), build)

    def _quote_batch(self, block: Block) -> Batch:
        times, lost, sequences = self._quoting_times("quote", block)
        bid, ask = self._prices.touch_ticks(times)
        rng = self._rng["quote"]
        sizes = self._prices.sizes(rng, (len(times), 2), times)
        times_us = times.astype(np.int64)
        columns = (
            times_us + self._config.start_time_us,
            self._prices.to_price(bid),
            sizes[:, 0],
            self._prices.to_price(ask),
            sizes[:, 1],
            sequences,
        )
        venue, instrument = self._listing.venue, self._listing.instrument

        def build(received: list[int]) -> list[Event]:
            rows = zip(*(column.tolist() for column in columns), received, strict=True)
            return [Quote(venue, instrument, *row) for row in rows]

        return self._send("quote", times_us, lost, build)

    def _book_batch(self, block: Block) -> Batch:
        times, lost, sequences = self._quoting_times("book", block)
        sides = self._prices.ladder(self._rng["book"], times)
        times_us = times.astype(np.int64)
        stamps = (times_us + self._config.start_time_us).tolist()
        venue, instrument = self._listing.venue, self._listing.instrument

        def build(received: list[int]) -> list[Event]:
            rows = zip(
                stamps,
                *(side.tolist() for side in sides),
                sequences.tolist(),
                received,
                strict=True,
            )
            return [
                Book(
                    venue,
                    instrument,
                    t,
                    list(zip(bids, bid_sizes, strict=True)),
                    list(zip(asks, ask_sizes, strict=True)),
                    n,
                    r,
                )
                for t, bids, bid_sizes, asks, ask_sizes, n, r in rows
            ]

        return self._send("book", times_us, lost, build)

    def _bar_batch(self, block: Block, tape: Tape) -> Batch:
        bars = self._bars.block(
            tape, self._prices.to_price(tape.ticks), block.begin_us, block.end_us
        )
        closes_us = bars.open_times_us + INTERVAL_US["1m"] - self._config.start_time_us
        sequences = self._take_sequences("bar", len(closes_us))
        venue, instrument = self._listing.venue, self._listing.instrument
        volumes = np.round(bars.volumes, self._prices.lot_decimals)
        columns = (*bars.prices, volumes, bars.counts, sequences)

        def build(received: list[int]) -> list[Event]:
            rows = zip(
                bars.open_times_us.tolist(),
                *(column.tolist() for column in columns),
                received,
                strict=True,
            )
            return [Bar(venue, instrument, t, "1m", *row) for t, *row in rows]

        return self._send("bar", closes_us, 0, build)

    def _quoting_times(self, name: EventType, block: Block) -> tuple[FloatArray, int, IntArray]:
        """Draw when quotes or books are sent: times, how many were lost, sequence numbers."""
        rng, rate = self._rng[name], self._rates[name]
        if rate <= 0.0:
            return np.empty(0), 0, np.empty(0, dtype=np.int64)
        base = self._outside_silence(self._paced_times(rng, rate, block))
        lost = self._delivery[name].lost(len(base))
        forced = self._forced_times(name, block)
        standing = np.sort(np.concatenate((base[~lost], forced)))
        within = slice(*np.searchsorted(self._paths.grid_us, (block.begin_us, block.end_us)))
        extra = requote_times(
            self._prices,
            self._paths.grid_us[within],
            standing,
            self._last_log_mid[name],
            self._silent,
        )
        times = np.concatenate((base, forced, extra))
        order = np.argsort(times, kind="stable")
        kept = ~np.concatenate((lost, np.zeros(len(forced) + len(extra), dtype=np.bool_)))[order]
        times = times[order][kept]
        if len(times):
            self._last_log_mid[name] = float(self._prices.log_mid(times[-1:])[0])
        return times, int(lost.sum()), self._take_sequences(name, len(order))[kept]

    def _paced_times(self, rng: np.random.Generator, rate: float, block: Block) -> FloatArray:
        """Draw one time in each equal step of activity: no long pause by chance."""
        edges = np.array([block.begin_us, block.end_us], dtype=np.float64)
        begin, end = np.interp(edges, self._paths.grid_us, self._paths.cumulative_s)
        count = int(rate * (end - begin) + rng.random())
        steps = (np.arange(count) + rng.random(count)) / max(count, 1)
        at = begin + steps * (end - begin)
        times: FloatArray = np.floor(np.interp(at, self._paths.cumulative_s, self._paths.grid_us))
        return np.minimum(times, block.end_us - 1)

    def _outside_silence(self, times: FloatArray) -> FloatArray:
        speaking: BoolArray = np.ones(len(times), dtype=np.bool_)
        for start_us, end_us in self._silent:
            speaking &= (times < start_us) | (times >= end_us)
        return times[speaking]

    def _forced_times(self, name: EventType, block: Block) -> FloatArray:
        """List the quotes without which an incident would not begin or end when its label says."""
        step_us = ARBITRAGE_QUOTE_STEP_US * (1 if name == "quote" else 4)
        forced = [float(end_us) for _, end_us in self._silent]
        for start_us, end_us in self._dislocated:
            forced += np.arange(start_us, end_us, step_us, dtype=np.float64).tolist()
            forced.append(float(end_us))
        times = np.sort(np.array(forced))
        return times[(times >= block.begin_us) & (times < block.end_us)]

    def _take_sequences(self, name: EventType, count: int) -> IntArray:
        first = self._sequence[name] + 1
        self._sequence[name] += count
        return np.arange(first, first + count, dtype=np.int64)

    def _send(
        self,
        name: EventType,
        sent_us: IntArray,
        lost: int,
        build: Callable[[list[int]], list[Event]],
    ) -> Batch:
        delivered = self._delivery[name].deliver(sent_us)
        events = build((delivered.received_us + self._config.start_time_us).tolist())
        events += [events[index] for index in delivered.copy_of.tolist()]
        return Batch(
            events,
            np.concatenate((delivered.published_us, delivered.copy_published_us)),
            delivered.late,
            len(delivered.copy_of),
            delivered.reordered,
            lost,
        )


def _windows(
    incidents: Sequence[Incident], kind: IncidentKind, start_time_us: int
) -> list[tuple[int, int]]:
    return [
        (one.start_us - start_time_us, one.end_us - start_time_us)
        for one in incidents
        if one.kind == kind
    ]
