"""From what was asked for on the command line to sources."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from marketlake.contracts.instruments import resolve
from marketlake.contracts.venues import Market
from marketlake.feeds.live.alpaca import AlpacaSource
from marketlake.feeds.live.ccxt_source import CcxtSource
from marketlake.feeds.live.ledger import Ledger
from marketlake.feeds.live.ports import CHANNELS, Channel, FeedError, LiveSource
from marketlake.feeds.live.venues import EQUITY_VENUES, LIVE_NAMES, LIVE_VENUES
from marketlake.settings.model import FeedSettings


def parse_venues(text: str) -> tuple[str, ...]:
    """Read venues with commas between.

    Raises
    ------
    FeedError
        One is not known; the line names what comes near.
    """
    names = _words(text, "--venues names no venue")
    for name in names:
        if name not in LIVE_NAMES:
            close = get_close_matches(name.lower(), LIVE_NAMES, 4, 0.6)
            hint = f"; near it: {', '.join(close)}" if close else ""
            raise FeedError(
                f"no live venue {name!r}{hint}; docs/feeds.md lists the {len(LIVE_NAMES)} there are"
            )
    return names


def parse_channels(text: str) -> tuple[Channel, ...]:
    """Read channels with commas between.

    Raises
    ------
    FeedError
        One is not known.
    """
    names = _words(text, "--channels names no channel")
    for name in names:
        if name not in CHANNELS:
            raise FeedError(f"no channel {name!r}; there are {', '.join(CHANNELS)}")
    return tuple(channel for channel in CHANNELS if channel in names)


def parse_instruments(text: str, venues: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Read instruments with commas between, each for all venues or as ``VENUE/INSTRUMENT``.

    Returns
    -------
    dict of str to tuple of str
        Instruments by venue; those named without a venue first.

    Raises
    ------
    FeedError
        A venue stands there that ``--venues`` lacks, or a venue is left without an instrument.
    """
    wanted: dict[str, list[str]] = {venue: [] for venue in venues}
    for word in _words(text, "--instruments names no instrument"):
        venue, slash, instrument = word.rpartition("/")
        if slash and venue not in wanted:
            raise FeedError(f"--instruments has {word}, but --venues lacks {venue}")
        for name in [venue] if slash else venues:
            if instrument not in wanted[name]:
                wanted[name].append(instrument)
    for venue, names in wanted.items():
        if not names:
            raise FeedError(f"--instruments has nothing for {venue}")
    return {venue: tuple(names) for venue, names in wanted.items()}


def _words(text: str, otherwise: str) -> tuple[str, ...]:
    words = tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
    if not words:
        raise FeedError(otherwise)
    return words


def market_of(venue: str, instrument: str) -> Market:
    """Tell which market an instrument belongs to, or would if the venue had it."""
    known = resolve(venue, instrument)
    if known is not None:
        return known.market
    return "perp" if instrument.endswith("-PERP") else "spot"


def make_sources(
    wanted: dict[str, tuple[str, ...]],
    channels: Sequence[Channel],
    settings: FeedSettings,
    ledger: Ledger,
    alpaca_credentials: tuple[str, str] | None,
) -> list[LiveSource]:
    """Make the sources; a venue whose markets need several ccxt classes has one for each.

    Raises
    ------
    FeedError
        A venue has not the market of an instrument, or an extra is not installed.
    """
    sources: list[LiveSource] = []
    for venue, instruments in wanted.items():
        if venue in EQUITY_VENUES:
            sources.append(
                AlpacaSource(instruments, channels, settings, ledger, alpaca_credentials)
            )
            continue
        place = LIVE_VENUES[venue]
        by_class: dict[str, list[str]] = {}
        for instrument in instruments:
            market = market_of(venue, instrument)
            ccxt_class = place.classes.get(market)
            if ccxt_class is None:
                has = ", ".join(place.classes)
                raise FeedError(f"{venue} has no {instrument}: it is watched for {has} only")
            by_class.setdefault(ccxt_class, []).append(instrument)
        sources += [
            CcxtSource(place, ccxt_class, names, channels, settings, ledger)
            for ccxt_class, names in by_class.items()
        ]
    return sources
