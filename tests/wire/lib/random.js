// SPDX-License-Identifier: MIT
// Seeded randomness: a failing run is repeated with HOLDFAST_TEST_SEED=N.

export const seed = Number(process.env.HOLDFAST_TEST_SEED || 20260101);

export function random(own = 0) {
  let a = (seed + own * 0x9e3779b1) >>> 0;
  const next = () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = a;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  return {
    next,
    int: (n) => Math.floor(next() * n),
    pick: (list) => list[Math.floor(next() * list.length)],
    bytes: (n) => {
      const out = Buffer.allocUnsafe(n);
      for (let i = 0; i < n; i++) out[i] = next() * 256;
      return out;
    },
  };
}
