#!/bin/sh
# SPDX-License-Identifier: MIT
# What lists the options of the daemon says what daemon/tbl/options.h says: docs/config.md, the man page, the example
# file. Between the marks `options begin` and `options end` each holds what PROGRAM prints (holdfastd, or the test's
# print_options). `docs_config.sh PROGRAM --write` puts it there; without, differences are shown and are an error.
if [ $# -lt 1 ]; then
	echo "usage: docs_config.sh PROGRAM [--write]" >&2
	exit 2
fi
program=$(realpath "$1") || exit 2
mode=$2
cd "$(dirname "$0")/../.." || exit 2
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
status=0

# check FILE FORMAT
check() {
	if [ "$(grep -c 'options begin' "$1")" != 1 ] || [ "$(grep -c 'options end' "$1")" != 1 ]; then
		echo "$1: needs one mark 'options begin' and one 'options end'"
		status=1
		return
	fi
	"$program" --print-options "$2" >"$work/options" || exit 2
	awk -v options="$work/options" '
		/options end/ { inside = 0 }
		!inside { print }
		/options begin/ {
			inside = 1
			while ((getline line <options) > 0)
				print line
		}' "$1" >"$work/file" || exit 2
	if cmp -s "$work/file" "$1"; then
		return
	fi
	if [ "$mode" = --write ]; then
		cat "$work/file" >"$1"
		echo "$1: written"
	else
		diff -u "$1" "$work/file"
		echo "$1: differs from daemon/tbl/options.h; run tests/lint/docs_config.sh holdfastd --write"
		status=1
	fi
}

check docs/config.md markdown
check packaging/holdfastd.8.scd scdoc
check packaging/holdfast.conf example
if ! "$program" -c packaging/holdfast.conf --check-config >"$work/out" 2>&1; then
	cat "$work/out"
	status=1
fi
exit $status
