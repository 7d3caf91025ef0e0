#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Measure what holding a process costs, beside bare C floors and the peers that are installed.

Absolute times are those of the machine; what counts is the ratio of two things measured in turn in one run.
Each row is measured ROUNDS times, the things compared in turn within a round; printed is the median of the
rounds, and as ratio the median of the rounds' ratios.
"""
import argparse
import json
import os
import pathlib
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

import hits

HERE = pathlib.Path(__file__).resolve().parent


class Bench:
    def __init__(self, build, rounds):
        self.build, self.rounds = build, rounds
        self.victim = str(build / 'bench' / 'bench-victim')
        self.floor = str(build / 'bench' / 'bench-floor')
        self.client = str(build / 'bench' / 'bench-client')
        self.called = str(build / 'bench' / 'bench-called')
        self.trap = str(build / 'bench' / 'bench-trap')
        self.tether = str(build / 'tools' / 'tether')
        self.marker = str(build / 'bench' / 'libbench-marker.so')
        self.tiny = str(build / 'tests' / 'harm' / 'harm-tiny')
        self.plugin = str(build / 'tests' / 'harm' / 'harm-plugin0.so')
        self.environment = dict(os.environ, LC_ALL='C')
        self.environment.setdefault('TETHER_CONTROLLER', str(build / 'src' / 'controller' / 'tether-controller'))
        self.rows = []
        self.load = os.getloadavg()[0]

    def run(self, *command, timeout=120):
        """Wall seconds and the JSON objects that were printed."""
        start = time.perf_counter()
        done = subprocess.run([str(word) for word in command], env=self.environment, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=timeout)
        seconds = time.perf_counter() - start
        if done.returncode:
            raise RuntimeError(f'{" ".join(map(str, command))}: status {done.returncode}: {done.stderr[-300:]}')
        said = {}
        for line in (done.stdout + done.stderr).splitlines():
            # gdb begins a line of its own on the victim's
            at = line.find('{"')
            if at >= 0:
                said.update(json.loads(line[at:]))
        return seconds, said

    def row(self, work, what, value, ratio='', bound='', note=''):
        self.rows.append((work, what, value, ratio, bound, note))
        print(f'{work:34s} {what:34s} {value:>14s} {ratio:>8s} {bound:>8s}  {note}', flush=True)

    def in_turn(self, measures, times=1):
        """{name: function} -> {name: [value of each round]}; so many times the rounds where they differ much."""
        values = {name: [] for name in measures}
        for _ in range(self.rounds * times):
            for name, measure in measures.items():
                values[name].append(measure())
        return values


def microseconds(nanoseconds):
    return f'{nanoseconds / 1000:.1f} us'


def median_ratio(above, below):
    return statistics.median(a / b for a, b in zip(above, below))


def verdict(ratio, bound):
    return 'met' if ratio <= bound else 'MISSED'


def peer(bench, work, name, command, base, turns):
    """What a peer adds to one turn of a victim that measures itself."""
    if not shutil.which(command[0]):
        bench.row(work, name, 'not installed')
        return
    values = []
    for _ in range(max(1, bench.rounds // 2)):
        try:
            values.append(bench.run(*command)[1]['turn_ns'])
        except (RuntimeError, KeyError, subprocess.TimeoutExpired) as error:
            bench.row(work, name, 'failed', note=str(error)[:60])
            return
    bench.row(work, f'{name}: added', microseconds(statistics.median(values) - base))


def launch_of(bench, work, program, *marker):
    """posix_spawn beside tether_create, in turn; the marker notes the time of main in a program of others."""
    plain, held = [], []
    for _ in range(bench.rounds):
        said = bench.run(bench.client, 'launch', 30, program, *marker)[1]
        plain.append(said['plain_ns'])
        held.append(said['tether_ns'])
    ratio = median_ratio(held, plain)
    bench.row(work, 'posix_spawn', microseconds(statistics.median(plain)), '1.00')
    bench.row(work, 'tether_create, stop at main', microseconds(statistics.median(held)), f'{ratio:.2f}', '1.5',
              verdict(ratio, 1.5))
    return plain


def launch(bench):
    work = 'launch to main'
    plain = launch_of(bench, f'{work}: the smallest C program', bench.victim)
    for name in ('bash', 'python3', 'git', 'node', 'redis-server'):
        if shutil.which(name):
            launch_of(bench, f'{work}: {name}', shutil.which(name), bench.marker)
    for name, command in [
            ('gdb, whole run', ['gdb', '-nx', '-q', '-batch', '-ex', 'break main', '-ex', 'run', '-ex', 'kill',
                                '--args', bench.victim, 'launch', '-1']),
            ('ltrace, whole run', ['ltrace', '-o', '/dev/null', '-e', 'nosuch', '-x', 'main@MAIN', bench.victim,
                                   'launch', '-1']),
            ('strace, whole run', ['strace', '-o', '/dev/null', '-e', 'trace=execve', bench.victim, 'launch', '-1'])]:
        if shutil.which(command[0]):
            seconds = statistics.median(bench.run(*command)[0] for _ in range(3))
            bench.row(work, name, microseconds(seconds * 1e9), f'{seconds * 1e9 / statistics.median(plain):.0f}')


def followed(bench, work, kind, turns, argument, peers, bound, expected):
    victim = [bench.victim, kind]

    def alone():
        return bench.run(*victim, -1, turns, argument)[1]['turn_ns']

    def under_floor():
        return bench.run(bench.floor, kind, *victim, 0, turns, argument)[1]['turn_ns']

    def under_tether():
        said = bench.run(bench.client, 'follow', *victim, -1, turns, argument)[1]
        for key, count in expected.items():
            if said[key] < count:
                raise RuntimeError(f'{work}: {said[key]} {key} reported, {count} happened')
        return said['turn_ns']

    values = bench.in_turn({'alone': alone, 'floor': under_floor, 'tether': under_tether}, 3)
    base = statistics.median(values['alone'])
    added = {name: [value - alone for value, alone in zip(values[name], values['alone'])]
             for name in ('floor', 'tether')}
    ratio = median_ratio(added['tether'], added['floor'])
    bench.row(work, 'untraced', microseconds(base))
    bench.row(work, 'floor: added', microseconds(statistics.median(added['floor'])), '1.00')
    bench.row(work, 'tether: added', microseconds(statistics.median(added['tether'])), f'{ratio:.2f}', str(bound),
              verdict(ratio, bound))
    for name, prefix in peers:
        peer(bench, work, name, prefix + [*victim, '-1', str(turns // 10), argument], base, turns)


def fork_exec(bench):
    turns = 1000
    followed(bench, 'fork + exec followed', 'fork', turns, bench.tiny, [
        ('strace -f execve', ['strace', '-f', '-o', '/dev/null', '-e', 'trace=execve']),
        ('strace -f --seccomp-bpf execve', ['strace', '-f', '--seccomp-bpf', '-o', '/dev/null', '-e', 'trace=execve']),
        ('gdb, follow parent', ['gdb', '-nx', '-q', '-batch', '-ex', 'run', '--args']),
    ], 1.5, {'forks': turns, 'execs': turns, 'exits': turns})


def dlopen(bench):
    turns = 1000
    followed(bench, 'dlopen + dlclose reported', 'dl', turns, bench.plugin, [
        ('strace mmap', ['strace', '-o', '/dev/null', '-e', 'trace=mmap']),
        ('gdb, at its solib breakpoint', ['gdb', '-nx', '-q', '-batch', '-ex', 'run', '--args']),
    ], 1.5, {'loads': turns, 'unloads': turns})


def grab(bench):
    for threads in (1, 16, 256, 1000):
        work = f'grab + release, {threads} thread' + ('s' if threads > 1 else '')
        rounds = 20 if threads <= 16 else 5
        victim = subprocess.Popen([bench.victim, 'threads', '-1', str(threads)], stdin=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + 20
            while len(os.listdir(f'/proc/{victim.pid}/task')) < threads and time.monotonic() < deadline:
                time.sleep(0.01)
            values = bench.in_turn({
                'floor': lambda: bench.run(bench.floor, 'grab', victim.pid, rounds)[1]['grab_release_ns'],
                'parked': lambda: bench.run(bench.client, 'grab', victim.pid, rounds)[1]['grab_release_ns'],
                'running': lambda: bench.run(bench.client, 'grab', victim.pid, rounds, 'no-park')[1]['grab_release_ns'],
            })
        finally:
            victim.kill()
            victim.wait()
        bench.row(work, 'floor: seize, stop, detach', microseconds(statistics.median(values['floor'])), '1.00')
        for name, what in (('parked', 'tether, parked'), ('running', 'tether, without a park')):
            bench.row(work, what, microseconds(statistics.median(values[name])),
                      f'{median_ratio(values[name], values["floor"]):.2f}')


def plant(bench):
    """Functions of a large library, all at once, in a process that runs; the floor writes as many bytes at the same places."""
    library = next((path for path in sorted(pathlib.Path('/usr/lib').glob('*-linux-gnu/libLLVM-1?.so.1'), reverse=True)), None)
    if not library:
        return
    def beside(*command):
        """What it says of a fresh victim: who writes first into a page pays for it. All have one layout."""
        victim = subprocess.Popen(['setarch', '-R', bench.victim, 'threads', '-1', '1'], stdin=subprocess.DEVNULL,
                                  env=dict(os.environ, LD_PRELOAD=str(library)))
        try:
            time.sleep(0.5)
            return bench.run(*[victim.pid if word == 'PID' else word for word in command])[1]
        finally:
            victim.kill()
            victim.wait()

    for functions in ('_ZN4llvm[2-9]*', '*'):
        values = {'tether': [], 'floor': []}
        for _ in range(bench.rounds):
            with tempfile.NamedTemporaryFile() as places:
                values['tether'].append(beside(bench.client, 'plant', 'PID', f'{library.name}:{functions}', places.name))
                values['floor'].append(beside(bench.floor, 'plant', 'PID', places.name))
        count = values['tether'][0]['functions']
        work = f'{count} functions of {library.name}'
        for what, key in (('planted', 'plant_ns'), ('lifted', 'lift_ns')):
            mine, floor = ([one[key] for one in values[who]] for who in ('tether', 'floor'))
            bench.row(work, f'floor: {what}', f'{statistics.median(floor) / 1e6:.0f} ms', '1.00')
            bench.row(work, f'tether: {what}', f'{statistics.median(mine) / 1e6:.0f} ms', f'{median_ratio(mine, floor):.2f}')
        both = statistics.median(one['plant_ns'] + one['lift_ns'] for one in values['tether']) / 1e9
        bench.row(work, 'tether: both, of 10000', f'{both * 10000 / count:.2f} s', '', '1 s', verdict(both * 10000 / count, 1))


def many(bench):
    count = 200
    said = [bench.run(bench.client, 'many', count, 500, bench.victim, bench.plugin, timeout=300)[1]
            for _ in range(min(3, bench.rounds))]
    memory = statistics.median(one['controller_kb'] for one in said)
    ratio = statistics.median(one['together_ns'] / one['alone_ns'] for one in said)
    work = f'{count} victims at once'
    bench.row(work, 'private memory of a controller', f'{memory:.0f} kB', '', '150 kB', verdict(memory, 150))
    bench.row(work, 'a busy one alone, per dlopen', microseconds(statistics.median(one['alone_ns'] for one in said)),
              '1.00')
    bench.row(work, 'the same among all', microseconds(statistics.median(one['together_ns'] for one in said)),
              f'{ratio:.2f}')


def names(bench):
    """Symbol tables of files: a build beside a bare read-and-sort, and one look-up of an address."""
    files = [shutil.which('node'), '/usr/bin/python3', *pathlib.Path('/usr/lib').glob('*-linux-gnu/libcrypto.so.3'),
             *pathlib.Path('/usr/lib').glob('*-linux-gnu/libLLVM-1?.so.1'),
             *pathlib.Path('/usr/lib/postgresql').glob('*/bin/postgres')]
    for path in dict.fromkeys(os.path.realpath(path) for path in files if path and os.path.exists(path)):
        said = [bench.run(bench.build / 'bench' / 'bench-names', path, 9)[1] for _ in range(min(5, bench.rounds))]
        middle = {key: statistics.median(one[key] for one in said) for key in said[0]}
        work = f'names of {os.path.basename(path)}, {middle["symbols"]:.0f} symbols'
        ratio = statistics.median(one['build_ns'] / one['floor_ns'] for one in said)
        digits = statistics.median(one['digits_ns'] / one['floor_ns'] for one in said)
        bench.row(work, 'floor: read and qsort', microseconds(middle['floor_ns']), '1.00')
        bench.row(work, 'floor: read and sort by digits', microseconds(middle['digits_ns']), f'{digits:.2f}')
        bench.row(work, 'tether: table built', microseconds(middle['build_ns']), f'{ratio:.2f}', '1.2',
                  verdict(ratio, 1.2))
        bench.row(work, 'tether: an address named', f'{middle["lookup_cns"] / 100:.0f} ns', '', '150 ns',
                  verdict(middle['lookup_cns'], 15000))
        bench.row(work, 'tether: memory a symbol', f'{middle["bytes"] / middle["symbols"]:.0f} B')


def cached(bench):
    """Grab, name one address, release: of a process that is in the cache, beside the read that may check an answer."""
    for path, symbol in ((shutil.which('node'), 'uv_run'), ('/usr/bin/python3', 'malloc')):
        if not path or not os.path.exists(path):
            continue
        victim = subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(1)
        try:
            said = bench.run(bench.build / 'bench' / 'bench-observe', victim.pid, symbol, 9)[1]
        finally:
            victim.kill()
            victim.wait()
        work = f'a name in {os.path.basename(path)}, from the cache'
        ratio = said['checked_ns'] / said['floor_ns']
        bench.row(work, 'floor: one process_vm_readv', f'{said["floor_ns"]} ns', '1.00')
        bench.row(work, 'grab, name, release, on end', f'{said["at_once_ns"]} ns', '', '2 us',
                  verdict(said['at_once_ns'], 2000))
        bench.row(work, 'the same, each one checked', f'{said["checked_ns"]} ns', f'{ratio:.2f}', '2 us',
                  verdict(said['checked_ns'], 2000))


class Clock:
    """A program with a thread that looks at the clock all the time; the others are blocked in system calls."""

    def __init__(self, bench, threads):
        self.process = subprocess.Popen([str(bench.build / 'tests' / 'victims' / 'stacks'), 'clock', str(threads)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.process.stdout.readline()

    def ask(self):
        """The longest time between two looks, and the number of looks, since it was asked last."""
        self.process.stdin.write(b'now\n')
        self.process.stdin.flush()
        words = self.process.stdout.readline().split()
        return int(words[1]), int(words[3])

    def end(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


def out_of_time(number, frame):
    raise RuntimeError('it does not end')


def quietly(command, bench):
    # A wait with a time-out of its own looks only now and then, in the end every 50 ms; a thread that looks takes a processor.
    signal.signal(signal.SIGALRM, out_of_time)
    signal.alarm(120)
    start = time.perf_counter()
    process = subprocess.Popen([str(word) for word in command], env=dict(bench.environment, DEBUGINFOD_URLS=''),
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        process.wait()
    finally:
        taken = time.perf_counter() - start
        signal.alarm(0)
        if process.poll() is None:
            process.kill()
            process.wait()
    # eu-stack ends with 1 when a thread has a frame that it cannot name
    if process.returncode not in (0, 1):
        raise RuntimeError(f'{command[0]}: status {process.returncode}')
    return taken * 1e9


def stacks(bench):
    """All stacks once: the longest gap that the victim's own clock shows, and the time of the whole command."""
    tether = [bench.build / 'tools' / 'tether', 'stack', '--format=folded', '-o', '/dev/null', '-p']
    peers = {
        'floor': [bench.build / 'bench' / 'bench-floor', 'stacks'],
        'tether, together': tether, 'tether, rolling': [*tether[:2], '--rolling', *tether[2:]],
        'tether, still': [*tether[:2], '--still', *tether[2:]],
        'gdb': ['gdb', '-nx', '-batch', '-ex', 'thread apply all bt', '-p'],
        'lldb': ['lldb', '--batch', '-o', 'thread backtrace all', '-p'], 'eu-stack': ['eu-stack', '-p'],
    }
    # The floor that the bounds come from: 0.11 ms of stall for 0.3; with a thousand 12 for 18, and 22 in all for 60.
    bounds = {(1, 'tether, together'): (0.3 / 0.11, None), (1000, 'tether, together'): (18 / 12, 60 / 22)}
    for threads in (1, 1000):
        clock = Clock(bench, threads + 1)
        try:
            work = f'all stacks, {threads} blocked thread' + ('s' if threads > 1 else '') + ' and one that runs'
            for name, command in peers.items():
                if not shutil.which(str(command[0])):
                    continue
                stalls, totals, idle = [], [], []
                for _ in range(min(5, bench.rounds)):
                    clock.ask()
                    time.sleep(0.05)
                    idle.append(clock.ask()[0])
                    totals.append(quietly([*command, clock.process.pid], bench))
                    stalls.append(clock.ask()[0])
                stall, total = statistics.median(stalls) / 1e6, statistics.median(totals) / 1e6
                if name == 'floor':
                    floors = stall, total
                bound = bounds.get((threads, name), (None, None))
                bench.row(work, f'{name}: stall', f'{stall:.2f} ms', f'{stall / floors[0]:.2f}', f'{bound[0]:.1f}' if bound[0] else '',
                          verdict(stall / floors[0], bound[0]) if bound[0] else f'idle: {statistics.median(idle) / 1e6:.2f} ms')
                bench.row(work, f'{name}: whole command', f'{total:.1f} ms', f'{total / floors[1]:.2f}',
                          f'{bound[1]:.1f}' if bound[1] else '', verdict(total / floors[1], bound[1]) if bound[1] else '')
        finally:
            clock.end()


def sampling(bench):
    """A hundred snapshots a second of 159 threads: how much less the one that computes gets done."""
    clock, seconds = Clock(bench, 158), 30 if bench.rounds > 3 else 5
    try:
        def looks(*command):
            process = subprocess.Popen([str(word) for word in command], env=bench.environment,
                                       stdin=subprocess.DEVNULL) if command else None
            time.sleep(0.5)  # until it samples
            clock.ask()
            time.sleep(seconds)
            done = clock.ask()[1]
            if process:
                process.terminate()
                process.wait()
            return done
        alone = looks()
        for manner in ('--rolling', '--still', None):
            done = looks(bench.build / 'tools' / 'tether', 'stack', *([manner] if manner else []), '-p', clock.process.pid,
                         '--every', '0.01', '--format=folded', '-o', '/dev/null')
            again = looks()
            ratio = (alone + again) / 2 / done
            bench.row('100 snapshots a second, 159 threads', f'{(manner or "--together")[2:]}: slow-down',
                      f'{(ratio - 1) * 100:.1f} %', f'{ratio:.2f}', '1.10', verdict(ratio, 1.1))
            alone = again
    finally:
        clock.end()


SECTIONS = {'launch': launch, 'fork': fork_exec, 'dlopen': dlopen, 'hits': hits.hits, 'returns': hits.returns, 'grab': grab,
            'plant': plant, 'many': many, 'names': names, 'cached': cached, 'stacks': stacks, 'sampling': sampling}


def write_results(bench, path, words):
    cpu = next((line.split(':', 1)[1].strip() for line in open('/proc/cpuinfo') if line.startswith('model name')), '?')
    with open(path, 'w') as out:
        out.write('# Speed\n\n'
                  f'Made by `make bench` ({words}) on {os.cpu_count()} CPUs ({cpu}), Linux {platform.release()}, '
                  f'{platform.libc_ver()[0]} {platform.libc_ver()[1]}.\n'
                  + (f'The machine was NOT idle (load {bench.load:.1f}): no figure here counts.\n' if bench.load > 1 else '') +
                  'A floor is a bare C program that does only that one thing (`bench/floor.c`); *added* is the time of a\n'
                  "victim's turn less that of an untraced one. Ratios are medians of the ratios of rounds in one run;\n"
                  'absolute times are those of the machine, and tracer and victim are not pinned to a CPU.\n\n'
                  '| work | what | time | ratio | bound | |\n|---|---|---:|---:|---:|---|\n')
        last = None
        for work, *cells in bench.rows:
            out.write(f'| {work if work != last else ""} | ' + ' | '.join(cells) + ' |\n')
            last = work


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--build', type=pathlib.Path, required=True)
    parser.add_argument('--rounds', type=int, default=7)
    parser.add_argument('--only', choices=SECTIONS, action='append', help='do not write RESULTS.md')
    parser.add_argument('--output', type=pathlib.Path, default=HERE / 'RESULTS.md')
    options = parser.parse_args()
    bench = Bench(options.build.resolve(), options.rounds)
    failed = False
    for name in options.only or SECTIONS:
        try:
            SECTIONS[name](bench)
        except (RuntimeError, KeyError, subprocess.TimeoutExpired) as error:
            failed = True
            bench.row(name, 'FAILED', '', note=str(error).replace('|', ' ')[:200])
    if not options.only:
        write_results(bench, options.output, f'{options.rounds} rounds')
    return failed


if __name__ == '__main__':
    sys.exit(main())
