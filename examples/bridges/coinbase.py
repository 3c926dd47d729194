"""Example: Coinbase candles of one product, always of five minutes. python3 coinbase.py BTC-USD"""

from bridge import arguments, forward, run, subject

(product,) = arguments("BTC-USD", 1)
subscribe = [
    {"type": "subscribe", "channel": "candles", "product_ids": [product]},
    # without heartbeats the connection is closed when little is traded
    {"type": "subscribe", "channel": "heartbeats"},
]
run(forward("wss://advanced-trade-ws.coinbase.com", subject(product), subscribe))
