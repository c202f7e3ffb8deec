#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Rules that a line of text can break:

- each source names its licence near its top;
- no notes to self: what is to do is done, or stands in an issue;
- tests wait for events, counters and barriers; they never sleep. A loop that asks again and again for
  something that has no event says so on the line: "lint: polls";
- conditional compilation stays in base/ (tables of functions and whole files are the other ways);
- lock files name no registry (tests/.npmrc sees to that);
- no white space at the end of a line, a newline at the end of the file.
"""
import re

import tree

SOURCES = ('.c', '.h', '.js', '.mjs', '.ts', '.py', '.sh')
TEXTS = SOURCES + ('.md', '.scd', '.build', '.txt', '.css', '.html', '.service', '.yml')
NOTE = re.compile(r'\b(' + '|'.join(['TO' + 'DO', 'FIX' + 'ME', 'XX' + 'X']) + r')\b')
C_SLEEP = re.compile(r'\b(u?sleep|nanosleep|clock_nanosleep)\s*\(')
JS_SLEEP = re.compile(r'timers/promises|\bawait\s+(sleep|delay|wait_ms)\s*\(|'
                      r'await\s+new\s+Promise\(\s*\(?\w+\)?\s*=>\s*setTimeout\(\s*\w+\s*,')
SH_SLEEP = re.compile(r'(^|[;&|]|\bdo\b|\bthen\b)\s*sleep\s')
PY_SLEEP = re.compile(r'\btime\.sleep\(')
CONDITIONAL = re.compile(r'\s*#\s*(if|ifdef|elif)\b')


def is_test(path):
    return path.startswith('tests/') and not path.startswith('tests/lint/')


def sleeps(path, shell, line):
    if path.endswith(('.c', '.h')):
        return C_SLEEP.search(line)
    if path.endswith(('.js', '.mjs')):
        return JS_SLEEP.search(line)
    if path.endswith('.py'):
        return PY_SLEEP.search(line)
    return shell and SH_SLEEP.search(line)


def check_text(path, shell):
    text = tree.read(path)
    source = path.endswith(SOURCES) or shell
    if source and 'SPDX-License-Identifier: MIT' not in '\n'.join(text.split('\n', 3)[:3]):
        tree.report(path, 1, 'no SPDX-License-Identifier: MIT in the first three lines')
    if text and not text.endswith('\n'):
        tree.report(path, text.count('\n') + 1, 'no newline at the end of the file')
    conditional = path.endswith(('.c', '.h')) and not path.startswith(('base/', 'tests/', 'bench/'))
    for number, line in enumerate(text.splitlines(), 1):
        if NOTE.search(line):
            tree.report(path, number, 'a note to self')
        if line != line.rstrip():
            tree.report(path, number, 'white space at the end of the line')
        if conditional and CONDITIONAL.match(line):
            tree.report(path, number, 'conditional compilation outside base/')
        if is_test(path) and 'lint: polls' not in line and sleeps(path, shell, line):
            tree.report(path, number, 'a test that sleeps')


for lock in tree.files('package-lock.json'):
    if '"resolved"' in tree.read(lock):
        tree.report(lock, 0, 'names the registry it was made with; see tests/.npmrc')
shell_scripts = set(tree.scripts())
for text_file in tree.files(*TEXTS):
    if 'corpus' not in text_file.split('/'):
        check_text(text_file, text_file in shell_scripts)
for script in sorted(shell_scripts):
    if not script.endswith(TEXTS):
        check_text(script, True)
tree.finish()
