// SPDX-License-Identifier: MIT
// The admin API on the Unix socket.

import fs from 'node:fs';
import path from 'node:path';
import { claim, shared, assert, refused, fresh } from './lib/claim.js';
import { Daemon } from './lib/daemon.js';
import { readHistory } from './lib/follow.js';

const daemon = shared();
const seq = (id) => Number(id.split('.').pop());

const PATHS = [['GET', '/v1/admin/channels'], ['GET', '/v1/admin/channel?channel=a'], ['POST', '/v1/admin/purge?channel=a'], ['GET', '/v1/admin/connections'],
  ['POST', '/v1/admin/kick?id=1'], ['GET', '/v1/admin/stats'], ['POST', '/v1/admin/backup?path=/tmp/never'], ['GET', '/v1/admin/config']];
for (const [method, p] of PATHS) {
  claim(`${method} ${p} is forbidden on TCP`, async (t) => {
    refused(await (await daemon(t)).request(method, p, method === 'POST' ? { body: '' } : {}), 403, 'forbidden');
  });
}

claim('the socket can be used by its owner only', async (t) => {
  const d = await daemon(t);
  assert.equal(fs.statSync(d.adminSocket).mode & 0o777, 0o600);
});

claim('the public API works on the socket too', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  assert.equal((await d.admin(`/v1/publish?channel=${ch}`, 'POST', { body: 'x' })).status, 200);
  assert.equal((await d.admin(`/v1/history?channel=${ch}`)).json.messages.length, 1);
  assert.equal((await d.admin('/healthz')).status, 200);
  assert.equal((await d.admin('/v1/admin/nothing')).status, 404);
});

claim('channels lists stored and active ones, by prefix, in pages', async (t) => {
  const d = await daemon(t);
  const p = fresh('list');
  const ids = [];
  for (let i = 0; i < 7; i++) ids.push((await d.publish(`${p}-${i}`, 'four')).id);
  await d.publish(`${p}-0`, 'x');
  const s = await t.sse(d, `/v1/sse?channel=${p}-active`);
  await s.hello();
  const all = (await d.admin(`/v1/admin/channels?prefix=${p}-`)).json;
  assert.deepEqual(all.channels.map((c) => c.name), [...[...Array(7).keys()].map((i) => `${p}-${i}`), `${p}-active`]);
  assert.equal(all.more, false);
  const [first] = all.channels;
  assert.deepEqual(Object.keys(first).sort(), ['bytes', 'count', 'head', 'name', 'oldest', 'oldest_ts', 'subscribers']);
  assert.equal(first.count, 2);
  assert.equal(first.bytes, 5);
  assert.equal(first.oldest, ids[0]);
  assert.notEqual(first.head, ids[0]);
  assert.ok(Math.abs(first.oldest_ts - Date.now()) < 60000);
  assert.equal(all.channels.at(-1).subscribers, 1);
  assert.equal(all.channels.at(-1).count, 0);
  const names = [];
  let after = '';
  for (;;) {
    const page = (await d.admin(`/v1/admin/channels?prefix=${p}-&limit=3&after=${after}`)).json;
    assert.ok(page.channels.length <= 3);
    names.push(...page.channels.map((c) => c.name));
    if (!page.more) break;
    after = names.at(-1);
  }
  assert.deepEqual(names, all.channels.map((c) => c.name));
});

claim('channel shows one with its subscribers by transport', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  await d.publish(ch, 'abc');
  const w = await t.ws(d, `/v1/ws?channel=${ch}`);
  await w.hello();
  for (let i = 0; i < 2; i++) await (await t.sse(d, `/v1/sse?channel=${ch}`)).hello();
  const c = (await d.admin(`/v1/admin/channel?channel=${ch}`)).json;
  assert.equal(c.name, ch);
  assert.equal(c.count, 1);
  assert.equal(c.bytes, 3);
  assert.equal(c.subscribers, 3);
  assert.deepEqual(c.subscribers_by_transport, { websocket: 1, sse: 2, longpoll: 0, shortpoll: 0 });
});

claim('a channel that is neither stored nor active is 404', async (t) => {
  refused(await (await daemon(t)).admin(`/v1/admin/channel?channel=${fresh('never')}`), 404, 'not_found');
});

claim('purge removes the messages of one channel and says how many', async (t) => {
  const d = await daemon(t);
  const [a, b] = [fresh(), fresh()];
  for (let i = 0; i < 4; i++) await d.publish(a, `${i}`);
  await d.publish(b, 'stays');
  const before = (await d.admin(`/v1/admin/channel?channel=${a}`)).json.head;
  assert.deepEqual((await d.admin(`/v1/admin/purge?channel=${a}`, 'POST')).json, { channel: a, removed: 4 });
  assert.equal((await readHistory(d, a)).length, 0);
  assert.equal((await readHistory(d, b)).length, 1);
  const { id } = await d.publish(a, 'again');
  const [m] = await readHistory(d, a);
  assert.equal(m.json.id, id);
  assert.equal(m.json.prev, before);
  assert.deepEqual((await d.admin(`/v1/admin/purge?channel=${a}`, 'POST')).json, { channel: a, removed: 1 });
  assert.deepEqual((await d.admin(`/v1/admin/purge?channel=${a}`, 'POST')).json, { channel: a, removed: 0 });
});

claim('a purge reaches subscribers that replay from memory', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const s = await t.sse(d, `/v1/sse?channel=${ch}`);
  await s.hello();
  for (let i = 0; i < 4; i++) await d.publish(ch, `${i}`);
  await s.messages(4);
  await d.admin(`/v1/admin/purge?channel=${ch}`, 'POST');
  assert.deepEqual((await d.get(`/v1/poll?channel=${ch}&since=0`)).json.messages, []);
  await d.publish(ch, 'live');
  assert.equal((await s.message()).json.data, 'live');
});

claim('connections lists who is there', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const w = await t.ws(d, `/v1/ws?channel=${ch}`);
  await w.hello();
  const s = await t.sse(d, `/v1/sse?channel=${ch}&channel=${ch}2`);
  await s.hello();
  const { connections } = (await d.admin('/v1/admin/connections?limit=1000')).json;
  const mine = connections.filter((c) => c.channels?.includes(ch));
  assert.deepEqual(mine.map((c) => c.transport).sort(), ['sse', 'websocket']);
  const sse = mine.find((c) => c.transport === 'sse');
  for (const name of ['age_ms', 'channels', 'id', 'in_bytes', 'out_bytes', 'peer', 'queued_bytes', 'state', 'transport']) assert.ok(name in sse, `no ${name}`);
  assert.deepEqual([...sse.channels].sort(), [ch, `${ch}2`]);
  assert.match(sse.peer, /^127\.0\.0\.1:\d+$/);
  assert.ok(sse.age_ms >= 0 && sse.age_ms < 20000);
  assert.ok(sse.in_bytes > 0);
});

claim('connections are given in pages of the wanted size', async (t) => {
  const d = await daemon(t);
  for (let i = 0; i < 3; i++) await (await t.sse(d, '/v1/sse?channel=page')).hello();
  const page = (await d.admin('/v1/admin/connections?limit=2')).json;
  assert.equal(page.connections.length, 2);
  assert.equal(page.more, true);
});

claim('kick by id closes that one with goodbye kicked', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const [a, b] = [await t.sse(d, `/v1/sse?channel=${ch}`), await t.sse(d, `/v1/sse?channel=${ch}`)];
  await a.hello();
  await b.hello();
  const [{ id, peer }] = (await d.admin('/v1/admin/connections?limit=1000')).json.connections.filter((c) => c.channels?.includes(ch));
  assert.deepEqual((await d.admin(`/v1/admin/kick?id=${id}`, 'POST')).json, { kicked: 1 });
  const out = peer.endsWith(`:${a.raw.socket.localPort}`) ? a : b;
  const other = out === a ? b : a;
  const g = (await out.expect('goodbye')).json;
  assert.equal(g.reason, 'kicked');
  assert.equal(g.reconnect, false);
  await out.end();
  await d.publish(ch, 'x');
  assert.equal((await other.message()).json.data, 'x');
});

claim('kick by channel closes all its subscribers, WebSockets with 1008', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const w = await t.ws(d, `/v1/ws?channel=${ch}`);
  await w.hello();
  const s = await t.sse(d, `/v1/sse?channel=${ch}`);
  await s.hello();
  const stays = await t.sse(d, `/v1/sse?channel=${ch}x`);
  await stays.hello();
  assert.deepEqual((await d.admin(`/v1/admin/kick?channel=${ch}`, 'POST')).json, { kicked: 2 });
  const g = (await w.expect('goodbye')).json;
  assert.equal(g.reason, 'kicked');
  assert.equal(g.reconnect, false);
  assert.equal((await w.end()).code, 1008);
  await s.expect('goodbye');
  await s.end();
  await d.publish(`${ch}x`, 'here');
  assert.equal((await stays.message()).json.data, 'here');
});

claim('kicking nobody says so', async (t) => {
  const d = await daemon(t);
  const a = await d.admin('/v1/admin/kick?id=999999999', 'POST');
  if (a.status === 200) assert.equal(a.json.kicked, 0);
  else refused(a, 404, 'not_found');
  assert.deepEqual((await d.admin(`/v1/admin/kick?channel=${fresh('nobody')}`, 'POST')).json, { kicked: 0 });
});

claim('stats is one object of numbers', async (t) => {
  const d = await daemon(t);
  const a = (await d.admin('/v1/admin/stats')).json;
  assert.equal(typeof a, 'object');
  assert.ok(Object.keys(a).length > 20);
});

claim('config tells the options in force', async (t) => {
  const a = await (await daemon(t)).admin('/v1/admin/config');
  assert.equal(a.status, 200);
  assert.match(a.text, /heartbeat/);
});

claim('a backup is a database that a daemon starts with, and the source goes on', async (t) => {
  const d = await t.daemon();
  const ids = [];
  for (let i = 0; i < 50; i++) ids.push((await d.publish('a', `${i}`)).id);
  const file = path.join(d.dir, 'copy', 'holdfast.db');
  fs.mkdirSync(path.dirname(file));
  const a = await d.admin(`/v1/admin/backup?path=${encodeURIComponent(file)}`, 'POST', { body: '' });
  assert.equal(a.status, 200, a.text);
  assert.equal(a.json.path, file);
  assert.equal(a.json.bytes, fs.statSync(file).size);
  const after = await d.publish('a', 'after');
  const copy = new Daemon({ options: { 'server.data_dir': path.dirname(file) } });
  t.cleanup(() => copy.dispose());
  t.watch(copy);
  await copy.launch();
  // It is another log from here on, and says so by another epoch; what it holds is the same.
  assert.deepEqual((await readHistory(copy, 'a')).map((m) => seq(m.json.id)), ids.map(seq));
  assert.equal((await readHistory(d, 'a')).at(-1).json.id, after.id);
});

claim('a backup while messages are published is a prefix of the log', async (t) => {
  const d = await t.daemon();
  let stop = false;
  const publishing = (async () => { for (let i = 0; !stop; i++) await d.publish('a', `${i}`.padEnd(500)); })();
  await d.publish('b', 'x');
  const dir = path.join(d.dir, 'copy');
  fs.mkdirSync(dir);
  const a = await d.admin(`/v1/admin/backup?path=${dir}/holdfast.db`, 'POST', { body: '' });
  assert.equal(a.status, 200, a.text);
  stop = true;
  await publishing;
  const copy = new Daemon({ options: { 'server.data_dir': dir } });
  t.cleanup(() => copy.dispose());
  t.watch(copy);
  await copy.launch();
  const theirs = await readHistory(copy, 'a'), ours = await readHistory(d, 'a');
  const bare = (m) => [seq(m.json.id), m.json.ts, m.json.data];
  assert.deepEqual(theirs.map(bare), ours.slice(0, theirs.length).map(bare));
});

claim('a backup does not overwrite a file nor write where it can not', async (t) => {
  const d = await daemon(t);
  const file = path.join(d.dir, 'precious');
  fs.writeFileSync(file, 'precious');
  const a = await d.admin(`/v1/admin/backup?path=${file}`, 'POST', { body: '' });
  assert.ok(a.status >= 400, `status ${a.status}`);
  assert.equal(fs.readFileSync(file, 'utf8'), 'precious');
  const b = await d.admin('/v1/admin/backup?path=/nowhere/at/all.db', 'POST', { body: '' });
  assert.ok(b.status >= 400, `status ${b.status}`);
  assert.ok(b.json.error.message);
  const c = await d.admin('/v1/admin/backup', 'POST', { body: '' });
  assert.equal(c.status, 400);
});

claim('wrong methods and parameters are refused', async (t) => {
  const d = await daemon(t);
  refused(await d.admin('/v1/admin/purge?channel=a'), 405, 'method_not_allowed');
  refused(await d.admin('/v1/admin/purge', 'POST'), 400, 'no_channel');
  refused(await d.admin('/v1/admin/channels?limit=x'), 400, 'bad_parameter');
  assert.equal((await d.admin('/v1/admin/kick', 'POST')).status, 400);
  assert.equal((await d.admin('/v1/admin/kick?id=x', 'POST')).status, 400);
});

daemon.ends();
