// SPDX-License-Identifier: MIT
// Cuts whatever lasts two seconds: WebSockets, event streams, waiting polls. It cuts by RST in the midst of things, not by a
// decent end.

import { Box } from './box.js';

const LIFE_MS = 2000;

export class Cutter extends Box {
  began(req, res) { this.cutLater(res, res.socket); }

  upgrade(req, socket, head) {
    super.upgrade(req, socket, head);
    this.cutLater(socket, socket);
  }

  cutLater(thing, socket) {
    const timer = setTimeout(() => {
      this.counts.cuts++;
      socket.resetAndDestroy();
    }, LIFE_MS);
    thing.on('close', () => clearTimeout(timer));
  }
}
