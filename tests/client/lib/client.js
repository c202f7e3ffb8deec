// SPDX-License-Identifier: MIT
// The client under test: the bundle of the build under test, as the daemon serves it; HOLDFAST_CLIENT=src takes the sources.

import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import WebSocket from 'ws';
import { holdfastd, root } from '../../wire/lib/daemon.js';
import { Queue, scale } from '../../wire/lib/wait.js';

const bundle = path.resolve(holdfastd, '../../client/holdfast.js');
const module = process.env.HOLDFAST_CLIENT === 'src'
  ? await import(path.join(root, 'client/src/index.js'))
  : await import(path.join(copy(), 'holdfast.js'));

// Node takes a .js for a module only where a package.json says so.
function copy() {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'hf-client-'));
  process.on('exit', () => fs.rmSync(dir, { recursive: true, force: true }));
  for (const name of ['holdfast.js', 'holdfast-more.js']) fs.copyFileSync(path.join(path.dirname(bundle), name), path.join(dir, name));
  fs.writeFileSync(path.join(dir, 'package.json'), '{"type":"module"}');
  return dir;
}

export const { Holdfast, HoldfastError, ConnectionError, RefusedError, OutboxFullError, AbortError } = module;
export { WebSocket, bundle, root };

// A client for one claim, with what happened to it. Nothing is remembered between clients unless a claim says so.
export function client(t, url, options = {}) {
  const c = new Holdfast(typeof url === 'string' ? url : url.base, { WebSocket, backoff: { min: 20, max: 500 }, healthTimeout: 3000 * scale, ...options });
  c.seen = { state: [], transport: [], gap: [], error: [] };
  c.news = new Queue(); // of all events
  for (const type of Object.keys(c.seen)) c.on(type, (detail) => { c.seen[type].push(detail); c.news.push({ type, detail }); });
  t.cleanup(() => c.close());
  return c;
}

export const event = (c, type, pred = () => true, ms = 10000) => c.news.find((e) => e.type === type && pred(e.detail), ms, `the event ${type} (seen: ${JSON.stringify(c.seen)})`).then((e) => e.detail);

// A subscription whose messages wait in a queue.
export function listen(c, channel, options = {}) {
  const got = new Queue();
  got.sub = c.subscribe(channel, { ...options, onGap: (g) => got.gaps.push(g), onError: (e) => got.errors.push(e) }, (m) => got.push(m));
  got.gaps = new Queue();
  got.errors = new Queue();
  got.take = async (n, ms = 10000) => {
    const list = [];
    while (list.length < n) list.push(await got.next(ms, `message ${list.length + 1} of ${n}`));
    return list;
  };
  return got;
}

export const datas = (messages) => messages.map((m) => m.data);
export const numbers = (n, from = 0) => Array.from({ length: n }, (_, i) => from + i);
