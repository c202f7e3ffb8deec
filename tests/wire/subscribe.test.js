// SPDX-License-Identifier: MIT
// /v1/subscribe picks the transport by the headers.

import { claim, shared, assert, refused, fresh } from './lib/claim.js';

const daemon = shared();

claim('Upgrade: websocket gives a WebSocket', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const w = await t.ws(d, `/v1/subscribe?channel=${ch}`);
  await w.hello();
  await d.publish(ch, 'x');
  assert.equal((await w.message()).json.data, 'x');
});

for (const accept of ['text/event-stream', 'text/event-stream, */*;q=0.1', 'application/json;q=0.5, text/event-stream', 'TEXT/Event-Stream']) {
  claim(`Accept: ${accept} gives an event stream`, async (t) => {
    const d = await daemon(t);
    const ch = fresh();
    const s = await t.sse(d, `/v1/subscribe?channel=${ch}`, { headers: { Accept: accept } });
    assert.equal(s.status, 200);
    assert.match(s.headers['content-type'], /^text\/event-stream/);
    await s.hello();
    await d.publish(ch, 'x');
    assert.equal((await s.message()).json.data, 'x');
  });
}

for (const accept of [undefined, '*/*', 'application/json', 'text/html']) {
  claim(`Accept: ${accept} gives a poll`, async (t) => {
    const d = await daemon(t);
    const ch = fresh();
    await d.publish(ch, 'x');
    const a = await d.get(`/v1/subscribe?channel=${ch}&since=0`, { headers: accept ? { Accept: accept } : {} });
    assert.equal(a.json.messages[0].data, 'x');
  });
}

claim('wait makes it a long poll', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const reply = d.get(`/v1/subscribe?channel=${ch}&wait=10`, { agent: false });
  await d.untilMetric('holdfast_sessions{transport="longpoll"}', (n) => n >= 1);
  await d.publish(ch, 'x');
  assert.equal((await reply).json.messages[0].data, 'x');
});

claim('a WebSocket handshake wins over Accept', async (t) => {
  const d = await daemon(t);
  const w = await t.rawWs(d, `/v1/subscribe?channel=${fresh()}`, { headers: { Accept: 'text/event-stream' } });
  assert.equal((await w.json()).type, 'hello');
});

claim('errors are the same as of the transport itself', async (t) => {
  refused(await (await daemon(t)).get('/v1/subscribe'), 400, 'no_channel');
});

daemon.ends();
