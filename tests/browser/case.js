// SPDX-License-Identifier: MIT
// One case: a client behind one middle box. 20 messages are there when it comes; more come while it finds its transport; then a
// burst; then single ones, which tell how long a message takes.
//
// `ends`: the transports on which it may end. `trusted` bounds the milliseconds until it trusts a first transport; no message may be
// later than that. `single` bounds the median of single messages. `only`: transports that the client is limited to. `cuts`:
// the box cuts for ever, so this goes on until it has cut so often; with `quiet` nothing is sent meanwhile. The bounds leave
// room for a machine that has much else to do.

import { assert } from '../wire/lib/claim.js';
import { until } from '../wire/lib/wait.js';
import { Publisher, catchUp, latency, row, within, worst } from './harness.js';

export const WS = ['websocket'], SSE = ['sse'], LONG = ['longpoll'], SHORT = ['shortpoll'];
export const AT_ONCE = { trusted: 5000, single: 1500 };
export const NEXT = { trusted: 6000, single: 1500 }; // refused at once, the next one is tried
export const AFTER_3S = { trusted: 9000, single: 1500 }; // one transport is given its three seconds
export const SHORT_POLLS = { trusted: 9000, single: 6000 };
const FIRST_MS = 4000; // what is stored already needs no transport that is trusted

export const made = (kind) => (port) => kind.open(port);
export const direct = async (port) => ({ port, counts: {}, close() {} });

const CHANNELS = ['a', 'b', 'news:c'];

// open(t, box, how): a View.
export async function runCase(t, c, open) {
  const d = await t.daemon();
  const box = t.keep(await c.open(d.port));
  const pub = new Publisher(d, CHANNELS);
  await pub.burst(20);
  const view = await open(t, box, { channels: CHANNELS, ...(c.only && { options: { transports: c.only } }) });
  pub.run(40);
  t.cleanup(() => pub.stop());
  await view.count(1, FIRST_MS * 3, 'to begin with');
  await view.until(() => view.trusted, c.trusted * 3, 'a transport that is trusted');
  if (c.quiet) await pub.stop();
  if (c.cuts) await until(() => box.counts.cuts >= c.cuts, 30000, `${c.cuts} cuts`);
  await pub.stop();
  await view.until(() => c.ends.includes(view.trusted.transport), 15000, `one of ${c.ends} to be trusted`);
  await pub.burst(100);
  await catchUp(view, pub, 15000);
  const each = await latency(view, pub, c.single > 2000 ? 3 : 10, 15000);
  await catchUp(view, pub, 1000);

  const [first, trusted, late] = [view.messages[0].at, view.of('transport')[0].at, worst(view, pub, 20)];
  row({
    box: c.name, 'first message': Math.round(first), trusted: `${view.of('transport')[0].transport} ${Math.round(trusted)}`,
    'ends on': `${view.trusted.transport} ${Math.round(view.trusted.at)}`, 'one message': each.median.toFixed(1), 'latest message': Math.round(late),
    messages: pub.sent.length, cuts: box.counts.cuts ?? '',
  });
  assert.ok(c.ends.includes(view.trusted.transport), `it ended on ${view.trusted.transport}\n${view.story()}`);
  within(first, FIRST_MS, 'the first message');
  within(trusted, c.trusted, 'the trusted transport');
  within(late, c.trusted + c.single, 'the latest message');
  within(each.median, c.single, 'a message');
}
