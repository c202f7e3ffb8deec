// SPDX-License-Identifier: MIT
// permessage-deflate (RFC 7692) on WebSocket, Content-Encoding: gzip over HTTP.

import { spawn } from 'node:child_process';
import zlib from 'node:zlib';
import { claim, shared, assert, fresh } from './lib/claim.js';
import { OP, deflate, frame } from './lib/ws.js';
import { random } from './lib/random.js';

const daemon = shared({
  options: { 'server.workers': 1, 'limits.message_bytes': '256KiB', 'http.body_bytes': '300KiB', 'websocket.message_bytes': '256KiB', 'websocket.deflate_max_bytes': '64KiB' },
  config: { 'namespace who': { presence: 'yes' }, 'namespace open': { public: 'yes' } },
});

const DEFLATED = 'holdfast_compressed_total{what="websocket"}';
const json = (n, seed = 1) => {
  const r = random(seed);
  let text = `{"n":${seed},"rows":[`;
  while (text.length < n - 40) text += `{"id":${r.int(1e6)},"up":${r.int(2) === 0}},`;
  return `${text}"end"]}`;
};
const BROWSER = 'permessage-deflate; server_no_context_takeover; client_no_context_takeover';

// The offer in a handshake of our own, and what became of it.
async function negotiate(t, d, offer) {
  const w = await t.rawWs(d, '/v1/ws', { headers: offer === null ? {} : { 'Sec-WebSocket-Extensions': offer } });
  const answer = w.headers['sec-websocket-extensions'];
  assert.equal((await w.json()).type, 'hello');
  w.close();
  return answer;
}

// --- the handshake ---

for (const [offer, answer] of [
  [null, undefined],
  ['permessage-deflate; client_max_window_bits', BROWSER],
  ['permessage-deflate; server_max_window_bits=12; client_max_window_bits=12', `${BROWSER}; server_max_window_bits=12`],
  ['permessage-deflate; server_max_window_bits=15', `${BROWSER}; server_max_window_bits=12`],
  ['permessage-deflate; server_max_window_bits=8', undefined],
  ['permessage-deflate; server_max_window_bits=8, permessage-deflate', BROWSER],
  ['permessage-deflate; client_max_window_bits=8', BROWSER],
  ['permessage-deflate; what=ever', undefined],
  ['permessage-deflate; client_max_window_bits=0', undefined],
  ['x-webkit-deflate-frame, permessage-bzip2', undefined],
  ['permessage-deflate; ==, permessage-deflate', undefined],
]) {
  claim(`the offer "${offer}" is ${answer ? 'taken' : 'declined, and the connection opens'}`, async (t) => {
    assert.equal(await negotiate(t, await daemon(t), offer), answer);
  });
}

claim('websocket.deflate = no takes no offer, and compressed frames are a protocol error', async (t) => {
  const d = await t.daemon({ options: { 'websocket.deflate': 'no' } });
  const w = await t.rawWs(d, '/v1/ws?channel=a', { deflate: true });
  assert.equal(w.headers['sec-websocket-extensions'], undefined);
  await w.json();
  await d.publish('a', json(2000), { type: 'application/json' });
  assert.equal((await w.next()).compressed, false);
  await w.send(OP.text, deflate('{"type":"ping"}'), { rsv: 4 });
  assert.equal((await w.closeFrame()).code, 1002);
});

// --- delivery ---

const WAYS = [
  false, true, { threshold: 0 }, { serverNoContextTakeover: true, clientNoContextTakeover: true }, { clientMaxWindowBits: 9, threshold: 0 },
  { serverMaxWindowBits: 12 }, { serverMaxWindowBits: 15, clientMaxWindowBits: 15, threshold: 0 },
];

claim('whatever they agreed on, all get the same messages, and each is deflated once', { ms: 40000 }, async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const all = [];
  for (const way of WAYS) all.push(await t.ws(d, `/v1/ws?channel=${ch}`, { deflate: way }));
  for (const [i, w] of all.entries()) {
    await w.hello();
    assert.equal(w.ws.extensions !== '', WAYS[i] !== false);
  }
  const before = await d.metric(DEFLATED);
  const sizes = [0, 1, 100, 255, 256, 1000, 1024, 4096, 5000, 20000, 60000, 65000, 70000, 200000];
  const want = [];
  for (const [i, n] of sizes.entries()) {
    want.push(json(n, i + 1));
    await d.publish(ch, want.at(-1), { type: 'application/json' });
  }
  const noise = Buffer.from([...Array(3000)].map((_, i) => (i * 2654435761) >>> 24 ^ (i * i) >>> 3));
  await d.publish(ch, noise, { type: 'application/octet-stream' });
  const told = [];
  for (const w of all) told.push((await w.messages(sizes.length + 1, 10000)).map((m) => m.raw));
  for (const raws of told) assert.deepEqual(raws, told[0]);
  want.forEach((data, i) => assert.ok(told[0][i].endsWith(`,"data":${data}}`), `message ${i}`));
  const deflated = await d.metric(DEFLATED) - before;
  // The envelope counts: from 255 on all are above 256 bytes; the two largest are above 64 KiB.
  const worth = told[0].filter((m) => Buffer.byteLength(m) >= 256 && Buffer.byteLength(m) <= 65536).length;
  assert.equal(deflated, worth);
});

claim('what is sent is smaller, by what the metrics say', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const plain = await t.rawWs(d, `/v1/ws?channel=${ch}`), packed = await t.rawWs(d, `/v1/ws?channel=${ch}`, { deflate: true });
  for (const w of [plain, packed]) await w.json();
  const bytes = async () => {
    const m = await d.metrics();
    return ['in', 'out'].map((way) => m.get(`holdfast_compression_${way}_bytes_total{what="websocket"}`));
  };
  const before = await bytes();
  await d.publish(ch, json(3000), { type: 'application/json' });
  const a = await plain.next(), b = await packed.next();
  assert.deepEqual([a.compressed, b.compressed], [false, true]);
  assert.equal(a.text, b.text);
  assert.ok(b.size < a.size / 2, `${b.size} of ${a.size} bytes`);
  const after = await bytes();
  assert.deepEqual([after[0] - before[0], after[1] - before[1]], [a.size, b.size]);
});

claim('short, long and random messages go as they are, and so does what is for one client alone', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const w = await t.rawWs(d, `/v1/ws?channel=${ch}`, { deflate: true });
  const next = async (compressed) => {
    const f = await w.next();
    assert.equal(f.compressed, compressed, f.text.slice(0, 100));
    return JSON.parse(f.text);
  };
  assert.equal((await next(false)).type, 'hello');
  const left = await d.metric('holdfast_compression_left_total');
  await d.publish(ch, 'short');
  await next(false);
  await d.publish(ch, json(100000), { type: 'application/json' });
  await next(false);
  const r = random(7);
  await d.publish(ch, r.bytes(200), { type: 'application/octet-stream' });
  await next(true); // base64 in an envelope: there is something to gain
  assert.equal(await d.metric('holdfast_compression_left_total') - left, 2);
  await w.send(OP.text, JSON.stringify({ type: 'history', channel: ch }));
  const reply = await next(false);
  assert.equal(reply.messages.length, 3);
  await w.send(OP.text, JSON.stringify({ type: 'unsubscribe', channel: 'x'.repeat(250) }));
  assert.equal((await next(false)).type, 'error');
});

for (const [where, recent] of [['memory', 100], ['the log', 0]]) {
  claim(`a replay from ${where} is compressed`, async (t) => {
    const d = await t.daemon({ options: { 'limits.recent_count': recent, 'server.workers': 1 } });
    const want = [...Array(20)].map((_, i) => json(1500, i + 1));
    const live = await t.ws(d, '/v1/ws?channel=a');
    await live.hello();
    for (const data of want) await d.publish('a', data, { type: 'application/json' });
    await live.messages(20);
    const w = await t.rawWs(d, '/v1/ws?channel=a&since=0', { deflate: true });
    await w.json();
    for (const data of want) {
      const f = await w.next();
      assert.ok(f.compressed);
      assert.ok(f.text.endsWith(`,"data":${data}}`));
    }
    assert.equal(await d.metric(`holdfast_messages_replayed_total{source="${recent ? 'memory' : 'store'}"}`), 20);
  });
}

claim('a client that does not read gets everything, in order and compressed, when it reads again', { ms: 60000 }, async (t) => {
  const d = await t.daemon({ options: { 'server.workers': 1, 'limits.out_queue_bytes': '64KiB', 'limits.replay_window_bytes': '32KiB', 'http.write_timeout': '60s' } });
  const w = await t.ws(d, '/v1/ws?channel=a', { deflate: true });
  await w.hello();
  w.pause();
  const r = random(3);
  let n = 0;
  while (await d.metric('holdfast_slow_consumers_total{policy="lag"}') === 0) {
    // Half of it can not be compressed: or the socket would take all of it.
    const lines = [...Array(100)].map(() => JSON.stringify({ n: n++, noise: r.bytes(3000).toString('base64'), same: 'x'.repeat(3000) }));
    await d.post('/v1/publish?channel=a&batch=lines', lines.join('\n'), { headers: { 'content-type': 'application/json' } });
  }
  w.resume();
  for (let i = 0; i < n; i++) assert.equal((await w.message(10000)).json.data.n, i);
  await d.untilMetric('holdfast_subscribers_catching_up', (v) => v === 0);
  await d.publish('a', 'live again');
  assert.equal((await w.message()).json.data, 'live again');
});

claim('format=raw: payloads both ways, compressed by those who agreed', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const ready = async (w, word) => {
    w.ws.send(word);
    await w.frames.find((f) => f.raw === word);
  };
  const a = await t.ws(d, `/v1/ws?channel=${ch}&format=raw`, { deflate: { threshold: 0 } });
  await ready(a, 'a');
  const b = await t.ws(d, `/v1/ws?channel=${ch}&format=raw`);
  await ready(b, 'b');
  await a.frames.find((f) => f.raw === 'b');
  const frames = ['', 'text', json(5000), Buffer.alloc(5000, 7), Buffer.alloc(0), random(9).bytes(3000)];
  const before = await d.metric('holdfast_inflated_messages_total');
  for (const f of frames) a.ws.send(f);
  for (const w of [a, b]) {
    for (const f of frames) {
      const got = await w.frames.next();
      assert.equal(got.isBinary, Buffer.isBuffer(f));
      assert.deepEqual(got.raw, f);
    }
  }
  assert.equal(await d.metric('holdfast_inflated_messages_total') - before, frames.length);
});

claim('those who come are told to those who agreed, too', async (t) => {
  const d = await daemon(t);
  const ch = fresh('who:c');
  const info = encodeURIComponent(JSON.stringify({ about: 'the same words again and again. '.repeat(20) }));
  const w = await t.rawWs(d, `/v1/ws?channel=${ch}`, { deflate: true });
  assert.equal((await w.json()).type, 'hello');
  await w.next(); // its own coming
  const other = await t.ws(d, `/v1/ws?channel=${ch}&info=${info}`);
  await other.hello();
  const f = await w.next();
  assert.ok(f.compressed);
  const event = JSON.parse(f.text);
  assert.equal(event.type, 'join');
  assert.match(event.members[0].info.about, /again and again/);
});

claim('a durable subscriber is served compressed, and again as it is', async (t) => {
  const d = await t.daemon({ options: { 'delivery.ack_wait_min': '50ms' } });
  const w = await t.rawWs(d, '/v1/ws?channel=a&subscriber=s&ack_wait=0.1', { deflate: true });
  assert.equal((await w.json()).type, 'hello');
  const { id } = await d.publish('a', json(2000), { type: 'application/json' });
  const first = await w.next(), again = await w.next();
  assert.deepEqual([first.compressed, again.compressed], [true, false]);
  assert.deepEqual([JSON.parse(first.text).id, JSON.parse(again.text).redelivered], [id, 1]);
});

// --- what clients send ---

const open = async (t) => {
  const w = await t.rawWs(await daemon(t), '/v1/ws', { deflate: true });
  assert.equal((await w.json()).type, 'hello');
  return w;
};
const ping = '{"type":"ping"}';
const rsv = 4;

for (const [name, bytes] of [
  ['in one frame', () => frame(OP.text, deflate(ping), { rsv })],
  ['in fragments, the bit on the first', () => Buffer.concat([...deflate(ping)].map((b, i, all) => frame(i ? OP.cont : OP.text, Buffer.from([b]), { rsv: i ? 0 : rsv, fin: i === all.length - 1 })))],
  ['in stored blocks', () => frame(OP.text, deflate(ping, { level: 0 }), { rsv })],
  ['as a finished stream', () => frame(OP.text, Buffer.concat([zlib.deflateRawSync(ping), Buffer.from([0])]), { rsv })],
  ['with a large window', () => frame(OP.text, deflate(`{"type":"ping","pad":"${json(40000).replaceAll('"', '')}"}`, { windowBits: 15, level: 9 }), { rsv })],
  ['not at all', () => frame(OP.text, ping)],
]) {
  claim(`a command that is compressed ${name} is answered`, async (t) => {
    const w = await open(t);
    await w.write(bytes());
    assert.equal((await w.json()).type, 'pong');
  });
}

for (const [name, code, bytes] of [
  ['a compressed ping', 1002, () => frame(OP.ping, deflate('x'), { rsv })],
  ['a compressed close', 1002, () => frame(OP.close, '', { rsv })],
  ['the bit on a continuation', 1002, () => Buffer.concat([frame(OP.text, deflate(ping), { rsv, fin: false }), frame(OP.cont, '', { rsv })])],
  ['another reserved bit beside it', 1002, () => frame(OP.text, deflate(ping), { rsv: 6 })],
  ['no deflate data', 1007, () => frame(OP.text, ping, { rsv })],
  ['a stream that is cut', 1007, () => frame(OP.text, deflate(json(2000)).subarray(0, 300), { rsv })],
  ['a stream with something behind it', 1007, () => frame(OP.text, Buffer.concat([deflate(ping), Buffer.from('more')]), { rsv })],
  ['compressed text that is not UTF-8', 1007, () => frame(OP.text, deflate(Buffer.from([0x22, 0xff, 0x22])), { rsv })],
  ['a message that is too big once inflated', 1009, () => frame(OP.text, deflate(`"${'x'.repeat(256 << 10)}"`), { rsv })],
  ['a message that is too big as it comes', 1009, () => frame(OP.text, Buffer.alloc(310 << 10), { rsv }).subarray(0, 20)],
]) {
  claim(`${name} is closed with ${code}`, async (t) => {
    const w = await open(t);
    await w.write(bytes());
    const f = await w.closeFrame();
    assert.equal(f.code, code, `reason "${f.reason}"`);
    await w.eof();
  });
}

claim('a window from the message before is not kept', async (t) => {
  const w = await open(t);
  const text = Buffer.from(`{"type":"ping","ref":"${'words that come again'}"}`);
  await w.send(OP.text, deflate(text), { rsv });
  assert.equal((await w.json()).type, 'pong');
  await w.send(OP.text, deflate(text, { dictionary: text }), { rsv });
  assert.equal((await w.closeFrame()).code, 1007);
});

claim('bombs end at the limit, are counted, and cost no memory', { ms: 30000 }, async (t) => {
  const d = await t.daemon({ options: { 'server.workers': 1 } });
  const bomb = deflate(Buffer.alloc(200 << 20), { level: 9 });
  assert.ok(bomb.length < 1 << 20);
  const warm = await t.rawWs(d, '/v1/ws', { deflate: true });
  await warm.json();
  const before = d.rss();
  for (let i = 0; i < 20; i++) {
    const w = await t.rawWs(d, '/v1/ws', { deflate: true });
    await w.json();
    await w.send(OP.binary, bomb, { rsv });
    assert.equal((await w.closeFrame()).code, 1009);
    w.close();
  }
  assert.equal(await d.metric('holdfast_inflate_refused_total{reason="too-big"}'), 20);
  assert.equal(await d.metric('holdfast_inflate_refused_total{reason="bad-data"}'), 0);
  assert.equal(await d.metric('holdfast_sessions_closed_total{reason="too-big"}'), 20);
  const grown = d.rss() - before;
  assert.ok(grown < 8 << 20, `grown by ${grown} bytes`);
});

claim('what was published compressed is what others get', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const w = await t.ws(d, `/v1/ws?channel=${ch}`, { deflate: { threshold: 0 } });
  await w.hello();
  const s = await t.sse(d, `/v1/sse?channel=${ch}`);
  await s.hello();
  for (let i = 1; i <= 20; i++) w.send(`{"type":"publish","channel":"${ch}","data":${json(i * 500, i)}}`);
  for (let i = 1; i <= 20; i++) assert.ok((await s.message()).data.endsWith(`,"data":${json(i * 500, i)}}`));
});

// --- gzip ---

const gzip = { headers: { 'accept-encoding': 'gzip' } };

async function filled(t, prefix) {
  const d = await daemon(t);
  const ch = fresh(prefix);
  let id;
  for (let i = 1; i <= 5; i++) ({ id } = await d.publish(ch, json(1000, i), { type: 'application/json' }));
  return { d, ch, id };
}

for (const path of ['history?', 'poll?', 'poll?wait=5&']) {
  claim(`/v1/${path} goes in gzip when it is asked for`, async (t) => {
    const { d, ch } = await filled(t);
    const target = `/v1/${path}channel=${ch}&since=0`;
    const plain = await d.get(target), packed = await d.get(target, gzip);
    assert.equal(plain.headers['content-encoding'], undefined);
    assert.equal(packed.headers['content-encoding'], 'gzip');
    for (const a of [plain, packed]) {
      assert.equal(a.headers.vary, 'Accept-Encoding');
      assert.equal(Number(a.headers['content-length']), a.sent.length);
    }
    assert.ok(packed.sent.length < plain.sent.length / 2, `${packed.sent.length} of ${plain.sent.length} bytes`);
    const session = /"session":"[0-9a-f]*"/;
    assert.equal(packed.text.replace(session, ''), plain.text.replace(session, ''));
    const head = await d.request('HEAD', target, gzip);
    assert.equal(head.headers['content-encoding'], 'gzip');
    assert.equal(head.sent.length, 0);
  });
}

claim('its metrics', async (t) => {
  const { d, ch } = await filled(t);
  const what = (name) => `holdfast_${name}{what="http"}`;
  const before = await d.metrics();
  const a = await d.get(`/v1/history?channel=${ch}`, gzip);
  const after = await d.metrics();
  const grown = (name) => after.get(what(name)) - before.get(what(name));
  assert.deepEqual([grown('compressed_total'), grown('compression_in_bytes_total'), grown('compression_out_bytes_total')], [1, a.body.length, a.sent.length]);
});

claim('the entity tag is weak in gzip, and matches either way', async (t) => {
  const { d, ch, id } = await filled(t, 'open:e');
  const target = `/v1/poll?channel=${ch}&since=0`;
  const plain = await d.get(target), packed = await d.get(target, gzip);
  assert.deepEqual([plain.headers.etag, packed.headers.etag], [`"${id}"`, `W/"${id}"`]);
  assert.equal(plain.text, packed.text);
  for (const tag of [plain.headers.etag, packed.headers.etag]) {
    for (const headers of [{}, gzip.headers]) {
      const a = await d.get(`/v1/poll?channel=${ch}`, { headers: { 'if-none-match': tag, ...headers } });
      assert.equal(a.status, 304);
      assert.equal(a.headers.etag, tag);
      assert.equal(a.headers.vary, 'Accept-Encoding');
      assert.equal(a.body.length, 0);
    }
  }
  await d.publish(ch, json(2000), { type: 'application/json' });
  const next = await d.get(`/v1/poll?channel=${ch}`, { headers: { 'if-none-match': packed.headers.etag, ...gzip.headers } });
  assert.equal(next.status, 200);
  assert.equal(next.json.messages.length, 1);
});

for (const [accept, is] of [
  ['gzip, deflate, br', true], ['*', true], ['gzip;q=0.001', true], ['br', false], ['gzip;q=0', false], ['*;q=0', false], ['identity', false],
  ['gzip;q=0.5, identity;q=0.9', false], ['gzip;q=0.9, identity;q=0.5', true], ['identity;q=0', false], ['identity;q=0, gzip', true], ['', false],
]) {
  claim(`Accept-Encoding: ${accept} gives ${is ? 'gzip' : 'the bytes as they are'}`, async (t) => {
    const { d, ch } = await filled(t);
    const a = await d.get(`/v1/history?channel=${ch}`, { headers: { 'accept-encoding': accept } });
    assert.equal(a.status, 200);
    assert.equal(a.headers['content-encoding'], is ? 'gzip' : undefined);
    assert.equal(a.json.messages.length, 5);
  });
}

claim('short replies go as they are, unless that is forbidden', async (t) => {
  const d = await daemon(t);
  const target = `/v1/history?channel=${fresh()}`;
  assert.equal((await d.get(target, gzip)).headers['content-encoding'], undefined);
  const a = await d.get(target, { headers: { 'accept-encoding': 'gzip, identity;q=0' } });
  assert.equal(a.json.messages.length, 0);
});

claim('replies longer than http.gzip_max_bytes go as they are', async (t) => {
  const d = await t.daemon({ options: { 'http.gzip_max_bytes': '4KiB' } });
  for (let i = 1; i <= 5; i++) await d.publish('a', json(1000, i), { type: 'application/json' });
  assert.equal((await d.get('/v1/history?channel=a', gzip)).headers['content-encoding'], undefined);
  assert.equal((await d.get('/v1/history?channel=a&limit=2', gzip)).headers['content-encoding'], 'gzip');
});

claim('http.gzip = no', async (t) => {
  const d = await t.daemon({ options: { 'http.gzip': 'no' } });
  const a = await d.get('/metrics', gzip);
  assert.deepEqual([a.headers['content-encoding'], a.headers.vary], [undefined, undefined]);
});

claim('metrics and pages, too; event streams and refusals not', async (t) => {
  const d = await daemon(t);
  for (const target of ['/metrics', '/']) {
    const a = await d.get(target, gzip);
    assert.equal(a.headers['content-encoding'], 'gzip', target);
    assert.ok(a.text.length > a.sent.length);
  }
  const s = await t.sse(d, `/v1/sse?channel=${fresh()}`, gzip);
  await s.hello();
  assert.equal(s.headers['content-encoding'], undefined);
  const refused = await d.get(`/v1/poll?channel=a%20${'b'.repeat(2000)}`, gzip);
  assert.equal(refused.status, 400);
  assert.equal(refused.headers['content-encoding'], undefined);
});

// Whoever may publish to a channel could else guess at the session of one who polls it, by the size of the replies.
claim("a poll's session stands in its reply as it is, and is not compressed with what others wrote", async (t) => {
  const { d, ch } = await filled(t);
  const a = await d.get(`/v1/poll?channel=${ch}&since=0`, gzip);
  assert.equal(a.headers['content-encoding'], 'gzip');
  assert.match(a.json.session, /^[0-9a-f]{32}$/);
  assert.ok(a.sent.includes(`,"session":"${a.json.session}","more":false}`));
  assert.ok(!a.sent.includes('"type":"message"'), 'the rest is compressed');
});

claim('curl --compressed', async (t) => {
  const { d, ch } = await filled(t);
  const child = spawn('curl', ['-s', '-S', '--compressed', '-D', '-', `${d.base}/v1/history?channel=${ch}`]);
  let out = '';
  child.stdout.on('data', (b) => { out += b; });
  await new Promise((resolve) => child.on('close', resolve));
  assert.match(out, /^content-encoding: gzip\r$/im);
  assert.equal(JSON.parse(out.slice(out.indexOf('\r\n\r\n') + 4)).messages.length, 5);
});

daemon.ends();
