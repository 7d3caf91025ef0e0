# SPDX-License-Identifier: BSD-2-Clause
"""What a Python test gets: `def test_behaviour(t)` in a file test_*.py beside this folder.

    from tether_test import timeout

    @timeout(60)
    def test_exit_status_is_the_victims_own(t):
        result = t.run([*t.tether, 'run', '--', 'sh', '-c', 'exit 3'])
        t.equal(result.returncode, 3)

t.tether      the command, as a list of arguments to begin with
t.build       build folder (pathlib)      t.source   folder of the tests
t.tmp         a fresh folder, removed after the test; also TMPDIR and HOME of what the test runs
t.run(cmd)    run to the end: CompletedProcess with bytes; kills the group after its time-out
t.skip(why)   end the test as skipped     t.fail(why), t.equal(got, expected, what)
t.victim(n)   path of a program or library of tests/victims
t.need(prog)  path of a program, or skip

A test runs in a process of its own; the runner (run.py) looks after it for processes, zombies and tracers
left behind.
"""
import ast
import difflib
import importlib.util
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import traceback

SKIPPED = 77


def timeout(seconds):
    """How long this test may take; 60 without it. Read from the source by the runner, which imports nothing."""
    def mark(function):
        function.seconds = seconds
        return function
    return mark


def alone(function):
    """No other test may run beside this one. Read from the source by the runner too."""
    return function


def tests_in(path):
    """(name, seconds, alone, waits) of each test function of a file, in order. waits: a file that says MOSTLY_WAITS = True."""
    tree = ast.parse(path.read_text(), str(path))
    waits = any(isinstance(node, ast.Assign) and getattr(node.targets[0], 'id', '') == 'MOSTLY_WAITS' for node in tree.body)
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef) or not node.name.startswith('test_'):
            continue
        seconds = 60
        marks = {getattr(decorator, 'id', '') for decorator in node.decorator_list}
        for decorator in node.decorator_list:
            if isinstance(decorator, ast.Call) and getattr(decorator.func, 'id', '') == 'timeout':
                seconds = ast.literal_eval(decorator.args[0])
        yield node.name, seconds, 'alone' in marks, waits and 'alone' not in marks


class Skipped(Exception):
    pass


class Failed(Exception):
    pass


def difference(expected, got, limit=60):
    """A unified diff of two values; lists and bytes are compared line by line."""
    def lines(value):
        if isinstance(value, bytes):
            value = value.decode('utf-8', 'backslashreplace')
        if isinstance(value, str):
            return value.splitlines()
        if isinstance(value, (list, tuple)):
            return [repr(item) for item in value]
        return [repr(value)]
    rows = list(difflib.unified_diff(lines(expected), lines(got), 'expected', 'got', lineterm='', n=2))
    if len(rows) > limit:
        rows[limit:] = [f'... {len(rows) - limit} more lines']
    return '\n'.join(rows)


class Test:
    def __init__(self, build, tmp):
        self.build = pathlib.Path(build)
        self.source = pathlib.Path(__file__).resolve().parent.parent
        self.tmp = pathlib.Path(tmp)
        self.tether = [str(self.build / 'tools' / 'tether')]
        self.slow = float(os.environ.get('TETHER_TEST_SLOW', '1'))
        self.sanitizer = os.environ.get('TETHER_TEST_SANITIZER', '')

    def skip(self, why):
        raise Skipped(why)

    def fail(self, why):
        raise Failed(why)

    def check(self, condition, why):
        if not condition:
            raise Failed(why)

    def equal(self, got, expected, what='value'):
        if got != expected:
            raise Failed(f'{what} differs\n{difference(expected, got)}')

    def need(self, *programs):
        """Path of the first that is installed."""
        for program in programs:
            path = shutil.which(program)
            if path:
                return path
        self.skip(f'{programs[0]} is not installed')

    def victim(self, name):
        return str(self.build / 'tests' / 'victims' / name)

    def run(self, cmd, timeout=50, env=None, **options):
        """env adds to the environment (None as a value takes away). stdin is empty unless input or stdin is given."""
        environment = dict(os.environ)
        for key, value in (env or {}).items():
            if value is None:
                environment.pop(key, None)
            else:
                environment[key] = value
        if 'input' not in options:
            options.setdefault('stdin', subprocess.DEVNULL)
        else:
            options['stdin'] = subprocess.PIPE
        data = options.pop('input', None)
        options.setdefault('stdout', subprocess.PIPE)
        options.setdefault('stderr', subprocess.PIPE)
        options.setdefault('cwd', self.tmp)
        process = subprocess.Popen([os.fspath(word) for word in cmd], env=environment, start_new_session=True,
                                   **options)
        try:
            out, err = process.communicate(data, timeout=timeout * self.slow)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            raise Failed(f'not finished after {timeout * self.slow:g} s: {cmd}\n'
                         f'{(err or b"")[-2000:].decode("utf-8", "backslashreplace")}') from None
        return subprocess.CompletedProcess(cmd, process.returncode, out, err)

    def traced(self, cmd, *options, **how):
        """Run cmd under `tether run --format=jsonl`: (CompletedProcess, list of records)."""
        number = sum(1 for _ in self.tmp.glob('records-*.jsonl'))
        path = self.tmp / f'records-{number}.jsonl'
        result = self.run([*self.tether, 'run', '--format=jsonl', '-o', path, *options, '--', *cmd], **how)
        return result, self.records(path)

    def records(self, path):
        """Parse a file of records; every line must be an object."""
        records = []
        for number, line in enumerate(pathlib.Path(path).read_bytes().splitlines(), 1):
            try:
                record = json.loads(line)
            except ValueError as error:
                raise Failed(f'record {number} is no JSON: {error}: {line[:300]!r}') from None
            if not isinstance(record, dict):
                raise Failed(f'record {number} is no object: {line[:300]!r}')
            records.append(record)
        return records


def main():
    """tether_test.py FILE FUNCTION BUILD TMP: run one test."""
    path, name, build, tmp = sys.argv[1:5]
    sys.path.insert(0, str(pathlib.Path(path).parent))
    # A test imports `tether_test`, this very module: one copy, or its exceptions would be strangers.
    sys.modules['tether_test'] = sys.modules['__main__']
    spec = importlib.util.spec_from_file_location(pathlib.Path(path).stem, path)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        getattr(module, name)(Test(build, tmp))
    except Skipped as skipped:
        print(f'skip: {skipped}', file=sys.stderr)
        sys.exit(SKIPPED)
    except Failed as failed:
        frames = [f for f in traceback.extract_tb(failed.__traceback__) if f.filename != __file__]
        where = f'{pathlib.Path(frames[-1].filename).name}:{frames[-1].lineno}: ' if frames else ''
        print(f'{where}{failed}', file=sys.stderr)
        sys.exit(1)


if __name__ == '__main__':
    main()
