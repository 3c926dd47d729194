"""Example: Twelve Data time series, asked for every minute. TWELVEDATA_API_KEY=… python3 twelvedata.py AAPL 1min

A series is one answer with its newest bar first, which the agent takes to be forming until the next one comes.
"""

from functools import partial
from urllib.parse import urlencode

from bridge import arguments, get, poll, run, secret, subject

symbol, interval = arguments("AAPL 1min", 2)
asked = {"symbol": symbol, "interval": interval, "outputsize": 60, "apikey": secret("TWELVEDATA_API_KEY")}
url = "https://api.twelvedata.com/time_series?" + urlencode(asked)
run(poll(partial(get, url), subject(symbol), every=60))
