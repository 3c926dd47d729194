"""Example: Kraken candles of one pair, the interval in minutes. python3 kraken.py BTC/USD 1"""

from bridge import arguments, forward, run, subject

symbol, minutes = arguments("BTC/USD 1", 2)
channel = {"channel": "ohlc", "symbol": [symbol], "interval": int(minutes), "snapshot": True}
subscribe = [{"method": "subscribe", "params": channel}]
run(forward("wss://ws.kraken.com/v2", subject(symbol), subscribe, ping={"method": "ping"}))
