"""The processes of the demonstration: started apart from the terminal, always ended."""

import contextlib
import ctypes
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
READY_WITHIN = 30
DRAIN_WITHIN = 30


class Failed(Exception):
    """The demonstration did not show what it promises."""


class Processes:
    """Everything that is started, so that all of it can be ended."""

    def __init__(self, scratch):
        self.scratch = scratch
        self.running = {}
        self.address = {}
        ours = ("TECHNICAL_", "NATS_", "HTTP_ADDR", "HTTP_ADMIN", "LOG_", "SHUTDOWN_TIMEOUT")
        self.environment = {name: value for name, value in os.environ.items()
                            if not name.startswith(ours)}
        self._server = os.environ.get("NATS_SERVER")

    def start(self, name, command, extra=None):
        log = (self.scratch / f"{name}.out").open("wb")
        with log:
            # a session of its own, so that Ctrl-C reaches this script alone and it decides
            # the order; the scratch directory, so that no .env of the user is read
            process = subprocess.Popen(
                command, cwd=self.scratch, env={**self.environment, **(extra or {})},
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True, preexec_fn=DIE_WITH_US)
        self.running[name] = process
        return process

    def nats_server(self):
        # found from the scratch directory, too
        server = shutil.which(self._server or "") or subprocess.run(
            [ROOT / "scripts" / "nats-server.sh"], stdout=subprocess.PIPE, text=True,
            check=False).stdout.strip()
        if not server:
            raise Failed("no nats-server; see above")
        # -1: the server takes a port that is free and tells which in a file
        process = self.start("nats-server", [os.path.abspath(server), "-a", "127.0.0.1", "-p", "-1",
                                             "--ports_file_dir", str(self.scratch)])
        told = self.scratch / f"nats-server_{process.pid}.ports"
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and process.poll() is None:
            try:
                return int(json.loads(told.read_text())["nats"][0].rsplit(":", 1)[1])
            except (OSError, ValueError, KeyError, IndexError):
                time.sleep(0.05)
        raise Failed(f"nats-server did not start:\n{self.log_end('nats-server')}")

    def agent(self, binary, name):
        """Starts one agent on a free HTTP port and waits until it is ready."""
        for _ in range(5):
            address = f"127.0.0.1:{free_port()}"
            process = self.start(name, [binary, "run"], {
                "TECHNICAL_AGENT_NAME": name, "TECHNICAL_DELIVERY": "core",
                "HTTP_ADDR": address, "LOG_DIR": str(self.scratch / "logs")})
            self.address[name] = address
            began = time.monotonic()
            while time.monotonic() - began < READY_WITHIN and process.poll() is None:
                if self.get(name, "/readyz") is not None:
                    # read once more: the answer may have come from who took the port first
                    if process.poll() is None:
                        print(f"{name} ready, process {process.pid}, http://{address}")
                        return
                time.sleep(0.05)
            if process.poll() is None:
                raise Failed(f"{name} was not ready within {READY_WITHIN} s:\n{self.log_end(name)}")
            if "in use" not in self.log_end(name):
                break
        raise Failed(f"{name} ended with exit code {process.returncode}:\n{self.log_end(name)}")

    def feed(self, binary, path, rate):
        # its report is shown: nothing but that and what goes wrong
        return self.start("feed", [binary, "feed", str(path), "--rate", str(rate)],
                          {"LOG_LEVEL": "WARN"})

    def get(self, name, path):
        """The body of a 200 answer, else None."""
        try:
            with DIRECT.open(f"http://{self.address[name]}{path}", timeout=2) as answer:
                return answer.read().decode()
        except (urllib.error.URLError, OSError):
            return None

    def drain(self, names):
        """SIGTERM to these agents; each must end by itself with exit code 0."""
        for name in names:
            self.running[name].terminate()
        deadline = time.monotonic() + DRAIN_WITHIN
        for name in names:
            try:
                code = self.running[name].wait(max(0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                raise Failed(f"{name} did not drain within {DRAIN_WITHIN} s:\n"
                             f"{self.log_end(name)}") from None
            print(f"{name} drained and stopped, exit code {code}")
            if code != 0:
                raise Failed(f"{name} must end with exit code 0:\n{self.log_end(name)}")

    def log_end(self, name, before="  | "):
        with contextlib.suppress(OSError):
            lines = (self.scratch / f"{name}.out").read_text(errors="replace").splitlines()
            return "\n".join(before + line for line in lines[-15:])
        return ""

    def end(self):
        """Ends whatever still runs; the agents first, the broker last."""
        for process in reversed(list(self.running.values())):
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(3)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def die_with_parent():
    """For Linux: asks the kernel to kill a child when this script is killed."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl
    # 1 is PR_SET_PDEATHSIG; one system call and no lock, so safe between fork and exec
    return lambda: prctl(1, signal.SIGKILL)


DIE_WITH_US = die_with_parent()
# straight to our own loopback ports, whatever proxy the environment names
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
