# SPDX-License-Identifier: BSD-2-Clause
"""The example program, on programs that nobody here wrote."""
import os
import signal
import subprocess

from processes import check_free, eventually


def watch(t):
    return t.build / 'examples' / 'watch'


def lines(t, out):
    return out.decode().splitlines()


def told(path, what):
    return eventually(lambda: what in path.read_bytes())


def test_it_is_short(t):
    source = t.source.parent / 'examples' / 'watch.c'
    t.check(len(source.read_text().splitlines()) < 120, 'watch.c has 120 lines or more')


def test_create_shows_objects_loads_and_the_end(t):
    program = 'import sys, sqlite3; print("in main", flush=True); sys.stdin.read(); sys.exit(7)'
    records = t.tmp / 'records'
    with open(records, 'ab') as out:  # it and its command write there
        client = subprocess.Popen([watch(t), '-c', t.need('python3'), '-c', program], stdin=subprocess.PIPE, stdout=out)
    # Memory of what has ended cannot be read: it lives until its loads have been looked at.
    t.check(told(records, b'in main') and told(records, b'libsqlite3'), records.read_bytes())
    client.stdin.close()
    t.equal(client.wait(), 7, 'exit status')
    out = lines(t, records.read_bytes())
    t.check(out[0].startswith('parked '), out)
    # What the linker mapped is there while it is parked, before main has said anything; what python loads comes later.
    said = out.index('in main')
    initial = [n for n, line in enumerate(out) if line.startswith('object ') and 'libc.so' in line]
    t.check(len(initial) == 1 and initial[0] < said, out)
    loads = [line for line in out if line.startswith('object ')]
    t.check(any(line.endswith(' ELF') and '_sqlite3' in line for line in loads), out)
    t.equal([line for line in loads if line.endswith('unread')], [], 'objects whose memory was not read')
    t.equal(out[-1], 'exit 7', 'last line')


def test_create_tells_of_children_and_of_a_signal(t):
    result = t.run([watch(t), '-c', t.need('sh'), '-c', '/bin/true; kill -USR1 $$'])
    out = lines(t, result.stdout)
    t.equal(result.returncode, 128 + signal.SIGUSR1, f'exit status: {result.stderr.decode()}')
    t.equal([line.split()[0] for line in out if not line.startswith('object ')], ['parked', 'exec', 'fork', 'exec', 'exit'], 'records')
    t.equal(out[-1], f'exit {128 + signal.SIGUSR1}', 'last line')


def test_a_command_that_is_not_there_is_named(t):
    result = t.run([watch(t), '-c', '/nowhere/program'])
    t.equal(result.returncode, 2, 'exit status')
    t.check(b'/nowhere/program' in result.stderr and b'No such file' in result.stderr, result.stderr)


def python_that_listens(t):
    victim = subprocess.Popen([t.need('python3'), '-c', 'import sys\nprint("ready", flush=True)\nfor line in sys.stdin: exec(line)'],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    t.equal(victim.stdout.readline(), b'ready\n')
    return victim


def test_grab_shows_objects_loads_and_the_end(t):
    victim = python_that_listens(t)
    records = t.tmp / 'records'
    with open(records, 'wb') as out:
        client = subprocess.Popen([watch(t), '-p', str(victim.pid)], stdout=out)
    t.check(told(records, b'libc.so'), records.read_bytes())
    victim.stdin.write(b'import sqlite3\n')
    victim.stdin.flush()
    t.check(told(records, b'_sqlite3.') and told(records, b'libsqlite3'), records.read_bytes())
    victim.stdin.write(b'sys.exit(5)\n')
    victim.stdin.close()
    victim.stdout.close()
    t.equal(victim.wait(), 5, 'exit of the victim')
    t.equal(client.wait(), 5, 'exit of the example')
    out = lines(t, records.read_bytes())
    t.equal(out[0], f'parked {victim.pid}', 'first line')
    t.equal(out[-1], 'exit 5', 'last line')
    t.equal([line for line in out if line.endswith('unread')], [], 'objects whose memory was not read')


def test_grab_lets_go_at_interrupt(t):
    victim = python_that_listens(t)
    records = t.tmp / 'records'
    with open(records, 'wb') as out:
        client = subprocess.Popen([watch(t), '-p', str(victim.pid)], stdout=out)
    t.check(told(records, b'libc.so'), records.read_bytes())
    os.kill(client.pid, signal.SIGINT)
    t.equal(client.wait(), 0, 'exit of the example')
    check_free(t, victim.pid)
    victim.stdin.write(b'import sqlite3; print("on", flush=True)\n')
    victim.stdin.flush()
    t.equal(victim.stdout.readline(), b'on\n', 'what the victim says')
    victim.stdin.close()
    victim.stdout.close()
    t.equal(victim.wait(), 0, 'exit of the victim')


# ---- sample -------------------------------------------------------------------------------------------------------

def test_the_sampler_has_sixty_lines(t):
    source = t.source.parent / 'examples' / 'sample.c'
    t.check(len(source.read_text().splitlines()) <= 60, 'sample.c has more than 60 lines')


def test_a_program_is_sampled_into_folded_stacks(t):
    victim = subprocess.Popen([t.victim('stacks'), 'spin', '1'], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        t.equal(victim.stdout.readline(), b'ready\n', 'the victim')
        result = t.run([t.build / 'examples' / 'sample', str(victim.pid), '1', '50'])
        t.equal((result.returncode, result.stderr), (0, b''), 'sample')
        out = lines(t, result.stdout)
        t.equal(len(out), 2 * 50, 'lines: one a thread and snapshot')
        t.equal(sum(line.endswith(';spin 1') for line in out), 50, 'of the thread that spins')
        t.check(all(line.startswith('stacks;') for line in out), 'each begins with its name')
        check_free(t, victim.pid)
    finally:
        victim.kill()
        victim.wait()
        victim.stdin.close()
        victim.stdout.close()
