#!/usr/bin/env node
// Writes records to a Kafka topic through Sluice: each at least once, none lost.
// No packages, Node 20.3 or newer. Put your own records into records().

import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";

// Of a record: it was not written, or may not have been. Sent again, it may be there twice.
const AGAIN = new Set(["outcome_unknown", "kafka_timeout", "kafka_unavailable", "queue_full"]);
// Of a request that says nothing of its records.
const TRANSIENT = new Set([429, 500, 502, 503, 504]);

const { values: options } = parseArgs({
  options: {
    url: { type: "string", default: "http://localhost:8080" },
    topic: { type: "string", default: "events" },
    count: { type: "string", default: "1000" },
    batch: { type: "string", default: "100" }, // records a request
  },
});
const log = (message) => console.error(message);

/**
 * Your records. The id in the header stays the same when a record is sent again, so that readers
 * can tell a repetition.
 */
function* records(count) {
  for (let number = 0; number < count; number++) {
    yield {
      key: `user-${number % 100}`,
      value: { number, event: "login" },
      headers: { id: `login-${number}` },
    };
  }
}

/** An answer that sending again does not change. */
class Refused extends Error {}

/** Writes records and returns where they are, in their order. */
async function send(batch) {
  const places = new Array(batch.length);
  let missing = [...batch.keys()];
  for (let tries = 1; missing.length > 0; tries++) {
    const { entries, wait } = await post(missing.map((index) => batch[index]));
    missing.forEach((index, at) => {
      const { error } = entries[at];
      if (error && !AGAIN.has(error.code)) {
        throw new Refused(`record ${index}: ${error.code}: ${error.detail}`);
      }
      if (!error) places[index] = entries[at];
    });
    missing = missing.filter((index) => !places[index]);
    if (missing.length > 0) {
      const backOff = Math.min(10_000, 100 * 2 ** tries) * (0.5 + Math.random() / 2);
      log(`${missing.length} records again in ${Math.round(wait || backOff)} ms`);
      await sleep(wait || backOff);
    }
  }
  return places;
}

/** One request: an entry a record, and how long to wait before another. */
async function post(batch) {
  const unknown = batch.map(() => ({ error: { code: "outcome_unknown", detail: "no answer" } }));
  // Keys as other programs write them, values as JSON.
  const url = `${options.url}/api/topics/${options.topic}/produce?key.format=string`;
  let response, text;
  try {
    response = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ records: batch }),
      // Longer than any request takes, or answers on their way would be thrown away.
      signal: AbortSignal.timeout(40_000),
    });
    text = await response.text();
  } catch (error) {
    log(`no answer: ${error.cause ?? error}`);
    return { entries: unknown, wait: 0 };
  }
  let body = {}; // stays so if something between here and Sluice answered
  try {
    body = JSON.parse(text) ?? {};
  } catch {}
  const wait = 1000 * Number(response.headers.get("retry-after") ?? 0);
  // In an error too: then none was written, and each record has its own cause.
  if (body.offsets) return { entries: body.offsets, wait };
  if (response.ok || TRANSIENT.has(response.status)) return { entries: unknown, wait };
  throw new Refused(`${response.status}: ${body.detail ?? text}`);
}

async function run() {
  const [count, most] = [Number(options.count), Number(options.batch)];
  let batch = [];
  let written = 0;
  const flush = async () => {
    for (const place of await send(batch)) {
      console.log(`${options.topic}[${place.partition}]@${place.offset}`);
    }
    written += batch.length;
    batch = [];
  };
  for (const record of records(count)) {
    batch.push(record);
    if (batch.length === most) await flush();
  }
  await flush();
  console.log(`produced ${written} records`);
}

try {
  await run();
} catch (error) {
  if (!(error instanceof Refused)) throw error;
  log(error.message);
  process.exitCode = 1;
}
