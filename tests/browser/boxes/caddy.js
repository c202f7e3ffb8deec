// SPDX-License-Identifier: MIT
// Caddy: one line as in its manual, with compression, and as packaging/proxies/Caddyfile has it.

import fs from 'node:fs';
import path from 'node:path';
import { Program, shipped, swap } from './program.js';

// Without its admin endpoint (a fixed port) and without asking anybody for certificates.
const GLOBAL = '{\n\tadmin off\n\tauto_https disable_redirects\n\tskip_install_trust\n}\n';

function command(dir, text) {
  fs.writeFileSync(path.join(dir, 'Caddyfile'), GLOBAL + text);
  return ['run', '--adapter', 'caddyfile', '--config', path.join(dir, 'Caddyfile')];
}

const open = (text, how) => (upstream) => Program.open('caddy', upstream, ({ port, dir }) => command(dir, text(port, upstream)), how);
const ours = (address) => (port, upstream) => swap(shipped('Caddyfile'), {
  'push.example.com {': `${address(port)} {`, '127.0.0.1:8080': `127.0.0.1:${upstream}`,
});
const plain = (port) => `http://127.0.0.1:${port}`;

export const caddy = {
  defaults: open((port, upstream) => `${plain(port)} {\n\treverse_proxy 127.0.0.1:${upstream}\n}\n`),
  gzip: open((port, upstream) => `${plain(port)} {\n\tencode gzip\n\treverse_proxy 127.0.0.1:${upstream}\n}\n`),
  ours: open(ours(plain)),
  tls: open((port, upstream) => `${ours((p) => `https://127.0.0.1:${p}`)(port, upstream).replace(/\{/, '{\n\ttls internal')}`, { tls: true }),
};
