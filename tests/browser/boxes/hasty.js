// SPDX-License-Identifier: MIT
// A hoarder without patience: what is not complete within a second is answered with 504. Neither streams nor waiting polls get through.

import { Hoarder } from './hoarder.js';

const PATIENCE_MS = 1000;

export class Hasty extends Hoarder {
  began(req, res) {
    const timer = setTimeout(() => {
      this.counts.cuts++;
      this.fail(res, 504, 'Gateway Timeout');
    }, PATIENCE_MS);
    res.on('close', () => clearTimeout(timer));
  }
}
