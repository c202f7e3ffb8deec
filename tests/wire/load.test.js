// SPDX-License-Identifier: MIT
// The load generator (bench/load): what it says of a server must be so. Against one that loses, repeats and swaps it must
// report exactly that; against the broker and bench/floor, that all is well.

import fs from 'node:fs';
import path from 'node:path';
import { spawn } from 'node:child_process';
import { claim, assert } from './lib/claim.js';
import { holdfastd, makeFolder, runToEnd } from './lib/daemon.js';
import { Tamper } from './lib/tamper.js';
import { scale, until } from './lib/wait.js';

const load = path.resolve(path.dirname(holdfastd), '../bench/load');
const floor = path.resolve(path.dirname(holdfastd), '../bench/floor');
const GIVE_UP_S = 0.5 * scale;

const PATHS = {
  ws: ['--subscribe-path', '/v1/ws?i=%i'],
  sse: ['--subscribe-path', '/v1/sse?i=%i'],
  longpoll: ['--first-path', '/v1/poll?i=%i', '--subscribe-path', '/v1/poll?i=%i&since=%1&wait=9'],
  shortpoll: ['--first-path', '/v1/poll?i=%i', '--subscribe-path', '/v1/poll?i=%i&since=%1', '--poll-ms', '20'],
};

async function run(address, args) {
  const r = await runToEnd(['--server', address, '--json', '--give-up', `${GIVE_UP_S}`, '--warm-up', '0', ...args],
    { bin: load, ms: 60000 });
  assert.match(r.stdout, /^\{/, `load: code ${r.code} ${r.stderr}`);
  return { ...JSON.parse(r.stdout), code: r.code, stderr: r.stderr };
}

async function tampered(t, transport, plan, args = []) {
  const server = await new Tamper(plan).listen(t);
  return run(server.address, ['--transport', transport, ...PATHS[transport], ...args]);
}

const verdict = ({ lost, repeated, out_of_order: disordered, misrouted, foreign }) => ({ lost, repeated, disordered, misrouted, foreign });
const fine = { lost: 0, repeated: 0, disordered: 0, misrouted: 0, foreign: 0 };

// What one subscriber each has to suffer, of 100 messages. A list is what it gets instead of message n.
const HARM = [
  { 10: 0, 11: 0, 99: 0 }, // loses three, one of them the last
  { 20: 2, 69: [69, 30] }, // gets two of them twice, one much later
  { 50: [], 51: [51, 50], 60: [], 65: [65, 60] }, // gets two too late, by one and by five
  { 0: [1, 0], 1: [] }, // the first two are swapped
  {},
];
// What a subscriber can not get before it is there is published in its place: the swap of the first two needs the second.
const plan = (n, i) => HARM[i][n] ?? 1;

for (const transport of Object.keys(PATHS)) {
  claim(`${transport}: what a server loses, repeats and swaps is reported, and nothing else`, { ms: 30000 }, async (t) => {
    const safe = (n, i) => (i === 3 ? { 0: [], 1: [1, 0] }[n] ?? 1 : plan(n, i));
    const r = await tampered(t, transport, { plan: safe }, ['--subscribers', '5', '--messages', '100', '--window', '8', '--until', 'acknowledged']);
    assert.deepEqual(verdict(r), { lost: 3, repeated: 2, disordered: 3, misrouted: 0, foreign: 0 });
    assert.equal(r.deliveries, 5 * 100 - 3);
    assert.equal(r.published, 100);
    assert.equal(r.code, 1);
  });

  claim(`${transport}: payloads in pieces are whole payloads`, async (t) => {
    const r = await tampered(t, transport, { cut: true }, ['--subscribers', '3', '--messages', '50', '--bytes', '300']);
    assert.deepEqual(verdict(r), fine);
    assert.equal(r.deliveries, 150);
    assert.equal(r.latency_ms.n, 150);
    assert.equal(r.last_ms.n, 50);
    assert.equal(r.receipt_ms.n, 50);
    assert.equal(r.code, 0);
  });
}

claim('payloads of other runs, and of channels that are not subscribed, are told apart', async (t) => {
  const server = await new Tamper({
    plan: (n, i) => (n === 5 && i === 0 ? [5, Buffer.from('"~AAAAAAAAAAAZZZZ and ~~ text ~"')] : n % 2 === i ? 1 : n === 7 ? [7] : 0),
  }).listen(t);
  // Two channels in turn; subscriber i has channel i. Message 5 is of channel 1 and goes to subscriber 0, message 7 too.
  const r = await run(server.address, ['--subscribers', '2', '--channels', '2', '--messages', '20', ...PATHS.ws]);
  assert.deepEqual(verdict(r), { ...fine, misrouted: 2, foreign: 1 });
  assert.equal(r.code, 1);
});

claim('a refused publish is reported, and lost to each subscriber', async (t) => {
  const r = await tampered(t, 'ws', { refuse: (n) => n === 30 }, ['--subscribers', '4', '--messages', '60']);
  assert.equal(r.refused, 1);
  assert.equal(r.lost, 4);
  assert.match(r.stderr, /refused: HTTP\/1.1 503/);
  assert.equal(r.code, 1);
});

claim('a subscriber whose connection ends is reported, and what it misses is lost', async (t) => {
  const server = new Tamper({ plan: (n, i) => {
    if (n === 10 && i === 1) server.subscribers.get(1).socket.destroy();
    return n >= 10 && i === 1 ? 0 : 1;
  } });
  await server.listen(t);
  const r = await run(server.address, ['--subscribers', '3', '--messages', '40', ...PATHS.ws]);
  assert.equal(r.closed, 1);
  assert.equal(r.lost, 30);
  assert.equal(r.code, 1);
});

claim('a refused subscription ends the run with code 2', async (t) => {
  const server = await new Tamper().listen(t);
  const r = await runToEnd(['--server', server.address, '--transport', 'ws', '--subscribe-path', '/nothing', '--subscribers', '1', '--ready', 'never',
    '--limit', '1'], { bin: load });
  assert.equal(r.code, 2);
  assert.match(r.stderr, /0 of 1 subscribers are ready/);
});

claim('a run that --limit ends is not a good one', async (t) => {
  const server = await new Tamper().listen(t);
  const r = await run(server.address, ['--subscribers', '1', '--messages', '100', '--rate', '10', '--limit', `${2 * scale}`, ...PATHS.ws]);
  assert.equal(r.late, 1);
  assert.ok(r.published > 0 && r.published < 100);
  assert.equal(r.lost, 0);
  assert.equal(r.code, 1);
});

claim('payloads may be as small as their head, and larger than the length of a short frame can tell', async (t) => {
  const address = await startFloor(t);
  for (const args of [['--bytes', '16', '--payload', 'text'], ['--bytes', '18'], ['--bytes', '70000']]) {
    const r = await run(address, [...args, '--subscribers', '3', '--messages', '30', '--channel', `b${args[1]}`]);
    assert.deepEqual(verdict(r), fine, args.join(' '));
    assert.equal(r.deliveries, 90);
  }
});

claim('open loop: time counts from when a message was due, so a pause of the server is in the figures of all who waited', async (t) => {
  const r = await tampered(t, 'ws', { delay: (n) => (n === 10 ? 300 : 0) },
    ['--subscribers', '1', '--messages', '60', '--rate', '200', '--depth', '1']);
  assert.deepEqual(verdict(r), fine);
  assert.ok(r.latency_ms.max >= 290, `largest ${r.latency_ms.max}`);
  assert.ok(r.latency_ms.p50 >= 50, `p50 ${r.latency_ms.p50}: all but the first ten were due during the pause`);
});

claim('closed loop: only what is in flight waits', async (t) => {
  const r = await tampered(t, 'ws', { delay: (n) => (n === 10 ? 300 : 0) }, ['--subscribers', '1', '--messages', '60']);
  assert.deepEqual(verdict(r), fine);
  assert.ok(r.latency_ms.max >= 290, `largest ${r.latency_ms.max}`);
  assert.ok(r.latency_ms.p50 < 290, `p50 ${r.latency_ms.p50}`);
});

for (const transport of Object.keys(PATHS)) {
  claim(`${transport}: the broker loses, repeats and swaps nothing`, { ms: 60000 }, async (t) => {
    const d = await t.daemon();
    const address = `127.0.0.1:${d.port}`;
    const common = ['--transport', transport, '--poll-ms', '20', '--pid', `${d.pid}`];
    const few = await run(address, [...common, '--channel', 'few', '--subscribers', '40', '--messages', '200', '--window', '16', '--publishers', '4',
      '--counter', 'holdfast_socket_writes_total']);
    assert.deepEqual(verdict(few), fine, few.stderr);
    assert.equal(few.deliveries, 8000);
    assert.ok(few.measure.cpu_s > 0 && few.measure.holdfast_socket_writes_total > 0);
    const many = await run(address, [...common, '--channel', 'many', '--subscribers', '30', '--channels', '60', '--channels-each', '4',
      '--messages', '300', '--rate', '600', '--publish', 'ws']);
    assert.deepEqual(verdict(many), fine, many.stderr);
    assert.equal(many.deliveries, 600);
    const behind = await run(address, [...common, '--channel', 'behind', '--backlog', '700', '--window', '50', '--subscribers', '5', '--messages', '10']);
    assert.deepEqual(verdict(behind), fine, behind.stderr);
    assert.equal(behind.deliveries, 5 * 710);
    assert.equal(behind.served_ms.n, 5);
    for (const r of [few, many, behind]) assert.equal(r.code, 0);
  });
}

async function startFloor(t, ...args) {
  const folder = makeFolder();
  const file = path.join(folder, 'port');
  const child = spawn(floor, ['--port-file', file, ...args], { stdio: 'inherit' });
  t.cleanup(() => {
    child.kill('SIGKILL');
    fs.rmSync(folder, { recursive: true, force: true });
  });
  await until(() => fs.existsSync(file), 5000, 'floor listens');
  return fs.readFileSync(file, 'utf8').trim();
}

for (const args of [[], ['--merge']]) {
  claim(`floor ${args} loses, repeats and swaps nothing`, { ms: 60000 }, async (t) => {
    const address = await startFloor(t, ...args);
    for (const transport of Object.keys(PATHS)) {
      const r = await run(address, ['--transport', transport, '--channel', transport, '--poll-ms', '20', '--subscribers', '40', '--messages', '100',
        '--window', '8', '--publishers', '2']);
      assert.deepEqual(verdict(r), fine, transport);
      assert.equal(r.deliveries, 4000, transport);
      assert.equal(r.code, 0);
    }
  });
}

claim('SIGTERM ends publishing, and the figures follow; SIGUSR1 begins to measure anew', async (t) => {
  const address = await startFloor(t);
  const child = spawn(load, ['--server', address, '--subscribers', '3', '--seconds', '60', '--rate', '500', '--json', '--phases'],
    { stdio: ['ignore', 'pipe', 'pipe'] });
  t.cleanup(() => child.kill('SIGKILL'));
  let out = '', phases = '';
  child.stdout.on('data', (b) => { out += b; });
  child.stderr.on('data', (b) => { phases += b; });
  const published = () => fetch(`http://${address}/metrics`).then((r) => r.text()).then((s) => Number(s.split(' ')[1]));
  await until(() => phases.includes('load: measuring'), 5000, 'it measures');
  await until(async () => await published() > 1000, 10000, 'a thousand writes');
  child.kill('SIGUSR1');
  const before = await published();
  await until(async () => await published() > before + 400, 10000, 'more of them');
  child.kill('SIGTERM');
  await until(() => child.exitCode !== null, 10000, 'it ends');
  assert.equal(child.exitCode, 0, out);
  const r = JSON.parse(out);
  assert.deepEqual(verdict(r), fine);
  assert.ok(r.measured.messages < r.published - 100, `${r.measured.messages} of ${r.published} measured`);
  assert.ok(r.measured.messages >= 50);
});

claim('options that make no sense are refused', async () => {
  for (const args of [['--subscribers', 'x'], ['--transport', 'pigeon'], ['--subscribe-path', '/%z'], ['--bytes', '17'], ['--until', 'noon']]) {
    const r = await runToEnd(['--server', '127.0.0.1:1', ...args], { bin: load });
    assert.equal(r.code, 2, args.join(' '));
    assert.ok(r.stderr.startsWith('load: --'), r.stderr);
  }
});
