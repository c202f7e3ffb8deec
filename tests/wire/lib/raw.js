// SPDX-License-Identifier: MIT
// HTTP by hand: bytes in, strictly parsed answers out. Shares nothing with node's http module.

import net from 'node:net';
import { deadline } from './wait.js';

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

// A socket whose bytes can be waited for.
export class Bytes {
  constructor(socket) {
    this.socket = socket;
    this.parts = [];
    this.size = 0;
    this.ended = false;
    this.received = 0;
    this.waiters = [];
    socket.setNoDelay(true);
    socket.on('data', (b) => {
      this.received += b.length;
      this.parts.push(b);
      this.size += b.length;
      this.wake();
    });
    const gone = (err) => {
      if (err) this.error ??= err;
      this.ended = true;
      this.wake();
    };
    socket.on('end', () => gone());
    socket.on('error', gone);
    socket.on('close', () => { this.closed = true; gone(); });
  }

  // d: a Daemon, a {port} or a {path}.
  static async connect(d, { allowHalfOpen = true, admin = false } = {}) {
    const where = admin ? { path: d.adminSocket } : d.path ? { path: d.path } : { host: '127.0.0.1', port: d.port };
    const socket = net.connect({ ...where, allowHalfOpen });
    const bytes = new this(socket);
    await deadline(new Promise((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    }), 5000, 'connecting');
    return bytes;
  }

  // What was received and not taken yet.
  get buffer() {
    if (this.parts.length !== 1) this.parts = [Buffer.concat(this.parts)];
    return this.parts[0];
  }

  wake() {
    for (const w of this.waiters.splice(0)) w();
  }

  change() { return new Promise((resolve) => this.waiters.push(resolve)); }

  // Wait until pred() is not undefined; fail when the peer has gone before.
  async wait(pred, ms, what) {
    const run = async () => {
      for (;;) {
        const value = pred();
        if (value !== undefined) return value;
        if (this.ended) {
          throw new Error(`${what}: the connection ended${this.error ? ` (${this.error.code})` : ''} after ${this.received} bytes; left: ${JSON.stringify(this.buffer.toString('latin1').slice(0, 300))}`);
        }
        await this.change();
      }
    };
    return deadline(run(), ms, what).catch((err) => {
      if (!/connection ended/.test(err.message)) err.message += `; received: ${JSON.stringify(this.buffer.toString('latin1').slice(0, 300))}`;
      throw err;
    });
  }

  take(n) {
    const all = this.buffer;
    this.parts = [all.subarray(n)];
    this.size -= n;
    return all.subarray(0, n);
  }

  async read(n, ms = 5000, what = `${n} bytes`) {
    await this.wait(() => (this.size >= n ? true : undefined), ms, what);
    return this.take(n);
  }

  async readUntil(mark, ms = 5000, what = JSON.stringify(mark)) {
    const at = await this.wait(() => {
      const i = this.buffer.indexOf(mark);
      return i < 0 ? undefined : i;
    }, ms, what);
    return this.take(at + mark.length);
  }

  write(bytes) {
    return new Promise((resolve) => this.socket.write(bytes, () => resolve()));
  }

  // Half-close.
  finish() { this.socket.end(); }
  destroy() { this.socket.destroy(); }
  reset() { this.socket.resetAndDestroy ? this.socket.resetAndDestroy() : this.socket.destroy(); }

  // The peer ends the connection; gives what came before that.
  async rest(ms = 5000, what = 'the end of the connection') {
    await deadline((async () => { while (!this.ended) await this.change(); })(), ms, what).catch((err) => {
      err.message += `; received: ${JSON.stringify(this.buffer.toString('latin1').slice(0, 300))}`;
      throw err;
    });
    return this.take(this.size);
  }

  // The peer ends the connection and sends nothing more before it.
  async eof(ms = 5000, what) {
    const rest = await this.rest(ms, what);
    if (rest.length) throw new Error(`bytes where the end was due: ${JSON.stringify(rest.toString('latin1').slice(0, 500))}`);
  }
}

export class Response {
  get text() { return this.body.toString(); }
  get json() {
    try { return JSON.parse(this.text); } catch (err) { throw new Error(`not JSON: ${JSON.stringify(this.text.slice(0, 300))}`); }
  }
}

export function parseHead(text) {
  const lines = text.split('\r\n');
  const m = /^HTTP\/(1\.[01]) (\d{3}) ([\x20-\x7e]*)$/.exec(lines[0]);
  if (!m) throw new Error(`bad status line ${JSON.stringify(lines[0])}`);
  const res = new Response();
  res.version = m[1];
  res.status = Number(m[2]);
  res.reason = m[3];
  res.headers = {};
  res.body = Buffer.alloc(0);
  for (const line of lines.slice(1)) {
    const at = line.indexOf(':');
    const name = line.slice(0, at);
    const value = line.slice(at + 1);
    if (at < 1 || !TOKEN.test(name) || /[\r\n\0]/.test(value)) throw new Error(`bad header line ${JSON.stringify(line)}`);
    const key = name.toLowerCase();
    const clean = value.replace(/^[ \t]+|[ \t]+$/g, '');
    if (key in res.headers && (key === 'content-length' || key === 'transfer-encoding' || key === 'date' || key === 'content-type')) {
      throw new Error(`header ${name} twice`);
    }
    res.headers[key] = key in res.headers ? `${res.headers[key]}, ${clean}` : clean;
  }
  if ('content-length' in res.headers && 'transfer-encoding' in res.headers) throw new Error('an answer with both lengths');
  return res;
}

export class Raw extends Bytes {
  // One whole answer. Informational ones are given as answers of their own.
  async response({ method = 'GET', ms = 5000 } = {}) {
    const what = 'an HTTP answer';
    const res = await this.head(ms, what);
    if (method === 'HEAD' || res.status < 200 || res.status === 204 || res.status === 304) return res;
    if (res.headers['transfer-encoding'] !== undefined) {
      if (res.headers['transfer-encoding'].toLowerCase() !== 'chunked') throw new Error(`Transfer-Encoding ${res.headers['transfer-encoding']}`);
      const parts = [];
      for (;;) {
        const chunk = await this.chunk(ms);
        if (chunk === null) break;
        parts.push(chunk);
      }
      res.body = Buffer.concat(parts);
    } else if (res.headers['content-length'] !== undefined) {
      if (!/^\d+$/.test(res.headers['content-length'])) throw new Error(`Content-Length ${res.headers['content-length']}`);
      res.body = Buffer.from(await this.read(Number(res.headers['content-length']), ms, 'the body of an answer'));
    } else {
      res.body = Buffer.from(await this.rest(ms, 'the end of a body without length'));
    }
    return res;
  }

  async head(ms = 5000, what = 'the head of an answer') {
    const head = await this.readUntil('\r\n\r\n', ms, what);
    return parseHead(head.subarray(0, head.length - 4).toString('latin1'));
  }

  // One chunk of a chunked body, null at its end.
  async chunk(ms = 5000) {
    const line = (await this.readUntil('\r\n', ms, 'a chunk size')).toString('latin1');
    const m = /^([0-9a-fA-F]+)\r\n$/.exec(line);
    if (!m) throw new Error(`bad chunk size ${JSON.stringify(line)}`);
    const n = parseInt(m[1], 16);
    const data = Buffer.from(await this.read(n, ms, 'a chunk'));
    if ((await this.read(2, ms, 'the end of a chunk')).toString('latin1') !== '\r\n') throw new Error('a chunk without CRLF');
    return n === 0 ? null : data;
  }

  request(method, target, { headers = {}, body, version = '1.1', host = 'test' } = {}) {
    let head = `${method} ${target} HTTP/${version}\r\n`;
    if (host !== null) head += `Host: ${host}\r\n`;
    for (const [k, v] of Object.entries(headers)) head += `${k}: ${v}\r\n`;
    if (body !== undefined) head += `Content-Length: ${Buffer.byteLength(body)}\r\n`;
    return this.write(Buffer.concat([Buffer.from(`${head}\r\n`, 'latin1'), Buffer.from(body ?? '')]));
  }

  async ask(method, target, how = {}) {
    await this.request(method, target, how);
    return this.response({ method, ms: how.ms });
  }
}
