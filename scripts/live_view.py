#!/usr/bin/env python3
"""Signals as they arrive, a line each; Ctrl-C ends it. Needs Python 3.8, nothing else."""

import argparse
import json
import pathlib
import queue
import signal
import sys
import tempfile

from demo_nats import Subscriber

ROW = "{:<20} {:<9} {:<4} {:>11} {:>6} {:>10} {:<8} {:<10} {:<22} {}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="of the NATS server")
    parser.add_argument("--port", type=int, default=4222, help="of the NATS server")
    parser.add_argument("--subject", default="insight.technical.>", help="what to show")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)

    arrived = queue.Queue()
    subscriber = Subscriber(options.host, options.port, [options.subject], arrived.put)
    # tells a container's health check that no signal will be missed from now on
    (pathlib.Path(tempfile.gettempdir()) / "subscribed").touch()
    print(ROW.format("bar (UTC)", "symbol", "tf", "close", "RSI", "MACD hist", "trend",
                     "momentum", "agent", "alerts"), flush=True)
    while True:
        try:
            message = arrived.get(timeout=1)
        except queue.Empty:
            if subscriber.error or not subscriber.is_open():
                print(f"the connection is gone: {subscriber.error}", file=sys.stderr)
                return 1
            continue
        print(line(json.loads(message.payload), message.headers.get("ta-agent", "?")), flush=True)


def line(row, agent):
    def number(name, form):
        return "–" if row[name] is None else format(row[name], form)

    return ROW.format(row["timestamp"], row["symbol"], row["timeframe"], number("close", ".6g"),
                      number("rsi", ".1f"), number("macd_histogram", "+.5f"), row["trend_signal"],
                      row["momentum_signal"], agent[-22:], " ".join(row["alerts"]))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        pass
