// SPDX-License-Identifier: MIT
// The configurations of packaging/proxies in the real programs, without a browser: what docs/proxies.md says of them, by plain
// requests. What a browser makes of them is in boxes.test.js.

import http from 'node:http';
import https from 'node:https';
import { claim, assert } from '../wire/lib/claim.js';
import { SseParser } from '../wire/lib/sse.js';
import { Queue, deadline, until } from '../wire/lib/wait.js';
import { WebSocket } from 'ws';
import { nginx } from './boxes/nginx.js';
import { haproxy } from './boxes/haproxy.js';
import { caddy } from './boxes/caddy.js';

const CONFIGURED = { nginx: nginx.ours, 'nginx with TLS': nginx.tls, HAProxy: haproxy.ours, 'HAProxy with TLS': haproxy.tls, Caddy: caddy.ours, 'Caddy with TLS': caddy.tls };
const CHANNELS = Array.from({ length: 256 }, (_, i) => `a-channel-with-a-long-name-${String(i).padStart(3, '0')}`);

function ask(box, target, { method = 'GET', headers = {}, body } = {}) {
  return deadline(new Promise((resolve, reject) => {
    const req = (box.tls ? https : http).request({ host: '127.0.0.1', port: box.port, path: target, method, headers, rejectUnauthorized: false, agent: false }, (res) => {
      const parts = [];
      res.on('data', (b) => parts.push(b));
      res.on('end', () => resolve({ status: res.statusCode, headers: res.headers, text: Buffer.concat(parts).toString() }));
      res.on('error', reject);
    });
    req.on('error', reject);
    req.end(body);
  }), 10000, `the answer to ${method} ${target.slice(0, 80)}`);
}

// An event stream: events as they come; `headMs` until the head was there.
function stream(t, box, target) {
  const began = performance.now();
  return deadline(new Promise((resolve, reject) => {
    const req = (box.tls ? https : http).get({
      host: '127.0.0.1', port: box.port, path: target, headers: { accept: 'text/event-stream', 'accept-encoding': 'gzip, br' }, rejectUnauthorized: false, agent: false,
    }, (res) => {
      const parser = new SseParser();
      const events = new Queue();
      res.on('data', (b) => parser.feed(b, (e) => events.push(e)));
      res.on('close', () => events.end(new Error('the stream ended')));
      res.on('error', () => {});
      const s = { status: res.statusCode, headers: res.headers, events, headMs: performance.now() - began, close: () => req.destroy() };
      t.keep(s);
      resolve(s);
    });
    req.on('error', reject);
  }), 10000, `the head of ${target.slice(0, 80)}`);
}

// How long the head of a stream takes at best: of five, so that what else the machine does plays no part.
async function heads(t, box) {
  const times = [];
  for (let i = 0; i < 5; i++) {
    const s = await stream(t, box, '/v1/sse?channel=none');
    times.push(s.headMs);
    s.close();
  }
  return Math.min(...times);
}

async function socket(t, box, target) {
  const ws = new WebSocket(`${box.tls ? 'wss' : 'ws'}://127.0.0.1:${box.port}${target}`, [], { rejectUnauthorized: false, perMessageDeflate: false });
  const frames = new Queue();
  ws.on('message', (data) => frames.push(JSON.parse(data)));
  ws.on('close', () => frames.end(new Error('the WebSocket was closed')));
  t.cleanup(() => ws.terminate());
  await deadline(new Promise((resolve, reject) => {
    ws.on('open', resolve);
    ws.on('error', reject);
  }), 10000, 'the WebSocket handshake');
  return { frames, close: () => ws.terminate() };
}

const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1];

// One message after the other: how long each takes from its publisher to its reader.
async function latency(d, channel, take) {
  const times = [];
  for (let i = 0; i < 20; i++) {
    const began = performance.now();
    await Promise.all([d.publish(channel, `m${i}`), take(`m${i}`)]);
    times.push(performance.now() - began);
  }
  return median(times);
}

for (const [name, open] of Object.entries(CONFIGURED)) {
  claim(`${name}, configured: streams pass at once, large requests pass, clients that left are gone`, { ms: 40000 }, async (t) => {
    const d = await t.daemon({ options: { 'delivery.heartbeat': '300ms', 'namespace.publish': 'anyone' } });
    const box = t.keep(await open(d.port));

    const s = await stream(t, box, '/v1/sse?channel=a');
    assert.equal(s.status, 200);
    assert.equal(s.headers['content-encoding'], undefined, 'a compressed stream');
    const head = await heads(t, box);
    assert.ok(head < 100, `the head of a stream takes ${Math.round(head)} ms`);
    const sse = await latency(d, 'a', (text) => s.events.find((e) => e.data?.includes(text), 2000, `the event ${text}`));
    assert.ok(sse < 150, `events took ${sse} ms`);
    await s.events.find((e) => e.event === 'heartbeat', 3000, 'a heartbeat');

    const ws = await socket(t, box, '/v1/ws?channel=b');
    await ws.frames.find((f) => f.type === 'hello', 3000, 'hello');
    const frames = await latency(d, 'b', (text) => ws.frames.find((f) => f.data === text, 2000, `the frame ${text}`));
    assert.ok(frames < 150, `frames took ${frames} ms`);
    t.test.diagnostic(`${name}: head of a stream ${head.toFixed(1)} ms, events ${sse.toFixed(1)} ms, frames ${frames.toFixed(1)} ms`);

    const many = await ask(box, `/v1/poll?${CHANNELS.map((c) => `channel=${c}`).join('&')}`);
    assert.equal(many.status, 200, `256 channels: ${many.status} ${many.text}`);
    const body = `${'x'.repeat((1 << 20) - 1)}\n`.repeat(15);
    const batch = await ask(box, '/v1/publish?channel=c&batch=lines', { method: 'POST', body, headers: { 'content-type': 'text/plain' } });
    assert.equal(batch.status, 200, `a batch of 15 MiB: ${batch.status} ${batch.text}`);
    assert.equal(JSON.parse(batch.text).ids.length, 15);
    const cursor = JSON.parse(many.text).cursor;
    assert.equal((await ask(box, '/v1/poll?channel=zzz', { headers: { 'if-none-match': `"${cursor}"` } })).status, 304);

    const streams = async () => {
      const { connections } = (await d.admin('/v1/admin/connections?limit=100')).json;
      return connections.filter((c) => c.channels.length).length;
    };
    await until(async () => await streams() === 2, 3000, 'only the two that are open');
    s.close();
    ws.close();
    await until(async () => await streams() === 0, 3000, 'the end of what nobody reads any more');
  });

  claim(`${name}, configured: a broker that comes back is used again`, { ms: 30000 }, async (t) => {
    const d = await t.daemon();
    const box = t.keep(await open(d.port));
    assert.equal((await ask(box, '/readyz')).status, 200);
    await d.kill9();
    const down = await ask(box, '/readyz');
    assert.ok([502, 503].includes(down.status), `${down.status} while the broker is down`);
    await d.launch();
    const began = performance.now();
    await until(async () => (await ask(box, '/readyz')).status === 200, 15000, 'the broker behind its proxy');
    t.test.diagnostic(`${name}: ${Math.round(performance.now() - began)} ms after the broker was back`);
  });
}

for (const [name, open] of [['nginx', nginx.impatient], ['HAProxy', haproxy.impatient]]) {
  claim(`${name} that cuts silent streams after two seconds lets those live whose heart beats faster`, { ms: 30000 }, async (t) => {
    const d = await t.daemon({ options: { 'delivery.heartbeat': '500ms' } });
    const box = t.keep(await open(d.port));
    const s = await stream(t, box, '/v1/sse?channel=a');
    for (let i = 0; i < 8; i++) await s.events.find((e) => e.event === 'heartbeat', 3000, 'a heartbeat');
    const slow = await t.daemon();
    const other = t.keep(await open(slow.port));
    const cut = await stream(t, other, '/v1/sse?channel=a');
    await assert.rejects(cut.events.find(() => false, 10000, 'the cut'), /ended/);
  });
}

claim('HAProxy without http-no-delay keeps small pieces back', { ms: 30000 }, async (t) => {
  const d = await t.daemon();
  const box = t.keep(await haproxy.defaults(d.port));
  const head = await heads(t, box);
  t.test.diagnostic(`HAProxy with defaults: head of a stream ${head.toFixed(1)} ms`);
  assert.ok(head > 150, `the head came after ${head} ms: docs/proxies.md says otherwise`);
});
