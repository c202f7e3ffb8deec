#!/bin/sh
# SPDX-License-Identifier: MIT
# Shell scripts, as shellcheck likes them.
cd "$(dirname "$0")" || exit 1

if ! command -v shellcheck >/dev/null; then
	echo "shellcheck is not installed"
	exit 77
fi
python3 -B -c 'import tree
print(*tree.scripts(), sep="\n")' | (cd ../.. && xargs -r -d '\n' shellcheck)
