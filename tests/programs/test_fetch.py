# SPDX-License-Identifier: BSD-2-Clause
"""Debug files from a debuginfod server: only when asked for, and when nobody is held."""
import contextlib
import ctypes
import http.server
import os
import pathlib
import re
import threading
import time

from test_names import running
from tether_test import timeout

SOURCE = """#include <unistd.h>
static __attribute__((noinline)) int only_the_server_knows(int n)
{
\tint got = pause();
\treturn got + n;
}
int main(void)
{
\treturn only_the_server_knows(1) + only_the_server_knows(2);
}
"""


class Server:
    """/buildid/ID/debuginfo of the files that it was given, and what was asked for."""

    def __init__(self, files, silent=False):
        self.files, self.asked, self.victim, self.tracers = files, [], None, []
        self.let_go = threading.Event()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(handler):
                self.asked.append(handler.path)
                if self.victim:
                    status = pathlib.Path(f'/proc/{self.victim}/status').read_text()
                    self.tracers.append(re.search(r'^TracerPid:\s*(\d+)', status, re.M)[1])
                if silent:
                    self.let_go.wait()
                data = self.files.get(handler.path)
                handler.send_response(200 if data else 404)
                handler.send_header('Content-Length', str(len(data or b'')))
                handler.end_headers()
                handler.wfile.write(data or b'')

            def log_message(handler, *words):
                pass

        self.server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self.url = f'http://127.0.0.1:{self.server.server_port}/'
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def end(self):
        self.let_go.set()
        self.server.shutdown()
        self.server.server_close()


@contextlib.contextmanager
def stripped_victim(t, silent=False):
    """A program without names, that waits in its function; the server that has them; the environment to ask it."""
    try:
        ctypes.CDLL('libdebuginfod.so.1')
    except OSError:
        t.skip('libdebuginfod is not installed')
    path, debug = t.tmp / 'stripped', t.tmp / 'apart.debug'
    (t.tmp / 'a.c').write_text(SOURCE)
    for cmd in ([t.need('gcc', 'cc'), '-O1', '-g', '-Wl,--build-id=sha1', '-o', path, 'a.c'],
                [t.need('objcopy'), '--only-keep-debug', path, debug], [t.need('strip'), '-s', path]):
        t.equal(t.run(cmd, timeout=60).returncode, 0, f'status of {cmd[0]}')
    build_id = re.search(r'Build ID: (\w+)', t.run([t.need('readelf'), '-n', path]).stdout.decode())[1]
    server = Server({f'/buildid/{build_id}/debuginfo': debug.read_bytes()}, silent)
    try:
        with running([str(path)], str(path)) as process:
            while pathlib.Path(f'/proc/{process.pid}/syscall').read_text().split()[0] != '34':
                time.sleep(0.01)
            server.victim = process.pid
            yield process.pid, build_id, server, {'DEBUGINFOD_URLS': server.url, 'DEBUGINFOD_TIMEOUT': '2',
                                                  'DEBUGINFOD_CACHE_PATH': str(t.tmp / 'cache')}
    finally:
        server.end()


@timeout(120)
def test_stacks_are_named_by_a_server_once_their_process_is_let_go(t):
    with stripped_victim(t) as (pid, build_id, server, env):
        for options in ([], ['--lines'], ['--format=jsonl'], ['--still']):
            said = t.run([*t.tether, 'stack', *options, '-p', str(pid)], env=env)
            t.equal(said.returncode, 0, said.stderr.decode())
            t.check('only_the_server_knows' not in said.stderr.decode(), said.stderr.decode())
        t.equal(server.asked, [], 'requests that nobody has asked for')
        for options in ([], ['--lines'], ['--lines', '--format=jsonl'], ['--format=folded'], ['--merge'], ['--still'], ['--rolling']):
            said = t.run([*t.tether, 'stack', '--fetch', *options, '-p', str(pid)], env=env, timeout=60)
            text = said.stderr.decode()
            t.equal(said.returncode, 0, text)
            t.check('only_the_server_knows' in text and 'main' in text, f'{options}: {text}')
            t.check('--lines' not in options or 'a.c' in text, text)
        t.check(f'/buildid/{build_id}/debuginfo' in server.asked, f'{server.asked}')
        t.equal(set(server.tracers), {'0'}, 'tracers of the victim when a request came')
        t.equal(pathlib.Path(f'/proc/{pid}/syscall').read_text().split()[0], '34', 'the call that the victim is in')


@timeout(120)
def test_addresses_and_names_are_told_by_a_server(t):
    with stripped_victim(t) as (pid, build_id, server, env):
        said = t.run([*t.tether, 'sym', '-p', str(pid), 'a.out:only_the_server_knows'], env=env)
        t.equal(said.returncode, 1, said.stderr.decode())
        t.equal(server.asked, [])
        said = t.run([*t.tether, 'sym', '--fetch', '--lines', '-p', str(pid), 'a.out:only_the_server_knows'], env=env, timeout=60)
        t.equal(said.returncode, 0, said.stderr.decode())
        t.check('a.c:3' in said.stderr.decode(), said.stderr.decode())
        t.equal(server.asked.count(f'/buildid/{build_id}/debuginfo'), 1, 'requests for the program')


@timeout(120)
def test_what_keeps_from_fetching_is_said(t):
    with stripped_victim(t) as (pid, _, server, env):
        for command in (['sym', '--fetch', '-p', str(pid), 'a.out:main'], ['stack', '--fetch', '-p', str(pid)]):
            said = t.run([*t.tether, *command], env={'DEBUGINFOD_URLS': None})
            t.equal(said.returncode, 125)
            t.check('cannot fetch debug files' in said.stderr.decode() and 'set DEBUGINFOD_URLS' in said.stderr.decode(),
                    said.stderr.decode())
        t.equal(t.run([*t.tether, 'stack', '--fetch', '--every', '1', '-p', str(pid)], env=env).returncode, 125)
        t.equal(server.asked, [])


@timeout(150)
def test_a_server_that_is_silent_costs_its_time_and_no_more(t):
    with stripped_victim(t, silent=True) as (pid, _, server, env):
        start = time.monotonic()
        said = t.run([*t.tether, 'stack', '--fetch', '-p', str(pid)], env=env, timeout=120)
        t.equal(said.returncode, 0, said.stderr.decode())
        t.check('only_the_server_knows' not in said.stderr.decode() and 'pause' in said.stderr.decode(), said.stderr.decode())
        t.equal(len(set(server.asked)), 1, 'files that a silent server is asked for')
        t.check(time.monotonic() - start < 30, f'{server.asked}, {time.monotonic() - start:.0f} s')
        t.equal(set(server.tracers), {'0'})
