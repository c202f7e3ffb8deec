// SPDX-License-Identifier: MIT
// Passes bytes, until forget(): all connections of that moment stay open, and nothing passes on them any more, in either
// direction; also the idle ones that a browser keeps for its next request. What a NAT does that has lost its table, or a network
// that was changed under a sleeping laptop. New connections pass.

import net from 'node:net';

export class Forgetful {
  counts = { connections: 0, forgotten: 0 };
  pairs = new Set();

  static async open(port) {
    const box = new this();
    box.server = net.createServer((client) => box.accept(client, port));
    await new Promise((resolve) => box.server.listen(0, '127.0.0.1', resolve));
    box.port = box.server.address().port;
    return box;
  }

  accept(client, port) {
    const broker = net.connect(port, '127.0.0.1');
    const pair = { client, broker };
    this.counts.connections++;
    this.pairs.add(pair);
    for (const [from, to] of [[client, broker], [broker, client]]) {
      from.setNoDelay(true);
      from.pipe(to);
      from.on('error', () => {});
      from.on('close', () => {
        if (pair.forgotten) return;
        to.destroy();
        this.pairs.delete(pair);
      });
    }
  }

  forget() {
    for (const pair of this.pairs) {
      pair.forgotten = true;
      this.counts.forgotten++;
      for (const socket of [pair.client, pair.broker]) socket.unpipe().resume();
    }
  }

  close() {
    for (const { client, broker } of this.pairs) {
      client.destroy();
      broker.destroy();
    }
    this.server.close();
  }
}
