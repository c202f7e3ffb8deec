// SPDX-License-Identifier: MIT
// The command line client, `holdfast`.

import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { claim, shared, assert, fresh } from './lib/claim.js';
import { holdfast, runToEnd } from './lib/daemon.js';
import { Queue, deadline, until } from './lib/wait.js';
import { readHistory } from './lib/follow.js';

const daemon = shared({ config: { 'namespace board': { publish: 'admin' }, 'namespace few': { history_count: 5 }, 'namespace room': { presence: 'yes' } } });
const missing = fs.existsSync(holdfast) || process.env.HOLDFAST ? false : `${holdfast} is not built`;
const say = (name, how, fn) => (typeof how === 'function' ? claim(name, { skip: missing }, how) : claim(name, { ...how, skip: missing }, fn));

const run = (args, how) => runToEnd(args, { bin: holdfast, ...how });
const url = (d, ...args) => run(['--url', d.base, ...args]);
const sock = (d, ...args) => run(['--socket', d.adminSocket, ...args]);
const lines = (text) => text.split('\n').filter((l) => l !== '');

// A running `holdfast sub`: its lines as they come.
function running(t, args) {
  const child = spawn(holdfast, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  t.cleanup(() => child.kill('SIGKILL'));
  const out = new Queue();
  let rest = '', stderr = '';
  child.stdout.on('data', (b) => {
    rest += b;
    const parts = rest.split('\n');
    rest = parts.pop();
    for (const p of parts) out.push(p);
  });
  child.stderr.on('data', (b) => { stderr += b; });
  const done = new Promise((resolve) => child.on('close', (code, signal) => {
    out.end(new Error(`holdfast ended with ${code ?? signal}: ${stderr}`));
    resolve({ code, signal, stderr });
  }));
  return { child, out, end: (ms = 5000) => deadline(done, ms, `the end of holdfast ${args.join(' ')}`) };
}

const subscribers = async (d, ch, n) => {
  await until(async () => ((await d.admin(`/v1/admin/channel?channel=${ch}`)).json.subscribers ?? 0) >= n, 5000, `${n} subscribers of ${ch}`);
};

say('pub publishes a message and prints its id', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const r = await url(d, 'pub', ch, '{"a": 1}');
  assert.equal(r.code, 0, r.stderr);
  const [m] = await readHistory(d, ch);
  assert.equal(r.stdout, `${m.json.id}\n`);
  assert.ok(m.raw.endsWith('"data":{"a": 1}}'));
});

say('pub works over the socket, and there into namespaces of the admin', async (t) => {
  const d = await daemon(t);
  assert.equal((await sock(d, 'pub', 'board:a', 'x')).code, 0);
  const no = await url(d, 'pub', 'board:a', 'x');
  assert.equal(no.code, 1);
  assert.match(no.stderr, /forbidden|not allowed/i);
  assert.equal(no.stdout, '');
});

say('pub - publishes each line of its input, in order', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const input = [...Array(1000).keys()].map((i) => `line ${i}`).join('\n') + '\n';
  const r = await run(['--url', d.base, 'pub', ch, '-'], { input });
  assert.equal(r.code, 0, r.stderr);
  assert.deepEqual((await readHistory(d, ch)).map((m) => m.json.data), lines(input));
});

say('pub - sends a line at once when lines come slowly', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const s = await t.sse(d, `/v1/sse?channel=${ch}`);
  await s.hello();
  const p = running(t, ['--url', d.base, 'pub', ch, '-']);
  for (const word of ['one', 'two']) {
    p.child.stdin.write(`${word}\n`);
    assert.equal((await s.message()).json.data, word);
  }
  p.child.stdin.end();
  assert.equal((await p.end()).code, 0);
});

say('pub - goes on where it was when the daemon is killed and started again: nothing lost, nothing twice', { ms: 60000 }, async (t) => {
  const d = await t.daemon({ config: { namespace: { history_count: 0 } } });
  for (const args of [['--url', d.base], ['--socket', d.adminSocket], ['--url', d.base, '--producer=me'], ['--url', d.base, '--producer=me']]) {
    const ch = fresh();
    const p = running(t, ['pub', ch, '-', ...args]);
    let sent = 0;
    p.child.stdin.on('error', () => {}); // its end tells why
    const feed = (n) => { for (const end = sent + n; sent < end; sent++) p.child.stdin.write(`line ${sent}\n`); };
    for (let kill = 0; kill < 3; kill++) {
      const before = (await readHistory(d, ch)).length;
      const ticking = setInterval(() => feed(5), 1);
      t.cleanup(() => clearInterval(ticking));
      await until(async () => (await readHistory(d, ch)).length > before, 5000, 'lines to come');
      await d.restart({ kill: true });
      await until(async () => (await readHistory(d, ch)).length > before + 50, 10000, 'lines to come again');
      clearInterval(ticking);
    }
    feed(10);
    p.child.stdin.end();
    const { code, stderr } = await p.end(20000);
    assert.equal(code, 0, stderr);
    assert.match(stderr, new RegExp(`published ${sent} messages`));
    assert.deepEqual((await readHistory(d, ch)).map((m) => m.json.data), Array.from({ length: sent }, (_, i) => `line ${i}`));
  }
});

say('pub - says so when somebody else publishes under its name', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const p = running(t, ['--url', d.base, 'pub', ch, '-', '--producer', 'shared', '--json']);
  p.child.stdin.write('one\n');
  await p.out.next();
  const seq = await until(async () => { // the number that the server expects next is one more than what it has
    const a = await d.post(`/v1/publish?channel=${ch}`, 'intruder', { headers: { 'Producer-Id': 'shared', 'Producer-Seq': '9007199254740991' } });
    return a.json.error?.expected;
  }, 5000, 'the number');
  assert.equal((await d.post(`/v1/publish?channel=${ch}`, 'intruder', { headers: { 'Producer-Id': 'shared', 'Producer-Seq': seq } })).status, 200);
  p.child.stdin.end('two\n');
  const { code, stderr } = await p.end();
  assert.equal(code, 1);
  assert.match(stderr, /somebody else publishes under the same name/);
  assert.match(stderr, /Line 2 was not stored/);
});

say('pub --key stores once, --ttl and --expect are handed on', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const first = await url(d, 'pub', ch, 'x', '--key', 'k', '--ttl', '60.5');
  assert.equal(first.code, 0, first.stderr);
  assert.equal((await url(d, 'pub', ch, 'x', '--key', 'k')).stdout, first.stdout);
  assert.equal((await url(d, 'pub', ch, 'y', '--expect', first.stdout.trim())).code, 0);
  const late = await url(d, 'pub', ch, 'y', '--expect', first.stdout.trim());
  assert.equal(late.code, 1);
  assert.match(late.stderr, /conflict/);
  assert.equal((await url(d, 'pub', ch, 'z', '--expect', 'none')).code, 1);
  assert.equal((await readHistory(d, ch)).length, 2);
  for (const args of [['-', '--key', 'k'], ['-', '--expect', 'none'], ['x', '--producer', 'p'], ['x', '--key', '']]) {
    assert.equal((await url(d, 'pub', ch, ...args)).code, 2, args.join(' '));
  }
});

say('sub --fail-on-gap does not mind what expired', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const a = await d.publish(ch, 'a');
  await d.publish(ch, 'b', { query: '&ttl=0.05' });
  await d.publish(ch, 'c');
  await until(async () => (await readHistory(d, ch)).length === 2, 5000, 'b to expire');
  const r = await url(d, 'sub', ch, '--since', a.id, '--count', '1', '--fail-on-gap', '--raw');
  assert.equal(r.code, 0, r.stderr);
  assert.equal(r.stdout, 'c\n');
  assert.match(r.stderr, /expired/);
});

say('pub --file publishes the bytes of a file', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const file = path.join(d.dir, 'payload');
  const bytes = Buffer.from([...Array(256).keys()]);
  fs.writeFileSync(file, bytes);
  const r = await url(d, 'pub', ch, '--file', file);
  assert.equal(r.code, 0, r.stderr);
  assert.deepEqual(Buffer.from((await readHistory(d, ch))[0].json.data, 'base64'), bytes);
});

for (const transport of ['ws', 'sse', 'long-poll', 'poll']) {
  say(`sub over ${transport}: --since 0 --count N --raw prints the payloads and ends with 0`, async (t) => {
    const d = await daemon(t);
    const ch = fresh();
    for (let i = 0; i < 5; i++) await d.publish(ch, `word ${i}`);
    const r = await url(d, 'sub', ch, '--transport', transport, '--since', '0', '--count', '5', '--raw', '--timeout', '8');
    assert.equal(r.code, 0, r.stderr);
    assert.deepEqual(lines(r.stdout), ['word 0', 'word 1', 'word 2', 'word 3', 'word 4']);
  });

  say(`sub over ${transport} goes on after a kill -9 and loses nothing`, { ms: 40000 }, async (t) => {
    const d = await t.daemon();
    await d.publish('a', 'before');
    const s = running(t, ['--url', d.base, 'sub', 'a', '--transport', transport, '--since', '0', '--raw', ...(transport === 'poll' ? ['--interval', '0.1'] : [])]);
    assert.equal(await s.out.next(8000), 'before');
    await d.restart({ kill: true });
    await d.publish('a', 'after');
    assert.equal(await s.out.next(15000), 'after');
    s.child.kill('SIGINT');
    await s.end();
  });
}

say('sub prints messages as they come, of several channels', async (t) => {
  const d = await daemon(t);
  const [a, b] = [fresh(), fresh()];
  const s = running(t, ['--url', d.base, 'sub', a, b]);
  await subscribers(d, a, 1);
  for (const ch of [a, b]) {
    const { id } = await d.publish(ch, 'news');
    const line = await s.out.next();
    assert.ok(line.includes(id) && line.includes(ch) && line.includes('news'), line);
  }
});

say('sub --json prints one envelope per line', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  await d.publish(ch, '{"x": [1,\n2]}', { type: 'application/json' });
  await d.publish(ch, 'text');
  const r = await url(d, 'sub', ch, '--last', '2', '--count', '2', '--json');
  assert.equal(r.code, 0, r.stderr);
  const got = lines(r.stdout).map((l) => JSON.parse(l));
  assert.deepEqual(got.map((m) => m.data), [{ x: [1, 2] }, 'text']);
  assert.equal(got[0].type, 'message');
  assert.ok(got[0].id);
});

say('sub --raw gives binary payloads as their bytes', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const bytes = Buffer.from([0, 1, 200, 255]);
  await d.publish(ch, bytes, { type: 'application/octet-stream' });
  const r = await url(d, 'sub', ch, '--since', '0', '--count', '1', '--raw');
  assert.deepEqual(r.stdoutBytes, Buffer.concat([bytes, Buffer.from('\n')]));
});

say('sub --timeout ends with 124', async (t) => {
  const d = await daemon(t);
  const r = await url(d, 'sub', fresh(), '--timeout', '0.3');
  assert.equal(r.code, 124);
});

say('sub tells a gap', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  await d.publish(ch, 'x');
  const r = await url(d, 'sub', ch, '--since', 'other.5', '--count', '1', '--raw');
  assert.equal(r.code, 0);
  assert.equal(r.stdout, 'x\n');
  assert.match(r.stderr, /gap|missing|missed/i);
});

say('sub whose output is closed ends', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const s = running(t, ['--url', d.base, 'sub', ch]);
  await subscribers(d, ch, 1);
  s.child.stdout.destroy();
  await d.publish(ch, 'x');
  await d.publish(ch, 'y');
  await s.end(8000);
});

say('history prints what is stored', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  for (let i = 0; i < 3; i++) await d.publish(ch, `h${i}`);
  const r = await url(d, 'history', ch);
  assert.equal(r.code, 0, r.stderr);
  for (let i = 0; i < 3; i++) assert.ok(r.stdout.includes(`h${i}`));
});

say('channels, channel and stats tell what is there', async (t) => {
  const d = await daemon(t);
  const ch = fresh('listed');
  await d.publish(ch, 'x');
  const list = await sock(d, 'channels', 'listed');
  assert.equal(list.code, 0, list.stderr);
  assert.ok(list.stdout.includes(ch));
  const none = await sock(d, 'channels', 'nothing-has-this-prefix');
  assert.equal(none.code, 0);
  const one = await sock(d, 'channel', ch);
  assert.equal(one.code, 0, one.stderr);
  assert.ok(one.stdout.includes(ch));
  assert.equal((await sock(d, 'channel', 'no-such-channel')).code, 1);
  const stats = await sock(d, 'stats');
  assert.equal(stats.code, 0, stats.stderr);
  assert.ok(stats.stdout.length > 100);
});

say('purge needs --yes when nobody can be asked', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  await d.publish(ch, 'x');
  assert.notEqual((await sock(d, 'purge', ch)).code, 0);
  assert.equal((await readHistory(d, ch)).length, 1);
  const r = await sock(d, 'purge', ch, '--yes');
  assert.equal(r.code, 0, r.stderr);
  assert.equal((await readHistory(d, ch)).length, 0);
});

say('connections lists and kick closes', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const s = await t.sse(d, `/v1/sse?channel=${ch}`);
  await s.hello();
  const list = await sock(d, 'connections');
  assert.equal(list.code, 0, list.stderr);
  assert.ok(list.stdout.includes('sse'));
  const { id } = (await d.admin('/v1/admin/connections?limit=1000')).json.connections.find((c) => c.channels?.includes(ch));
  const r = await sock(d, 'kick', `${id}`);
  assert.equal(r.code, 0, r.stderr);
  assert.equal((await s.expect('goodbye')).json.reason, 'kicked');
});

say('a kicked sub ends with 1', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const s = running(t, ['--url', d.base, 'sub', ch]);
  await subscribers(d, ch, 1);
  await d.admin(`/v1/admin/kick?channel=${ch}`, 'POST');
  assert.equal((await s.end()).code, 1);
});

say('backup writes a database', async (t) => {
  const d = await daemon(t);
  await d.publish('a', 'x');
  const file = path.join(d.dir, 'backup.db');
  const r = await sock(d, 'backup', file);
  assert.equal(r.code, 0, r.stderr);
  assert.equal(fs.readFileSync(file).subarray(0, 15).toString(), 'SQLite format 3');
});

say('check-config judges a file', async (t) => {
  const d = await daemon(t);
  const good = path.join(d.dir, 'good.conf'), bad = path.join(d.dir, 'bad.conf');
  fs.writeFileSync(good, '[server]\nworkers = 2\n');
  fs.writeFileSync(bad, '[server]\nworkrs = 2\n');
  const env = { PATH: `${path.dirname(path.resolve(holdfast, '../../daemon/holdfastd'))}:${process.env.PATH}` };
  assert.equal((await run(['check-config', good], { env })).code, 0);
  const no = await run(['check-config', bad], { env });
  assert.ok([1, 2].includes(no.code), `exit code ${no.code}`);
  assert.match(no.stderr + no.stdout, /workrs/);
});

say('admin commands need the socket', async (t) => {
  const d = await daemon(t);
  const r = await url(d, 'stats');
  assert.ok([1, 2].includes(r.code), `exit code ${r.code}`);
  assert.ok(r.stderr.length > 0);
});

for (const [name, args, code] of [
  ['no command', [], 2], ['an unknown command', ['pubb', 'a', 'b'], 2], ['an unknown option', ['pub', '--frob', 'a', 'b'], 2], ['a missing argument', ['pub'], 2], ['a missing message', ['pub', 'a'], 2],
  ['a bad transport', ['sub', 'a', '--transport', 'pigeon'], 2], ['a bad count', ['sub', 'a', '--count', 'x'], 2], ['sub without channels', ['sub'], 2],
]) {
  say(`${name} is a usage error: exit code ${code}, words on stderr`, async () => {
    const r = await run(args);
    assert.equal(r.code, code);
    assert.ok(r.stderr.length > 0);
    assert.equal(r.stdout, '');
  });
}

say('a bad channel is refused by the server: 1', async (t) => {
  const d = await daemon(t);
  const r = await url(d, 'pub', 'a b', 'x');
  assert.ok([1, 2].includes(r.code), `exit code ${r.code}`);
  assert.ok(r.stderr.length > 0);
});

say('no daemon: exit code 3', async () => {
  for (const args of [['--url', 'http://127.0.0.1:1', 'pub', 'a', 'b'], ['--url', 'http://127.0.0.1:1', 'sub', 'a'], ['--socket', '/nowhere/admin.sock', 'stats']]) {
    const r = await run(args);
    assert.equal(r.code, 3, `${args}: ${r.stderr}`);
    assert.ok(r.stderr.length > 0);
  }
});

say('--help and --version end with 0', async () => {
  for (const args of [['--help'], ['help'], ['--version'], ['help', 'pub']]) {
    const r = await run(args);
    assert.equal(r.code, 0, `${args}`);
    assert.ok(r.stdout.length > 0);
  }
});

for (const transport of ['ws', 'sse', 'long-poll']) {
  say(`sub --presence over ${transport} prints who is there, comes and goes, and keeps its session`, async (t) => {
    const d = await daemon(t);
    const ch = fresh('room:c');
    const s = running(t, ['--url', d.base, 'sub', '--presence', '--transport', transport, ch]);
    assert.equal(await s.out.next(), `= ${ch} 1`);
    const own = /^= \S+ ([0-9a-f]{16})$/.exec(await s.out.next())[1];
    const w = await t.ws(d, '/v1/ws');
    const name = (await w.hello()).json.session.slice(0, 16);
    // A poll that was between two requests asks for the list when it comes again.
    await w.command({ type: 'subscribe', channel: ch, info: { a: '\u0007' } });
    const seen = await s.out.find((l) => l.includes(name));
    assert.match(seen, new RegExp(`^[+=] ${ch} ${name} {"a":"\\\\u0007"}$`));
    const list = (await url(d, 'presence', '--json', ch)).stdout;
    assert.deepEqual(lines(list).map((l) => JSON.parse(l).session).sort(), [own, name].sort());
    await w.command({ type: 'unsubscribe', channel: ch });
    if (transport !== 'long-poll') assert.equal(await s.out.find((l) => l.startsWith('-')), `- ${ch} ${name}`);
    s.child.kill('SIGINT');
    assert.equal((await s.end()).code, 0);
  });
}

say('sub without --presence prints messages only', async (t) => {
  const d = await daemon(t);
  const ch = fresh('room:c');
  const s = running(t, ['--url', d.base, 'sub', '--count', '1', ch]);
  await subscribers(d, ch, 1);
  const w = await t.sse(d, `/v1/sse?channel=${ch}`);
  await w.expect('hello');
  await w.expect('join');
  const { id } = await d.publish(ch, 'x');
  assert.equal(await s.out.next(), `${id} ${ch} x`);
});

say('presence lists the members of a channel', async (t) => {
  const d = await daemon(t);
  const ch = fresh('room:c');
  const w = await t.ws(d, `/v1/ws?channel=${ch}&info=${encodeURIComponent('{"name":"me"}')}`);
  const name = (await w.hello()).json.session.slice(0, 16);
  const r = await sock(d, 'presence', ch);
  assert.equal(r.code, 0, r.stderr);
  const [head, row, ...rest] = lines(r.stdout);
  assert.match(head, /^SESSION +USER +TRANSPORT +CONNECTIONS +AGE +INFO$/);
  assert.match(row, new RegExp(`^${name} +- +websocket +1 +\\S+ +{"name":"me"}$`));
  assert.equal(rest.length, 0);
  assert.equal((await url(d, 'presence', '--count', ch)).stdout, '1\n');
  const no = await url(d, 'presence', 'plain');
  assert.equal(no.code, 1);
  assert.match(no.stderr, /not_supported/);
});

daemon.ends();
