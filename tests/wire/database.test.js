// SPDX-License-Identifier: MIT
// A database that can not be used: refuse to start, say why, touch nothing.

import crypto from 'node:crypto';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { claim, assert } from './lib/claim.js';
import { makeFolder, runToEnd, flags, Daemon } from './lib/daemon.js';
import { readAll } from './lib/follow.js';

const NAME = 'holdfast.db';
const sum = (dir) => Object.fromEntries(fs.readdirSync(dir).sort().map((f) => [f, crypto.createHash('sha256').update(fs.readFileSync(path.join(dir, f))).digest('hex')]));

function folder(t) {
  const dir = makeFolder();
  t.cleanup(() => fs.rmSync(dir, { recursive: true, force: true }));
  return dir;
}

// A real, orderly closed database with 20 messages.
async function made(t, options = {}) {
  const d = await t.daemon({ options: { 'server.drain_grace': '200ms', ...options } });
  for (let i = 0; i < 20; i++) await d.publish('a', `${i}`.padEnd(2000));
  assert.equal(await d.stop(), 0);
  return d.dataDir;
}

function start(t, dir, more = {}) {
  return runToEnd(flags({ 'server.listen': '127.0.0.1:0', 'server.data_dir': dir, ...more }), { ms: 15000 });
}

const sql = (file, text) => {
  const r = spawnSync('sqlite3', [file, text]);
  assert.equal(r.status, 0, `sqlite3: ${r.stderr}`);
  return r.stdout.toString().trim();
};
const noSqlite = spawnSync('sqlite3', ['-version']).status === 0 ? false : 'needs the sqlite3 command';

async function refuses(t, dir, pattern) {
  const before = sum(dir);
  const end = await start(t, dir);
  assert.ok(end.code > 0, `it ended with ${end.code} ${end.signal ?? ''}`);
  assert.match(end.stderr, pattern);
  assert.ok(end.stderr.includes(NAME) || end.stderr.includes(dir), `the file is not named: ${end.stderr}`);
  const after = sum(dir);
  for (const [f, hash] of Object.entries(before)) assert.equal(after[f], hash, `${f} was changed`);
  return end;
}

claim('a file that is no database is refused and left as it is', async (t) => {
  const dir = folder(t);
  fs.writeFileSync(path.join(dir, NAME), 'This is my diary. '.repeat(1000));
  await refuses(t, dir, /not an? (\w+ )?database|no database/i);
});

claim('a database of another application is refused and left as it is', { skip: noSqlite }, async (t) => {
  const dir = folder(t);
  sql(path.join(dir, NAME), 'create table diary(day, text); insert into diary values (1, "rain");');
  await refuses(t, dir, /holdfast|another|foreign|application/i);
});

claim('a foreign database with tables of the same names is refused', { skip: noSqlite }, async (t) => {
  const dir = folder(t);
  sql(path.join(dir, NAME), 'create table message(x); create table channel(y); create table meta(k, v); pragma application_id = 1234;');
  await refuses(t, dir, /holdfast|another|foreign|application/i);
});

claim('a database of a newer version is refused and left as it is', { skip: noSqlite }, async (t) => {
  const dir = await made(t);
  const version = Number(sql(path.join(dir, NAME), 'pragma user_version'));
  sql(path.join(dir, NAME), `pragma user_version = ${version + 1000}`);
  await refuses(t, dir, /newer|version|schema/i);
});

claim('a corrupt database is refused and left as it is', async (t) => {
  const dir = await made(t);
  const file = path.join(dir, NAME);
  const bytes = fs.readFileSync(file);
  for (let at = 4096; at < bytes.length; at += 4096) bytes.fill(0xa5, at, Math.min(at + 600, bytes.length));
  fs.writeFileSync(file, bytes);
  await refuses(t, dir, /corrupt|malformed|damaged/i);
});

claim('a database cut short is refused and left as it is', async (t) => {
  const dir = await made(t);
  const file = path.join(dir, NAME);
  fs.truncateSync(file, Math.floor(fs.statSync(file).size / 2 / 4096) * 4096);
  await refuses(t, dir, /corrupt|malformed|damaged|short|truncated/i);
});

claim('a database that another daemon uses is refused, and that one goes on', async (t) => {
  const d = await t.daemon();
  await d.publish('a', '1');
  const end = await start(t, d.dataDir);
  assert.ok(end.code > 0);
  assert.match(end.stderr, /lock|in use|another|already/i);
  const { id } = await d.publish('a', '2');
  assert.equal((await readAll(d, ['a'])).at(-1).json.id, id);
});

claim('a data folder that can not be made is refused', async (t) => {
  const dir = folder(t);
  fs.writeFileSync(path.join(dir, 'file'), 'x');
  const end = await start(t, path.join(dir, 'file', 'data'));
  assert.ok(end.code > 0);
  assert.match(end.stderr, /file\/data/);
});

claim('a database that is a folder is refused', async (t) => {
  const dir = folder(t);
  fs.mkdirSync(path.join(dir, NAME));
  const end = await start(t, dir);
  assert.ok(end.code > 0);
  assert.match(end.stderr, new RegExp(NAME));
});

claim('a missing data folder is made', async (t) => {
  const dir = path.join(folder(t), 'new');
  const d = new Daemon({ options: { 'server.data_dir': dir } });
  t.cleanup(() => d.dispose());
  await d.launch();
  await d.publish('a', 'x');
  assert.ok(fs.existsSync(path.join(dir, NAME)));
});

claim('an empty file, which something cut short, is refused and left as it is', async (t) => {
  const dir = folder(t);
  fs.writeFileSync(path.join(dir, NAME), '');
  await refuses(t, dir, /empty/i);
});

claim('store.database names another file', async (t) => {
  const dir = folder(t);
  const file = path.join(dir, 'elsewhere.db');
  const d = await t.daemon({ options: { 'store.database': file } });
  await d.publish('a', 'x');
  assert.ok(fs.existsSync(file));
});

claim('a write-ahead log left by kill -9 is taken up', async (t) => {
  const d = await t.daemon();
  const ids = [];
  for (let i = 0; i < 10; i++) ids.push((await d.publish('a', `${i}`)).id);
  await d.kill9();
  assert.ok(fs.existsSync(path.join(d.dataDir, `${NAME}-wal`)), 'there was no write-ahead log');
  await d.launch();
  assert.deepEqual((await readAll(d, ['a'])).map((m) => m.json.id), ids);
});
