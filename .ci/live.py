"""A real cluster for the checks: Kafka, three nodes, whatever stands beside them. Everything that is
started here is stopped, whatever happens."""

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class Failure(Exception):
    """A sentence on what is wrong."""


class Process:
    """A program that runs beside this one, its output in a file."""

    def __init__(self, name, command, folder, env=None):
        self.name = name
        self.log = folder / f"{name}.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([str(part) for part in command], stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL, env={**os.environ, **(env or {})})

    def output(self):
        return self.log.read_text(errors="replace")

    def tail(self):
        return "\n".join(self.output().splitlines()[-30:])

    def wait(self, what, condition, seconds):
        def alive():
            if self.process.poll() is not None:
                raise Failure(f"{self.name} ended with {self.process.returncode} before {what}\n"
                              f"{self.tail()}")
            return condition()

        wait(f"{self.name}: {what}", alive, seconds)

    def send(self, number):
        self.process.send_signal(number)

    def ended(self, seconds):
        """Waits for the end and returns the exit code."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failure(f"{self.name} has not ended in {seconds} s\n{self.tail()}") from None

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(40)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Node:
    """One of the nodes: where it is, and its process."""

    def __init__(self, number):
        self.name = f"sluice-{number}"
        self.http, self.admin, self.internal = (free_port() for _ in range(3))
        self.process = None


class Cluster:
    """Kafka and nodes, three of them to begin with."""

    def __init__(self, folder, programs, cleanup):
        self.folder, self.programs, self.cleanup = folder, programs, cleanup
        self.bootstrap = f"127.0.0.1:{free_port()}"
        self.nodes = [Node(number) for number in range(3)]
        # The same for nodes that come later.
        self.peers = ",".join(f"127.0.0.1:{node.internal}" for node in self.nodes)

    def start(self, topics):
        say("starting Kafka")
        wanted = [part for name, count in topics.items() for part in ("--topic", f"{name}:{count}")]
        port = self.bootstrap.split(":")[1]
        kafka = Process("kafka", [self.programs.kafka, "--port", port, *wanted], self.folder)
        self.cleanup.callback(kafka.stop)
        # The first start fetches Kafka.
        kafka.wait("Kafka runs", lambda: "Kafka runs at" in kafka.output(), seconds=600)
        say("starting three nodes")
        for node in self.nodes:
            self.start_node(node)
        for node in self.nodes:
            self.wait_ready(node)

    def start_node(self, node):
        node.process = Process(node.name, [self.programs.sluice, "serve"], self.folder, {
            "SLUICE_KAFKA__BOOTSTRAP_SERVERS": self.bootstrap,
            "SLUICE_HTTP__BIND": f"127.0.0.1:{node.http}",
            "SLUICE_ADMIN__BIND": f"127.0.0.1:{node.admin}",
            "SLUICE_CLUSTER__NAME": node.name,
            "SLUICE_CLUSTER__BIND": f"127.0.0.1:{node.internal}",
            "SLUICE_CLUSTER__PEERS": self.peers,
            "SLUICE_CLUSTER__DATA_DIR": str(self.folder / node.name),
            "SLUICE_CLUSTER__SECRET": "of-a-check",
        })
        self.cleanup.callback(node.process.stop)

    def wait_ready(self, node):
        ready = f"http://127.0.0.1:{node.http}/readyz"
        node.process.wait("it is ready", lambda: get(ready) is not None, seconds=60)

    def fill(self, topic, records):
        run([self.programs.kafka, "fill", "--topic", topic, "--records", str(records),
             "--bootstrap", self.bootstrap])


class Programs:
    """The programs of this repository: those given, or built as the README says."""

    def __init__(self, sluice=None, kafka=None):
        if not (sluice and kafka):
            for target in ([], ["-p", "sluice-tests", "--bin", "kafka"]):
                command = ["cargo", "build", "--release", "--locked", *target]
                if subprocess.run(command, cwd=ROOT).returncode != 0:
                    raise Failure(f"{' '.join(command)} failed")
            metadata = run(["cargo", "metadata", "--no-deps", "--locked", "--format-version", "1"])
            release = Path(json.loads(metadata)["target_directory"]) / "release"
        self.sluice = sluice or release / "sluice"
        self.kafka = kafka or release / "kafka"

    @staticmethod
    def arguments(parser):
        parser.add_argument("--sluice", type=Path, help="this program, instead of building one")
        parser.add_argument("--kafka", type=Path, help="this program, instead of building one")


def main(name, work):
    """Runs `work(cleanup)`; whatever it started is stopped, also when this script is told to stop."""
    global NAME
    NAME = name
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with contextlib.ExitStack() as cleanup:
            work(cleanup)
    except Failure as failure:
        sys.exit(f"{name}: {failure}")


def needs(program, package):
    """The path of a program that Debian has."""
    found = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if not found:
        raise Failure(f"{program} is missing: apt-get install {package}")
    return found


def run(command):
    """Runs a program to its end and returns what it printed."""
    command = [str(part) for part in command]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failure(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def wait(what, condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Failure(f"no sign in {seconds} s that {what}")
        time.sleep(0.1)


def get(url):
    """The JSON at an address, if it is there."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return json.load(answer)
    except (OSError, ValueError):
        return None


def ask(node, method, path, body=None, seconds=40):
    """Status and body of an answer of a node. A connection that breaks is a failure."""
    text = json.dumps(body).encode() if body is not None else None
    headers = {"Content-Type": "application/json"} if text else {}
    url = f"http://127.0.0.1:{node.http}{path}"
    request = urllib.request.Request(url, text, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=seconds) as answer:
            content = answer.read()
            return answer.status, json.loads(content) if content else None
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        raise Failure(f"{node.name}: {method} {path}: {error}") from None


def free_port():
    """A port below the range from which the system hands out others meanwhile."""
    while True:
        port = random.randrange(15_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


NAME = "check"


def say(message):
    print(f"{NAME}: {message}", flush=True)
