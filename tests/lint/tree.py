# SPDX-License-Identifier: MIT
"""What the lint tests share: the files of the tree, and how a finding is reported."""
import os
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# Dependency order: a folder includes only folders that stand before it.
LAYERS = ['base', 'net', 'store', 'broker', 'transports', 'daemon', 'cli']
TOP_FOLDERS = LAYERS + ['client', 'tests', 'bench', 'docs', 'packaging']
NOT_OURS = {'.git', 'node_modules', '__pycache__', '.cache', 'data'}

findings = 0


def files(*suffixes, under=('',)):
    """Paths relative to the top of all our files that end so (all files when nothing is named)."""
    found = []
    for folder in under:
        for path, folders, names in os.walk(os.path.join(TOP, folder)):
            relative = os.path.relpath(path, TOP)
            folders[:] = sorted(f for f in folders if f not in NOT_OURS
                                and not (relative == '.' and f.startswith('build')))
            for name in names:
                if not suffixes or name.endswith(suffixes):
                    found.append(os.path.normpath(os.path.join(relative, name)))
    return sorted(set(found))


def read(path):
    with open(os.path.join(TOP, path), encoding='utf-8') as f:
        return f.read()


def exists(path):
    return os.path.exists(os.path.join(TOP, path))


def scripts():
    """Shell scripts: by suffix, or by the first line."""
    found = []
    for path in files():
        if path.endswith('.sh'):
            found.append(path)
        elif '.' not in os.path.basename(path) and 'corpus' not in path.split(os.sep):
            with open(os.path.join(TOP, path), 'rb') as f:
                if f.readline(40).rstrip() in (b'#!/bin/sh', b'#!/bin/bash', b'#!/usr/bin/env bash'):
                    found.append(path)
    return found


def report(path, line, text):
    global findings
    findings += 1
    print(f'{path}:{line}: {text}' if line else f'{path}: {text}')


def finish():
    """End the test: exit code 1 when something was reported."""
    if findings:
        print(f'{findings} finding(s)')
    sys.exit(1 if findings else 0)
