# SPDX-License-Identifier: BSD-2-Clause
"""Who has called for a load, and the stack at any chosen event (-k)."""
import os
import re
import subprocess

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
    for kind in ('exec', 'exit', 'nonesuch', ''):
        result = t.run([*t.tether, 'run', '-k', kind, '--', 'true'])
        t.equal(result.returncode, 125, kind)
        t.check(b'the kinds are all fork thread load unload signal stop' in result.stderr, result.stderr)


def test_a_thousand_signals_with_stacks_all_arrive(t):
    script = (r'my $n = 0; $SIG{USR1} = sub { $n++ }; for (1 .. 1000) { kill USR1 => $$ } print $n')
    result, records = t.traced([t.need('perl'), '-e', script], '-k', 'signal')
    t.equal(result.stdout, b'1000')
    events = [r['event'] for r in records if r['event'] in ('signal', 'stack')]
    t.equal(events, ['signal', 'stack'] * 1000)
