# SPDX-License-Identifier: MIT
"""The named cases of bench/run: who is measured (variants), under which load, which figures are told, what is to be reached.

A case is a list of variants that are measured in turn, run after run; the last one is what the others are divided by, unless it
has no reference. A variant's `run` gives the figures of one run as {name: number}.
"""
import dataclasses
import os
import signal
import typing

from harness import Broker, Failure, Floor, await_phase, faults, finish_load, run_load, start_load

WRITES = ['--counter', 'holdfast_socket_writes_total']
EPHEMERAL = ['--publish-path', '/v1/publish?channel=%c&ephemeral=1']

# Figures: title, format.
FIGURES = {
    'cpu_us': ('CPU µs/delivery', '{:.3f}'),
    'cpu_us_message': ('CPU µs/message', '{:.2f}'),
    'rate': ('deliveries/s', '{:,.0f}'),
    'writes': ('writes/delivery', '{:.3f}'),
    'p50': ('p50 ms', '{:.3f}'),
    'p99': ('p99 ms', '{:.3f}'),
    'last_p50': ('last one p50 ms', '{:.1f}'),
    'last_p99': ('p99 ms', '{:.1f}'),
    'busy': ('generator busy', '{:.2f}'),
    'pss': ('PSS bytes/connection', '{:.0f}'),
    'anonymous': ('anonymous', '{:.0f}'),
    'second_half': ('PSS, second half', '{:.0f}'),
    'replay_rate': ('messages/s', '{:,.0f}'),
    'replay_cpu_us': ('CPU µs/message', '{:.3f}'),
    'replay_busy': ('generator busy', '{:.2f}'),
    'served_s': ('all served after s', '{:.2f}'),
    'served_p50_s': ('half of them after s', '{:.2f}'),
    'live_p99': ('live p99 ms', '{:.1f}'),
    'live_max': ('live largest ms', '{:.1f}'),
    'live_inside': ('of it in the broker, ≤ ms', '{:g}'),
}


def figures_of(r):
    """All that a result of load tells."""
    measure, n, messages = r['measure'], r['measured']['deliveries'], r['measured']['messages']
    found = {}
    if n:
        found |= {'cpu_us': measure['cpu_s'] * 1e6 / n, 'rate': n / measure['seconds'], 'busy': measure['generator_busy'],
                  'p50': r['latency_ms']['p50'], 'p99': r['latency_ms']['p99'],
                  'last_p50': r['last_ms'].get('p50', 0), 'last_p99': r['last_ms'].get('p99', 0)}
        if 'holdfast_socket_writes_total' in measure:
            found['writes'] = measure['holdfast_socket_writes_total'] / n
    if messages:
        found['cpu_us_message'] = measure['cpu_s'] * 1e6 / messages
    if 'replay' in r:
        found |= {'replay_rate': r['served_ms']['n'] * r['backlog'] / r['replay']['seconds'],
                  'replay_cpu_us': r['replay']['cpu_s'] * 1e6 / (r['served_ms']['n'] * r['backlog']),
                  'replay_busy': r['replay']['generator_busy'], 'served_s': r['served_ms']['max'] / 1e3, 'served_p50_s': r['served_ms']['p50'] / 1e3}
    one = r['memory']['per_connection']
    return found | {name: one[name] for name in ('pss', 'anonymous', 'second_half')}


def judged(r):
    if faults(r):
        raise Failure(f'load found: {faults(r)}')
    return r


def plain(server, args, processor=1):
    """One server, one load."""
    with server() as s:
        return figures_of(judged(run_load(s, args, processor)))


def replay_from_memory(server, args):
    """A subscriber that is there all the time makes the worker keep the channel's newest messages."""
    with server() as s:
        keeper = start_load(s, ['--subscribers', 1, '--messages', 0, '--hold', 300, '--phases'])
        await_phase(keeper, 'ready')
        figures = figures_of(judged(run_load(s, args)))
        keeper.send_signal(signal.SIGTERM)
        finish_load(keeper)
        return figures


def p99_ms(before, after):
    """The end of the bucket with the 99th of 100 between two readings of a histogram."""
    found = {end: n - before.get(end, 0) for end, n in after.items()}
    return 1e3 * min(end for end, n in found.items() if n >= 0.99 * max(found.values()))


def return_at_once(server, args):
    """Live traffic on one channel, while those of another one come back."""
    with server() as s:
        live = start_load(s, ['--channel', 'live', '--subscribers', 100, '--rate', 100, '--seconds', 300, '--warm-up', 0, '--phases'], None)
        await_phase(live, 'measuring')
        back = start_load(s, [*args, '--phases'], None)
        await_phase(back, 'connecting')
        live.send_signal(signal.SIGUSR1)
        before = s.histogram('holdfast_delivery_seconds')
        figures = figures_of(judged(finish_load(back)))
        inside = p99_ms(before, s.histogram('holdfast_delivery_seconds'))
        live.send_signal(signal.SIGTERM)
        r = judged(finish_load(live))
        return figures | {'live_p99': r['latency_ms']['p99'], 'live_max': r['latency_ms']['max'], 'live_inside': inside}


@dataclasses.dataclass
class Variant:
    name: str
    server: typing.Callable
    args: list
    how: typing.Callable = plain

    def run(self):
        return self.how(self.server, self.args)


@dataclasses.dataclass
class Goal:
    """What is to be reached: of which variant which figure (of its ratio to the reference, when it is one)."""
    variant: str
    figure: str
    most: float = None
    least: float = None
    is_ratio: bool = False

    def text(self):
        sign, limit = ('≤', self.most) if self.most is not None else ('≥', self.least)
        return f'{self.variant}: {FIGURES[self.figure][0]} {sign} {f"{limit:,.0f}" if limit >= 1000 else f"{limit:g}"}' + (' × reference' if self.is_ratio else '')

    def is_met(self, value):
        return value <= self.most if self.most is not None else value >= self.least


@dataclasses.dataclass
class Case:
    name: str
    what: str
    variants: list
    figures: list  # the first one is what is compared
    goals: list
    reference: str = None  # variant to divide by


def fan_out(name, what, transport, window, messages, merge, goal):
    args = ['--transport', transport, '--subscribers', 1000, '--window', window, '--publishers', window, '--messages', messages, *WRITES]
    alone = lambda: Broker({'server.io_uring': 'no'})
    return Case(name, what, [Variant('holdfast', Broker, args), Variant('without io_uring', alone, args),
                             Variant('floor', lambda: Floor(merge), args)],
                ['cpu_us', 'rate', 'writes', 'p50', 'p99', 'busy'], [Goal('holdfast', 'cpu_us', most=goal, is_ratio=True)], 'floor')


def many(rate, messages):
    args = ['--subscribers', 10000, '--connecting', 500, '--rate', rate, '--messages', messages, '--warm-up', 2, *WRITES]
    return Case(f'b{rate}', f'1 channel × 10,000 WebSocket, {rate} messages per second',
                [Variant('holdfast', Broker, args), Variant('floor', Floor, args)], ['last_p50', 'last_p99', 'cpu_us', 'writes', 'busy'],
                [Goal('holdfast', 'last_p50', most=1.1, is_ratio=True)], 'floor')


def channels(name, what, args, figures, goals):
    args = ['--channels', 1000, '--subscribers', 1000, *args]
    return Case(name, what, [Variant('stored', Broker, args), Variant('ephemeral', Broker, args + EPHEMERAL),
                             Variant('floor', Floor, args)], figures, goals, 'floor')


def idle(transport):
    args = ['--transport', transport, '--subscribers', 10000, '--connecting', 500, '--messages', 0, '--settle', 2]
    limit = 600 if transport == 'ws' else 800
    return Case(f'd-{transport}', f'memory of an idle connection with one subscription ({transport}), at 10,000',
                [Variant('holdfast', Broker, args), Variant('floor', Floor, args)], ['pss', 'second_half', 'anonymous'],
                [Goal('holdfast', 'pss', most=limit)], 'floor')


def replay():
    args = ['--subscribers', 1, '--backlog', 10000, '--window', 256, '--messages', 0]
    memory = {'limits.recent_count': 20000, 'limits.recent_bytes': '16MiB'}
    return Case('g', 'replay of 10,000 messages to one client that comes back',
                [Variant('from SQLite', lambda: Broker({'limits.recent_count': 0}), args),
                 Variant('from memory', lambda: Broker(memory), args, replay_from_memory)],
                ['replay_rate', 'replay_cpu_us', 'replay_busy'],
                [Goal('from SQLite', 'replay_rate', least=700e3), Goal('from memory', 'replay_rate', least=1.5e6)])


def herd():
    args = ['--subscribers', 10000, '--connecting', 10000, '--backlog', 100, '--window', 100, '--messages', 0]
    both = lambda: Broker(workers=2, processor=None)
    one = Variant('1 channel', both, args, return_at_once)
    more = Variant('1,000 channels', both, [*args, '--channels', 1000], return_at_once)
    return Case('h', '10,000 WebSocket clients return at once, each 100 messages behind; live traffic meanwhile (2 workers, not pinned)',
                [one, more], ['served_s', 'served_p50_s', 'live_p99', 'live_max', 'live_inside', 'replay_cpu_us'],
                [Goal(v.name, figure, most=limit) for v in (one, more) for figure, limit in (('served_s', 3), ('live_p99', 50))])


def two_workers(name, what, window, messages, more=()):
    """One and two workers, nothing pinned. more: messages in flight for a third variant, two workers."""
    def variant(name, n, window):
        args = ['--subscribers', 1000, '--window', window, '--publishers', window, '--messages', messages, *WRITES]
        return Variant(name, lambda: Broker(workers=n, processor=None), args, lambda server, args: plain(server, args, None))

    variants = [variant('2 workers', 2, window), *(variant(f'2 workers, {n} in flight', 2, n) for n in more), variant('1 worker', 1, window)]
    goals = [Goal(v.name, 'cpu_us', most=1.1, is_ratio=True) for v in variants[:-1]]
    if (os.cpu_count() or 1) >= 4:  # else the generator is the limit: it shares the processors with both workers
        goals.append(Goal('2 workers', 'rate', least=1.7, is_ratio=True))
    return Case(name, what, variants, ['cpu_us', 'rate', 'writes', 'p50', 'p99', 'busy'], goals, '1 worker')


CASES = {case.name: case for case in [
    fan_out('a1', '1 channel × 1,000 WebSocket, one message at a time', 'ws', 1, 1000, False, 1.05),
    fan_out('a16', '1 channel × 1,000 WebSocket, 16 publishes in flight; against the floor that merges', 'ws', 16, 8000, True, 1.3),
    many(2, 20),
    many(10, 100),
    channels('c', '1,000 channels × 1 WebSocket, as fast as it goes (256 in flight)',
             ['--window', 256, '--publishers', 16, '--messages', 200000], ['cpu_us_message', 'rate', 'p50', 'p99', 'busy'],
             [Goal('ephemeral', 'cpu_us_message', most=1.3, is_ratio=True), Goal('stored', 'cpu_us_message', most=20)]),
    channels('c5', '1,000 channels × 1 WebSocket, 5,000 messages per second', ['--rate', 5000, '--publishers', 16, '--messages', 40000],
             ['cpu_us_message', 'p50', 'p99', 'busy'],
             [Goal('ephemeral', 'cpu_us_message', most=1.4, is_ratio=True), Goal('stored', 'cpu_us_message', most=1.4, is_ratio=True),
              Goal('stored', 'p50', most=0.3), Goal('stored', 'p99', most=5)]),
    fan_out('e1', '1 channel × 1,000 SSE, one message at a time', 'sse', 1, 1000, False, 1.05),
    fan_out('e16', '1 channel × 1,000 SSE, 16 publishes in flight; against the floor that merges', 'sse', 16, 8000, True, 1.3),
    fan_out('f', '1 channel × 1,000 long polls, one message at a time: a whole request each', 'longpoll', 1, 300, False, 1.25),
    replay(),
    herd(),
    idle('ws'),
    idle('sse'),
    idle('longpoll'),
    two_workers('w1', 'a1 with 1 and 2 workers, nothing pinned', 1, 1000),
    two_workers('w16', 'a16 with 1 and 2 workers, nothing pinned', 16, 10000, [32]),
]}
GROUPS = {'b': ['b2', 'b10'], 'd': ['d-ws', 'd-sse', 'd-longpoll'], 'a': ['a1', 'a16'], 'e': ['e1', 'e16'], 'w': ['w1', 'w16']}

# For --quick: is it possible at all? A tenth of everything that costs time.
SMALLER = {'--subscribers': 10, '--channels': 10, '--messages': 20, '--backlog': 10, '--connecting': 10}


def quick(args):
    smaller = list(args)
    for at, name in enumerate(args):
        if name == '--settle':
            smaller[at + 1] = 0
        elif name in SMALLER and args[at + 1] > 1:
            smaller[at + 1] = max(1, args[at + 1] // SMALLER[name])
    return smaller
