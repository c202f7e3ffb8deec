#!/usr/bin/env -S node --test-reporter=tap
// SPDX-License-Identifier: MIT
// A start that is killed at each of its system calls that change a file: the epoch stays what it was, and of a database
// that was put back from a copy it is found out by the next start. Needs strace.

import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { claim, assert } from '../wire/lib/claim.js';
import { holdfastd } from '../wire/lib/daemon.js';
import { until } from '../wire/lib/wait.js';

const CALLS = ['openat', 'pwrite64', 'write', 'fsync', 'fdatasync', 'ftruncate', 'rename', 'renameat2', 'unlink'];

const hasStrace = spawnSync('strace', ['-e', 'trace=none', 'true']).status === 0;
const skip = hasStrace ? false : 'strace is not here, or may not trace';

// Start the daemon so that it is killed at its n-th call of this kind. True when it was; false when it got through its start.
async function killedAt(d, call, n) {
  const port = path.join(d.dir, 'port');
  fs.rmSync(port, { force: true });
  // Only the thread of the start is traced: others come when the log is open.
  const child = spawn('strace', ['-o', '/dev/null', '-e', `trace=${call}`, '-e', `inject=${call}:signal=KILL:when=${n}`, holdfastd, ...d.args()],
    { stdio: 'ignore', env: { PATH: process.env.PATH } });
  let over = false;
  const gone = new Promise((resolve) => child.on('exit', () => { over = true; resolve(); }));
  await until(() => over || fs.existsSync(port), 20000, 'the start to be killed, or to succeed');
  if (over) return true;
  let children = '';
  try { children = fs.readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8'); } catch {}
  for (const pid of children.split(' ').filter((word) => Number(word) > 1)) process.kill(Number(pid), 'SIGKILL');
  await gone;
  return false;
}

const epochOf = async (d) => (await d.get('/v1/info')).json.epoch;

function copy(from, to, names) {
  fs.mkdirSync(to, { recursive: true });
  for (const suffix of ['', '-wal', '-shm']) fs.rmSync(path.join(to, `holdfast.db${suffix}`), { force: true });
  for (const name of names) {
    if (fs.existsSync(path.join(from, name))) fs.copyFileSync(path.join(from, name), path.join(to, name));
  }
}

for (const call of CALLS) {
  claim(`kill -9 at each ${call} of a start: the same epoch, and the same log`, { ms: 120000, skip }, async (t) => {
    const d = await t.daemon();
    const ids = [(await d.publish('a', 'x')).id];
    const epoch = await epochOf(d);
    let n = 0, kills = 0;
    do {
      await d.kill9();
      n++;
      if (await killedAt(d, call, n)) kills++;
      else n = 0;
      await d.launch();
      assert.equal(await epochOf(d), epoch, `${call} ${n}`);
      ids.push((await d.publish('a', 'x')).id);
    } while (n);
    t.test.diagnostic(`${kills} kills`);
    const log = (await d.get('/v1/history?channel=a')).json.messages.map((m) => m.id);
    assert.deepEqual(log, ids);
    assert.doesNotMatch(d.stderr, /new_epoch/);
  });
}

for (const call of ['pwrite64', 'fsync', 'fdatasync', 'rename']) {
  claim(`kill -9 at each ${call} of a start on an older copy: it is found out again`, { ms: 120000, skip }, async (t) => {
    const d = await t.daemon();
    await d.publish('a', 'x');
    await d.kill9();
    const old = path.join(d.dir, 'old');
    copy(d.dataDir, old, ['holdfast.db', 'holdfast.db-wal']);
    await d.launch();
    const seen = new Set([await epochOf(d)]);
    let n = 0, kills = 0;
    do {
      await d.publish('a', 'y');
      await d.kill9();
      copy(old, d.dataDir, ['holdfast.db', 'holdfast.db-wal']);
      n++;
      if (await killedAt(d, call, n)) kills++;
      else n = 0;
      await d.launch();
      const epoch = await epochOf(d);
      assert.ok(!seen.has(epoch), `the epoch of before, after ${call} ${n}`);
      seen.add(epoch);
    } while (n);
    t.test.diagnostic(`${kills} kills`);
    assert.ok(kills > 0);
  });
}
