# SPDX-License-Identifier: BSD-2-Clause
"""`tether run --on-crash=stacks`: stacks of the moment, and signal, core file and exit status as without."""
import pathlib
import re
import resource
import signal
import struct

from tether_test import timeout

# How the victim `crash` ends, by what, and functions that the stack of the thread shows, innermost first.
WAYS = {
    'segv': ('SEGV', ['wild_write', 'crash_here', 'main']),
    'abort': ('ABRT', ['abort', 'crash_here', 'main']),
    'deep': ('SEGV', ['too_deep', 'too_deep', 'too_deep']),
    # The signal that its handler raises waits until that has returned.
    'deep-caught': ('SEGV', ['too_deep', 'too_deep', 'too_deep']),
    'deep-uncatchable': ('SEGV', ['too_deep', 'too_deep', 'too_deep']),
    'thread': ('SEGV', ['wild_write', 'in_thread']),
    'trap': ('TRAP', ['crash_here', 'main']),
    'illegal': ('ILL', ['crash_here', 'main']),
    'blocked': ('SEGV', ['wild_write', 'crash_here', 'main']),
    'ignored': ('SEGV', ['wild_write', 'crash_here', 'main']),
    'sent': ('QUIT', ['kill', 'crash_here', 'main']),
    'race': ('SEGV', ['wild_write', 'crash_here', 'main']),
}


def core_limit(size):
    def set_it():
        resource.setrlimit(resource.RLIMIT_CORE, (size, size))
    return set_it


def cores(t):
    """Core files are written beside the program, or the test says what this machine does instead."""
    pattern = pathlib.Path('/proc/sys/kernel/core_pattern').read_text().strip()
    if '/' in pattern or pattern.startswith('|') or not pattern:
        t.skip(f'core_pattern is {pattern!r}')
    return re.sub('%.', '*', pattern) + '*'


class Core:
    """A core file: where which file was mapped, and the memory that was written down."""

    def __init__(self, path):
        self.data = data = path.read_bytes()
        offset, = struct.unpack_from('<Q', data, 32)
        size, count = struct.unpack_from('<HH', data, 54)
        self.memory, self.signal, self.files = [], None, []
        for i in range(count):
            kind, _, at, address, _, in_file, _, _ = struct.unpack_from('<IIQQQQQQ', data, offset + i * size)
            if kind == 1:
                self.memory.append((address, at, in_file))
            elif kind == 4:
                self.notes(at, at + in_file)

    def notes(self, at, end):
        while at < end:
            name, size, kind = struct.unpack_from('<III', self.data, at)
            at += 12 + (name + 3 & ~3)
            if kind == 1 and self.signal is None:
                self.signal, = struct.unpack_from('<i', self.data, at)
            elif kind == 0x46494c45:
                count, page = struct.unpack_from('<QQ', self.data, at)
                names = self.data[at + 16 + count * 24:at + size].split(b'\0')
                self.files = [(*struct.unpack_from('<QQQ', self.data, at + 16 + i * 24), names[i].decode())
                              for i in range(count)]
                self.files = [(low, high, start * page, name) for low, high, start, name in self.files]
            at += size + 3 & ~3

    def check_text(self, t):
        """All text that was written down is the file's."""
        compared = 0
        for low, high, start, name in self.files:
            file = pathlib.Path(name).read_bytes()
            for address, at, size in self.memory:
                if not low <= address < high or not executable(file, start):
                    continue
                length = min(size, high - address, len(file) - start - (address - low))
                here = self.data[at:at + length]
                there = file[start + address - low:][:length]
                compared += length
                if here != there:
                    i = next(i for i in range(length) if here[i] != there[i])
                    t.fail(f'{name}: {address + i:#x} is {here[i]:02x} in the core, {there[i]:02x} in the file')
        return compared


def executable(file, offset):
    """Is what this file has at an offset text?"""
    table, = struct.unpack_from('<Q', file, 32)
    size, count = struct.unpack_from('<HH', file, 54)
    for i in range(count):
        kind, flags, start = struct.unpack_from('<IIQ', file, table + i * size)
        if kind == 1 and start & ~4095 == offset:
            return bool(flags & 1)
    return False


def crash(t, way, *options, before=()):
    folder = t.tmp / f'{way}-{len(list(t.tmp.iterdir()))}'
    folder.mkdir()
    result = t.run([*before, *options, t.victim('crash'), way], cwd=folder, preexec_fn=core_limit(1 << 30))
    return result, folder


@timeout(120)
def test_signal_core_and_status_are_those_without_tether(t):
    pattern = cores(t)
    for way, (name, _) in WAYS.items():
        number = getattr(signal, f'SIG{name}')
        plain, there = crash(t, way)
        t.equal(plain.returncode, -number, f'{way}, without tether')
        records = t.tmp / f'{way}.jsonl'
        result, here = crash(t, way, *t.tether, 'run', '--on-crash=stacks', '--format=jsonl', '-o', records, '--')
        t.equal((result.returncode, result.stdout, result.stderr), (-number, b'', b''), way)
        exits = [r for r in t.records(records) if r['event'] == 'exit']
        t.equal([(r['signal'], r['core']) for r in exits], [(f'SIG{name}', True)], way)
        mine, theirs = (list(folder.glob(pattern)) for folder in (here, there))
        t.equal((len(mine), len(theirs)), (1, 1), f'{way}: core files')
        core, plain_core = Core(mine[0]), Core(theirs[0])
        t.equal((core.signal, plain_core.signal), (number, number), f'{way}: signal in the core')
        core.check_text(t)
        for folder in (here, there):
            for path in folder.glob(pattern):
                path.unlink()


def test_the_crash_is_told_before_the_end(t):
    for way, (name, _) in WAYS.items():
        path = t.tmp / f'{way}.jsonl'
        crash(t, way, *t.tether, 'run', '--on-crash=stacks', '--format=jsonl', '-o', path, '--')
        records = [r for r in t.records(path) if r['event'] in ('crash', 'parked', 'exit', 'error', 'late-answer')]
        t.equal([r['event'] for r in records], ['crash', 'exit'], way)
        t.equal(records[0]['signal'], f'SIG{name}', way)
        if way in ('segv', 'thread', 'blocked', 'ignored', 'race'):
            t.equal((records[0]['address'], records[0]['code']), ('0x10', 1), way)
        if way == 'thread':
            t.check(records[0]['tid'] != records[0]['pid'], records[0])


def function(frame):
    """A prefix of the C library's own, a version, or a part that the compiler has split off is not what is asked for."""
    return re.split('[@.]', re.sub(r'^(__GI_|_+)', '', frame.get('symbol', '?')))[0]


@timeout(120)
def test_the_stacks_are_those_of_the_crash(t):
    """The thread that has crashed comes first, where it has crashed; all others are there, with names."""
    for way, (_, functions) in WAYS.items():
        path = t.tmp / f'{way}.jsonl'
        crash(t, way, *t.tether, 'run', '--on-crash=stacks', '--format=jsonl', '-o', path, '--')
        records = t.records(path)
        at = next(i for i, r in enumerate(records) if r['event'] == 'crash')
        stacks = [r for r in records if r['event'] == 'stack']
        first = next(s for s in stacks if s['tid'] == records[at]['tid'])
        names = [function(frame) for frame in first['frames']]
        left = iter(names)
        t.check(all(name in left for name in functions), f'{way}: {functions} are not, in that order, in {names[:40]}')
        t.equal(len(stacks), len({s['tid'] for s in stacks}), f'{way}: stacks of different threads')
        t.check(len(stacks) >= 5, f'{way}: {len(stacks)} stacks')
        t.equal([r['event'] for r in records if r['event'] in ('crash', 'snapshot', 'exit')], ['crash', 'snapshot', 'exit'], way)
        if way == 'thread':
            t.equal(first['name'], 'crasher')


def test_text_shows_the_crashed_thread_alone_and_first(t):
    result, _ = crash(t, 'thread', *t.tether, 'run', '-e', 'crash,exit', '--on-crash=stacks', '--')
    lines = result.stderr.decode().splitlines()
    t.check(re.search(r' crash +SIGSEGV from the kernel  thread \d+ at 0x10$', lines[0]), lines[0])
    t.check(re.match(r'\d+ crasher, stopped$', lines[1]), lines[1])
    t.check(re.search(r'crash`wild_write\+0x', lines[2]), lines[2])
    t.check(any(re.match(r'\d threads: ', line) for line in lines), result.stderr.decode())


def test_a_crash_in_a_child_is_told_too(t):
    path = t.tmp / 'records'
    result = t.run([*t.tether, 'run', '--on-crash=stacks', '--format=jsonl', '-o', path, '--', 'sh', '-c',
                    f'ulimit -c 0; {t.victim("crash")} segv; {t.victim("crash")} abort; exit 3'])
    t.equal(result.returncode, 3, result.stderr)
    t.equal([r['signal'] for r in t.records(path) if r['event'] == 'crash'], ['SIGSEGV', 'SIGABRT'])


def test_quiet_shows_nothing_and_changes_nothing(t):
    result, _ = crash(t, 'segv', *t.tether, 'run', '-q', '--on-crash=stacks', '--')
    t.equal((result.returncode, result.stderr), (-signal.SIGSEGV, b''))


def test_a_time_limit_ends_it_while_it_stands(t):
    """It never stands for longer than its stacks take, so that the limit finds it running or gone."""
    result, _ = crash(t, 'survive', *t.tether, 'run', '-q', '--on-crash=stacks', '--timeout', '60', '--')
    t.equal((result.returncode, result.stdout), (0, b'done\n'))
