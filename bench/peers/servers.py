# SPDX-License-Identifier: MIT
"""The servers that are measured: how each is started, and what bench/load has to say to it.

A server is started afresh for each run, in a folder of its own, on loopback ports that were free a moment ago, on one
processor. Each is configured for speed: one worker, no compression, no logs of what happens per message.

A class here has a name, a label, `start()`, and `speaks`: {way to subscribe: [options of bench/load]}.
"""
import os
import signal
import socket
import subprocess
import tempfile
import time

import harness
from harness import Failure

HERE = os.path.dirname(os.path.abspath(__file__))
STOP_S = 5


def free_ports(n):
    sockets = []
    for _ in range(n):
        s = socket.socket()
        s.bind(('127.0.0.1', 0))
        sockets.append(s)
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Server:
    """`with Kind(packages, node) as s:` starts and stops it, with all its processes."""
    speaks = {}
    port_n = 1

    def __init__(self, packages, node):
        """packages: where those of Debian were unpacked; node: the program."""
        self.packages, self.node = packages, node
        self.children = []  # (process, is it a part of the server?)
        self.ports = free_ports(self.port_n)
        self.address = f'127.0.0.1:{self.ports[0]}'

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        with open(self.path(name), 'w', encoding='utf-8') as f:
            f.write(text)
        return self.path(name)

    def spawn(self, *command, counts=True, env=None):
        with open(self.path(f'log-{len(self.children)}'), 'wb') as log:
            child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder,
                                     start_new_session=True, preexec_fn=harness.pinned(0 if counts else None),
                                     env={**os.environ, **(env or {})})
        self.children.append((child, counts))

    def __enter__(self):
        self.scratch = tempfile.TemporaryDirectory(prefix='holdfast-peers-')
        self.folder = self.scratch.name
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def pids(self):
        return [str(child.pid) for child, counts in self.children if counts]

    def start(self):
        raise NotImplementedError

    def load_options(self, way):
        return ['--server', self.address, *self.speaks[way]]

    def logs(self):
        text = ''
        for i in range(len(self.children)):
            with open(self.path(f'log-{i}'), encoding='utf-8', errors='replace') as f:
                text += f.read()[-2000:]
        return text

    def wait_for(self, what, is_there):
        end = time.monotonic() + harness.START_S
        while not is_there():
            for child, _ in self.children:
                if child.poll() is not None:
                    raise Failure(f'{self.name} ended with {child.returncode}: {self.logs()}')
            if time.monotonic() > end:
                raise Failure(f'{self.name}: no {what} within {harness.START_S} s: {self.logs()}')
            time.sleep(0.02)

    def wait_for_ports(self, *ports):
        def answers(port):
            with socket.socket() as s:
                return s.connect_ex(('127.0.0.1', port)) == 0
        for port in ports:
            self.wait_for(f'answer on port {port}', lambda port=port: answers(port))

    def wait_for_status(self, status, path='/is-it-there'):
        """All that takes part in an answer is there: a port may be open before its processes are."""
        def answers():
            try:
                with socket.create_connection(('127.0.0.1', self.ports[0]), timeout=2) as s:
                    s.sendall(f'GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n'.encode())
                    return s.recv(64).startswith(b'HTTP/1.1 %d ' % status)
            except OSError:
                return False
        self.wait_for(f'answer {status}', answers)

    def wait_for_address(self, file):
        def is_told():
            try:
                with open(file, encoding='utf-8') as f:
                    lines = f.read().splitlines()
            except OSError:
                return False
            found = [line for line in lines if line.startswith('127.')]
            self.address = found[0] if found else self.address
            return bool(found)
        self.wait_for('address', is_told)

    def stop(self):
        for child, _ in self.children:
            self.kill(child, signal.SIGTERM)
        end = time.monotonic() + STOP_S
        for child, _ in self.children:
            try:
                child.wait(max(0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                pass
            self.kill(child, signal.SIGKILL)  # whoever of its session is left
            child.wait()
        self.scratch.cleanup()

    @staticmethod
    def kill(child, number):
        try:
            os.killpg(child.pid, number)
        except ProcessLookupError:
            pass


OURS = {'ws': [], 'sse': [], 'longpoll': []}


class Floor(Server):
    name, label, speaks = 'floor', 'floor: bare send()', OURS
    options = ()

    def start(self):
        self.spawn(harness.FLOOR, '--listen', '127.0.0.1:0', '--port-file', self.path('port'), *self.options)
        self.wait_for_address(self.path('port'))


class MergedFloor(Floor):
    name, label = 'floor-merged', 'floor: one send() per turn'
    options = ('--merge',)


class Holdfast(Server):
    """With its defaults: every message in SQLite at `commit` before anybody gets it."""
    name, label, speaks = 'holdfast', 'Holdfast (in SQLite)', OURS

    def start(self):
        os.mkdir(self.path('data'))
        self.spawn(harness.HOLDFASTD, '--server-listen', '127.0.0.1:0', '--server-port-file', self.path('port'),
                   '--server-data-dir', self.path('data'), '--server-workers', '1', '--server-log-sessions', 'no')
        self.wait_for_address(self.path('port'))


NGINX = '''
load_module {root}/usr/lib/nginx/modules/ngx_nchan_module.so;
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
worker_rlimit_nofile 65536;
events {{ worker_connections 65536; multi_accept on; use epoll; }}
http {{
	access_log off;
	tcp_nodelay on;
	keepalive_requests 1000000000;
	keepalive_timeout 1h;
	client_body_temp_path {folder}/body;
	proxy_temp_path {folder}/proxy;
	fastcgi_temp_path {folder}/fastcgi;
	uwsgi_temp_path {folder}/uwsgi;
	scgi_temp_path {folder}/scgi;
	client_body_in_single_buffer on;
	nchan_shared_memory_size 256M;
	nchan_message_buffer_length 1000;
	nchan_message_timeout 5m;
	server {{
		listen 127.0.0.1:{port} backlog=4096;
		nchan_subscriber_first_message newest;
		location ~ ^/pub/(.+)$ {{ nchan_publisher; nchan_channel_id $1; }}
		location ~ ^/ws/(.+)$ {{ nchan_subscriber websocket; nchan_channel_id $1; }}
		location ~ ^/sse/(.+)$ {{ nchan_subscriber eventsource; nchan_channel_id $1; }}
		location ~ ^/poll/(.+)$ {{
			nchan_subscriber longpoll; nchan_channel_id $1; nchan_subscriber_compound_etag_message_id on;
		}}
	}}
}}
'''


class Nchan(Server):
    """nginx with nchan: the newest 1,000 messages in shared memory."""
    name, label = 'nchan', 'nginx + nchan'
    publish = ('--publish-path', '/pub/%c')
    speaks = {
        'ws': ['--subscribe-path', '/ws/%c', '--ready', '', *publish],
        'sse': ['--subscribe-path', '/sse/%c', '--ready', '', *publish],
        # the first poll is not answered before there is a message: it needs time to arrive
        'longpoll': ['--subscribe-path', '/poll/%c', '--first-path', '', '--settle', '1', '--cursor', 'Etag: ',
                     '--header', 'If-None-Match: %1', *publish],
    }

    def start(self):
        user = 'user root root;' if os.getuid() == 0 else ''
        conf = self.write('nginx.conf', NGINX.format(root=self.packages, folder=self.folder, user=user,
                                                     port=self.ports[0]))
        self.spawn(f'{self.packages}/usr/sbin/nginx', '-p', self.folder, '-c', conf, '-e',
                   self.path('error.log'))
        self.wait_for_status(404)


NATS = '''
host: "127.0.0.1"
port: {ports[1]}
ping_interval: "1h"
websocket {{ host: "127.0.0.1", port: {ports[0]}, no_tls: true, compression: false }}
'''


class Nats(Server):
    """Core NATS over WebSocket: nothing is stored. Go runs on as many processors as the process may use: one."""
    name, label, port_n = 'nats', 'nats-server', 2
    speaks = {
        'ws': ['--subscribe-path', '/', '--subscribe-text',
               r'CONNECT {"verbose":false,"pedantic":false}\r\nSUB %c 1\r\nPING\r\n', '--ready', 'PONG',
               '--publish', 'ws', '--publish-path', '/', '--publish-text', r'PUB %c %n\r\n%p\r\n', '--ack', '+OK',
               '--binary'],
    }

    def start(self):
        self.spawn(f'{self.packages}/usr/sbin/nats-server', '-c',
                   self.write('nats.conf', NATS.format(ports=self.ports)))
        self.wait_for_ports(*self.ports)


PUSHPIN = '''
[global]
include={root}/usr/lib/pushpin/internal.conf
libdir={root}/usr/lib/pushpin
rundir={folder}
ipc_prefix=p-
port_offset=0
stats_connection_ttl=120

[runner]
services=condure,pushpin-proxy,pushpin-handler
http_port=127.0.0.1:{ports[0]}
logdir={folder}
log_level=1
client_buffer_size=65536
client_maxconn=50000
condure_bin={root}/usr/bin/condure

[proxy]
routesfile=routes
zurl_out_specs=ipc://{folder}/zurl-in
zurl_out_stream_specs=ipc://{folder}/zurl-in-stream
zurl_in_specs=ipc://{folder}/zurl-out
updates_check=off
sig_iss=pushpin
sig_key=none

[handler]
push_in_spec=tcp://127.0.0.1:{ports[2]}
push_in_sub_specs=tcp://127.0.0.1:{ports[3]}
push_in_sub_connect=false
push_in_http_addr=127.0.0.1
push_in_http_port={ports[1]}
push_in_http_max_headers_size=10000
push_in_http_max_body_size=1000000
stats_spec=ipc://{folder}/p-stats
command_spec=tcp://127.0.0.1:{ports[4]}
message_rate=1000000
message_hwm=1000000
message_wait=5000
id_cache_ttl=60
connection_subscription_max=20
subscription_linger=60
stats_subscription_ttl=60
stats_report_interval=3600
stats_format=tnetstring
'''

ZURL = '''
[General]
in_spec=ipc://{folder}/zurl-in
in_stream_spec=ipc://{folder}/zurl-in-stream
out_spec=ipc://{folder}/zurl-out
defpolicy=allow
max_open_requests=2000
buffer_size=200000
timeout=600
in_hwm=10000
out_hwm=10000
'''


class Pushpin(Server):
    """pushpin stores nothing; its proxy, handler, condure and zurl count, the application behind it (grip.js) does not."""
    name, label, port_n = 'pushpin', 'pushpin', 6

    def start(self):
        root, folder = self.packages, self.folder
        self.write('routes', f'* 127.0.0.1:{self.ports[5]},over_http\n')
        self.spawn(self.node, f'{HERE}/grip.js', str(self.ports[5]), counts=False)
        self.wait_for_ports(self.ports[5])
        self.spawn(f'{root}/usr/bin/zurl', '--loglevel=0', f'--config={self.write("zurl.conf", ZURL.format(folder=folder))}')
        conf = self.write('pushpin.conf', PUSHPIN.format(root=root, folder=folder, ports=self.ports))
        self.spawn(f'{root}/usr/bin/pushpin', f'--config={conf}', '--merge-output',
                   env={'PATH': f'{root}/usr/bin:{os.environ["PATH"]}'})
        self.wait_for_ports(self.ports[0], self.ports[1])
        self.wait_for_status(200, '/sse')  # through the handler, which holds it

    speaks = {'ws': [], 'sse': []}

    def load_options(self, way):
        # a subscription takes another way than the first words to the subscriber, which may be there before it: --settle
        formats = {'ws': r'"ws-message":{"content":"%p"}', 'sse': r'"http-stream":{"content":"data: %p\\n\\n"}'}
        return ['--server', self.address, '--subscribe-path', f'/{way}', '--ready', 'ready', '--settle', '1', '--payload', 'text',
                '--publish-server', f'127.0.0.1:{self.ports[1]}', '--publish-path', '/publish/',
                '--content-type', 'application/json',
                '--publish-text', r'{"items":[{"channel":"%c","formats":{' + formats[way] + '}}]}']


class Script(Server):
    script = None

    def start(self):
        self.spawn(self.node, f'{HERE}/{self.script}', str(self.ports[0]), env={'NODE_ENV': 'production'})
        self.wait_for_ports(self.ports[0])


class Ws(Script):
    """The package `ws` on node, with one frame for all."""
    name, label, script = 'ws', 'ws (node)', 'ws.js'
    speaks = {'ws': ['--subscribe-path', '/', '--ready', '', '--publish-path', '/publish']}


class SocketIo(Script):
    """socket.io on node, WebSocket only."""
    name, label, script = 'socket.io', 'socket.io (node)', 'socketio.js'
    speaks = {'ws': ['--subscribe-path', '/socket.io/?EIO=4&transport=websocket', '--subscribe-text', '40',
                     '--ready', '40{', '--publish-path', '/publish']}


SERVERS = (Floor, MergedFloor, Holdfast, Nchan, Nats, Pushpin, Ws, SocketIo)
