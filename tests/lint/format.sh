#!/bin/sh
# SPDX-License-Identifier: MIT
# All C files are as clang-format leaves them. Other versions of the tool differ in small things, so only 14 judges.
# Tables (tbl/) are laid out by hand. `format.sh fix` formats in place.
cd "$(dirname "$0")/../.." || exit 1

tool=
for t in clang-format-14 clang-format; do
	if command -v "$t" >/dev/null && "$t" --version | grep -q 'version 14\.'; then
		tool=$t
		break
	fi
done
if [ -z "$tool" ]; then
	echo "clang-format 14 is not installed"
	exit 77
fi
if [ "$1" = fix ]; then
	set -- -i
else
	set -- --dry-run -Werror
fi
find base net store broker transports daemon cli tests bench \
	-name node_modules -prune -o -name tbl -prune -o -name '*.[ch]' -print0 |
	xargs -0 -r "$tool" --style=file "$@"
