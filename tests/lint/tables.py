#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The documents say what the tables in base/tbl/ say.

docs/metrics.md is made from counters.h and histograms.h: `tests/lint/tables.py --write`. The tables
under "Errors" and "Close codes" in docs/protocol.md have the rows of errors.h and close_reasons.h, and
the one under "Letters" in docs/threads.md those of letters.h.
"""
import os
import re
import sys

import tree

PROTOCOL = 'docs/protocol.md'
METRICS = 'docs/metrics.md'
THREADS = 'docs/threads.md'
WORD = re.compile(r'"((?:[^"\\]|\\.)*)"|([^\s,"()]+)')


def rows(header, macro):
    """Arguments of each MACRO(…) row of a table, strings without their quotes."""
    for line in tree.read(f'base/tbl/{header}').splitlines():
        if line.startswith(macro + '(') and line.endswith(')'):
            inner = line[len(macro) + 1:-1]
            yield [m[1].replace('\\"', '"') if m[2] is None else m[2] for m in WORD.finditer(inner)]


def close_reasons():
    """[(text, code, reconnect)]"""
    return [(r[4], r[1], 'yes' if r[2] == '1' else 'no') for r in rows('close_reasons.h', 'CLOSE_REASON')]


def metrics():
    """[(name, kind, help, [labels])], one entry for all rows of a name."""
    found = []
    for _, kind, name, labels, text in rows('counters.h', 'COUNTER'):
        if not found or found[-1][0] != name:
            found.append((name, kind, text, []))
        if labels:
            found[-1][3].append(labels)
    reasons = [f'reason="{text}"' for text, _, _ in close_reasons()]
    found.append(('holdfast_sessions_closed_total', 'counter', 'Sessions and connections closed, by reason.', reasons))
    for _, name, text in rows('histograms.h', 'HISTOGRAM'):
        found.append((name + '_seconds', 'histogram', text, []))
    return found


def metrics_text():
    out = ['# Metrics', '',
           '<!-- Made from base/tbl/counters.h and base/tbl/histograms.h by tests/lint/tables.py --write -->', '',
           '`GET /metrics` gives them in the Prometheus text format. Counters only grow and start at 0 with the process;',
           'gauges are values of now. A histogram `x_seconds` has the series `x_seconds_bucket`, `x_seconds_sum` and',
           '`x_seconds_count`.', '']
    for kind, title in (('gauge', 'Gauges'), ('counter', 'Counters'), ('histogram', 'Histograms')):
        out += [f'## {title}', '', '| name | labels | meaning |', '|---|---|---|']
        for name, _, text, labels in [m for m in metrics() if m[1] == kind]:
            out.append(f'| `{name}` | {"<br>".join(f"`{label}`" for label in labels)} | {text} |'.replace('|  |', '| |'))
        out.append('')
    return '\n'.join(out).rstrip() + '\n'


def section(document, title):
    """[(line number, cells)] of the table under a heading."""
    found = []
    inside = False
    for number, line in enumerate(tree.read(document).splitlines(), 1):
        if line.startswith('#'):
            inside = line.lstrip('#').strip() == title
        elif inside and line.startswith('| `'):
            found.append((number, [cell.strip().replace('`', '') for cell in line.strip('|').split('|')]))
    return found


def compare(document, title, want):
    """The first columns of the document's table are exactly the wanted rows, in any order."""
    have = {cells[0]: (number, tuple(cells[:len(want[0])])) for number, cells in section(document, title)}
    for row in want:
        if row[0] not in have:
            tree.report(document, 0, f'"{title}" lacks {row[0]}')
        elif have[row[0]][1] != tuple(row):
            tree.report(document, have[row[0]][0], f'"{title}" should say {" | ".join(row)}')
    for name in set(have) - {row[0] for row in want}:
        tree.report(document, have[name][0], f'"{title}" has {name}, the table has not')


if '--write' in sys.argv:
    with open(os.path.join(tree.TOP, METRICS), 'w', encoding='utf-8') as f:
        f.write(metrics_text())
    sys.exit(0)

if not tree.exists(METRICS) or tree.read(METRICS) != metrics_text():
    tree.report(METRICS, 0, 'differs from base/tbl/: run tests/lint/tables.py --write')
compare(PROTOCOL, 'Errors', [(r[1], r[2]) for r in rows('errors.h', 'FAULT')])
compare(PROTOCOL, 'Close codes', close_reasons())
if tree.exists(THREADS):
    compare(THREADS, 'Letters', list(rows('letters.h', 'LETTER')))
tree.finish()
