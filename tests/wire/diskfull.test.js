// SPDX-License-Identifier: MIT
// The disk is full: publishes are refused and nothing else stops; when there is space again it goes on by itself.

import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { claim, assert, refused } from './lib/claim.js';
import { makeFolder } from './lib/daemon.js';
import { readAll, readHistory } from './lib/follow.js';
import { until } from './lib/wait.js';

const MB = 1 << 20;

// A small file system of its own, when this process may mount one.
function tmpfs(t, megabytes) {
  const dir = makeFolder();
  const m = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', dir]);
  if (m.status !== 0) {
    fs.rmdirSync(dir);
    return null;
  }
  t.cleanup(() => {
    spawnSync('umount', ['-l', dir]);
    fs.rmdirSync(dir);
  });
  return dir;
}

const canMount = (() => {
  const dir = makeFolder();
  const ok = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', dir]).status === 0;
  if (ok) spawnSync('umount', [dir]);
  fs.rmdirSync(dir);
  return ok;
})();

// A daemon whose disk gets full: {d, fill(), free()}.
async function full(t) {
  if (canMount) {
    const dir = tmpfs(t, 12);
    const d = await t.daemon({ options: { 'server.data_dir': path.join(dir, 'data') } });
    const ballast = path.join(dir, 'ballast');
    return {
      d,
      fill: () => {
        const fd = fs.openSync(ballast, 'w');
        try { for (;;) fs.writeSync(fd, Buffer.alloc(4096)); } catch (err) { if (err.code !== 'ENOSPC') throw err; } finally { fs.closeSync(fd); }
      },
      free: () => fs.rmSync(ballast),
    };
  }
  const d = await t.daemon({ fsize: 3 * MB });
  return { d, fill: () => {}, free: () => spawnSync('prlimit', ['--pid', `${d.pid}`, '--fsize=unlimited:unlimited']) };
}

async function publishUntilRefused(d, acked) {
  for (let i = 0; i < 4000; i++) {
    const a = await d.post('/v1/publish?channel=a', `${i}`.padEnd(20000), { headers: { 'content-type': 'text/plain' } });
    if (a.status !== 200) return a;
    acked.push(a.json.id);
  }
  throw new Error('the disk did not get full');
}

claim('a full disk: publishes are refused with 503 and Retry-After, live and reading go on, /readyz says 503, and it recovers by itself', { ms: 60000 }, async (t) => {
  const { d, fill, free } = await full(t);
  const acked = [(await d.publish('a', 'first')).id];
  const w = await t.ws(d, '/v1/ws?channel=a');
  await w.hello();
  assert.equal((await d.get('/readyz')).status, 200);
  fill();
  const no = await publishUntilRefused(d, acked);

  refused(no, 503, 'store_unavailable');
  assert.match(no.headers['retry-after'], /^\d+$/);
  const frames = [];
  const e = await (async () => {
    w.send({ type: 'publish', ref: 'p', channel: 'a', data: 'x'.repeat(20000) });
    for (;;) {
      const f = await w.next(10000);
      if (f.json.ref === 'p') return f.json;
      frames.push(f.json);
    }
  })();
  assert.equal(e.type, 'error');
  assert.equal(e.code, 'store_unavailable');
  assert.deepEqual(frames.filter((f) => f.type === 'message').map((f) => f.id), acked.slice(1), 'what was delivered is what was acknowledged');

  assert.equal((await d.get('/readyz')).status, 503);
  assert.equal((await d.get('/healthz')).status, 200);
  assert.equal(await d.metric('holdfast_store_available'), 0);
  assert.deepEqual((await readAll(d, ['a'])).map((m) => m.json.id), acked, 'reading goes on');
  await d.publish('a', 'passing', { query: '&ephemeral=1' });
  assert.equal((await w.message()).json.data, 'passing');
  const s = await t.sse(d, '/v1/sse?channel=a&last=1');
  await s.hello();
  assert.equal((await s.message()).id, acked.at(-1));

  free();
  await until(async () => (await d.get('/readyz')).status === 200, 15000, '/readyz to recover without a publish');
  const again = await d.publish('a', 'again');
  assert.equal((await w.message()).json.id, again.id);
  assert.equal((await s.message()).id, again.id);
  assert.deepEqual((await readAll(d, ['a'])).map((m) => m.json.id), [...acked, again.id]);
  assert.equal(await d.metric('holdfast_store_available'), 1);
  assert.equal(await d.stop(), 0);
});

claim('a raw WebSocket whose publish the store refuses is closed with 1013', { ms: 40000 }, async (t) => {
  const { d, fill } = await full(t);
  fill();
  await publishUntilRefused(d, []);
  const w = await t.ws(d, '/v1/ws?channel=raw&format=raw');
  w.send('x'.repeat(20000));
  assert.equal((await w.end()).code, 1013);
});

claim('after kill -9 on a full disk everything acknowledged is there', { ms: 60000 }, async (t) => {
  const { d, fill, free } = await full(t);
  const acked = [];
  fill();
  await publishUntilRefused(d, acked);
  await d.kill9();
  free();
  if (!canMount) d.fsize = 0;
  await d.launch();
  assert.deepEqual((await readAll(d, ['a'])).map((m) => m.json.id), acked);
  const { id } = await d.publish('a', 'again');
  assert.equal((await readHistory(d, 'a')).at(-1).json.id, id);
});

claim('a backup that does not fit says so and leaves nothing behind', { ms: 40000, skip: canMount ? false : 'needs the right to mount' }, async (t) => {
  const small = tmpfs(t, 1);
  const d = await t.daemon();
  for (let i = 0; i < 100; i++) await d.publish('a', 'x'.repeat(40000));
  const a = await d.admin(`/v1/admin/backup?path=${small}/copy.db`, 'POST', { body: '' });
  assert.ok(a.status >= 500, `status ${a.status}`);
  assert.ok(a.json.error.message);
  assert.deepEqual(fs.readdirSync(small), []);
  await d.publish('a', 'unharmed');
});
