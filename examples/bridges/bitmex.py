"""Example: BitMEX bins of one contract: 1m, 5m, 1h or 1d. python3 bitmex.py XBTUSD 1m"""

from bridge import arguments, forward, run, subject

symbol, size = arguments("XBTUSD 1m", 2)
subscribe = [{"op": "subscribe", "args": [f"tradeBin{size}:{symbol}"]}]
run(forward("wss://ws.bitmex.com/realtime", subject(symbol), subscribe, ping="ping"))
