# SPDX-License-Identifier: BSD-2-Clause
"""`tether watch`: nothing is traced or changed before the deadline, and then nothing that was started is left."""
import json
import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys
import time

from processes import children, eventually, running, status
from terminal import CTRL_C, CTRL_Z, Shell
from tether_test import timeout

MOSTLY_WAITS = True  # until something has hung long enough

PYTHON = sys.executable


def watch(t, seconds, command, *options, **how):
    """(CompletedProcess, records); the time is longer where all is slow."""
    path = t.tmp / f'watched-{time.monotonic_ns()}.jsonl'
    result = t.run([*t.tether, 'watch', '--timeout', str(seconds), '--format=jsonl', '-o', path, *options, '--', *command],
                   **how)
    return result, t.records(path)


def alive(pid):
    return status(pid).get('State', 'Z')[0] not in 'ZX'


def pids(path):
    """Those that a script has noted, one a line."""
    try:
        return [int(line) for line in path.read_text().split()]
    except OSError:
        return []


def kinds(records):
    return [record['event'] for record in records]


# ---- a command that ends in time ------------------------------------------------------------------------


def test_the_exit_status_is_the_commands_own_and_nothing_is_said(t):
    for code in (0, 1, 3, 124, 125, 126, 127, 255):
        result = t.run([*t.tether, 'watch', '--timeout', '60', '--', 'sh', '-c', f'exit {code}'])
        t.equal((result.returncode, result.stdout, result.stderr), (code, b'', b''), f'exit {code}')


def test_the_signal_that_ends_it_is_passed_on(t):
    for name in ('TERM', 'KILL', 'SEGV', 'INT', 'HUP', 'USR1', 'PIPE', 'CHLD'):
        number = getattr(signal, f'SIG{name}')
        result = t.run([*t.tether, 'watch', '--timeout', '60', '--', 'sh', '-c', f'ulimit -c 0; kill -{name} $$; exit 9'])
        t.equal((result.returncode, result.stderr), (9 if name == 'CHLD' else -number, b''), name)


def test_what_cannot_be_run_is_said_as_run_says_it(t):
    (t.tmp / 'folder').mkdir()
    (t.tmp / 'plain').write_text('#!/bin/sh\n')
    (t.tmp / 'bad').write_text('#!/no/such/interpreter\n')
    (t.tmp / 'format').write_bytes(b'\0\1\2\3')
    for name in ('bad', 'format'):
        (t.tmp / name).chmod(0o755)
    for command in ('nonesuch-command', './nonesuch', './folder', './plain', './bad', './format'):
        watched = t.run([*t.tether, 'watch', '--timeout', '60', command])
        ran = t.run([*t.tether, 'run', command])
        t.equal((watched.returncode, watched.stderr), (ran.returncode, ran.stderr), command)
        t.check(watched.returncode in (126, 127), f'{command}: {watched.returncode}')


def test_the_records_of_a_command_that_ends(t):
    result, records = watch(t, 60, ['sh', '-c', 'exit 5'])
    t.equal((result.returncode, kinds(records), records[-1]['code']), (5, ['header', 'exit'], 5))


def test_wrong_use_is_told(t):
    for words, why in ((['true'], '--timeout'), (['--timeout', '5'], 'no command'), (['--timeout', '0', 'true'], 'above 0'),
                       (['--timeout', '5', '--on-timeout=nothing', 'true'], 'stacks or none')):
        result = t.run([*t.tether, 'watch', *words])
        t.equal(result.returncode, 125, words)
        t.check(why in result.stderr.decode(), result.stderr)


# What a program can see of how it was started.
REPORT = r"""
import os, re, resource, sys
text = open('/proc/self/status').read()
print({name: re.search(name + r':\s*(\S+)', text)[1] for name in ('TracerPid', 'SigBlk', 'SigIgn', 'SigPnd', 'ShdPnd', 'Umask')})
fds = {}
for fd in os.listdir('/proc/self/fd'):
    try:
        fds[fd] = os.readlink('/proc/self/fd/' + fd)
    except OSError:
        pass
print(sorted((fd, to) for fd, to in fds.items() if not to.startswith('/proc/')))
print(os.getcwd(), os.getsid(0), os.getpgid(0) == int(sys.argv[1]), os.nice(0), sorted(os.environ.items()))
print([resource.getrlimit(n) for n in range(16)])
"""


def test_the_command_starts_as_it_would_without_us(t):
    """Mask, dispositions, descriptors, limits, session and process group are the caller's; nobody traces it."""
    read, write = os.pipe()
    os.set_inheritable(write, True)
    script = ('import os, resource, signal, sys; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2, signal.SIGINT]); '
              '[signal.signal(n, signal.SIG_IGN) for n in (signal.SIGUSR1, signal.SIGQUIT, signal.SIGCHLD, signal.SIGTSTP, signal.SIGHUP)]; '
              'signal.signal(signal.SIGPIPE, signal.SIG_DFL); resource.setrlimit(resource.RLIMIT_CORE, (0, 4096)); os.umask(0o27); '
              'words = [w.replace("PGID", str(os.getpgid(0))) for w in sys.argv[1:]]; os.execvp(words[0], words)')
    command = [PYTHON, '-I', '-c', REPORT, 'PGID']
    plain = t.run([PYTHON, '-c', script, *command], pass_fds=[write])
    watched = t.run([PYTHON, '-c', script, *t.tether, 'watch', '--timeout', '60', '-o', t.tmp / 'records', '--', *command],
                    pass_fds=[write])
    os.close(read)
    os.close(write)
    t.equal(plain.returncode, 0, plain.stderr)
    # Each run has a session of its own.
    same = [re.sub(rb"(%s) \d+ " % re.escape(str(t.tmp).encode()), rb'\1 SID ', out) for out in (plain.stdout, watched.stdout)]
    for out in same:
        for number in set(re.findall(rb'pipe:\[\d+\]', out)):
            same = [text.replace(number, b'PIPE') for text in same]
    t.equal(same[1], same[0], 'what the program sees')
    t.equal(watched.stderr, b'')


def test_the_command_is_our_child_and_is_not_traced(t):
    script = 'read line; grep TracerPid /proc/self/status /proc/$$/status; exit 3'
    with subprocess.Popen([*t.tether, 'watch', '--timeout', '60', '--', 'sh', '-c', script], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as process:
        t.check(eventually(lambda: children(process.pid)), 'no child')
        t.equal([status(pid)['TracerPid'].strip() for pid in children(process.pid)], ['0'])
        t.equal(os.listdir(f'/proc/{process.pid}/task'), [str(process.pid)], 'threads of tether')
        process.stdin.write(b'\n')
        process.stdin.close()
        out = process.stdout.read()
        t.equal((process.wait(), re.findall(rb'TracerPid:\s*(\d+)', out)), (3, [b'0', b'0']))


def test_a_tracer_inside_works(t):
    """A traced process could not be traced again."""
    out = t.tmp / 'strace'
    result = t.run([*t.tether, 'watch', '--timeout', '60', '--', t.need('strace'), '-f', '-o', out, 'sh', '-c', 'true; exit 4'])
    t.equal(result.returncode, 4, result.stderr)
    t.check(b'execve(' in out.read_bytes(), 'strace saw nothing')


LEAKS = r"""
#include <stdlib.h>
#include <stdio.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	char *keep = malloc(100);
	if (argc > 1)
		for (;;)
			pause();
	printf("%p\n", (void *)keep);
	free(keep);
	return 0;
}
"""


def test_a_program_with_a_leak_checker_ends_as_untraced(t):
    """LeakSanitizer refuses to run under any tracer: under `run` the same program fails."""
    (t.tmp / 'leaks.c').write_text(LEAKS)
    made = t.run([t.need('gcc'), '-g', '-fsanitize=address', '-o', 'leaks', 'leaks.c'])
    if made.returncode:
        t.skip('gcc has no AddressSanitizer here')
    env = {'ASAN_OPTIONS': 'detect_leaks=1', 'LSAN_OPTIONS': None}
    watched = t.run([*t.tether, 'watch', '--timeout', '60', '--', './leaks'], env=env)
    t.equal((watched.returncode, watched.stderr), (0, b''), 'under watch')
    ran = t.run([*t.tether, 'run', '-q', '--', './leaks'], env=env)
    t.check(ran.returncode and b'LeakSanitizer' in ran.stderr, f'under run: {ran.returncode} {ran.stderr}')


def test_a_daemon_of_a_command_that_ended_is_left_alone(t):
    note = t.tmp / 'pid'
    result = t.run([*t.tether, 'watch', '--timeout', '60', '--', 'sh', '-c',
                    f'setsid sleep 1000 > /dev/null 2>&1 & echo $! > {note}; exit 3'])
    pid, = pids(note)
    was_alive = alive(pid)
    os.kill(pid, signal.SIGKILL)
    t.equal((result.returncode, was_alive), (3, True))


# ---- one that does not ----------------------------------------------------------------------------------


def check_all_gone(t, note, count):
    started = pids(note)
    t.check(len(started) >= count, f'only {started} were started')
    left = [pid for pid in started if not eventually(lambda pid=pid: not alive(pid), 5)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    t.equal(left, [], 'processes that were left')


def test_all_that_was_started_is_ended_orphans_included(t):
    note = t.tmp / 'pids'
    script = f"""
exec 2> /dev/null
note() {{ echo $1 >> {note}; }}
note $$
sleep 1001 & note $!
setsid sleep 1002 & note $!
(setsid sh -c 'echo $$ >> {note}; (sh -c "echo \\$\\$ >> {note}; exec sleep 1003" &) ; exec sleep 1004' &)
(setsid sh -c 'trap "" TERM; echo $$ >> {note}; sleep 1005; sleep 1006' &)
sh -c 'echo $$ >> {note}; kill -STOP $$; sleep 1007' &
wait
sleep 1008
"""
    result, records = watch(t, 2 * t.slow, ['sh', '-c', script], '--grace', '1')
    t.equal((result.returncode, result.stderr), (124, b''))
    check_all_gone(t, note, 7)
    shown = {record['pid'] for record in records if record['event'] == 'process'}
    t.equal(set(pids(note)) - shown, set(), 'started and not shown')
    t.equal(records[1]['event'], 'timeout')
    t.equal(records[-1]['event'], 'exit')
    parents = {record['pid']: record['ppid'] for record in records if record['event'] == 'process'}
    places = [record['pid'] for record in records if record['event'] == 'process']
    for pid, parent in parents.items():
        t.check(parent not in parents or places.index(parent) < places.index(pid), f'{pid} before its parent {parent}')


def test_who_ends_at_sigterm_has_time_for_it(t):
    script = 'trap "sleep 0.3; echo tidy; exit 0" TERM; echo ready; while :; do sleep 0.05; done'
    result, records = watch(t, 1.5 * t.slow, ['sh', '-c', script], '--grace', '30')
    t.equal((result.returncode, result.stdout, records[-1].get('code')), (124, b'ready\ntidy\n', 0))


def test_who_starts_others_all_the_time_is_ended_too(t):
    """Between the look and SIGKILL it has new children, which lose their parent and ignore SIGTERM."""
    script = (r'import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)' '\n'
              r'def work(depth):' '\n'
              r'    until = time.monotonic() + 30' '\n'
              r'    while time.monotonic() < until:' '\n'
              r'        if os.fork() == 0:' '\n'
              r'            os.setsid()' '\n'
              r'            if depth: work(depth - 1)' '\n'
              r'            time.sleep(0.05); os._exit(0)' '\n'
              r'        time.sleep(0.004)' '\n'
              r'        try:' '\n'
              r'            while os.waitpid(-1, os.WNOHANG)[0]: pass' '\n'
              r'        except ChildProcessError: pass' '\n'
              r'work(1)')
    mark = f'mark-{os.getpid()}-{time.monotonic_ns()}'
    result, _ = watch(t, 1, [PYTHON, '-c', script, mark], '--on-timeout=none', '--grace', '0.2')
    found = subprocess.run(['pgrep', '-f', mark], stdout=subprocess.PIPE, check=False).stdout
    for pid in found.split():
        os.kill(int(pid), signal.SIGKILL)
    t.equal((result.returncode, found), (124, b''))


def test_children_that_we_were_born_with_are_left_alone(t):
    script = f'sleep 1000 > /dev/null 2>&1 & echo $!; exec {shlex.join(t.tether)} watch -q --timeout 0.5 -- sleep 1001'
    result = t.run(['sh', '-c', script])
    pid = int(result.stdout)
    was_alive = alive(pid)
    os.kill(pid, signal.SIGKILL)
    t.equal((result.returncode, was_alive), (124, True))


def test_told_to_end_it_ends_all_and_dies_of_that_signal(t):
    note = t.tmp / 'pids'
    script = f'echo $$ >> {note}; setsid sleep 1000 & echo $! >> {note}; wait'
    with subprocess.Popen([*t.tether, 'watch', '--timeout', '600', '--', 'sh', '-c', script],
                          stderr=subprocess.PIPE) as process:
        t.check(eventually(lambda: len(pids(note)) == 2), 'not started')
        process.terminate()
        t.equal((process.wait(20), process.stderr.read()), (-signal.SIGTERM, b''))
    check_all_gone(t, note, 2)


def test_killed_it_leaves_everything_running(t):
    note = t.tmp / 'pids'
    script = f'echo $$ >> {note}; sleep 1000 & echo $! >> {note}; wait'
    process = subprocess.Popen([*t.tether, 'watch', '--timeout', '600', '--', 'sh', '-c', script])
    t.check(eventually(lambda: len(pids(note)) == 2), 'not started')
    process.kill()
    process.wait()
    time.sleep(0.1)
    lived = [alive(pid) for pid in pids(note)]
    for pid in pids(note):
        os.kill(pid, signal.SIGKILL)
    t.equal(lived, [True, True])


# ---- stacks ---------------------------------------------------------------------------------------------

HUNG_TEST = """
import threading, time
lock = threading.Lock()
def holder(ready):
    with lock:
        ready.set()
        time.sleep(1000)
def test_that_hangs():
    ready = threading.Event()
    threading.Thread(target=holder, args=[ready], daemon=True, name='holder').start()
    ready.wait()
    lock.acquire()
print('running', flush=True)
test_that_hangs()
"""


def names(record):
    return [re.sub(r'^(__GI_|_+)', '', frame.get('symbol', '?')).split('@')[0] for frame in record['frames']]


def check_stacks(t, records):
    """Each process that lived has its stacks, right behind its own record, and they end where they begin."""
    last, seen = None, {}
    for record in records:
        if record['event'] == 'process':
            last = record['pid']
            seen[last] = 0
        elif record['event'] == 'stack':
            t.equal(record['pid'], last, 'process of a stack')
            t.check(record['frames'], record)
            seen[last] += 1
    for record in records:
        if record['event'] == 'process' and record['state'] not in 'ZX':
            t.check(seen[record['pid']], f'no stack of {record}')


@timeout(90)
def test_a_hung_python_test_shows_where_it_waits(t):
    (t.tmp / 'hung.py').write_text(HUNG_TEST)
    python = '/usr/bin/python3' if os.path.exists('/usr/bin/python3') else PYTHON
    result, records = watch(t, 3 * t.slow, ['sh', '-c', f'{python} hung.py; exit 3'])
    t.equal((result.returncode, result.stdout), (124, b'running\n'))
    check_stacks(t, records)
    main = [r for r in records if r['event'] == 'process' and 'hung.py' in r['argv']]
    t.equal(len(main), 1, 'processes of the test')
    stacks = [r for r in records if r['event'] == 'stack' and r['pid'] == main[0]['pid']]
    t.equal(len(stacks), 2, 'threads of the test')
    found = [name for stack in stacks for name in names(stack)]
    t.check('PyThread_acquire_lock_timed' in found, f'nobody waits for a lock in {found}')
    t.check(any('clock_nanosleep' in name or 'select' in name for name in found), f'nobody sleeps in {found}')
    t.check(any('PyEval' in name for name in found), f'no name of python in {found}')


@timeout(90)
def test_a_hung_tree_with_daemons_shows_all_of_them(t):
    """What ctest -j has below it: shells, programs, and servers that have made themselves daemons."""
    note = t.tmp / 'pids'
    script = f"""
    (setsid sh -c 'echo $$ >> {note}; sleep 1002; true' > /dev/null &)
    (sh -c 'setsid sleep 1000 & echo $! >> {note}' &)
    sh -c 'sleep 1001; true' & echo $! >> {note}
    echo $$ >> {note}
    wait"""
    result, records = watch(t, 2 * t.slow, ['bash', '-c', script])
    t.equal((result.returncode, result.stderr), (124, b''))
    check_stacks(t, records)
    check_all_gone(t, note, 4)
    shown = {r['pid'] for r in records if r['event'] == 'process'}
    t.check(set(pids(note)) <= shown, f'{pids(note)} are not all in {shown}')


def test_a_traced_process_is_looked_at_without_a_stop(t):
    """A debugger inside holds it: what can be seen from outside is shown, and the debugger's process too."""
    out = t.tmp / 'strace'
    result, records = watch(t, 2 * t.slow, [t.need('strace'), '-f', '-o', out, 'sleep', '1000'])
    t.equal(result.returncode, 124, result.stderr)
    t.equal([r for r in records if r['event'] == 'error'], [])
    traced = next(r['pid'] for r in records if r['event'] == 'process' and r['argv'][0] == 'sleep')
    t.equal([r['state'] for r in records if r['event'] == 'stack' and r['pid'] == traced], ['blocked'])
    t.equal([r['manner'] for r in records if r['event'] == 'snapshot' and r['pid'] == traced], ['still'])


def test_a_program_with_a_leak_checker_that_hangs_shows_its_stack(t):
    (t.tmp / 'leaks.c').write_text(LEAKS)
    if t.run([t.need('gcc'), '-g', '-fsanitize=address', '-o', 'leaks', 'leaks.c']).returncode:
        t.skip('gcc has no AddressSanitizer here')
    result, records = watch(t, 2 * t.slow, ['./leaks', 'hang'])
    t.equal(result.returncode, 124, result.stderr)
    check_stacks(t, records)
    stack = next(r for r in records if r['event'] == 'stack' and r['tid'] == r['pid'])
    t.check('pause' in names(stack) and 'main' in names(stack), names(stack))


def test_text_shows_the_tree_and_its_stacks(t):
    result = t.run([*t.tether, 'watch', '--timeout', str(1.5 * t.slow), '--', 'sh', '-c', 'sleep 1000; true'])
    text = result.stderr.decode()
    t.equal(result.returncode, 124)
    t.check(re.search(r'timeout  not ended after [\d.]+ s; 2 processes\n', text), text)
    t.check(re.search(r'  sh -c .sleep 1000; true.\n\d+ sh|  sh -c .sleep 1000; true.\n1 thread: ', text), text)
    t.check(re.search(r'    sleep 1000\n.*\n    0x[0-9a-f]{16}  libc.so.6`', text), text)
    t.check(text.splitlines()[-1].endswith('SIGTERM   sh'), text)


def test_nothing_but_the_processes_without_stacks(t):
    result, records = watch(t, 0.5, ['sleep', '1000'], '--on-timeout=none')
    t.equal((result.returncode, kinds(records)), (124, ['header', 'timeout', 'process', 'exit']))


# ---- at a terminal --------------------------------------------------------------------------------------


def test_the_keys_of_the_terminal_are_the_commands(t):
    with Shell(t, env={'TETHER': shlex.join(t.tether)}) as shell:
        shell.start("$TETHER watch --timeout 100 -- sh -c 'echo st''arted; exec sleep 100'")
        shell.expect('started')
        shell.type(CTRL_C)
        shell.prompt()
        t.equal(shell.status(), 128 + signal.SIGINT)
        shell.start("$TETHER watch --timeout 100 -- sh -c 'while read line; do echo got-$line; done; exit 5'")
        shell.stop_and_fetch(5)
        t.equal(shell.status(), 5)


def test_a_deadline_passes_while_it_is_stopped(t):
    with Shell(t, env={'TETHER': shlex.join(t.tether)}) as shell:
        shell.start("$TETHER watch -q --timeout 2 -- sh -c 'echo st''arted; exec sleep 100'")
        shell.expect('started')
        shell.type(CTRL_Z)
        shell.expect('Stopped')
        shell.prompt()
        t.check(eventually(lambda: 'Running' in shell.do('jobs') or 'Exit' in shell.do('jobs') or not shell.do('jobs'), 20),
                'it stays stopped')
        shell.do('wait')
        t.check('sleep 100' not in shell.do('ps -o args'), 'the command lives')
