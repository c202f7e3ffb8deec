// SPDX-License-Identifier: MIT
// Refuses Upgrade and keeps every answer until it is complete, as scanners for viruses do: of an event stream nothing ever arrives.

import { NoUpgrade } from './no-upgrade.js';

export class Hoarder extends NoUpgrade {
  reply(req, answer, res) {
    const parts = [];
    answer.on('data', (b) => parts.push(b));
    answer.on('end', () => {
      const { 'transfer-encoding': chunked, ...headers } = answer.headers;
      const body = Buffer.concat(parts);
      const bare = answer.statusCode === 304 || req.method === 'HEAD';
      res.writeHead(answer.statusCode, bare ? headers : { ...headers, 'content-length': body.length }).end(bare ? undefined : body);
    });
    answer.on('close', () => answer.complete || this.fail(res, 502, 'Bad Gateway'));
  }
}
