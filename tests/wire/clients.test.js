// SPDX-License-Identifier: MIT
// Clients that others wrote: what a developer has at hand works without ours.

import { spawn, spawnSync } from 'node:child_process';
import path from 'node:path';
import { EventSource } from 'eventsource';
import { claim, shared, assert, fresh } from './lib/claim.js';
import { root, runToEnd } from './lib/daemon.js';
import { Queue, until } from './lib/wait.js';

const daemon = shared();
const noCurl = spawnSync('curl', ['--version']).status === 0 ? false : 'needs curl';

claim('the eventsource package gets messages and, after a kill -9, comes back by itself with its Last-Event-ID', { ms: 30000 }, async (t) => {
  const d = await t.daemon({ options: { 'delivery.sse_retry': '100ms' } });
  const es = new EventSource(`${d.base}/v1/sse?channel=a`);
  t.cleanup(() => es.close());
  const got = new Queue();
  const hellos = new Queue();
  es.onmessage = (e) => got.push({ id: e.lastEventId, data: JSON.parse(e.data).data });
  es.addEventListener('hello', () => hellos.push(1));
  await hellos.next(5000, 'hello');
  const one = await d.publish('a', 'one');
  assert.deepEqual(await got.next(), { id: one.id, data: 'one' });
  await d.kill9();
  await d.launch();
  await d.publish('a', 'while away?');
  await hellos.next(10000, 'the second hello');
  await d.publish('a', 'back');
  assert.deepEqual([(await got.next()).data, (await got.next()).data], ['while away?', 'back']);
});

claim('fetch of Node reads a stream', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const stop = new AbortController();
  t.cleanup(() => stop.abort());
  await d.publish(ch, 'x');
  const res = await fetch(`${d.base}/v1/sse?channel=${ch}&since=0`, { signal: stop.signal });
  assert.equal(res.status, 200);
  let text = '';
  for await (const part of res.body) {
    text += Buffer.from(part);
    if (text.includes('"data":"x"')) break;
  }
});

claim('curl publishes without a thought about types', { skip: noCurl }, async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const curl = (...args) => runToEnd(['-sS', ...args], { bin: 'curl' });
  for (const body of ['{"a":1}', 'words', 'a=b']) assert.equal((await curl('-d', body, `${d.base}/v1/publish?channel=${ch}`)).code, 0);
  const h = JSON.parse((await curl(`${d.base}/v1/history?channel=${ch}`)).stdout);
  assert.deepEqual(h.messages.map((m) => m.data), [{ a: 1 }, 'words', 'a=b']);
});

claim('curl -T publishes a file', { skip: noCurl }, async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const file = path.join(root, 'docs/protocol.md');
  const r = await runToEnd(['-sS', '-f', '-T', file, '-H', 'Content-Type: text/markdown', `${d.base}/v1/publish?channel=${ch}`], { bin: 'curl' });
  assert.equal(r.code, 0, r.stderr);
  const [m] = (await d.get(`/v1/history?channel=${ch}`)).json.messages;
  assert.equal(m.content_type, 'text/markdown');
  assert.ok(m.data.startsWith('# Holdfast wire protocol'));
});

claim('curl -N follows a stream', { skip: noCurl }, async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const child = spawn('curl', ['-sSN', `${d.base}/v1/sse?channel=${ch}`]);
  t.cleanup(() => child.kill('SIGKILL'));
  let out = '';
  child.stdout.on('data', (b) => { out += b; });
  await until(() => out.includes('event: hello'), 5000, 'hello');
  await d.publish(ch, 'x');
  await until(() => out.includes('"data":"x"'), 5000, 'the message');
});

claim('wscat subscribes and publishes', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const child = spawn(process.execPath, [path.join(root, 'tests/node_modules/wscat/bin/wscat'), '--connect', `ws://127.0.0.1:${d.port}/v1/ws?channel=${ch}`, '--wait', '20',
    '--execute', `{"type":"publish","channel":"${ch}","data":"from wscat"}`]);
  t.cleanup(() => child.kill('SIGKILL'));
  let out = '';
  child.stdout.on('data', (b) => { out += b; });
  child.stderr.on('data', (b) => { out += b; });
  await until(() => out.includes('"type":"message"') && out.includes('from wscat'), 8000, () => `the echo (so far: ${out})`);
});

claim('the demo page is served and refers to nothing elsewhere', async (t) => {
  const a = await (await daemon(t)).get('/');
  assert.equal(a.status, 200);
  assert.match(a.headers['content-type'], /^text\/html/);
  assert.doesNotMatch(a.text, /(src|href)\s*=\s*["']?https?:/i);
});

claim('the demo page can be switched off', async (t) => {
  const d = await t.daemon({ options: { 'server.demo': 'no' } });
  assert.equal((await d.get('/')).status, 404);
});

daemon.ends();
