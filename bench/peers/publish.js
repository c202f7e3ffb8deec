// SPDX-License-Identifier: MIT
// What the servers in JavaScript share: an HTTP server whose POST /publish hands the body to broadcast(), on the port that was
// asked for.

import http from 'node:http';

export function serve(port, broadcast, onRequest = null) {
  const server = http.createServer({ keepAliveTimeout: 0, requestTimeout: 0 }, (req, res) => {
    if (req.url !== '/publish') {
      if (onRequest) onRequest(req, res);
      else res.writeHead(404).end();
      return;
    }
    const parts = [];
    req.on('data', (b) => parts.push(b));
    req.on('end', () => {
      broadcast(parts.length === 1 ? parts[0] : Buffer.concat(parts));
      res.writeHead(200, { 'Content-Length': 0 }).end();
    });
  });
  server.listen(port, '127.0.0.1', 4096);
  return server;
}
