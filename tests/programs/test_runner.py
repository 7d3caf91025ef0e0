# SPDX-License-Identifier: BSD-2-Clause
"""The runner itself: it must see a failure, a hang, a leak, and an empty run."""
import re
import sys
import textwrap

from tether_test import timeout

MOSTLY_WAITS = True  # until something has hung long enough


def run_runner(t, source, *options):
    folder = t.tmp / 'cases'
    folder.mkdir()
    (folder / 'test_case.py').write_text('from tether_test import timeout\n' + textwrap.dedent(source))
    result = t.run([sys.executable, '-B', t.source / 'run.py', '--build', t.build, '--folder', folder, *options],
                   env={'TMPDIR': str(t.tmp)})
    out = result.stdout.decode()
    last = out.splitlines()[-1]
    t.check(re.fullmatch(r'\d+ passed, \d+ failed, \d+ skipped', last), f'last line: {last!r}\n{result.stderr.decode()}')
    return result.returncode, out, last


def test_a_passing_test_is_counted(t):
    code, out, last = run_runner(t, """
        def test_fine(t):
            t.equal(1, 1)
    """)
    t.equal((code, last), (0, '1 passed, 0 failed, 0 skipped'), out)
    t.check(re.search(r'^# kernel \S+, Yama scope \S+, user \S+$', out, re.MULTILINE), out)


def test_a_failing_test_is_seen_and_its_log_is_shown(t):
    code, out, last = run_runner(t, """
        def test_wrong(t):
            t.equal('a\\nb', 'a\\nc')
        def test_raises(t):
            raise ValueError('an error of its own')
    """)
    t.equal((code, last), (1, '0 passed, 2 failed, 0 skipped'), out)
    t.check('    -c' in out and '    +b' in out and 'an error of its own' in out, out)


def test_a_skipped_test_says_what_is_missing(t):
    code, out, last = run_runner(t, """
        def test_skips(t):
            t.skip('no moon tonight')
    """)
    t.equal((code, last), (0, '0 passed, 0 failed, 1 skipped'), out)
    t.check('# SKIP no moon tonight' in out, out)


def test_a_hanging_test_is_ended(t):
    code, out, last = run_runner(t, """
        @timeout(1)
        def test_hangs(t):
            t.run(['sleep', '1000'])
    """)
    t.equal((code, last), (1, '0 passed, 1 failed, 0 skipped'), out)
    t.check('not finished after 1 s' in out, out)


def test_a_process_left_behind_is_found_and_killed(t):
    mark = '31415.9'
    code, out, last = run_runner(t, f"""
        import subprocess
        def test_leaks(t):
            subprocess.Popen(['setsid', 'sh', '-c', 'sleep {mark} & sleep {mark}'], stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
    """)
    t.equal((code, last), (1, '0 passed, 1 failed, 0 skipped'), out)
    t.check('left behind: ' in out and 'sleep' in out, out)
    t.check(t.run(['pgrep', '-f', f'^sleep {mark}']).returncode == 1, 'it still lives')


def test_a_child_that_ends_by_itself_in_time_is_no_leak(t):
    code, out, last = run_runner(t, """
        import subprocess
        def test_slow_end(t):
            subprocess.Popen(['sleep', '0.5'])
    """)
    t.equal((code, last), (0, '1 passed, 0 failed, 0 skipped'), out)


def test_a_test_killed_by_a_signal_fails(t):
    code, out, last = run_runner(t, """
        import os, signal
        def test_dies(t):
            os.kill(os.getpid(), signal.SIGSEGV)
    """)
    t.equal((code, last), (1, '0 passed, 1 failed, 0 skipped'), out)
    t.check('ended by signal 11' in out, out)


def test_a_run_of_no_test_fails(t):
    code, out, last = run_runner(t, '', '--filter', 'nothing-has-this-name')
    t.equal((code, last), (1, '0 passed, 0 failed, 0 skipped'), out)


@timeout(60)
def test_tests_run_side_by_side_keep_their_own_leaks(t):
    code, out, last = run_runner(t, """
        import subprocess, time
        def test_a_leaks(t):
            subprocess.Popen(['sleep', '2718.2'])
        def test_b_fine(t):
            time.sleep(0.5)
        def test_c_fine(t):
            time.sleep(0.5)
    """, '--jobs', '3')
    t.equal((code, last), (1, '2 passed, 1 failed, 0 skipped'), out)
    t.check(re.search(r'not ok \d+ - case:a_leaks', out), out)
