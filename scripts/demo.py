#!/usr/bin/env python3
"""The demonstration behind `make demo`.

A nats-server of its own, two agents of one group, and the repository's real bars fed to them:
signals are shown as they arrive, and at the end everything that arrived is compared, byte by
byte, with what `technical-analysis-agent replay` makes of the same bars. Exit code 0 only when
nothing is missing, nothing came twice and every byte agrees. Needs Python 3.8, nothing else.
"""

import argparse
import collections
import contextlib
import csv
import datetime
import json
import os
import pathlib
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time

from demo_nats import Subscriber
from demo_processes import Failed, Processes

ROOT = pathlib.Path(__file__).resolve().parent.parent
BARS = ROOT / "tests" / "data" / "bars"
AGENTS = ("demo-1", "demo-2")
# With no signal for this long after the last bar, the rest is not coming.
QUIET = 3


def main():
    options = arguments()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    # the thread that notes when a message came must not wait for the one that prints
    sys.setswitchinterval(0.0002)
    with contextlib.ExitStack() as cleanup:
        try:
            demonstrate(options, cleanup)
        except Failed as failure:
            print(f"\nFAILED: {failure}", flush=True)
            return 1
        except KeyboardInterrupt:
            print("\nstopped; cleaning up", flush=True)
            return 130
        finally:
            # a second Ctrl-C must not leave anything running
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
    return 0


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--bars", type=int, default=250, metavar="N",
                        help="the last N bars of each series (default %(default)s; 0: all)")
    parser.add_argument("--seconds", type=float, default=15, metavar="S",
                        help="spread the feed over about S seconds (default %(default)s)")
    options = parser.parse_args()
    if options.bars < 0 or options.seconds <= 0:
        parser.error("--bars must not be negative and --seconds must be positive")
    return options


def demonstrate(options, cleanup):
    agent = build()
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="technical-demo-"))
    cleanup.callback(shutil.rmtree, scratch, ignore_errors=True)
    processes = Processes(scratch)
    cleanup.callback(processes.end)

    heading("start")
    port = processes.nats_server()
    processes.environment["NATS_URL"] = f"nats://127.0.0.1:{port}"
    bars = merged_bars(options.bars, scratch / "bars.csv")
    print(f"nats-server on port {port}; {len(bars)} bars of "
          f"{len({series for series, _ in bars})} series from {BARS.relative_to(ROOT)}")
    expected = replay(agent, processes, scratch / "bars.csv")
    print(f"replay of these bars makes {len(expected)} signals: that many must arrive")
    for name in AGENTS:
        processes.agent(agent, name)
    watch = Watch(port)
    cleanup.callback(watch.close)

    heading("live signals (four a second; those with alerts first)")
    rate = max(1, round(len(bars) / options.seconds))
    began = time.monotonic()
    feed = processes.feed(agent, scratch / "bars.csv", rate)
    watch.show(feed, len(expected))
    took = time.monotonic() - began
    if feed.returncode != 0:
        raise Failed(f"feed ended with exit code {feed.returncode}:\n{processes.log_end('feed')}")

    print(processes.log_end("feed", "feed: "))

    heading("status (GET /status of each agent)")
    print(side_by_side([processes.get(name, "/status") for name in AGENTS]))

    heading("drain")
    processes.drain(AGENTS)
    watch.subscriber.catch_up()
    conclude(bars, expected, watch, took)


def build():
    """Builds the agent with cargo's own progress and returns the path of the binary."""
    ready_made = os.environ.get("TECHNICAL_AGENT_BIN")
    if ready_made:
        return os.path.abspath(ready_made)
    heading("build")
    command = [os.environ.get("CARGO") or "cargo", "build", "--release",
               "--message-format=json-render-diagnostics"]
    cargo = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    binary = None
    try:
        for line in cargo.stdout:
            if line.startswith("{"):
                binary = json.loads(line).get("executable") or binary
    except BaseException:
        cargo.terminate()
        cargo.wait()
        raise
    if cargo.wait() != 0:
        raise Failed("the build failed; cargo's messages are above")
    if binary is None:
        raise Failed("cargo built no binary")
    return binary


def merged_bars(per_series, target):
    """Writes the series of the repository into one file, interleaved so that they all last
    equally long, and returns [(series, timestamp)] in that order."""
    rows = []
    header = None
    for path in sorted(BARS.glob("*.csv")):
        with path.open(newline="") as file:
            header, *series = csv.reader(file)
        series = series[-per_series:]  # -0 is 0, which is all
        rows += [((at + 0.5) / len(series), row) for at, row in enumerate(series)]
    if not rows:
        raise Failed(f"no bars in {BARS}")
    rows.sort(key=lambda placed: placed[0])
    with target.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *(row for _, row in rows)])
    columns = [header.index(name) for name in ("symbol", "timeframe", "timestamp")]
    return [bar_key(*(row[at] for at in columns)) for _, row in rows]


def bar_key(symbol, timeframe, timestamp):
    """What a bar is known by: its series and its time in nanoseconds."""
    if isinstance(timestamp, str) and not timestamp.isdigit():
        at = datetime.datetime.fromisoformat(timestamp.replace("Z", "+00:00"))
        nanos = int(at.timestamp()) * 10**9
    else:
        nanos = int(timestamp)
        while 0 < nanos < 10**17:  # an epoch in s, ms or µs
            nanos *= 1000
    return (symbol, timeframe), nanos


def replay(agent, processes, path):
    """The payloads that these bars must give, in order."""
    done = subprocess.run([agent, "replay", str(path)], cwd=processes.scratch,
                          env=processes.environment, capture_output=True, check=False)
    if done.returncode != 0:
        raise Failed(f"replay ended with exit code {done.returncode}:\n{done.stderr.decode()}")
    return done.stdout.splitlines()


class Watch:
    """What goes over the broker, as seen by a subscriber that is no part of the agent."""

    ROW = "{:<16} {:<7}{:>4} {:>9} {:>5} {:>9} {:>6} {:<8}{:<7} {}"
    TITLES = ("bar (UTC)", "symbol", "tf", "close", "RSI", "MACD hist", "BB pos", "trend", "agent",
              "alerts")
    # The longest alert alone fits beside the others in 100 columns; more of them go below it.
    ALERTS_WIDTH = 100 - len(ROW.format(*[""] * 10))
    ROW_EVERY = 0.25

    def __init__(self, port):
        self.bars = {}
        self.bars_seen = 0
        self.signals = []
        self.dead = []
        self._new = queue.SimpleQueue()
        self.subscriber = Subscriber("127.0.0.1", port, [
            "raw.market_data.price", "raw.market_data.price.>", "insight.technical.>",
            "dead.technical"], self._on_message)

    def close(self):
        self.subscriber.close()

    def _on_message(self, message):
        if message.subject.startswith("raw."):
            content = json.loads(message.payload)
            for bar in content if isinstance(content, list) else [content]:
                self.bars_seen += 1
                key = bar_key(bar["symbol"], bar["timeframe"], bar["timestamp"])
                self.bars.setdefault(key, message.arrived)
        elif message.subject.startswith("insight."):
            self.signals.append(message)
            self._new.put(message)
        else:
            self.dead.append(message)

    def show(self, feed, expected):
        """Prints signals until the feed has ended and they have all come, or no more come.
        Of those that came since the last row, the one with the most alerts makes the next."""
        shown = 0
        best = None
        last_shown = last_came = time.monotonic()
        while feed.poll() is None or (len(self.signals) < expected
                                      and time.monotonic() - last_came < QUIET):
            if self.subscriber.error:
                raise Failed(f"the watching connection broke: {self.subscriber.error}")
            with contextlib.suppress(queue.Empty):
                message = self._new.get(timeout=0.1)
                last_came = time.monotonic()
                row = json.loads(message.payload)
                if best is None or len(row["alerts"]) > len(best[0]["alerts"]):
                    best = row, message.headers.get("ta-agent", "?")
            if best and time.monotonic() - last_shown >= self.ROW_EVERY:
                if shown % 20 == 0:
                    print(bold(self.ROW.format(*self.TITLES)))
                print(self._row(*best), flush=True)
                shown += 1
                best = None
                last_shown = time.monotonic()
        print(f"({shown} of {len(self.signals)} signals shown)")

    def _row(self, row, agent):
        digits = 5 if row["close"] < 10 else 2

        def number(value, form):
            return "–" if value is None else format(value, form)

        alerts = textwrap.wrap(" ".join(row["alerts"]), self.ALERTS_WIDTH) or [""]
        text = self.ROW.format(
            row["timestamp"][:16].replace("T", " "), row["symbol"], row["timeframe"],
            number(row["close"], f".{digits}f"), number(row["rsi"], ".1f"),
            number(row["macd_histogram"], f"+.{digits + 1}f"), number(row["bb_position"], ".2f"),
            row["trend_signal"], agent, alerts[0]).rstrip()
        below = [self.ROW.format(*[""] * 9, line) for line in alerts[1:]]
        text = "\n".join([text, *below])
        return bold(text) if row["alerts"] else text


def conclude(bars, expected, watch, took):
    """Compares what arrived with what had to, and prints the summary."""
    wanted = collections.Counter(expected)
    came = collections.Counter(message.payload for message in watch.signals)
    missing = sum((wanted - came).values())
    surplus = came - wanted
    twice = sum(count for payload, count in surplus.items() if payload in wanted)
    foreign = sum(surplus.values()) - twice
    by_series = in_series_order(expected) == in_series_order(
        message.payload for message in watch.signals)
    ids = [message.headers.get("nats-msg-id") for message in watch.signals]
    agents = collections.Counter(message.headers.get("ta-agent", "?") for message in watch.signals)
    inside = [float(message.headers["ta-latency-us"]) for message in watch.signals
              if "ta-latency-us" in message.headers]
    around = []
    for message in watch.signals:
        row = json.loads(message.payload)
        sent = watch.bars.get(bar_key(row["symbol"], row["timeframe"], row["timestamp"]))
        if sent is not None:
            around.append((message.arrived - sent) * 1e6)

    heading("summary")
    print(f"bars in       {watch.bars_seen} of {len(bars)}, in {took:.1f} s")
    shares = ", ".join(f"{name} {count}" for name, count in sorted(agents.items()))
    print(f"signals out   {len(watch.signals)} of {len(expected)} ({shares})")
    print(f"compared      {missing} missing, {twice} twice, {foreign} not as replayed, "
          f"{len(watch.dead)} bars refused")
    print(f"latency       in the agent, from bar received to signal sent    {percentiles(inside)}")
    print(f"              on the wire, from bar to signal as seen from here {percentiles(around)}")

    faults = []
    if watch.bars_seen != len(bars) or set(watch.bars) != set(bars):
        faults.append(f"{watch.bars_seen} bars went over the broker, {len(bars)} were fed")
    if not expected:
        faults.append("replay made no signals, so nothing was shown")
    if missing or twice or foreign:
        faults.append("the signals are not those of replay")
    elif not by_series:
        faults.append("within a series the signals came out of order")
    if None in ids or len(set(ids)) != len(set(message.payload for message in watch.signals)):
        faults.append("Nats-Msg-Id is absent or not unique per signal")
    if watch.dead:
        first = watch.dead[0]
        faults.append(f"valid bars were refused; the first: {first.headers} {first.payload[:200]}")
    if faults:
        raise Failed("; ".join(faults))
    print(bold("none missing, none twice, all byte-identical to replay, in order within each series"))


def in_series_order(payloads):
    series = collections.defaultdict(list)
    for payload in payloads:
        row = json.loads(payload)
        series[row["symbol"], row["timeframe"]].append(payload)
    return series


def percentiles(micros):
    if not micros:
        return "not measured"
    ordered = sorted(micros)

    def at(share):
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    return f"p50 {at(0.5):,.0f} µs, p99 {at(0.99):,.0f} µs"


def side_by_side(statuses):
    """The scalars of some status documents, one document per column."""
    documents = []
    for status in statuses:
        if status is None:
            raise Failed("no answer to /status")
        documents.append(json.loads(status))

    def cell(value):
        if isinstance(value, list):
            return str(len(value))
        if isinstance(value, float):
            return f"{value:.1f}"
        # a time to the second is enough here
        return re.sub(r"\.\d+Z$", "Z", str(value))

    names = [name for name, value in documents[0].items() if not isinstance(value, dict)]
    rows = [[name, *(cell(document[name]) for document in documents)] for name in names]
    return "\n".join("".join(f"{text:<28}" for text in row).rstrip() for row in rows)


def bold(text):
    return f"\x1b[1m{text}\x1b[0m" if sys.stdout.isatty() else text


def heading(text):
    print(f"\n{bold('== ' + text)}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
