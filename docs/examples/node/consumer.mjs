#!/usr/bin/env node
// Reads Kafka topics through Sluice: every record at least once, none lost.
// No packages, Node 20.3 or newer. Put your own work into handle().

import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";

const TRANSIENT = new Set([429, 500, 502, 503, 504]);

/** Your work. The batch is committed once this has ended for all of its records. */
async function handle(record) {
  console.log(`${record.topic}[${record.partition}]@${record.offset} ${record.value}`);
}

const { values: options } = parseArgs({
  options: {
    url: { type: "string", default: "http://localhost:8080" },
    group: { type: "string", default: "example-node" },
    topics: { type: "string", default: "orders,events" },
    // Names this instance, over its restarts and among its peers.
    id: { type: "string", default: "example-node-1" },
    // For trying it out: stop once this many records were consumed, or after this many seconds
    // without one.
    "stop-after": { type: "string", default: "0" },
    "stop-idle": { type: "string", default: "0" },
  },
});
const stopAfter = Number(options["stop-after"]);
const stopIdle = Number(options["stop-idle"]) * 1000;
const session = `/api/consumers/${options.id}`;
const log = (message) => console.error(message);

/** An error answer of Sluice. */
class Problem extends Error {
  static async from(response) {
    const text = await response.text();
    let body = {}; // stays so if something between here and Sluice answered
    try {
      body = JSON.parse(text) ?? {};
    } catch {}
    const problem = new Problem(`${response.status} ${body.code}: ${body.detail ?? text}`);
    problem.status = response.status;
    problem.code = body.code;
    problem.retryAfter = 1000 * Number(response.headers.get("retry-after") ?? 0);
    return problem;
  }
}

/** The session must be opened anew; reading then goes on at the committed offsets. */
class SessionLost extends Error {}

/** Aborted by SIGINT and SIGTERM: ends a poll that waits, and pauses, but no commit. */
const stop = new AbortController();
let consumed = 0;
let lastRecord = performance.now();

async function run() {
  try {
    while (!stop.signal.aborted) {
      try {
        await read(await open());
      } catch (error) {
        if (!(error instanceof SessionLost)) throw error;
        log(`opening the session anew: ${error.message}`);
      }
    }
  } catch (error) {
    if (!stop.signal.aborted || error instanceof Problem) throw error;
  } finally {
    await close();
  }
}

async function open() {
  // A session that an earlier run left behind goes on where that run stopped reading. This run
  // wants to go on where it stopped committing, so it begins with a new one.
  try {
    await call("DELETE", session);
  } catch (error) {
    if (error.status !== 404) throw error;
  }
  const { assignment, generation } = await call("POST", "/api/consumers/subscribe", {
    consumer_id: options.id,
    group_id: options.group,
    topics: options.topics.split(","),
    auto_offset_reset: "earliest",
  });
  log(`reading ${JSON.stringify(assignment)}`);
  return generation;
}

async function read(generation) {
  let after; // the cursor of the last answer that has arrived
  while (!stop.signal.aborted) {
    const answer = await poll(after);
    if (answer.generation !== generation) {
      // Partitions have come or gone: forget whatever you keep by partition.
      generation = answer.generation;
      log(`the assignment has changed, generation ${generation}`);
    }
    for (const record of answer.records) {
      await handle(record);
      consumed += 1;
    }
    if (answer.records.length > 0) {
      await commit(answer.cursor);
      lastRecord = performance.now();
    }
    after = answer.cursor;
    const idle = performance.now() - lastRecord;
    if ((stopAfter && consumed >= stopAfter) || (stopIdle && idle >= stopIdle)) stop.abort();
  }
}

function poll(after) {
  const timeout_ms = stopIdle ? Math.min(20_000, Math.round(stopIdle)) : 20_000;
  return call("POST", `${session}/consume`, { timeout_ms, after }, {
    timeout: timeout_ms + 10_000,
    signal: stop.signal,
    repeat: after !== undefined,
  });
}

async function commit(cursor) {
  try {
    await call("POST", `${session}/commit`, { cursor });
  } catch (error) {
    if (error.code !== "partition_not_assigned") throw error;
    // All these partitions have moved to other members, which read the records again.
    log("not committed, the partitions have moved");
  }
}

async function close() {
  try {
    await send("DELETE", session, undefined, AbortSignal.timeout(10_000));
  } catch (error) {
    if (error.status === 404) return; // it has ended already
    log(`the session was not closed and will expire: ${reason(error)}`);
  }
}

/**
 * Sends a request until it is answered for good.
 *
 * Everything here may be repeated: subscribe names its session, polls and commits a cursor. Only a
 * poll without a cursor may not: records of a lost answer would not come again.
 */
async function call(method, path, body, { timeout = 40_000, signal, repeat = true } = {}) {
  for (let pause = 200; ; pause = Math.min(2 * pause, 10_000)) {
    const limit = AbortSignal.timeout(timeout);
    try {
      return await send(method, path, body, signal ? AbortSignal.any([signal, limit]) : limit);
    } catch (error) {
      if (error.code === "consumer_not_found" && method !== "DELETE") {
        throw new SessionLost(error.message);
      }
      if (error instanceof Problem && !TRANSIENT.has(error.status)) throw error;
      stop.signal.throwIfAborted();
      if (!repeat) throw new SessionLost(reason(error));
      log(`${method} ${path} failed, will be repeated: ${reason(error)}`);
      const wait = Math.max(error.retryAfter ?? 0, pause * (0.5 + Math.random() / 2));
      await sleep(wait, undefined, { signal: stop.signal });
    }
  }
}

async function send(method, path, body, signal) {
  const response = await fetch(options.url + path, {
    method,
    headers: body && { "Content-Type": "application/json" },
    body: body && JSON.stringify(body),
    signal,
  });
  if (!response.ok) throw await Problem.from(response);
  return response.status === 204 ? undefined : response.json();
}

/** What fetch says of a broken connection is in its cause. */
const reason = (error) => error.cause?.message ?? error.message;

process.on("SIGINT", () => stop.abort());
process.on("SIGTERM", () => stop.abort());
try {
  await run();
  console.log(`consumed ${consumed} records`);
} catch (error) {
  log(error instanceof Problem ? error.message : error);
  process.exitCode = 1;
}
