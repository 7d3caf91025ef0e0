# SPDX-License-Identifier: BSD-2-Clause
"""Who has called for a load, and the stack at any chosen event (-k)."""
import os
import random
import re
import signal
import subprocess
import time

from processes import eventually, running
from tether_test import timeout

PROGRAM = r"""
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEPT __attribute__((noinline, noclone))

KEPT static void *opens_it(const char *path)
{
	void *handle = dlopen(path, RTLD_NOW);

	if (!handle)
		abort();
	return handle;
}

KEPT static int closes_it(void *handle)
{
	return dlclose(handle) + 1;
}

static void *thread_main(void *path)
{
	closes_it(opens_it(path));
	return NULL;
}

KEPT static int makes_thread(char *path)
{
	pthread_t thread;

	pthread_create(&thread, NULL, thread_main, path);
	return pthread_join(thread, NULL) + 1;
}

KEPT static int forks(void)
{
	pid_t child = fork();

	if (child == 0)
		_exit(0);
	waitpid(child, NULL, 0);
	return child + 1;
}

static void on_signal(int signal)
{
	(void)signal;
}

KEPT static int raises(void)
{
	signal(SIGUSR1, on_signal);
	kill(getpid(), SIGUSR1);
	return getpid() + 1;
}

int main(int argc, char **argv)
{
	void *handle = opens_it(argv[1]);
	int sum = closes_it(handle) + makes_thread(argv[1]) + forks() + raises();

	return sum == argc;
}
"""

PLUGIN = r"""
#include <dlfcn.h>
int plugin_function(void) { return 1; }
#ifdef OTHER
__attribute__((constructor)) static void plugin_starts(void)
{
	dlopen(OTHER, RTLD_NOW);
}
#endif
"""


def build(t):
    """The program, and a plugin whose constructor opens another."""
    gcc = t.need('gcc')
    (t.tmp / 'program.c').write_text(PROGRAM)
    (t.tmp / 'plugin.c').write_text(PLUGIN)
    flags = ['-O1', '-fno-optimize-sibling-calls']
    other = t.tmp / 'other.so'
    for words in (['-o', 'program', 'program.c', '-pthread', '-ldl'], ['-shared', '-fPIC', '-o', other, 'plugin.c'],
                  ['-shared', '-fPIC', f'-DOTHER="{other}"', '-o', 'plugin.so', 'plugin.c', '-ldl']):
        made = t.run([gcc, *flags, *words])
        t.equal(made.returncode, 0, made.stderr)
    return [t.tmp / 'program', t.tmp / 'plugin.so']


ENDINGS = r"""
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define KEPT __attribute__((noinline, noclone))

static const char *way;
static volatile int zero;

KEPT static int ends_it(void)
{
	if (!strcmp(way, "thread-exit"))
		_exit(5);
	if (!strcmp(way, "thread-crash"))
		zero = *(volatile int *)(long)zero;
	if (!strcmp(way, "last"))
		syscall(SYS_exit, 6);
	return 0;
}

static void *ender(void *nothing)
{
	usleep(20000);
	(void)(ends_it() + 1);
	return nothing;
}

static void *waits(void *nothing)
{
	pause();
	return nothing;
}

int main(int argc, char **argv)
{
	pthread_t thread;

	way = argv[argc - 1];
	if (!strcmp(way, "last")) {
		pthread_create(&thread, NULL, ender, NULL);
		syscall(SYS_exit, 7);
	}
	for (int i = 0; i < 4; i++)
		pthread_create(&thread, NULL, waits, NULL);
	pthread_create(&thread, NULL, ender, NULL);
	pause();
}
"""


def names(stack):
    return [re.sub(r'^(__GI_|_+)', '', frame.get('symbol', '?')).split('@')[0] for frame in stack['frames']]


def test_a_load_tells_who_has_called_for_it(t):
    """Through the linker's and the C library's own frames, in the first thread, another, and a constructor."""
    _, records = t.traced(build(t), '-e', 'load')
    callers = [(os.path.basename(r['object']), r.get('caller', ''))
               for r in records if r['event'] == 'load' and not r['initial']]
    # What its constructor has opened keeps the other one mapped: it comes once. Of what is unloaded, or has ended, before
    # its name is asked for, the object and the offset are all that there is.
    once = [('plugin.so', r'program`(opens_it\+)?0x'), ('other.so', r'plugin\.so`(plugin_starts\+)?0x')]
    expected = (once + once)[:max(3, len(callers))]
    t.equal([name for name, _ in callers], [name for name, _ in expected], 'objects')
    for (name, caller), (_, pattern) in zip(callers, expected):
        t.check(re.match(pattern, caller), f'{name}: by {caller}')
    t.equal([r for r in records if r['event'] == 'load' and r['initial'] and 'caller' in r], [], 'callers of what was there')
    t.equal([r['event'] for r in records if r['event'] in ('stack', 'late-answer', 'error')], [])


def test_an_attached_process_tells_it_too(t):
    with running(t, [t.victim('loads')], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        t.equal(process.stdout.readline(), b'ready\n')
        path = t.tmp / 'records'
        tether = subprocess.Popen([*t.tether, 'attach', '--format=jsonl', '-o', path, '-e', 'load', '-p', str(process.pid)])
        t.check(eventually(lambda: path.exists() and b'initial' in path.read_bytes()), 'no load')
        process.stdin.write(b'dlopen\n')
        process.stdin.flush()
        while process.stdout.readline() not in (b'done\n', b''):
            pass
        process.stdin.close()
        process.stdout.read()
        t.equal((process.wait(), tether.wait()), (0, 0))
    loads = [r for r in t.records(path) if r['event'] == 'load' and not r['initial']]
    t.check(loads, 'no load')
    t.equal([r for r in loads if not r.get('caller', '').startswith('loads`')], [], 'loads that the program did not call for')


def test_a_python_module_is_loaded_by_the_interpreter(t):
    python = '/usr/bin/python3'
    if not os.path.exists(python):
        t.skip('no python of the system')
    _, records = t.traced([python, '-c', 'import ssl'])
    caller = next(r.get('caller', '') for r in records if r['event'] == 'load' and '/_ssl.' in r['object'])
    t.check(re.match(r'(lib)?python3[^`]*`', caller), caller)


@timeout(90)
def test_the_stack_of_any_chosen_event(t):
    """Right behind its event, of the thread that did it: fork, thread, signal, load and unload."""
    result, records = t.traced(build(t), '-k', 'fork,thread,signal,load,unload')
    t.equal(result.returncode, 0, result.stderr)
    expected = {
        'fork': ['fork', 'forks', 'main'], 'thread': ['pthread_create', 'makes_thread', 'main'],
        'signal': ['kill', 'raises', 'main'], 'load': ['dlopen', 'opens_it'], 'unload': ['dlclose', 'closes_it'],
    }
    seen = set()
    for event, stack in zip(records, records[1:]):
        kind = event['event']
        if kind not in expected or event.get('state') == 'exit' or event.get('initial') or event.get('signal') == 'SIGCHLD':
            continue
        t.equal(stack['event'], 'stack', f'behind {event}')
        t.equal((stack['pid'], stack['t_ns'] <= event['t_ns']), (event['pid'], True), f'stack of {event}')
        if kind != 'thread':
            t.equal(stack['tid'], event['tid'], f'thread of {event}')
        if kind == 'load' and event['object'].endswith('other.so'):
            continue
        left = iter(names(stack))
        t.check(all(any(name in have for have in left) for name in expected[kind]), f'{event}: {names(stack)}')
        seen.add(kind)
    t.equal(seen, set(expected), 'kinds with a stack')
    t.equal([r for r in records if r['event'] in ('late-answer', 'error')], [])


def test_a_stopped_process_shows_where_it_stopped(t):
    _, records = t.traced(['sh', '-c', '(sleep 0.3; kill -CONT $$) & kill -STOP $$; exit 3'], '-k', 'stop')
    at = next(i for i, r in enumerate(records) if r['event'] == 'stop')
    t.equal(records[at + 1]['event'], 'stack')
    t.check('kill' in names(records[at + 1]), names(records[at + 1]))


def test_a_stack_of_one_that_ends_at_once_has_names(t):
    """Loads are not followed here: what its link maps say is read while it stands."""
    t.need('bash')
    for _ in range(5):
        result = t.run([*t.tether, 'run', '-e', 'signal', '-k', 'signal', '--', 'bash', '-c', 'kill -USR1 $$'])
        t.check('libc.so.6`kill+' in result.stderr.decode(), result.stderr.decode())


def test_what_is_chosen_is_shown_and_what_has_no_stack_is_refused(t):
    result = t.run([*t.tether, 'run', '-e', 'exit', '-k', 'fork', '--', 'sh', '-c', 'true & wait'])
    lines = result.stderr.decode().splitlines()
    t.check(re.search(r'  fork +fork', lines[0]) and re.match(r' +0x[0-9a-f]{16}  libc', lines[1]), lines)
    for kind in ('main', 'nonesuch', ''):
        result = t.run([*t.tether, 'run', '-k', kind, '--', 'true'])
        t.equal(result.returncode, 125, kind)
        t.check(b'the kinds are all fork thread load unload signal stop exit' in result.stderr, result.stderr)
    for kind in ('exec', 'fork,exec', 'exec,exit'):
        result = t.run([*t.tether, 'run', '-k', kind, '--', 'true'])
        t.equal(result.returncode, 125, kind)
        t.check(b'old image is gone' in result.stderr and b'strace -f -k' in result.stderr, result.stderr)


def ends(t, command, expected, **exit):
    """The stack behind the exit event of the first process, and that it is the right one."""
    _, records = t.traced(command, '-k', 'exit', '-e', 'exit')
    at = max(i for i, r in enumerate(records) if r['event'] == 'exit')
    event = records[at]
    for key, value in exit.items():
        t.equal(event.get(key), value, f'{key} of {command}')
    t.equal([r['event'] for r in records if r['event'] in ('late-answer', 'error')], [])
    stack = records[at + 1] if records[at + 1:] and records[at + 1]['event'] == 'stack' else None
    if not expected:
        t.equal(stack, None, f'a stack of {command}')
        return
    t.check(stack, f'no stack of {command}: {records}')
    left = iter(names(stack))
    t.check(all(any(name in have for have in left) for name in expected), f'{command}: {names(stack)}')


def build_endings(t):
    gcc = t.need('gcc')
    (t.tmp / 'endings.c').write_text(ENDINGS)
    made = t.run([gcc, '-O1', '-fno-optimize-sibling-calls', '-o', 'endings', 'endings.c', '-pthread'])
    t.equal(made.returncode, 0, made.stderr)
    return t.tmp / 'endings'


@timeout(90)
def test_who_has_ended_a_process(t):
    """The thread that has called exit(3), or to which the signal came; not one that ended with it."""
    endings = build_endings(t)
    ends(t, ['bash', '-c', 'eval "exit 3"'], ['exit', 'main'], code=3)
    # Often: the other threads end while the stack of the one is looked at.
    for _ in range(20):
        ends(t, [endings, 'thread-exit'], ['exit', 'ends_it', 'ender'], code=5)
    ends(t, [endings, 'thread-crash'], ['ends_it', 'ender'], signal='SIGSEGV')
    ends(t, [endings, 'last'], ['syscall', 'ends_it', 'ender'])
    ends(t, ['sh', '-c', 'kill -TERM $$'], ['kill'], signal='SIGTERM')
    ends(t, ['sh', '-c', 'kill -KILL $$'], None, signal='SIGKILL')
    python = '/usr/bin/python3'
    if os.path.exists(python):
        ends(t, [python, '-c', 'import sys; sys.exit(7)'], ['exit', 'Py_RunMain'], code=7)
        ends(t, [python, '-c', 'import os; os._exit(8)'], ['exit', 'Py_RunMain'], code=8)
        script = 'import os, threading, time; threading.Thread(target=lambda: os._exit(9)).start(); time.sleep(9)'
        ends(t, [python, '-c', script], ['exit', 'thread'], code=9)


def test_an_exec_by_a_thread_leaves_no_stack_of_the_old_image(t):
    """The others end by it: with a stop of theirs, and not their process."""
    python = '/usr/bin/python3'
    if not os.path.exists(python):
        t.skip('no python of the system')
    script = ('import os, threading, time\n'
              'threading.Thread(target=lambda: os.execv("/bin/sh", ["sh", "-c", "exit 4"])).start()\ntime.sleep(9)')
    for _ in range(5):
        ends(t, [python, '-c', script], ['exit'], code=4)


@timeout(120)
def test_what_is_killed_while_its_stack_is_taken_is_gone(t):
    """SIGKILL to the process, or to tether, at any moment of its end: nothing is left, and nobody waits."""
    endings = build_endings(t)
    chance = random.Random(6)
    for i in range(30):
        way = ('thread-exit', 'thread-crash', 'last')[i % 3]
        started = time.monotonic()
        tether = subprocess.Popen([*t.tether, 'run', '-q', '-k', 'exit', '--', endings, way],
                                  stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.015 + chance.random() * 0.02)
        mine = [int(pid) for pid in os.listdir('/proc') if pid.isdigit() and is_victim(pid, endings)]
        for pid in mine if i % 2 else [tether.pid]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        tether.wait()
        t.check(eventually(lambda: not any(is_victim(pid, endings) for pid in mine)), f'{way}: {mine} live on')
        t.check(time.monotonic() - started < 10, f'{way}: it took {time.monotonic() - started:.1f} s')


def is_victim(pid, program):
    try:
        return os.readlink(f'/proc/{pid}/exe') == str(program)
    except OSError:
        return False


def test_a_thousand_signals_with_stacks_all_arrive(t):
    script = (r'my $n = 0; $SIG{USR1} = sub { $n++ }; for (1 .. 1000) { kill USR1 => $$ } print $n')
    result, records = t.traced([t.need('perl'), '-e', script], '-k', 'signal')
    t.equal(result.stdout, b'1000')
    events = [r['event'] for r in records if r['event'] in ('signal', 'stack')]
    t.equal(events, ['signal', 'stack'] * 1000)
