# SPDX-License-Identifier: BSD-2-Clause
"""tether run --stop-at=OBJECT:FUNCTION: it stands there, its stack is shown, another tool takes it, and it runs on."""
import os
import re
import sys

PYTHON = os.path.realpath(sys.executable)

LIBRARY = """
int loaded_work(int number);
int loaded_work(int number) { return number * 2; }
"""
PROGRAM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
static void *thread(void *work) { return (void *)(long)((int (*)(int))work)(4); }
int main(void)
{
	void *handle = dlopen("./libloaded.so", RTLD_NOW);
	void *work = handle ? dlsym(handle, "loaded_work") : NULL, *result = NULL;
	pthread_t made;
	int status = 0;
	if (!work || pthread_create(&made, NULL, thread, work) || pthread_join(made, &result))
		return 9;
	if (!fork())
		_exit(((int (*)(int))work)(3));
	wait(&status);
	printf("%ld %d\n", (long)result, WEXITSTATUS(status));
	return 0;
}
"""


def make(t):
    (t.tmp / 'loaded.c').write_text(LIBRARY)
    (t.tmp / 'program.c').write_text(PROGRAM)
    compiler = t.need('cc', 'gcc')
    for words in (['-shared', '-fPIC', '-o', 'libloaded.so', 'loaded.c'], ['-o', 'program', 'program.c', '-ldl', '-lpthread']):
        made = t.run([compiler, '-w', '-g', *words])
        t.equal(made.returncode, 0, made.stderr.decode())


def test_python_stops_in_the_c_library_and_runs_on(t):
    records = t.tmp / 'records'
    result = t.run([*t.tether, 'run', '--stop-at=libc.so.6:getenv', '--format=jsonl', '-o', records, '--then',
                    'grep -E "State|TracerPid" /proc/{pid}/status > status; echo {pid} > pid', '--', PYTHON, '-c', 'print(6 * 7)'])
    t.equal((result.returncode, result.stdout), (0, b'42\n'), result.stderr.decode())
    pid = int((t.tmp / 'pid').read_text())
    t.equal((t.tmp / 'status').read_text(), 'State:\tT (stopped)\nTracerPid:\t0\n')
    told = [r for r in t.records(records) if r['event'] in ('parked', 'stack', 'release', 'error')]
    t.equal([r['event'] for r in told], ['parked', 'stack', 'release'])
    t.equal((told[0]['pid'], told[1]['pid'], told[1]['tid'], told[2]['mode']), (pid, pid, told[0]['tid'], 'hang'))
    t.equal(told[1]['frames'][0]['symbol'], 'getenv')
    t.check('main' in [f.get('symbol') for f in told[1]['frames']] or len(told[1]['frames']) > 2, told[1]['frames'])


def test_a_function_of_a_library_that_is_loaded_later_stops_each_process(t):
    """A thread that is not the first comes there, and then a child, which is another process; the rest goes on."""
    make(t)
    gdb = t.need('gdb')
    result = t.run([*t.tether, 'run', '--stop-at=libloaded.so:loaded_work', '-e', 'parked', '--then',
                    f'{gdb} -p {{pid}} -nx -batch -ex "thread apply all bt" > gdb 2>&1', '--', './program'])
    t.equal((result.returncode, result.stdout), (0, b'8 6\n'), result.stderr.decode())
    text = (t.tmp / 'gdb').read_text()
    t.check('loaded_work' in text, text)
    lines = result.stderr.decode().splitlines()
    parked = [i for i, line in enumerate(lines) if re.search(r' parked$', line)]
    t.equal(len(parked), 1, lines) # the rest of its process, its child too, is not held any more
    t.check(re.match(r'\d+ program, stopped$', lines[parked[0] + 1]), lines)
    t.check(re.search(r'libloaded.so`loaded_work$', lines[parked[0] + 2]), lines)
    t.check(re.search(r'program`thread\+0x', lines[parked[0] + 3]), lines)


def test_children_of_a_shell_are_stopped_one_after_the_other(t):
    make(t)
    result = t.run([*t.tether, 'run', '-q', '--stop-at=libloaded.so:loaded_*', '--then', 'echo {pid} >> pids', '--', 'sh', '-c',
                    './program; ./program; exit 3'])
    t.equal((result.returncode, result.stdout), (3, b'8 6\n8 6\n'), result.stderr.decode())
    pids = (t.tmp / 'pids').read_text().split()
    t.equal((len(pids), len(set(pids))), (2, 2))


def test_without_a_command_it_is_left_stopped(t):
    make(t)
    with open(t.tmp / 'err', 'wb') as errors, open(t.tmp / 'out', 'wb') as out:
        result = t.run([*t.tether, 'run', '--stop-at=a.out:main', '-e', 'exit', '--', './program'], stderr=errors, stdout=out)
    t.equal(result.returncode, 0)
    text = (t.tmp / 'err').read_text()
    t.check(re.search(r'program`main$', text, re.MULTILINE), text)
    pid = int(re.search(r'tether: (\d+) is stopped', text)[1])
    with open(f'/proc/{pid}/status') as status:
        state = re.search('State:.*', status.read())[0]
    t.equal(state, 'State:\tT (stopped)')
    t.equal(t.run([*t.tether, 'resume', '-p', str(pid)]).returncode, 0)


def test_a_function_that_nobody_has_is_told(t):
    result = t.run([*t.tether, 'run', '--stop-at=nothing.so:nothing', '-e', 'exit', '--', 'sh', '-c', 'exit 4'])
    t.equal(result.returncode, 4)
    t.check(b"tether: nothing that was loaded has a function 'nothing.so:nothing'\n" in result.stderr, result.stderr)


def test_with_stop_on_exec_each_place_stops(t):
    make(t)
    result = t.run([*t.tether, 'run', '-q', '--stop-on-exec=*/program', '--stop-at=libloaded.so:loaded_work', '--then',
                    'echo {pid} >> pids', '--', './program'])
    t.equal((result.returncode, result.stdout), (0, b'8 6\n'), result.stderr.decode())
    t.equal(len((t.tmp / 'pids').read_text().split()), 1)
