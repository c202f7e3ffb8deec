// SPDX-License-Identifier: MIT
// The browser client in real Chromium, and in Node, behind middle boxes.
//
//   Publisher ──HTTP──▶ holdfastd ◀──── box (boxes/*.js) ◀──── page in Chromium, or Node ──report──▶ View
//
// A page is at the address of the box, loads /holdfast.js through it, follows channels (follow.js), and reports every message and event
// through a binding as it comes, so that tests wait for events. A Publisher sends a numbered stream past the box, straight to the
// broker. exact() then compares: in each channel every message once, in the order of the log, none that was not sent, no gap.
//
// - One Chromium per test file, started with the first page; a context of its own per case (its own storage and connections),
//   so that cases run side by side. Everything listens on ports that were free; daemons and programs live in temporary folders.
// - row() collects what a case measured; table() prints all rows as diagnostics of the last test.
// - HOLDFAST_CHROMIUM names another browser of that family. HOLDFAST_TEST_SCALE stretches deadlines, HOLDFAST_TEST_KEEP keeps folders.

import fs from 'node:fs';
import path from 'node:path';
import { chromium } from 'playwright-core';
import { WebSocket } from 'ws';
import { assert } from '../wire/lib/claim.js';
import { root } from '../wire/lib/daemon.js';
import { deadline, scale, until } from '../wire/lib/wait.js';
import { BarePage } from './bare-page.js';
import { follow } from './follow.js';

const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update',
  '--disable-sync', '--renderer-process-limit=40'];

let launched = null;

function executable() {
  const names = [process.env.HOLDFAST_CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].filter(Boolean);
  const found = names.find((f) => fs.existsSync(f));
  if (!found) throw new Error(`there is none of ${names.join(', ')} (./dev test installs chromium)`);
  return found;
}

export const browser = () => launched ??= chromium.launch({ executablePath: executable(), args: FLAGS });

export async function closeBrowser() {
  await (await launched)?.close();
  launched = null;
}

// What a follower has told so far. Nothing is asked again and again: whoever waits is looked at when something arrives.
export class View {
  messages = [];
  events = [];
  waiting = new Set();

  take(e) {
    e.when = performance.now();
    (e.kind === 'message' ? this.messages : this.events).push(e);
    for (const w of [...this.waiting]) w();
  }

  until(pred, ms, what) {
    const done = new Promise((resolve) => {
      const look = () => {
        const value = pred(this);
        if (!value) return;
        this.waiting.delete(look);
        resolve(value);
      };
      this.waiting.add(look);
      look();
    });
    return deadline(done, ms, what).catch((err) => {
      err.message += `\n${this.story()}`;
      throw err;
    });
  }

  of(kind) { return this.events.filter((e) => e.kind === kind); }
  get trusted() { return this.of('transport').at(-1); }
  get state() { return this.of('state').at(-1)?.state; }
  count(n, ms, what = '') { return this.until(() => this.messages.length >= n, ms, `${n} messages ${what}`); }

  story() {
    const lines = this.events.slice(-30).map((e) => `  ${Math.round(e.at)} ms ${e.kind} ${JSON.stringify({ ...e, kind: undefined, at: undefined, when: undefined })}`);
    return `${this.messages.length} messages; events:\n${lines.join('\n')}`;
  }
}

const scheme = (box) => (box.tls ? 'https' : 'http');

// A page at the box. With `context` another tab beside those that are there. `view.page` and `view.cdp` are for what tests do to it.
export async function openPage(t, box, { context } = {}) {
  const b = await browser();
  if (!context) {
    context = await b.newContext({ ignoreHTTPSErrors: true });
    t.cleanup(() => deadline(context.close(), 5000, 'the end of a context').catch(() => {}));
  }
  const page = await context.newPage();
  const view = new View();
  Object.assign(view, { page, context, requests: [] });
  const asked = (r) => view.requests.push({ path: new URL(r.url()).pathname, at: performance.now() });
  page.on('request', asked);
  page.on('websocket', asked);
  page.on('pageerror', (err) => view.take({ kind: 'thrown', at: 0, message: String(err) }));
  page.on('crash', () => { view.crashed = true; view.take({ kind: 'crash', at: 0 }); });
  await page.exposeBinding('report', (source, e) => view.take(e));
  // Any document of the origin will do. It comes through the box, as the client does.
  await page.goto(`${scheme(box)}://127.0.0.1:${box.port}/healthz`);
  view.cdp = await context.newCDPSession(page);
  view.follow = (how) => page.evaluate(`(${follow})(${JSON.stringify({ client: '/holdfast.js', url: `${scheme(box)}://127.0.0.1:${box.port}`, ...how })}).then(() => {})`);
  return view;
}

export async function openTab(t, box, how, more) {
  const view = await openPage(t, box, more);
  await view.follow(how);
  return view;
}

// A page that can be frozen: `view.page` is a BarePage.
export async function openBare(t, box, how) {
  const view = new View();
  const origin = `${scheme(box)}://127.0.0.1:${box.port}`;
  view.page = await BarePage.open(await browser(), `${origin}/healthz`, (e) => view.take(e));
  t.cleanup(() => view.page.close());
  await view.page.evaluate(`(${follow})(${JSON.stringify({ client: '/holdfast.js', url: origin, ...how })}).then(() => {})`);
  return view;
}

// The same in this process. Node 18 and 20 have no WebSocket of their own: it is given.
export async function openNode(t, box, how) {
  const view = new View();
  const client = path.join(root, 'client/src/index.js');
  const hf = await follow({ client, url: `http://127.0.0.1:${box.port}`, ...how, options: { WebSocket, ...how.options } }, (e) => view.take(e));
  t.cleanup(() => hf.close());
  return view;
}

// Publishes to the channels in turn, one after the other; each has its receipt before the next is sent. A broker that is away is
// asked again with the same key, as a good publisher does.
export class Publisher {
  sent = [];
  last = Promise.resolve();
  timer = null;
  tries = 0;

  constructor(d, channels) { Object.assign(this, { d, channels }); }

  one() { return this.last = this.last.then(() => this.send()); }

  async send() {
    const n = this.sent.length;
    const channel = this.channels[n % this.channels.length];
    const how = { headers: { 'content-type': 'application/json', 'idempotency-key': `n${n}` }, ms: 5000 };
    const receipt = await until(async () => {
      this.tries++;
      try {
        const a = await this.d.post(`/v1/publish?channel=${encodeURIComponent(channel)}`, JSON.stringify({ n }), how);
        return a.status === 200 && a.json;
      } catch {
        return false; // it is down
      }
    }, 30000, `the receipt of message ${n}`);
    this.sent.push({ channel, id: receipt.id, data: { n }, when: performance.now() });
  }

  async burst(n) {
    for (let i = 0; i < n; i++) this.one();
    await this.last;
  }

  run(everyMs) { this.timer = setInterval(() => this.one(), everyMs); }

  async stop() {
    clearInterval(this.timer);
    await this.last;
  }
}

// In each channel every message that was sent, once, in the order of the log; no other; no gap; nothing thrown.
export function exact(view, pub) {
  for (const name of pub.channels) {
    const of = (list) => list.filter((m) => m.channel === name).map(({ id, data }) => ({ id, data }));
    const [sent, got] = [of(pub.sent), of(view.messages)];
    const wrong = sent.findIndex((m, i) => m.id !== got[i]?.id);
    if (wrong >= 0 || got.length !== sent.length) {
      const repeated = got.length - new Set(got.map((m) => m.id)).size;
      const around = (list) => list.slice(Math.max(0, wrong - 3), wrong + 5).map((m) => m.data.n);
      assert.fail(`${name}: sent ${sent.length}, got ${got.length}, ${repeated} of them again; around the first that is wrong (${wrong}) ` +
        `${around(sent)} were sent and ${around(got)} came\n${view.story()}`);
    }
    assert.deepEqual(got, sent);
  }
  assert.equal(view.messages.length, pub.sent.length, 'messages of other channels');
  assert.deepEqual(view.of('gap'), []);
  assert.deepEqual(view.of('thrown'), []);
}

export async function catchUp(view, pub, ms) {
  await view.count(pub.sent.length, ms, `of ${pub.sent.length} that were sent`);
  exact(view, pub);
}

// How long a message takes to the page, one after the other: {median, max} in milliseconds.
export async function latency(view, pub, n, ms) {
  const times = [];
  for (let i = 0; i < n; i++) {
    const began = performance.now();
    await pub.one();
    await view.count(pub.sent.length, ms, 'of one after the other');
    times.push(performance.now() - began);
  }
  times.sort((a, b) => a - b);
  return { median: times[n >> 1], max: times[n - 1] };
}

// How late the latest message was that was sent after the first `from`: from its receipt to its arrival, in milliseconds.
export function worst(view, pub, from) {
  const arrived = new Map(view.messages.map((m) => [m.id, m.when]));
  return Math.max(...pub.sent.slice(from).map((m) => arrived.get(m.id) - m.when));
}

const rows = [];
export const row = (cells) => rows.push(cells);

// All rows as lines of a table, with what was measured.
export function table(t) {
  if (!rows.length) return;
  const names = [...new Set(rows.flatMap((r) => Object.keys(r)))];
  const lines = [names, ...rows.map((r) => names.map((n) => String(r[n] ?? '')))];
  const widths = names.map((_, i) => Math.max(...lines.map((l) => l[i].length)));
  for (const l of lines) t.diagnostic(l.map((c, i) => c.padEnd(widths[i])).join('  ').trimEnd());
}

export const within = (ms, limit, what) => assert.ok(ms <= limit * scale, `${what} took ${Math.round(ms)} ms, more than ${limit * scale}`);
