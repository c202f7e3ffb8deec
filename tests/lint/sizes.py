#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Size guide: a function has at most 60 lines, a .c file 800, a header 200.

What is larger needs a line in size-exceptions: what, its limit, and why. Entries that are not needed
any more are reported too, so the list stays short.
"""
import re

import tree

FUNCTION_MAX, SOURCE_MAX, HEADER_MAX = 60, 800, 200
LIST = 'tests/lint/size-exceptions'


def read_exceptions():
    """{path or path:function: (limit, line number)}"""
    found = {}
    for number, line in enumerate(tree.read(LIST).splitlines(), 1):
        if not line.strip() or line.startswith('#'):
            continue
        words = line.split(None, 2)
        if len(words) < 3 or not words[1].isdigit():
            tree.report(LIST, number, 'WHAT LIMIT REASON')
        else:
            found[words[0]] = (int(words[1]), number)
    return found


def functions(lines):
    """(name, line number, length) of each function; its braces stand in the first column."""
    for end, line in enumerate(lines):
        if line.rstrip() != '}':
            continue
        brace = end
        while brace > 0 and lines[brace].rstrip() != '{':
            brace -= 1
        start = brace
        while start > 0 and lines[start - 1].strip() and not lines[start - 1].startswith(('#', '}')) \
                and not lines[start - 1].rstrip().endswith((';', '*/')):
            start -= 1
        m = re.search(r'(\w+)\s*\(', ' '.join(lines[start:brace]))
        if m and brace > 0:
            yield m[1], start + 1, end - start + 1


exceptions = read_exceptions()
used = set()


def check(what, path, line, size, limit):
    if size <= limit:
        return
    if what in exceptions:
        used.add(what)
        limit = exceptions[what][0]
    if size > limit:
        tree.report(path, line, f'{what} has {size} lines, the limit is {limit}')


for source in tree.files('.c', '.h'):
    lines = tree.read(source).splitlines()
    check(source, source, 0, len(lines), HEADER_MAX if source.endswith('.h') else SOURCE_MAX)
    for name, line, size in functions(lines):
        check(f'{source}:{name}', source, line, size, FUNCTION_MAX)
for what in sorted(set(exceptions) - used):
    tree.report(LIST, exceptions[what][1], f'{what} needs no exception any more')
tree.finish()
