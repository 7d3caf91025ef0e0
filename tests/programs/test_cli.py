# SPDX-License-Identifier: BSD-2-Clause
"""The command itself: exit statuses, options, messages, where records go, and what the command leaves alone."""
import json
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import time

from tether_test import alone, timeout

PYTHON = sys.executable


def wait_for(t, what, condition, seconds=15):
    """No sleep makes it true: it only looks again."""
    deadline = time.monotonic() + seconds * t.slow
    while not condition():
        if time.monotonic() > deadline:
            t.fail(f'not within {seconds} s: {what}')
        time.sleep(0.01)


def status_field(pid, field):
    try:
        text = pathlib.Path(f'/proc/{pid}/status').read_text()
    except OSError:
        return ''
    return re.search(rf'^{field}:\s*(.*)$', text, re.MULTILINE)[1]


def kinds(records):
    return [record['event'] for record in records]


# ---- exit status ----------------------------------------------------------------------------------------


def test_exit_status_is_the_commands_own(t):
    for status in (0, 1, 3, 124, 125, 126, 127, 255):
        result = t.run([*t.tether, 'run', '-q', '--', 'sh', '-c', f'exit {status}'])
        t.equal((result.returncode, result.stdout, result.stderr), (status, b'', b''), f'exit {status}')


def test_a_fatal_signal_is_passed_on(t):
    for name in ('TERM', 'KILL', 'SEGV', 'ABRT', 'PIPE', 'INT', 'HUP', 'QUIT', 'USR1', 'RTMAX'):
        number = getattr(signal, f'SIG{name}')
        kill = f'import os, signal; signal.signal({number}, 0); os.kill(os.getpid(), {number})'
        if name == 'KILL':
            kill = 'import os; os.kill(os.getpid(), 9)'
        result = t.run([*t.tether, 'run', '-q', '--', 'sh', '-c', 'ulimit -c 0; exec "$@"', 'sh', PYTHON, '-c', kill])
        t.equal((result.returncode, result.stderr), (-number, b''), name)


def test_a_passed_on_signal_dumps_no_core_of_tether(t):
    process = subprocess.Popen([*t.tether, 'run', '-q', '--', 'sh', '-c', 'ulimit -c 0; kill -SEGV $$'],
                               preexec_fn=lambda: __import__('resource').setrlimit(
                                   __import__('resource').RLIMIT_CORE, (1 << 30, 1 << 30)), cwd=t.tmp)
    _, status = os.waitpid(process.pid, 0)
    process.returncode = 0
    t.equal((os.WIFSIGNALED(status), os.WTERMSIG(status), os.WCOREDUMP(status)), (True, signal.SIGSEGV, False))


def test_what_is_not_found_is_127_and_says_why(t):
    (t.tmp / 'bad').write_text('#!/no/such/interpreter\n')
    (t.tmp / 'bad').chmod(0o755)
    for command, words in (('nonesuch-command', ['nonesuch-command', 'No such file', 'PATH']),
                           ('./nonesuch', ['./nonesuch', 'No such file', 'check the path']),
                           ('./bad', ['./bad', 'interpreter', 'first line'])):
        result = t.run([*t.tether, 'run', command])
        message = result.stderr.decode()
        t.equal(result.returncode, 127, command)
        t.check(all(word in message for word in words), message)
        t.check(message.startswith('tether: ') and message.count('\n') == 1, message)


def test_what_cannot_be_run_is_126_and_says_why(t):
    (t.tmp / 'plain').write_text('#!/bin/sh\n')
    (t.tmp / 'noformat').write_bytes(b'\x7fno such format')
    (t.tmp / 'noformat').chmod(0o755)
    (t.tmp / 'folder').mkdir()
    for command, words in (('./plain', ['Permission denied', 'chmod +x']),
                           ('./folder', ['Permission denied', 'directory']),
                           ('./noformat', ['Exec format error', '#!'])):
        result = t.run([*t.tether, 'run', command])
        message = result.stderr.decode()
        t.equal(result.returncode, 126, command)
        t.check(all(word in message for word in [command, *words]), message)


def test_timeout_is_124_and_ends_the_command(t):
    result = t.run([*t.tether, 'run', '-q', '--timeout=0.3', '--', 'sh', '-c', 'echo $$; exec sleep 1000'])
    t.equal((result.returncode, result.stderr), (124, b''))
    wait_for(t, 'it is gone', lambda: not os.path.exists(f'/proc/{result.stdout.decode().strip()}'))


def test_timeout_with_on_exit_run_leaves_it_running_and_whole(t):
    result = t.run([*t.tether, 'run', '-q', '--timeout=0.3', '--on-exit=run', '--', 'sh', '-c',
                    'echo $$; exec >/dev/null 2>&1; exec sleep 1000'])
    victim = int(result.stdout)
    t.equal(result.returncode, 124)
    t.equal(status_field(victim, 'TracerPid'), '0')
    t.equal(pathlib.Path(f'/proc/{victim}/comm').read_text(), 'sleep\n')
    os.kill(victim, signal.SIGKILL)


def test_sigterm_ends_tether_and_its_command(t):
    process = subprocess.Popen([*t.tether, 'run', '-q', '--', 'sh', '-c', 'echo $$; exec sleep 1000'],
                               stdout=subprocess.PIPE)
    victim = int(process.stdout.readline())
    process.terminate()
    t.equal(process.wait(20), -signal.SIGTERM)
    wait_for(t, 'the command is gone', lambda: not os.path.exists(f'/proc/{victim}'))
    process.stdout.close()


def test_a_broken_controller_is_125(t):
    for controller in ('/no/such/controller', '/etc/passwd', t.need('true')):
        result = t.run([*t.tether, 'run', '-q', '--timeout=20', '--', 'true'], env={'TETHER_CONTROLLER': controller})
        t.equal(result.returncode, 125, controller)
        t.check(result.stderr.startswith(b'tether: '), result.stderr.decode())


# ---- options and help ------------------------------------------------------------------------------------


def test_help_is_short_and_goes_to_standard_output(t):
    for words in (['--help'], ['-h'], ['run', '--help'], ['run', '-h'], ['attach', '--help']):
        result = t.run([*t.tether, *words])
        text = result.stdout.decode()
        t.equal((result.returncode, result.stderr), (0, b''), words)
        t.check(text.startswith('usage: tether '), text)
        t.check(len(text.splitlines()) < 25, f'{words}: {len(text.splitlines())} lines')
        t.check(max(len(line) for line in text.splitlines()) <= 100, text)
        t.check('Exit status:' in text and 'Example:' in text, text)


def test_version(t):
    for words in (['--version'], ['-V'], ['run', '--version'], ['attach', '-V']):
        result = t.run([*t.tether, *words])
        t.equal((result.returncode, result.stderr), (0, b''), words)
        t.check(re.fullmatch(r'tether \d+\.\d+\.\d+\n', result.stdout.decode()), result.stdout)


def test_mistakes_are_125_with_one_line_and_the_way_to_the_help(t):
    for words in ([], ['nonesuch'], ['--nonesuch'], ['run'], ['run', '--'], ['run', '--nonesuch', 'true'],
                  ['run', '--then', 'true', 'true'], ['run', '--stop-at=nowhere', 'true'], ['run', '-e', 'no', 'true'],
                  ['run', '--format=xml', 'true'], ['run', '--timeout=never', 'true'], ['run', '--on-exit=hang', 'true'],
                  ['attach'], ['attach', '-p', 'x'], ['attach', '-p', '1,'], ['attach', '-p', '0'],
                  ['attach', '-p', '1', 'word'], ['run', '-o']):
        result = t.run([*t.tether, *words])
        text = result.stderr.decode()
        t.equal((result.returncode, result.stdout), (125, b''), words)
        t.check(text.startswith('tether: ') and text.count('\n') == 1 and 'tether' in text and '--help' in text, text)


def test_a_help_that_cannot_be_written_is_a_failure(t):
    with open('/dev/full', 'wb') as full:
        t.equal(t.run([*t.tether, '--help'], stdout=full).returncode, 125)


def test_options_of_the_command_are_its_own(t):
    result = t.run([*t.tether, 'run', '-q', 'echo', '-q', '--help'])
    t.equal(result.stdout, b'-q --help\n')
    result = t.run([*t.tether, 'run', '-q', '--', 'echo', '--', '-o', 'x'])
    t.equal(result.stdout, b'-- -o x\n')


# ---- records ---------------------------------------------------------------------------------------------


def test_records_are_framed_by_header_and_summary(t):
    result, records = t.traced(['sh', '-c', 'true; /bin/true; exit 2'])
    t.equal(result.returncode, 2)
    t.equal((kinds(records)[0], kinds(records)[-1]), ('header', 'summary'))
    header = records[0]
    t.equal((header['schema'], header['tool']), (1, 'tether'))
    t.check(abs(header['start_realtime_ns'] / 1e9 - time.time()) < 60 * t.slow, header)
    t.equal(header['argv'][len(t.tether):][:2], ['run', '--format=jsonl'])
    t.equal(records[-1]['processes'], 2)
    t.equal(result.stderr, b'')


def test_keys_stand_in_the_promised_order(t):
    _, records = t.traced(['sh', '-c', 'sh -c "kill -USR1 \\$\\$" & wait; exit 0'], '--env', '--cmdline')
    order = {
        'header': ['event', 'schema', 'tool', 'version', 'start_realtime_ns', 'argv'],
        'create': ['event', 't_ns', 'pid', 'tid', 'ppid', 'path', 'argv'],
        'exec': ['event', 't_ns', 'pid', 'tid', 'path', 'argv', 'cwd', 'env', 'suppressed', 'cmdline'],
        'fork': ['event', 't_ns', 'pid', 'tid', 'child', 'kind', 'followed'],
        'load': ['event', 't_ns', 'pid', 'tid', 'object', 'base', 'lmid', 'build_id', 'initial'],
        'signal': ['event', 't_ns', 'pid', 'tid', 'signal', 'code', 'sender'],
        'main': ['event', 't_ns', 'pid', 'tid'],
        'summary': ['event', 't_ns', 'events', 'dropped', 'processes', 'pause_ns_max', 'pause_ns_total'],
    }
    seen = set()
    for record in records:
        kind = record['event']
        if kind in order:
            seen.add(kind)
            t.equal(list(record), order[kind], kind)
        if kind == 'exit':
            ended = ['signal', 'core'] if 'signal' in record else ['code']
            t.equal(list(record), ['event', 't_ns', 'pid', 'tid', *ended, 'user_ns', 'sys_ns', 'maxrss_kb'], kind)
    t.equal(seen, set(order), 'kinds')


def test_only_the_kinds_asked_for(t):
    _, records = t.traced(['sh', '-c', '/bin/true; exit 2'], '-e', 'exec,exit')
    t.equal(kinds(records), ['header', 'exec', 'exec', 'exit', 'exit', 'summary'])
    _, records = t.traced(['true'], '-e', 'exec', '-e', 'load')
    t.check(set(kinds(records)) == {'header', 'exec', 'load', 'summary'}, kinds(records))


def test_without_linker_events_nothing_is_written_into_the_command(t):
    """A program that compares its run-time linker with the file finds a trap only where loads were asked for."""
    compare = ("import sys\nfor line in open('/proc/self/maps'):\n"
               "    span, perms, offset, _, _, *path = line.split()\n"
               "    if path and 'ld-' in path[0] and 'x' in perms:\n"
               "        low, high = (int(x, 16) for x in span.split('-'))\n"
               "        mem = open('/proc/self/mem', 'rb'); mem.seek(low)\n"
               "        f = open(path[0], 'rb'); f.seek(int(offset, 16))\n"
               "        a, b = mem.read(high - low), f.read(high - low)\n"
               "        sys.exit(a[:len(b)] != b)\n"
               "sys.exit(2)\n")
    t.equal(t.run([PYTHON, '-c', compare]).returncode, 0)
    t.equal(t.run([*t.tether, 'run', '-q', PYTHON, '-c', compare]).returncode, 0)
    t.equal(t.run([*t.tether, 'run', '-e', 'exec', PYTHON, '-c', compare]).returncode, 0)
    t.equal(t.run([*t.tether, 'run', '-e', 'load', PYTHON, '-c', compare]).returncode, 1)


def decoded(record, value):
    """Bytes of a string of a record."""
    if not record.get('raw'):
        return value.encode()
    return re.sub(rb'\\(\\|x..)', lambda m: b'\\' if m[1] == b'\\' else bytes([int(m[1][1:], 16)]), value.encode())


def test_arguments_of_any_bytes_come_back(t):
    for words in ([b'plain'], [b'\xff\xfe', b'\\', b'\\xff', 'grün'.encode()], [b'\\x41', b'a\nb\t"\x01'],
                  [b'\xed\xa0\x80', b''], [bytes(range(1, 256))]):
        _, records = t.traced(['true', *words], '-e', 'exec')
        record = records[1]
        t.equal([decoded(record, word) for word in record['argv']], [b'true', *words])


def test_env_shows_what_changed(t):
    script = 'A=1; export A; unset B; C=other; D=same; exec /bin/true'
    _, records = t.traced(['sh', '-c', script], '--env', '-e', 'exec',
                          env={'B': 'gone', 'C': 'old', 'D': 'same', 'A': None})
    first, second = [record['env'] for record in records if record['event'] == 'exec']
    t.equal(first, {'set': {}, 'unset': []}, 'the first process has what tether had')
    second['set'] = {name: value for name, value in second['set'].items() if name in 'ABCD'}
    t.equal(second, {'set': {'A': '1', 'C': 'other'}, 'unset': ['B']})
    _, records = t.traced(['true'], '-e', 'exec')
    t.check('env' not in records[1], records[1])


def test_stderr_of_the_command_is_not_torn(t):
    """Records and the command's own lines share a pipe: each comes out whole."""
    script = "for i in range(3000): import os; os.write(2, b'victim %d\\n' % i); i % 50 or os.system('')"
    result = t.run([*t.tether, 'run', '--format=jsonl', '--', PYTHON, '-c', script])
    own = []
    for line in result.stderr.splitlines():
        if line.startswith(b'victim '):
            own.append(line)
        else:
            json.loads(line)
    t.equal(own, [b'victim %d' % i for i in range(3000)])


def test_an_unwritable_file_is_said_before_anything_runs(t):
    result = t.run([*t.tether, 'run', '-o', '/no/such/folder/file', '--', 'touch', 'ran'])
    t.equal(result.returncode, 125)
    t.check(b"'/no/such/folder/file': No such file" in result.stderr, result.stderr)
    t.check(not (t.tmp / 'ran').exists(), 'the command ran')


def test_a_full_disk_is_said_and_the_command_is_left_alone(t):
    result = t.run([*t.tether, 'run', '-o', '/dev/full', '--', 'sh', '-c', 'echo fine; exit 5'])
    t.equal((result.returncode, result.stdout), (5, b'fine\n'))
    t.equal(result.stderr.count(b'\n'), 1)
    t.check(b"'/dev/full': No space left" in result.stderr, result.stderr)


def test_a_reader_that_goes_away_leaves_the_command_alone(t):
    script = f'{PYTHON} -c "import os; [os.fork() or os._exit(0) or 0 for i in ()]; print(1)"'
    read, write = os.pipe()
    os.close(read)
    result = t.run([*t.tether, 'run', '--format=jsonl', '--', 'sh', '-c', f'{script}; exit 5'], stderr=write)
    os.close(write)
    t.equal((result.returncode, result.stdout), (5, b'1\n'))


def test_tether_can_do_without_standard_streams(t):
    script = 'exec 0<&- 1>&- 2>&-; exec "$@"'
    records = t.tmp / 'records'
    result = t.run(['sh', '-c', script, 'sh', *t.tether, 'run', '--format=jsonl', '-o', records, '--', 'sh', '-c',
                    'ls /proc/self/fd > out; exit 3'])
    t.equal(result.returncode, 3)
    t.equal(kinds(t.records(records))[-1], 'summary')


# ---- what the command starts with ------------------------------------------------------------------------


def test_the_command_starts_as_it_would_without(t):
    (t.tmp / 'file').write_text('')
    show = ("import os, resource\n"
            "status = open('/proc/self/status').read().splitlines()\n"
            "print([l for l in status if l.startswith(('SigBlk', 'SigIgn', 'SigPnd', 'Shd', 'Umask', 'Groups', 'Cap', 'NoNew', 'Seccomp:'))])\n"
            "print([(fd, os.readlink(f'/proc/self/fd/{fd}')) for fd in sorted(os.listdir('/proc/self/fd'), key=int)\n"
            "       if os.path.exists(f'/proc/self/fd/{fd}')])\n"
            "print(os.getcwd(), os.getsid(0) == os.getpgrp(), os.nice(0), resource.getrlimit(resource.RLIMIT_NOFILE))\n"
            "print(sorted(os.environ.items()))\n")

    def prepare():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2, signal.SIGTERM])
    for prepared in (None, prepare):
        with open(t.tmp / 'file') as kept, open(t.tmp / 'out', 'wb') as out, open(t.tmp / 'err', 'wb') as err:
            options = {'preexec_fn': prepared, 'pass_fds': [kept.fileno()], 'stdout': out, 'stderr': err}
            t.run([PYTHON, '-S', '-E', '-c', show], **options)
            plain = (t.tmp / 'out').read_text()
            out.truncate(0)
            out.seek(0)
            t.run([*t.tether, 'run', '-q', '--', PYTHON, '-S', '-E', '-c', show], **options)
            t.check(len(plain.splitlines()) == 4, plain)
            traced = (t.tmp / 'out').read_text().lstrip('\0')
            # The group's leader is tether itself; sid and pgrp are equal for both.
            t.equal(traced, plain, 'what it starts with')


# ---- stops and handing over ------------------------------------------------------------------------------


def test_a_stopped_command_is_handed_over_and_goes_on(t):
    for place in ('create', 'preinit', 'postinit', 'main'):
        result = t.run([*t.tether, 'run', '-q', f'--stop-at={place}', '--then',
                        'grep -E "State|TracerPid" /proc/{pid}/status', '--', 'sh', '-c', 'echo ran; exit 7'])
        t.equal(result.stdout.decode(), 'State:\tT (stopped)\nTracerPid:\t0\nran\n', place)
        # Before Linux 6.15 nobody but its parent can tell how it ended.
        t.check(result.returncode in (7, 0), f'{place}: {result.returncode}')


def test_what_is_stopped_without_then_is_named_and_left(t):
    with open(t.tmp / 'err', 'wb') as err:
        result = t.run([*t.tether, 'run', '--stop-at=main', '-e', 'exit', '--', 'sh', '-c', 'echo ran > ran'],
                       stdout=err, stderr=err)
    t.equal(result.returncode, 0)
    victim = int(re.search(r'tether: (\d+) is stopped', (t.tmp / 'err').read_text())[1])
    t.equal((status_field(victim, 'State'), status_field(victim, 'TracerPid')), ('T (stopped)', '0'))
    t.check(not (t.tmp / 'ran').exists(), 'it has run')
    os.kill(victim, signal.SIGCONT)
    wait_for(t, 'it goes on', (t.tmp / 'ran').exists)


def test_any_process_of_the_family_can_be_stopped_at_its_exec(t):
    script = 'for i in 1 2 3; do /bin/echo number $i; done; /bin/true; exit 4'
    result = t.run([*t.tether, 'run', '-q', '--stop-on-exec=*/echo', '--then',
                    "tr '\\0' ' ' < /proc/{pid}/cmdline; echo", '--', 'sh', '-c', script])
    t.equal(result.stdout.decode(), ''.join(f'/bin/echo number {i} \nnumber {i}\n' for i in (1, 2, 3)))
    t.equal(result.returncode, 4)


def test_a_then_command_is_waited_for_where_ended_children_are_ignored(t):
    result = t.run([*t.tether, 'run', '-q', '--stop-on-exec=true', '--then', 'echo got', '--', 'sh', '-c',
                    '/bin/true; exit 4'], preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
    t.equal((result.returncode, result.stdout), (4, b'got\n'))


def test_a_then_command_may_kill_what_it_got(t):
    result = t.run([*t.tether, 'run', '-q', '--stop-at=main', '--then', 'kill -9 {pid}', '--', 'sh', '-c', 'echo ran'])
    t.equal(result.stdout, b'')
    t.check(result.returncode in (-signal.SIGKILL, 0), result.returncode)


@timeout(120)
def test_a_debugger_can_take_over(t):
    gdb = t.need('gdb')
    command = f"{gdb} -q -batch -nx -ex 'info inferiors' -ex 'print $_siginfo.si_signo' -ex detach -p {{pid}}"
    result = t.run([*t.tether, 'run', '-q', '--stop-on-exec=true', '--then', command, '--', 'sh', '-c',
                    '/bin/true; echo $?'], timeout=100)
    t.check(b'process' in result.stdout, result.stdout + result.stderr)
    t.check(result.stdout.endswith(b'0\n'), result.stdout + result.stderr)


# ---- command lines ---------------------------------------------------------------------------------------

DUMP = ("import os, sys\n"
        "for name in ('cmdline', 'environ'):\n"
        "    os.write(1, open(f'/proc/self/{name}', 'rb').read() + b'\\0\\0')\n"
        "os.write(1, os.getcwdb())\n")


@timeout(120)
def test_a_command_line_repeats_its_exec(t):
    dice = random.Random(4)
    pieces = [b'a', b"'", b'"', b'\\', b'$x', b'`y`', b'\n', b'\t', b' ', b'*', b'~', b'#', b'!', b'%41', b'%', b'-',
              b'--', b'\xff', b'\x80', 'ü'.encode(), b'\x1b[31m', b';', b'&', b'=', b'(', b'{a,b}', b'\x01']
    shells = [shell for shell in ('sh', 'bash', 'dash') if t.run(['sh', '-c', f'command -v {shell}']).returncode == 0]
    # What perl or python itself obeys would make this test about something else.
    clean = {name: None for name in os.environ if name.startswith(('PYTHON', 'PERL'))}
    for number in range(20):
        folder = os.fsencode(t.tmp) + b'/' + b''.join(dice.choices(pieces, k=4)) + b'%d' % number
        os.mkdir(folder)
        words = [b''.join(dice.choices(pieces, k=dice.randrange(5))) for _ in range(dice.randrange(5))]
        environment = {b'V%d' % i: b''.join(dice.choices(pieces, k=dice.randrange(5))) for i in range(4)}
        record = t.tmp / 'line.jsonl'
        command = [*t.tether, 'run', '--cmdline', '--format=jsonl', '-e', 'exec', '-o', record, '--', PYTHON, '-c',
                   DUMP, *words]
        kept = {os.fsencode(name): os.fsencode(value) for name, value in os.environ.items() if name not in clean}
        dump = subprocess.run([os.fsencode(word) for word in command], cwd=folder, env={**kept, **environment},
                              stdout=subprocess.PIPE, check=True, timeout=50)
        execs = [r for r in t.records(record) if r['event'] == 'exec']
        line = decoded(execs[-1], execs[-1]['cmdline']).decode()
        t.check(line.isprintable(), line)
        for shell in shells:
            again = t.run([shell, '-c', line], env=clean)
            t.equal((again.stdout, again.stderr), (dump.stdout, b''), f'{shell} -c {line}')


def test_a_script_is_repeated_through_its_interpreter(t):
    (t.tmp / 'script').write_text('#!/bin/sh -e\necho "$0 $*"\n')
    (t.tmp / 'script').chmod(0o755)
    result, records = t.traced(['./script', 'a', 'b c'], '-e', 'exec', '--cmdline')
    again = t.run(['sh', '-c', records[1]['cmdline']], cwd='/')
    t.equal((result.stdout, again.stdout), (b'./script a b c\n', b'./script a b c\n'))


def test_a_program_that_runs_again_is_told_in_full(t):
    """The second exec of an image asks nobody; its record and its loads are those of the first all the same."""
    folders = [t.tmp / name for name in ('one', 'two')]
    for folder in folders:
        folder.mkdir()
        (folder / 'copy').write_bytes(pathlib.Path(t.need('ls')).resolve().read_bytes())
        (folder / 'copy').chmod(0o755)
    script = t.tmp / 'script'
    script.write_text('#!/bin/sh\nls "$@" >/dev/null\n')
    script.chmod(0o755)
    lines = '; '.join(f'cd {folder}; ./copy / >/dev/null; ls {folder}/ >/dev/null; {script} {folder}'
                      for folder in folders * 3)
    done = t.run([*t.tether, 'run', '--format=jsonl', '-o', t.tmp / 'records', '--', 'sh', '-c', lines])
    t.equal(done.returncode, 0)
    records = t.records(t.tmp / 'records')
    execs = [r for r in records if r['event'] == 'exec'][1:]
    expected = []
    for folder in folders * 3:
        expected += [(['./copy', '/'], str(folder), None), (['ls', f'{folder}/'], str(folder), None),
                     (['/bin/sh', str(script), str(folder)], str(folder), 'sh'), (['ls', str(folder)], str(folder), None)]
    shell = os.path.realpath('/bin/sh')
    t.equal([(r['argv'], r['cwd'], r.get('interpreter')) for r in execs],
            [(argv, cwd, shell if interpreter else None) for argv, cwd, interpreter in expected])
    loads = {r['pid']: [] for r in execs}
    for record in records:
        if record['event'] == 'load' and record['pid'] in loads:
            loads[record['pid']].append(record['object'])
    of_program = {}
    for record in execs:
        of_program.setdefault(record['argv'][0], []).append(loads[record['pid']])
    for name, lists in of_program.items():
        for paths in lists[1:]:
            t.equal(paths, lists[0], f'loads of {name}')
    t.equal(bool(of_program['ls'][0]), True, 'ls loads something')
    t.equal(sum(r['event'] == 'exit' for r in records), len(execs) + 1, 'exits')


def test_another_program_under_a_known_name_is_seen_as_it_is(t):
    program = t.tmp / 'program'
    lines = []
    for name in ('true', 'ls', 'true', 'cat', 'ls'):
        lines.append(f'cp {t.need(name)} {program}; {program} </dev/null >/dev/null')
    lines.append(f'printf "#!/bin/sh\nexit 7\n" > {program}; {program}')
    done = t.run([*t.tether, 'run', '--format=jsonl', '-o', t.tmp / 'records', '--', 'sh', '-c', '; '.join(lines)])
    t.equal(done.returncode, 7)
    records = t.records(t.tmp / 'records')
    execs = [r for r in records if r['event'] == 'exec' and str(program) in r['argv'][:2]]
    t.equal(len(execs), 6)
    libraries = []
    for record in execs:
        libraries.append({os.path.basename(r['object']).split('.')[0] for r in records
                          if r['event'] == 'load' and r['pid'] == record['pid']})
    t.equal(['libselinux' in names for names in libraries], [False, True, False, False, True, False])
    t.equal([r.get('interpreter') is not None for r in execs], [False] * 5 + [True])


def test_a_stopped_client_does_not_delay_a_known_program(t):
    """Nobody is asked, so nobody's deadline is waited for: 20 execs, while one question waits a second."""
    program = t.tmp / 'static'
    source = t.tmp / 'static.c'
    source.write_text('int main(void) { return 0; }\n')
    t.equal(t.run([t.need('gcc'), '-static', '-o', program, source]).returncode, 0)
    go = t.tmp / 'go'
    script = f'{program}; {program}; echo known; while ! [ -e {go} ]; do :; done; i=0; ' \
             f'while [ $i -lt 20 ]; do {program}; i=$((i+1)); done; echo done'
    tether = subprocess.Popen([*t.tether, 'run', '--format=jsonl', '-o', t.tmp / 'records', '--', 'sh', '-c', script],
                              stdout=subprocess.PIPE, text=True)
    t.equal(tether.stdout.readline(), 'known\n')
    tether.send_signal(signal.SIGSTOP)
    start = time.monotonic()
    go.touch()
    t.equal(tether.stdout.readline(), 'done\n')
    seconds = time.monotonic() - start
    tether.send_signal(signal.SIGCONT)
    t.equal(tether.wait(20), 0)
    tether.stdout.close()
    t.equal(seconds < 0.9, True, f'{seconds:.2f} s')
    records = t.records(t.tmp / 'records')
    t.equal(sum(r['event'] == 'exec' and r['argv'][0] == str(program) for r in records), 22)


def test_text_has_the_line_below_the_exec(t):
    result = t.run([*t.tether, 'run', '-e', 'exec', '--cmdline', '--', 'true', 'x' * 300])
    lines = result.stderr.decode().splitlines()
    t.check(lines[1].strip().startswith('(') and 'x' * 300 in lines[1], lines[1])


# ---- text ------------------------------------------------------------------------------------------------


def test_text_is_aligned_and_fits(t):
    result = t.run([*t.tether, 'run', '--', 'sh', '-c', f'/bin/echo {"word " * 60}; (exit 3); kill -USR1 $$'],
                   env={'LC_ALL': 'C.UTF-8', 'COLUMNS': None})
    lines = result.stderr.decode().splitlines()
    t.equal(result.returncode, -signal.SIGUSR1)
    t.check(all(len(line) <= 100 for line in lines), [line for line in lines if len(line) > 100])
    t.check('\x1b' not in result.stderr.decode(), 'colours in a pipe')
    for line in lines[:-1]:
        t.check(re.match(r' *\d+\.\d{6} +\d+  ( *)[a-z-]+', line), line)
    t.check(any(line.endswith('…') for line in lines), 'the long command is cut')
    t.check(re.search(r'\d+    exit +3 ', result.stderr.decode()), 'a child is indented, its status shown')
    t.check(re.match(r'\d+ processes, \d+ events; longest pause [\d.]+ m?s, all pauses [\d.]+ m?s$', lines[-1]), lines[-1])


def test_text_in_a_plain_locale_is_ascii(t):
    result = t.run([*t.tether, 'run', '--', 'sh', '-c', '/bin/echo "$1"', 'sh', 'grün'], env={'LC_ALL': 'C'})
    t.check(result.stderr.isascii(), result.stderr)
    t.check(b'gr\\u00fcn' in result.stderr, result.stderr)


def test_what_a_command_passes_does_not_command_the_terminal(t):
    evil = '\x1b]0;owned\x07\x1b[2J'
    for words in ([*t.tether, 'run', '--cmdline', '--env', '--', 'true', evil],
                  [*t.tether, 'run', '--', evil], [*t.tether, 'run', '-e', evil, 'true'], [*t.tether, evil],
                  [*t.tether, 'run', '-o', f'/no/{evil}', 'true'], [*t.tether, 'attach', '-n', evil]):
        result = t.run(words, env={'EVIL': evil})
        t.check(b'\x1b' not in result.stderr and b'\x07' not in result.stderr, result.stderr)


def test_quiet_says_nothing_but_errors(t):
    for options in (['-q'], ['-q', '--format=jsonl']):
        t.equal(t.run([*t.tether, 'run', *options, 'true']).stderr, b'')
        t.check(t.run([*t.tether, 'run', *options, 'nonesuch-command']).stderr, 'the error is gone too')


# ---- attach ----------------------------------------------------------------------------------------------


class Attached:
    """`tether attach` on the way, its records so far."""

    def __init__(self, t, *words, prepare=None):
        self.t = t
        self.path = t.tmp / f'attach-{len(list(t.tmp.glob("attach-*")))}'
        # Whoever runs the tests may ignore them: nohup, a background job.
        def heed():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
        self.process = subprocess.Popen([*t.tether, 'attach', '--format=jsonl', '-o', self.path, *map(str, words)],
                                        stderr=subprocess.PIPE, preexec_fn=prepare or heed)

    def records(self):
        if not self.path.exists():
            return []
        whole = self.path.read_bytes().rpartition(b'\n')[0]
        return [json.loads(line) for line in whole.splitlines()]

    def wait_for(self, kind, count=1):
        wait_for(self.t, f'{count} × {kind}', lambda: kinds(self.records()).count(kind) >= count)

    def end(self, number=signal.SIGINT):
        if number:
            self.process.send_signal(number)
        self.stderr = self.process.communicate(timeout=20)[1].decode()
        return self.process.returncode


def sleeper(t, name='sleep'):
    return subprocess.Popen([name, '1000'], cwd=t.tmp)


def test_attach_lets_go_at_every_ending_signal(t):
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        victim = sleeper(t)
        attached = Attached(t, '-p', victim.pid)
        attached.wait_for('grab')
        t.equal(status_field(victim.pid, 'TracerPid') != '0', True, 'traced')
        t.equal(attached.end(number), 0, number)
        t.equal(status_field(victim.pid, 'TracerPid'), '0', 'traced')
        t.equal([kind for kind in kinds(attached.records()) if kind != 'load'],
                ['header', 'grab', 'release', 'summary'])
        t.equal(victim.poll(), None)
        victim.kill()
        victim.wait()


def test_attach_heeds_nohup(t):
    victim = sleeper(t)
    attached = Attached(t, '-p', victim.pid, prepare=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    attached.wait_for('grab')
    attached.process.send_signal(signal.SIGHUP)
    victim.kill()
    victim.wait()
    t.equal(attached.end(None), 0)
    t.check('exit' in kinds(attached.records()), 'it let go at SIGHUP')


def test_attach_ends_with_its_processes(t):
    victims = [sleeper(t) for _ in range(3)]
    attached = Attached(t, '-p', ','.join(str(victim.pid) for victim in victims[:2]), '-p', victims[2].pid)
    attached.wait_for('grab', 3)
    for victim in victims:
        victim.kill()
        victim.wait()
    t.equal(attached.end(None), 0)
    t.equal(sorted(r['pid'] for r in attached.records() if r['event'] == 'exit'), sorted(v.pid for v in victims))


def test_attach_goes_on_with_the_others_after_a_refusal(t):
    victim = sleeper(t)
    attached = Attached(t, '-p', f'4194303,{victim.pid}')
    attached.wait_for('grab')
    t.equal(attached.end(), 125)
    t.check(attached.stderr.startswith('tether: ') and '4194303' in attached.stderr, attached.stderr)
    errors = [r for r in attached.records() if r['event'] == 'error']
    t.equal([r['code'] for r in errors], ['EGONE'])
    victim.kill()
    victim.wait()


@alone  # other tests run a tether
def test_attach_chooses_by_name(t):
    # Longer than the 15 bytes that the kernel keeps of a name.
    name = f'tether-cli-test-{os.getpid()}'
    program = t.tmp / name
    program.write_bytes(pathlib.Path(t.need('sleep')).resolve().read_bytes())
    program.chmod(0o755)
    victims = [sleeper(t, program) for _ in range(2)]
    wait_for(t, 'both run it', lambda: all(os.readlink(f'/proc/{v.pid}/exe').endswith(name) for v in victims))
    attached = Attached(t, '-n', name)
    attached.wait_for('grab', 2)
    t.equal(attached.end(), 0)
    t.equal(sorted(r['pid'] for r in attached.records() if r['event'] == 'grab'), sorted(v.pid for v in victims))
    for victim in victims:
        victim.kill()
        victim.wait()
    t.equal(t.run([*t.tether, 'attach', '-n', name]).returncode, 125)
    t.equal(t.run([*t.tether, 'attach', '-n', 'tether']).returncode, 125, 'itself')


def test_attach_takes_the_whole_tree(t):
    victim = subprocess.Popen(['sh', '-c', 'sh -c "sleep 1000; true" & sleep 1000 & wait'])

    def children(pid):
        return [int(p) for p in pathlib.Path(f'/proc/{pid}/task/{pid}/children').read_text().split()]
    wait_for(t, 'all are there', lambda: len(children(victim.pid)) == 2 and any(map(children, children(victim.pid))))
    pids = {victim.pid, *children(victim.pid), *sum(map(children, children(victim.pid)), [])}
    attached = Attached(t, '--tree', '-p', victim.pid)
    attached.wait_for('grab', 4)
    t.equal(attached.end(), 0)
    t.equal({r['pid'] for r in attached.records() if r['event'] == 'grab'}, pids)
    t.equal({r['pid'] for r in attached.records() if r['event'] == 'release'}, pids)
    t.equal([status_field(pid, 'TracerPid') for pid in pids], ['0'] * len(pids))
    for pid in [victim.pid, *(pids - {victim.pid})]:  # a shell whose command is gone would end by itself
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    victim.wait()


def test_attach_shows_the_tree_as_one(t):
    victim = subprocess.Popen(['sh', '-c', 'sleep 1000; true'])
    wait_for(t, 'the child is there', lambda: pathlib.Path(
        f'/proc/{victim.pid}/task/{victim.pid}/children').read_text())
    child = int(pathlib.Path(f'/proc/{victim.pid}/task/{victim.pid}/children').read_text())
    result = t.run([*t.tether, 'attach', '--tree', '-p', str(victim.pid), '-e', 'grab', '--timeout=0.5'])
    lines = result.stderr.decode().splitlines()
    t.check(re.search(rf' {victim.pid}  grab ', lines[0]) and re.search(rf' {child}    grab ', lines[1]), lines)
    os.kill(child, signal.SIGKILL)
    victim.kill()
    victim.wait()


def test_attach_stops_at_its_time(t):
    victim = sleeper(t)
    attached = Attached(t, '--timeout=0.3', '-p', victim.pid)
    t.equal(attached.end(None), 124)
    wait_for(t, 'it is let go', lambda: status_field(victim.pid, 'TracerPid') == '0')
    t.equal(victim.poll(), None)
    victim.kill()
    victim.wait()


def test_attach_lets_go_when_nobody_reads(t):
    victim = subprocess.Popen(['sh', '-c', 'while :; do /bin/true; done'])
    read, write = os.pipe()
    tether = subprocess.Popen([*t.tether, 'attach', '--format=jsonl', '-p', str(victim.pid)], stderr=write)
    os.close(write)
    os.read(read, 100)
    os.close(read)
    t.equal(tether.wait(20), 125)
    t.equal((status_field(victim.pid, 'TracerPid'), victim.poll()), ('0', None))
    victim.kill()
    victim.wait()
