#!/usr/bin/env -S node --test-reporter=tap
// SPDX-License-Identifier: MIT
// A thousand clients that stop reading while publishers go at full speed: the daemon's memory stays within what its options
// add up to (docs/guarantees.md, "Memory is bounded"), and when they read again each gets every message, in order.
// HOLDFAST_TEST_LONG=1: a minute of publishing instead of ten seconds. HOLDFAST_TEST_BIN: where the helper was built.

import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { claim, assert } from '../wire/lib/claim.js';
import { holdfastd } from '../wire/lib/daemon.js';
import { Queue } from '../wire/lib/wait.js';

const LONG = !!process.env.HOLDFAST_TEST_LONG;
const PUBLISH_MS = LONG ? 60e3 : 10e3;
const READERS = 1000;
const CHANNELS = 500; // each with one reader over WebSocket and one over SSE
const BATCH = 100;
const KB = 1024, MB = 1024 * KB;

const limits = { out_queue: 64 * KB, window: 32 * KB, recent_total: 16 * MB, append_queue: 8 * MB, worker_lag: 4, batch: 256, workers: 2, readers: 2 };
const options = {
  'server.workers': limits.workers,
  'limits.out_queue_bytes': '64KiB', 'limits.replay_window_bytes': '32KiB', 'limits.recent_total_bytes': '16MiB',
  'http.batch_bytes': '4MiB', 'store.append_queue_bytes': '8MiB', 'store.worker_lag': limits.worker_lag, 'store.batch_messages': limits.batch, 'store.readers': limits.readers,
  'http.write_timeout': '10m', 'http.tcp_user_timeout': '0', 'delivery.heartbeat': '10m', 'server.log_sessions': 'no',
};

// The formula of docs/guarantees.md; message: bytes of one on the wire.
function bound(base, message) {
  const perClient = Math.max(limits.out_queue, 1.5 * limits.window) * (1 + 64 / message) + 2 * message + 4 * KB;
  const lag = limits.workers * (limits.worker_lag + 1) * limits.batch * message;
  const store = limits.append_queue + lag + 16 * MB + (limits.readers + 2) * 4 * MB;
  return 1.25 * (base + READERS * perClient + limits.workers * limits.recent_total + store);
}

class Readers {
  lines = new Queue();

  constructor(d) {
    const bin = process.env.HOLDFAST_TEST_BIN || path.resolve(path.dirname(holdfastd), '../tests/fault');
    this.child = spawn(path.join(bin, 'stalled_readers'), [d.port, READERS, CHANNELS].map(String), { stdio: ['pipe', 'pipe', 'inherit'] });
    let text = '';
    this.child.stdout.on('data', (b) => {
      text += b;
      const lines = text.split('\n');
      text = lines.pop();
      for (const line of lines) this.lines.push(line);
    });
    this.child.on('error', (err) => this.lines.end(err));
    this.child.on('close', () => this.lines.end(new Error('the readers ended')));
    this.child.stdin.on('error', () => {});
  }

  close() { this.child.kill('SIGKILL'); }
}

// One more batch to each channel in turn, until the time is over; the same number to all.
async function publishAtFullSpeed(d, body, onRound) {
  const began = Date.now();
  let n = 0;
  while (Date.now() - began < PUBLISH_MS) {
    const lines = [...Array(BATCH).keys()].map((i) => `#${String(n + i).padStart(10, '0')}#${body}`).join('\n');
    await Promise.all([...Array(CHANNELS).keys()].map((c) => d.publish(`s${c}`, lines, { query: '&batch=lines', ms: 60e3 })));
    n += BATCH;
    onRound();
  }
  return n;
}

claim(`${READERS} clients that read nothing cost bounded memory, and then get everything in order`, { ms: LONG ? 590e3 : 240e3 }, async (t) => {
  const d = await t.daemon({ options, nofile: 4096, config: { namespace: { history_count: 0 } } });
  const body = 'x'.repeat(240);
  const base = d.rss();
  const readers = t.keep(new Readers(d));
  assert.equal(await readers.lines.next(60e3, 'the readers to stand'), 'stalled');
  const idle = d.rss();
  let most = 0;
  const measure = () => { most = Math.max(most, d.rss()); };
  const n = await publishAtFullSpeed(d, body, measure);
  const total = n * CHANNELS;
  const slow = await d.metric('holdfast_slow_consumers_total{policy="lag"}');
  const behind = await d.metric('holdfast_subscribers_catching_up');
  readers.child.stdin.write(`read ${n}\n`);
  const timer = setInterval(measure, 200);
  t.cleanup(() => clearInterval(timer));
  const began = Date.now();
  const said = await readers.lines.next(LONG ? 500e3 : 200e3, 'the readers to have all');
  clearInterval(timer);
  assert.match(said, /^done /);
  const allowed = bound(base, 360);
  t.test.diagnostic(`${total} messages published, ${READERS * n} received (${(Number(said.slice(5)) / MB).toFixed(0)} MB in ${((Date.now() - began) / 1000).toFixed(1)} s), `
    + `${slow} times somebody fell behind; memory: ${(base / MB).toFixed(1)} MB at the start, ${(idle / MB).toFixed(1)} MB with ${READERS} clients, `
    + `${(most / MB).toFixed(1)} MB at most, ${(allowed / MB).toFixed(1)} MB allowed`);
  assert.equal(behind, READERS, 'not all have stalled: this proves too little');
  assert.ok(most <= allowed, `${most} bytes, ${allowed} are allowed`);
  assert.equal(fs.existsSync(`/proc/${d.pid}`), true);
});
