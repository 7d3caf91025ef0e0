# SPDX-License-Identifier: BSD-2-Clause
"""hold, resume, wait, libs and doctor, on real programs; and where run stops."""
import contextlib
import errno
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

from processes import check_free, check_text, children, eventually, running, status, threads
from tether_test import timeout

PYTHON = '/usr/bin/python3' if os.path.exists('/usr/bin/python3') else sys.executable
NOBODY = 65534
COMMANDS = ('hold', 'resume', 'wait', 'libs', 'doctor')


def ask(t, *words, **options):
    """Run the command with records to a file: (exit status, records, standard error)."""
    path = t.tmp / f'records-{time.monotonic_ns()}'
    before = options.pop('before', [])
    path.touch()
    path.chmod(0o666)
    command = [*before, *t.tether, words[0], '--format=jsonl', '-o', path, *map(str, words[1:])]
    result = t.run(command, **options)
    return result.returncode, t.records(path)[1:], result.stderr.decode()


def states(pid):
    return {status(pid, tid).get('State', '?')[0] for tid in threads(pid)}


def as_nobody(t):
    """Words that make a command an ordinary user's; nothing for who is one."""
    if os.getuid():
        return []
    t.tmp.chmod(0o777)
    return [t.need('setpriv'), f'--reuid={NOBODY}', f'--regid={NOBODY}', '--clear-groups', '--']


def someone_elses(t, stack):
    """A process of another user than the one that as_nobody() is."""
    if os.getuid():
        return 1
    return stack.enter_context(running(t, ['sleep', '1000'])).pid


COUNTER = """
import sys, threading, time
count = [0, 0, 0]
def work(i):
    while not done:
        count[i] += 1
        time.sleep(0.001)
done = False
workers = [threading.Thread(target=work, args=(i,)) for i in range(3)]
for worker in workers: worker.start()
print('ready', flush=True)
for line in sys.stdin:
    print(*count, flush=True)
done = True
for worker in workers: worker.join()
print('whole', flush=True)
"""


@contextlib.contextmanager
def counter(t):
    with running(t, [PYTHON, '-c', COUNTER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        t.equal(process.stdout.readline(), b'ready\n')
        yield process


def counts(process):
    process.stdin.write(b'\n')
    process.stdin.flush()
    return [int(n) for n in process.stdout.readline().split()]


def check_counts_on(t, process):
    before = counts(process)
    t.check(eventually(lambda: all(a < b for a, b in zip(before, counts(process)))), 'a thread stands still')


def check_ends_whole(t, process):
    process.stdin.close()
    t.equal((process.stdout.read(), process.wait(20)), (b'whole\n', 0), 'end of the program')


# ---- hold and resume -------------------------------------------------------------------------------------


def test_hold_stops_every_thread_and_resume_lets_all_go_on(t):
    with counter(t) as process:
        for _ in range(3):
            code, records, errors = ask(t, 'hold', '-p', process.pid)
            t.equal((code, errors), (0, ''))
            t.equal(states(process.pid), {'T'}, 'states when hold has returned')
            t.equal(status(process.pid)['TracerPid'].strip(), '0')
            t.equal([(r['event'], r['pid'], r['signal']) for r in records], [('stop', process.pid, 'SIGSTOP')])
            check_text(t, process.pid)
            code, records, errors = ask(t, 'resume', '-p', process.pid)
            t.equal((code, errors, [(r['event'], r['pid']) for r in records]), (0, '', [('continue', process.pid)]))
            check_counts_on(t, process)
        check_free(t, process.pid)
        check_ends_whole(t, process)


def test_hold_is_seen_by_the_parent_as_a_stop(t):
    with running(t, ['sleep', '1000']) as process:
        t.equal(ask(t, 'hold', '-p', process.pid)[0], 0)
        _, wait_status = os.waitpid(process.pid, os.WUNTRACED)
        t.equal((os.WIFSTOPPED(wait_status), os.WSTOPSIG(wait_status)), (True, signal.SIGSTOP))


def test_hold_and_resume_twice_do_it_once(t):
    with running(t, [PYTHON, '-c', 'import signal, sys, time\nn = 0\ndef on(*_):\n  global n\n  n += 1\n'
                     '  print(n, flush=True)\nsignal.signal(signal.SIGCONT, on)\nprint("ready", flush=True)\n'
                     'while True: time.sleep(1000)'], stdout=subprocess.PIPE) as process:
        t.equal(process.stdout.readline(), b'ready\n')
        t.equal(ask(t, 'resume', '-p', process.pid)[:2], (0, []), 'resume of one that runs')
        for _ in range(2):
            t.equal(ask(t, 'hold', '-p', process.pid)[0], 0)
            t.equal(states(process.pid), {'T'})
        t.equal(ask(t, 'resume', '-p', process.pid)[0], 0)
        t.equal(process.stdout.readline(), b'1\n', 'SIGCONT of the one resume that was due')
        t.equal(ask(t, 'resume', '-p', process.pid)[:2], (0, []))
        result = t.run([*t.tether, 'resume', '-p', str(process.pid)])
        t.equal(result.stderr.decode(), f'tether: {process.pid} is not stopped\n')
        os.kill(process.pid, signal.SIGCONT)
        t.equal(process.stdout.readline(), b'2\n', 'a SIGCONT of our own is the second')


def test_hold_takes_a_tree_that_grows(t):
    script = 'while :; do sleep 0.01 & sleep 0.01 & wait; done'
    with running(t, ['bash', '-c', f'({script}) & ({script}) & {script}'], start_new_session=True) as process:
        def descendants():
            found = children(process.pid)
            for pid in found:
                found += children(pid)
            return [process.pid, *found]
        try:
            t.check(eventually(lambda: len(descendants()) >= 5), 'the tree does not grow')
            for _ in range(5):
                code, records, errors = ask(t, 'hold', '--tree', '-p', process.pid)
                t.equal((code, errors), (0, ''))
                tree = descendants()
                # Ended and not yet waited for: its parent is stopped.
                alive = {pid for pid in tree if states(pid) != {'Z'}}
                t.equal({pid: states(pid) for pid in alive}, {pid: {'T'} for pid in alive})
                t.check(alive <= {r['pid'] for r in records if r['event'] == 'stop'}, (alive, records))
                t.equal(descendants(), tree, 'processes of a tree that is stopped')
                ask(t, 'resume', '--tree', '-p', process.pid)
                for pid in alive:
                    t.check('T' not in states(pid), f'{pid} stays stopped')
            t.check(eventually(lambda: set(descendants()) - set(tree)), 'the tree does not go on')
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def test_hold_chooses_by_name_and_goes_on_after_a_refusal(t):
    name = f'th-{os.getpid() % 100000}'
    program = t.tmp / name
    program.write_bytes(pathlib.Path(t.need('sleep')).resolve().read_bytes())
    program.chmod(0o755)
    with contextlib.ExitStack() as stack:
        pids = [stack.enter_context(running(t, [program, '1000'])).pid for _ in range(3)]
        t.check(eventually(lambda: all(os.readlink(f'/proc/{pid}/exe').endswith(name) for pid in pids)), 'they do not run')
        code, records, _ = ask(t, 'hold', '-n', name, '-p', '4194303')
        t.equal(code, 125)
        t.equal([(r['code'], r['cure'] != '') for r in records if r['event'] == 'error'], [('EGONE', True)])
        t.equal(sorted(r['pid'] for r in records if r['event'] == 'stop'), sorted(pids))
        for pid in pids:
            t.equal(states(pid), {'T'})
        code, records, _ = ask(t, 'resume', '-n', name)
        t.equal((code, sorted(r['pid'] for r in records)), (0, sorted(pids)))
    t.equal(ask(t, 'hold', '-n', name)[0], 125, 'when no process has the name')


def test_a_server_answers_again_after_resume(t):
    server, client = t.need('redis-server'), t.need('redis-cli')
    socket = t.tmp / 'redis.sock'
    with running(t, [server, '--port', '0', '--unixsocket', socket, '--save', '', '--appendonly', 'no']) as process:
        t.check(eventually(socket.exists), 'redis-server does not start')
        t.equal(ask(t, 'hold', '-p', process.pid)[0], 0)
        question = subprocess.Popen([client, '-s', socket, 'ping'], stdout=subprocess.PIPE)
        try:
            question.wait(0.3)
            t.fail('a server that is held answers')
        except subprocess.TimeoutExpired:
            pass
        t.equal(ask(t, 'resume', '-p', process.pid)[0], 0)
        t.equal(question.communicate(timeout=20)[0], b'PONG\n')
        check_text(t, process.pid)


def left_over(mark, program):
    """Is there a process with this in its environment, or one that runs this program? A controller shares its maker's
    environment until its exec, and has none afterwards."""
    # Twice: the middle process that a look still lists may end before it is read, and has made the controller by then.
    for _ in range(2):
        for pid in filter(str.isdigit, os.listdir('/proc')):
            with contextlib.suppress(OSError):
                if mark.encode() in pathlib.Path(f'/proc/{pid}/environ').read_bytes() or \
                   os.path.samefile(f'/proc/{pid}/exe', program):
                    return True
    return False


def of_a_killed_one(t):
    """A controller of our own, its mark, and the environment: to see when the one of the killed command has ended."""
    controller, mark = t.tmp / 'tether-controller', f'TETHER_TEST_MARK={t.tmp}'
    shutil.copy(next((t.build / 'src' / 'controller').glob('tether-controller')), controller)
    # Killed while it looks for leaks at its end, LeakSanitizer reports that it could not.
    options = ':'.join(filter(None, [os.environ.get('ASAN_OPTIONS'), 'detect_leaks=0']))
    return controller, mark, {**os.environ, 'TETHER_CONTROLLER': str(controller), 'TETHER_TEST_MARK': str(t.tmp),
                              'ASAN_OPTIONS': options}


@timeout(60)
def test_hold_killed_at_any_moment_leaves_the_process_whole(t):
    controller, mark, environment = of_a_killed_one(t)
    with counter(t) as process:
        for _ in range(25):
            tether = subprocess.Popen([*t.tether, 'hold', '-q', '-p', str(process.pid)], stdin=subprocess.DEVNULL,
                                      env=environment)
            time.sleep(random.random() * 0.01 * t.slow)
            tether.kill()
            tether.wait()
            t.check(eventually(lambda: not left_over(mark, controller)), 'a controller is left over')
            # One that ends has lost its memory, and with it what shows here, before it lets anybody go.
            t.check(eventually(lambda: status(process.pid)['TracerPid'].strip() == '0'), status(process.pid)['TracerPid'])
            # It stands whole, each thread as soon as it runs, or was not yet held.
            t.check(eventually(lambda: states(process.pid) == {'T'} or 'T' not in states(process.pid)), states(process.pid))
            t.equal(ask(t, 'resume', '-p', process.pid)[0], 0)
            check_counts_on(t, process)
        check_text(t, process.pid)
        check_ends_whole(t, process)


@timeout(60)
def test_resume_wins_over_the_controller_of_a_hold_that_was_killed(t):
    """It may be about to let the process go stopped, after the SIGCONT."""
    controller, mark, environment = of_a_killed_one(t)
    with counter(t) as process:
        for _ in range(120):
            tether = subprocess.Popen([*t.tether, 'hold', '-q', '-p', str(process.pid)], stdin=subprocess.DEVNULL,
                                      env=environment)
            time.sleep(random.random() * 0.008 * t.slow)
            tether.kill()
            tether.wait()
            result = t.run([*t.tether, 'resume', '-q', '-p', str(process.pid)])
            t.equal((result.returncode, result.stderr), (0, b''))
        # Where resume came before the controller had taken it: once more.
        t.check(eventually(lambda: not left_over(mark, controller)), 'a controller is left over')
        t.equal(ask(t, 'resume', '-p', process.pid)[0], 0)
        check_counts_on(t, process)
        check_ends_whole(t, process)


def test_hold_refuses_those_it_descends_from(t):
    script = f'{" ".join(t.tether)} hold -p $$; echo $?; {" ".join(t.tether)} hold -p $PPID; echo $?; echo alive'
    result = t.run(['sh', '-c', script])
    t.equal(result.stdout, b'125\n125\nalive\n')
    t.check(all('descends from it' in line and 'another terminal' in line
                for line in result.stderr.decode().splitlines()), result.stderr)


def test_resume_does_not_take_a_process_from_its_debugger(t):
    strace = t.need('strace')
    with running(t, ['sleep', '1000']) as process:
        with running(t, [strace, '-qq', '-o', '/dev/null', '-p', str(process.pid)]) as tracer:
            t.check(eventually(lambda: status(process.pid)['TracerPid'].strip() == str(tracer.pid)), 'strace does not attach')
            for command in ('hold', 'attach'):
                code, records, _ = ask(t, command, '-p', process.pid)
                errors = [r for r in records if r['event'] == 'error']
                t.equal((code, [r['code'] for r in errors]), (125, ['ETRACED']))
                t.check(f'by strace, pid {tracer.pid}' in errors[0]['message'] and str(tracer.pid) in errors[0]['cure'], errors)


def test_a_process_that_attach_shows_stopped_is_resumed(t):
    with running(t, ['sleep', '1000']) as process:
        tether = subprocess.Popen([*t.tether, 'attach', '-q', '-p', str(process.pid)])
        t.check(eventually(lambda: status(process.pid)['TracerPid'].strip() != '0'), 'attach does not take it')
        os.kill(process.pid, signal.SIGSTOP)
        t.check(eventually(lambda: states(process.pid) & {'t', 'T'}), 'it does not stop')
        # A signal takes a moment to become a job-control stop under a tracer.
        code, _, errors = ask(t, 'resume', '-p', process.pid)
        t.equal((code, errors), (0, ''))
        t.check(eventually(lambda: states(process.pid) == {'S'}), 'it stays stopped')
        tether.send_signal(signal.SIGINT)
        t.equal(tether.wait(20), 0)


def test_hold_and_resume_of_what_cannot_be(t):
    with running(t, [PYTHON, '-c', COUNTER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        tid = next(tid for tid in threads(process.pid) if tid != process.pid)
        for command in ('hold', 'resume', 'wait', 'libs', 'attach'):
            code, records, _ = ask(t, command, '-p', tid)
            errors = [r for r in records if r['event'] == 'error']
            t.equal((code, [r['code'] for r in errors]), (125, ['ETHREAD']), command)
            t.check(str(process.pid) in errors[0]['cure'], errors)
    dead = subprocess.Popen(['true'])
    t.check(eventually(lambda: states(dead.pid) == {'Z'}), 'it does not end')
    for command in ('hold', 'resume', 'libs', 'attach'):
        code, records, _ = ask(t, command, '-p', dead.pid)
        t.equal((code, [r['code'] for r in records if r['event'] == 'error']), (125, ['EZOMBIE']), command)
    dead.wait()
    for command in ('hold', 'resume', 'wait', 'libs', 'attach'):
        code, records, _ = ask(t, command, '-p', '4194303')
        t.equal((code, [r['code'] for r in records if r['event'] == 'error']), (125, ['EGONE']), command)


# ---- wait ------------------------------------------------------------------------------------------------

ENDS = [('exit 0', {'code': 0}), ('exit 3', {'code': 3}), ('exit 255', {'code': 255}),
        ('kill -TERM $$', {'signal': 'SIGTERM', 'core': False}), ('kill -KILL $$', {'signal': 'SIGKILL', 'core': False}),
        ('ulimit -c 0; kill -SEGV $$', {'signal': 'SIGSEGV', 'core': False}),
        ('kill -USR2 $$', {'signal': 'SIGUSR2', 'core': False})]


def start_waiting(t, *pids, before=(), options=()):
    path = t.tmp / f'wait-{time.monotonic_ns()}'
    path.touch()
    path.chmod(0o666)
    process = subprocess.Popen([*before, *t.tether, 'wait', '--format=jsonl', '-o', str(path), *options,
                                *(word for pid in pids for word in ('-p', str(pid)))], stdin=subprocess.DEVNULL)
    # It has its pidfds when it sleeps in poll.
    t.check(eventually(lambda: process.poll() is not None or (
        has_pidfd(process.pid) and states(process.pid) == {'S'})), 'wait does not wait')
    return process, path


def descriptors(pid):
    found = []
    try:
        for fd in os.listdir(f'/proc/{pid}/fd'):
            with contextlib.suppress(OSError):
                link = os.readlink(f'/proc/{pid}/fd/{fd}')
                found.append(link)
    except OSError:
        pass
    return found


def has_pidfd(pid):
    return any('pidfd' in link for link in descriptors(pid))


def kernel_tells_all():
    major, minor = (int(n) for n in re.match(r'(\d+)\.(\d+)', os.uname().release).groups())
    return (major, minor) >= (6, 15)


def how(record):
    return {key: record[key] for key in ('code', 'signal', 'core', 'unknown') if key in record}


def waiting_shell(t, script):
    return subprocess.Popen(['bash', '-c', f'read line; {script}'], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)


def test_wait_tells_how_a_process_ended_that_is_no_child(t):
    """Not yet reaped when it is asked for: this process is the parent, and takes its time."""
    processes = [waiting_shell(t, script) for script, _ in ENDS]
    tether, path = start_waiting(t, *[process.pid for process in processes])
    for process in processes:
        process.stdin.close()
    t.equal(tether.wait(20), 0)
    records = {r['pid']: r for r in t.records(path)[1:]}
    t.equal([how(records[process.pid]) for process in processes], [expected for _, expected in ENDS])
    for process, (_, expected) in zip(processes, ENDS):
        t.equal(process.wait(), expected.get('code', -getattr(signal, expected.get('signal', ''), 0)), 'what its parent sees')
        t.equal(list(records[process.pid])[:4], ['event', 't_ns', 'pid', 'tid'])


def test_wait_is_exact_when_the_parent_is_faster(t):
    """The parent reaps at once, before anybody else has looked."""
    script = 'bash -c "echo \\$\\$; read line; {}" & wait $! 2>/dev/null; echo $?'
    for end, expected in ENDS[1:5:3]:
        with running(t, ['bash', '-c', 'exec 3<&0; ' + script.format(end.replace('$', '\\$')).replace('read line', 'read line <&3')],
                     stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
            pid = int(parent.stdout.readline())
            tether, path = start_waiting(t, pid)
            tether.send_signal(signal.SIGSTOP)
            parent.stdin.close()
            seen = int(parent.stdout.readline())
            t.equal(seen, expected['code'] if 'code' in expected else 128 + getattr(signal, expected['signal']))
            t.check(not os.path.exists(f'/proc/{pid}'), 'it was not reaped')
            tether.send_signal(signal.SIGCONT)
            t.equal(tether.wait(20), 0)
            told = how(t.records(path)[1])
            if kernel_tells_all():
                t.equal(told, expected)
            else:
                t.equal(list(told), ['unknown'])


def test_wait_says_so_when_it_is_not_known(t):
    """A kernel that tells only parents, made of this one: the question fails, as it does there."""
    strace = t.need('strace')
    old = [strace, '-qq', '-f', '-o', '/dev/null', '-e', 'trace=ioctl,poll', '-e', 'inject=ioctl:error=ENOTTY', '--']
    with running(t, ['bash', '-c', 'read line <&0; exec 0</dev/null; exit 7'], stdin=subprocess.PIPE) as process:
        tether = subprocess.Popen([*old, *t.tether, 'wait', '--format=jsonl', '-o', str(t.tmp / 'old'), '-p', str(process.pid)])
        t.check(eventually(lambda: any(map(has_pidfd, children(tether.pid)))), 'wait does not wait')
        process.stdin.close()
        t.equal(tether.wait(30), 0)
        t.equal(how(t.records(t.tmp / 'old')[1]), {'code': 7}, 'of a zombie, by /proc')
    parent = 'exec 3<&0; bash -c "echo \\$\\$; read line <&3; exit 7" & wait $!; echo $?'
    with running(t, ['bash', '-c', parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        pid = int(process.stdout.readline())
        tether = subprocess.Popen([*old, *t.tether, 'wait', '--format=jsonl', '-o', str(t.tmp / 'old'), '-p', str(pid)])
        t.check(eventually(lambda: any(map(has_pidfd, children(tether.pid)))), 'wait does not wait')
        waiter = children(tether.pid)[0]
        os.kill(tether.pid, signal.SIGSTOP)  # the tracer: its tracee stands at its next call
        os.kill(waiter, signal.SIGCONT)
        process.stdin.close()
        t.equal(process.stdout.readline(), b'7\n')
        os.kill(tether.pid, signal.SIGCONT)
        t.equal(tether.wait(30), 0)
        record = t.records(t.tmp / 'old')[1]
        t.check(list(how(record)) == ['unknown'] and 'parent' in record['unknown'], record)


def test_wait_does_not_depend_on_the_parent(t):
    """Whoever may not look at a zombie is told that it ended all the same, though its parent never notices."""
    user = as_nobody(t)
    if not user:
        t.skip('needs root: a process of another user')
    process = waiting_shell(t, 'exit 5')
    tether, path = start_waiting(t, process.pid, before=user)
    process.stdin.close()
    t.equal(tether.wait(20), 0)
    record = t.records(path)[1]
    t.check(list(how(record)) == ['unknown'] and 'has not taken notice' in record['unknown'], record)
    t.equal(process.wait(), 5)


def test_wait_leaves_who_is_waited_for_alone(t):
    with counter(t) as process:
        tether, _ = start_waiting(t, process.pid)
        t.equal(status(process.pid)['TracerPid'].strip(), '0')
        check_counts_on(t, process)
        check_ends_whole(t, process)
        t.equal(tether.wait(20), 0)


def test_wait_with_a_time_limit_and_for_a_tree(t):
    with running(t, ['bash', '-c', 'sleep 1000 & sleep 1000 & wait'], start_new_session=True) as process:
        t.check(eventually(lambda: len(children(process.pid)) == 2), 'no children')
        code, records, errors = ask(t, 'wait', '--timeout=0.1', '-p', process.pid)
        t.equal((code, records, errors), (124, [], ''))
        pids = {process.pid, *children(process.pid)}
        tether, path = start_waiting(t, process.pid, options=['--tree'])
        os.killpg(process.pid, signal.SIGKILL)
        t.equal(tether.wait(20), 0)
        records = t.records(path)[1:]
        t.equal({r['pid'] for r in records}, pids)
        t.equal([r.get('signal') for r in records if 'unknown' not in r], ['SIGKILL'] * len([r for r in records if 'unknown' not in r]))


def test_wait_in_text(t):
    with running(t, ['bash', '-c', 'read line; exit 4'], stdin=subprocess.PIPE) as process:
        threading.Timer(0.3, process.stdin.close).start()
        result = t.run([*t.tether, 'wait', '-p', str(process.pid)])
        t.equal(result.returncode, 0)
        t.check(re.fullmatch(rf' *\d+\.\d+ +{process.pid} +exit +4 +bash\n', result.stderr.decode()), result.stderr)


# ---- libs ------------------------------------------------------------------------------------------------


def mapped(pid):
    """Files with executable text, as the kernel has them: path to lowest address."""
    found = {}
    for line in pathlib.Path(f'/proc/{pid}/maps').read_text().splitlines():
        match = re.match(r'([0-9a-f]+)-([0-9a-f]+) (..)(.). \S+ \S+ \d+ +(/.*)', line)
        if match:
            low, high, executable = found.get(match[5], (1 << 64, 0, False))
            found[match[5]] = (min(low, int(match[1], 16)), max(high, int(match[2], 16)), executable or match[4] == 'x')
    return {os.path.realpath(path): value[:2] for path, value in found.items() if value[2]}


def build_id(readelf, path):
    out = subprocess.run([readelf, '-n', path], capture_output=True, text=True).stdout
    match = re.search(r'Build ID: ([0-9a-f]+)', out)
    return match and match[1]


def test_libs_are_those_that_the_kernel_has_mapped(t):
    readelf = t.need('readelf')
    with running(t, [PYTHON, '-c', 'import ssl, sqlite3, sys; print("ready", flush=True); sys.stdin.read()'],
                 stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        t.equal(process.stdout.readline(), b'ready\n')
        code, records, errors = ask(t, 'libs', '-p', process.pid)
        t.equal((code, errors), (0, ''))
        t.equal(list(records[0]), ['event', 'pid', 'object', 'base', 'low', 'end', 'lmid', 'build_id'])
        shown = {os.path.realpath(r['object']): r for r in records if r['object'].startswith('/')}
        expected = mapped(process.pid)
        t.equal(sorted(shown), sorted(expected))
        for path, (low, high) in expected.items():
            t.equal((int(shown[path]['low'], 16), shown[path]['lmid']), (low, 0), path)
            t.check(int(shown[path]['end'], 16) <= high + 0x100000 and int(shown[path]['base'], 16) <= low, shown[path])
            t.equal(shown[path].get('build_id'), build_id(readelf, path), path)
        t.check(any('libssl' in path for path in shown) and any('/ld-' in path for path in shown), sorted(shown))
        t.equal(status(process.pid)['TracerPid'].strip(), '0')


def test_libs_of_another_namespace_and_of_a_stopped_process(t):
    with running(t, [t.victim('loads')], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdin.write(b'namespace\n')
        process.stdin.flush()
        while process.stdout.readline() != b'done\n':
            t.equal(process.poll(), None, 'end of the victim')
        process.send_signal(signal.SIGSTOP)
        code, records, errors = ask(t, 'libs', '-p', process.pid)
        t.equal((code, errors), (0, ''))
        plugin = [r for r in records if r['object'].endswith('plugin-a.so')]
        t.check(len(plugin) == 1 and plugin[0]['lmid'] != 0, records)
        result = t.run([*t.tether, 'libs', '-p', str(process.pid)], env={'COLUMNS': '200'})
        t.check(re.search(rf'^ *{process.pid}  [0-9a-f]{{12}}-[0-9a-f]{{12}}  [0-9a-f ]{{16}}  \[{plugin[0]["lmid"]}\] .*plugin-a.so$',
                          result.stderr.decode(), re.MULTILINE), result.stderr.decode())


def test_libs_of_several_processes_and_of_another_user(t):
    user = as_nobody(t)
    with contextlib.ExitStack() as stack:
        other = someone_elses(t, stack)
        tree = stack.enter_context(running(t, ['bash', '-c', 'sleep 1000; true']))
        t.check(eventually(lambda: children(tree.pid) and os.readlink(f'/proc/{children(tree.pid)[0]}/exe').endswith('sleep')), 'no child')
        child = children(tree.pid)[0]
        code, records, errors = ask(t, 'libs', '--tree', '-p', tree.pid)
        t.equal((code, {r['pid'] for r in records}), (0, {tree.pid, child}))
        os.kill(child, signal.SIGKILL)
        code, records, _ = ask(t, 'libs', '-p', other, before=user)
        errors = [r for r in records if r['event'] == 'error']
        t.equal((code, [r['code'] for r in errors]), (125, ['EPRIV']))
        t.check('it runs as user 0' in errors[0]['message'] and 'CAP_SYS_PTRACE' in errors[0]['cure'], errors)


# ---- doctor ----------------------------------------------------------------------------------------------


def test_libs_of_programs_without_a_linker_of_ours(t):
    """Static, and of another machine type: told, or refused by name."""
    (t.tmp / 'a.c').write_text('#include <unistd.h>\nint main(void) { write(1, "r", 1); pause(); return 0; }\n')
    compiler = t.need('cc', 'gcc')
    t.equal(t.run([compiler, '-w', '-static', '-o', 'static', 'a.c']).returncode, 0, 'cc -static')
    with running(t, [t.tmp / 'static'], stdout=subprocess.PIPE) as process:
        t.equal(process.stdout.read(1), b'r')
        code, records, _ = ask(t, 'libs', '-p', process.pid)
        t.equal((code, [r['object'] for r in records]), (0, [str(t.tmp / 'static')]))
        t.equal(causes(verdict_of(t, process.pid)), [])
    if t.run([compiler, '-w', '-m32', '-o', 'narrow', 'a.c']).returncode:
        return
    try:
        with running(t, [t.tmp / 'narrow'], stdout=subprocess.PIPE):
            pass
    except OSError as error:
        t.equal(error.errno, errno.ENOEXEC, 'a kernel that runs no 32-bit programs')
        return
    with running(t, [t.tmp / 'narrow'], stdout=subprocess.PIPE) as process:
        t.equal(process.stdout.read(1), b'r')
        record = verdict_of(t, process.pid)
        t.equal((record['control'], record['observe'], causes(record)), (False, True, ['machine']))
        for command in ('hold', 'attach', 'libs'):
            code, records, _ = ask(t, command, '-p', process.pid)
            t.equal((code, [r['code'] for r in records if r['event'] == 'error']), (125, ['EMACHINE']), command)


def verdict_of(t, pid, before=()):
    code, records, errors = ask(t, 'doctor', '-p', pid, before=before)
    t.equal((len(records), errors), (1, ''), f'records: {records}')
    record = records[0]
    t.equal((record['event'], record['pid']), ('verdict', pid))
    t.equal(code, 0 if record['control'] else 1, record)
    return record


def causes(record):
    return [reason['cause'] for reason in record['reasons'] if reason['forbids']]


def check_true(t, record, pid, before=()):
    """The verdict is what happens when it is tried: attach holds it, libs reads it."""
    code, records, errors = ask(t, 'attach', '--timeout=0.1', '-p', pid, before=before)
    t.equal(any(r['event'] == 'grab' for r in records), record['control'], f'control of {pid}: {record} {errors} {records}')
    refused = [r for r in records if r['event'] == 'error']
    if refused:
        first = next(reason for reason in record['reasons'] if 'control' in reason['forbids'])
        t.check(first['detail'] in refused[0]['message'] and first['cure'] == refused[0]['cure'], (first, refused))
    code, records, _ = ask(t, 'libs', '-p', pid, before=before)
    t.equal(code == 0, record['observe'], f'reading of {pid}: {record} {records}')


UNDUMPABLE = """
import ctypes, sys
ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)
print('ready', flush=True)
sys.stdin.read()
"""


def test_a_verdict_is_what_happens(t):
    user = as_nobody(t)
    with contextlib.ExitStack() as stack:
        other = someone_elses(t, stack)
        own = stack.enter_context(running(t, [*user, 'sleep', '1000']))
        t.check(eventually(lambda: status(own.pid)['Name'].strip() == 'sleep'), 'it does not run')
        record = verdict_of(t, own.pid, before=user)
        if causes(record) != ['yama']:  # a machine with Yama
            t.equal((record['control'], record['observe'], causes(record)), (True, True, []))
        check_true(t, record, own.pid, user)
        record = verdict_of(t, other, before=user)
        t.equal((record['control'], record['observe'], causes(record)[0]), (False, False, 'user'))
        check_true(t, record, other, user)
        hard = stack.enter_context(running(t, [*user, PYTHON, '-c', UNDUMPABLE], stdin=subprocess.PIPE,
                                           stdout=subprocess.PIPE))
        t.equal(hard.stdout.readline(), b'ready\n')
        record = verdict_of(t, hard.pid, before=user)
        t.equal((record['control'], record['observe'], causes(record)[0]), (False, False, 'dumpable'))
        check_true(t, record, hard.pid, user)
        # A program that may be executed and not read, by a shell: setpriv(1) itself has root's rights until its exec.
        program = t.tmp / 'unreadable'
        program.write_bytes(pathlib.Path(t.need('sleep')).resolve().read_bytes())
        program.chmod(0o111)
        unread = stack.enter_context(running(t, [*user, 'sh', '-c', 'exec "$0" 1000', program]))
        t.check(eventually(lambda: status(unread.pid)['Name'].strip() == 'unreadable'), 'it does not run')
        record = verdict_of(t, unread.pid, before=user)
        t.equal((record['control'], record['observe'], causes(record)[0]), (False, False, 'dumpable'))
        check_true(t, record, unread.pid, user)
        if user:
            record = verdict_of(t, hard.pid)
            t.equal((record['control'], record['observe'], causes(record)), (True, True, []), 'for root')
            check_true(t, record, hard.pid)


LIBRARY_GRAB = """
import ctypes, sys
tether = ctypes.CDLL(sys.argv[1])
session, handle = ctypes.c_void_p(), ctypes.c_void_p()
assert tether.tether_session_open(None, ctypes.byref(session), None) == 0
print(tether.tether_grab(session, ctypes.c_int64(int(sys.argv[2])), None, ctypes.byref(handle), None))
"""


def test_the_library_itself_tells_not_dumpable_from_not_permitted(t):
    user = as_nobody(t)
    if t.sanitizer:
        t.skip('python cannot load a library with a sanitizer')
    library = next((t.build / 'src').glob('libtether.so.0'))
    with running(t, [*user, PYTHON, '-c', UNDUMPABLE], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as hard:
        t.equal(hard.stdout.readline(), b'ready\n')
        result = t.run([*user, PYTHON, '-c', LIBRARY_GRAB, library, str(hard.pid)])
        t.equal((result.stdout, result.stderr), (b'-4100\n', b''), 'TETHER_EDUMPABLE')


def test_the_verdict_on_a_traced_process_names_the_tracer(t):
    strace = t.need('strace')
    with running(t, ['sleep', '1000']) as process, running(t, [strace, '-qq', '-o', '/dev/null', '-p', str(process.pid)]) as tracer:
        t.check(eventually(lambda: status(process.pid)['TracerPid'].strip() == str(tracer.pid)), 'strace does not attach')
        record = verdict_of(t, process.pid)
        t.equal((record['control'], record['observe'], causes(record)), (False, True, ['traced']))
        t.equal(record['reasons'][0]['detail'], f'by strace, pid {tracer.pid}')
        check_true(t, record, process.pid)


def test_the_verdict_on_a_single_traced_thread(t):
    strace = t.need('strace')
    with counter(t) as process:
        tid = next(tid for tid in threads(process.pid) if tid != process.pid)
        with running(t, [strace, '-qq', '-o', '/dev/null', '-p', str(tid)]) as tracer:
            t.check(eventually(lambda: status(process.pid, tid)['TracerPid'].strip() == str(tracer.pid)), 'strace does not attach')
            t.equal(status(process.pid)['TracerPid'].strip(), '0')
            t.equal(causes(verdict_of(t, process.pid)), ['traced'])
        check_ends_whole(t, process)


def test_verdicts_on_what_is_no_ordinary_process(t):
    dead = subprocess.Popen(['true'])
    t.check(eventually(lambda: states(dead.pid) == {'Z'}), 'it does not end')
    record = verdict_of(t, dead.pid)
    t.equal((record['control'], record['observe'], causes(record)), (False, False, ['zombie']))
    check_true(t, record, dead.pid)
    dead.wait()
    record = verdict_of(t, 4194303)
    t.equal((record['control'], record['observe'], causes(record)), (False, False, ['gone']))
    with counter(t) as process:
        tid = next(tid for tid in threads(process.pid) if tid != process.pid)
        record = verdict_of(t, tid)
        t.equal((causes(record), record['reasons'][0]['cure']), (['thread'], f'give the pid {process.pid}'))
        process.send_signal(signal.SIGSTOP)
        t.check(eventually(lambda: states(process.pid) == {'T'}), 'it does not stop')
        record = verdict_of(t, process.pid)
        t.equal((causes(record), [r['cause'] for r in record['reasons']]), ([], ['stopped']))
    if b'kthreadd' in pathlib.Path('/proc/2/comm').read_bytes() if os.path.exists('/proc/2/comm') else False:
        record = verdict_of(t, 2)
        t.equal(causes(record), ['kernel-thread'])
        check_true(t, record, 2)
    with running(t, [*t.tether, 'run', '-q', '--', 'sh', '-c', 'echo $$; exec sleep 1000'],
                 stdout=subprocess.PIPE) as tether:
        victim = int(tether.stdout.readline())
        controller = int(status(victim)['PPid'])
        record = verdict_of(t, controller)
        t.equal((causes(record), record['control']), (['controller'], False))
        check_true(t, record, controller)
        for command in ('hold', 'attach'):
            code, records, _ = ask(t, command, '-p', controller)
            t.equal((code, [r['code'] for r in records if r['event'] == 'error']), (125, ['ESELF']), command)
        t.equal((status(controller)['TracerPid'].strip(), states(controller)), ('0', {'S'}))
        record = verdict_of(t, victim)
        t.equal(record['reasons'][0]['detail'], f'by tether-controll, pid {controller}')
        tether.send_signal(signal.SIGTERM)
        tether.wait(20)


def test_the_verdict_across_user_namespaces(t):
    unshare = t.need('unshare')
    user = as_nobody(t)
    inside = [*user, unshare, '-U']
    if t.run([*inside, 'true']).returncode:
        t.skip('user namespaces are not allowed here')
    with running(t, [*user, 'sleep', '1000']) as outsider, running(t, [*inside, 'sleep', '1000']) as insider:
        t.check(eventually(lambda: all(status(p.pid)['Name'].strip() == 'sleep' for p in (insider, outsider))), 'they do not run')
        # Who made the namespace rules in it; from inside, the world outside is closed, the same user or not.
        record = verdict_of(t, insider.pid, before=user)
        t.equal(causes(record), [], record)
        check_true(t, record, insider.pid, user)
        record = verdict_of(t, outsider.pid, before=inside)
        t.check('user-namespace' in causes(record) and not record['control'] and not record['observe'], record)
        check_true(t, record, outsider.pid, inside)


def test_the_verdict_on_the_machine(t):
    code, records, errors = ask(t, 'doctor')
    t.equal((code, errors, len(records)), (0, '', 1), records)
    t.equal(list(records[0]), ['event', 'create', 'control', 'observe', 'reasons'])
    t.equal((records[0]['create'], records[0]['control'], records[0]['observe']), (True, True, True))
    result = t.run([*t.tether, 'doctor'], env={'TETHER_CONTROLLER': '/no/such/file'})
    t.equal(result.returncode, 125)


def test_doctor_in_text_tells_cause_and_cure(t):
    result = t.run([*t.tether, 'doctor', '-p', '4194303'])
    t.equal((result.returncode, result.stderr.decode()),
            (1, '4194303: may be neither held nor observed\n  gone: there is no process 4194303\n'
                '    cure: check the pid; the process may have ended\n'))
    result = t.run([*t.tether, 'doctor', '-q', '-p', '4194303'])
    t.equal((result.returncode, result.stderr), (1, b''))


# ---- all ways to choose --------------------------------------------------------------------------------------


def told_of(t, pids, format_, code, command, *words):
    """Which of these processes the records are about, in text or as json."""
    if format_ == 'jsonl':
        result, records, errors = ask(t, command, *words)
        t.equal((result, errors), (code, ''), (command, words))
        return {r['pid'] for r in records} & pids
    result = t.run([*t.tether, command, '--format=text', *map(str, words)])
    t.equal((result.returncode, result.stdout), (code, b''), (command, words, result.stderr))
    return {int(n) for n in re.findall(r'\b\d+\b', result.stderr.decode())} & pids


@timeout(60)
def test_each_command_chooses_by_pid_by_name_and_with_descendants_in_text_and_in_records(t):
    name = f'tc-{os.getpid() % 100000}'
    program = t.tmp / name
    program.write_bytes(pathlib.Path(t.need('bash')).resolve().read_bytes())
    program.chmod(0o755)
    with running(t, [program, '-c', 'sleep 1000 & wait'], start_new_session=True) as process:
        t.check(eventually(lambda: [status(pid)['Name'].strip() for pid in children(process.pid)] == ['sleep']), 'no child')
        parent, child = process.pid, children(process.pid)[0]
        pids, waits = {parent, child}, []
        ways = [(['-p', parent], {parent}), (['-n', name], {parent}), (['--tree', '-p', parent], pids), (['--tree', '-n', name], pids)]
        try:
            for format_ in ('text', 'jsonl'):
                for number, (words, expected) in enumerate(ways):
                    path = t.tmp / f'wait-{format_}-{number}'
                    waiter = subprocess.Popen([*t.tether, 'wait', f'--format={format_}', '-o', path, *map(str, words)],
                                              stdin=subprocess.DEVNULL)
                    waits.append((waiter, path, expected))
            for format_ in ('text', 'jsonl'):
                for words, expected in ways:
                    for command in ('libs', 'doctor', 'hold', 'resume'):
                        t.equal(told_of(t, pids, format_, 0, command, *words), expected, (format_, command, words))
                        if command == 'hold':
                            t.equal({pid for pid in pids if 'T' in states(pid)}, expected, words)
                    t.equal({pid for pid in pids if 'T' in states(pid)}, set(), words)
            t.check(eventually(lambda: all(has_pidfd(waiter.pid) and states(waiter.pid) == {'S'} for waiter, _, _ in waits)),
                    'wait does not wait')
        finally:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for waiter, path, expected in waits:
            t.equal(waiter.wait(20), 0)
            told = {int(n) for n in re.findall(r'\b\d+\b', path.read_text())} & pids
            t.equal(told, expected, f'told of in {path.name}')


def test_a_pipe_under_o_whose_reader_has_gone_is_said_and_nobody_is_harmed(t):
    """The reader opens and goes: what is written then has nobody to go to."""
    fifo = t.tmp / 'fifo'
    os.mkfifo(fifo)

    def leave():
        os.close(os.open(fifo, os.O_RDONLY))
    with counter(t) as process:
        for command, words, code in (('run', ['--', 'sh', '-c', 'sleep 0.3; /bin/true; echo fine; exit 5'], 5),
                                     ('attach', ['--timeout=20', '-p', process.pid], 125),
                                     ('hold', ['-p', process.pid], 125)):
            reader = threading.Thread(target=leave)
            reader.start()
            result = t.run([*t.tether, command, '--format=jsonl', '-o', fifo, *map(str, words)], timeout=15)
            reader.join()
            text = result.stderr.decode()
            t.equal((result.returncode, result.stdout), (code, b'fine\n' if command == 'run' else b''), (command, text))
            t.check(f"'{fifo}': Broken pipe" in text and text.count('\n') == 1, (command, text))
            if 'T' in states(process.pid):
                t.equal(ask(t, 'resume', '-p', process.pid)[0], 0)
            check_counts_on(t, process)
            check_free(t, process.pid)
        check_ends_whole(t, process)


# ---- options ---------------------------------------------------------------------------------------------


def test_help_of_each_is_short(t):
    overview = t.run([*t.tether, '--help']).stdout.decode()
    for command in (*COMMANDS, 'sym'):
        t.check(f'\n  {command} ' in overview, overview)
        result = t.run([*t.tether, command, '--help'])
        text = result.stdout.decode()
        t.equal((result.returncode, result.stderr), (0, b''), command)
        t.check(text.startswith(f'usage: tether {command} ') and len(text.splitlines()) < 25 and
                max(map(len, text.splitlines())) <= 100 and 'Exit status:' in text and 'Example:' in text, text)


def test_each_has_its_place_in_the_manual_and_the_readme(t):
    folder = t.source.parent
    if not (folder / 'man').exists():
        t.skip('the tests were copied without the documents')
    manual, readme = (folder / 'man' / 'tether.1').read_text(), (folder / 'README.md').read_text()
    overview = t.run([*t.tether, '--help']).stdout.decode()
    listed = re.findall(r'^  ([a-z]+) ', overview, re.MULTILINE)
    t.equal(sorted(set(listed) & {*COMMANDS, 'run', 'attach'}), sorted([*COMMANDS, 'run', 'attach']))
    for command in listed:
        t.check(f'.Ss tether {command}\n' in manual, f'no section of the manual page is about {command}')
        t.check(re.search(rf'^tether (\w+ / )?{command}\b', readme, re.MULTILINE), f'{command} is not in the README')
        for option in re.findall(r'--([a-z-]+)', t.run([*t.tether, command, '--help']).stdout.decode().split('Exit status')[0]):
            t.check(f'Fl \\-{option}' in manual, f'--{option} of {command} is not in the manual page')


def test_mistakes_are_125_with_one_line(t):
    mistakes = [[command, *words] for command in COMMANDS for words in (
        ['--nonesuch'], ['-p'], ['-p', 'x'], ['-p', '1', 'word'], ['--tree'], ['-o'], ['-n', 'a/b'])]
    mistakes += [[command] for command in COMMANDS if command != 'doctor']
    mistakes += [['sym', *words] for words in ([], ['malloc'], ['-p', '1'], ['-p', 'x', 'malloc'], ['-p', '1', 'malloc', '-q'])]
    mistakes += [['doctor', 'word'], ['run', '--stop-at=libc.so.6:', 'true'], ['run', '--stop-at=:malloc', 'true'], ['hold', '--timeout=x', '-p', '1']]
    for words in mistakes:
        result = t.run([*t.tether, *words])
        text = result.stderr.decode()
        t.equal((result.returncode, result.stdout), (125, b''), words)
        t.check(text.startswith('tether: ') and text.count('\n') == 1 and '--help' in text, (words, text))


def test_records_that_cannot_be_written_are_a_failure(t):
    with running(t, ['sleep', '1000']) as process:
        for command in ('hold', 'libs', 'doctor', 'resume'):
            result = t.run([*t.tether, command, '-o', '/no/such/folder/file', '-p', str(process.pid)])
            t.equal(result.returncode, 125, command)
            t.check(b'/no/such/folder/file' in result.stderr, result.stderr)
            t.check('T' not in states(process.pid), f'{command} stopped it before it had an output')
        for command in ('hold', 'resume', 'libs', 'doctor'):
            result = t.run([*t.tether, command, '-o', '/dev/full', '-p', str(process.pid)])
            t.equal(result.returncode, 125, command)
            t.check(b'No space left' in result.stderr, result.stderr)


# ---- run --stop-at ---------------------------------------------------------------------------------------

STOPPER = """
#include <stdio.h>
#include <unistd.h>
__attribute__((constructor)) static void before(void) { write(1, "constructor ", 12); }
int main(void) { write(1, "main\\n", 5); return 0; }
"""


def test_run_stops_where_it_was_told(t):
    """What the program has said when it stands tells where that is."""
    (t.tmp / 'a.c').write_text(STOPPER)
    made = t.run([t.need('cc', 'gcc'), '-w', '-o', 'a', 'a.c'])
    t.equal(made.returncode, 0, made.stderr.decode())
    for place, said in (('create', ''), ('preinit', ''), ('postinit', 'constructor '), ('main', 'constructor ')):
        result = t.run([*t.tether, 'run', '-q', f'--stop-at={place}', '--then',
                        'grep State /proc/{pid}/status > state; cat out > then', '--', './a'], stdout=(t.tmp / 'out').open('wb'))
        t.equal(result.returncode, 0, place)
        t.equal((t.tmp / 'state').read_text(), 'State:\tT (stopped)\n', place)
        t.equal((t.tmp / 'then').read_text(), said, f'said before {place}')
        t.equal((t.tmp / 'out').read_text(), 'constructor main\n', place)


def test_what_run_leaves_stopped_is_resumed(t):
    # Stopped, it keeps what it has open: no pipe that is read to its end.
    with open(t.tmp / 'err', 'wb') as errors:
        result = t.run([*t.tether, 'run', '--stop-at=main', '-e', 'exit', '--', 'sh', '-c', 'echo ran > ran'], stderr=errors,
                       stdout=subprocess.DEVNULL)
    t.equal(result.returncode, 0)
    victim = int(re.search(r'tether: (\d+) is stopped', (t.tmp / 'err').read_text())[1])
    t.equal(ask(t, 'resume', '-p', victim)[0], 0)
    t.check(eventually(lambda: (t.tmp / 'ran').exists()), 'it does not go on')
