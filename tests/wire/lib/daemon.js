// SPDX-License-Identifier: MIT
// One holdfastd in its own folder, on a port that the kernel chose.

import { spawn } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import zlib from 'node:zlib';
import { fileURLToPath } from 'node:url';
import { deadline, until } from './wait.js';

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../..');
export const holdfastd = path.resolve(root, process.env.HOLDFASTD || 'build/daemon/holdfastd');
export const holdfast = path.resolve(root, process.env.HOLDFAST || 'build/cli/holdfast');

const alive = new Set();
const made = new Set(); // whose folders may still be there
process.on('exit', () => {
  for (const d of alive) {
    try { d.child.kill('SIGKILL'); } catch {}
  }
  for (const d of made) d.removeFolder();
});
for (const sig of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(sig, () => process.exit(1));

const SANITIZER = /ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error:|Assertion .* failed/;

// The variables of the tests themselves are none of the daemon's: it refuses those that it does not know.
const clean = (more) => ({ ...Object.fromEntries(Object.entries(process.env).filter(([k]) => !k.startsWith('HOLDFAST_'))), ...more });

export function flags(options) {
  return Object.entries(options).map(([name, value]) => `--${name.replace(/[._]/g, '-')}=${value}`);
}

// {'namespace': {history_count: 5}, 'namespace vip': {publish: 'admin'}} as a config file.
export function configText(sections) {
  let text = '';
  for (const [section, members] of Object.entries(sections)) {
    text += `[${section}]\n`;
    for (const [name, value] of Object.entries(members)) text += `${name} = ${value}\n`;
    text += '\n';
  }
  return text;
}

export function makeFolder() {
  return fs.mkdtempSync(path.join(os.tmpdir(), `hf-${process.pid}-`));
}

// Run the daemon with these arguments to its end (for what refuses to start): {code, signal, stdout, stderr}.
export function runToEnd(args, { ms = 10000, bin = holdfastd, input, env } = {}) {
  const child = spawn(bin, args, { stdio: ['pipe', 'pipe', 'pipe'], env: clean(env) });
  const out = [], err = [];
  child.stdout.on('data', (b) => out.push(b));
  child.stderr.on('data', (b) => err.push(b));
  child.stdin.on('error', () => {});
  if (input !== null) child.stdin.end(input ?? '');
  const done = new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({
      code, signal, stdoutBytes: Buffer.concat(out), stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString(),
    }));
  });
  const result = deadline(done, ms, `${path.basename(bin)} ${args.join(' ')} (stderr so far: ${Buffer.concat(err)})`)
    .catch((e) => { child.kill('SIGKILL'); e.message += `\nstderr: ${Buffer.concat(err)}`; throw e; });
  result.child = child;
  return result;
}

export class Daemon {
  // options: {'section.name': value}; config: sections for a config file; nofile/fsize: resource limits; dir: a folder to use.
  constructor({ options = {}, config = null, nofile = 0, fsize = 0, dir = null, env = {} } = {}) {
    this.options = options;
    this.config = config;
    this.nofile = nofile;
    this.fsize = fsize;
    this.env = env;
    this.ownsFolder = !dir;
    this.dir = dir || makeFolder();
    made.add(this);
    this.dataDir = options['server.data_dir'] || path.join(this.dir, 'data');
    this.stderr = '';
    this.port = 0;
    this.expectExit = false;
    this.running = false;
    this.agent = new http.Agent({ keepAlive: true, maxSockets: 16 });
  }

  static async start(how) {
    const d = new Daemon(how);
    await d.launch();
    return d;
  }

  get host() { return '127.0.0.1'; }
  get pid() { return this.child.pid; }
  get base() { return `http://127.0.0.1:${this.port}`; }
  get crashed() { return !this.expectExit && this.child !== undefined && !this.alive; }

  // Asks the kernel: the event of its end may still be on its way to us.
  get alive() {
    if (!this.running) return false;
    try {
      const text = fs.readFileSync(`/proc/${this.pid}/stat`, 'utf8');
      return text[text.lastIndexOf(')') + 2] !== 'Z';
    } catch {
      return false;
    }
  }

  args() {
    const portFile = path.join(this.dir, 'port');
    const options = {
      'server.listen': `127.0.0.1:${this.port}`,
      'server.admin_socket': path.join(this.dir, 'admin.sock'),
      'server.data_dir': this.dataDir,
      'server.port_file': portFile,
      ...this.options,
    };
    const args = [];
    if (this.config) {
      const file = path.join(this.dir, 'holdfast.conf');
      fs.writeFileSync(file, configText(this.config));
      args.push('-c', file);
    }
    return args.concat(flags(options));
  }

  async launch() {
    const portFile = this.options['server.port_file'] || path.join(this.dir, 'port');
    fs.rmSync(portFile, { force: true });
    fs.mkdirSync(this.dataDir, { recursive: true });
    let bin = holdfastd, args = this.args();
    const limits = [];
    if (this.nofile) limits.push(`--nofile=${this.nofile}`);
    if (this.fsize) limits.push(`--fsize=${this.fsize}:unlimited`);
    if (limits.length) [bin, args] = ['prlimit', [...limits, bin, ...args]];
    const child = spawn(bin, args, { stdio: ['ignore', 'pipe', 'pipe'], env: clean(this.env) });
    this.child = child;
    this.exit = undefined;
    this.expectExit = false;
    this.running = true;
    alive.add(this);
    const keep = (b) => { this.stderr = (this.stderr + b).slice(-65536); };
    child.stderr.on('data', keep);
    child.stdout.on('data', keep);
    this.exited = new Promise((resolve) => {
      const done = (code, signal) => {
        this.running = false;
        alive.delete(this);
        resolve(this.exit = { code, signal });
      };
      child.on('error', (err) => { keep(`${err.message}\n`); done(-1, null); });
      child.on('close', done);
    });
    await until(() => {
      if (!this.running) throw new Error(`the daemon ended at once: ${JSON.stringify(this.exit)}\n${this.stderr}`);
      let text;
      try { text = fs.readFileSync(portFile, 'utf8'); } catch { return false; }
      if (!text.endsWith('\n')) return false;
      const lines = text.trim().split('\n');
      const tcp = lines.find((l) => /^127\.0\.0\.1:\d+$/.test(l));
      const unix = lines.find((l) => l === `unix:${this.options['server.admin_socket'] || path.join(this.dir, 'admin.sock')}`);
      if (!tcp || !unix) return false;
      this.port = Number(tcp.split(':').pop());
      this.adminSocket = unix.slice(5);
      return true;
    }, 10000, () => `the port file of the daemon (stderr: ${this.stderr})`);
    // Not held by a forgotten daemon: the process of the tests may end.
    child.unref();
    child.stdout.unref();
    child.stderr.unref();
    return this;
  }

  signal(name) { this.child.kill(name); }

  async awaitExit(ms = 10000) {
    this.child.ref();
    this.expectExit = true;
    return deadline(this.exited, ms, `the end of the daemon (stderr: ${this.stderr.slice(-2000)})`);
  }

  // SIGTERM; gives the exit code.
  async stop(ms = 10000) {
    this.agent.destroy();
    if (!this.running) return this.exit?.code;
    this.expectExit = true;
    this.signal('SIGTERM');
    let end;
    try { end = await this.awaitExit(ms); } catch (err) {
      this.signal('SIGKILL');
      throw err;
    }
    this.checkSanitizer();
    return end.code ?? `signal ${end.signal}`;
  }

  checkSanitizer() {
    if (SANITIZER.test(this.stderr)) throw new Error(`the daemon's stderr holds a report:\n${this.stderr}`);
  }

  async kill9() {
    this.agent.destroy();
    this.agent = new http.Agent({ keepAlive: true, maxSockets: 16 });
    if (!this.running) return;
    this.expectExit = true;
    this.signal('SIGKILL');
    await this.awaitExit();
  }

  // The same folder, the same port.
  async restart({ kill = false } = {}) {
    if (kill) await this.kill9();
    else if (this.running) {
      const code = await this.stop();
      if (code !== 0) throw new Error(`the daemon ended with ${code}\n${this.stderr}`);
    }
    this.agent = new http.Agent({ keepAlive: true, maxSockets: 16 });
    return this.launch();
  }

  async dispose() {
    this.agent.destroy();
    if (this.running) await this.kill9();
    this.removeFolder();
  }

  removeFolder() {
    made.delete(this);
    if (this.ownsFolder && !process.env.HOLDFAST_TEST_KEEP) fs.rmSync(this.dir, { recursive: true, force: true });
  }

  // --- /proc ---
  status(field) {
    const text = fs.readFileSync(`/proc/${this.pid}/status`, 'utf8');
    return Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(text)[1]);
  }

  // Under a sanitizer shadow memory and quarantine say nothing of the daemon.
  rss() { return process.env.HOLDFAST_TEST_SANITIZER ? 0 : this.status('VmRSS') * 1024; }
  fds() { return fs.readdirSync(`/proc/${this.pid}/fd`).length; }

  // Processor time used so far, in milliseconds.
  cpu() {
    const text = fs.readFileSync(`/proc/${this.pid}/stat`, 'utf8');
    const f = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return (Number(f[11]) + Number(f[12])) * 10;
  }

  // --- HTTP with keep-alive, for everything that is not about HTTP itself ---
  request(method, target, { headers = {}, body, admin = false, ms = 10000, agent } = {}) {
    const done = new Promise((resolve, reject) => {
      const req = http.request({
        ...(admin ? { socketPath: this.adminSocket } : { host: this.host, port: this.port }),
        method, path: target, headers: { ...(body !== undefined && { 'content-length': Buffer.byteLength(body) }), ...headers },
        agent: agent ?? (admin ? false : this.agent),
      }, (res) => {
        const parts = [];
        res.on('data', (b) => parts.push(b));
        res.on('error', reject);
        res.on('end', () => resolve(new Answer(res, Buffer.concat(parts))));
      });
      req.on('error', reject);
      req.end(body);
    });
    return deadline(done, ms, `the answer to ${method} ${target}`);
  }

  get(target, how) { return this.request('GET', target, how); }
  post(target, body = '', how = {}) { return this.request('POST', target, { ...how, body }); }
  admin(target, method = 'GET', how = {}) { return this.request(method, target, { ...how, admin: true }); }

  // Publish, insist on 200, give the receipt.
  async publish(channel, payload, { type = 'text/plain', query = '', ...how } = {}) {
    const headers = type === null ? {} : { 'content-type': type };
    const a = await this.post(`/v1/publish?channel=${encodeURIComponent(channel)}${query}`, payload, { headers, ...how });
    if (a.status !== 200) throw new Error(`publish to ${channel}: ${a.status} ${a.text}`);
    return a.json;
  }

  async cursor(channel = 'x') {
    return (await this.get(`/v1/poll?channel=${encodeURIComponent(channel)}`)).json.cursor;
  }

  // name{labels} → number
  async metrics() {
    const a = await this.get('/metrics');
    const map = new Map();
    for (const line of a.text.split('\n')) {
      if (!line || line.startsWith('#')) continue;
      const at = line.lastIndexOf(' ');
      map.set(line.slice(0, at), Number(line.slice(at + 1)));
    }
    return map;
  }

  async metric(name) { return (await this.metrics()).get(name); }

  untilMetric(name, pred, ms = 5000) {
    let last;
    return until(async () => pred(last = await this.metric(name)), ms, () => `metric ${name} (now ${last})`);
  }
}

class Answer {
  constructor(res, body) {
    this.status = res.statusCode;
    this.headers = res.headers;
    this.sent = body; // as it came
    this.body = res.headers['content-encoding'] === 'gzip' && body.length ? zlib.gunzipSync(body) : body;
    this.text = this.body.toString();
  }

  get json() {
    try { return JSON.parse(this.text); } catch (err) {
      throw new Error(`not JSON (${err.message}), status ${this.status}: ${this.text.slice(0, 300)}`);
    }
  }
}
