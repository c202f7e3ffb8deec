#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Who includes whom, and in which order.

Layers. A file of a layer includes headers of its own folder, those that its folder's .may_include
names, and system headers. Libraries are named there too. A line of .may_include is a pattern, and
after it the only files that may use it, if not all may:

    base/*.h
    <event2/*.h> loop.c mailbox.c
    <sqlite3.h> sqlite*

Order. Groups are separated by a blank line: first the file's own header (a file without one may put
the header of the interface it implements there), then <system> headers, then "project" headers; each
group is sorted. <cmocka.h> and what it needs before it are a group of their own, the first of a test.
Includes below the first line of code (tables) are free.
"""
import fnmatch
import os
import re

import tree

# Headers of libraries. All else in <> is the C library or the kernel.
LIBRARY = re.compile(r'(bsd/|curl/|event2/|hiredis/|openssl/|ini\.h|jansson\.h|llhttp\.h|sodium|'
                     r'sqlite3|utarray\.h|uthash\.h|utlist\.h|zlib\.h)')
INCLUDE = re.compile(r'\s*#\s*include\s+([<"])([^>"]+)[>"]')


def allowance(folder):
    """[(pattern, files)] of a layer's .may_include; reports what points upwards."""
    rules = []
    path = f'{folder}/.may_include'
    if not tree.exists(path):
        tree.report(path, 0, 'missing')
        return rules
    for number, line in enumerate(tree.read(path).splitlines(), 1):
        words = line.split('#')[0].split()
        if not words:
            continue
        rules.append((words[0], words[1:]))
        layer = words[0].split('/')[0]
        if layer in tree.LAYERS and tree.LAYERS.index(layer) >= tree.LAYERS.index(folder):
            tree.report(path, number, f'{layer}/ is not above {folder}/')
    return rules


def allowed(rules, name, header):
    for pattern, only in rules:
        if fnmatch.fnmatchcase(header, pattern) and (not only or any(fnmatch.fnmatchcase(name, o) for o in only)):
            return True
    return False


def check_layers():
    for folder in tree.LAYERS:
        if not tree.exists(folder):
            continue
        rules = allowance(folder)
        for path in tree.files('.c', '.h', under=[folder]):
            for number, line in enumerate(tree.read(path).splitlines(), 1):
                m = INCLUDE.match(line)
                if not m or m[1] == '<' and not LIBRARY.match(m[2]):
                    continue
                header = f'<{m[2]}>' if m[1] == '<' else m[2]
                if m[1] == '"' and not tree.exists(header):
                    tree.report(path, number, f'{header} is not a path from the top of the tree')
                elif not header.startswith(folder + '/') and not allowed(rules, os.path.relpath(path, folder), header):
                    tree.report(path, number, f'may not include {header} (see {folder}/.may_include)')


def top_includes(text):
    """[(line number, bracket, header)] before the first line of code; None stands for a blank line."""
    found = []
    comment = False
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if comment or stripped.startswith('/*'):
            comment = '*/' not in stripped
            continue
        m = INCLUDE.match(line)
        if m:
            found.append((number, m[1], m[2]))
        elif not stripped:
            if found and found[-1] is not None:
                found.append(None)
        elif not stripped.startswith(('#', '//')):
            break
    return found


def groups_of(includes):
    groups = [[]]
    for item in includes:
        if item is None:
            groups.append([])
        else:
            groups[-1].append(item)
    return [g for g in groups if g]


def check_order(path):
    groups = [g for g in groups_of(top_includes(tree.read(path))) if g[-1][2] != 'cmocka.h']
    if not groups:
        return
    own = path[:-2] + '.h'
    first = groups[0]
    if path.endswith('.c') and tree.exists(own) and (len(first) != 1 or first[0][2] != own):
        tree.report(path, first[0][0], f'its own header "{own}" comes first, in a group of its own')
        return
    if path.endswith('.c') and len(first) == 1 and first[0][1] == '"' and len(groups) > 1:
        groups = groups[1:]
    brackets = []
    for group in groups:
        if len({item[1] for item in group}) > 1:
            tree.report(path, group[0][0], 'a blank line between <system> and "project" headers')
            return
        for a, b in zip(group, group[1:]):
            if a[2] >= b[2]:
                tree.report(path, b[0], f'{b[2]} does not sort after {a[2]}')
        brackets.append(group[0][1])
    if len(groups) > 2 or brackets not in (['<'], ['"'], ['<', '"']):
        tree.report(path, groups[-1][0][0], 'groups are: own header, <system>, "project"')


check_layers()
for source in tree.files('.c', '.h'):
    if '/tbl/' not in source:
        check_order(source)
tree.finish()
