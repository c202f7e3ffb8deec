// SPDX-License-Identifier: MIT
// wait: pauses, signals, backoff.

import { AbortError } from './errors.js';

export class Backoff {
  constructor({ min = 500, max = 30000 } = {}) {
    this.min = min;
    this.max = max;
    this.n = 0;
  }

  // Full jitter: clients that were cut off together do not come back together. What the server asked for is the least.
  next(least = 0) {
    const ceiling = Math.min(this.max, this.min * 2 ** this.n++);
    return least + Math.random() * ceiling;
  }

  reset() { this.n = 0; }
}

// A pause that can be ended early: wake().
export class Pause {
  wake() { this.go?.(); }

  for(ms) {
    this.go?.();
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.go(), ms);
      this.go = () => {
        clearTimeout(timer);
        this.go = null;
        resolve();
      };
    });
  }
}

export const check = (signal) => { if (signal?.aborted) throw new AbortError(signal.reason); };

// Run fn when the signal is aborted (also when it is already); gives what takes that back.
export function onAbort(signal, fn) {
  if (!signal) return () => {};
  if (signal.aborted) {
    fn();
    return () => {};
  }
  signal.addEventListener('abort', fn, { once: true });
  return () => signal.removeEventListener('abort', fn);
}

// A promise with its handles.
export function deferred() {
  const d = {};
  d.promise = new Promise((resolve, reject) => Object.assign(d, { resolve, reject }));
  d.promise.catch(() => {}); // who wants to know of a failure asks for it
  return d;
}

// What an application's callback throws is the application's: it surfaces there and does not stop us.
export function guarded(fn, ...args) {
  try { fn?.(...args); } catch (err) { setTimeout(() => { throw err; }); }
}
