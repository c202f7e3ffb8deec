# SPDX-License-Identifier: MIT
"""embed INPUT NAME OUTPUT: a C file that holds the bytes of INPUT as NAME, their number as NAME_size, an entity tag for them
as NAME_etag, and the same in gzip as NAME_gz and NAME_gz_size."""
import gzip
import hashlib
import sys


def bytes_of(out, name, data):
    out.write(f'extern const char {name}[];\nextern const unsigned long {name}_size;\n')
    out.write(f'const unsigned long {name}_size = {len(data)};\nconst char {name}[] = {{\n')
    for i in range(0, len(data), 16):
        out.write('\t' + ', '.join(str(b if b < 128 else b - 256) for b in data[i:i + 16]) + ',\n')
    out.write('\t0,\n};\n')


path, name, output = sys.argv[1:]
data = open(path, 'rb').read()
with open(output, 'w') as out:
    out.write(f'extern const char {name}_etag[];\n')
    out.write(f'const char {name}_etag[] = "\\"{hashlib.sha256(data).hexdigest()[:16]}\\"";\n')
    bytes_of(out, name, data)
    bytes_of(out, name + '_gz', gzip.compress(data, 9, mtime=0))
