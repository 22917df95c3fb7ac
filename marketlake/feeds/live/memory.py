"""What a feed remembers of each instrument across connections: trades and bars it handed on."""

from __future__ import annotations

from collections import OrderedDict

from marketlake.contracts.events import Bar, Trade

_Content = tuple[int, float, float, str | None]


class TradeHistory:
    """Tells repeated trades from new ones, and finds holes in numbered ones.

    A venue sends its latest trades again on each new connection. Those with an id are known by it.
    Those without are known by their content, but only among the first of a connection, those not
    later than the last before it: two equal trades in a row are otherwise two trades.

    Parameters
    ----------
    size : int
        Trades that are remembered.
    contiguous : bool
        Each id is its predecessor's plus one.
    begin_us : int
        Trades from before are history that a venue sends along, and not this feed's.
    """

    def __init__(self, size: int, *, contiguous: bool, begin_us: int) -> None:
        self._size = size
        self._contiguous = contiguous
        self._begin_us = begin_us
        self._seen: OrderedDict[str | _Content, None] = OrderedDict()
        self._latest_us = 0
        self._resumed_us = 0
        self._last_id: int | None = None
        self.missed = 0
        """Trades missing before the one admitted last."""

    def reconnected(self) -> None:
        """Note that another connection begins."""
        self._resumed_us = self._latest_us

    def refuse(self, trade: Trade) -> str | None:
        """Take in a trade, or say why not: ``repeat`` or ``history``."""
        self.missed = 0
        if trade.event_time_us < self._begin_us:
            return "history"
        key = trade.trade_id if trade.trade_id is not None else _content(trade)
        known = key in self._seen
        if known and (trade.trade_id is not None or trade.event_time_us <= self._resumed_us):
            return "repeat"
        self._seen[key] = None
        if len(self._seen) > self._size:
            self._seen.popitem(last=False)
        self._latest_us = max(self._latest_us, trade.event_time_us)
        self._count_missed(trade)
        return None

    def _count_missed(self, trade: Trade) -> None:
        if not self._contiguous or trade.trade_id is None or not trade.trade_id.isdecimal():
            return
        number = int(trade.trade_id)
        if self._last_id is not None and number > self._last_id + 1:
            self.missed = number - self._last_id - 1
        self._last_id = max(number, self._last_id or 0)


def _content(trade: Trade) -> _Content:
    return trade.event_time_us, trade.price, trade.quantity, trade.side


class ClosedBars:
    """Gives each bar once, when the next one has begun: until then a venue may change it.

    Parameters
    ----------
    begin_us : int
        Bars that opened before are not this feed's to publish.
    """

    def __init__(self, begin_us: int) -> None:
        self._begin_us = begin_us
        self._open: dict[int, Bar] = {}
        self._given_us = -1

    def update(self, bars: list[Bar]) -> tuple[list[Bar], list[str]]:
        """Take states of bars, and give those closed by them, with reasons for those left out.

        ``history``: from before the feed began. ``late_bar``: a change of a bar already given.
        """
        reasons: list[str] = []
        for bar in bars:
            if bar.event_time_us < self._begin_us:
                reasons.append("history")
            elif bar.event_time_us <= self._given_us:
                reasons.append("late_bar")
            else:
                self._open[bar.event_time_us] = bar
        if not self._open:
            return [], reasons
        newest_us = max(self._open)
        closed = [self._open.pop(time_us) for time_us in sorted(self._open) if time_us < newest_us]
        if closed:
            self._given_us = closed[-1].event_time_us
        return closed, reasons


class Memory:
    """The histories of a source, one an instrument.

    Parameters
    ----------
    repeat_trades, contiguous_ids, begin_us
        As of `TradeHistory`.
    bar_us : int
        Length of a bar. The bar that is open at ``begin_us`` is the first to be given: the venue
        saw all of it.
    """

    def __init__(
        self, *, repeat_trades: int, contiguous_ids: bool, begin_us: int, bar_us: int
    ) -> None:
        self._repeat_trades = repeat_trades
        self._contiguous_ids = contiguous_ids
        self._begin_us = begin_us
        self._bar_us = bar_us
        self._trades: dict[str, TradeHistory] = {}
        self._bars: dict[str, ClosedBars] = {}

    def trades(self, instrument: str) -> TradeHistory:
        """Give the trades of an instrument."""
        if instrument not in self._trades:
            self._trades[instrument] = TradeHistory(
                self._repeat_trades, contiguous=self._contiguous_ids, begin_us=self._begin_us
            )
        return self._trades[instrument]

    def bars(self, instrument: str) -> ClosedBars:
        """Give the bars of an instrument."""
        if instrument not in self._bars:
            self._bars[instrument] = ClosedBars(self._begin_us - self._begin_us % self._bar_us)
        return self._bars[instrument]

    def reconnected(self) -> None:
        """Note that another connection begins."""
        for history in self._trades.values():
            history.reconnected()
