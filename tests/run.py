#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Run the tests: unit and live executables of the build folder, and Python tests of tests/*/test_*.py.

Each test runs below a supervisor of its own, a child subreaper: whatever the test starts and loses, however
often it forks or changes its session, comes back to the supervisor and is found. After the test nothing of it
may live: what does not end by itself within a bounded time is named, killed, and fails the test.

    run.py (one) --> supervisor (one a test, PR_SET_CHILD_SUBREAPER) --> the test --> victims, controllers, ...
                       ^ result as JSON                                     orphans ----^

An executable is counted by its TAP lines where it prints some, else by its exit status: 0 passed, 77 skipped.
As root the live and program tests run once more as an ordinary user, from a copy that this user can read.
"""
import argparse
import collections
import ctypes
import dataclasses
import fnmatch
import json
import os
import pathlib
import pwd
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(HERE / 'lib'))
from tether_test import tests_in  # noqa: E402

SKIPPED = 77
SANITIZER_FINDING = 99  # src/base/sanitizer.c
SANITIZED = bool(os.environ.get('TETHER_TEST_SANITIZER'))
PR_SET_CHILD_SUBREAPER = 36
# A released created victim keeps its controller as its parent until it ends; ends take a moment to be seen.
GRACE_SECONDS = 3
LOG_BYTES = 16384
ORDINARY_USER = 'nobody'
ORDINARY_KINDS = ('live', 'program')
# They keep more than one processor busy, and some judge how long a victim stands.
LONELY_KINDS = ('harm',)


@dataclasses.dataclass
class Case:
    name: str
    kind: str       # unit, live, harm, inject, program
    command: list   # {tmp} stands for the test's fresh folder
    seconds: float
    tap: bool = False
    tidy: bool = False  # its folder must be empty afterwards
    alone: bool = False  # no other test beside it
    waits: bool = False  # most of its time: one such runs beside as many others as may run


@dataclasses.dataclass
class Result:
    name: str
    outcome: str    # passed, failed, skipped
    seconds: float = 0
    why: str = ''   # of a skip; the log of a failure


# ---- what there is to run -------------------------------------------------------------------------------


def fewer_tries(command, part):
    """Race loops and injection walks say how often: a part of that, at least once."""
    return [str(-(-int(word) // part)) if before in ('--count', '--tries') else word
            for before, word in zip(['', *command], command)]


def built_cases(build, slow, part):
    """Executables that tests/meson.build declares. Harness executables are asked for their tests."""
    listed = build / 'meson-info' / 'intro-tests.json'
    if not listed.exists():
        sys.exit(f'run.py: {build} is no build folder; run `make` first')
    # In a copy of the build folder the paths are still those of the original.
    original = json.loads((build / 'meson-info' / 'meson-info.json').read_text())['directories']['build']
    for test in json.loads(listed.read_text()):
        kind, *marks = (suite.split(':')[-1] for suite in test['suite'])
        command = [re.sub(f'^{re.escape(original)}(?=/)', str(build), word) for word in test['cmd']]
        if not os.path.exists(command[0]):
            # Silence would look like success.
            yield Case(test['name'], kind, ['false', f'{command[0]} is not built'], 5)
        elif 'harness' in marks:
            for line in subprocess.run([command[0], '--list'], stdout=subprocess.PIPE, text=True,
                                       check=True).stdout.splitlines():
                name, seconds = line.split()
                yield Case(f'{test["name"]}:{name}', kind, [command[0], name], float(seconds) * slow + 10, tidy=True)
        else:
            yield Case(test['name'], kind, fewer_tries(command, part), test['timeout'] * slow, tap=True,
                       alone=kind in LONELY_KINDS and 'waits' not in marks, waits='waits' in marks)


def python_cases(folders, build, slow):
    for folder in folders:
        for path in sorted(folder.resolve().glob('test_*.py')):
            for name, seconds, alone, waits in tests_in(path):
                yield Case(f'{path.stem.removeprefix("test_")}:{name.removeprefix("test_")}', 'program',
                           [sys.executable, '-B', str(HERE / 'lib' / 'tether_test.py'), str(path), name, str(build),
                            '{tmp}'], seconds * slow, alone=alone, waits=waits)


# ---- one test, under its supervisor ---------------------------------------------------------------------


def read_text(path):
    try:
        with open(path, 'rb') as file:
            return file.read().decode('utf-8', 'backslashreplace')
    except OSError:
        return ''


def children_of(pid):
    found = []
    try:
        tasks = os.listdir(f'/proc/{pid}/task')
    except OSError:
        return found
    for task in tasks:
        found += [int(child) for child in read_text(f'/proc/{pid}/task/{task}/children').split()]
    return found


def descendants():
    found, todo = [], [os.getpid()]
    while todo:
        children = children_of(todo.pop())
        found += children
        todo += children
    return found


def reap(findings):
    """Take in what has ended; a controller, whose output nobody sees, tells a sanitizer's finding by its status."""
    try:
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG | 0x40000000)  # __WALL
            if not pid:
                break
            if os.waitstatus_to_exitcode(status) == SANITIZER_FINDING and SANITIZED:
                findings.append(f'process {pid} ended with a sanitizer finding')
    except ChildProcessError:
        pass


def describe(pid):
    status = dict(line.split(':\t', 1) for line in read_text(f'/proc/{pid}/status').splitlines() if ':\t' in line)
    words = read_text(f'/proc/{pid}/cmdline').replace('\0', ' ').strip()
    state = status.get('State', '?').strip()
    tracer = status.get('TracerPid', '0').strip()
    return f'{pid} {status.get("Name", "?").strip()} [{state}]' + (f' traced by {tracer}' if tracer != '0' else '') + \
        (f': {words[:120]}' if words else '')


def left_behind():
    """What of the test still lives after the grace. All of it is killed."""
    findings = []
    deadline = time.monotonic() + GRACE_SECONDS
    reap(findings)
    while descendants() and time.monotonic() < deadline:
        time.sleep(0.01)
        reap(findings)
    left = [f'left behind: {describe(pid)}' for pid in descendants()] + findings
    # Tracers first would let their tracees run; each round kills all there is until none is new.
    for _ in range(1000):
        alive = descendants()
        if not alive:
            break
        for pid in alive:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.01)
        reap(findings)
    return left


def await_end(process, seconds):
    """Exit status of the test, None after its time-out. Other children are reaped too, by no one else."""
    fd = os.pidfd_open(process.pid)
    try:
        if not select.select([fd], [], [], seconds)[0]:
            return None
    finally:
        os.close(fd)
    return process.wait()


def supervise(case, tmp, environment):
    """In a process of its own: run case, return a list of Results."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    work = tmp / 'work'
    work.mkdir()
    log = tmp / 'log'
    begin = time.monotonic()
    environment = dict(environment, TMPDIR=str(work), HOME=str(work), CMOCKA_MESSAGE_OUTPUT='TAP')
    if SANITIZED:
        # The library's control thread has no stderr, and a test may look at what stderr says.
        environment.update({f'{name}_OPTIONS': f'log_path={tmp / "sanitizer"}' for name in ('ASAN', 'TSAN', 'UBSAN')})
    with open(log, 'wb') as output, open(tmp / 'out', 'wb') as out:
        process = subprocess.Popen([word.replace('{tmp}', str(work)) for word in case.command], stdin=subprocess.DEVNULL,
                                   stdout=out if case.tap else output, stderr=output, start_new_session=True,
                                   cwd=work, env=environment)
        status = await_end(process, case.seconds)
        if status is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    left = left_behind()
    if status is None:
        left = []  # said already: it did not come to its end
    seconds = time.monotonic() - begin
    text = read_text(log)
    problems = []
    if status is None:
        problems.append(f'not finished after {case.seconds:g} s')
    elif status < 0:
        problems.append(f'ended by signal {-status}')
    problems += left
    problems += [f'{path.name}:\n{read_text(path)}' for path in sorted(tmp.glob('sanitizer.*'))]
    if case.tidy and status == 0:
        problems += [f'left behind: file {path.name}' for path in work.iterdir()]
    results = tap_results(case, read_text(tmp / 'out'), text) if case.tap else []
    if results and status not in (None, 0) and not any(r.outcome == 'failed' for r in results):
        problems.append(f'exit status {status} though no test failed')
    if not results:
        results = [plain_result(case, status, text, read_text(tmp / 'out') if case.tap else '')]
    if problems:
        results = [r for r in results if r.name != case.name or r.outcome == 'failed'] or results
        note = '\n'.join(problems)
        if results[-1].name == case.name:
            results[-1] = Result(case.name, 'failed', 0, f'{note}\n{text}')
        else:
            results.append(Result(case.name, 'failed', 0, f'{note}\n{text}'))
    results[0].seconds = seconds
    return results


def plain_result(case, status, log, out):
    if status == 0:
        return Result(case.name, 'passed')
    if status == SKIPPED:
        reasons = re.findall(r'^skip: (.*)', log + out, re.MULTILINE)
        return Result(case.name, 'skipped', why=reasons[-1] if reasons else 'no reason given')
    if case.command[0] == 'false':
        return Result(case.name, 'failed', why=case.command[1])
    return Result(case.name, 'failed', why=out + log)


def tap_results(case, out, log):
    """Results of the TAP lines; a plan that was not fulfilled is a failure of its own."""
    results, plan = [], None
    for line in out.splitlines():
        match = re.match(r'1\.\.(\d+)$', line)
        if match:
            plan = int(match[1])
        match = re.match(r'(not )?ok \d+ *(# SKIP)? *-? *(.*?)( # SKIP.*)?$', line)
        if not match:
            continue
        name = f'{case.name}:{match[3]}'
        if match[2] or match[4]:
            results.append(Result(name, 'skipped', why=(match[4] or '').removeprefix(' # SKIP').strip()))
        else:
            results.append(Result(name, 'failed' if match[1] else 'passed', why=out + log if match[1] else ''))
    if plan is not None and plan != len(results):
        results.append(Result(f'{case.name}:plan', 'failed', why=f'{len(results)} of {plan} tests reported\n{out}{log}'))
    return results


def start_supervisor(case, environment):
    """Fork a supervisor; (pid, pipe to read its results from, its folder)."""
    # Not below TMPDIR of a test that runs this runner, and in reach of an ordinary user.
    tmp = pathlib.Path(tempfile.mkdtemp(prefix='tether-test-'))
    tmp.chmod(0o755)
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid:
        os.close(write_end)
        return pid, read_end, tmp
    try:
        os.close(read_end)
        try:
            results = supervise(case, tmp, environment)
        except Exception as error:  # the report must come, whatever went wrong
            left_behind()
            results = [Result(case.name, 'failed', why=f'the runner itself failed: {error!r}')]
        with os.fdopen(write_end, 'w') as pipe:
            json.dump([dataclasses.asdict(result) for result in results], pipe)
    finally:
        os._exit(0)


# ---- all tests ------------------------------------------------------------------------------------------


class Report:
    def __init__(self, prefix=''):
        self.prefix = prefix
        self.counts = collections.Counter()
        self.failed = []

    def add(self, result):
        self.counts[result.outcome] += 1
        number = sum(self.counts.values())
        took = f' ({result.seconds:.1f} s)' if result.seconds >= 1 else ''
        word = 'not ok' if result.outcome == 'failed' else 'ok'
        skip = f' # SKIP {result.why}' if result.outcome == 'skipped' else ''
        print(f'{word} {number} - {self.prefix}{result.name}{took}{skip}')
        if result.outcome == 'failed':
            self.failed.append(self.prefix + result.name)
            text = result.why.rstrip('\n')
            if len(text) > LOG_BYTES:
                text = text[:LOG_BYTES // 2] + '\n[...]\n' + text[-LOG_BYTES // 2:]
            print(''.join(f'    {line}\n' for line in text.splitlines()), end='')
        sys.stdout.flush()


def run_all(cases, jobs, environment, report):
    waiting, running = collections.deque(case for case in cases if not case.waits), {}
    waiters = collections.deque(case for case in cases if case.waits)

    def start(queue, most):
        while queue and sum(case.waits == queue[0].waits for case, *_ in running.values()) < most:
            case = queue.popleft()
            pid, pipe, tmp = start_supervisor(case, environment)
            running[pipe] = (case, pid, tmp, [])

    while waiting or waiters or running:
        start(waiting, jobs)
        # Of those that wait one more than there are jobs, but never two tests where one is wanted.
        if jobs > 1 or not running:
            start(waiters, 1)
        for pipe in select.select(list(running), [], [])[0]:
            case, pid, tmp, pieces = running[pipe]
            piece = os.read(pipe, 65536)
            if piece:
                pieces.append(piece)
                continue
            os.close(pipe)
            os.waitpid(pid, 0)
            del running[pipe]
            try:
                results = [Result(**fields) for fields in json.loads(b''.join(pieces))]
            except ValueError:
                results = [Result(case.name, 'failed', why='its supervisor was killed')]
            for result in results:
                report.add(result)
            shutil.rmtree(tmp, ignore_errors=True)


def controller_of(build):
    """The controller of this build, wherever its room puts it."""
    for path in sorted((build / 'src').rglob('tether-controller')):
        if path.is_file():
            return str(path)
    return ''


def stage_for(user, build):
    """A copy of build and tests that the user can read and owns; the source may be in a closed home."""
    stage = pathlib.Path(tempfile.mkdtemp(prefix='tether-stage-'))
    stage.chmod(0o755)
    skip = shutil.ignore_patterns('*.p', '*.a', '__pycache__', 'meson-logs', 'meson-private')
    shutil.copytree(build, stage / 'build', symlinks=True, ignore=skip)
    shutil.copytree(HERE, stage / 'tests', symlinks=True, ignore=skip)
    for name in ('bench', 'docs', 'examples', 'include'):
        shutil.copytree(HERE.parent / name, stage / name, symlinks=True, ignore=skip)
    for path in HERE.parent.glob('*.md'):
        shutil.copy(path, stage)
    for path in [stage, *stage.rglob('*')]:
        os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)
    return stage


def open_to_all(path):
    """May everybody go through to it? root's own PATH often leads into root's home."""
    path = pathlib.Path(path)
    try:
        return all(folder.stat().st_mode & 0o001 for folder in [path, *path.parents, *path.resolve().parents])
    except OSError:
        return False


def run_as_user(options):
    """The ordinary-user pass: this runner again, from a staged copy; (Counter, names of failed tests)."""
    user = pwd.getpwnam(ORDINARY_USER)
    stage = stage_for(user, options.build)
    counts_file = stage / 'counts.json'
    path = os.pathsep.join(folder for folder in os.environ['PATH'].split(os.pathsep) if open_to_all(folder))
    python = sys.executable if open_to_all(sys.executable) else shutil.which('python3', path=path)
    command = ['setpriv', f'--reuid={user.pw_uid}', f'--regid={user.pw_gid}', '--clear-groups',
               '--inh-caps=-all', '--', python, '-B', str(stage / 'tests' / 'run.py'), '--build',
               str(stage / 'build'), '--inner', str(counts_file), '--jobs', str(options.jobs), '--slow', str(options.slow)]
    for pattern in options.filter:
        command += ['--filter', pattern]
    try:
        subprocess.run(command, cwd=stage, check=False,
                       env={**os.environ, 'HOME': str(stage), 'USER': user.pw_name, 'LOGNAME': user.pw_name,
                            'TMPDIR': '/tmp', 'PATH': path})
        got = json.loads(counts_file.read_text())
        return collections.Counter(got['counts']), got['failed']
    except (OSError, ValueError) as error:
        print(f'not ok - as {ORDINARY_USER}: the pass did not finish: {error}')
        return collections.Counter(failed=1), [f'as {ORDINARY_USER}']
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def machine():
    yama = read_text('/proc/sys/kernel/yama/ptrace_scope').strip() or 'absent'
    return f'# kernel {os.uname().release}, Yama scope {yama}, user {pwd.getpwuid(os.getuid()).pw_name}'


def choose(cases, patterns, kinds):
    def wanted(case):
        if kinds and case.kind not in kinds:
            return False
        return not patterns or any(fnmatch.fnmatch(case.name, f'*{pattern}*') for pattern in patterns)
    return [case for case in cases if wanted(case)]


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--build', type=pathlib.Path, default=HERE.parent / 'build', metavar='DIR')
    parser.add_argument('--filter', action='append', default=[], metavar='GLOB', help='only tests whose name matches')
    parser.add_argument('--kind', action='append', default=[], help='unit, live, harm, inject, program')
    parser.add_argument('--jobs', type=int, default=1, metavar='N', help='tests at a time, but for those that want to be alone')
    parser.add_argument('--list', action='store_true', help='print the names')
    parser.add_argument('--as-user', action='store_true', help=f'only the pass as {ORDINARY_USER} (needs root)')
    parser.add_argument('--no-user-pass', action='store_true', help='as root: leave that pass out')
    parser.add_argument('--slow', type=float, default=1, metavar='FACTOR', help='multiplies every time-out')
    parser.add_argument('--part', type=int, default=1, metavar='N', help='race loops and injection walks: an Nth of their tries')
    parser.add_argument('--folder', action='append', type=pathlib.Path, metavar='DIR',
                        help='only the Python tests of this folder, no executables')
    parser.add_argument('--inner', type=pathlib.Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.build = options.build.resolve()
    return options


def main():
    # A shell without job control has its background jobs ignore the first two, nohup(1) the third, and so would every victim.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    options = parse_options()
    cases = []
    if options.folder:
        cases += python_cases(options.folder, options.build, options.slow)
    else:
        cases += built_cases(options.build, options.slow, options.part)
        cases += python_cases([HERE / 'programs', HERE / 'harm', HERE / 'inject'], options.build, options.slow)
    kinds = options.kind or (ORDINARY_KINDS if options.inner else [])
    cases = choose(cases, options.filter, kinds)
    if options.list:
        print('\n'.join(f'{case.kind} {case.name}' for case in cases))
        return 0
    os.umask(0o022)
    environment = dict(os.environ, TETHER_CONTROLLER=controller_of(options.build), TETHER_TEST_SLOW=str(options.slow),
                       LC_ALL='C.UTF-8')
    report = Report(f'as {pwd.getpwuid(os.getuid()).pw_name}: ' if options.inner else '')
    if not options.as_user:
        run_all([case for case in cases if not case.alone], options.jobs, environment, report)
        run_all([case for case in cases if case.alone], 1, environment, report)
    if options.inner:
        options.inner.write_text(json.dumps({'counts': report.counts, 'failed': report.failed}))
        print(machine())
        return 0
    if os.getuid() == 0 and not options.no_user_pass and not options.folder and \
            (options.as_user or choose(cases, [], ORDINARY_KINDS)):
        counts, failed = run_as_user(options)
        report.counts += counts
        report.failed += failed
    for name in report.failed:
        print(f'# failed: {name}')
    print(machine())
    passed, failed, skipped = (report.counts[word] for word in ('passed', 'failed', 'skipped'))
    print(f'{passed} passed, {failed} failed, {skipped} skipped')
    return 1 if failed or not passed + skipped else 0


if __name__ == '__main__':
    sys.exit(main())
