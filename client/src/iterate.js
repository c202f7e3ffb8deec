// SPDX-License-Identifier: MIT
// iterate: messages as an async iterable. The buffer is bounded: when the consumer is slower than the channel, we stop
// taking messages and fetch them from the broker's history when there is room again. History is the buffer, not our memory.

import { AbortError } from './errors.js';
import { deferred } from './wait.js';

const BUFFER = 256;

export function iterate(client, channel, options = {}) {
  let sub;
  return {
    ack: (message) => sub.ack(message),
    [Symbol.asyncIterator]() {
      const ready = [];
      let waiting, end;
      const finish = (why) => {
        end ??= { why };
        if (!waiting) return;
        if (end.why) waiting.reject(end.why);
        else waiting.resolve({ done: true, value: undefined });
        end = {}; // told
        waiting = null;
      };
      sub = client.subscribe(channel, options);
      const own = sub;
      own.onClose = finish;
      if (own.closed) finish(new AbortError(options.signal?.reason));
      own.sink = (m) => {
        if (waiting) {
          waiting.resolve({ done: false, value: m });
          waiting = null;
        } else if (ready.push(m) >= BUFFER) own.full = true;
      };
      return {
        sub: own,
        next() {
          if (end?.why) {
            const { why } = end;
            end = {};
            ready.length = 0;
            return Promise.reject(why);
          }
          if (ready.length) {
            const value = ready.shift();
            if (own.full && ready.length <= BUFFER / 2) own.resume();
            return Promise.resolve({ done: false, value });
          }
          if (end) return Promise.resolve({ done: true, value: undefined });
          waiting = deferred();
          return waiting.promise;
        },
        return(value) {
          own.close();
          return Promise.resolve({ done: true, value });
        },
      };
    },
  };
}
