# SPDX-License-Identifier: BSD-2-Clause
"""Real servers, grabbed while they work; tether is killed, they go on."""
import contextlib
import os
import random
import signal
import subprocess
import sys
import time

from processes import check_free, check_text, children, eventually, status, threads
from tether_test import timeout


@contextlib.contextmanager
def running(t, command, **options):
    """A program that is ended, and waited for, when the block is left."""
    options.setdefault('stdout', subprocess.DEVNULL)
    options.setdefault('stderr', subprocess.DEVNULL)
    process = subprocess.Popen([os.fspath(word) for word in command], stdin=subprocess.DEVNULL, cwd=t.tmp, **options)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def attach(t, *options):
    return subprocess.Popen([*t.tether, 'attach', '--format=jsonl', '-o', t.tmp / 'records', *options],
                            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)


def traced(pid):
    return status(pid).get('TracerPid', '0').strip() != '0'


def await_traced(t, pid, tether):
    if not eventually(lambda: traced(pid) or tether.poll() is not None) or tether.poll() is not None:
        t.fail(f'attach did not take {pid}: {tether.stderr.read().decode() if tether.poll() is not None else "too slow"}')


def await_grab_record(t):
    """From now on the command is in its loop; before, a signal ends it as it ends any program."""
    t.check(eventually(lambda: b'"grab"' in (t.tmp / 'records').read_bytes()), 'no grab record comes')


def controllers():
    """Those that an ended command has left behind: they have become children of the test's supervisor."""
    found = [(pid, status(pid)) for pid in children(os.getppid())]
    return [(pid, fields['State']) for pid, fields in found
            if fields.get('Name', '').startswith('tether') and fields['State'][0] != 'Z']


def kill(t, tether):
    """Its controller may not have begun the grab yet: the victim is free only when that has ended too."""
    end(t, tether, signal.SIGKILL)
    t.check(eventually(lambda: not controllers()), f'the controller of a killed command lives on: {controllers()}')


def end(t, tether, how):
    tether.send_signal(how)
    try:
        tether.wait(20)
    except subprocess.TimeoutExpired:
        tether.kill()
        t.fail(f'attach does not end at {how!r}')
    tether.stderr.close()


@contextlib.contextmanager
def redis(t):
    server = t.need('redis-server')
    socket = t.tmp / 'redis.sock'
    with running(t, [server, '--port', '0', '--unixsocket', socket, '--save', '', '--appendonly', 'no']) as process:
        t.check(eventually(socket.exists), 'redis-server does not start')
        yield process, socket


@timeout(120)
def test_a_server_under_load_survives_kill_9_of_tether_at_any_moment(t):
    benchmark = t.need('redis-benchmark')
    with redis(t) as (server, socket):
        load = subprocess.Popen([benchmark, '-s', socket, '-n', '150000', '-c', '20', '-t', 'set,get', '--csv'],
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        kills = 0
        while load.poll() is None:
            tether = attach(t, '-p', str(server.pid))
            if kills % 2:
                await_traced(t, server.pid, tether)
            time.sleep(random.random() * 0.05)
            kill(t, tether)
            check_free(t, server.pid)
            kills += 1
        out = load.stdout.read()
        load.stdout.close()
        t.equal(load.returncode, 0, f'exit of redis-benchmark: {out!r}')
        t.check(kills >= 5, f'only {kills} kills during the load')
        t.equal(server.poll(), None, 'end of redis-server')
        check_free(t, server.pid)
        check_text(t, server.pid)


@timeout(60)
def test_interrupt_lets_a_server_go(t):
    with redis(t) as (server, socket):
        before = set(threads(server.pid))  # it may still be starting others
        tether = attach(t, '-p', str(server.pid))
        await_traced(t, server.pid, tether)
        await_grab_record(t)
        end(t, tether, signal.SIGINT)
        t.equal(tether.returncode, 0, 'exit status')
        check_free(t, server.pid)
        check_text(t, server.pid)
        t.equal(before - set(threads(server.pid)), set(), 'threads of the server that are gone')
        records = t.records(t.tmp / 'records')
        t.equal([r['pid'] for r in records if r['event'] == 'grab'], [server.pid], 'grabs')
        t.equal([r['mode'] for r in records if r['event'] == 'release'], ['run'], 'releases')


@timeout(60)
def test_attach_ends_when_the_process_does(t):
    with running(t, ['sleep', '0.7']) as sleeper:
        tether = attach(t, '-p', str(sleeper.pid))
        await_traced(t, sleeper.pid, tether)
        t.equal(sleeper.wait(), 0, 'exit of sleep')
        tether.wait(10)
        tether.stderr.close()
        t.equal(tether.returncode, 0, 'exit status of attach')
        t.equal([r['code'] for r in t.records(t.tmp / 'records') if r['event'] == 'exit'], [0], 'exit records')


LOADER = """
import sys
sys.stdin.readline()
import sqlite3, ssl, decimal
print('loaded', flush=True)
sys.stdin.readline()
"""


@timeout(60)
def test_loads_of_a_running_process_are_shown(t):
    python = '/usr/bin/python3' if os.path.exists('/usr/bin/python3') else sys.executable
    victim = subprocess.Popen([python, '-c', LOADER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    tether = attach(t, '-p', str(victim.pid))
    await_traced(t, victim.pid, tether)
    await_grab_record(t)
    victim.stdin.write(b'go\n')
    victim.stdin.flush()
    t.equal(victim.stdout.readline(), b'loaded\n')
    victim.stdin.close()
    t.equal(victim.wait(), 0, 'exit of python')
    victim.stdout.close()
    tether.wait(10)
    tether.stderr.close()
    loaded = [os.path.basename(r['object']) for r in t.records(t.tmp / 'records') if r['event'] == 'load' and not r['initial']]
    for name in ('libsqlite3', 'libssl', 'libcrypto', '_ssl', '_sqlite3', '_decimal'):
        t.check(any(name in one for one in loaded), f'{name} is not among {loaded}')


@timeout(180)
def test_a_database_under_load_survives_kill_9_of_tether(t):
    from test_witness import UNPRIVILEGED, postgresql_folder
    programs = postgresql_folder(t)
    become = []
    if os.getuid() == 0:
        become = [t.need('setpriv'), f'--reuid={UNPRIVILEGED}', f'--regid={UNPRIVILEGED}', '--clear-groups', '--']
        t.tmp.chmod(0o777)
    data, user = t.tmp / 'data', ['-h', str(t.tmp), '-U', 'tester']
    made = t.run([*become, programs / 'initdb', '-D', data, '-A', 'trust', '-U', 'tester', '--no-sync', '--no-locale'])
    t.equal(made.returncode, 0, f'exit of initdb: {made.stderr.decode()}')
    with running(t, [*become, programs / 'postgres', '-D', data, '-c', 'listen_addresses=', '-k', t.tmp, '-F']) as server:
        ready = eventually(lambda: t.run([programs / 'pg_isready', *user]).returncode == 0, 30, 0.1)
        t.check(ready, 'postgres does not start')
        filled = t.run([*become, programs / 'pgbench', *user, '-i', '-q', 'postgres'])
        t.equal(filled.returncode, 0, f'pgbench -i: {filled.stderr.decode()}')
        load = subprocess.Popen([*become, programs / 'pgbench', *user, '-c', '4', '-j', '2', '-T', '8', '-C', 'postgres'],
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=t.tmp)
        kills = 0
        while load.poll() is None:
            tether = attach(t, '--tree', '-p', str(server.pid))
            if kills % 2:
                await_traced(t, server.pid, tether)
            time.sleep(random.random() * 0.1)
            kill(t, tether)
            check_free(t, server.pid)
            kills += 1
        out = load.stdout.read().decode()
        load.stdout.close()
        t.equal(load.returncode, 0, f'exit of pgbench: {out}')
        t.check('number of failed transactions: 0 ' in out, out)
        t.check(kills >= 5, f'only {kills} kills during the load')
        for pid in [server.pid, *children(server.pid)]:
            if status(pid).get('State', 'Z')[0] != 'Z':
                check_free(t, pid)
        check_text(t, server.pid)
        server.send_signal(signal.SIGINT)  # fast shutdown
        t.equal(server.wait(30), 0, 'exit of postgres')
