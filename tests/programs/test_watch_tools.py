# SPDX-License-Identifier: BSD-2-Clause
"""`tether watch` around the programs that it is made for: a pytest and a ctest that hang, with all that they have started."""
import os
import re
import signal
import time

from processes import eventually, status
from tether_test import timeout

MOSTLY_WAITS = True  # until something has hung long enough

# What a test leaves behind: out of its session, with init for a parent, and deaf to SIGTERM.
DAEMON = """
import os, signal, sys, time
if os.fork():
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
with open(sys.argv[1], 'a') as note:
    print(os.getpid(), file=note, flush=True)
while True:
    time.sleep(1000)
"""

PYTEST = """
import pathlib, subprocess, sys, threading

HERE = pathlib.Path(__file__).parent

def test_that_is_fine():
    assert 1 + 1 == 2

def wait_for_ever(lock):
    lock.acquire()

def test_that_hangs():
    note = HERE / 'pids'
    subprocess.run([sys.executable, HERE / 'daemon.py', note], check=True)
    child = subprocess.Popen(['sleep', '1000'])
    with open(note, 'a') as out:
        print(child.pid, file=out)
    lock = threading.Lock()
    lock.acquire()
    threading.Thread(target=wait_for_ever, args=[lock], daemon=True).start()
    (HERE / 'hangs').touch()
    wait_for_ever(lock)
"""

CTEST = """
add_test(fine "true")
add_test(hangs "sh" "-c" "echo $$ >> pids; python3 daemon.py pids; sleep 1001; true")
add_test(hangs_too "sh" "-c" "echo $$ >> pids; (setsid sh -c 'echo $$ >> pids; exec sleep 1002' &) ; sleep 1003; true")
set_tests_properties(hangs hangs_too PROPERTIES TIMEOUT 600)
"""


def watch(t, seconds, command, **how):
    path = t.tmp / 'watched.jsonl'
    began = time.monotonic()
    result = t.run([*t.tether, 'watch', '--timeout', str(seconds), '--grace', '0.5', '--format=jsonl', '-o', path, '--',
                    *command], **how)
    t.check(time.monotonic() - began < seconds + 20 * t.slow, f'it took {time.monotonic() - began:.1f} s')
    return result, t.records(path)


def noted(t):
    try:
        return [int(line) for line in (t.tmp / 'pids').read_text().split()]
    except OSError:
        return []


def check_gone(t, count):
    pids = noted(t)
    t.check(len(pids) >= count, f'only {pids} were started')
    left = [pid for pid in pids if not eventually(lambda pid=pid: status(pid).get('State', 'Z')[0] in 'ZX', 5)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    t.equal(left, [], 'processes that were left')


def names(stacks):
    return {re.sub(r'^(__GI_|_+)', '', frame.get('symbol', '?')).split('@')[0] for stack in stacks for frame in stack['frames']}


def check_stacks(t, records):
    """Each process that lived is shown once, and has one stack a thread."""
    for process in (r for r in records if r['event'] == 'process' and r['state'] not in 'ZX'):
        stacks = [r for r in records if r['event'] == 'stack' and r['pid'] == process['pid']]
        t.check(stacks and all(stack['frames'] for stack in stacks), f'stacks of {process}')


def stacks_of(records, word):
    processes = [r['pid'] for r in records if r['event'] == 'process' and any(word in argument for argument in r['argv'])]
    return [r for r in records if r['event'] == 'stack' and r['pid'] in processes]


def python_of_system(t, module):
    python = '/usr/bin/python3'
    if not os.path.exists(python):
        t.skip('no python of the system')
    if t.run([python, '-c', f'import {module}']).returncode:
        t.skip(f'no python3-{module}')
    return python


@timeout(120)
def test_a_pytest_that_hangs(t):
    """Both its threads wait for a lock; its child, and the daemon of an earlier step, end with it."""
    python = python_of_system(t, 'pytest')
    (t.tmp / 'test_it.py').write_text(PYTEST)
    (t.tmp / 'daemon.py').write_text(DAEMON)
    result, records = watch(t, 4 * t.slow, [python, '-m', 'pytest', '-p', 'no:cacheprovider', '-v', 'test_it.py'])
    t.equal(result.returncode, 124, result.stderr)
    t.check((t.tmp / 'hangs').exists(), f'it did not get so far: {result.stdout}')
    check_stacks(t, records)
    stacks = [stack for stack in stacks_of(records, 'pytest') if stack['pid'] not in noted(t)]
    t.equal(len(stacks), 2, 'threads of pytest')
    for stack in stacks:
        t.check('PyThread_acquire_lock_timed' in names([stack]), f'it waits in {names([stack])}')
    t.check({'pause', 'select', 'clock_nanosleep'} & names(stacks_of(records, 'daemon.py')), 'the daemon sleeps nowhere')
    shown = {r['pid'] for r in records if r['event'] == 'process'}
    t.check(set(noted(t)) <= shown, f'{noted(t)} are not all in {shown}')
    check_gone(t, 2)


@timeout(120)
def test_a_ctest_that_hangs_with_daemons(t):
    """Two of its tests at once, each with a daemon that has left the session; ctest puts its tests into groups of their own."""
    ctest = t.need('ctest')
    (t.tmp / 'CTestTestfile.cmake').write_text(CTEST)
    (t.tmp / 'daemon.py').write_text(DAEMON)
    result, records = watch(t, 3 * t.slow, [ctest, '-j', '3'])
    t.equal(result.returncode, 124, result.stderr)
    t.check(b'fine' in result.stdout, result.stdout)
    check_stacks(t, records)
    t.check(stacks_of(records, 'ctest'), 'no stack of ctest')
    for word in ('daemon.py', '1001', '1002', '1003'):
        t.check(names(stacks_of(records, word)) & {'clock_nanosleep', 'nanosleep', 'select', 'wait4', 'waitpid'},
                f'{word} waits nowhere')
    shown = {r['pid'] for r in records if r['event'] == 'process'}
    t.check(set(noted(t)) <= shown, f'{noted(t)} are not all in {shown}')
    check_gone(t, 4)


@timeout(120)
def test_a_pytest_that_ends_is_as_without_us(t):
    """Its exit status, its output, and nothing of ours in either."""
    python = python_of_system(t, 'pytest')
    (t.tmp / 'test_it.py').write_text('def test_a():\n    assert 1 == 1\ndef test_b():\n    assert 1 == 2\n')
    command = [python, '-m', 'pytest', '-p', 'no:cacheprovider', '-q', 'test_it.py']
    plain = t.run(command)
    watched = t.run([*t.tether, 'watch', '--timeout', '60', '--', *command])
    in_time = [re.sub(rb' in [\d.]+s', b'', result.stdout) for result in (plain, watched)]
    t.equal((plain.returncode, watched.returncode, watched.stderr), (1, 1, b''))
    t.equal(in_time[1], in_time[0], 'output')
