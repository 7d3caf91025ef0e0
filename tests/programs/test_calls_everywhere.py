# SPDX-License-Identifier: BSD-2-Clause
"""A breakpoint at every instruction of functions, all at once, and counts beside those of the kernel's own probes."""
import re

from test_calls import calls, compile_c
from tether_test import timeout

FUNCTIONS = ('work', 'swap', 'compare', 'main')
PROGRAM = r'''
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
static _Atomic unsigned long sum;
static void note(int number) { sum += number; }
__attribute__((noinline)) int compare(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }
__attribute__((noinline)) void swap(int *a, int *b) { int c = *a; *a = *b; *b = c; }
/* Branches, a switch, loops, string instructions, floating point, a call through a pointer, system calls of its own. */
__attribute__((noinline)) void *work(void *data)
{
	long turn = *(long *)data;
	int numbers[40];
	char text[64];
	double product = 1;

	for (int i = 0; i < 40; i++) {
		numbers[i] = (int)((i * 2654435761u + (unsigned)turn) % 1000);
		switch (numbers[i] % 5) {
		case 0: product *= 1.5; break;
		case 1: product += numbers[i]; break;
		case 2: swap(&numbers[0], &numbers[i]); break;
		case 3: product /= 1.25; break;
		default: product -= 1; break;
		}
	}
	qsort(numbers, 40, sizeof(*numbers), compare);
	memset(text, 0, sizeof(text));
	snprintf(text, sizeof(text), "%.3f %d", product, numbers[20]);
	for (const char *c = text; *c; c++)
		sum += (unsigned char)*c;
	sum += syscall(SYS_getpid) > 0;
	raise(SIGUSR1);
	return NULL;
}
int main(void)
{
	pthread_t thread[4];
	long turn[4] = { 1, 22, 333, 4444 };
	int status;

	signal(SIGUSR1, note);
	for (int i = 0; i < 4; i++)
		pthread_create(&thread[i], NULL, work, &turn[i]);
	for (int i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	pid_t child = fork();
	if (child == 0) {
		work(&turn[2]);
		_exit(7);
	}
	waitpid(child, &status, 0);
	printf("%lu %d\n", sum, WEXITSTATUS(status));
	return 3;
}
'''


def instructions(t, program, functions):
    """{function: [offset of each instruction]} as binutils see them."""
    listing = t.run([t.need('objdump'), '-d', '--no-show-raw-insn', program]).stdout.decode()
    found, at = {}, None
    for line in listing.splitlines():
        begins = re.match(r'([0-9a-f]+) <(\w+)>:$', line)
        within = re.match(r'\s+([0-9a-f]+):\t(\S+)', line)
        if begins:
            start, at = int(begins[1], 16), begins[2] if begins[2] in functions else None
            found.setdefault(at, [])
        elif within and at and within[2] != 'nop':
            found[at].append(int(within[1], 16) - start)
    return {name: found[name] for name in functions}


def everywhere(places):
    """The options for a breakpoint at each instruction."""
    return [word for name, offsets in places.items()
            for word in ('-f', f'a.out:{name},' + ','.join(f'{name}+{offset}' for offset in offsets if offset))]


@timeout(180)
def test_a_breakpoint_at_every_instruction_of_functions_at_once(t):
    for number, flags in enumerate((['-O0'], ['-O2', '-fno-inline', '-fcf-protection'])):
        program = compile_c(t, f'everywhere{number}', PROGRAM, '-pthread', *flags)
        places = instructions(t, program, FUNCTIONS)
        count = sum(map(len, places.values()))
        t.check(count > 150, places)
        plain = t.run([program])
        t.equal(plain.returncode, 3, plain.stderr)
        result, _, told = calls(t, everywhere(places), [program], limit=150)
        t.equal((result.returncode, result.stdout, result.stderr), (3, plain.stdout, b''), f'the program, {flags}')
        told = {(r['symbol'], r.get('offset', 0)): r['count'] for r in told if r['event'] == 'count'}
        t.equal([told[('work', 0)], told[('main', 0)]], [5, 1], 'calls')
        # Whoever begins a function runs its first instructions, up to the first jump: as often.
        t.equal(told[('work', places['work'][1])], 5, told)
        t.check(len(told) > count // 2, f'{len(told)} of {count} instructions were run')


# Where a libc makes and ends processes and threads. In a static program they have their names, inner ones too.
BIRTHS_AND_ENDS = ('__libc_fork', '__libc_vfork', '__execve', '_exit', '__clone', '__clone3', '__clone_internal', 'raise',
                   'start_thread', '__pthread_exit', '__nptl_free_tcb', '__spawnix', '__spawni_child')
SPAWNER = r'''
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
static _Atomic int raised, ended;
static void note(int number) { raised += number == SIGUSR1; }
static void *thread(void *leaves)
{
	raise(SIGUSR1);
	ended++;
	if (leaves)
		pthread_exit(leaves);
	return leaves;
}
static int child(void *data)
{
	_exit(*(int *)data);
}
static int status_of(pid_t pid)
{
	int status;
	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
int main(int argc, char **argv)
{
	char *const again[] = { argv[0], "short", NULL };
	static char stack[65536];
	int sum = 0, code = 6;
	pthread_t threads[10];
	pid_t pid;
	void *value;

	if (argc > 1)
		return 4;
	signal(SIGUSR1, note);
	for (int i = 0; i < 10; i++) {
		if (!(pid = fork()))
			_exit(i);
		sum += status_of(pid);
		if (!(pid = vfork())) {
			execve(argv[0], again, environ);
			_exit(99);
		}
		sum += status_of(pid);
		if (!(pid = vfork()))
			_exit(5);
		sum += status_of(pid);
		sum += posix_spawn(&pid, argv[0], NULL, NULL, again, environ) ? -1 : status_of(pid);
		sum += status_of(clone(child, stack + sizeof(stack), CLONE_VM | SIGCHLD, &code));
		for (long k = 0; k < 10; k++)
			pthread_create(&threads[k], NULL, thread, (void *)(k % 2));
		for (int k = 0; k < 10; k++) {
			pthread_join(threads[k], &value);
			sum += (int)(long)value;
		}
	}
	/* It dies with threads that are born and end, in whatever they step over. */
	printf("%d %d %d\n", sum, raised, ended);
	fflush(stdout);
	for (int k = 0; k < 8; k++)
		pthread_create(&threads[k], NULL, thread, NULL);
	if (argc < 1)
		return 0;
	_exit(3);
}
'''


@timeout(180)
def test_a_breakpoint_at_every_instruction_of_what_makes_and_ends_processes_and_threads(t):
    program = compile_c(t, 'spawner', SPAWNER, '-static', '-pthread')
    places = instructions(t, program, BIRTHS_AND_ENDS)
    plain = t.run([program])
    t.equal((plain.returncode, plain.stdout), (3, b'285 100 100\n'), plain.stderr)
    # Without the children: what they share with their maker is stepped over all the same.
    mine = {'__libc_fork': 10, '__libc_vfork': 20, '__clone': 10, '__spawnix': 10, '__pthread_exit': 50, '__nptl_free_tcb': 100}
    for options, ends in (([], {'_exit': 51, '__execve': 20, '__spawni_child': 10}),
                          (['--no-follow'], {'_exit': 1, '__execve': 0, '__spawni_child': 0})):
        result, _, told = calls(t, everywhere(places) + options, [program], limit=150)
        t.equal((result.returncode, result.stdout, result.stderr), (3, plain.stdout, b''), f'the program, {options}')
        told = {(r['symbol'], r.get('offset', 0)): r['count'] for r in told if r['event'] == 'count'}
        wanted = {**mine, **ends}
        t.equal({name: told[(name, 0)] for name in wanted}, wanted, f'calls, {options}')
        t.check(100 <= told[('raise', 0)] <= told[('start_thread', 0)] <= 108, told)


@timeout(120)
def test_counts_are_those_of_bpftrace(t):
    bpftrace = t.need('bpftrace')
    program = compile_c(t, 'probed', PROGRAM, '-pthread')
    said = t.run([bpftrace, '-q', '-e', ''.join(f'uprobe:{program}:{name} {{ @{name} = count(); }} ' for name in FUNCTIONS),
                  '-c', program], timeout=60)
    kernel = dict(re.findall(r'@(\w+): (\d+)', said.stdout.decode()))
    if not kernel:
        t.skip(f'bpftrace cannot probe: {said.stderr.decode()[-200:]}')
    result, counts, _ = calls(t, ['-f', 'a.out:' + ','.join(FUNCTIONS), '--no-follow'], [program])
    t.equal(result.returncode, 3, result.stderr)
    # The child has the kernel's probes too.
    child = calls(t, ['-f', 'a.out:' + ','.join(FUNCTIONS)], [program])[1]
    t.equal({name: child[('probed', name)] for name in FUNCTIONS}, {name: int(kernel[name]) for name in FUNCTIONS}, 'counts')
    t.equal([counts[('probed', 'work')], child[('probed', 'work')]], [4, 5], 'the child alone')
