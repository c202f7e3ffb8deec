// SPDX-License-Identifier: MIT
// Waiting for events, with deadlines. Nothing in these tests sleeps for a guessed time.

// A slow machine or a sanitizer build stretches every deadline.
export const scale = Number(process.env.HOLDFAST_TEST_SCALE || 1);

export class Timeout extends Error {}

export function deadline(promise, ms, what) {
  let timer;
  const limit = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Timeout(`${what}: nothing within ${ms * scale} ms`)), ms * scale);
  });
  return Promise.race([promise, limit]).finally(() => clearTimeout(timer));
}

// Ask again and again until fn gives something true; for what can only be polled (metrics, /proc, files).
export async function until(fn, ms, what) {
  const end = Date.now() + ms * scale;
  for (;;) {
    const value = await fn();
    if (value) return value;
    if (Date.now() > end) throw new Timeout(`${typeof what === 'function' ? what() : what}: not within ${ms * scale} ms`);
    await new Promise((resolve) => setTimeout(resolve, 10)); // lint: polls
  }
}

// Things that arrive, and those who wait for them, in order.
export class Queue {
  items = [];
  waiting = [];
  ended = null;

  push(item) {
    const first = this.waiting.shift();
    if (first) first.resolve(item);
    else this.items.push(item);
  }

  // No more will come; err says why.
  end(err) {
    if (this.ended) return;
    this.ended = err;
    for (const w of this.waiting.splice(0)) w.reject(err);
  }

  next(ms = 5000, what = 'the next item') {
    if (this.items.length) return Promise.resolve(this.items.shift());
    if (this.ended) return Promise.reject(new Error(`${what}: ${this.ended.message}`));
    let entry;
    const promise = new Promise((resolve, reject) => {
      entry = { resolve, reject };
      this.waiting.push(entry);
    });
    return deadline(promise, ms, what).catch((err) => {
      this.waiting = this.waiting.filter((w) => w !== entry);
      throw err;
    });
  }

  // The first item that pred accepts; those before it are dropped.
  async find(pred, ms = 5000, what = 'the wanted item') {
    const end = Date.now() + ms * scale;
    for (;;) {
      const item = await this.next(Math.max(1, (end - Date.now()) / scale), what);
      if (pred(item)) return item;
    }
  }
}

export class Latch {
  constructor() {
    this.promise = new Promise((resolve) => { this.open = resolve; });
  }
}
