// SPDX-License-Identifier: MIT
// claim(name, async (t) => …): one test with a deadline, whose sockets and daemons are gone afterwards. When it fails, the
// stderr that its daemons wrote meanwhile is shown. A daemon that died unasked fails the claim.

import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Daemon } from './daemon.js';
import { Raw } from './raw.js';
import { SseClient } from './sse.js';
import { WsClient, RawWs } from './ws.js';
import { follow } from './follow.js';
import { Proxy } from './proxy.js';
import { deadline } from './wait.js';
import { seed } from './random.js';

export { assert };

class Scene {
  cleanups = [];
  watched = new Map(); // daemon → where its stderr stood

  constructor(test) { this.test = test; }

  cleanup(fn) { this.cleanups.push(fn); }

  keep(thing) {
    this.cleanups.push(() => thing.close?.() ?? thing.destroy?.());
    return thing;
  }

  watch(d) {
    if (!this.watched.has(d)) this.watched.set(d, d.stderr.length);
    return d;
  }

  async daemon(how) {
    const d = new Daemon(how);
    this.cleanups.push(() => d.dispose());
    this.watched.set(d, 0);
    return d.launch();
  }

  async raw(d, how) { return this.keep(await Raw.connect(d, how)); }
  async sse(d, target, how) { return this.keep(await SseClient.open(d, target, how)); }
  async ws(d, target, how) { return this.keep(await WsClient.open(d, target, how)); }
  async rawWs(d, target, how) { return this.keep(await RawWs.open(d, target, how)); }
  async follow(...args) { return this.keep(await follow(...args)); }
  async proxy(d, how) { return this.keep(await Proxy.open(d, how)); }

  // A dead daemon's last words are read before it is judged.
  async settle() {
    for (const [d] of this.watched) if (d.crashed) await deadline(d.exited, 3000, 'the end of the dead daemon').catch(() => {});
  }

  async check() {
    await this.settle();
    for (const [d] of this.watched) {
      d.checkSanitizer();
      if (d.crashed) throw new Error(`the daemon died: ${JSON.stringify(d.exit)}`);
    }
  }

  report() {
    let text = `\n(seed ${seed})`;
    for (const [d, from] of this.watched) {
      const said = d.stderr.slice(from).trim();
      if (said) text += `\n--- the daemon's stderr meanwhile:\n${said.slice(-4000)}`;
      if (d.crashed) text += `\n--- the daemon died: ${JSON.stringify(d.exit)}`;
    }
    return text;
  }

  async close() {
    for (const fn of this.cleanups.reverse()) {
      try { await fn(); } catch (err) { this.late ??= err; }
    }
  }
}

export function claim(name, how, fn) {
  if (typeof how === 'function') [fn, how] = [how, {}];
  return test(name, { skip: how.skip || false }, async (ctx) => {
    const scene = new Scene(ctx);
    try {
      await deadline(fn(scene), how.ms ?? 20000, 'the whole claim');
      await scene.check();
    } catch (err) {
      await scene.settle();
      if (typeof err?.message === 'string') {
        const report = scene.report();
        err.message += report;
        if (err.stack) err.stack += report.includes('---') ? report : '';
      }
      throw err;
    } finally {
      await scene.close();
    }
  });
}

// A daemon for all claims of a file: `const daemon = shared({…})`, then `const d = await daemon(t)`. Ends with a claim of its own,
// registered by `daemon.ends()` at the bottom of the file.
export function shared(how = {}) {
  let d = null;
  const get = async (t) => {
    if (d && !d.alive) {
      await d.dispose(); // it died in the claim before, which failed for it
      d = null;
    }
    if (!d) {
      const made = new Daemon(how);
      t.watched.set(made, 0);
      await made.launch();
      d = made;
    }
    t.watch(d);
    return d;
  };
  get.ends = () => claim('the daemon is still alive after all this and ends cleanly', async (t) => {
    assert.ok(d, 'it never ran');
    t.watch(d);
    assert.equal(d.crashed, false, 'it died');
    const code = await d.stop();
    assert.equal(code, 0);
    d.removeFolder();
  });
  return get;
}

// A JSON refusal with this code and the status that belongs to it.
export function refused(answer, status, code) {
  assert.equal(answer.status, status, `status of ${answer.text ?? JSON.stringify(answer.json)}`);
  if (answer.headers) assert.match(answer.headers['content-type'] ?? '', /^application\/json/);
  const body = answer.json;
  assert.deepEqual(Object.keys(body), ['error']);
  assert.equal(typeof body.error.message, 'string');
  assert.ok(body.error.message.length > 0, 'an error without a message');
  if (Array.isArray(code)) assert.ok(code.includes(body.error.code), `code ${body.error.code}, not one of ${code}`);
  else assert.equal(body.error.code, code);
}

let names = 0;
// A channel name that no other claim of this process uses.
export const fresh = (prefix = 'c') => `${prefix}-${++names}`;

// ids ascend, and each message's prev is the one before it in its channel (the first one may begin anywhere).
export function unbroken(items, { first } = {}) {
  const lastOf = new Map();
  let before = null;
  for (const { json } of items) {
    const seq = BigInt(json.id.slice(json.id.lastIndexOf('.') + 1));
    if (before !== null) assert.ok(seq > before, `${json.id} does not come after ${before}`);
    before = seq;
    if (lastOf.has(json.channel)) assert.equal(json.prev, lastOf.get(json.channel), `prev of ${json.id}`);
    else if (first !== undefined) assert.equal(json.prev, first, `prev of the first message ${json.id}`);
    lastOf.set(json.channel, json.id);
  }
}
