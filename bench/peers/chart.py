# SPDX-License-Identifier: MIT
"""The chart: for each case a bar per server, as long as its processor time per delivery, on a logarithmic scale; of the
two floors the one to compare with.

Plain SVG that says by itself which colours it wants on a light and on a dark page. By hand, from stored figures:
bench/peers/chart.py FIGURES.json >chart.svg
"""
import json
import math
import sys
from xml.sax.saxutils import escape

WIDTH, LEFT, RIGHT = 760, 190, 90
BAR, GAP, TITLE, PANEL_GAP, TOP, BOTTOM = 16, 6, 26, 18, 58, 34
STYLE = '''
  text { font: 13px system-ui, sans-serif; fill: #1f2328; }
  .title { font-weight: 600; }
  .head { font-size: 15px; font-weight: 600; }
  .small { font-size: 11px; fill: #59636e; }
  .grid { stroke: #d1d9e0; stroke-width: 1; }
  .peer { fill: #8c959f; }
  .floor { fill: #c8d1da; }
  .ours { fill: #0969da; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .small { fill: #9198a1; }
    .grid { stroke: #3d444d; }
    .peer { fill: #767f89; }
    .floor { fill: #444c56; }
    .ours { fill: #4493f8; }
  }
'''


def text(x, y, what, kind='', anchor='start'):
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(what)}</text>'


def ticks(low, high):
    """1, 2 and 5 times the powers of ten that lie between."""
    found = []
    for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1):
        found += [f * 10 ** power for f in (1, 2, 5) if low <= f * 10 ** power <= high]
    return found


def scale_of(values):
    """(value → x, low, high): a little room on both sides, so that the smallest has a bar, too."""
    low, high = min(values) / 2, max(values) * 1.1

    def x(value):
        return LEFT + (WIDTH - LEFT - RIGHT) * (math.log(value / low) / math.log(high / low))
    return x, low, high


def panel(out, y, title, found, labels, x):
    out.append(text(LEFT, y + 14, title, 'title'))
    y += TITLE
    for name, s in sorted(found.items(), key=lambda item: item[1]['cpu_us']):
        kind = 'ours' if name == 'holdfast' else 'floor' if name.startswith('floor') else 'peer'
        end = x(s['cpu_us'])
        out.append(text(LEFT - 8, y + 13, labels[name], '', 'end'))
        out.append(f'<rect x="{LEFT}" y="{y}" width="{end - LEFT:.1f}" height="{BAR}" rx="2" class="{kind}"/>')
        out.append(text(end + 6, y + 13, f'{s["cpu_us"]:.2f} µs' + (' !' if s['wrong'] else '')))
        y += BAR + GAP
    return y + PANEL_GAP


def wanted(found, floor):
    return {name: s for name, s in found.items() if name == floor or not name.startswith('floor')}


def draw(results, about, labels):
    """about: {case: {'title', 'floor'}}"""
    cases = {case: wanted(found, about[case]['floor']) for case, found in results.items()}
    cases = {case: found for case, found in cases.items() if found}
    if not cases:
        return '<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>\n'
    x, low, high = scale_of([s['cpu_us'] for found in cases.values() for s in found.values()])
    out, y = [], TOP
    for case, found in cases.items():
        y = panel(out, y, f'{case}: {about[case]["title"]}', found, labels, x)
    grid = [f'<line x1="{x(t):.1f}" x2="{x(t):.1f}" y1="{TOP - 6}" y2="{y}" class="grid"/>'
            + text(x(t), y + 14, f'{t:g}', 'small', 'middle') for t in ticks(low, high)]
    head = [text(LEFT, 22, 'Processor time of the server per delivery', 'head'),
            text(LEFT, 40, 'microseconds, logarithmic; shorter is better', 'small')]
    body = '\n'.join([*grid, *head, *out])
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + BOTTOM}" width="{WIDTH}" height="{y + BOTTOM}"'
            f' role="img" aria-label="Processor time of the server per delivery">\n<style>{STYLE}</style>\n{body}\n</svg>\n')


def main():
    with open(sys.argv[1], encoding='utf-8') as f:
        stored = json.load(f)
    sys.stdout.write(draw(stored['cases'], stored['about'], stored['labels']))


if __name__ == '__main__':
    main()
