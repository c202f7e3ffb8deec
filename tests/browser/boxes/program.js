// SPDX-License-Identifier: MIT
// A real proxy as a middle box: Debian's program, run as whoever runs the tests, with a configuration made for one test, in a folder
// of its own, on a port that was free a moment ago. The system's services and their files are not touched.
//
// The files of packaging/proxies are used as they are but for the addresses: `configure` gets their text, and `swap` insists
// that what it replaces is there.

import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import tls from 'node:tls';
import { makeFolder, root } from '../../wire/lib/daemon.js';
import { until } from '../../wire/lib/wait.js';

const FOLDERS = [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/usr/local/sbin'];
const running = new Set();
process.on('exit', () => {
  for (const p of running) p.end();
});

export const shipped = (name) => fs.readFileSync(path.join(root, 'packaging/proxies', name), 'utf8');

export function swap(text, pairs) {
  for (const [from, to] of Object.entries(pairs)) {
    if (!text.includes(from)) throw new Error(`there is no ${from} in the configuration`);
    text = text.replaceAll(from, to);
  }
  return text;
}

export function program(name) {
  const found = FOLDERS.map((f) => path.join(f, name)).find((f) => fs.existsSync(f));
  if (!found) throw new Error(`${name} is not installed (./dev test installs it)`);
  return found;
}

export function freePort() {
  return new Promise((resolve, reject) => {
    const server = net.createServer();
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

// A key and a certificate of its own for 127.0.0.1, in one file and in two.
export function certificate(dir) {
  const [key, crt, pem] = ['key', 'crt', 'pem'].map((x) => path.join(dir, `tls.${x}`));
  const made = spawnSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2',
    '-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', crt]);
  if (made.status !== 0) throw new Error(`openssl: ${made.stderr}`);
  fs.writeFileSync(pem, fs.readFileSync(crt, 'utf8') + fs.readFileSync(key, 'utf8'));
  return { key, crt, pem };
}

export class Program {
  counts = {};
  said = '';

  // configure({port, upstream, dir}) writes what is needed and gives the command line; a port that somebody else took meanwhile
  // is no reason to give up.
  static async open(name, upstream, configure, { tls: secure = false } = {}) {
    for (let attempt = 1; ; attempt++) {
      const p = new Program();
      Object.assign(p, { name, tls: secure, dir: makeFolder(), port: await freePort() });
      try {
        await p.launch(configure({ port: p.port, upstream, dir: p.dir }));
        return p;
      } catch (err) {
        p.close();
        if (attempt === 3) throw err;
      }
    }
  }

  async launch(args) {
    this.child = spawn(program(this.name), args, {
      cwd: this.dir, stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: process.env.PATH, HOME: this.dir, XDG_DATA_HOME: this.dir, XDG_CONFIG_HOME: this.dir },
    });
    running.add(this);
    const keep = (b) => { this.said = (this.said + b).slice(-16384); };
    this.child.stdout.on('data', keep);
    this.child.stderr.on('data', keep);
    this.child.on('error', (err) => { keep(err.message); this.over = true; });
    this.child.on('exit', () => { this.over = true; });
    await until(() => {
      if (this.over) throw new Error(`${this.name} ended at once: ${this.said}`);
      return this.answers();
    }, 10000, () => `${this.name} on port ${this.port} (it said: ${this.said})`);
  }

  answers() {
    return new Promise((resolve) => {
      const at = { port: this.port, host: '127.0.0.1', rejectUnauthorized: false };
      const s = this.tls ? tls.connect(at) : net.connect(at);
      s.on(this.tls ? 'secureConnect' : 'connect', () => { s.destroy(); resolve(true); });
      s.on('error', () => resolve(false));
    });
  }

  end() {
    running.delete(this);
    if (!this.over) this.child?.kill('SIGKILL');
  }

  close() {
    this.end();
    if (!process.env.HOLDFAST_TEST_KEEP) fs.rmSync(this.dir, { recursive: true, force: true });
  }
}
