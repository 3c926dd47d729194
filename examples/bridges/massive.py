"""Example: Massive (Polygon.io) minute bars of one stock. MASSIVE_API_KEY=… python3 massive.py AAPL"""

from bridge import arguments, forward, run, secret, subject

(symbol,) = arguments("AAPL", 1)
subscribe = [
    {"action": "auth", "params": secret("MASSIVE_API_KEY")},
    {"action": "subscribe", "params": f"AM.{symbol}"},
]
# plans without real time: wss://delayed.massive.com/stocks
run(forward("wss://socket.massive.com/stocks", subject(symbol), subscribe))
