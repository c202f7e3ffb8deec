// SPDX-License-Identifier: MIT
// iterate: messages as an async iterable. The buffer is bounded: when the consumer is slower than the channel, we stop
// taking messages and fetch them from the broker's history when there is room again. History is the buffer, not our memory.

import { AbortError } from './errors.js';
import { deferred } from './wait.js';

const BUFFER = 256;

export function iterate(client, channel, options = {}) {
  return {
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
      const sub = client.subscribe(channel, options);
      sub.onClose = finish;
      if (sub.closed) finish(new AbortError(options.signal?.reason));
      sub.sink = (m) => {
        if (waiting) {
          waiting.resolve({ done: false, value: m });
          waiting = null;
        } else if (ready.push(m) >= BUFFER) sub.full = true;
      };
      return {
        sub,
        next() {
          if (end?.why) {
            const { why } = end;
            end = {};
            ready.length = 0;
            return Promise.reject(why);
          }
          if (ready.length) {
            const value = ready.shift();
            if (sub.full && ready.length <= BUFFER / 2) sub.resume();
            return Promise.resolve({ done: false, value });
          }
          if (end) return Promise.resolve({ done: true, value: undefined });
          waiting = deferred();
          return waiting.promise;
        },
        return(value) {
          sub.close();
          return Promise.resolve({ done: true, value });
        },
      };
    },
  };
}
