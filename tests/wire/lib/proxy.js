// SPDX-License-Identifier: MIT
// A TCP proxy that is unkind in a repeatable way: splits, delays, cuts, stalls.

import net from 'node:net';
import { random } from './random.js';

export class Proxy {
  connections = new Set();
  accepted = 0;

  // split: bytes per piece at most; delay: ms at most between pieces; cutAfter: bytes from the server after which both sides are
  // reset; halfAfter: bytes from the server after which one side, by chance, is told that the other has ended.
  // temper(random): gives these for each connection anew.
  static async open(d, { seed = 1, temper = null, ...how } = {}) {
    const p = new Proxy();
    Object.assign(p, { d, temper: temper ?? (() => how), rnd: random(seed), cuts: 0, halves: 0 });
    p.server = net.createServer({ allowHalfOpen: true }, (client) => p.accept(client));
    await new Promise((resolve) => p.server.listen(0, '127.0.0.1', resolve));
    p.port = p.server.address().port;
    return p;
  }

  accept(client) {
    this.accepted++;
    const server = net.connect({ port: this.d.port, host: '127.0.0.1', allowHalfOpen: true });
    const pair = { client, server };
    const { split = 0, delay = 0, cutAfter = 0, halfAfter = 0 } = this.temper(this.rnd);
    this.connections.add(pair);
    const drop = () => {
      client.destroy();
      server.destroy();
      this.connections.delete(pair);
    };
    let left = cutAfter ? 1 + this.rnd.int(cutAfter) : Infinity;
    let untilHalf = halfAfter ? 1 + this.rnd.int(halfAfter) : Infinity;
    this.pipe(client, server, { split, delay }, () => {});
    this.pipe(server, client, { split, delay }, (n) => {
      if ((left -= n) <= 0) {
        if (left + n > 0) this.cuts++;
        drop();
      } else if ((untilHalf -= n) <= 0 && untilHalf + n > 0) {
        this.halves++;
        (this.rnd.int(2) ? client : server).end();
      }
    });
    for (const s of [client, server]) {
      s.setNoDelay(true);
      s.on('error', drop);
      s.on('close', drop);
    }
  }

  pipe(from, to, { split, delay }, count) {
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
      if (split && piece.length > 1) {
        const n = Math.min(piece.length, 1 + this.rnd.int(split));
        if (n < piece.length) queue.unshift(piece.subarray(n));
        piece = piece.subarray(0, n);
      }
      const go = () => {
        if (to.destroyed || to.writableEnded) return;
        to.write(piece, step);
        count(piece.length);
      };
      if (delay) setTimeout(go, this.rnd.int(delay + 1));
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
