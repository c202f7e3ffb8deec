// SPDX-License-Identifier: MIT
// The package `ws`: one channel, everybody is in it. No compression; a frame is made once and written to all, which is faster
// than client.send() for each. ws.js PORT

import { Sender, WebSocketServer } from 'ws';
import { serve } from './publish.js';

const wss = new WebSocketServer({ noServer: true, perMessageDeflate: false, clientTracking: true });
const server = serve(Number(process.argv[2]), (payload) => {
  const frame = Buffer.concat(Sender.frame(payload, { fin: true, rsv1: false, opcode: 1, mask: false, readOnly: true }));
  for (const client of wss.clients) client._socket.write(frame);
});
server.on('upgrade', (req, socket, head) => wss.handleUpgrade(req, socket, head, () => {}));
