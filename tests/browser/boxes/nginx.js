// SPDX-License-Identifier: MIT
// nginx: as its manual's first example has it, as packaging/proxies/nginx.conf has it, and with what makes it worse.

import fs from 'node:fs';
import path from 'node:path';
import { Program, certificate, shipped, swap } from './program.js';

// What of Debian's nginx.conf matters here, and all paths into the folder. `server` is what stands in sites-enabled or conf.d.
function main(dir, server) {
  fs.writeFileSync(path.join(dir, 'server.conf'), server);
  fs.writeFileSync(path.join(dir, 'nginx.conf'), `
daemon off;
master_process off;
pid ${dir}/pid;
error_log stderr warn;
events { worker_connections 768; }
http {
	sendfile on;
	tcp_nopush on;
	types_hash_max_size 2048;
	default_type application/octet-stream;
	gzip on;
	access_log off;
	client_body_temp_path ${dir}/body;
	proxy_temp_path ${dir}/proxy;
	fastcgi_temp_path ${dir}/fastcgi;
	uwsgi_temp_path ${dir}/uwsgi;
	scgi_temp_path ${dir}/scgi;
	include ${dir}/server.conf;
}
`);
  return ['-p', dir, '-e', 'stderr', '-c', path.join(dir, 'nginx.conf')];
}

const bare = (port, upstream, more = '') => `
server {
	listen 127.0.0.1:${port};
	location / {
		proxy_pass http://127.0.0.1:${upstream};
		${more}
	}
}
`;

const open = (server, how) => (upstream) => Program.open('nginx', upstream, ({ port, dir }) => main(dir, server(port, upstream, dir)), how);
const ours = (port, upstream) => swap(shipped('nginx.conf'), { 'listen 80;': `listen 127.0.0.1:${port};`, '127.0.0.1:8080': `127.0.0.1:${upstream}` });

export const nginx = {
  defaults: open((port, upstream) => bare(port, upstream)),
  // Told not to listen to the broker's wish, it keeps what comes until its buffers are full.
  buffering: open((port, upstream) => bare(port, upstream, 'proxy_ignore_headers X-Accel-Buffering;')),
  // Compression of everything, streams too.
  gzip: open((port, upstream) => bare(port, upstream, 'gzip_types *; gzip_proxied any; gzip_min_length 1;')),
  // A stream that is silent for so long is cut.
  impatient: open((port, upstream) => bare(port, upstream, 'proxy_read_timeout 2s;')),
  ours: open(ours),
  tls: open((port, upstream, dir) => {
    const { crt, key } = certificate(dir);
    return swap(ours(port, upstream), {
      [`listen 127.0.0.1:${port};`]: `listen 127.0.0.1:${port} ssl http2;\n\tssl_certificate ${crt};\n\tssl_certificate_key ${key};`,
    });
  }, { tls: true }),
};
