"""Example: candles of any exchange that ccxt knows, asked for every few seconds. python3 ccxt_poll.py kraken BTC/USDT 1m

A row of ccxt names no symbol and no timeframe, so the subject has both. The newest row is forming.
"""

import os

import ccxt
from bridge import arguments, poll, run, subject

name, symbol, timeframe = arguments("kraken BTC/USDT 1m", 3)
exchange = getattr(ccxt, name)({"enableRateLimit": True})
if "BRIDGE_URL" in os.environ:
    exchange.urls["api"] = {part: os.environ["BRIDGE_URL"] for part in exchange.urls["api"]}


def fetch():
    try:
        return exchange.fetch_ohlcv(symbol, timeframe, limit=60)
    except ccxt.NetworkError as error:
        raise OSError(error) from error


run(poll(fetch, subject(symbol, timeframe), every=5))
