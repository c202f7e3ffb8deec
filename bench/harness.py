# SPDX-License-Identifier: MIT
"""What the commands of bench/ share: servers that are started and stopped, the load generator, figures of several runs.

Programs are those of the build folder of HOLDFASTD (build/ unless it is set). With two processors or more, servers that are
pinned run on the first and the generator on the second.
"""
import atexit
import json
import os
import platform
import re
import select
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import urllib.request

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
HOLDFASTD = os.path.abspath(os.environ.get('HOLDFASTD', os.path.join(TOP, 'build/daemon/holdfastd')))
BUILD = os.path.dirname(os.path.dirname(HOLDFASTD))
LOAD, FLOOR = (os.path.join(BUILD, 'bench', name) for name in ('load', 'floor'))
PROCESSORS = sorted(os.sched_getaffinity(0))
START_S = 20


class Failure(Exception):
    """A run that can not be had; its text is for people."""


_running = []


def _end_all():
    for server in list(_running):
        server.stop()


atexit.register(_end_all)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def pinned(processor):
    """A function for the child to run before the program: on this processor only."""
    if processor is None or len(PROCESSORS) < 2:
        return None
    return lambda: os.sched_setaffinity(0, {PROCESSORS[processor]})


def wait_for_file(path, process, what):
    """Its text, once there is some; asks the kernel again and again, as a file has no event that is worth the trouble."""
    for _ in range(START_S * 50):
        if process.poll() is not None:
            raise Failure(f'{what} ended with {process.returncode}')
        if os.path.exists(path) and os.path.getsize(path):
            with open(path, encoding='utf-8') as f:
                return f.read()
        select.select([], [], [], 0.02)
    raise Failure(f'{what} is not ready after {START_S} s')


class Server:
    """A server of its own folder on a port of the kernel's choice. `with Broker(...) as s:` starts and stops it."""
    processor = 0

    def command(self):
        """The command line; self.folder is there."""
        raise NotImplementedError

    def find(self):
        """Wait until it listens; return HOST:PORT."""
        text = wait_for_file(os.path.join(self.folder, 'port'), self.process, self.command()[0])
        return next(line for line in text.splitlines() if line.startswith('127.'))

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix='holdfast-bench-')
        _running.append(self)
        with open(os.path.join(self.folder, 'log'), 'w', encoding='utf-8') as log:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log, preexec_fn=pinned(self.processor))
        try:
            self.address = self.find()
        except Failure as failure:
            with open(os.path.join(self.folder, 'log'), encoding='utf-8', errors='replace') as log:
                said = log.read()[-2000:]
            self.stop()
            raise Failure(f'{failure}\n{said}') from None
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        if self not in _running:
            return
        _running.remove(self)
        process = getattr(self, 'process', None)
        if process:
            process.kill()
            process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class Broker(Server):
    """holdfastd with a fresh log. Options as {'limits.last_limit': 5}, or without a dot those of [namespace]."""

    def __init__(self, options=None, workers=1, processor=0):
        self.options, self.workers, self.processor = options or {}, workers, processor

    def command(self):
        config = os.path.join(self.folder, 'config')
        with open(config, 'w', encoding='utf-8') as f:
            f.write('[namespace]\n')
            f.writelines(f'{name} = {value}\n' for name, value in self.options.items() if '.' not in name)
        given = [f'--{name.replace(".", "-").replace("_", "-")}={value}' for name, value in self.options.items() if '.' in name]
        return [HOLDFASTD, '--config', config, '--server-listen', '127.0.0.1:0', '--server-port-file', os.path.join(self.folder, 'port'),
                '--server-data-dir', self.folder, '--server-workers', str(self.workers), '--server-log-sessions', 'no', *given]

    def histogram(self, name):
        """{end of a bucket: how many up to there}, of /metrics."""
        with urllib.request.urlopen(f'http://{self.address}/metrics', timeout=30) as answer:
            text = answer.read().decode()
        return {float(end): float(n) for end, n in re.findall(rf'^{name}_bucket{{le="([^"]+)"}} (\S+)$', text, re.M)}


class Floor(Server):
    def __init__(self, merge=False, processor=0):
        self.merge, self.processor = merge, processor

    def command(self):
        return [FLOOR, '--port-file', os.path.join(self.folder, 'port'), *(['--merge'] if self.merge else [])]


def load_command(server, args, processor=1):
    pin = ['--cpu', str(PROCESSORS[processor])] if processor is not None and len(PROCESSORS) > 1 else []
    return [LOAD, '--server', server.address, '--pid', str(server.process.pid), '--json', *pin, *map(str, args)]


def finish_load(process):
    """What a load process measured; raises Failure when that is worth nothing."""
    out, err = process.communicate()
    if process.returncode not in (0, 1) or not out.startswith('{'):
        raise Failure(f'load ended with {process.returncode}: {err.strip()[-1000:]}')
    return json.loads(out)


def start_load(server, args, processor=1):
    return subprocess.Popen(load_command(server, args, processor), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run_load(server, args, processor=1):
    return finish_load(start_load(server, args, processor))


def faults(result):
    """What should be nought and is not, as {name: number}."""
    names = ('lost', 'repeated', 'out_of_order', 'misrouted', 'foreign', 'refused', 'abandoned', 'closed', 'late')
    return {name: result[name] for name in names if result[name]}


def await_phase(process, phase):
    """Read the standard error of a load process with --phases until it says so."""
    for line in process.stderr:
        if line.strip() == f'load: {phase}':
            return
    raise Failure(f'load ended before it was {phase}')


def summary(values):
    """Median, least and greatest of several runs, and the runs."""
    return {'median': statistics.median(values), 'min': min(values), 'max': max(values), 'runs': values}


def machine():
    """Where it was measured, for the reader of a table."""
    model = ''
    with open('/proc/cpuinfo', encoding='utf-8') as f:
        for line in f:
            if line.startswith('model name'):
                model = line.split(':', 1)[1].strip()
                break
    return {'processor': model, 'processors': len(PROCESSORS), 'system': f'{platform.system()} {platform.release().split("-")[0]}',
            'load': os.getloadavg()[0]}


PAGE = os.path.join(TOP, 'docs/performance.md')


def write_section(command, lines):
    """Renew the part of docs/performance.md that this command writes."""
    begin, end = f'<!-- begin: {command} -->', f'<!-- end: {command} -->'
    with open(PAGE, encoding='utf-8') as f:
        before, rest = f.read().split(begin, 1)
    with open(PAGE, 'w', encoding='utf-8') as f:
        f.write('\n'.join([before + begin, '', *lines, '', end + rest.split(end, 1)[1]]))


def where_text(report_machine):
    """Where figures come from, for the reader of a section."""
    m = report_machine
    return f'{m["processor"]}, {m["processors"]} processors, {m["system"]}'


def need(*programs):
    for program in programs:
        if not os.access(program, os.X_OK):
            sys.exit(f'bench: {program} is not built: ./dev bench')
