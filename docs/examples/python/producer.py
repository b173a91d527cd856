#!/usr/bin/env python3
"""Writes records to a Kafka topic through Sluice: each at least once, none lost.

Standard library only, Python 3.9 or newer. Put your own records into records().
"""

import argparse
import http.client
import json
import random
import sys
import time
import urllib.error
import urllib.request

# Of a record: it was not written, or may not have been. Sent again, it may be there twice.
AGAIN = {"outcome_unknown", "kafka_timeout", "kafka_unavailable", "queue_full"}
# Of a request that says nothing of its records.
TRANSIENT = {429, 500, 502, 503, 504}


def records(count):
    """Your records. The id in the header stays the same when a record is sent again, so that
    readers can tell a repetition."""
    for number in range(count):
        yield {
            "key": f"user-{number % 100}",
            "value": {"number": number, "event": "login"},
            "headers": {"id": f"login-{number}"},
        }


class Refused(Exception):
    """An answer that sending again does not change."""


class Producer:
    def __init__(self, url, topic):
        # Keys as other programs write them, values as JSON.
        self.url = f"{url}/api/topics/{topic}/produce?key.format=string"

    def send(self, batch):
        """Writes records and returns where they are, in their order."""
        places = [None] * len(batch)
        missing = list(range(len(batch)))
        tries = 0
        while missing:
            entries, wait = self.post([batch[index] for index in missing])
            for index, entry in zip(missing, entries):
                error = entry.get("error")
                if error is None:
                    places[index] = entry
                elif error["code"] not in AGAIN:
                    raise Refused(f"record {index}: {error['code']}: {error['detail']}")
            missing = [index for index in missing if places[index] is None]
            if missing:
                tries += 1
                pause = wait or min(10, 0.1 * 2**tries) * random.uniform(0.5, 1)
                log(f"{len(missing)} records again in {pause:.1f} s")
                time.sleep(pause)
        return places

    def post(self, batch):
        """One request: an entry a record, and how long to wait before another."""
        unknown = [{"error": {"code": "outcome_unknown", "detail": "no answer"}}] * len(batch)
        body = json.dumps({"records": batch}).encode()
        request = urllib.request.Request(self.url, body, {"Content-Type": "application/json"})
        try:
            # Longer than any request takes, or answers on their way would be thrown away.
            with urllib.request.urlopen(request, timeout=40) as answer:
                return json.load(answer)["offsets"], 0
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace")
            wait = float(error.headers.get("Retry-After") or 0)
            try:
                problem = json.loads(text)
            except ValueError:  # something between here and Sluice answered
                problem = {}
            if "offsets" in problem:  # none was written; each record has its own cause
                return problem["offsets"], wait
            if error.code in TRANSIENT:
                return unknown, wait
            raise Refused(f"{error.code}: {problem.get('detail', text)}") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            log(f"no answer: {error}")
            return unknown, 0


def log(message):
    print(message, file=sys.stderr, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://localhost:8080")
    parser.add_argument("--topic", default="events")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=100, help="records a request")
    options = parser.parse_args()
    producer = Producer(options.url, options.topic)
    batch, written = [], 0
    for number, record in enumerate(records(options.count), start=1):
        batch.append(record)
        if len(batch) == options.batch or number == options.count:
            for place in producer.send(batch):
                print(f"{options.topic}[{place['partition']}]@{place['offset']}")
            written, batch = written + len(batch), []
    print(f"produced {written} records")


if __name__ == "__main__":
    try:
        main()
    except Refused as refused:
        sys.exit(str(refused))
