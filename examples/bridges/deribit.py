"""Example: Deribit chart bars of one instrument, in minutes or 1D. python3 deribit.py BTC-PERPETUAL 1"""

from bridge import arguments, forward, run, subject

instrument, resolution = arguments("BTC-PERPETUAL 1", 2)
channels = {"channels": [f"chart.trades.{instrument}.{resolution}"]}
subscribe = [{"jsonrpc": "2.0", "id": 1, "method": "public/subscribe", "params": channels}]
ping = {"jsonrpc": "2.0", "id": 2, "method": "public/test", "params": {}}
run(forward("wss://www.deribit.com/ws/api/v2", subject(instrument), subscribe, ping))
