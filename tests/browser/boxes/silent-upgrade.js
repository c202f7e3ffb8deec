// SPDX-License-Identifier: MIT
// Answers the handshake as the broker does, and then passes nothing in either direction: the WebSocket is open, and dead.

import crypto from 'node:crypto';
import { Box } from './box.js';

const MAGIC = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'; // RFC 6455 1.3

export class SilentUpgrade extends Box {
  upgrade(req, socket) {
    const accept = crypto.createHash('sha1').update(req.headers['sec-websocket-key'] + MAGIC).digest('base64');
    const offered = req.headers['sec-websocket-protocol'];
    const chosen = offered ? `Sec-WebSocket-Protocol: ${offered.split(',')[0].trim()}\r\n` : '';
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n${chosen}\r\n`);
    socket.resume();
  }
}
