# SPDX-License-Identifier: BSD-2-Clause
"""`tether stack` beside gdb, frame by frame, on programs that stand at one place."""
import contextlib
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import time

from processes import children, eventually, status
from tether_test import timeout

# Real frames only: what is inlined has none, and what has left by a tail call neither; gdb makes both up.
GDB = '''
import gdb, json
for setting in ('pagination off', 'backtrace past-main on', 'backtrace past-entry on', 'backtrace limit unlimited'):
    gdb.execute('set ' + setting)
for thread in gdb.selected_inferior().threads():
    thread.switch()
    frame, found = gdb.newest_frame(), []
    while frame is not None:
        if frame.type() not in (gdb.INLINE_FRAME, gdb.TAILCALL_FRAME):
            found.append([frame.pc(), frame.name() or ''])
        try:
            frame = frame.older()
        except gdb.error:
            break
    print('STACK', json.dumps([thread.ptid[1], found]))
'''


def gdb_stacks(t, pid):
    """{tid: [[pc, name], ...]}"""
    script = t.tmp / 'stacks.py'
    script.write_text(GDB)
    result = t.run([t.need('gdb'), '-nx', '-batch', '-p', str(pid), '-x', script], env={'DEBUGINFOD_URLS': None})
    found = {}
    for line in result.stdout.decode('utf-8', 'backslashreplace').splitlines():
        if line.startswith('STACK '):
            tid, frames = json.loads(line[6:])
            found[tid] = frames
    t.check(found, f'gdb shows nothing: {result.stderr.decode()[-500:]}')
    return found


def records(t, *options):
    result = t.run([*t.tether, 'stack', '--format=jsonl', '-o', '/dev/stdout', *options])
    t.equal((result.returncode, result.stderr), (0, b''), 'tether stack')
    return [json.loads(line) for line in result.stdout.splitlines()]


def tether_stacks(t, pid, *options):
    """{tid: stack record}"""
    return {record['tid']: record for record in records(t, '-p', str(pid), *options) if record['event'] == 'stack'}


def pcs(stack):
    return [int(frame['pc'], 16) for frame in stack['frames']]


def names(stack):
    return [frame.get('symbol', '') for frame in stack['frames']]


@contextlib.contextmanager
def standing(t, command, ready=b'ready\n', **options):
    """A program that says it is ready, ended when the block is left."""
    process = subprocess.Popen([os.fspath(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, cwd=t.tmp, **options)
    try:
        if ready:
            t.equal(process.stdout.readline(), ready, f'{command}')
        yield process
    finally:
        process.stdin.close()
        process.kill()
        process.wait()
        process.stdout.close()


def same_as_gdb(t, pid, manner='', tries=4):
    """Every thread, frame by frame, whole. A thread that was elsewhere at the moments is looked at once more.

    All of them stopped, and those that are blocked spared.
    """
    manners = [manner] if manner else ['--stop-all', '--together']
    for left in reversed(range(tries)):
        all_ours = [tether_stacks(t, pid, '--frames', '20000', *([how] if how != '--together' else [])) for how in manners]
        theirs = gdb_stacks(t, pid)
        differing = [tid for tid in theirs for ours in all_ours
                     if tid not in ours or pcs(ours[tid]) != [pc for pc, _ in theirs[tid]]]
        if not differing or not left:
            break
        time.sleep(0.2)
    for how, ours in zip(manners, all_ours):
        t.equal(sorted(ours), sorted(theirs), f'{how}: the threads')
        for tid in theirs:
            t.equal([hex(pc) for pc in pcs(ours[tid])], [hex(pc) for pc, _ in theirs[tid]], f'{how}: frames of {tid}')
            t.check(not ours[tid]['truncated'], f'{how}: the stack of {tid} is whole')
    t.equal(status(pid)['TracerPid'].strip(), '0', 'its tracer')
    return ours, theirs


def kind(t, name, *words, program='stacks', check_names=()):
    with standing(t, [t.victim(program), name, *words]) as process:
        ours, _ = same_as_gdb(t, process.pid)
        all_names = [name for stack in ours.values() for name in names(stack)]
        for wanted in check_names:
            t.check(wanted in all_names, f'{wanted} is among the frames: {all_names}')
        return ours


def test_threads_that_are_blocked(t):
    ours = kind(t, 'blocked', '5', check_names=['stand', 'main', 'blocked'])
    t.equal(len(ours), 6, 'threads')


def test_threads_that_are_blocked_one_after_the_other(t):
    with standing(t, [t.victim('stacks'), 'blocked', '5']) as process:
        same_as_gdb(t, process.pid, '--rolling')


def test_nobody_is_stopped_and_the_stacks_are_the_same(t):
    with standing(t, [t.victim('stacks'), 'blocked', '5']) as process:
        ours, _ = same_as_gdb(t, process.pid, '--still')
        t.equal({stack['state'] for stack in ours.values()}, {'blocked'}, 'states')
        t.equal({stack['pause_ns'] for stack in ours.values()}, {0}, 'pauses')


def test_a_deep_recursion(t):
    ours = kind(t, 'deep', '3000', check_names=['deep'])
    t.check(len(pcs(next(iter(ours.values())))) > 3000, 'all of it')


def test_a_program_in_signal_handlers(t):
    ours = kind(t, 'signal', check_names=['first_handler', 'loop_until_signal'])
    hows = [frame['how'] for frame in next(iter(ours.values()))['frames']]
    t.equal(hows.count('signal'), 2, 'interrupted frames')


def test_signal_handlers_on_a_stack_of_their_own(t):
    kind(t, 'altstack', check_names=['first_handler', 'loop_until_signal'])


def test_leaf_functions_that_have_not_set_up_their_frames(t):
    kind(t, 'loops', check_names=['loop_at_entry', 'loop_when_pushed', 'loop_with_room'])


def test_a_stub_of_the_procedure_linkage_table(t):
    kind(t, 'plt', check_names=['call_stub'])


def test_a_call_of_the_vdso(t):
    kind(t, 'vdso', check_names=['run_function'])


def test_a_function_without_call_frame_information(t):
    ours = kind(t, 'norules', check_names=['without_rules', 'main'])
    t.equal([frame['how'] for frame in next(iter(ours.values()))['frames']].count('fp'), 1, 'frames by frame pointer')


def test_a_statically_linked_program(t):
    for name in 'blocked', 'signal', 'altstack', 'loops', 'norules', 'plt', 'vdso':
        kind(t, name, program='stacks-static', check_names=['main'])


def test_code_that_a_program_has_made(t):
    """gdb takes a wrong turn here: it looks for the code's function among those before it. So: what must be there."""
    with standing(t, [t.victim('stacks'), 'jit']) as process:
        stack = tether_stacks(t, process.pid)[process.pid]
    t.equal([name for name in names(stack) if name in ('stand', 'kind_jit', 'main', '_start')],
            ['stand', 'main', '_start'] if 'kind_jit' not in names(stack) else ['stand', 'kind_jit', 'main', '_start'],
            'frames')
    made = [frame for frame in stack['frames'] if 'object' not in frame]
    t.equal(len(made), 1, 'frames in code of no file')
    t.check(not stack['truncated'], 'it is whole')


def test_musl(t):
    """Its library has no call frame information, and no frame pointers: gdb is lost at once. We guess, and say so."""
    if not os.path.exists(t.victim('stacks-musl')):
        t.skip('musl-gcc is not installed')
    with standing(t, [t.victim('stacks-musl'), 'signal']) as process:
        stack = tether_stacks(t, process.pid)[process.pid]
    wanted = ['first_handler', 'loop_until_signal', 'kind_signal', 'main']
    t.equal([name for name in names(stack) if name in wanted], wanted, 'frames of the program')
    t.check('scan' in {frame['how'] for frame in stack['frames']}, 'guesses are marked')


def test_a_cpp_program_with_an_exception_in_flight(t):
    source = t.tmp / 'exception.cc'
    source.write_text('''
#include <cstdio>
#include <stdexcept>
#include <unistd.h>
static volatile int stays = 1;
struct Waits {
	~Waits() { puts("ready"); fflush(stdout); char c; if (read(0, &c, 1) == 0 && stays) _exit(0); }
};
__attribute__((noinline)) int thrower(int n) { if (n == 0) throw std::runtime_error("x"); return thrower(n - 1) + n; }
__attribute__((noinline)) int guarded(int n) { Waits waits; return thrower(n) + 1; }
int main(int argc, char **) { try { return guarded(argc + 3); } catch (std::exception &) { return 1; } }
''')
    t.run([t.need('g++'), '-O1', '-g', source, '-o', t.tmp / 'exception'])
    with standing(t, [t.tmp / 'exception']) as process:
        ours, _ = same_as_gdb(t, process.pid)
    t.check(any('guarded' in name for name in names(ours[process.pid])), 'names')


@timeout(120)
def test_python(t):
    program = '''
import queue, re, select, threading, time
waits = queue.Queue()
for wait in (lambda: time.sleep(1000), lambda: waits.get(), lambda: select.select([], [], [], 1000),
             lambda: sorted([3, 1, 2], key=lambda x: time.sleep(1000))):
    threading.Thread(target=wait, daemon=True).start()
time.sleep(.3)
print('ready', flush=True)
re.sub('a', lambda m: time.sleep(1000), 'a')
'''
    with standing(t, [sys.executable, '-c', program]) as process:
        time.sleep(0.3)
        ours, _ = same_as_gdb(t, process.pid)
        t.equal(len(ours), 5, 'threads')


@timeout(180)
def test_node(t):
    node = t.need('node', 'nodejs')
    program = 'setTimeout(() => {}, 1e8); require("http").createServer().listen(0, () => console.log("ready"))'
    with standing(t, [node, '-e', program]) as process:
        time.sleep(1)
        same_as_gdb(t, process.pid)


@timeout(120)
def test_redis(t):
    server, socket = t.need('redis-server'), t.tmp / 'redis.sock'
    with standing(t, [server, '--port', '0', '--unixsocket', socket, '--save', '', '--appendonly', 'no'], ready=None) as process:
        t.check(eventually(socket.exists), 'redis-server does not start')
        same_as_gdb(t, process.pid, tries=8)


@timeout(180)
def test_postgres(t):
    """Its processes wait in the kernel; each is looked at beside gdb."""
    folders = sorted(pathlib.Path('/usr/lib/postgresql').glob('*/bin'))
    initdb = shutil.which('initdb') or (str(folders[-1] / 'initdb') if folders else t.skip('postgresql is not installed'))
    user = [] if os.geteuid() else [t.need('setpriv'), '--reuid=postgres', '--regid=postgres', '--clear-groups']
    data = t.tmp / 'data'
    if user:
        shutil.chown(t.tmp, 'postgres')
    made = t.run([*user, initdb, '-D', data, '--no-sync', '-A', 'trust'], timeout=100, env={'HOME': str(t.tmp)})
    t.equal(made.returncode, 0, f'initdb: {made.stderr.decode()[-500:]}')
    server = os.path.join(os.path.dirname(os.path.realpath(initdb)), 'postgres')
    with standing(t, [*user, server, '-D', data, '-k', t.tmp, '-h', ''], ready=None) as process:
        t.check(eventually(lambda: len(children(process.pid)) >= 5), 'postgres does not start')
        time.sleep(1)
        for pid in [process.pid, *children(process.pid)]:
            same_as_gdb(t, pid, tries=8)
        process.send_signal(signal.SIGQUIT)
        process.wait(30)


# ---- the command --------------------------------------------------------------------------------------------------

def all_spared(t, pid):
    found = records(t, '-p', str(pid))
    return found if found[-1]['blocked'] == found[-1]['threads'] else None


def test_records_are_as_promised(t):
    with standing(t, [t.victim('stacks'), 'blocked', '3']) as process:
        found = records(t, '-p', str(process.pid), '--stop-all')
        kinds = [record['event'] for record in found]
        t.equal(kinds, ['header', 'stack', 'stack', 'stack', 'stack', 'snapshot'], 'records')
        snapshot = found[-1]
        t.equal((snapshot['threads'], snapshot['manner'], snapshot['truncated']), (4, 'together', 0), 'the snapshot')
        t.check(0 < snapshot['pause_ns'] <= snapshot['total_ns'], 'times')
        for record in found[1:-1]:
            t.equal(set(record['frames'][0]) - {'symbol', 'object'}, {'pc', 'offset', 'how'}, 'keys of a frame')
            t.equal((record['state'], record['truncated'], record['end']), ('stopped', False, 'whole'), 'a stack')
            t.equal([frame['how'] for frame in record['frames']][:2], ['pc', 'cfi'], 'how')
        spared = eventually(lambda: all_spared(t, process.pid))
        t.check(spared, 'all are spared, once they are back in their calls')
        t.equal([record['event'] for record in spared], kinds, 'records')
        t.equal((spared[-1]['pause_ns'], spared[-1]['truncated']), (0, 0), 'nobody is stopped')
        for record, stopped in zip(spared[1:-1], found[1:-1]):
            t.equal((record['state'], record['frames']), ('blocked', stopped['frames']), 'the same stack')


def test_equal_stacks_are_told_once(t):
    with standing(t, [t.victim('stacks'), 'spin', '0']) as process:
        t.equal(len(tether_stacks(t, process.pid)), 1, 'threads')
    with standing(t, [t.victim('stacks'), 'blocked', '20']) as process:
        merged = [r for r in records(t, '-p', str(process.pid), '--merge') if r['event'] == 'stack']
        t.equal(sum(record['count'] for record in merged), 21, 'threads in all')
        t.equal(sorted(tid for record in merged for tid in record['tids']),
                sorted(int(tid) for tid in os.listdir(f'/proc/{process.pid}/task')), 'tids')
        t.check(len(merged) <= 7, 'equal ones are merged')
        counts = [record['count'] for record in merged]
        t.equal(counts, sorted(counts, reverse=True), 'most frequent first')


def test_folded_stacks_add_up(t):
    with standing(t, [t.victim('stacks'), 'blocked', '4']) as process:
        result = t.run([*t.tether, 'stack', '-p', str(process.pid), '--every', '0.02', '--count', '10', '--format=folded',
                        '-o', t.tmp / 'folded'])
        t.equal((result.returncode, result.stderr), (0, b''), 'tether stack')
    lines = (t.tmp / 'folded').read_text().splitlines()
    t.equal(sum(int(line.rpartition(' ')[2]) for line in lines), 50, 'samples')
    t.check(all(line.startswith('stacks;') for line in lines), 'each begins with the thread')
    t.check(any(';main;stand;' in line for line in lines), 'outermost first')


def test_text_shows_names_and_the_pause(t):
    with standing(t, [t.victim('stacks'), 'blocked', '1']) as process:
        result = t.run([*t.tether, 'stack', '-p', str(process.pid)], env={'LC_ALL': 'C'})
    text = result.stderr.decode()
    t.equal((result.returncode, result.stdout), (0, b''), 'tether stack')
    t.check('stacks`main+0x' in text and 'at one instant; the longest pause ' in text, text)


def test_bounds_are_said(t):
    with standing(t, [t.victim('stacks'), 'deep', '10000']) as process:
        for options, end in ((['--frames', '50'], 'frames'), (['--kbytes', '8'], 'bytes'),
                             (['--frames', '20000'], 'whole')):
            stack = tether_stacks(t, process.pid, *options)[process.pid]
            t.equal((stack['end'], stack['truncated']), (end, end != 'whole'), str(options))


def test_what_cannot_be_is_said(t):
    for words, code in ((['-p', '1', '--rolling', '--still'], 125), (['-p', '1', '--count', '3'], 125), ([], 125),
                        (['-p', '1', '--frames', '0'], 125), (['-p', '1', '--format', 'xml'], 125)):
        result = t.run([*t.tether, 'stack', *words])
        t.equal(result.returncode, code, str(words))
        t.check(result.stderr, f'{words}: a message')
    ended = subprocess.Popen(['true'])
    ended.wait()
    result = t.run([*t.tether, 'stack', '-p', str(ended.pid)])
    t.equal(result.returncode, 125, 'of an ended process')


def test_a_sampler_that_is_killed_leaves_nobody_stopped(t):
    with standing(t, [t.victim('stacks'), 'clock', '40']) as process:
        for options in ([], ['--stop-all']) * 10:
            tether = subprocess.Popen([*t.tether, 'stack', '-p', str(process.pid), '--every', '0.001', *options,
                                       '--format=folded', '-o', t.tmp / 'folded'], stderr=subprocess.PIPE)
            time.sleep(random.uniform(0.01, 0.2))
            tether.kill()
            tether.communicate()
            tasks = [f'/proc/{process.pid}/task/{tid}/status' for tid in os.listdir(f'/proc/{process.pid}/task')]
            t.check(eventually(lambda: not any(re.search(r'^State:\s[tT]|^TracerPid:\s[1-9]', open(task).read(), re.M)
                                               for task in tasks)), f'free after {options}')
            process.stdin.write(b'now\n')
            process.stdin.flush()
            t.check(int(process.stdout.readline().split()[3]) > 0, 'it runs')


def test_the_files_of_a_process_are_read_for_its_first_snapshot_only(t):
    """Unwind rules and names are kept: what five snapshots open of the process's files is what one does."""
    def opened(count):
        log = t.tmp / f'opened-{count}'
        result = t.run([t.need('strace'), '-f', '-o', log, '-e', 'trace=openat', *t.tether, 'stack', '-q', '-p', str(process.pid),
                        '--every', '0.02', '--count', str(count)])
        t.equal(result.returncode, 0, f'{count} snapshots')
        calls = re.findall(r'openat\(\S+ "([^"]*)".*= \d', log.read_text())
        return sorted(path for path in calls if path.endswith('/exe') or '/map_files/' in path or '.so' in path)
    with standing(t, [t.victim('stacks'), 'blocked', '3']) as process:
        once = opened(1)
        t.check(f'/proc/{process.pid}/exe' in once or any('/map_files/' in path for path in once), f'it opens {once}')
        t.equal(opened(5), once, 'files that are opened')


def test_again_and_again_until_the_process_ends_or_the_time_is_over(t):
    with standing(t, [t.victim('stacks'), 'blocked', '1']) as process:
        result = t.run([*t.tether, 'stack', '-p', str(process.pid), '--every', '0.05', '--timeout', '0.3', '-q'])
        t.equal(result.returncode, 124, 'at the time-out')
        taken = t.tmp / 'taken'
        tether = subprocess.Popen([*t.tether, 'stack', '-p', str(process.pid), '--every', '0.05', '-o', taken])
        t.check(eventually(lambda: taken.exists() and b'at one instant' in taken.read_bytes()), 'it is held')
        process.kill()
        t.equal(tether.wait(20), 0, 'at the process\'s end')
