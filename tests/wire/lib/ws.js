// SPDX-License-Identifier: MIT
// WebSocket twice: the `ws` package for everyday use, and frames by hand for what no library would send.

import crypto from 'node:crypto';
import zlib from 'node:zlib';
import WebSocket from 'ws';
import { Raw } from './raw.js';
import { Queue, Latch, deadline } from './wait.js';

export class WsClient {
  frames = new Queue();
  refs = 0;

  // Resolves when the handshake is done; a refusal rejects with err.status and err.json.
  // deflate: what to offer of permessage-deflate, options of the `ws` package; true: what browsers offer.
  static async open(d, target, { protocols = [], headers = {}, ms = 5000, deflate = false } = {}) {
    const c = new WsClient();
    const ws = c.ws = new WebSocket(`ws://127.0.0.1:${d.port}${target}`, protocols, { headers, perMessageDeflate: deflate, maxPayload: 64 << 20 });
    const closed = new Latch();
    c.closed = closed.promise;
    ws.on('message', (data, isBinary) => c.frames.push({ raw: isBinary ? data : data.toString(), isBinary }));
    ws.on('close', (code, reason) => {
      c.frames.end(new Error(`the WebSocket was closed: ${code} ${reason}`));
      closed.open({ code, reason: reason.toString() });
    });
    ws.on('error', () => {});
    await deadline(new Promise((resolve, reject) => {
      ws.once('open', resolve);
      ws.once('error', reject);
      ws.once('unexpected-response', (req, res) => {
        const parts = [];
        res.on('data', (b) => parts.push(b));
        res.on('end', () => {
          const err = new Error(`WebSocket refused with ${res.statusCode}: ${Buffer.concat(parts)}`);
          err.status = res.statusCode;
          err.headers = res.headers;
          try { err.json = JSON.parse(Buffer.concat(parts)); } catch {}
          reject(err);
        });
      });
    }), ms, `the WebSocket handshake for ${target}`).catch((err) => {
      ws.terminate(); // not to be open behind the back of who gave up
      throw err;
    });
    return c;
  }

  // The next frame: raw, and json when it is text.
  async next(ms, what = 'a WebSocket frame') {
    const f = await this.frames.next(ms, what);
    return f.isBinary ? f : { ...f, json: JSON.parse(f.raw) };
  }

  // The next frame, which must be of this type.
  async expect(type, ms = 5000) {
    const f = await this.frames.next(ms, `the frame "${type}"`);
    const json = f.isBinary ? { type: 'binary' } : JSON.parse(f.raw);
    if (json.type !== type) throw new Error(`frame "${json.type}" where "${type}" was due: ${f.raw.slice(0, 300)}`);
    return { raw: f.raw, json };
  }

  hello(ms) { return this.expect('hello', ms); }
  message(ms) { return this.expect('message', ms); }
  gap(ms) { return this.expect('gap', ms); }

  async messages(n, ms = 5000) {
    const out = [];
    while (out.length < n) out.push(await this.message(ms));
    return out;
  }

  send(value) { this.ws.send(typeof value === 'string' || Buffer.isBuffer(value) ? value : JSON.stringify(value)); }

  // Send a command with a ref of its own and give its reply, ok, pong or error; other frames stay for later, in order.
  async command(frame, ms = 5000) {
    const ref = frame.ref ?? `r${++this.refs}`;
    this.send({ ...frame, ref });
    const others = [];
    for (;;) {
      const f = await this.next(ms, `the reply to ${JSON.stringify(frame).slice(0, 100)}`);
      if (f.json?.ref === ref) {
        this.frames.items.unshift(...others);
        return f.json;
      }
      others.push(f);
    }
  }

  pause() { this.ws._socket.pause(); }
  resume() { this.ws._socket.resume(); }
  end(ms = 5000) { return deadline(this.closed, ms, 'the close of the WebSocket'); }
  close() { this.ws.terminate(); }
}

export const OP = { cont: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 };
const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

// One client frame. length: 'auto' or a forced encoding 16 or 64; mask null: unmasked.
export function frame(opcode, payload = '', { fin = true, rsv = 0, mask = Buffer.from([0x37, 0xfa, 0x21, 0x3d]), length = 'auto' } = {}) {
  const data = Buffer.from(payload);
  const head = [((fin ? 0x80 : 0) | (rsv << 4) | opcode)];
  const m = mask ? 0x80 : 0;
  let form = length;
  if (form === 'auto') form = data.length < 126 ? 7 : data.length < 65536 ? 16 : 64;
  let ext = Buffer.alloc(0);
  if (form === 7) head.push(m | data.length);
  else if (form === 16) {
    head.push(m | 126);
    ext = Buffer.alloc(2);
    ext.writeUInt16BE(data.length);
  } else {
    head.push(m | 127);
    ext = Buffer.alloc(8);
    ext.writeBigUInt64BE(BigInt(data.length));
  }
  if (!mask) return Buffer.concat([Buffer.from(head), ext, data]);
  const masked = Buffer.allocUnsafe(data.length);
  for (let i = 0; i < data.length; i++) masked[i] = data[i] ^ mask[i & 3];
  return Buffer.concat([Buffer.from(head), ext, mask, masked]);
}

export function closePayload(code, reason = '') {
  const b = Buffer.alloc(2);
  b.writeUInt16BE(code);
  return Buffer.concat([b, Buffer.from(reason)]);
}

// The payload of a compressed message, and back (RFC 7692 7.2).
const TAIL = Buffer.from([0, 0, 255, 255]);
const flush = { finishFlush: zlib.constants.Z_SYNC_FLUSH };
export const inflate = (payload) => zlib.inflateRawSync(Buffer.concat([payload, TAIL]), flush);
export const deflate = (data, how = {}) => zlib.deflateRawSync(data, { ...flush, ...how }).subarray(0, -4);

export class RawWs {
  // Resolves when the handshake is done.
  // deflate: offer permessage-deflate; then frames may come compressed, as f.compressed tells.
  static async open(d, target = '/v1/ws', { headers = {}, deflate = false } = {}) {
    if (deflate) headers = { 'Sec-WebSocket-Extensions': 'permessage-deflate; client_max_window_bits', ...headers };
    const c = new RawWs();
    c.raw = await Raw.connect(d);
    const key = crypto.randomBytes(16).toString('base64');
    await c.raw.request('GET', target, { headers: { Upgrade: 'websocket', Connection: 'Upgrade', 'Sec-WebSocket-Key': key, 'Sec-WebSocket-Version': '13', ...headers } });
    const head = await c.raw.head(5000, 'the handshake');
    if (head.status !== 101) throw new Error(`handshake answered with ${head.status}`);
    const accept = crypto.createHash('sha1').update(key + GUID).digest('base64');
    if (head.headers['sec-websocket-accept'] !== accept) throw new Error(`Sec-WebSocket-Accept is ${head.headers['sec-websocket-accept']}`);
    c.headers = head.headers;
    c.deflates = head.headers['sec-websocket-extensions'] !== undefined;
    return c;
  }

  send(opcode, payload, how) { return this.raw.write(frame(opcode, payload, how)); }
  write(bytes) { return this.raw.write(bytes); }

  // The next frame of the server, strictly checked: {fin, opcode, payload, text, json, code, reason}.
  async next(ms = 5000, what = 'a frame') {
    const [b0, b1] = await this.raw.read(2, ms, what);
    const f = { fin: !!(b0 & 0x80), opcode: b0 & 15, compressed: !!(b0 & 0x40) };
    if (b0 & (this.deflates && f.opcode < 8 && f.opcode > 0 ? 0x30 : 0x70)) throw new Error(`the server set a reserved bit: ${b0.toString(16)}`);
    if (b1 & 0x80) throw new Error('the server masked a frame');
    let n = b1;
    if (n === 126) {
      n = (await this.raw.read(2, ms, what)).readUInt16BE();
      if (n < 126) throw new Error('a length in more bytes than needed');
    } else if (n === 127) {
      n = Number((await this.raw.read(8, ms, what)).readBigUInt64BE());
      if (n < 65536) throw new Error('a length in more bytes than needed');
    }
    if (f.opcode >= 8 && (n > 125 || !f.fin)) throw new Error('an illegal control frame of the server');
    f.payload = Buffer.from(await this.raw.read(n, ms, what));
    f.size = n;
    if (f.compressed) f.payload = inflate(f.payload);
    f.text = f.payload.toString();
    if (f.opcode === OP.close && n) {
      f.code = f.payload.readUInt16BE();
      f.reason = f.payload.subarray(2).toString();
    }
    return f;
  }

  async json(ms) {
    const f = await this.next(ms, 'a text frame');
    if (f.opcode !== OP.text) throw new Error(`opcode ${f.opcode} where text was due ${f.code ?? ''} ${f.reason ?? ''}`);
    return JSON.parse(f.text);
  }

  // The server says goodbye with this: skips text frames, gives {code, reason}; code undefined when the frame had none.
  async closeFrame(ms = 5000) {
    for (;;) {
      const f = await this.next(ms, 'a close frame');
      if (f.opcode === OP.close) return f;
    }
  }

  eof(ms, what) { return this.raw.eof(ms, what ?? 'the end of the connection after the close frame'); }
  close() { this.raw.destroy(); }
}
