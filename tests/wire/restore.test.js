// SPDX-License-Identifier: MIT
// A database that was put back from a copy of its file: another epoch, told to everybody who returns.

import fs from 'node:fs';
import path from 'node:path';
import { claim, assert } from './lib/claim.js';
import { TRANSPORTS, readHistory } from './lib/follow.js';

const FILES = ['holdfast.db', 'holdfast.db-wal'];

// What lies there of the database; SQLite's index is made anew.
function copy(from, to) {
  fs.mkdirSync(to, { recursive: true });
  for (const name of [...FILES, 'holdfast.db-shm']) fs.rmSync(path.join(to, name), { force: true });
  for (const name of FILES) {
    if (fs.existsSync(path.join(from, name))) fs.copyFileSync(path.join(from, name), path.join(to, name));
  }
}

const epochOf = async (d) => (await d.get('/v1/info')).json.epoch;

async function publish(d, from, to) {
  const ids = [];
  for (let i = from; i < to; i++) ids.push((await d.publish('a', `${i}`)).id);
  return ids;
}

// Everybody who returns with an id of before is told, and then served what there is.
async function toldEverywhere(t, d, ids, kept) {
  for (const since of [ids[0], ids[kept - 1], ids.at(-1)]) {
    for (const name of TRANSPORTS) {
      const f = await t.follow(name, d, ['a'], { since });
      const g = await f.takeGap();
      assert.equal(g.reason, 'epoch', `${name} since ${since}`);
      assert.equal(g.from, since);
      assert.deepEqual((await f.take(kept)).map((m) => Number(m.json.data)), [...Array(kept).keys()]);
      f.close();
    }
    const a = await d.get(`/v1/history?channel=a&since=${since}`);
    assert.equal(a.json.gaps[0].reason, 'epoch');
  }
}

claim('kill -9, an older copy of the file is put back: a new epoch, and a gap on every transport', { ms: 40000 }, async (t) => {
  const d = await t.daemon();
  const old = path.join(d.dir, 'old');
  const ids = await publish(d, 0, 10);
  await d.kill9();
  copy(d.dataDir, old);
  await d.launch();
  const before = await epochOf(d);
  ids.push(...await publish(d, 10, 20));
  await d.kill9();
  copy(old, d.dataDir);
  await d.launch();
  const epoch = await epochOf(d);
  assert.notEqual(epoch, before);
  assert.match(d.stderr, /level=warn event=new_epoch .*reason="it is not the database that ran here last/);
  await toldEverywhere(t, d, ids, 10);
  // From here on it is a log like any other.
  const { id } = await d.publish('a', '10');
  assert.ok(id.startsWith(`${epoch}.`));
  await d.restart({ kill: true });
  assert.equal(await epochOf(d), epoch);
  const next = await d.publish('a', '11');
  for (const name of TRANSPORTS) {
    const f = await t.follow(name, d, ['a'], { since: id });
    assert.equal((await f.take(1))[0].json.id, next.id);
    f.close();
  }
});

claim('a copy that was made while the daemon ran, put back after kill -9', { ms: 40000 }, async (t) => {
  const d = await t.daemon();
  const old = path.join(d.dir, 'old');
  const before = await epochOf(d);
  const ids = await publish(d, 0, 5);
  d.signal('SIGSTOP');
  copy(d.dataDir, old);
  d.signal('SIGCONT');
  ids.push(...await publish(d, 5, 6));
  await d.kill9();
  copy(old, d.dataDir);
  await d.launch();
  assert.notEqual(await epochOf(d), before);
  assert.match(d.stderr, /event=new_epoch .*reason="it is older than what ran here last/);
  await toldEverywhere(t, d, ids, 5);
});

claim('the newest copy of the file is the log itself: kill -9 and the same files keep the epoch', async (t) => {
  const d = await t.daemon();
  const old = path.join(d.dir, 'old');
  const before = await epochOf(d);
  const ids = await publish(d, 0, 5);
  await d.kill9();
  copy(d.dataDir, old);
  copy(old, d.dataDir);
  await d.launch();
  assert.equal(await epochOf(d), before);
  assert.doesNotMatch(d.stderr, /new_epoch/);
  assert.deepEqual((await readHistory(d, 'a')).map((m) => m.json.id), ids);
});

claim('a database without its .incarnation file was restored, unless it is adopted', async (t) => {
  const d = await t.daemon();
  const ids = await publish(d, 0, 5);
  const before = await epochOf(d);
  const side = path.join(d.dataDir, 'holdfast.db.incarnation');
  await d.stop();
  fs.rmSync(side);
  d.options['store.adopt'] = 'yes';
  await d.launch();
  assert.equal(await epochOf(d), before);
  assert.match(d.stderr, /event=log_adopted/);
  await d.stop();
  delete d.options['store.adopt'];
  await d.launch();
  assert.equal(await epochOf(d), before);
  await d.kill9();
  fs.rmSync(side);
  await d.launch();
  assert.notEqual(await epochOf(d), before);
  assert.match(d.stderr, /event=new_epoch .*store\.adopt/);
  await toldEverywhere(t, d, ids, 5);
});

claim('each restore of one backup is a log of its own', async (t) => {
  const d = await t.daemon();
  await publish(d, 0, 5);
  const file = path.join(d.dir, 'backup.db');
  await d.admin(`/v1/admin/backup?path=${encodeURIComponent(file)}`, 'POST', { body: '' });
  const epochs = new Set([await epochOf(d)]);
  for (let i = 0; i < 3; i++) {
    await d.stop();
    fs.copyFileSync(file, path.join(d.dataDir, 'holdfast.db'));
    await d.launch();
    const ids = await publish(d, 5, 6);
    epochs.add(ids[0].split('.')[0]);
  }
  assert.equal(epochs.size, 4);
});
