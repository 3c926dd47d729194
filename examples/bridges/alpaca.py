"""Example: Alpaca minute bars of one stock. APCA_API_KEY_ID=… APCA_API_SECRET_KEY=… python3 alpaca.py AAPL"""

from bridge import arguments, forward, run, secret, subject

(symbol,) = arguments("AAPL", 1)
key, password = secret("APCA_API_KEY_ID"), secret("APCA_API_SECRET_KEY")
subscribe = [
    {"action": "auth", "key": key, "secret": password},
    # updatedBars: a bar again, with trades that came late
    {"action": "subscribe", "bars": [symbol], "updatedBars": [symbol]},
]
run(forward("wss://stream.data.alpaca.markets/v2/iex", subject(symbol), subscribe))
