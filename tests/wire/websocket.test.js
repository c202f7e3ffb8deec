// SPDX-License-Identifier: MIT
// WebSocket: commands, replies, subscriptions.

import { claim, shared, assert, refused, fresh } from './lib/claim.js';
import { frame, OP } from './lib/ws.js';
import { member, members } from './lib/envelope.js';
import { random } from './lib/random.js';

const daemon = shared({ options: { 'limits.channels_per_subscription': 8, 'limits.last_limit': 100, 'limits.history_limit': 20, 'limits.message_bytes': '64KiB' } });

const open = async (t, target = '/v1/ws', how) => {
  const d = await daemon(t);
  const w = await t.ws(d, target, how);
  const hello = await w.hello();
  return { d, w, hello: hello.json };
};

claim('hello comes first and names session, epoch, cursor, heartbeat and limits', async (t) => {
  const { d, hello } = await open(t);
  const info = (await d.get('/v1/info')).json;
  assert.deepEqual(Object.keys(hello).sort(), ['cursor', 'epoch', 'heartbeat', 'limits', 'session', 'type']);
  assert.equal(hello.epoch, info.epoch);
  assert.deepEqual(hello.limits, info.limits);
  assert.equal(hello.heartbeat, 25);
  assert.ok(hello.session.length > 0);
  assert.ok(hello.cursor.startsWith(`${info.epoch}.`));
});

claim('two connections have two sessions', async (t) => {
  const a = await open(t), b = await open(t);
  assert.notEqual(a.hello.session, b.hello.session);
});

claim('the subprotocol is selected when it is offered', async (t) => {
  const { w } = await open(t, '/v1/ws', { protocols: ['other', 'holdfast.v1.json'] });
  assert.equal(w.ws.protocol, 'holdfast.v1.json');
});

claim('no subprotocol is selected when none is offered', async (t) => {
  const d = await daemon(t);
  const w = await t.rawWs(d);
  assert.equal(w.headers['sec-websocket-protocol'], undefined);
});

claim('a foreign subprotocol is not selected', async (t) => {
  const d = await daemon(t);
  const w = await t.rawWs(d, '/v1/ws', { headers: { 'Sec-WebSocket-Protocol': 'soap, mqtt' } });
  assert.equal(w.headers['sec-websocket-protocol'], undefined);
  assert.equal((await w.json()).type, 'hello');
});

claim('extensions are not agreed on unasked', async (t) => {
  const w = await t.rawWs(await daemon(t));
  assert.equal(w.headers['sec-websocket-extensions'], undefined);
});

claim('subscribe answers ok with its channels and a cursor, then messages come', async (t) => {
  const { d, w } = await open(t);
  const [a, b] = [fresh(), fresh()];
  const ok = await w.command({ type: 'subscribe', channels: [a, b] });
  assert.equal(ok.type, 'ok');
  assert.deepEqual(ok.channels, [a, b]);
  assert.ok(ok.cursor);
  await d.publish(a, '1');
  await d.publish(b, '2');
  assert.deepEqual((await w.messages(2)).map((m) => [m.json.channel, m.json.data]), [[a, '1'], [b, '2']]);
});

claim('a message frame is the envelope, byte for byte in its order', async (t) => {
  const { d, w } = await open(t);
  const ch = fresh();
  await w.command({ type: 'subscribe', channel: ch });
  const r = await d.publish(ch, '{"a" : 1.0}', { type: 'application/json' });
  const m = await w.message();
  assert.equal(m.raw, `{"type":"message","channel":"${ch}","id":"${r.id}","prev":null,"ts":${m.json.ts},"data":{"a" : 1.0}}`);
});

claim('subscribe with since replays after ok, then goes on live', async (t) => {
  const { d, w } = await open(t);
  const ch = fresh();
  const ids = [];
  for (let i = 0; i < 5; i++) ids.push((await d.publish(ch, `${i}`)).id);
  w.send({ type: 'subscribe', ref: 1, channel: ch, since: ids[1] });
  const ok = await w.expect('ok');
  assert.equal(ok.json.ref, 1);
  await d.publish(ch, 'live');
  assert.deepEqual((await w.messages(4)).map((m) => m.json.data), ['2', '3', '4', 'live']);
});

claim('subscribe with since "0" gives all that is kept', async (t) => {
  const { d, w } = await open(t);
  const ch = fresh();
  for (let i = 0; i < 3; i++) await d.publish(ch, `${i}`);
  await w.command({ type: 'subscribe', channel: ch, since: '0' });
  assert.deepEqual((await w.messages(3)).map((m) => m.json.data), ['0', '1', '2']);
});

claim('subscribe with last replays the newest N', async (t) => {
  const { d, w } = await open(t);
  const ch = fresh();
  for (let i = 0; i < 5; i++) await d.publish(ch, `${i}`);
  await w.command({ type: 'subscribe', channel: ch, last: 2 });
  assert.deepEqual((await w.messages(2)).map((m) => m.json.data), ['3', '4']);
});

claim('resuming from the cursor of ok gives what the subscription would have given', async (t) => {
  const { d, w } = await open(t);
  const ch = fresh();
  for (let i = 0; i < 3; i++) await d.publish(ch, `${i}`);
  for (const how of [{}, { since: '0' }]) {
    const ok = await w.command({ type: 'subscribe', channel: ch, ...how });
    const again = await t.ws(d, `/v1/ws?channel=${ch}&since=${ok.cursor}`);
    await again.hello();
    const mark = await d.publish(ch, 'mark');
    const read = async (c) => {
      const out = [];
      for (;;) {
        const m = await c.message();
        out.push(m.raw);
        if (m.json.id === mark.id) return out;
      }
    };
    assert.deepEqual(await read(again), await read(w), JSON.stringify(how));
    await w.command({ type: 'unsubscribe', channel: ch });
    again.close();
  }
});

claim('a gap comes after ok and before the messages', async (t) => {
  const { d, w } = await open(t);
  const ch = fresh();
  const { id } = await d.publish(ch, 'x');
  w.send({ type: 'subscribe', channel: ch, since: 'garbage' });
  await w.expect('ok');
  const g = (await w.gap()).json;
  assert.equal(g.channel, ch);
  assert.equal(g.from, 'garbage');
  assert.equal(g.oldest, id);
  assert.equal(g.reason, 'invalid');
  assert.equal((await w.message()).json.data, 'x');
});

claim('subscribing twice is ok and gives each message once', async (t) => {
  const { d, w } = await open(t);
  const ch = fresh();
  await d.publish(ch, 'old');
  await w.command({ type: 'subscribe', channel: ch });
  const again = await w.command({ type: 'subscribe', channel: ch, since: '0' });
  assert.equal(again.type, 'ok');
  await d.publish(ch, '1');
  await d.publish(ch, '2');
  assert.deepEqual((await w.messages(2)).map((m) => m.json.data), ['1', '2']);
});

claim('after the ok of unsubscribe nothing of the channel comes', async (t) => {
  const { d, w } = await open(t);
  const [a, b] = [fresh(), fresh()];
  await w.command({ type: 'subscribe', channels: [a, b] });
  const publishing = (async () => { for (let i = 0; i < 50; i++) await d.publish(a, `${i}`); })();
  await w.message();
  w.send({ type: 'unsubscribe', ref: 'u', channel: a });
  for (;;) if ((await w.next()).json.type === 'ok') break;
  await publishing;
  await d.publish(b, 'end');
  const m = await w.message();
  assert.equal(m.json.channel, b);
});

claim('unsubscribing from what is not subscribed is refused', async (t) => {
  const { w } = await open(t);
  const e = await w.command({ type: 'unsubscribe', channel: fresh() });
  assert.equal(e.type, 'error');
  assert.equal(e.code, 'not_subscribed');
});

claim('a channel can be subscribed to again after unsubscribing', async (t) => {
  const { d, w } = await open(t);
  const ch = fresh();
  for (let i = 0; i < 3; i++) {
    await w.command({ type: 'subscribe', channel: ch });
    await d.publish(ch, `${i}`);
    assert.equal((await w.message()).json.data, `${i}`);
    assert.equal((await w.command({ type: 'unsubscribe', channel: ch })).type, 'ok');
    await d.publish(ch, 'unheard');
  }
});

claim('a further channel with an older since is replayed before messages of the others go on', async (t) => {
  const { d, w } = await open(t);
  const [a, b] = [fresh(), fresh()];
  const old = [];
  for (let i = 0; i < 300; i++) old.push(`b${i}`);
  await d.publish(b, old.join('\n'), { query: '&batch=lines' });
  await w.command({ type: 'subscribe', channel: a });
  w.send({ type: 'subscribe', ref: 'b', channel: b, since: '0' });
  const publishing = (async () => { for (let i = 0; i < 30; i++) await d.publish(a, `a${i}`); })();
  const seen = [];
  while (seen.length < 330) {
    const f = await w.next();
    if (f.json.type === 'message') seen.push(f.json);
  }
  await publishing;
  const bs = seen.filter((m) => m.channel === b);
  assert.deepEqual(bs.map((m) => m.data), old);
  assert.deepEqual(seen.filter((m) => m.channel === a).map((m) => m.data), [...Array(30).keys()].map((i) => `a${i}`));
  // Wherever one leaves after the replay began, the last id must resume both: no message of `a` between those of the replay.
  const first = seen.findIndex((m) => m.channel === b), last = seen.findLastIndex((m) => m.channel === b);
  assert.equal(seen.slice(first, last + 1).filter((m) => m.channel === a).length, 0, 'messages of the other channel inside the replay');
});

claim('publish answers with a receipt once it is stored', async (t) => {
  const { d, w } = await open(t);
  const ch = fresh();
  const ok = await w.command({ type: 'publish', channel: ch, data: { x: [1] }, ref: 'p1' });
  assert.deepEqual(ok, { type: 'ok', ref: 'p1', id: ok.id, channel: ch, durability: 'commit', duplicate: false, subscribers: 0 });
  const [m] = (await d.get(`/v1/history?channel=${ch}`)).json.messages;
  assert.equal(m.id, ok.id);
  assert.deepEqual(m.data, { x: [1] });
});

claim('published data is passed through byte for byte', async (t) => {
  const { d, w } = await open(t);
  const ch = fresh();
  const values = ['{ "b":1,  "a":[ 1.50 ,-0, 1E+2 ] }', '"text \\u00e9 \\/ é"', '12345678901234567890', 'null', 'true', '[]', '""', '-0.0'];
  for (const [i, v] of values.entries()) w.send(`{"type":"publish","ref":${i},"channel":"${ch}","data":${v}}`);
  for (let i = 0; i < values.length; i++) assert.equal((await w.expect('ok')).json.ref, i);
  const f = await t.follow('websocket', d, [ch], { since: '0' });
  const got = await f.take(values.length);
  got.forEach((m, i) => assert.deepEqual(JSON.parse(member(m.raw, 'data')), JSON.parse(values[i])));
  got.forEach((m, i) => { if (!values[i].startsWith('"')) assert.equal(member(m.raw, 'data'), values[i]); });
});

claim('a published JSON string comes back as that string', async (t) => {
  const { w } = await open(t);
  const ch = fresh();
  await w.command({ type: 'subscribe', channel: ch });
  await w.command({ type: 'publish', channel: ch, data: 'plain "text" \u2028 🎈 \\ \n' });
  assert.equal((await w.message()).json.data, 'plain "text" \u2028 🎈 \\ \n');
});

claim('base64 data is binary', async (t) => {
  const { w } = await open(t);
  const ch = fresh();
  await w.command({ type: 'subscribe', channel: ch });
  const bytes = Buffer.from([0, 255, 10, 13, 34, 92]);
  await w.command({ type: 'publish', channel: ch, encoding: 'base64', data: bytes.toString('base64') });
  const m = (await w.message()).json;
  assert.equal(m.encoding, 'base64');
  assert.deepEqual(Buffer.from(m.data, 'base64'), bytes);
});

claim('content_type travels with the message', async (t) => {
  const { w } = await open(t);
  const ch = fresh();
  await w.command({ type: 'subscribe', channel: ch });
  await w.command({ type: 'publish', channel: ch, content_type: 'image/png', encoding: 'base64', data: 'AAEC' });
  const m = await w.message();
  assert.equal(m.json.content_type, 'image/png');
  assert.deepEqual(members(m.raw).map(([n]) => n), ['type', 'channel', 'id', 'prev', 'ts', 'content_type', 'encoding', 'data']);
});

claim('stored and ephemeral publishes of one connection keep their order, for subscribers of all workers', { ms: 30000 }, async (t) => {
  const { d, w } = await open(t);
  const ch = fresh('mixed');
  const subscribers = [];
  for (let i = 0; i < 8; i++) subscribers.push(await t.follow(i % 2 ? 'sse' : 'websocket', d, [ch]));
  const r = random(7);
  const n = 250;
  for (let i = 0; i < n; i++) w.send({ type: 'publish', channel: ch, data: i, ephemeral: r.int(3) > 0 });
  for (const s of subscribers) {
    const got = (await s.take(n, 20000)).map((m) => m.json.data);
    assert.deepEqual(got, [...Array(n).keys()]);
    s.close();
  }
});

claim('an ephemeral publish reaches subscribers and is not stored', async (t) => {
  const { d, w } = await open(t);
  const ch = fresh();
  await w.command({ type: 'subscribe', channel: ch });
  w.send({ type: 'publish', ref: 'e', channel: ch, data: 1, ephemeral: true });
  const two = [await w.next(), await w.next()].map((f) => f.json);
  const ok = two.find((f) => f.type === 'ok'), m = two.find((f) => f.type === 'message');
  assert.equal(ok.id, null);
  assert.equal(ok.durability, 'ephemeral');
  assert.equal(m.data, 1);
  assert.equal('id' in m, false);
  assert.deepEqual((await d.get(`/v1/history?channel=${ch}`)).json.messages, []);
});

claim('publishes of one connection are numbered in the order in which they were sent', async (t) => {
  const { d, w } = await open(t);
  const ch = fresh();
  for (let i = 0; i < 300; i++) w.send({ type: 'publish', channel: ch, data: i, ref: i, ephemeral: false });
  const ids = new Map();
  for (let i = 0; i < 300; i++) {
    const ok = (await w.expect('ok')).json;
    ids.set(ok.ref, BigInt(ok.id.split('.').pop()));
  }
  for (let i = 1; i < 300; i++) assert.ok(ids.get(i) > ids.get(i - 1));
  const f = await t.follow('shortpoll', d, [ch], { since: '0' });
  assert.deepEqual((await f.take(300)).map((m) => m.json.data), [...Array(300).keys()]);
});

claim('the receipt counts the subscribers', async (t) => {
  const { w } = await open(t);
  const b = await open(t);
  const ch = fresh();
  await w.command({ type: 'subscribe', channel: ch });
  await b.w.command({ type: 'subscribe', channel: ch });
  assert.equal((await w.command({ type: 'publish', channel: ch, data: 1 })).subscribers, 2);
});

claim('history answers with messages, cursor and more', async (t) => {
  const { d, w } = await open(t);
  const ch = fresh();
  const ids = [];
  for (let i = 0; i < 5; i++) ids.push((await d.publish(ch, `${i}`)).id);
  const all = await w.command({ type: 'history', channel: ch });
  assert.equal(all.type, 'ok');
  assert.equal(all.channel, ch);
  assert.deepEqual(all.messages.map((m) => m.id), ids);
  assert.equal(all.more, false);
  const page = await w.command({ type: 'history', channel: ch, since: ids[0], limit: 2 });
  assert.deepEqual(page.messages.map((m) => m.id), ids.slice(1, 3));
  assert.equal(page.cursor, ids[2]);
  assert.equal(page.more, true);
  assert.deepEqual((await w.command({ type: 'history', channel: ch, last: 2 })).messages.map((m) => m.id), ids.slice(3));
});

claim('the envelopes of a history reply are those of delivery', async (t) => {
  const { d, w } = await open(t);
  const ch = fresh();
  await d.publish(ch, '[1, 2.0]', { type: 'application/json' });
  await w.command({ type: 'subscribe', channel: ch, since: '0' });
  const live = (await w.message()).raw;
  w.send({ type: 'history', channel: ch, ref: 1 });
  const reply = (await w.expect('ok')).raw;
  assert.ok(reply.includes(live), `${reply} does not hold ${live}`);
});

claim('ping is answered with pong', async (t) => {
  const { w } = await open(t);
  const p = await w.command({ type: 'ping' });
  assert.equal(p.type, 'pong');
  assert.ok(Math.abs(p.ts - Date.now()) < 5000);
});

claim('ref may be any string or number and comes back as it was', async (t) => {
  const { w } = await open(t);
  for (const ref of ['"a"', '""', '0', '-1.50', '1e3', '"\\u00e9\\n\\""', '"🎈"', `"${'r'.repeat(62)}"`]) {
    w.send(`{"type":"ping","ref":${ref}}`);
    const f = await w.expect('pong');
    assert.equal(member(f.raw, 'ref'), ref);
  }
});

claim('ref is absent when it was absent', async (t) => {
  const { w } = await open(t);
  w.send('{"type":"ping"}');
  assert.equal('ref' in (await w.expect('pong')).json, false);
  w.send('{"type":"nonsense"}');
  assert.equal('ref' in (await w.expect('error')).json, false);
});

for (const ref of ['{}', '[]', 'true', 'null', `"${'r'.repeat(65)}"`]) {
  claim(`ref ${ref.slice(0, 10)} is refused`, async (t) => {
    const { w } = await open(t);
    w.send(`{"type":"ping","ref":${ref}}`);
    const e = (await w.expect('error')).json;
    assert.ok(['bad_parameter', 'bad_request'].includes(e.code), e.code);
    assert.equal((await w.command({ type: 'ping' })).type, 'pong');
  });
}

for (const [frame, code] of [
  ['no json', 'bad_json'], ['{"type":"ping"', 'bad_json'], ['{"type":"ping"}}', 'bad_json'], ['[1]', 'bad_json'], ['"ping"', 'bad_json'], ['', 'bad_json'],
  ['{"type":"ping",}', 'bad_json'], ["{'type':'ping'}", 'bad_json'], ['{"type":"\\ud800"}', ['bad_json', 'unknown_type']], ['{"type":01}', 'bad_json'],
  ['{}', ['bad_request', 'unknown_type', 'bad_parameter']], ['{"type":"dance"}', 'unknown_type'], ['{"type":7}', ['bad_request', 'unknown_type', 'bad_parameter']],
  ['{"type":"subscribe"}', 'no_channel'], ['{"type":"subscribe","channels":[]}', 'no_channel'], ['{"type":"subscribe","channel":""}', 'bad_channel'],
  ['{"type":"subscribe","channel":"a b"}', 'bad_channel'], ['{"type":"subscribe","channel":"a*"}', 'bad_channel'], ['{"type":"subscribe","channel":"ä"}', 'bad_channel'],
  ['{"type":"subscribe","channel":7}', ['bad_parameter', 'bad_channel']], ['{"type":"subscribe","channels":"a"}', 'bad_parameter'], ['{"type":"subscribe","channels":[7]}', ['bad_parameter', 'bad_channel']],
  [`{"type":"subscribe","channel":"${'a'.repeat(256)}"}`, 'bad_channel'],
  [`{"type":"subscribe","channels":${JSON.stringify([...Array(9).keys()].map((i) => `c${i}`))}}`, 'too_many_channels'],
  ['{"type":"subscribe","channel":"a","last":-1}', 'bad_parameter'], ['{"type":"subscribe","channel":"a","last":"x"}', 'bad_parameter'],
  ['{"type":"subscribe","channel":"a","last":101}', 'bad_parameter'],
  ['{"type":"publish","data":1}', 'no_channel'], ['{"type":"publish","channel":"a"}', ['bad_parameter', 'bad_request']],
  ['{"type":"publish","channel":"a","data":"!!","encoding":"base64"}', 'bad_parameter'], ['{"type":"publish","channel":"a","data":"x","encoding":"rot13"}', 'bad_parameter'],
  ['{"type":"publish","channel":"a","data":5,"encoding":"base64"}', 'bad_parameter'], ['{"type":"publish","channel":"a","data":1,"ephemeral":"yes"}', 'bad_parameter'],
  [`{"type":"publish","channel":"a","data":"${'x'.repeat(70000)}"}`, 'too_large'],
  ['{"type":"history"}', 'no_channel'], ['{"type":"history","channel":"a","limit":-1}', 'bad_parameter'], ['{"type":"unsubscribe"}', 'no_channel'],
]) {
  claim(`the frame ${frame.slice(0, 60)} is refused with ${code} and the connection stays`, async (t) => {
    const { w } = await open(t);
    w.send(frame);
    const e = (await w.expect('error')).json;
    assert.ok([].concat(code).includes(e.code), `code ${e.code}: ${e.message}`);
    assert.ok(e.message);
    assert.equal((await w.command({ type: 'ping' })).type, 'pong');
  });
}

claim('an error repeats the ref', async (t) => {
  const { w } = await open(t);
  const e = await w.command({ type: 'subscribe', channel: 'a b', ref: 'mine' });
  assert.deepEqual(Object.keys(e), ['type', 'ref', 'code', 'message']);
});

claim('a refused list of channels subscribes to none of them', async (t) => {
  const { d, w } = await open(t);
  const [a, b] = [fresh(), fresh()];
  assert.equal((await w.command({ type: 'subscribe', channels: [a, 'bad one'] })).code, 'bad_channel');
  await w.command({ type: 'subscribe', channel: b });
  await d.publish(a, 'no');
  await d.publish(b, 'yes');
  assert.equal((await w.message()).json.data, 'yes');
});

claim('the limit of channels counts all subscriptions of the connection', async (t) => {
  const { w } = await open(t);
  for (let i = 0; i < 8; i++) assert.equal((await w.command({ type: 'subscribe', channel: `limit${i}` })).type, 'ok');
  assert.equal((await w.command({ type: 'subscribe', channel: 'limit8' })).code, 'too_many_channels');
  assert.equal((await w.command({ type: 'subscribe', channel: 'limit3' })).type, 'ok');
  assert.equal((await w.command({ type: 'unsubscribe', channel: 'limit3' })).type, 'ok');
  assert.equal((await w.command({ type: 'subscribe', channel: 'limit8' })).type, 'ok');
});

claim('a binary frame is refused with bad_request', async (t) => {
  const { w } = await open(t);
  w.send(Buffer.from('{"type":"ping"}'));
  assert.equal((await w.expect('error')).json.code, 'bad_request');
  assert.equal((await w.command({ type: 'ping' })).type, 'pong');
});

claim('unknown members are ignored, white space and order do not matter', async (t) => {
  const { w } = await open(t);
  w.send(' \n{ "colour" : { "r" : [1] } , "ref":5,\t"type" : "ping" } \r\n');
  assert.equal((await w.expect('pong')).json.ref, 5);
});

claim('names and strings may be escaped', async (t) => {
  const { w } = await open(t);
  const ch = fresh();
  w.send(`{"\\u0074ype":"subscr\\u0069be","ref":1,"channel":"\\u0063${ch.slice(1)}"}`);
  assert.deepEqual((await w.expect('ok')).json.channels, [ch]);
});

claim('channels in the URL are subscribed to, and hello says where they start', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const ids = [];
  for (let i = 0; i < 3; i++) ids.push((await d.publish(ch, `${i}`)).id);
  const w = await t.ws(d, `/v1/ws?channel=${ch}&since=${ids[0]}`);
  assert.equal((await w.hello()).json.cursor, ids[0]);
  assert.deepEqual((await w.messages(2)).map((m) => m.json.data), ['1', '2']);
});

claim('several channels in the URL with last', async (t) => {
  const d = await daemon(t);
  const [a, b] = [fresh(), fresh()];
  for (let i = 0; i < 3; i++) {
    await d.publish(a, `a${i}`);
    await d.publish(b, `b${i}`);
  }
  const w = await t.ws(d, `/v1/ws?channel=${a}&channel=${b}&last=1`);
  await w.hello();
  assert.deepEqual((await w.messages(2)).map((m) => m.json.data), ['a2', 'b2']);
});

claim('commands work beside subscriptions of the URL', async (t) => {
  const [a, b] = [fresh(), fresh()];
  const { w } = await open(t, `/v1/ws?channel=${a}`);
  await w.command({ type: 'subscribe', channel: b });
  assert.equal((await w.command({ type: 'unsubscribe', channel: a })).type, 'ok');
  await w.command({ type: 'publish', channel: a, data: 1 });
  await w.command({ type: 'publish', channel: b, data: 2 });
  assert.equal((await w.message()).json.data, 2);
});

for (const [q, code] of [['channel=a%20b', 'bad_channel'], ['channel=a&last=x', 'bad_parameter'], [[...Array(9).keys()].map((i) => `channel=c${i}`).join('&'), 'too_many_channels'], ['channel=a&format=xml', 'bad_parameter']]) {
  claim(`a handshake for ?${q.slice(0, 30)} is refused with ${code}`, async (t) => {
    const d = await daemon(t);
    const err = await t.ws(d, `/v1/ws?${q}`).then(() => assert.fail('accepted'), (e) => e);
    refused({ status: err.status, json: err.json, headers: err.headers }, 400, code);
  });
}

claim('a WebSocket without subscriptions stays open', async (t) => {
  const { w } = await open(t);
  assert.equal((await w.command({ type: 'ping' })).type, 'pong');
});

claim('a close by the client is answered with its code', async (t) => {
  const { w } = await open(t);
  w.ws.close(1000, 'bye');
  assert.equal((await w.end()).code, 1000);
});

claim('a page of another origin is refused when origins are configured', async (t) => {
  const d = await t.daemon({ options: { 'server.ws_origins': 'https://app.example' } });
  const good = await t.ws(d, '/v1/ws', { headers: { Origin: 'https://app.example' } });
  await good.hello();
  const none = await t.ws(d, '/v1/ws');
  await none.hello();
  const err = await t.ws(d, '/v1/ws', { headers: { Origin: 'https://evil.example' } }).then(() => assert.fail('accepted'), (e) => e);
  assert.equal(err.status, 403);
  assert.equal(err.json.error.code, 'forbidden');
});

claim('commands sent in the packet of the handshake are served after hello', async (t) => {
  const d = await daemon(t);
  const c = await t.raw(d);
  await c.write(Buffer.concat([Buffer.from('GET /v1/ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n'),
    frame(OP.text, '{"type":"ping","ref":1}')]));
  assert.equal((await c.head()).status, 101);
  await c.readUntil('"hello"');
  await c.readUntil('"pong"');
});

daemon.ends();
