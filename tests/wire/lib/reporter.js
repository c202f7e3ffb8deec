// SPDX-License-Identifier: MIT
// For wire/run.js: one JSON line per finished test.

export default async function* reporter(events) {
  for await (const { type, data } of events) {
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    const error = data.details?.error;
    const cause = error?.cause ?? error;
    yield `${JSON.stringify({
      name: data.name,
      ok: type === 'test:pass',
      skip: data.skip === undefined || data.skip === false ? null : data.skip,
      nesting: data.nesting,
      suite: data.details?.type === 'suite',
      ms: Math.round(data.details?.duration_ms ?? 0),
      error: type === 'test:fail' ? (cause?.stack ?? cause?.message ?? String(cause)) : null,
    })}\n`;
  }
}
