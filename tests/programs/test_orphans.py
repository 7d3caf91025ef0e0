# SPDX-License-Identifier: BSD-2-Clause
"""A stopped command as the last member of an interactive shell's job: when tether is killed the kernel finds the
process group orphaned and sends it SIGHUP and SIGCONT, and neither may reach what is to stay stopped."""
import os
import pathlib
import signal
import time

from terminal import CTRL_Z
from test_terminal import WAITS, run, shell_for, state, wait_for


def tracer(pid):
    status = pathlib.Path(f'/proc/{pid}/status').read_text()
    return int(status.split('TracerPid:', 1)[1].split()[0])


def stays_stopped(t, victim):
    wait_for(t, 'nobody traces it', lambda: state(victim) and tracer(victim) == 0)
    wait_for(t, 'it is stopped', lambda: state(victim) == 'T')
    # Both signals of the kernel were sent when tether ended: what they did would show by now.
    end = time.monotonic() + 0.3
    while time.monotonic() < end:
        t.equal(state(victim), 'T')
        time.sleep(0.02)


def stop_and_kill_tether(t, shell):
    victim = int(shell.expect(r'pid-(\d+)')[1])
    shell.type(CTRL_Z)
    shell.expect('Stopped')
    shell.prompt()
    tether = int(shell.do('jobs -p'))
    os.kill(tether, signal.SIGKILL)
    wait_for(t, 'tether has ended', lambda: state(tether) in ('', 'Z'))
    return victim


THREADS = '''
import os, threading, time
def wait():
    while not os.path.exists("go"):
        time.sleep(0.02)
for _ in range(6):
    threading.Thread(target=wait).start()
print("pid-%d" % os.getpid(), flush=True)
wait()
'''


def test_the_last_of_a_job_stays_stopped_when_tether_is_killed(t):
    pathlib.Path('threads.py').write_text(THREADS)
    for work in (WAITS, '/usr/bin/python3 threads.py'):
        with shell_for(t) as shell:
            shell.start(run(work, '-q --on-exit=run'))
            victim = stop_and_kill_tether(t, shell)
            stays_stopped(t, victim)
            os.kill(victim, signal.SIGCONT)
            wait_for(t, 'it runs', lambda: state(victim) in ('S', 'R'))
            # And lives on: the kernel's SIGHUP was not kept for it.
            end = time.monotonic() + 0.5
            while time.monotonic() < end:
                t.check(state(victim) in ('S', 'R', 'D'), f'it is in state {state(victim)!r}')
                time.sleep(0.02)
            os.kill(victim, signal.SIGKILL)
            wait_for(t, 'it has ended', lambda: state(victim) == '')


def test_the_kernel_hangs_up_the_last_of_a_stopped_job(t):
    """The witness: without tether the last member of such a job gets both signals, and dies of the first."""
    with shell_for(t) as shell:
        shell.start(f"sh -c '{WAITS.replace(chr(39), chr(39) + chr(92) + chr(39) + chr(39))} & wait'")
        victim = int(shell.expect(r'pid-(\d+)')[1])
        shell.type(CTRL_Z)
        shell.expect('Stopped')
        shell.prompt()
        wait_for(t, 'it is stopped too', lambda: state(victim) == 'T')
        os.kill(int(shell.do('jobs -p')), signal.SIGKILL)
        wait_for(t, 'it has ended', lambda: state(victim) in ('', 'Z'))


def test_a_stopped_job_that_somebody_else_holds_can_be_fetched_after_the_holder_was_killed(t):
    with shell_for(t) as shell, shell_for(t) as other:
        shell.start(WAITS)
        victim = int(shell.expect(r'pid-(\d+)')[1])
        shell.type(CTRL_Z)
        shell.expect('Stopped')
        shell.prompt()
        other.start(f'$TETHER attach --color=never -e grab,release -p {victim}')
        other.expect('grab ')
        os.kill(tether_of(victim), signal.SIGKILL)
        other.prompt()
        stays_stopped(t, victim)
        t.check('Stopped' in shell.do('jobs'), 'jobs shows it')
        pathlib.Path('go').touch()
        shell.start('fg')
        shell.prompt()
        t.equal(shell.status(), 6)


def tether_of(victim):
    """The client that was told to attach to it."""
    for entry in pathlib.Path('/proc').iterdir():
        if not entry.name.isdigit():
            continue
        try:
            line = (entry / 'cmdline').read_bytes().split(b'\0')
        except OSError:
            continue
        if b'attach' in line and str(victim).encode() in line:
            return int(entry.name)
    raise AssertionError('no tether attach')
