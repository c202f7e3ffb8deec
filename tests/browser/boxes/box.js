// SPDX-License-Identifier: MIT
// A middle box made of node's own HTTP parser: it takes requests on a port that the kernel chose and passes them to the broker.
// Unkind boxes override one step: `upgrade` (what becomes of a WebSocket handshake), `reply` (what becomes of an answer) or
// `began` (a stream has just begun). What passed is counted, for tests that want to know what a client tried.

import http from 'node:http';
import net from 'node:net';

export class Box {
  counts = { upgrades: 0, streams: 0, polls: 0, cuts: 0 };
  sockets = new Set(); // all that is open, towards clients and towards the broker

  static async open(port, how = {}) {
    const box = new this();
    Object.assign(box, { upstream: port, how });
    box.agent = new http.Agent({ keepAlive: true });
    box.server = http.createServer((req, res) => box.request(req, res));
    box.server.on('upgrade', (req, socket, head) => {
      box.counts.upgrades++;
      box.keep(socket);
      box.upgrade(req, socket, head);
    });
    box.server.on('connection', (socket) => {
      box.keep(socket);
      if (box.unplugged) socket.resetAndDestroy();
    });
    box.server.requestTimeout = 0;
    await new Promise((resolve) => box.server.listen(0, '127.0.0.1', resolve));
    box.port = box.server.address().port;
    return box;
  }

  keep(socket) {
    if (this.sockets.has(socket)) return;
    this.sockets.add(socket);
    socket.setNoDelay(true);
    socket.on('error', () => {});
    socket.on('close', () => this.sockets.delete(socket));
  }

  request(req, res) {
    if (req.url.startsWith('/v1/sse')) this.counts.streams++;
    if (req.url.startsWith('/v1/poll')) this.counts.polls++;
    const up = http.request({
      host: '127.0.0.1', port: this.upstream, agent: this.agent, method: req.method, path: req.url, headers: req.headers,
    });
    up.on('socket', (socket) => this.keep(socket));
    up.on('response', (answer) => this.reply(req, answer, res));
    up.on('error', () => this.fail(res, 502, 'Bad Gateway'));
    res.on('close', () => up.destroy()); // the client left: so do we
    req.pipe(up);
    this.began(req, res);
  }

  fail(res, status, text) {
    if (res.headersSent) res.destroy();
    else res.writeHead(status, { 'content-type': 'text/html', connection: 'close' }).end(`<h1>${text}</h1>\n`);
  }

  began() {}

  reply(req, answer, res) {
    res.writeHead(answer.statusCode, answer.headers);
    res.flushHeaders();
    answer.on('data', (b) => res.write(b));
    answer.on('end', () => res.end());
    answer.on('close', () => answer.complete || res.destroy());
  }

  // The handshake as it came, then bytes both ways.
  upgrade(req, socket, head) {
    const up = net.connect(this.upstream, '127.0.0.1');
    this.keep(up);
    let text = `${req.method} ${req.url} HTTP/1.1\r\n`;
    for (let i = 0; i < req.rawHeaders.length; i += 2) text += `${req.rawHeaders[i]}: ${req.rawHeaders[i + 1]}\r\n`;
    up.write(`${text}\r\n`);
    up.write(head);
    this.join(socket, up);
  }

  join(socket, up) {
    socket.pipe(up);
    up.pipe(socket);
    socket.on('close', () => up.destroy());
    up.on('close', () => socket.destroy());
  }

  // Cut all that is open now, as a dying network does.
  cut() {
    for (const socket of [...this.sockets]) socket.resetAndDestroy();
  }

  // Nothing passes, old or new, and everybody is told so at once; until plug().
  unplug() {
    this.unplugged = true;
    this.cut();
  }

  plug() { this.unplugged = false; }

  close() {
    for (const socket of [...this.sockets]) socket.destroy();
    this.agent.destroy();
    this.server.close();
  }
}
