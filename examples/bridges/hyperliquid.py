"""Example: Hyperliquid candles of one coin. python3 hyperliquid.py BTC 1m"""

from bridge import arguments, forward, run, subject

coin, interval = arguments("BTC 1m", 2)
candles = {"type": "candle", "coin": coin, "interval": interval}
subscribe = [{"method": "subscribe", "subscription": candles}]
run(forward("wss://api.hyperliquid.xyz/ws", subject(coin), subscribe, ping={"method": "ping"}))
