#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The documents point only at what is there: links between them, headings, and paths in backticks."""
import glob
import os
import re

import tree

LINK = re.compile(r'\[[^\]]*\]\(([^)\s]+)\)')
CODE = re.compile(r'`([^`]+)`')
PATH = re.compile(r'(?:' + '|'.join(tree.TOP_FOLDERS) + r')/[\w.*\[\]/-]*')


def prose(text):
    """(line number, line) outside fenced code."""
    fenced = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith('```'):
            fenced = not fenced
        elif not fenced:
            yield number, line


def anchors(text):
    """Names that hosts give to headings: lower case, no punctuation, a dash for a space."""
    found = set()
    for _, line in prose(text):
        if line.startswith('#'):
            title = re.sub(r'\[([^\]]*)\]\([^)]*\)', r'\1', line.lstrip('#').strip()).lower()
            found.add(re.sub(r'[^\w\- ]', '', title).replace(' ', '-'))
    return found


def check_link(path, number, target):
    if re.match(r'[a-z]+:', target):
        return
    target, _, anchor = target.partition('#')
    file = os.path.normpath(os.path.join(os.path.dirname(path), target)) if target else path
    if not tree.exists(file):
        tree.report(path, number, f'{target} does not exist')
    elif anchor and file.endswith('.md') and anchor not in anchors(tree.read(file)):
        tree.report(path, number, f'{file} has no heading #{anchor}')


def check_path(path, number, name):
    """A path of the tree; the ending may be left out, * and [ch] are patterns, NAME and TARGET stand for any."""
    name = re.sub('NAME|TARGET', '*', name.rstrip('/.'))
    if not any(glob.glob(os.path.join(tree.TOP, name + ending)) for ending in ('', '.c', '.h')):
        tree.report(path, number, f'{name} does not exist')


for document in tree.files('.md'):
    for number, line in prose(tree.read(document)):
        for m in LINK.finditer(CODE.sub('', line)):
            check_link(document, number, m[1])
        for m in CODE.finditer(line):
            for word in m[1].split():
                if PATH.fullmatch(word):
                    check_path(document, number, word)
tree.finish()
