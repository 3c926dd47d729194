"""Example: Finnhub, which sends trades and no bars. FINNHUB_API_KEY=… python3 finnhub.py AAPL

The agent refuses trades as `trade` and keeps them as dead letters. See docs/bridges.md.
"""

from bridge import arguments, forward, run, secret, subject

(symbol,) = arguments("AAPL", 1)
subscribe = [{"type": "subscribe", "symbol": symbol}]
run(forward(f"wss://ws.finnhub.io?token={secret('FINNHUB_API_KEY')}", subject(symbol), subscribe))
