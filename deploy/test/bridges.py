#!/usr/bin/env python3
"""Plays the messages of vendors to the bridges of examples/bridges, and compares what the agent makes of them.

bridges.py AGENT DIRECTORY, with NATS_URL in the environment. Each bridge runs as a process of its own against a
server here, which wants the right subscription, sends real bars in the vendor's shape with forming updates,
repeats and the vendor's other messages between them, and breaks the connection in the middle. The final signals
have to be those that `replay` gives for the bars, byte for byte. The shapes are written from the vendors'
documentation; the other messages are those in tests/data/dialects.
"""

import asyncio
import csv
import datetime
import http.server
import json
import os
import pathlib
import subprocess
import sys
import threading
from collections import defaultdict

import nats
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

ROOT = pathlib.Path(__file__).resolve().parents[2]
BRIDGES = ROOT / "examples" / "bridges"
BARS = 70
BEGIN = 1704067200  # 2024-01-01T00:00:00Z
PATIENCE = 60
KEYS = {"APCA_API_KEY_ID": "key-1", "APCA_API_SECRET_KEY": "secret-1", "MASSIVE_API_KEY": "key-2",
        "FINNHUB_API_KEY": "key-3", "TWELVEDATA_API_KEY": "key-4"}


class Bar:
    """A bar with the digits of its file, which opens at `t` seconds."""

    def __init__(self, t, seconds, row):
        self.t, self.seconds = t, seconds
        self.o, self.h, self.l, self.c, self.v = row

    def begun(self):
        return Bar(self.t, self.seconds, (self.o, self.o, self.o, self.o, "1"))

    @property
    def ms(self):
        return self.t * 1000

    @property
    def end(self):
        return self.t + self.seconds

    def clean(self, symbol, timeframe):
        return (f'{{"symbol":"{symbol}","timeframe":"{timeframe}","timestamp":"{rfc(self.t)}","open":{self.o},'
                f'"high":{self.h},"low":{self.l},"close":{self.c},"volume":{self.v}}}')


def rfc(seconds, end="Z"):
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S") + end


def bars(seconds):
    with open(ROOT / "tests" / "data" / "bars" / "spy_1m.csv", newline="") as file:
        rows = list(csv.reader(file))[1:1 + BARS]
    return [Bar(BEGIN + at * seconds, seconds, row[1:6]) for at, row in enumerate(rows)]


def binance(b, done):
    return {"e": "kline", "E": b.end * 1000, "s": "BTCUSDT", "k": {
        "t": b.ms, "T": b.end * 1000 - 1, "s": "BTCUSDT", "i": "1m", "f": 100, "L": 200, "o": b.o, "c": b.c, "h": b.h,
        "l": b.l, "v": b.v, "n": 100, "x": done, "q": "1.0", "V": "500", "Q": "0.5", "B": "0"}}


def coinbase(b, _):
    candle = {"start": str(b.t), "high": b.h, "low": b.l, "open": b.o, "close": b.c, "volume": b.v, "product_id": "BTC-USD"}
    return {"channel": "candles", "client_id": "", "timestamp": rfc(b.end), "sequence_num": 1,
            "events": [{"type": "update", "candles": [candle]}]}


def kraken(b, _):
    numbers = {"open": float(b.o), "high": float(b.h), "low": float(b.l), "close": float(b.c), "volume": float(b.v)}
    return {"channel": "ohlc", "type": "update", "timestamp": rfc(b.t + 7, ".5Z"), "data": [
        {"symbol": "BTC/USD", **numbers, "trades": 3, "vwap": numbers["close"],
         "interval_begin": rfc(b.t, ".000000000Z"), "interval": 1, "timestamp": rfc(b.end, ".000000Z")}]}


def bybit(b, done):
    return {"topic": "kline.1.ETHUSDT", "type": "snapshot", "ts": b.end * 1000, "data": [
        {"start": b.ms, "end": b.end * 1000 - 1, "interval": "1", "open": b.o, "close": b.c, "high": b.h, "low": b.l,
         "volume": b.v, "turnover": "3", "confirm": done, "timestamp": b.ms + 41_123}]}


def okx(b, done):
    row = [str(b.ms), b.o, b.h, b.l, b.c, b.v, "5", "6", "1" if done else "0"]
    return {"arg": {"channel": "candle1m", "instId": "BTC-USDT"}, "data": [row]}


def hyperliquid(b, _):
    return {"channel": "candle", "data": {"t": b.ms, "T": b.end * 1000 - 1, "s": "BTC", "i": "1m", "o": b.o, "c": b.c,
                                          "h": b.h, "l": b.l, "v": b.v, "n": 7}}


def deribit(b, _):
    data = {"volume": float(b.v), "tick": b.ms, "open": float(b.o), "low": float(b.l), "high": float(b.h), "cost": 460.0,
            "close": float(b.c)}
    return {"jsonrpc": "2.0", "method": "subscription",
            "params": {"channel": "chart.trades.BTC-PERPETUAL.1", "data": data}}


def bitmex(b, _):
    numbers = {"open": float(b.o), "high": float(b.h), "low": float(b.l), "close": float(b.c), "volume": float(b.v)}
    return {"table": "tradeBin1m", "action": "insert", "data": [
        {"timestamp": rfc(b.end, ".000Z"), "symbol": "XBTUSD", **numbers, "trades": 40, "vwap": 1.0}]}


def alpaca(b, _):
    return [{"T": "b", "S": "AAPL", "o": float(b.o), "h": float(b.h), "l": float(b.l), "c": float(b.c),
             "v": float(b.v), "n": 9, "vw": 1.0, "t": rfc(b.t)}]


def massive(b, _):
    return [{"ev": "AM", "sym": "MSFT", "v": float(b.v), "av": 1, "op": 1, "vw": 1.0, "o": float(b.o), "c": float(b.c),
             "h": float(b.h), "l": float(b.l), "a": 1, "z": 5, "s": b.ms, "e": b.end * 1000}]


def databento(b):
    fixed = {name: str(round(float(text) * 1_000_000) * 1000) for name, text in
             (("open", b.o), ("high", b.h), ("low", b.l), ("close", b.c))}
    head = {"ts_event": str(b.t * 1_000_000_000), "rtype": 33, "publisher_id": 1, "instrument_id": 5482}
    return {"hd": head, **fixed, "volume": str(round(float(b.v))), "symbol": "ESH1"}


FLAGGED, UNTIL_NEXT, COMPLETE = "flagged", "until next", "complete"

# name: arguments, symbol, timeframe, the shape, when a bar is complete, texts of the address and the subscription
SOCKETS = {
    "binance": (["BTCUSDT", "1m"], "BTCUSDT", "1m", binance, FLAGGED, ["/ws/btcusdt@kline_1m"]),
    "coinbase": (["BTC-USD"], "BTC-USD", "5m", coinbase, UNTIL_NEXT, ['"candles"', '"BTC-USD"', '"heartbeats"']),
    "kraken": (["BTC/USD", "1"], "BTC/USD", "1m", kraken, UNTIL_NEXT, ['"ohlc"', '"BTC/USD"', '"interval": 1,']),
    "bybit": (["ETHUSDT", "1"], "ETHUSDT", "1m", bybit, FLAGGED, ['"kline.1.ETHUSDT"']),
    "okx": (["BTC-USDT", "1m"], "BTC-USDT", "1m", okx, FLAGGED, ['"candle1m"', '"BTC-USDT"']),
    "hyperliquid": (["BTC", "1m"], "BTC", "1m", hyperliquid, UNTIL_NEXT, ['"candle"', '"BTC"', '"1m"']),
    "deribit": (["BTC-PERPETUAL", "1"], "BTC-PERPETUAL", "1m", deribit, UNTIL_NEXT, ['"chart.trades.BTC-PERPETUAL.1"']),
    "bitmex": (["XBTUSD", "1m"], "XBTUSD", "1m", bitmex, COMPLETE, ['"tradeBin1m:XBTUSD"']),
    "alpaca": (["AAPL"], "AAPL", "1m", alpaca, COMPLETE, ['"key-1"', '"secret-1"', '"bars": ["AAPL"]']),
    "massive": (["MSFT"], "MSFT", "1m", massive, COMPLETE, ['"key-2"', '"AM.MSFT"']),
}


def others(dialect):
    """The vendor's messages in tests/data/dialects that are understood and no bars."""
    lines = (ROOT / "tests" / "data" / "dialects" / f"{dialect}.jsonl").read_text().splitlines()
    for line in lines[1:]:
        _, subject, message, contents = json.loads(line)
        if not subject and all(content.startswith("ignored ") for content in contents):
            yield message


def messages(dialect):
    """What the vendor sends, as texts: forming updates, repeats and other messages between the bars."""
    _, _, timeframe, shape, manner, _ = SOCKETS[dialect]
    noise = [json.dumps(message) for message in others(dialect)]
    assert noise, f"{dialect} has no other messages"
    sent = []
    for at, bar in enumerate(bars(300 if timeframe == "5m" else 60)):
        if manner != COMPLETE:
            sent.append(shape(bar.begun(), False))
        sent.append(shape(bar, manner != UNTIL_NEXT))
        sent.append(sent[-1])
        sent.append(noise[at % len(noise)])
        sent.append("pong")
    return [message if isinstance(message, str) else json.dumps(message) for message in sent]


class Player:
    """The web sockets of all vendors: the first connection of each breaks in the middle."""

    def __init__(self):
        self.connections = defaultdict(int)
        self.faults = []

    async def play(self, socket):
        dialect = socket.request.path.split("?")[0].split("/")[1]
        self.connections[dialect] += 1
        try:
            asked = socket.request.path
            wanted = ["token=key-3", '"AAPL"'] if dialect == "finnhub" else SOCKETS[dialect][5]
            while not all(text in asked for text in wanted):
                asked += await asyncio.wait_for(socket.recv(), PATIENCE)
            sent = [json.dumps(trade(n)) for n in range(10)] if dialect == "finnhub" else messages(dialect)
            half = len(sent) // 2
            first = self.connections[dialect] == 1
            for message in sent[:half] if first else sent[half:]:
                await socket.send(message)
            if not first:
                await socket.wait_closed()
        except (ConnectionClosed, asyncio.TimeoutError) as fault:
            self.faults.append(f"{dialect}: {fault!r}, asked for {asked!r}")


def trade(n):
    return {"data": [{"p": 100 + n, "s": "AAPL", "t": BEGIN * 1000 + n, "v": 1}], "type": "trade"}


class Answers(http.server.BaseHTTPRequestHandler):
    """Twelve Data, and Kraken's REST interface for ccxt: with each request some bars more."""

    asked = defaultdict(int)

    def do_GET(self):  # noqa: N802 (the name that http.server asks for)
        path = self.path.split("?")[0]
        self.asked[path] += 1
        shown = bars(60)[: min(BARS, 9 * self.asked[path])][-60:]
        if len(shown) < 60 or shown[-1].t != bars(60)[-1].t:
            shown[-1] = shown[-1].begun()
        if path == "/time_series":
            assert "apikey=key-4" in self.path and "symbol=IBM" in self.path, self.path
            values = [{"datetime": rfc(b.t, "")[:19].replace("T", " "), "open": b.o, "high": b.h, "low": b.l, "close": b.c,
                       "volume": b.v} for b in reversed(shown)]
            answer = {"meta": {"symbol": "IBM", "interval": "1min", "exchange_timezone": "UTC"}, "values": values,
                      "status": "ok"}
        elif path.endswith("/AssetPairs"):
            answer = {"error": [], "result": {"XETHZUSD": {
                "altname": "ETHUSD", "wsname": "ETH/USD", "aclass_base": "currency", "base": "XETH", "aclass_quote": "currency",
                "quote": "ZUSD", "lot": "unit", "cost_decimals": 5, "pair_decimals": 2, "lot_decimals": 8,
                "lot_multiplier": 1, "leverage_buy": [], "leverage_sell": [], "fees": [[0, 0.4]],
                "fees_maker": [[0, 0.25]], "fee_volume_currency": "ZUSD", "margin_call": 80, "margin_stop": 40,
                "ordermin": "0.002", "costmin": "0.5", "tick_size": "0.01", "status": "online"}}}
        elif path.endswith("/Assets"):
            asset = {"aclass": "currency", "decimals": 10, "display_decimals": 5, "status": "enabled"}
            answer = {"error": [], "result": {"XETH": {**asset, "altname": "ETH"}, "ZUSD": {**asset, "altname": "USD"}}}
        elif path.endswith("/OHLC"):
            rows = [[b.t, b.o, b.h, b.l, b.c, "1", b.v, 5] for b in shown]
            answer = {"error": [], "result": {"XETHZUSD": rows, "last": shown[-1].t}}
        else:
            self.send_error(404)
            return
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def expected(agent, directory):
    """The final signals of each series, as `replay` prints them; a last bar that nothing completes has none."""
    series = [(symbol, timeframe, manner) for _, symbol, timeframe, _, manner, _ in SOCKETS.values()]
    series += [("IBM", "1m", UNTIL_NEXT), ("ETH/USD", "1m", UNTIL_NEXT), ("ESH1", "1m", COMPLETE)]
    due = {}
    for at, (symbol, timeframe, manner) in enumerate(series):
        file = directory / f"clean-{at}.jsonl"
        seconds = 300 if timeframe == "5m" else 60
        file.write_text("".join(bar.clean(symbol, timeframe) + "\n" for bar in bars(seconds)))
        replayed = subprocess.run([agent, "replay", file], cwd=directory, check=True, capture_output=True, text=True)
        signals = replayed.stdout.splitlines()
        assert len(signals) == BARS - 49, (symbol, replayed.stderr)
        due[symbol] = signals[:-1] if manner == UNTIL_NEXT else signals
    return due


async def main(agent, directory):
    due = expected(agent, directory)
    came, letters = defaultdict(list), []
    client = await nats.connect(os.environ["NATS_URL"])

    async def signal(message):
        came[json.loads(message.data)["symbol"]].append(message.data.decode())

    async def letter(message):
        letters.append((message.headers["Ta-Reason"], message.headers["Ta-Detail"], message.data.decode()))

    await client.subscribe("insight.technical.>", cb=signal)
    await client.subscribe("dead.technical", cb=letter)
    await client.flush()

    player = Player()
    answers = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=answers.serve_forever, daemon=True).start()
    rest = f"http://127.0.0.1:{answers.server_address[1]}"
    async with serve(player.play, "127.0.0.1", 0) as sockets:
        port = sockets.sockets[0].getsockname()[1]
        commands = {name: (row[0], f"ws://127.0.0.1:{port}/{name}") for name, row in SOCKETS.items()}
        commands["finnhub"] = (["AAPL"], f"ws://127.0.0.1:{port}/finnhub")
        commands["twelvedata"] = (["IBM", "1min"], rest)
        commands["ccxt_poll"] = (["kraken", "ETH/USD", "1m"], rest)
        present = {file.stem for file in BRIDGES.glob("*.py")} - {"bridge"}
        assert present == set(commands), f"not every bridge is tried: {present ^ set(commands)}"
        running = {}
        for name, (arguments, url) in commands.items():
            environment = {**os.environ, **KEYS, "BRIDGE_URL": url, "BRIDGE_POLL_SECONDS": "0.2"}
            running[name] = await asyncio.create_subprocess_exec(
                sys.executable, str(BRIDGES / f"{name}.py"), *arguments, env=environment, stderr=subprocess.PIPE)
        file = directory / "databento.json"
        file.write_text("".join(json.dumps(databento(bar)) + "\n" for bar in bars(60)))
        fed = subprocess.run([agent, "feed", file], cwd=directory, capture_output=True, text=True, check=False)
        assert fed.returncode == 0, fed.stderr

        def finished():
            trades = sum(reason == "trade" for reason, _, _ in letters)
            return trades >= 10 and all(len(came[symbol]) >= len(signals) for symbol, signals in due.items())

        for _ in range(PATIENCE * 10):
            ended = [name for name, process in running.items() if process.returncode is not None]
            if finished() or ended or player.faults:
                break
            await asyncio.sleep(0.1)
        await asyncio.sleep(1)  # for what must not come
        said = {}
        for name, process in running.items():
            if process.returncode is None:
                process.terminate()
            _, errors = await asyncio.wait_for(process.communicate(), PATIENCE)
            said[name] = (process.returncode, errors.decode())
    answers.shutdown()

    faults = list(player.faults)
    for name, (code, errors) in said.items():
        lines = errors.splitlines()
        if code != 0 or any("connecting again" not in line for line in lines):
            faults.append(f"{name} ended with {code}: {errors}")
        if name in {*SOCKETS, "finnhub"} and player.connections[name] != 2:
            faults.append(f"{name} connected {player.connections[name]} times, not twice")
    for symbol, signals in due.items():
        if came[symbol] != signals:
            faults.append(f"{symbol}: {len(came[symbol])} signals came of {len(signals)}, or others")
    faults += [f"signals of {symbol}, which nobody asked for" for symbol in set(came) - set(due)]
    trades = [text for reason, detail, text in letters if reason == "trade" and "explain --subject" in detail]
    if sorted(trades) != sorted(json.dumps(trade(n)) for n in range(10)):
        faults.append(f"the dead letters of trades are {trades}")
    faults += [f"refused: {entry}" for entry in letters if entry[0] != "trade"]
    for fault in faults:
        print(f"bridges: {fault}", file=sys.stderr)
    if not faults:
        print(f"bridges: {len(commands)} bridges and a file give {sum(map(len, came.values()))} signals, as replay does")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(os.path.abspath(sys.argv[1]), pathlib.Path(sys.argv[2]))))
