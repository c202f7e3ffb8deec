// SPDX-License-Identifier: MIT
// The command line and durable subscribers: acks, ack, sub --subscriber [--ack].

import { claim, assert, shared, fresh } from './lib/claim.js';
import { holdfast, runToEnd } from './lib/daemon.js';

const daemon = shared();
const run = (args, how) => runToEnd(args, { bin: holdfast, ...how });
const url = (d, ...args) => run(['--url', d.base, ...args]);
const sock = (d, ...args) => run(['--socket', d.adminSocket, ...args]);
const rows = (r) => r.stdout.trim().split('\n').map((l) => l.trim().split(/\s+/).slice(0, 4));

claim('ack prints the kept position, which never goes back', async (t) => {
  const d = await daemon(t);
  const [c, s] = [fresh(), fresh('sub')];
  const ids = [];
  for (let i = 0; i < 3; i++) ids.push((await d.publish(c, `${i}`)).id);
  assert.equal((await url(d, 'ack', s, c, ids[1])).stdout, `${ids[1]}\n`);
  assert.equal((await sock(d, 'ack', s, c, ids[0])).stdout, `${ids[1]}\n`);
  assert.deepEqual(JSON.parse((await url(d, 'ack', s, c, ids[2], '--json')).stdout), { subscriber: s, channel: c, id: ids[2] });
  const no = await url(d, 'ack', s, c, 'nonsense');
  assert.equal(no.code, 1);
  assert.match(no.stderr, /bad_parameter/);
  assert.equal((await url(d, 'ack', s, c)).code, 2);
});

claim('acks lists by channel, by subscriber and, on the socket, all', async (t) => {
  const d = await daemon(t);
  const [a, b, s] = [fresh(), fresh(), fresh('sub')];
  const { id } = await d.publish(a, 'x');
  await d.publish(a, 'y');
  await url(d, 'ack', s, a, id);
  await url(d, 'ack', s, b, id);
  assert.deepEqual(rows(await url(d, 'acks', '--channel', a)), [['SUBSCRIBER', 'CHANNEL', 'ACKNOWLEDGED', 'LAG'], [s, a, id, '1']]);
  assert.deepEqual(rows(await url(d, 'acks', '--subscriber', s)).slice(1), [[s, a, id, '1'], [s, b, id, '0']]);
  assert.ok(rows(await sock(d, 'acks')).some((r) => r[0] === s && r[1] === b));
  const json = (await sock(d, 'acks', '--subscriber', s, '--json')).stdout.trim().split('\n').map((l) => JSON.parse(l));
  assert.deepEqual(json.map((r) => [r.subscriber, r.channel, r.lag]), [[s, a, 1], [s, b, 0]]);
  assert.equal((await url(d, 'acks')).code, 1);
  assert.equal((await url(d, 'acks', '--channel', a, '--subscriber', s)).code, 2);
});

claim('sub --subscriber --ack goes on where it ended, on every transport, and without --ack it gets the same again', async (t) => {
  const d = await daemon(t);
  const [c, s] = [fresh(), fresh('sub')];
  const first = await d.publish(c, '0');
  await url(d, 'ack', s, c, first.id);
  let n = 0;
  for (const transport of ['ws', 'sse', 'long-poll', 'poll']) {
    const want = [`${++n}`, `${++n}`];
    for (const text of want) await d.publish(c, text);
    const sub = (...more) => url(d, 'sub', c, '--subscriber', s, '--transport', transport, '--raw', '--count', '2', '--timeout', '10', ...more);
    for (const more of [[], ['--ack']]) {
      const r = await sub(...more);
      assert.equal(r.code, 0, `${transport} ${r.stderr}`);
      assert.deepEqual(r.stdout.trim().split('\n'), want, `${transport} ${more}`);
    }
  }
  assert.equal((await d.get(`/v1/acks?channel=${c}`)).json.acks[0].lag, 0);
});

claim('sub --ack without a name is a usage error; a last acknowledgement that fails is told', async (t) => {
  const d = await t.daemon({ options: { 'store.ack_positions': 1 } });
  assert.equal((await url(d, 'sub', 'a', '--ack', '--count', '1')).code, 2);
  const { id } = await d.publish('a', 'x');
  await url(d, 'ack', 'other', 'a', id);
  const r = await url(d, 'sub', 'a', '--subscriber', 's', '--ack', '--since', '0', '--count', '1', '--timeout', '3', '--transport', 'sse');
  assert.notEqual(r.code, 0);
});

daemon.ends();
