"""Prices of companies that do not exist: the same random walk on every machine, no network."""

import math
import random
from dataclasses import dataclass
from datetime import date, timedelta

FIRST, LAST = date(2024, 1, 1), date(2026, 6, 30)
COMPANIES = {
    "HBL": "Harbour Lines",
    "NWK": "Northwick Steel",
    "PLV": "Plover Foods",
    "QTZ": "Quartzite Energy",
    "TDW": "Tidewater Robotics",
}
# Yearly drift, yearly volatility, share of the common market, first price.
CHARACTER = {
    "HBL": (0.09, 0.20, 0.7, 42.0),
    "NWK": (-0.04, 0.27, 0.8, 118.0),
    "PLV": (0.06, 0.12, 0.4, 64.0),
    "QTZ": (0.12, 0.34, 0.6, 27.0),
    "TDW": (0.05, 0.30, 0.5, 36.0),
}
TRADING_DAYS = 252


@dataclass(frozen=True)
class Series:
    """Closing prices, one a trading day."""

    days: list[date]
    closes: list[float]

    def between(self, first: date, last: date) -> "Series":
        kept = [(d, c) for d, c in zip(self.days, self.closes, strict=True) if first <= d <= last]
        return Series([day for day, _ in kept], [close for _, close in kept])


def trading_days() -> list[date]:
    """Mondays to Fridays from FIRST to LAST."""
    span = (FIRST + timedelta(days=n) for n in range((LAST - FIRST).days + 1))
    return [day for day in span if day.weekday() < 5]


def walk(symbol: str, days: list[date], market: list[float]) -> Series:
    """A geometric random walk, tied to what the market did on the same day."""
    drift, volatility, share, price = CHARACTER[symbol]
    own = random.Random(f"moorage-{symbol}")
    daily, rest = volatility / math.sqrt(TRADING_DAYS), math.sqrt(1 - share**2)
    closes: list[float] = []
    for shock in market:
        step = share * shock + rest * own.gauss(0, 1)
        price *= math.exp((drift - volatility**2 / 2) / TRADING_DAYS + daily * step)
        closes.append(round(price, 2))
    return Series(days, closes)


def all_prices() -> dict[str, Series]:
    """Every company's prices by symbol."""
    days = trading_days()
    common = random.Random("moorage-market")
    market = [common.gauss(0, 1) for _ in days]
    return {symbol: walk(symbol, days, market) for symbol in COMPANIES}
