// SPDX-License-Identifier: MIT
// format=raw on WebSocket: frames are payloads.

import { claim, shared, assert, refused, fresh } from './lib/claim.js';

const daemon = shared({ options: { 'limits.message_bytes': '64KiB' }, config: { 'namespace readonly': { publish: 'admin' } } });
const open = async (t, ch, q = '') => t.ws(await daemon(t), `/v1/ws?channel=${ch}&format=raw${q}`);

// A raw socket says nothing when it is ready: its own echo does.
async function ready(w, word = 'ready') {
  w.send(word);
  await w.frames.find((f) => f.raw === word);
}

claim('what is sent comes back to all, the sender included, unchanged and with its opcode', async (t) => {
  const ch = fresh();
  const a = await open(t, ch);
  await ready(a);
  const b = await open(t, ch);
  await ready(b, 'b is ready');
  await a.frames.find((f) => f.raw === 'b is ready');
  const frames = ['text', '{"type":"subscribe"}', 'ünïcödé 🎈', '', Buffer.from([0, 1, 2, 255]), Buffer.alloc(0), '"quoted"', Buffer.from('text in a binary frame')];
  for (const f of frames) a.ws.send(f);
  for (const w of [a, b]) {
    for (const f of frames) {
      const got = await w.frames.next();
      assert.equal(got.isBinary, Buffer.isBuffer(f));
      assert.deepEqual(got.raw, f);
    }
  }
});

claim('there is no hello and no envelope', async (t) => {
  const ch = fresh();
  const w = await open(t, ch);
  w.send('first');
  assert.equal((await w.frames.next()).raw, 'first');
});

claim('what is published elsewhere comes as a bare payload', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const w = await open(t, ch);
  await ready(w);
  await d.publish(ch, '{"a":  1}', { type: 'application/json' });
  assert.equal((await w.frames.next()).raw, '{"a":  1}');
  await d.publish(ch, Buffer.from([9, 0]), { type: 'application/octet-stream' });
  assert.deepEqual(await w.frames.next(), { raw: Buffer.from([9, 0]), isBinary: true });
});

claim('what is sent is seen by the other transports', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const s = await t.sse(d, `/v1/sse?channel=${ch}`);
  await s.hello();
  const w = await open(t, ch);
  w.send('words');
  w.send(Buffer.from([1, 2]));
  assert.equal((await s.message()).json.data, 'words');
  const m = (await s.message()).json;
  assert.equal(m.encoding, 'base64');
  assert.equal(m.data, 'AQI=');
});

claim('since and last replay first', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const ids = [];
  for (let i = 0; i < 4; i++) ids.push((await d.publish(ch, `${i}`)).id);
  const a = await open(t, ch, `&since=${ids[1]}`);
  assert.deepEqual([(await a.frames.next()).raw, (await a.frames.next()).raw], ['2', '3']);
  const b = await open(t, ch, '&last=1');
  assert.equal((await b.frames.next()).raw, '3');
  const c = await open(t, ch, '&since=0');
  assert.equal((await c.frames.next()).raw, '0');
});

claim('ephemeral=1 in the URL stores nothing', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const w = await open(t, ch, '&ephemeral=1');
  await ready(w, 'gone');
  assert.deepEqual((await d.get(`/v1/history?channel=${ch}`)).json.messages, []);
});

claim('without ephemeral everything is stored in order', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const w = await open(t, ch);
  for (let i = 0; i < 100; i++) w.send(`${i}`);
  for (let i = 0; i < 100; i++) assert.equal((await w.frames.next()).raw, `${i}`);
  const h = await d.get(`/v1/history?channel=${ch}`);
  assert.deepEqual(h.json.messages.map((m) => m.data), [...Array(100).keys()].map(String));
});

claim('a gap is silent, what there is comes', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  await d.publish(ch, 'x');
  const w = await open(t, ch, '&since=nonsense');
  assert.equal((await w.frames.next()).raw, 'x');
});

claim('a refused publish closes with 1008 and says why', async (t) => {
  const w = await open(t, 'readonly:a');
  w.send('may I?');
  const end = await w.end();
  assert.equal(end.code, 1008);
  assert.ok(end.reason.length > 0);
  const d = await daemon(t);
  await d.untilMetric('holdfast_sessions_closed_total{reason="refused"}', (n) => n === 1); // by a rule, not by an operator
  assert.equal(await d.metric('holdfast_sessions_closed_total{reason="kicked"}'), 0);
});

claim('a payload above the limit of messages closes the connection', async (t) => {
  const w = await open(t, fresh());
  w.send('x'.repeat(70000));
  assert.ok([1008, 1009].includes((await w.end()).code));
});

for (const [q, code] of [['format=raw', 'no_channel'], ['channel=a&channel=b&format=raw', ['bad_parameter', 'too_many_channels', 'bad_request']]]) {
  claim(`?${q} is refused`, async (t) => {
    const d = await daemon(t);
    const err = await t.ws(d, `/v1/ws?${q}`).then(() => assert.fail('accepted'), (e) => e);
    refused({ status: err.status, json: err.json, headers: err.headers }, 400, code);
  });
}

daemon.ends();
