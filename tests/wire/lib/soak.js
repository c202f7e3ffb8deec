// SPDX-License-Identifier: MIT
// Churn: clients that connect, subscribe, stall, vanish, half-close, publish, poll, over all transports, for a given time; then
// quiet. At the end every connection, subscription and descriptor must be gone, and memory flat: what the daemon holds in
// quiet moments of the second half must not be more than in those of the first half, but for a tenth.
// Ends with one line `soak: …` of figures; exit code 1 when something grew.

import fs from 'node:fs';
import { Daemon } from './daemon.js';
import { Raw } from './raw.js';
import { WsClient } from './ws.js';
import { SseClient } from './sse.js';
import { random } from './random.js';
import { until } from './wait.js';

const minutes = Number(process.argv[2] || 10);
if (!(minutes > 0)) {
  console.error('usage: tests/soak [MINUTES]');
  process.exit(2);
}
const MB = 1 << 20;
const ROUND_MS = Math.min(30e3, minutes * 60e3 / 8);
const ACTORS = 100, PUBLISHERS = 4;

const r = random(31);
const counts = { sse: 0, websocket: 0, longpoll: 0, shortpoll: 0, stalled: 0, vanished: 0, published: 0, odd: 0 };
const channel = () => `${r.pick(['a', 'b', 'skip:c', 'cut:d', 'ram:e', 'few:f'])}${r.int(12)}`;
const names = () => [...new Set([...Array(1 + r.int(5))].map(channel))];
const query = (list) => list.map((c) => `channel=${encodeURIComponent(c)}`).join('&');
const moment = (ms) => new Promise((resolve) => setTimeout(resolve, r.int(ms))); // lint: polls, as clients that come and go

async function stream(d, isSse, since) {
  const target = `?${query(names())}${since}`;
  const c = isSse ? await SseClient.open(d, `/v1/sse${target}`) : await WsClient.open(d, `/v1/ws${target}`);
  counts[isSse ? 'sse' : 'websocket']++;
  if (r.int(3) === 0) {
    counts.stalled++;
    c.pause();
  }
  await moment(3000);
  if (r.int(2)) {
    c.resume();
    await moment(500);
  }
  if (!isSse && r.int(3) === 0) {
    for (let i = 0; i < 20; i++) {
      c.send(r.pick([{ type: 'publish', channel: channel(), data: i }, { type: 'subscribe', channels: names(), since: '0' },
        { type: 'unsubscribe', channel: channel() }, { type: 'history', channel: channel(), last: 20 }, { type: 'ping' }, { type: 'nonsense' }]));
      counts.published++;
    }
    await moment(500);
  }
  counts.vanished++;
  c.close();
}

async function odd(d) {
  const c = await Raw.connect(d);
  counts.odd++;
  c.write(r.pick(['GET /v1/poll?channel=a&wait=20 HTTP/1.1\r\nHost: h\r\n\r\n', 'POST /v1/publish?channel=a HTTP/1.1\r\nHost: h\r\nContent-Length: 90\r\n\r\nxx',
    'GET / HT', '\x16\x03\x01', 'GET /v1/sse?channel=a HTTP/1.0\r\n\r\n']));
  await moment(400);
  if (r.int(2)) c.reset();
  else {
    c.finish();
    await moment(100);
    c.destroy();
  }
}

async function publish(d) {
  const n = 1 + r.int(50);
  const isHot = r.int(4) === 0; // enough to fill the buffers of those who stall
  const name = isHot ? r.pick(['a0', 'skip:c0', 'cut:d0']) : channel();
  const body = [...Array(n)].map(() => 'x'.repeat(isHot ? 10000 : r.int(600))).join('\n');
  await d.post(`/v1/publish?channel=${encodeURIComponent(name)}&batch=lines${r.int(9) ? '' : '&ephemeral=1'}`, body, { headers: { 'content-type': 'text/plain' } });
  counts.published += n;
}

async function act(d, state, isPublisher) {
  while (!state.stop) {
    const since = r.pick(['', '', '&since=0', '&last=10']);
    try {
      switch (isPublisher ? -1 : r.int(7)) {
      case 0: case 1: await stream(d, true, since); break;
      case 2: case 3: await stream(d, false, since); break;
      case 4: counts.longpoll++; await d.get(`/v1/poll?${query(names())}&wait=1${since}`); break;
      case 5: counts.shortpoll++; await d.get(`/v1/poll?${query(names())}${since}`); break;
      case 6: await odd(d); break;
      default: await publish(d);
      }
    } catch (err) {
      if (!d.alive) throw err;
      if (!/ECONN|EPIPE|socket hang up|closed|ended|nothing within/.test(`${err.code} ${err.message}`)) throw err;
    }
  }
}

// All clients are gone, and what they left behind.
async function quiet(d) {
  d.agent.destroy();
  const rest = async () => {
    const m = await d.metrics();
    return ['holdfast_subscriptions', 'holdfast_subscribers_catching_up', 'holdfast_append_queue_bytes', 'holdfast_query_queue',
      ...['sse', 'websocket', 'longpoll', 'shortpoll'].map((t) => `holdfast_sessions{transport="${t}"}`)].filter((name) => m.get(name) !== 0);
  };
  let left;
  await until(async () => (left = await rest()).length === 0, 20000, () => `everything to be gone; there is still ${left}`);
  await until(async () => (await d.metric('holdfast_connections')) <= 1, 20000, 'all connections to be gone');
  d.agent.destroy();
  return { rss: d.rss(), heap: 1024 * d.status('RssAnon'), fds: d.fds(), threads: d.status('Threads') };
}

const d = new Daemon({
  options: { 'limits.out_queue_bytes': '64KiB', 'limits.replay_window_bytes': '32KiB', 'limits.recent_total_bytes': '4MiB', 'http.write_timeout': '2s', 'http.linger': '200ms', 'websocket.close_timeout': '500ms',
    'server.log_sessions': 'no', 'delivery.heartbeat': '1s', 'websocket.pong_timeout': '1s' },
  config: { namespace: { history_count: 200 }, 'namespace skip': { slow: 'skip' }, 'namespace cut': { slow: 'disconnect' }, 'namespace ram': { durability: 'memory' }, 'namespace few': { history_count: 5 } },
});
await d.launch();
const began = Date.now();
const samples = [];
while (Date.now() - began < minutes * 60e3) {
  const state = { stop: false };
  setTimeout(() => { state.stop = true; }, ROUND_MS);
  await Promise.all([...Array(ACTORS)].map((_, i) => act(d, state, i < PUBLISHERS)));
  samples.push(await quiet(d));
  const s = samples.at(-1);
  console.log(`${((Date.now() - began) / 60e3).toFixed(1)} min: ${(s.rss / MB).toFixed(1)} MB (${(s.heap / MB).toFixed(1)} of its own), ${s.fds} descriptors, ${s.threads} threads`);
}
const cpu = d.cpu();
const slow = [];
for (const policy of ['lag', 'skip', 'disconnect']) slow.push(`${policy} ${await d.metric(`holdfast_slow_consumers_total{policy="${policy}"}`)}`);
const delivered = [...(await d.metrics())].filter(([name]) => name.startsWith('holdfast_messages_delivered_total')).reduce((n, [, v]) => n + v, 0);
const code = await d.stop();
fs.rmSync(d.dir, { recursive: true, force: true });

// The first quarter fills caches.
const used = samples.slice(Math.floor(samples.length / 4));
const half = Math.ceil(used.length / 2);
const most = (list, key) => Math.max(...list.map((s) => s[key]));
// The connection of the metrics may be still on its way out: what leaks is there each time.
const least = (list, key) => Math.min(...list.map((s) => s[key]));
const [before, after] = [used.slice(0, half), used.slice(half)];
const grew = used.length > 1 ? ['fds', 'threads'].filter((key) => least(after, key) > least(before, key)) : [];
if (used.length > 1 && most(after, 'rss') > most(before, 'rss') * 1.1) grew.push('rss');
console.log(`soak: ${((Date.now() - began) / 60e3).toFixed(1)} min, ${Object.entries(counts).map(([k, v]) => `${k} ${v}`).join(', ')}, delivered ${delivered}, slow: ${slow.join(', ')};  cpu ${(cpu / 1000).toFixed(0)} s; `
  + `quiet memory ${(most(before, 'rss') / MB).toFixed(1)} MB then ${(most(after, 'rss') / MB).toFixed(1)} MB, descriptors ${used[0].fds} then ${used.at(-1).fds}, exit ${code}`);
if (grew.length) console.log(`soak: grew: ${grew}`);
process.exit(grew.length || code !== 0 ? 1 : 0);
