// SPDX-License-Identifier: MIT
// A TCP proxy that is unkind in a repeatable way: splits, delays, cuts, stalls.

import net from 'node:net';
import { random } from './random.js';

export class Proxy {
  connections = new Set();
  accepted = 0;

  // split: bytes per piece at most; delay: ms at most between pieces; cutAfter: bytes from the server after which both sides are reset.
  static async open(d, { seed = 1, split = 0, delay = 0, cutAfter = 0 } = {}) {
    const p = new Proxy();
    Object.assign(p, { d, split, delay, cutAfter, rnd: random(seed) });
    p.server = net.createServer({ allowHalfOpen: true }, (client) => p.accept(client));
    await new Promise((resolve) => p.server.listen(0, '127.0.0.1', resolve));
    p.port = p.server.address().port;
    return p;
  }

  accept(client) {
    this.accepted++;
    const server = net.connect({ port: this.d.port, host: '127.0.0.1', allowHalfOpen: true });
    const pair = { client, server };
    this.connections.add(pair);
    const drop = () => {
      client.destroy();
      server.destroy();
      this.connections.delete(pair);
    };
    let left = this.cutAfter ? 1 + this.rnd.int(this.cutAfter) : Infinity;
    this.pipe(client, server, () => {});
    this.pipe(server, client, (n) => { if ((left -= n) <= 0) drop(); });
    for (const s of [client, server]) {
      s.setNoDelay(true);
      s.on('error', drop);
      s.on('close', drop);
    }
  }

  pipe(from, to, count) {
    const queue = [];
    let busy = false, ended = false;
    const step = () => {
      if (!queue.length) {
        busy = false;
        if (ended) to.end();
        return;
      }
      busy = true;
      let piece = queue.shift();
      if (this.split && piece.length > 1) {
        const n = Math.min(piece.length, 1 + this.rnd.int(this.split));
        if (n < piece.length) queue.unshift(piece.subarray(n));
        piece = piece.subarray(0, n);
      }
      const go = () => {
        if (to.destroyed) return;
        to.write(piece, step);
        count(piece.length);
      };
      if (this.delay) setTimeout(go, this.rnd.int(this.delay + 1));
      else go();
    };
    from.on('data', (b) => { queue.push(b); if (!busy) step(); });
    from.on('end', () => { ended = true; if (!busy) to.end(); });
  }

  // Cut every connection, as a dying network does.
  cut() {
    for (const { client, server } of [...this.connections]) {
      client.resetAndDestroy();
      server.resetAndDestroy();
    }
  }

  close() {
    this.cut();
    this.server.close();
  }
}
