// SPDX-License-Identifier: MIT
// A proxy in front of the daemon that understands what passes, and meddles with it as `rules` say (they may change on the way):
//   request(req, res)   true: it has been answered here
//   reply(req, text)    the body of a complete answer, as it goes on
//   event(req, text)    one event of a stream, as it goes on; null: swallowed
//   buffers(req)        true: a stream is kept back until it ends
//   lose(req)           true: the request goes through, its answer does not: the connection is cut
//   upgrade(req)        'refuse' (403), 'hang', else a WebSocket is let through
//   frame(text)         one frame of the daemon's, as it goes on; null: swallowed

import http from 'node:http';
import { WebSocket, WebSocketServer } from 'ws';

export class Meddler {
  requests = [];
  sockets = new Set();

  static async open(t, d, rules = {}) {
    const m = new Meddler();
    Object.assign(m, { d, rules, wss: new WebSocketServer({ noServer: true }) });
    m.server = http.createServer((req, res) => m.forward(req, res));
    m.server.on('upgrade', (req, socket, head) => m.upgrade(req, socket, head));
    m.server.on('connection', (s) => {
      m.sockets.add(s);
      s.on('error', () => {});
      s.on('close', () => m.sockets.delete(s));
    });
    await new Promise((resolve) => m.server.listen(0, '127.0.0.1', resolve));
    t.cleanup(() => m.close());
    return m;
  }

  get base() { return `http://127.0.0.1:${this.server.address().port}`; }
  count(path) { return this.requests.filter((r) => r.startsWith(path)).length; }

  forward(req, res) {
    this.requests.push(req.url);
    if (this.rules.request?.(req, res)) return;
    const { 'accept-encoding': _, ...headers } = req.headers; // answers are to be read here
    const up = http.request({ host: '127.0.0.1', port: this.d.port, method: req.method, path: req.url, headers, agent: false });
    up.on('error', () => res.destroy());
    res.on('close', () => up.destroy());
    up.on('response', (answer) => this.answer(req, res, answer));
    req.pipe(up);
  }

  answer(req, res, answer) {
    const parts = [];
    const stream = /event-stream/.test(answer.headers['content-type']);
    answer.on('error', () => res.destroy());
    answer.on('aborted', () => res.destroy());
    if (stream && !this.rules.buffers?.(req)) {
      res.writeHead(answer.statusCode, answer.headers);
      res.flushHeaders();
      let rest = '';
      answer.setEncoding('utf8').on('data', (text) => {
        const events = (rest + text).split('\n\n');
        rest = events.pop();
        for (const e of events) {
          const through = this.rules.event ? this.rules.event(req, e) : e;
          if (through !== null) res.write(`${through}\n\n`);
        }
      });
      answer.on('end', () => res.end());
      return;
    }
    answer.on('data', (b) => parts.push(b));
    answer.on('end', () => {
      let text = Buffer.concat(parts).toString();
      if (this.rules.lose?.(req)) {
        res.destroy();
        return;
      }
      if (this.rules.reply) text = this.rules.reply(req, text);
      const { 'content-length': _, 'transfer-encoding': __, ...headers } = answer.headers;
      res.writeHead(answer.statusCode, headers);
      res.end(text);
    });
  }

  upgrade(req, socket, head) {
    this.requests.push(req.url);
    socket.on('error', () => {});
    const how = this.rules.upgrade?.(req);
    if (how === 'hang') return;
    if (how === 'refuse') {
      socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n');
      return;
    }
    this.wss.handleUpgrade(req, socket, head, (down) => {
      const up = new WebSocket(`ws://127.0.0.1:${this.d.port}${req.url}`, 'holdfast.v1.json');
      const early = [];
      const end = () => { up.terminate(); down.terminate(); };
      down.on('message', (b) => (up.readyState === 1 ? up.send(b.toString()) : early.push(b.toString())));
      up.on('open', () => early.splice(0).forEach((text) => up.send(text)));
      up.on('message', (b) => {
        const through = this.rules.frame ? this.rules.frame(b.toString()) : b.toString();
        if (through !== null) down.send(through);
      });
      for (const s of [up, down]) { s.on('close', end); s.on('error', end); }
    });
  }

  cut() { for (const s of this.sockets) s.destroy(); }

  close() {
    this.cut();
    this.server.close();
  }
}

export function refuse(res, status, code, headers = {}) {
  res.writeHead(status, { 'content-type': 'application/json', ...headers });
  res.end(JSON.stringify({ error: { code, message: `${code}, says the proxy` } }));
  return true;
}
