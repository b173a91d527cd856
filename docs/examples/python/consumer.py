#!/usr/bin/env python3
"""Reads Kafka topics through Sluice: every record at least once, none lost.

Standard library only, Python 3.9 or newer. Put your own work into process().
"""

import argparse
import http.client
import json
import random
import signal
import sys
import time
import urllib.error
import urllib.request

TRANSIENT = {429, 500, 502, 503, 504}


def process(record):
    """Your work. The batch is committed once it has returned for all of its records."""
    print(f"{record['topic']}[{record['partition']}]@{record['offset']} {record['value']}")


class Problem(Exception):
    """An error answer of Sluice."""

    def __init__(self, error):
        self.status = error.code
        self.retry_after = float(error.headers.get("Retry-After") or 0)
        try:
            body = json.load(error)
            self.code, detail = body["code"], body["detail"]
        except (ValueError, KeyError, TypeError):  # something between here and Sluice answered
            self.code, detail = "", error.reason
        super().__init__(f"{self.status} {self.code}: {detail}")


class SessionLost(Exception):
    """The session must be opened anew; reading then goes on at the committed offsets."""


class Stopped(Exception):
    """The program was asked to stop while it waited."""


class Consumer:
    def __init__(self, options):
        self.options = options
        self.path = f"/api/consumers/{options.id}"
        self.consumed = 0
        self.stopping = False
        self.waiting = False  # for records: the only place where a signal interrupts
        self.last_record = time.monotonic()

    def stop(self, *_):
        self.stopping = True
        if self.waiting:
            raise Stopped

    def run(self):
        try:
            while not self.stopping:
                try:
                    self.open()
                    self.read()
                except SessionLost as lost:
                    log(f"opening the session anew: {lost}")
        except Stopped:
            pass
        finally:
            self.close()

    def open(self):
        # A session that an earlier run left behind goes on where that run stopped reading. This
        # run wants to go on where it stopped committing, so it begins with a new one.
        try:
            self.call("DELETE", self.path)
        except Problem as problem:
            if problem.status != 404:
                raise
        session = self.call("POST", "/api/consumers/subscribe", {
            "consumer_id": self.options.id,
            "group_id": self.options.group,
            "topics": self.options.topics.split(","),
            "auto_offset_reset": "earliest",
        })
        self.generation = session["generation"]
        log(f"reading {session['assignment']}")

    def read(self):
        after = {}  # the cursor of the last answer that has arrived
        while not self.stopping:
            answer = self.poll(after)
            if answer["generation"] != self.generation:
                # Partitions have come or gone: forget whatever you keep by partition.
                self.generation = answer["generation"]
                log(f"the assignment has changed, generation {self.generation}")
            for record in answer["records"]:
                process(record)
                self.consumed += 1
            if answer["records"]:
                self.commit(answer["cursor"])
                self.last_record = time.monotonic()
            after = {"after": answer["cursor"]}
            if self.done():
                return

    def poll(self, after):
        timeout_ms = 20_000
        if self.options.stop_idle:
            timeout_ms = min(timeout_ms, int(self.options.stop_idle * 1000))
        self.waiting = True
        try:
            return self.call("POST", f"{self.path}/consume", {"timeout_ms": timeout_ms, **after},
                             timeout=timeout_ms / 1000 + 10, repeat=bool(after))
        finally:
            self.waiting = False

    def commit(self, cursor):
        try:
            self.call("POST", f"{self.path}/commit", {"cursor": cursor})
        except Problem as problem:
            if problem.code != "partition_not_assigned":
                raise
            # All these partitions have moved to other members, which read the records again.
            log("not committed, the partitions have moved")

    def done(self):
        options = self.options
        if options.stop_after and self.consumed >= options.stop_after:
            self.stopping = True
        idle = time.monotonic() - self.last_record
        if options.stop_idle and idle >= options.stop_idle:
            self.stopping = True
        return self.stopping

    def close(self):
        try:
            self.send("DELETE", self.path, None, timeout=10)
        except Problem as problem:
            if problem.status != 404:  # 404: it has ended already
                log(f"the session was not closed and will expire: {problem}")
        except (OSError, http.client.HTTPException) as error:
            log(f"the session was not closed and will expire: {error}")

    def call(self, method, path, body=None, timeout=40, repeat=True):
        """Sends a request until it is answered for good.

        Everything here may be repeated: subscribe names its session, polls and commits a cursor.
        Only a poll without a cursor may not: records of a lost answer would not come again.
        """
        pause = 0.2
        while True:
            try:
                return self.send(method, path, body, timeout)
            except Problem as problem:
                if problem.code == "consumer_not_found" and method != "DELETE":
                    raise SessionLost(problem) from problem
                if problem.status not in TRANSIENT:
                    raise
                failure, at_least = problem, problem.retry_after
            except (OSError, http.client.HTTPException) as error:
                failure, at_least = error, 0
            if not repeat:
                raise SessionLost(failure)
            if self.stopping:
                raise Stopped
            log(f"{method} {path} failed, will be repeated: {failure}")
            time.sleep(max(at_least, pause * random.uniform(0.5, 1)))
            pause = min(2 * pause, 10)

    def send(self, method, path, body, timeout):
        request = urllib.request.Request(self.options.url + path, method=method)
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            with error:
                raise Problem(error) from None
        return json.loads(text) if text else None


def log(message):
    print(message, file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description="Reads Kafka topics through Sluice.")
    parser.add_argument("--url", default="http://localhost:8080", help="where Sluice is")
    parser.add_argument("--group", default="example-python", help="the consumer group")
    parser.add_argument("--topics", default="orders,events", help="comma separated")
    parser.add_argument("--id", default="example-python-1",
                        help="names this instance, over its restarts and among its peers")
    parser.add_argument("--stop-after", type=int, default=0, metavar="N",
                        help="stop once N records or more were consumed")
    parser.add_argument("--stop-idle", type=float, default=0, metavar="S",
                        help="stop after S seconds without a record")
    consumer = Consumer(parser.parse_args())
    signal.signal(signal.SIGINT, consumer.stop)
    signal.signal(signal.SIGTERM, consumer.stop)
    try:
        consumer.run()
    except Problem as problem:
        sys.exit(str(problem))
    print(f"consumed {consumer.consumed} records")


if __name__ == "__main__":
    main()
