# SPDX-License-Identifier: BSD-2-Clause
"""The example program, on programs that nobody here wrote."""
import os
import re
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
    # In one write, whatever PYTHONUNBUFFERED says: the lines of both go into one file.
    program = 'import os, sys, sqlite3; os.write(1, b"in main\\n"); sys.stdin.read(); sys.exit(7)'
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


# ---- leaks --------------------------------------------------------------------------------------------------------

LEAKER = r'''
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static void *kept[64];
__attribute__((noinline)) static void lose(int i)
{
	kept[i] = malloc(100);
}
__attribute__((noinline)) static void lose_cleared(int i)
{
	kept[i] = calloc(3, 7);
}
__attribute__((noinline)) static void grow(int i)
{
	kept[i] = realloc(malloc(10), 1000);
}
__attribute__((noinline)) static void keep_none(int i)
{
	char *more = realloc(strdup("x"), 50 + i);
	free(more);
}
static void *loop(void *data)
{
	for (int i = 0; i < 300; i++)
		keep_none(i);
	return data;
}
int main(int argc, char **argv)
{
	pthread_t thread[4];
	char c;
	if (argc > 1 && read(0, &c, 1) != 1)
		return 9;
	for (int i = 0; i < 4; i++)
		pthread_create(&thread[i], NULL, loop, NULL);
	for (int i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	for (int i = 0; i < 5; i++)
		lose(i);
	for (int i = 5; i < 8; i++)
		lose_cleared(i);
	grow(8);
	free(kept[0]);
	return argc > 1 && read(0, &c, 1) != 0;
}
'''


def leaker(t):
    (t.tmp / 'leaker.c').write_text(LEAKER)
    made = t.run([t.need('gcc'), '-O1', '-fno-optimize-sibling-calls', '-pthread', '-o', t.tmp / 'leaker', t.tmp / 'leaker.c'])
    t.equal(made.returncode, 0, made.stderr.decode())
    return t.tmp / 'leaker'


def leaks_by_caller(out):
    """{function that has called for it: (bytes, blocks)}"""
    found, blocks = {}, None
    for line in out.decode().splitlines():
        head = re.match(r'(\d+) bytes in (\d+) blocks, from$', line)
        if head:
            blocks, depth = (int(head[1]), int(head[2])), 0
        else:
            depth += 1
            if depth == 2:
                name = line.strip().rsplit('+', 1)[0]
                found[name] = tuple(map(sum, zip(found.get(name, (0, 0)), blocks)))
    return found


def has_trap(t, pid, name):
    """The last of its functions, so that all stand."""
    told = t.run([*t.tether, 'sym', '--format=jsonl', '-p', str(pid), name]).stderr
    address = int(re.search(rb'"addr":"(0x[0-9a-f]+)"', told)[1], 16)
    with open(f'/proc/{pid}/mem', 'rb') as memory:
        memory.seek(address)
        return memory.read(1) == b'\xcc'


def test_the_leak_finder_has_less_than_120_lines(t):
    source = t.source.parent / 'examples' / 'leaks.c'
    t.check(len(source.read_text().splitlines()) < 120, 'leaks.c has 120 lines or more')


def test_what_a_command_does_not_free_is_found(t):
    result = t.run([t.build / 'examples' / 'leaks', leaker(t)])
    t.equal((result.returncode, result.stderr), (0, b''), 'leaks')
    found = leaks_by_caller(result.stdout)
    mine = {name: found.get(name) for name in ('lose', 'lose_cleared', 'grow', 'keep_none')}
    t.equal(mine, {'lose': (400, 4), 'lose_cleared': (63, 3), 'grow': (1000, 1), 'keep_none': None}, result.stdout.decode())


def test_what_a_running_process_does_not_free_is_found(t):
    victim = subprocess.Popen([leaker(t), 'wait'], stdin=subprocess.PIPE)
    said = t.tmp / 'said'
    with open(said, 'wb') as out:
        client = subprocess.Popen([t.build / 'examples' / 'leaks', str(victim.pid)], stdout=out)
    t.check(eventually(lambda: has_trap(t, victim.pid, 'libc.so.6:free')), 'no trap')
    victim.stdin.write(b'x')
    victim.stdin.flush()
    victim.stdin.close()
    t.equal(victim.wait(), 0, 'exit of the victim')
    t.equal(client.wait(), 0, 'exit of leaks')
    found = leaks_by_caller(said.read_bytes())
    t.equal((found.get('lose'), found.get('grow'), found.get('keep_none')), ((400, 4), (1000, 1), None), said.read_text())


def test_leaks_of_a_real_program_are_found_and_it_is_as_without(t):
    command = [t.need('bash'), '--norc', '-c', 'x=; for i in {1..50}; do x=$x$i; done; echo ${#x}']
    plain = t.run(command)
    result = t.run([t.build / 'examples' / 'leaks', *command])
    out = result.stdout.split(b'\n', 1)
    t.equal(out[0] + b'\n', plain.stdout, 'output of the program')
    t.equal(result.stderr, plain.stderr, 'standard error')
    t.check(re.search(rb'\d+ bytes in \d+ blocks, from\n    malloc\+0x0\n    \w+', result.stdout), result.stdout[:2000])
