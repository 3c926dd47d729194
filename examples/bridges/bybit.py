"""Example: Bybit klines of one spot pair, the interval as Bybit names it. python3 bybit.py BTCUSDT 1"""

from bridge import arguments, forward, run, subject

symbol, interval = arguments("BTCUSDT 1", 2)
subscribe = [{"op": "subscribe", "args": [f"kline.{interval}.{symbol}"]}]
# contracts: …/v5/public/linear and …/v5/public/inverse
url = "wss://stream.bybit.com/v5/public/spot"
run(forward(url, subject(symbol), subscribe, ping={"op": "ping"}))
