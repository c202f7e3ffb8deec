// SPDX-License-Identifier: MIT
// The application behind pushpin: it is asked once per subscriber, and answers that the connection is to be held open and fed
// from the channel. /sse streams events, /ws is WebSocket over HTTP. grip.js PORT

import http from 'node:http';

const event = (type, text = '') => (text ? `${type} ${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n` : `${type}\r\n`);
const subscribe = `c:${JSON.stringify({ type: 'subscribe', channel: 'bench' })}`;

http.createServer({ keepAliveTimeout: 0 }, (req, res) => {
  const parts = [];
  req.on('data', (b) => parts.push(b));
  req.on('end', () => {
    const path = new URL(req.url, 'http://h').pathname;
    if (path === '/sse') {
      res.writeHead(200, { 'Content-Type': 'text/event-stream', 'Grip-Hold': 'stream', 'Grip-Channel': 'bench' });
      res.end(': ready\n\n');
    } else if (path === '/ws') {
      const opens = Buffer.concat(parts).toString().startsWith('OPEN\r\n');
      res.writeHead(200, { 'Content-Type': 'application/websocket-events', 'Sec-WebSocket-Extensions': 'grip' });
      res.end(opens ? event('OPEN') + event('TEXT', subscribe) + event('TEXT', 'm:ready') : '');
    } else {
      res.writeHead(404).end();
    }
  });
}).listen(Number(process.argv[2]), '127.0.0.1', 4096);
