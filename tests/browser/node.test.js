// SPDX-License-Identifier: MIT
// The client in Node, behind the same boxes: there is no browser that mends or hides anything, and fetch and WebSocket are others.

import { describe } from 'node:test';
import { claim } from '../wire/lib/claim.js';
import { runCase, AT_ONCE, NEXT, AFTER_3S, SHORT_POLLS, WS, SSE, LONG, SHORT, direct, made } from './case.js';
import { openNode, table } from './harness.js';
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
  { name: 'no box, SSE', open: direct, only: SSE, ends: SSE, ...AT_ONCE },
  { name: 'no box, long polling', open: direct, only: LONG, ends: LONG, ...AT_ONCE },
  { name: 'no box, short polling', open: direct, only: SHORT, ends: SHORT, ...SHORT_POLLS },
  { name: 'refuses Upgrade', open: made(NoUpgrade), ends: SSE, ...NEXT },
  { name: 'accepts Upgrade, passes nothing', open: made(SilentUpgrade), ends: SSE, ...AFTER_3S },
  { name: 'never answers Upgrade', open: made(StuckUpgrade), ends: SSE, ...AFTER_3S },
  { name: 'keeps answers until complete', open: made(Hoarder), ends: LONG, ...AFTER_3S },
  { name: 'that, and no patience', open: made(Hasty), ends: SHORT, ...SHORT_POLLS, cuts: 4, quiet: true },
  { name: 'cuts everything after 2 s', open: made(Cutter), ends: [...WS, ...SSE, ...LONG, ...SHORT], ...AT_ONCE, cuts: 3 },
  { name: 'nginx, defaults', open: nginx.defaults, ends: SSE, ...NEXT },
  { name: 'nginx, configured', open: nginx.ours, ends: WS, ...AT_ONCE },
  { name: 'HAProxy, configured', open: haproxy.ours, ends: WS, ...AT_ONCE },
  { name: 'Caddy, configured', open: caddy.ours, ends: WS, ...AT_ONCE },
];

describe('boxes', { concurrency: 4 }, () => {
  for (const c of CASES) claim(`${c.name}, in Node: every message once and in order`, { ms: 60000 }, (t) => runCase(t, c, openNode));
});

claim('what was measured in Node, in milliseconds', async (t) => table(t.test));
