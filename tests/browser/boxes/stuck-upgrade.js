// SPDX-License-Identifier: MIT
// Takes the handshake and never answers it.

import { Box } from './box.js';

export class StuckUpgrade extends Box {
  upgrade(req, socket) { socket.resume(); }
}
