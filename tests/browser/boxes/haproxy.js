// SPDX-License-Identifier: MIT
// HAProxy: with the timeouts of Debian's haproxy.cfg and nothing else, and as packaging/proxies/haproxy.cfg has it.

import fs from 'node:fs';
import path from 'node:path';
import { Program, certificate, shipped, swap } from './program.js';

// What of Debian's haproxy.cfg matters here.
const DEFAULTS = `
global
	maxconn 2000
defaults
	mode http
	timeout connect 5000
	timeout client 50000
	timeout server 50000
`;

const bare = (port, upstream) => `
frontend push
	bind 127.0.0.1:${port}
	default_backend holdfast
backend holdfast
	server broker 127.0.0.1:${upstream}
`;

function command(dir, text, defaults = DEFAULTS) {
  fs.writeFileSync(path.join(dir, 'defaults.cfg'), defaults);
  fs.writeFileSync(path.join(dir, 'push.cfg'), text);
  return ['-db', '-f', path.join(dir, 'defaults.cfg'), '-f', path.join(dir, 'push.cfg')];
}

const open = (text, { defaults, ...how } = {}) =>
  (upstream) => Program.open('haproxy', upstream, ({ port, dir }) => command(dir, text(port, upstream, dir), defaults), how);
const ours = (port, upstream) => swap(shipped('haproxy.cfg'), { 'bind :80': `bind 127.0.0.1:${port}`, '127.0.0.1:8080': `127.0.0.1:${upstream}` });

export const haproxy = {
  defaults: open(bare),
  // Shorter than the heartbeat: silent streams are cut.
  impatient: open(bare, { defaults: DEFAULTS.replace(/50000/g, '2000') }),
  ours: open(ours),
  tls: open((port, upstream, dir) => swap(ours(port, upstream), {
    [`bind 127.0.0.1:${port}`]: `bind 127.0.0.1:${port} ssl crt ${certificate(dir).pem} alpn h2,http/1.1`,
  }), { tls: true }),
};
