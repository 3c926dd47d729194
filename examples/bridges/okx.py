"""Example: OKX candles of one instrument. python3 okx.py BTC-USDT 1m (days: 1Dutc, not 1D)"""

from bridge import arguments, forward, run, subject

instrument, bar = arguments("BTC-USDT 1m", 2)
subscribe = [{"op": "subscribe", "args": [{"channel": f"candle{bar}", "instId": instrument}]}]
# candles are on the business endpoint; it closes what is silent for 30 seconds
url = "wss://ws.okx.com:8443/ws/v5/business"
run(forward(url, subject(instrument), subscribe, ping="ping"))
