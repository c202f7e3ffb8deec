#!/usr/bin/env node
// SPDX-License-Identifier: MIT
// What compression saves and costs: `./dev bench deflate [LEVEL...]`, see bench/README.md. First permessage-deflate: one channel,
// JSON, WebSocket subscribers that read everything. The bytes are those that the subscribers counted; one of them looks at every
// message, all count them. Then history in gzip. Each row on a fresh daemon with one worker; CPU time is the whole daemon's.

import { spawnSync } from 'node:child_process';
import crypto from 'node:crypto';
import net from 'node:net';
import os from 'node:os';
import { Daemon } from '../tests/wire/lib/daemon.js';
import { inflate } from '../tests/wire/lib/ws.js';
import { random } from '../tests/wire/lib/random.js';

const KB = 1024;
const BATCH = 10; // messages in one publish; the next goes out when everybody has them
const CASES = [[1, 20000, KB], [10, 10000, KB], [100, 5000, KB], [1000, Number(process.env.BENCH_MESSAGES || 1000), KB], [1, 500, 120 * KB]]; // subscribers, messages, bytes of each
const PAGES = [10, 100, 400]; // messages in a reply
const levels = process.argv.slice(2);
const ways = ['no', ...(levels.length ? levels : ['1', '6'])];

// Rows as an application would send them: names from a few, numbers from many.
function makePayload(r, n, size) {
  const cities = ['London', 'Paris', 'Berlin', 'Madrid', 'Oslo', 'Rome'];
  let text = `{"n":${n},"rows":[`;
  for (;;) {
    const row = `{"id":${r.int(1e6)},"name":"${cities[r.int(6)]}","price":${r.int(1e5) / 100},"volume":${r.int(1e5)},"up":${r.int(2) === 1}},`;
    if (text.length + row.length > size - 12) break;
    text += row;
  }
  return `${text}"${'='.repeat(size - text.length - 4)}"]}`;
}

// One WebSocket that counts frames and bytes. onText sees the texts, inflated; without it nothing is looked at but heads.
class Subscriber {
  frames = 0;
  bytes = 0;
  compressed = 0;
  skip = 0; // payload bytes still to come
  rest = null;

  constructor(port, offer, onFrame, onText) {
    Object.assign(this, { onFrame, onText });
    this.ready = new Promise((resolve, reject) => {
      this.socket = net.connect(port, '127.0.0.1', () => {
        const extension = offer ? 'Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n' : '';
        this.socket.write(`GET /v1/ws?channel=bench HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: ${crypto.randomBytes(16).toString('base64')}\r\nSec-WebSocket-Version: 13\r\n${extension}\r\n`);
      });
      this.socket.on('error', reject);
      let head = '';
      const hello = (b) => {
        head += b.toString('latin1');
        if (!head.includes('\r\n\r\n') || !head.includes('"hello"') || !head.endsWith('}}')) return;
        if (/^Sec-WebSocket-Extensions: permessage-deflate/mi.test(head) !== offer) reject(new Error(`not as offered: ${head}`));
        this.socket.off('data', hello);
        this.socket.on('data', (more) => this.take(more));
        resolve();
      };
      this.socket.on('data', hello);
    });
  }

  take(b) {
    this.bytes += b.length;
    if (this.rest) b = Buffer.concat([this.rest, b]);
    this.rest = null;
    let at = 0;
    while (at < b.length) {
      if (this.skip) {
        const n = Math.min(this.skip, b.length - at);
        this.skip -= n;
        at += n;
        continue;
      }
      const short = b.length > at + 1 ? b[at + 1] & 127 : 0;
      const headN = short === 126 ? 4 : short === 127 ? 10 : 2;
      let n = short;
      if (b.length >= at + headN && short === 126) n = b.readUInt16BE(at + 2);
      if (b.length >= at + headN && short === 127) n = Number(b.readBigUInt64BE(at + 2));
      if (b.length < at + headN || (this.onText && b.length < at + headN + n)) {
        this.rest = b.subarray(at);
        break;
      }
      if ((b[at] & 15) === 1) {
        const isCompressed = (b[at] & 0x40) !== 0;
        this.compressed += isCompressed;
        if (this.onText) this.onText((isCompressed ? inflate : String)(b.subarray(at + headN, at + headN + n)).toString());
        this.frames++;
        this.onFrame();
      }
      at += headN;
      this.skip = n;
    }
  }
}

function pin(pid, cpu) {
  if (os.cpus().length >= 2) spawnSync('taskset', ['-apc', String(cpu), String(pid)]);
}

async function start(what, way) {
  const isOn = way !== 'no';
  const options = { 'server.workers': 1, 'server.log_sessions': 'no', 'limits.message_bytes': '128KiB', 'http.body_bytes': '2MiB', 'http.batch_bytes': '2MiB', [what]: isOn ? 'yes' : 'no' };
  if (isOn) options[`${what}_level`] = way;
  const d = await Daemon.start({ options });
  pin(d.pid, 0);
  return d;
}

async function publish(d, payloads) {
  const a = await d.post('/v1/publish?channel=bench', `${payloads.join('\n')}\n`, { headers: { 'content-type': 'application/x-ndjson' } });
  if (a.status !== 200) throw new Error(a.text);
}

async function fanOut(way, subscribers, messages, size) {
  const deflates = way !== 'no';
  const d = await start('websocket.deflate', way);
  const r = random(1);
  const payloads = [...Array(messages)].map((_, i) => makePayload(r, i, size));
  let frames = 0, checked = 0, wake = () => {};
  const onFrame = () => { if (++frames % (subscribers * BATCH) === 0) wake(); };
  const onText = (text) => {
    if (!text.endsWith(`,"data":${payloads[checked]}}`)) throw new Error(`message ${checked} is not what was published: ${text}`);
    checked++;
  };
  await d.get('/healthz');
  const rss = d.rss();
  const all = [];
  for (let i = 0; i < subscribers; i++) {
    all.push(new Subscriber(d.port, deflates, onFrame, i === 0 ? onText : null));
    await all.at(-1).ready;
  }
  const idle = (d.rss() - rss) / subscribers;
  const cpu = d.cpu();
  for (let i = 0; i < messages; i += BATCH) {
    const told = new Promise((resolve) => { wake = resolve; });
    await publish(d, payloads.slice(i, i + BATCH));
    await told;
  }
  const used = (d.cpu() - cpu) * 1000;
  const deliveries = subscribers * messages;
  const bytes = all.reduce((sum, s) => sum + s.bytes, 0);
  if (checked !== messages || all.some((s) => s.frames !== messages || s.compressed !== (deflates ? messages : 0))) throw new Error('not everybody has everything');
  for (const s of all) s.socket.destroy();
  await d.stop();
  await d.dispose();
  return { bytes: bytes / deliveries, perDelivery: used / deliveries, perMessage: used / messages, idle: subscribers >= 100 ? idle : NaN };
}

const REPLIES = 300;

async function history(way, page) {
  const d = await start('http.gzip', way);
  const r = random(1);
  await publish(d, [...Array(page)].map((_, i) => makePayload(r, i, KB)));
  const ask = () => d.get(`/v1/history?channel=bench&limit=${page}`, { headers: { 'accept-encoding': 'gzip' } });
  const a = await ask();
  if (a.json.messages.length !== page || (a.headers['content-encoding'] === 'gzip') !== (way !== 'no')) throw new Error(`not the page that was asked for: ${a.text.slice(0, 200)}`);
  const cpu = d.cpu();
  for (let i = 0; i < REPLIES; i++) await ask();
  const used = (d.cpu() - cpu) * 1000 / REPLIES;
  await d.stop();
  await d.dispose();
  return { bytes: a.sent.length, used };
}

const table = (...widths) => (...cells) => console.log(cells.map((c, i) => String(c).padStart(widths[i])).join(''));

pin(process.pid, 1);
let row = table(11, 9, 8, 7, 15, 16, 15, 15);
row('subscribers', 'messages', 'bytes', 'level', 'bytes/delivery', 'CPU us/delivery', 'CPU us/message', 'idle KiB/conn');
for (const [subscribers, messages, size] of CASES) {
  for (const way of ways) {
    const m = await fanOut(way, subscribers, messages, size);
    row(subscribers, messages, size, way, m.bytes.toFixed(0), m.perDelivery.toFixed(2), m.perMessage.toFixed(1), Number.isNaN(m.idle) ? '-' : (m.idle / 1024).toFixed(2));
  }
}
console.log();
row = table(23, 7, 14, 15);
row('messages in a reply', 'level', 'bytes/reply', 'CPU us/reply');
for (const page of PAGES) {
  for (const way of ways) {
    const m = await history(way, page);
    row(page, way, m.bytes, m.used.toFixed(0));
  }
}
