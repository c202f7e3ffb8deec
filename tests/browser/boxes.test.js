// SPDX-License-Identifier: MIT
// One test, many middle boxes. A page behind each one shows every message exactly once and in order; the table at the end states
// over which transport it ended, and how long it took to get there. All with the defaults of client and broker.
//
import { after, describe } from 'node:test';
import { claim } from '../wire/lib/claim.js';
import { runCase, AT_ONCE, NEXT, AFTER_3S, SHORT_POLLS, WS, SSE, LONG, SHORT, direct, made } from './case.js';
import { closeBrowser, openTab, table } from './harness.js';
import { Box } from './boxes/box.js';
import { NoUpgrade } from './boxes/no-upgrade.js';
import { SilentUpgrade } from './boxes/silent-upgrade.js';
import { StuckUpgrade } from './boxes/stuck-upgrade.js';
import { Hoarder } from './boxes/hoarder.js';
import { Hasty } from './boxes/hasty.js';
import { Cutter } from './boxes/cutter.js';
import { nginx } from './boxes/nginx.js';
import { haproxy } from './boxes/haproxy.js';
import { caddy } from './boxes/caddy.js';

const CASES = [
  { name: 'no box', open: direct, ends: WS, ...AT_ONCE },
  { name: 'passes everything', open: made(Box), ends: WS, ...AT_ONCE },
  { name: 'refuses Upgrade', open: made(NoUpgrade), ends: SSE, ...NEXT },
  { name: 'accepts Upgrade, passes nothing', open: made(SilentUpgrade), ends: SSE, ...AFTER_3S },
  { name: 'never answers Upgrade', open: made(StuckUpgrade), ends: SSE, ...AFTER_3S },
  { name: 'keeps answers until complete', open: made(Hoarder), ends: LONG, ...AFTER_3S },
  { name: 'that, and no patience', open: made(Hasty), ends: SHORT, ...SHORT_POLLS, cuts: 4, quiet: true },
  { name: 'cuts everything after 2 s', open: made(Cutter), ends: [...WS, ...SSE, ...LONG, ...SHORT], ...AT_ONCE, cuts: 3 },
  { name: 'nginx, defaults', open: nginx.defaults, ends: SSE, ...NEXT },
  { name: 'nginx, buffering forced', open: nginx.buffering, ends: LONG, ...AFTER_3S },
  { name: 'nginx, gzip of everything', open: nginx.gzip, ends: SSE, ...NEXT },
  { name: 'nginx, configured', open: nginx.ours, ends: WS, ...AT_ONCE },
  { name: 'nginx, configured, TLS and HTTP/2', open: nginx.tls, ends: WS, ...AT_ONCE },
  { name: 'HAProxy, defaults', open: haproxy.defaults, ends: WS, ...AT_ONCE },
  { name: 'HAProxy, configured', open: haproxy.ours, ends: WS, ...AT_ONCE },
  { name: 'HAProxy, configured, TLS and HTTP/2', open: haproxy.tls, ends: WS, ...AT_ONCE },
  { name: 'Caddy, one line', open: caddy.defaults, ends: WS, ...AT_ONCE },
  { name: 'Caddy, encode gzip', open: caddy.gzip, ends: WS, ...AT_ONCE },
  { name: 'Caddy, configured', open: caddy.ours, ends: WS, ...AT_ONCE },
  { name: 'Caddy, configured, TLS', open: caddy.tls, ends: WS, ...AT_ONCE },
  // The same programs for clients that can not have a WebSocket.
  ...[['nginx', nginx.ours], ['HAProxy', haproxy.ours], ['Caddy', caddy.ours], ['nginx, HTTP/2', nginx.tls]].flatMap(([name, open]) => [
    { name: `${name}, configured, SSE`, open, only: SSE, ends: SSE, ...AT_ONCE },
    { name: `${name}, configured, long polling`, open, only: LONG, ends: LONG, ...AT_ONCE },
  ]),
];

describe('boxes', { concurrency: 3 }, () => {
  for (const c of CASES) claim(`${c.name}: every message once and in order`, { ms: 60000 }, (t) => runCase(t, c, openTab));
});

describe('at the end', () => {
  claim('what was measured, in milliseconds', async (t) => table(t.test));
  after(closeBrowser);
});
