#!/usr/bin/env -S node --test-reporter=tap
// SPDX-License-Identifier: MIT
// The fan-out allocates nothing per delivery: the same messages to four times as many subscribers take as many allocations in
// the worker's thread. They are counted by count_shim.so; what a message takes by itself (its request, its copy, its frames) is in
// both numbers. The log's thread is left out: what SQLite takes depends on how the messages fall into commits, and it knows of
// no subscribers. COUNT_SHIM names another shim than that beside the daemon.

import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { claim, assert } from '../wire/lib/claim.js';
import { holdfastd } from '../wire/lib/daemon.js';

const shim = process.env.COUNT_SHIM || path.resolve(path.dirname(holdfastd), '../tests/perf/count_shim.so');

// With the publishers' connections fewer than a worker calls a crowd: half a second after one it gives its spare memory back, and
// what it then takes anew would be counted (daemon/worker.c, TRIM_CONNECTIONS).
const FEW = 10, MANY = 40, MESSAGES = 160, WARM_UP = 96;
// Whatever a turn of the loop may take besides, which is not the same in any two runs: far below one per delivery.
const DELIVERIES = (MANY - FEW) * MESSAGES;
const STRAY = DELIVERIES / 1000;

const open = {
  websocket: async (t, d) => {
    const c = await t.ws(d, '/v1/ws?channel=a');
    await c.hello();
    return { next: () => c.message(20000) };
  },
  sse: async (t, d) => {
    const c = await t.sse(d, '/v1/sse?channel=a');
    await c.hello();
    return { next: () => c.message(20000) };
  },
};

// Publish so many messages, so many at a time; go on when every subscriber has them.
async function publish(d, subscribers, n, inFlight) {
  for (let i = 0; i < n; i += inFlight) {
    const ids = (await Promise.all(Array.from({ length: inFlight }, (_, k) => d.publish('a', `message ${i + k}`)))).map((r) => r.id);
    await Promise.all(subscribers.map(async (s) => {
      const got = [];
      for (let k = 0; k < inFlight; k++) got.push((await s.next()).json.id);
      assert.deepEqual(got.sort(), [...ids].sort());
    }));
  }
}

// Allocations of the worker so far, from the shim's file: pairs of a thread's number and its count.
function counted(file, d) {
  const b = fs.readFileSync(file);
  for (let at = 0; at < b.length && b.readBigUInt64LE(at) !== 0n; at += 16) {
    const comm = `/proc/${d.pid}/task/${b.readBigUInt64LE(at)}/comm`;
    if (fs.existsSync(comm) && fs.readFileSync(comm, 'utf8').startsWith('hf-worker')) return Number(b.readBigUInt64LE(at + 8));
  }
  throw new Error('nothing is counted');
}

async function allocations(t, transport, subscriberN, inFlight) {
  const file = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'hf-count-')), 'count');
  t.cleanup(() => fs.rmSync(path.dirname(file), { recursive: true, force: true }));
  fs.writeFileSync(file, Buffer.alloc(64 * 16));
  const d = await t.daemon({ env: { LD_PRELOAD: shim, COUNT_SHIM: file }, options: { 'server.workers': 1, 'delivery.heartbeat': '1h' } });
  const subscribers = [];
  for (let i = 0; i < subscriberN; i++) subscribers.push(await open[transport](t, d));
  await publish(d, subscribers, WARM_UP, inFlight);
  const before = counted(file, d);
  await publish(d, subscribers, MESSAGES, inFlight);
  return counted(file, d) - before;
}

for (const transport of Object.keys(open)) {
  for (const inFlight of [1, 16]) {
    claim(`${transport}: no allocation per delivery, ${inFlight} in flight`, { ms: 60000 }, async (t) => {
      const few = await allocations(t, transport, FEW, inFlight);
      const many = await allocations(t, transport, MANY, inFlight);
      console.log(`# ${transport}, ${inFlight} in flight: ${(few / MESSAGES).toFixed(2)} allocations per message for ${FEW} subscribers,`
        + ` ${(many / MESSAGES).toFixed(2)} for ${MANY}: ${((many - few) / DELIVERIES).toFixed(5)} per delivery`);
      assert.ok(few >= MESSAGES, `${few} allocations for ${MESSAGES} messages: are they counted?`);
      assert.ok(many - few < STRAY, `${many - few} allocations more for ${DELIVERIES} deliveries more`);
    });
  }
}
