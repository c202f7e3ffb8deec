#!/bin/sh
# SPDX-License-Identifier: MIT
# bundle VERSION OUTPUT: the sources of the client as one minified ES module. Used by the build and by `npm pack`.
set -eu
here=$(CDPATH="" cd -- "$(dirname -- "$0")" && pwd)
exec "${ESBUILD:-esbuild}" "$here/src/index.js" --bundle --format=esm --target=es2020 --minify --legal-comments=none \
	--log-level=warning "--define:HOLDFAST_VERSION=\"$1\"" "--banner:js=/* Holdfast $1, MIT licence */" "--outfile=$2"
