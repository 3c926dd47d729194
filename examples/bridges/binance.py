"""Example: Binance klines of one pair. python3 binance.py BTCUSDT 1m"""

from bridge import arguments, forward, run, subject

symbol, interval = arguments("BTCUSDT 1m", 2)
stream = f"{symbol.lower()}@kline_{interval}"
run(forward(f"wss://data-stream.binance.vision/ws/{stream}", subject(symbol.upper())))
