# SPDX-License-Identifier: BSD-2-Clause
"""tether calls -c: counts beside a witness that runs in the same process, and beside gdb; the program is as without."""
import json
import os
import re
import subprocess

from processes import check_free
from tether_test import timeout

# Counts what goes through it; says so at the end, on a descriptor of its own.
WITNESS = r'''
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
static unsigned long count;
static char early[65536];
static size_t used;
static void *(*next)(size_t);
static int looking;
__attribute__((noinline)) void *malloc(size_t size)
{
	__atomic_fetch_add(&count, 1, __ATOMIC_RELAXED);
	if (!next && looking) {
		void *at = early + used;
		used += (size + 15) & ~15ul;
		return at;
	}
	if (!next) {
		looking = 1;
		next = (void *(*)(size_t))dlsym(RTLD_NEXT, "malloc");
	}
	return next(size);
}
__attribute__((destructor)) static void tell(void)
{
	char text[32];
	int fd = open(getenv("WITNESS"), O_WRONLY | O_CREAT | O_APPEND, 0600);
	int length = snprintf(text, sizeof(text), "%lu\n", count);
	if (write(fd, text, length) != length)
		abort();
	close(fd);
}
'''

THREADS = r'''
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
__attribute__((noinline)) void *work(size_t size)
{
	return malloc(size);
}
static void *loop(void *data)
{
	for (int i = 0; i < 2000; i++)
		free(work(i + 1));
	return data;
}
int main(void)
{
	pthread_t thread[8];
	for (int i = 0; i < 8; i++)
		pthread_create(&thread[i], NULL, loop, NULL);
	for (int i = 0; i < 8; i++)
		pthread_join(thread[i], NULL);
	puts("done");
	return 5;
}
'''


def compile_c(t, name, text, *flags):
    (t.tmp / f'{name}.c').write_text(text)
    made = t.run([t.need('gcc'), '-O1', *flags, '-o', t.tmp / name, t.tmp / f'{name}.c'])
    t.equal(made.returncode, 0, made.stderr.decode())
    return str(t.tmp / name)


def records(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def calls(t, arguments, command, limit=60):
    """(result, {(base name, symbol): count}, records)"""
    out = t.tmp / 'records'
    result = t.run([*t.tether, 'calls', '-c', *arguments, '--format=jsonl', '-o', out, '--', *command], timeout=limit)
    told = records(out)
    counts = {(os.path.basename(r['object']), r['symbol']): r['count'] for r in told if r['event'] == 'count'}
    return result, counts, told


@timeout(180)
def test_counts_of_malloc_equal_those_of_a_witness_in_the_same_process(t):
    witness = compile_c(t, 'witness.so', WITNESS, '-shared', '-fPIC')
    work = 'import json, re; print(len(json.dumps(list(range(2000)))), re.sub("a", "b", "banana"))'
    for command in ([t.need('/usr/bin/python3', 'python3'), '-c', work],
                    [t.need('perl'), '-e', 'my %h; $h{$_} = "x" x $_ for 1..500; print scalar(keys %h), "\n"'],
                    [t.need('bash'), '-c', 'x=; for i in {1..300}; do x=$x$i; done; echo ${#x}']):
        plain = t.run(command)
        said = t.tmp / 'said'
        said.unlink(missing_ok=True)
        # By env(1), so that tether itself has no witness.
        result, counts, told = calls(t, ['-f', 'witness.so:malloc', '-f', 'libc.so.6:malloc', '--no-follow'],
                                     [t.need('env'), f'LD_PRELOAD={witness}', f'WITNESS={said}', *command])
        t.equal(result.returncode, plain.returncode, f'status of {command[0]}')
        t.equal(result.stdout, plain.stdout, f'output of {command[0]}')
        t.equal(result.stderr, plain.stderr, f'standard error of {command[0]}')
        t.equal([counts[('witness.so', 'malloc')]], [int(n) for n in said.read_text().split()], command[0])
        # Some of the library's own calls do not go through the witness.
        t.check(counts[('libc.so.6', 'malloc')] >= counts[('witness.so', 'malloc')] - 8, counts)
        order = [r['count'] for r in told if r['event'] == 'count']
        t.equal(order, sorted(order, reverse=True), 'order')


@timeout(120)
def test_counts_are_those_of_gdb(t):
    gdb, bash = t.need('gdb'), t.need('bash')
    # Not in the linker too, where gdb has places of its own for malloc. No child: SIGCHLD comes at any time, and where it breaks
    # off gdb's step over a breakpoint gdb counts that hit twice (1 of 12).
    functions = ['sigprocmask', 'sigaction', 'setlocale', 'mbrtowc', 'fclose', 'kill']
    command = [bash, '--norc', '-c', 'trap : USR1; for i in 1 2 3 4 5; do kill -USR1 $$; done; echo $i']
    env = {'PATH': '/usr/bin:/bin', 'LC_ALL': 'C', 'LINES': '24', 'COLUMNS': '80', 'SHELL': '/bin/sh',
           **{k: v for k, v in os.environ.items() if k.startswith('TETHER')}}
    script = 'set breakpoint pending on\nhandle SIGUSR1 nostop noprint pass\n'
    for number, function in enumerate(functions, 1):
        script += f'break {function}\nignore {number} 1000000\n'
    (t.tmp / 'script').write_text(script + 'run\ninfo breakpoints\n')
    said = subprocess.run([gdb, '-nx', '-batch', '-x', t.tmp / 'script', '--args', *command], env=env, timeout=100,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL).stdout.decode()
    witness, current = {}, None
    for line in said.splitlines():
        begin = re.match(r'(\d+) +breakpoint', line)
        hits = re.search(r'already hit (\d+) time', line)
        current = functions[int(begin[1]) - 1] if begin else current
        if hits:
            witness[current] = int(hits[1])
    if len(witness) < 3:
        t.skip(f'gdb does not count: {said[-300:]}')
    out = t.tmp / 'records'
    subprocess.run([*t.tether, 'calls', '-c', '--no-follow', '-f', 'libc.so.6:' + ','.join(functions), '--format=jsonl', '-o', out,
                    '--', *command], env=env, timeout=60, check=True, stdout=subprocess.DEVNULL)
    counts = {r['symbol']: r['count'] for r in records(out) if r['event'] == 'count' and r['count']}
    t.equal(counts, witness)


@timeout(120)
def test_eight_threads_without_plt_and_static_programs(t):
    for name, flags in (('threads', ['-pthread']), ('no-plt', ['-pthread', '-fno-plt']), ('static', ['-pthread', '-static'])):
        program = compile_c(t, name, THREADS, *flags)
        result, counts, told = calls(t, ['-f', 'a.out:work,main', '-f', 'libc.so.6:malloc'], [program])
        t.equal((result.returncode, result.stdout), (5, b'done\n'), name)
        t.equal(counts[(name, 'work')], 16000, name)
        t.equal(counts[(name, 'main')], 1, name)
        if name == 'static':
            t.check(('libc.so.6', 'malloc') not in counts, counts)
        else:
            t.check(16000 <= counts[('libc.so.6', 'malloc')] < 16100, counts)


@timeout(120)
def test_every_function_of_libc_counted_at_once_changes_nothing(t):
    command = [t.need('/usr/bin/python3', 'python3'), '-c', 'import sys; print(sorted({"a": 1, "b": [2.5]}), sys.argv)', 'x']
    plain = t.run(command)
    result, counts, told = calls(t, ['-f', 'libc.so.6:*', '-x', '*_mcount*'], command, limit=100)
    t.equal((result.returncode, result.stdout, result.stderr), (plain.returncode, plain.stdout, plain.stderr), 'the program')
    t.check(len(counts) > 100 and all(counts.values()), f'{len(counts)} functions')
    t.check(not any('_mcount' in symbol for _, symbol in counts), 'what was excluded')


def test_a_running_process_is_counted_for_a_while_and_let_go(t):
    victim = subprocess.Popen([t.victim('counts'), '2'], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    t.equal(victim.stdout.readline(), b'ready\n')
    counting = subprocess.Popen([*t.tether, 'calls', '-c', '-f', 'a.out:counts_call,counts_alone', '--duration', '3',
                                 '-p', str(victim.pid)], stderr=subprocess.PIPE)
    victim.stdin.write(b'storm\n')
    victim.stdin.flush()
    t.equal(victim.stdout.readline(), b'storming\n')
    _, said = counting.communicate(timeout=50)
    t.equal(counting.returncode, 0, said.decode())
    lines = [line.split() for line in said.decode().splitlines()]
    told = {line[2].split('`')[1]: int(line[1]) for line in lines if len(line) == 3 and '`' in line[2]}
    t.check(told['counts_call'] > 1000, said)
    t.equal(told['counts_alone'], 0)
    check_free(t, victim.pid)
    victim.stdin.write(b'calm\n')
    victim.stdin.close()
    t.equal(victim.stdout.readline()[:5], b'done ')
    victim.stdout.close()
    t.equal(victim.wait(), 0)


def test_options_that_are_wrong_are_named(t):
    for arguments, words in ((['-f', 'a.out:main', '--args', '7', '--', 'true'], b'give a number from 0 to 6'),
                             (['-f', 'a.out:main', '-e', 'exec', '--', 'true'], b'the kinds are'),
                             (['-f', 'a.out:main', '--format=svg', '--', 'true'], b'give text, jsonl, folded or chrome'),
                             (['-f', 'a.out:main', '-c', '--format=chrome', '--', 'true'], b'are of calls, not of counts'),
                             (['-f', 'a.out:main', '--hist', '--format=folded', '--', 'true'], b'are of calls, not of counts'),
                             (['-f', 'a.out:main', '-c', '-k', '--', 'true'], b'-k are of calls'),
                             (['-c', '--', 'true'], b'no function is given'),
                             (['-c', '-f', 'main', '--', 'true'], b'give OBJECT:FUNCTION'),
                             (['-c', '-f', 'a.out:main,,x', '--', 'true'], b'a function has no name'),
                             (['-c', '-f', 'a.out:main'], b'no process and no command'),
                             (['-c', '-f', 'a.out:main', '-p', str(os.getpid()), 'true'], b'unexpected word')):
        result = t.run([*t.tether, 'calls', *arguments])
        t.equal(result.returncode, 125, arguments)
        t.check(words in result.stderr, (arguments, result.stderr))


def test_its_statuses_are_those_of_the_command(t):
    result = t.run([*t.tether, 'calls', '-c', '-f', 'a.out:nothing', '--', 'sh', '-c', 'exit 7'])
    t.equal(result.returncode, 7)
    t.check(b"nothing was found for 'a.out:nothing'" in result.stderr, result.stderr)
    t.equal(t.run([*t.tether, 'calls', '-c', '-f', 'a.out:main', '--', '/nowhere/to/be/found']).returncode, 127)
    t.equal(t.run([*t.tether, 'calls', '-c', '-f', 'a.out:main', '--', 'sh', '-c', 'kill -KILL $$']).returncode, -9)
    t.equal(t.run([*t.tether, 'calls', '-c', '-f', 'a.out:main', '--timeout', '0.3', '--', 'sleep', '20']).returncode, 124)
