"""What the bridges here share: messages of a market-data vendor put on NATS as they come.

An example to start from, not a product: one connection, one symbol, no gap filling. The agent reads the
vendors' own messages, so nothing is translated.

NATS_URL names the server (nats://localhost:4222 without it). BRIDGE_URL stands for the vendor's host, such as
that of a proxy or of a test.
"""

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
import urllib.parse
import urllib.request

import nats

PING_EVERY = 20.0  # seconds


def arguments(usage, count):
    """The arguments of the command line, or the way to call it."""
    if len(sys.argv) != 1 + count:
        sys.exit(f"usage: python3 {sys.argv[0]} {usage}")
    return sys.argv[1:]


def secret(name):
    """A key from the environment."""
    value = os.environ.get(name)
    return value or sys.exit(f"set {name}; the vendor gives it to you")


def endpoint(url):
    """The address to connect to: `url`, with another host where BRIDGE_URL says so."""
    parts = urllib.parse.urlsplit(url)
    host = os.environ.get("BRIDGE_URL", f"{parts.scheme}://{parts.netloc}")
    return host + parts.path + (f"?{parts.query}" if parts.query else "")


def subject(symbol, timeframe=None):
    """The subject of a symbol: every byte but letters, digits, `-` and `_` is percent-encoded."""
    token = re.sub(rb"[^A-Za-z0-9_-]", lambda byte: b"%%%02X" % byte[0][0], symbol.encode()).decode()
    return "raw.market_data.price." + token + (f".{timeframe}" if timeframe else "")


@contextlib.asynccontextmanager
async def connected():
    """The NATS server, connected to again after it was away. Ctrl-C or SIGTERM ends the bridge."""
    main = asyncio.current_task()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, main.cancel)
    url = os.environ.get("NATS_URL", "nats://localhost:4222")
    server = await nats.connect(url, max_reconnect_attempts=-1)
    try:
        yield server
    finally:
        await server.drain()


async def forward(url, to, subscribe=(), ping=None):
    """Publishes what comes from the web socket at `url` to the subject `to`, and connects again for ever.

    `subscribe` is sent after each connection, `ping` every 20 seconds, where the vendor asks for one.
    """
    from websockets.asyncio.client import connect
    from websockets.exceptions import ConnectionClosed

    def text(message):
        return message if isinstance(message, str) else json.dumps(message)

    async def pings(socket):
        while True:
            await asyncio.sleep(PING_EVERY)
            await socket.send(text(ping))

    async with connected() as server:
        async for socket in connect(endpoint(url)):
            pinging = asyncio.create_task(pings(socket)) if ping else None
            try:
                for message in subscribe:
                    await socket.send(text(message))
                async for message in socket:
                    if message[:1] in ("{", "["):  # a bare `pong` is no market data
                        await server.publish(to, message.encode())
                print("the connection was closed, connecting again", file=sys.stderr)
            except ConnectionClosed as closed:
                print(f"the connection is lost, connecting again: {closed}", file=sys.stderr)
            finally:
                if pinging:
                    pinging.cancel()


async def poll(fetch, to, every):
    """Publishes what `fetch()` returns, as JSON, to the subject `to` every so many seconds."""
    async with connected() as server:
        while True:
            try:
                answer = await asyncio.to_thread(fetch)
                text = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                await server.publish(to, text)
            except OSError as error:
                print(f"no answer, asking again: {error}", file=sys.stderr)
            await asyncio.sleep(float(os.environ.get("BRIDGE_POLL_SECONDS", every)))


def get(url):
    """The body of an HTTP answer."""
    with urllib.request.urlopen(endpoint(url), timeout=20) as answer:
        return answer.read()


def run(bridge):
    """Runs until it is told to end."""
    try:
        asyncio.run(bridge)
    except (KeyboardInterrupt, asyncio.CancelledError):
        pass
