// SPDX-License-Identifier: MIT
// wait: pauses, signals, backoff.

import { AbortError } from './errors.js';

// Pauses that can be ended early (wake), and how long they are to be.
export class Backoff {
  constructor({ options: { backoff } }) {
    Object.assign(this, { min: 500, max: 30000, n: 0 }, backoff);
  }

  // Full jitter: clients that were cut off together do not come back together. What the server asked for is the least.
  next(least = 0) { return least + Math.random() * Math.min(this.max, this.min * 2 ** this.n++); }

  reset() { this.n = 0; }

  pause(ms) {
    this.wake();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.go = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  // After a failure.
  after(err) { return this.pause(this.next(err?.retryAfter)); }

  wake() { this.go?.(); }
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
