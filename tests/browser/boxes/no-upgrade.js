// SPDX-License-Identifier: MIT
// Refuses every Upgrade, as many company proxies do; all else passes.

import { Box } from './box.js';

export class NoUpgrade extends Box {
  upgrade(req, socket) {
    socket.end('HTTP/1.1 403 Forbidden\r\nContent-Type: text/html\r\nContent-Length: 18\r\nConnection: close\r\n\r\n<h1>Forbidden</h1>');
  }
}
