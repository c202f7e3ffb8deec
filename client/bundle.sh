#!/bin/sh
# SPDX-License-Identifier: MIT
# bundle VERSION FOLDER: the sources of the client as two minified ES modules: holdfast.js, and holdfast-more.js, which it
# fetches when it is needed. Used by the build and by `npm pack`.
# Properties that are named in the file internal-names, and only these, get short names, in both modules the same ones. Never
# put a name there that is known elsewhere: to the DOM, on the wire, in holdfast.d.ts, between tabs, in what is kept.
set -eu
here=$(CDPATH="" cd -- "$(dirname -- "$0")" && pwd)
short=$(mktemp)
trap 'rm -f "$short"' EXIT
echo '{}' >"$short"
names=$(tr -s ' \n' '||' <"$here/internal-names")
bundle() {
	"${ESBUILD:-esbuild}" "$here/src/$1" --bundle --format=esm --target=es2020 --minify --legal-comments=none --log-level=warning \
		'--external:*/holdfast-more.js' "--mangle-props=^(${names%|})\$" "--mangle-cache=$short" \
		"--define:HOLDFAST_VERSION=\"$3\"" "--banner:js=/* Holdfast $3, MIT licence */" "--outfile=$2"
}
bundle index.js "$2/holdfast.js" "$1"
bundle holdfast-more.js "$2/holdfast-more.js" "$1"
