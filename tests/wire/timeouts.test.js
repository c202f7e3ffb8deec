// SPDX-License-Identifier: MIT
// Clients that are too slow with their requests, and idle connections.

import { claim, shared, assert, refused, fresh } from './lib/claim.js';

const daemon = shared({ options: { 'http.head_timeout': '400ms', 'http.body_timeout': '400ms', 'http.idle_timeout': '500ms', 'http.linger': '200ms', 'server.max_connections': 500 } });

// Send bytes at a steady slow rate until the connection ends.
function trickle(c, byte, every) {
  const timer = setInterval(() => c.socket.writable && c.socket.write(byte), every);
  c.socket.once('close', () => clearInterval(timer));
  return () => clearInterval(timer);
}

claim('a request head that does not end in time is answered with 408 and the connection ends', async (t) => {
  const c = await t.raw(await daemon(t));
  await c.write('GET /healthz HTTP/1.1\r\nHost: h\r\nX-A: ');
  refused(await c.response(), 408, 'request_timeout');
  await c.eof();
});

claim('a head that trickles in does not buy time', async (t) => {
  const c = await t.raw(await daemon(t));
  await c.write('GET /healthz HTTP/1.1\r\nHost: h\r\nX-A: ');
  const stop = trickle(c, 'a', 50);
  t.cleanup(stop);
  refused(await c.response({ ms: 3000 }), 408, 'request_timeout');
});

claim('a body that stops is answered with 408', async (t) => {
  const c = await t.raw(await daemon(t));
  await c.write('POST /v1/publish?channel=slow HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc');
  refused(await c.response(), 408, 'request_timeout');
  await c.eof();
});

claim('a chunked body that stops is answered with 408', async (t) => {
  const c = await t.raw(await daemon(t));
  await c.write('POST /v1/publish?channel=slow HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab');
  refused(await c.response(), 408, 'request_timeout');
});

claim('a body that goes on arriving is waited for', async (t) => {
  const d = await daemon(t);
  const c = await t.raw(d);
  await c.write('POST /v1/publish?channel=steady HTTP/1.1\r\nHost: h\r\nContent-Length: 16\r\n\r\n');
  t.cleanup(trickle(c, 'x', 100)); // 1.6 s in all, four times the limit between two bytes
  assert.equal((await c.response({ ms: 8000 })).status, 200);
});

claim('nothing of an unfinished publish is stored', async (t) => {
  const d = await daemon(t);
  assert.deepEqual((await d.get('/v1/history?channel=slow', { agent: false })).json.messages, []);
});

claim('a kept-alive connection without a request ends silently', async (t) => {
  const c = await t.raw(await daemon(t));
  assert.equal((await c.ask('GET', '/healthz')).status, 200);
  await c.eof(5000);
});

claim('a connection on which nothing was ever sent ends', async (t) => {
  const c = await t.raw(await daemon(t));
  const rest = (await c.rest(5000)).toString();
  assert.ok(rest === '' || rest.startsWith('HTTP/1.1 408 '), rest);
});

claim('a waiting long poll is not idle', async (t) => {
  const c = await t.raw(await daemon(t));
  const a = await c.ask('GET', `/v1/poll?channel=${fresh()}&wait=1.2`, { ms: 5000 });
  assert.equal(a.status, 200);
  assert.deepEqual(a.json.messages, []);
});

claim('an event stream is not idle', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const s = await t.sse(d, `/v1/sse?channel=${ch}`);
  await s.hello();
  const c = await t.raw(d);
  await c.ask('GET', `/v1/poll?channel=${ch}&wait=1.2`, { ms: 5000 }); // as long as that
  await d.publish(ch, 'still there', { agent: false });
  assert.equal((await s.message()).json.data, 'still there');
});

claim('a WebSocket is not idle', async (t) => {
  const d = await daemon(t);
  const w = await t.ws(d, '/v1/ws');
  await w.hello();
  const c = await t.raw(d);
  await c.ask('GET', `/v1/poll?channel=${fresh()}&wait=1.2`, { ms: 5000 });
  assert.equal((await w.command({ type: 'ping' })).type, 'pong');
});

claim('a WebSocket handshake that comes too slowly is answered with 408', async (t) => {
  const c = await t.raw(await daemon(t));
  await c.write('GET /v1/ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n');
  refused(await c.response(), 408, 'request_timeout');
});

claim('200 connections that say half a head are all cut off and leave nothing behind', async (t) => {
  const d = await daemon(t);
  const all = await Promise.all([...Array(200)].map(() => t.raw(d)));
  for (const c of all) c.write('GET / HT');
  await Promise.all(all.map(async (c) => assert.match((await c.rest(8000)).toString(), /^HTTP\/1\.1 408 /)));
  for (const c of all) c.destroy();
  await d.untilMetric('holdfast_connections', (n) => n <= 5, 5000);
});

daemon.ends();
