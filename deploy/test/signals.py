#!/usr/bin/env python3
"""Bars for a test of a deployment, and whether every signal came out exactly once.

    signals.py bars DIRECTORY PARTS    all.csv, and the same bars in order in 1.csv … PARTS.csv
    signals.py watch PORT FILE         writes what is published until SIGTERM or SIGINT
    signals.py stored PORT FILE COUNT SECONDS
                                       writes what the stream of signals holds, once it holds COUNT
                                       of them, or after SECONDS
    signals.py compare EXPECTED FILE [AGENTS]
                                       what was published with what `replay` said; 1 if not equal,
                                       or made by fewer than AGENTS

The one that watches is no part of the agent: it speaks to the broker by itself.
"""

import base64
import collections
import csv
import json
import pathlib
import queue
import signal
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from demo import in_series_order, merged_bars  # noqa: E402
from demo_nats import Subscriber, headers_of  # noqa: E402

PER_SERIES = 100
# the symbols of the real bars, and copies of them: with few symbols all may fall to one agent
COPIES = ["", "_B", "_C"]


def bars(directory, parts):
    everything = pathlib.Path(directory) / "all.csv"
    merged_bars(PER_SERIES, everything)
    header, *rows = csv.reader(everything.read_text().splitlines())
    at = header.index("symbol")
    header = ",".join(header) + "\n"
    rows = [",".join(row[:at] + [row[at] + copy] + row[at + 1:]) + "\n"
            for row in rows for copy in COPIES]
    everything.write_text(header + "".join(rows))
    parts = int(parts)
    for part in range(parts):
        share = rows[len(rows) * part // parts:len(rows) * (part + 1) // parts]
        (everything.parent / f"{part + 1}.csv").write_text(header + "".join(share))
    print(len(rows))


def watch(port, path):
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with open(path, "w", encoding="utf-8") as out:
        def write(message):
            row = {"agent": message.headers.get("ta-agent"), "subject": message.subject,
                   "payload": message.payload.decode()}
            out.write(json.dumps(row) + "\n")
            out.flush()
        subscriber = Subscriber("127.0.0.1", int(port), ["insight.technical.>", "dead.technical"],
                                write)
        print("watching", flush=True)
        while not stop.wait(0.2):
            if not subscriber.is_open():
                sys.exit(f"the watching connection broke: {subscriber.error}")
        subscriber.catch_up()


def stored(port, path, count, seconds):
    answers = queue.SimpleQueue()
    broker = Subscriber("127.0.0.1", int(port), ["_INBOX.stored"], answers.put)

    def ask(api, **request):
        broker.publish(f"$JS.API.{api}", json.dumps(request).encode(), "_INBOX.stored")
        return json.loads(answers.get(timeout=20).payload)

    stream, = ask("STREAM.NAMES", subject="insight.technical.>")["streams"]
    end = time.monotonic() + float(seconds)
    while True:
        state = ask(f"STREAM.INFO.{stream}", subjects_filter="insight.technical.>")["state"]
        if sum(state.get("subjects", {}).values()) >= int(count) or time.monotonic() > end:
            break
        time.sleep(0.2)
    with open(path, "w", encoding="utf-8") as out:
        for sequence in range(state["first_seq"], state["last_seq"] + 1):
            message = ask(f"STREAM.MSG.GET.{stream}", seq=sequence).get("message")
            # besides signals and dead letters it holds the markers of commits
            if message and message["subject"].startswith(("insight.technical.", "dead.technical")):
                headers = headers_of(base64.b64decode(message.get("hdrs", "")))
                row = {"agent": headers.get("ta-agent"), "subject": message["subject"],
                       "payload": base64.b64decode(message.get("data", "")).decode()}
                out.write(json.dumps(row) + "\n")


def compare(expected, path, agents=1):
    with open(expected, encoding="utf-8") as file:
        replayed = file.read().splitlines()
    wanted = collections.Counter(replayed)
    with open(path, encoding="utf-8") as file:
        came = [json.loads(line) for line in file]
    signals = [row for row in came if row["subject"].startswith("insight.")]
    got = collections.Counter(row["payload"] for row in signals)
    missing, surplus = wanted - got, got - wanted
    twice = sum(count for payload, count in surplus.items() if payload in wanted)
    foreign = sum(surplus.values()) - twice
    shares = collections.Counter(row["agent"] for row in signals)
    print(f"{len(signals)} signals of {sum(wanted.values())}: {sum(missing.values())} missing, {twice} "
          f"twice, {foreign} not as replayed, {len(came) - len(signals)} dead letters; by "
          f"{len(shares)} agents: {', '.join(str(count) for count in sorted(shares.values()))}")
    ordered = in_series_order(replayed) == in_series_order(row["payload"] for row in signals)
    if wanted == got and not ordered:
        print("   within a series the signals came out of order")
    for payload in list(missing)[:3] + list(surplus)[:3]:
        print("  ", payload[:160])
    if len(shares) < int(agents):
        print(f"   made by {len(shares)} agents, not by {agents} or more")
        return 1
    return 0 if wanted and wanted == got and ordered and len(came) == len(signals) else 1


if __name__ == "__main__":
    command, *rest = sys.argv[1:] or ["help"]
    commands = {"bars": bars, "watch": watch, "stored": stored, "compare": compare}
    if command not in commands:
        sys.exit(__doc__)
    sys.exit(commands[command](*rest))
