"""A subscriber that speaks the NATS protocol over a bare socket.

Enough to watch what goes over a broker, with the time at which each message arrived, and
without trusting the client library or the code of the agent that is being watched.
"""

import json
import socket
import threading
import time
from typing import NamedTuple


class Message(NamedTuple):
    """One message as it came off the socket."""

    subject: str
    headers: dict  # names in lower case, the last value of a repeated one
    payload: bytes
    arrived: float  # time.perf_counter() seconds


class Subscriber:
    """Reads the subjects on a thread of its own and hands every message to `on_message`."""

    def __init__(self, host, port, subjects, on_message):
        self.error = None
        self._on_message = on_message
        self._pongs = threading.Semaphore(0)
        self._socket = socket.create_connection((host, port), timeout=5)
        self._socket.settimeout(None)
        options = {"verbose": False, "pedantic": False, "headers": True, "name": "demo-watch"}
        self._send(f"CONNECT {json.dumps(options)}\r\n")
        for sid, subject in enumerate(subjects, 1):
            self._send(f"SUB {subject} {sid}\r\n")
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        self.catch_up()

    def catch_up(self, timeout=10):
        """Returns once everything that the server had sent or queued for us was handed over."""
        self._send("PING\r\n")
        if not self._pongs.acquire(timeout=timeout):
            raise ConnectionError(self.error or f"the NATS server did not answer within {timeout} s")

    def publish(self, subject, payload, reply=""):
        """Publishes some bytes; an answer comes on `reply`, if that is among the subjects."""
        head = " ".join(part for part in ("PUB", subject, reply, str(len(payload))) if part)
        self._socket.sendall(head.encode() + b"\r\n" + payload + b"\r\n")

    def is_open(self):
        """Whether messages still can come."""
        return self._thread.is_alive()

    def close(self):
        self._socket.close()

    def _send(self, text):
        self._socket.sendall(text.encode())

    def _read(self):
        try:
            with self._socket.makefile("rb") as stream:
                for line in stream:
                    self._handle(line.split(), stream)
        except (OSError, ValueError) as error:
            self.error = self.error or str(error)

    def _handle(self, words, stream):
        if not words:
            return
        kind = words[0].upper()
        if kind in (b"MSG", b"HMSG"):
            arrived = time.perf_counter()
            # MSG subject sid [reply] size; HMSG subject sid [reply] header-size total-size
            total = int(words[-1])
            header_size = int(words[-2]) if kind == b"HMSG" else 0
            body = stream.read(total + 2)[:total]
            headers = headers_of(body[:header_size])
            subject = words[1].decode()
            self._on_message(Message(subject, headers, body[header_size:], arrived))
        elif kind == b"PING":
            self._send("PONG\r\n")
        elif kind == b"PONG":
            self._pongs.release()
        elif kind == b"-ERR":
            self.error = b" ".join(words).decode(errors="replace")


def headers_of(block):
    """The headers in a block of them as it goes over the wire, names in lower case."""
    pairs = (line.split(b":", 1) for line in block.split(b"\r\n")[1:] if b":" in line)
    return {name.strip().lower().decode(): value.strip().decode() for name, value in pairs}
