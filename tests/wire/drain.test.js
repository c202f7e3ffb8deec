// SPDX-License-Identifier: MIT
// SIGTERM: everybody is told, everything that was acknowledged goes out, the process ends in time.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { claim, assert } from './lib/claim.js';
import { readAll } from './lib/follow.js';
import { until } from './lib/wait.js';

const options = { 'server.drain_grace': '2s', 'server.drain_spread': '800ms', 'http.linger': '200ms', 'websocket.close_timeout': '300ms' };

function checkGoodbye(json) {
  assert.equal(json.type, 'goodbye');
  assert.equal(json.reason, 'drain');
  assert.equal(json.reconnect, true);
  assert.ok(Number.isInteger(json.delay_ms) && json.delay_ms >= 0 && json.delay_ms <= 800, `delay ${json.delay_ms}`);
}

claim('without clients it ends at once with 0', async (t) => {
  const d = await t.daemon({ options: { ...options, 'server.drain_grace': '30s' } });
  const began = Date.now();
  assert.equal(await d.stop(), 0);
  assert.ok(Date.now() - began < 5000);
});

claim('an SSE client is told goodbye with a delay, and retry with the same delay before it', async (t) => {
  const d = await t.daemon({ options });
  const s = await t.sse(d, '/v1/sse?channel=a');
  await s.hello();
  d.signal('SIGTERM');
  const g = await s.expect('goodbye', 5000);
  checkGoodbye(g.json);
  assert.equal(s.retry, g.json.delay_ms);
  assert.equal(g.id, null);
  assert.equal(await s.end(), 'last chunk');
  assert.equal((await d.awaitExit()).code, 0);
});

claim('a WebSocket client is told goodbye and closed with 1001', async (t) => {
  const d = await t.daemon({ options });
  const w = await t.ws(d, '/v1/ws?channel=a');
  await w.hello();
  d.signal('SIGTERM');
  checkGoodbye((await w.expect('goodbye')).json);
  assert.equal((await w.end(6000)).code, 1001);
  assert.equal((await d.awaitExit()).code, 0);
});

claim('a waiting long poll is answered', async (t) => {
  const d = await t.daemon({ options });
  const reply = d.get(`/v1/poll?channel=a&since=${await d.cursor('a')}&wait=30`, { agent: false });
  await d.untilMetric('holdfast_sessions{transport="longpoll"}', (n) => n === 1);
  d.signal('SIGTERM');
  const a = await reply;
  assert.equal(a.status, 200);
  assert.deepEqual(a.json.messages, []);
  assert.ok(a.json.cursor);
  assert.equal((await d.awaitExit()).code, 0);
});

claim('/readyz says 503 while it drains', async (t) => {
  const d = await t.daemon({ options });
  assert.equal((await d.get('/readyz')).status, 200);
  const c = await t.raw(d);
  await c.write('POST /v1/publish?channel=a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab'); // keeps the process busy
  const s = await t.sse(d, '/v1/sse?channel=a');
  await s.hello();
  d.signal('SIGTERM');
  await s.expect('goodbye');
  await until(async () => (await d.get('/readyz', { agent: false })).status === 503, 1500, '/readyz to say 503');
  d.expectExit = true;
});

claim('a request whose body is on its way is answered', async (t) => {
  const d = await t.daemon({ options });
  const c = await t.raw(d);
  const s = await t.sse(d, '/v1/sse?channel=b');
  await s.hello();
  await c.write('POST /v1/publish?channel=a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab');
  assert.equal((await d.get('/healthz')).status, 200); // the daemon has turned its loop meanwhile
  d.signal('SIGTERM');
  await s.expect('goodbye');
  await c.write('cde');
  const a = await c.response();
  assert.ok(a.status === 200 || a.status === 503, `status ${a.status}`);
  if (a.status === 503) assert.equal(a.json.error.code, 'draining');
  assert.equal((await d.awaitExit()).code, 0);
});

claim('everything acknowledged before goes out before goodbye', async (t) => {
  const d = await t.daemon({ options });
  const s = await t.sse(d, '/v1/sse?channel=a');
  await s.hello();
  const w = await t.ws(d, '/v1/ws?channel=a');
  await w.hello();
  s.pause();
  w.pause();
  for (let i = 0; i < 200; i++) await d.publish('a', `${i}`.padEnd(1000));
  d.signal('SIGTERM');
  s.resume();
  w.resume();
  assert.deepEqual((await s.messages(200)).map((m) => Number(m.json.data)), [...Array(200).keys()]);
  assert.deepEqual((await w.messages(200)).map((m) => Number(m.json.data)), [...Array(200).keys()]);
  await s.expect('goodbye');
  await w.expect('goodbye');
  assert.equal((await d.awaitExit()).code, 0);
});

claim('delays are spread', async (t) => {
  const d = await t.daemon({ options });
  const all = [];
  for (let i = 0; i < 16; i++) {
    const s = await t.sse(d, '/v1/sse?channel=a');
    await s.hello();
    all.push(s);
  }
  d.signal('SIGTERM');
  const delays = await Promise.all(all.map(async (s) => (await s.expect('goodbye')).json.delay_ms));
  assert.ok(new Set(delays).size > 8, `delays ${delays}`);
  assert.ok(Math.max(...delays) <= 800);
  assert.equal((await d.awaitExit()).code, 0);
});

claim('clients that do not leave do not hold it up beyond the grace', async (t) => {
  const d = await t.daemon({ options: { ...options, 'server.drain_grace': '500ms' } });
  const raw = await t.rawWs(d, '/v1/ws?channel=a'); // never answers a close
  await raw.json();
  const s = await t.sse(d, '/v1/sse?channel=a');
  await s.hello();
  s.pause();
  for (let i = 0; i < 300; i++) await d.publish('a', 'x'.repeat(20000)); // more than socket buffers take
  await t.raw(d); // says nothing
  const began = Date.now();
  d.signal('SIGTERM');
  assert.equal((await d.awaitExit(8000)).code, 0);
  assert.ok(Date.now() - began < 5000, `${Date.now() - began} ms`);
});

claim('SIGINT does the same', async (t) => {
  const d = await t.daemon({ options });
  const s = await t.sse(d, '/v1/sse?channel=a');
  await s.hello();
  d.signal('SIGINT');
  checkGoodbye((await s.expect('goodbye')).json);
  assert.equal((await d.awaitExit()).code, 0);
});

claim('messages published through the drain are on disk after it', async (t) => {
  const d = await t.daemon({ options });
  const acked = [];
  let stop = false;
  const publishing = (async () => {
    for (let i = 0; !stop; i++) {
      try {
        const a = await d.post('/v1/publish?channel=a', `${i}`, { headers: { 'content-type': 'text/plain' } });
        if (a.status === 200) acked.push(a.json.id);
        else if (a.status !== 503) throw new Error(`status ${a.status}`);
        else return;
      } catch (err) {
        if (/ECONN|EPIPE|hang up/.test(`${err.code} ${err.message}`)) return;
        throw err;
      }
    }
  })();
  await until(() => acked.length > 50, 5000, 'publishes');
  d.signal('SIGTERM');
  const end = await d.awaitExit();
  stop = true;
  await publishing;
  assert.equal(end.code, 0);
  await d.restart();
  assert.deepEqual((await readAll(d, ['a'])).map((m) => m.json.id).slice(0, acked.length), acked);
});

// Somebody holds the database, so closing the log takes a second: what presence has to tell meanwhile is told to nobody.
claim('presence that is due while the log closes is not given to a log that is gone', async (t) => {
  const d = await t.daemon({
    config: { presence: { batch: '500ms' }, 'namespace room': { presence: 'yes' } },
    options: { ...options, 'server.drain_grace': '0s', 'server.drain_spread': '0s', 'server.workers': 1 },
  });
  const locker = spawn('sqlite3', [`${d.dataDir}/holdfast.db`], { stdio: ['pipe', 'pipe', 'ignore'] });
  t.cleanup(() => locker.kill('SIGKILL'));
  locker.stdin.write("BEGIN IMMEDIATE; SELECT 'locked';\n");
  await once(locker.stdout, 'data');
  const c = await t.raw(d);
  await c.write('POST /v1/publish?channel=a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab');
  await (await t.ws(d, '/v1/ws?channel=room:a')).hello(); // the one worker has seen the publish, too
  assert.equal(await d.stop(), 0);
});
