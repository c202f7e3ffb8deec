// SPDX-License-Identifier: MIT
// Whatever comes in: it is refused explicitly, the daemon lives on, and afterwards memory and descriptors are where they were.

import net from 'node:net';
import { claim, shared, assert, refused, fresh } from './lib/claim.js';
import { frame, OP } from './lib/ws.js';
import { random } from './lib/random.js';
import { until } from './lib/wait.js';

const MB = 1 << 20;
const daemon = shared({ options: { 'http.head_timeout': '2s', 'http.body_timeout': '2s', 'http.linger': '300ms', 'http.write_timeout': '2s', 'limits.channels_per_subscription': 16, 'websocket.message_bytes': '64KiB', 'limits.message_bytes': '64KiB', 'http.body_bytes': '128KiB' } });
const alive = async (d) => assert.equal((await d.get('/healthz', { agent: false })).status, 200);

let baseline;
claim('the measure of an idle daemon is taken', async (t) => {
  const d = await daemon(t);
  // Every path is used once first, so that what is made on first use is there.
  const ch = fresh();
  for (let i = 0; i < 50; i++) await d.publish(ch, 'x'.repeat(1000));
  const s = await t.sse(d, `/v1/sse?channel=${ch}&since=0`);
  await s.hello();
  const w = await t.ws(d, `/v1/ws?channel=${ch}&since=0`);
  await w.hello();
  s.close();
  w.close();
  d.agent.destroy();
  await d.untilMetric('holdfast_connections', (n) => n <= 1);
  baseline = { rss: d.rss(), fds: d.fds() };
});

for (const [name, bytes, status] of [
  ['an oversized header', `GET /healthz HTTP/1.1\r\nHost: h\r\nX: ${'x'.repeat(200000)}\r\n\r\n`, 431],
  ['10,000 headers', `GET /healthz HTTP/1.1\r\nHost: h\r\n${'A: b\r\n'.repeat(10000)}\r\n`, 431],
  ['an oversized target', `GET /${'x'.repeat(200000)} HTTP/1.1\r\nHost: h\r\n\r\n`, 414],
  ['an oversized method', `${'X'.repeat(200000)} / HTTP/1.1\r\nHost: h\r\n\r\n`, null],
  ['an endless run of empty lines', '\r\n'.repeat(100000), null],
  ['an oversized body', `POST /v1/publish?channel=a HTTP/1.1\r\nHost: h\r\nContent-Length: 200000\r\n\r\n${'x'.repeat(200000)}`, 413],
  ['an oversized chunked body', `POST /v1/publish?channel=a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n${`1000\r\n${'x'.repeat(4096)}\r\n`.repeat(50)}0\r\n\r\n`, 413],
  ['a body of one-byte chunks with long extensions', `POST /v1/publish?channel=a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n${`1;${'e'.repeat(60000)}\r\nx\r\n`.repeat(20)}0\r\n\r\n`, null],
  ['endless trailers', `POST /v1/publish?channel=a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n${'A: b\r\n'.repeat(30000)}\r\n`, null],
  ['NUL bytes', '\0'.repeat(1000), null],
  ['a wrong version', 'GET /healthz HTTP/9.9\r\nHost: h\r\n\r\n', 505],
  ['something that is not HTTP', 'SSH-2.0-OpenSSH_9.2\r\n', null],
  ['an SMTP greeting', 'EHLO there\r\nMAIL FROM:<a@b>\r\n', null],
]) {
  claim(`${name}: refused and closed`, async (t) => {
    const d = await daemon(t);
    const c = await t.raw(d);
    c.write(Buffer.from(bytes, 'latin1'));
    const a = await c.response({ ms: 6000 });
    assert.ok(a.status >= 400, `status ${a.status}`);
    if (status) assert.equal(a.status, status);
    assert.ok(a.json.error.code);
    await alive(d);
  });
}

for (const [target, code] of [
  [`/v1/poll?${[...Array(17).keys()].map((i) => `channel=c${i}`).join('&')}`, 'too_many_channels'],
  [`/v1/poll?${'channel=a&'.repeat(1500)}`, null],
  ['/v1/poll?channel=%ff', 'bad_channel'], ['/v1/poll?channel=%00', null], ['/v1/poll?channel=%', null], ['/v1/poll?channel=%c3%28', 'bad_channel'],
  ['/v1/poll?channel=a&since=%00', null], ['/v1/poll?channel=a&since=%ff%fe', null], [`/v1/poll?channel=a&since=${'9'.repeat(5000)}`, null],
  ['/v1/poll?channel=a&last=99999999999999999999999', 'bad_parameter'], ['/v1/poll?channel=a&last=9223372036854775808', 'bad_parameter'],
  ['/v1/poll?channel=a&wait=1e999', 'bad_parameter'], ['/v1/history?channel=a&limit=99999999999999999999', 'bad_parameter'],
  ['/v1/poll?&&&=&=a&channel', null], ['/v1/poll?=', 'no_channel'], ['/%2e%2e/%2e%2e/etc/passwd', 'not_found'], ['/../../etc/passwd', 'not_found'], ['/v1/%00', null], ['/%', null],
]) {
  claim(`${target.slice(0, 60)} is answered with a reason`, async (t) => {
    const d = await daemon(t);
    const c = await t.raw(d);
    await c.request('GET', target);
    const a = await c.response();
    if (code) refused(a, a.status, code);
    else if (a.status === 200) assert.ok(a.json.cursor, 'a poll reply');
    else refused(a, a.status, a.json.error.code);
  });
}

claim('invalid UTF-8 in a cursor is given back as valid JSON', async (t) => {
  const d = await daemon(t);
  const c = await t.raw(d);
  await c.request('GET', '/v1/poll?channel=a&since=%ff%22%5c%0a');
  const a = await c.response();
  if (a.status === 200) {
    assert.doesNotThrow(() => new TextDecoder('utf-8', { fatal: true }).decode(a.body));
    assert.equal(a.json.gaps[0].reason, 'invalid');
  } else refused(a, 400, ['bad_parameter', 'bad_request']);
});

claim('a Last-Event-ID with raw bytes gives valid UTF-8', async (t) => {
  const d = await daemon(t);
  const s = await t.sse(d, '/v1/sse?channel=a', { headers: { 'Last-Event-ID': '\xff\xfe"' } });
  if (s.status !== 200) return;
  await s.hello();
  assert.equal((await s.gap()).json.reason, 'invalid');
});

claim('half-closed sockets at every point of a request are let go', async (t) => {
  const d = await daemon(t);
  const whole = 'POST /v1/publish?channel=half HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc';
  const all = [];
  for (let i = 0; i < whole.length; i += 3) {
    const c = await t.raw(d);
    await c.write(whole.slice(0, i));
    c.finish();
    all.push(c);
  }
  for (const c of all) {
    const rest = (await c.rest(8000)).toString('latin1');
    assert.ok(rest === '' || /^HTTP\/1\.1 (4\d\d|200) /.test(rest), rest.slice(0, 100));
    c.destroy();
  }
  await alive(d);
});

claim('a client that sends requests and never reads is let go', { ms: 30000 }, async (t) => {
  const d = await daemon(t);
  const c = await t.raw(d);
  c.socket.pause();
  c.write('GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n'.repeat(20000));
  await d.untilMetric('holdfast_sessions_closed_total{reason="write-timeout"}', (n) => n >= 1, 15000);
  await alive(d);
});

claim('resets at every point are survived', async (t) => {
  const d = await daemon(t);
  const r = random(77);
  const handshake = 'GET /v1/ws?channel=r HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n';
  const texts = [handshake, 'GET /v1/sse?channel=r&since=0 HTTP/1.1\r\nHost: h\r\n\r\n', 'GET /v1/poll?channel=r&wait=5 HTTP/1.1\r\nHost: h\r\n\r\n', 'POST /v1/publish?channel=r HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n' + 'x'.repeat(1000)];
  for (let i = 0; i < 200; i++) {
    const c = await t.raw(d);
    const text = r.pick(texts);
    await c.write(text.slice(0, r.int(2) ? text.length : r.int(text.length)));
    if (r.int(2)) c.reset();
    else c.destroy();
  }
  await alive(d);
});

claim('random bytes on the port are survived', { ms: 40000 }, async (t) => {
  const d = await daemon(t);
  const r = random(78);
  const words = ['GET ', 'POST ', '/v1/ws', '/v1/sse?channel=a', '/v1/publish?channel=a', ' HTTP/1.1\r\n', 'Host: h\r\n', '\r\n', '\r\n\r\n', 'Content-Length: ', 'Transfer-Encoding: chunked\r\n', '5\r\n', '0\r\n\r\n',
    'Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n', '\0', '%', '\r', '\n', ' ', ':', '&'];
  for (let round = 0; round < 30; round++) {
    const all = await Promise.all([...Array(20)].map(() => t.raw(d)));
    await Promise.all(all.map(async (c) => {
      const parts = [];
      for (let i = r.int(12); i >= 0; i--) parts.push(r.int(3) ? Buffer.from(r.pick(words)) : r.bytes(r.int(200)));
      await c.write(Buffer.concat(parts));
      c.finish();
      await until(() => c.ended || c.received, 8000, 'an answer or the end').catch((err) => {
        err.message += ` for ${JSON.stringify(Buffer.concat(parts).toString('latin1'))}`;
        throw err;
      });
      c.destroy();
    }));
  }
  await alive(d);
});

claim('random frames on a WebSocket are survived', { ms: 40000 }, async (t) => {
  const d = await daemon(t);
  const r = random(79);
  const texts = ['{"type":"subscribe","channel":"a"}', '{"type":"publish","channel":"a","data":', '{"type":', '}', '{"type":"history","channel":"a","last":5}', '"', '\\u', '[[[[', '{"ref":1}', 'null'];
  for (let i = 0; i < 300; i++) {
    const w = await t.rawWs(d);
    const parts = [];
    for (let k = r.int(8); k >= 0; k--) {
      const payload = r.int(2) ? Buffer.from(r.pick(texts)) : r.bytes(r.int(150));
      const op = r.int(5) ? r.pick([OP.text, OP.binary, OP.cont, OP.ping, OP.pong]) : r.int(16);
      parts.push(r.int(8) ? frame(op, payload, { fin: r.int(3) > 0 }) : r.bytes(r.int(30)));
    }
    await w.write(Buffer.concat(parts));
    w.raw.finish();
    await until(() => w.raw.ended || w.raw.received > 10, 8000, 'a sign of the server');
    w.close();
  }
  await alive(d);
});

claim('10,000 connects and disconnects are survived', { ms: 60000 }, async (t) => {
  const d = await daemon(t);
  const one = (i) => new Promise((resolve) => {
    const s = net.connect({ port: d.port, host: '127.0.0.1' });
    s.on('error', () => {});
    s.on('close', resolve);
    s.on('connect', () => {
      if (i % 4 === 1) s.write('GET / HT');
      if (i % 4 === 2) s.end();
      else s.resetAndDestroy(); // no TIME_WAIT left behind
    });
    if (i % 4 === 2) s.resume();
  });
  for (let i = 0; i < 10000; i += 250) await Promise.all([...Array(250).keys()].map((k) => one(i + k)));
  await alive(d);
});

claim('afterwards descriptors and memory are back where they were', { ms: 30000 }, async (t) => {
  const d = await daemon(t);
  assert.ok(baseline, 'no measure was taken');
  d.agent.destroy();
  await until(() => d.fds() <= baseline.fds + 2, 15000, () => `descriptors to be ${baseline.fds} again (now ${d.fds()})`);
  await d.untilMetric('holdfast_connections', (n) => n <= 2);
  for (const transport of ['websocket', 'sse', 'longpoll', 'shortpoll']) await d.untilMetric(`holdfast_sessions{transport="${transport}"}`, (n) => n === 0);
  await d.untilMetric('holdfast_subscriptions', (n) => n === 0);
  const grown = d.rss() - baseline.rss;
  assert.ok(grown < 48 * MB, `the daemon grew by ${(grown / MB).toFixed(1)} MB`);
});

claim('a WebSocket message above the limit, in a stream of good ones, harms only its own connection', async (t) => {
  const d = await daemon(t);
  const good = await t.ws(d, '/v1/ws?channel=g');
  await good.hello();
  const bad = await t.rawWs(d);
  await bad.json();
  await bad.send(OP.text, 'x'.repeat(70000));
  assert.equal((await bad.closeFrame()).code, 1009);
  await d.publish('g', 'fine');
  assert.equal((await good.message()).json.data, 'fine');
});

claim('at the limit of descriptors accepting pauses, does not spin, and recovers', { ms: 40000 }, async (t) => {
  const d = await t.daemon({ nofile: 96, options: { 'server.workers': 2 } });
  const s = await t.sse(d, '/v1/sse?channel=a');
  await s.hello();
  const crowd = [];
  for (let i = 0; i < 150; i++) crowd.push(await t.raw(d)); // the rest wait in the backlog
  for (const c of crowd) c.write('GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n');
  await until(() => crowd.filter((c) => c.received).length > 20, 5000, 'those who were accepted to be served');
  // Nothing is to do now but to wait: what is measured is the processor time of a span, so a span has to pass.
  const cpu = d.cpu(), began = Date.now();
  await until(() => Date.now() - began > 1500, 5000, 'time to pass');
  const used = d.cpu() - cpu;
  assert.ok(used < 500, `${used} ms of processor time in 1.5 s`);
  assert.ok(crowd.some((c) => !c.received), 'nobody had to wait: the limit was not reached');
  for (const c of crowd.splice(0, 120)) c.destroy();
  await until(() => crowd.every((c) => c.received), 10000, 'those who waited to be served');
  await d.publish('a', 'still here', { agent: false });
  assert.equal((await s.message()).json.data, 'still here');
  assert.ok(await d.metric('holdfast_accept_paused_total') >= 1);
});

claim('max_connections makes the rest wait, not fail', { ms: 30000 }, async (t) => {
  const d = await t.daemon({ options: { 'server.max_connections': 10, 'server.workers': 1 } });
  const crowd = [];
  for (let i = 0; i < 20; i++) {
    const c = await t.raw(d);
    crowd.push(c);
    c.write('GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n');
  }
  await until(() => crowd.filter((c) => c.received).length >= 8, 5000, 'the first ones to be served');
  assert.equal((await d.admin('/healthz')).status, 200, 'the admin socket is served all the same');
  const served = crowd.filter((c) => c.received);
  assert.ok(served.length <= 12, `${served.length} were served`);
  for (const c of served) c.destroy();
  await until(() => crowd.every((c) => c.received), 10000, 'the others to be served');
});

claim('1,000 subscriptions at once come and go', { ms: 40000 }, async (t) => {
  const d = await daemon(t);
  const all = await Promise.all([...Array(1000).keys()].map((i) => (i % 2 ? t.sse(d, `/v1/sse?channel=many${i % 50}`) : t.ws(d, `/v1/ws?channel=many${i % 50}`, { ms: 15000 }))));
  await Promise.all(all.map((c) => c.hello(15000)));
  assert.equal((await d.publish('many7', 'x')).subscribers, 20);
  for (const c of all) c.close();
  await d.untilMetric('holdfast_subscriptions', (n) => n === 0, 10000);
});

daemon.ends();
