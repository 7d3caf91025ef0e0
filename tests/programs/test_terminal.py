# SPDX-License-Identifier: BSD-2-Clause
"""`tether run` at a real terminal: what the keys and the shell's job control do is what they do without it."""
import os
import pathlib
import re
import shlex
import signal
import time

from terminal import CTRL_BACKSLASH, CTRL_C, CTRL_Z, Shell
from tether_test import timeout


def run(command, options='-q'):
    """TETHER is the command's words, or the lines would be longer than the terminal is wide."""
    return f'$TETHER run {options} -- {command}'


# Ends with 6 once there is a file `go`. It makes no children: one that Ctrl-Z stops between vfork and exec keeps
# its parent from stopping, with or without a tracer.
WAITS = r"""perl -e '$| = 1; print "pid-$$\n"; select undef, undef, undef, 0.02 until -e "go"; exit 6'"""


def shell_for(t, **options):
    return Shell(t, env={'TETHER': shlex.join(t.tether)}, **options)


def wait_for(t, what, condition, seconds=15):
    """No sleep makes it true: it only looks again."""
    deadline = time.monotonic() + seconds * t.slow
    while not condition():
        if time.monotonic() > deadline:
            t.fail(f'not within {seconds} s: {what}')
        time.sleep(0.01)


def state(pid):
    try:
        return pathlib.Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()[0]
    except OSError:
        return ''


def test_ctrl_c_ends_the_command_and_the_status_is_its_signal(t):
    with shell_for(t) as shell:
        shell.start(run("sh -c 'echo st''arted; exec sleep 100'"))
        shell.expect('started')
        shell.type(CTRL_C)
        shell.prompt()
        t.equal(shell.status(), 128 + signal.SIGINT)


def test_ctrl_backslash_too(t):
    with shell_for(t) as shell:
        shell.do('ulimit -c 0')
        shell.start(run("sh -c 'echo st''arted; exec sleep 100'"))
        shell.expect('started')
        shell.type(CTRL_BACKSLASH)
        shell.prompt()
        t.equal(shell.status(), 128 + signal.SIGQUIT)


def test_a_command_that_survives_ctrl_c_goes_on(t):
    with shell_for(t) as shell:
        shell.start(run("""sh -c 'trap "echo cau""ght" INT; echo st''arted; until read line; do :; done; exit 7'"""))
        shell.expect('started')
        shell.type(CTRL_C)
        shell.expect('caught')
        shell.type('a\n')
        shell.prompt()
        t.equal(shell.status(), 7)


def test_ctrl_z_gives_the_prompt_and_fg_goes_on(t):
    with shell_for(t) as shell:
        shell.start(run("sh -c 'echo st''arted; read line; echo got-$line; exit 5'"))
        shell.expect('started')
        shell.type(CTRL_Z)
        shell.expect('Stopped')
        shell.prompt()
        t.check('Stopped' in shell.do('jobs'), 'jobs shows it')
        shell.start('fg')
        shell.type('word\n')
        shell.expect('got-word')
        shell.prompt()
        t.equal(shell.status(), 5)


def test_ctrl_z_twenty_times(t):
    with shell_for(t) as shell:
        shell.start(run("sh -c 'while read line; do echo got-$line; done; exit 5'"))
        shell.stop_and_fetch(20)
        t.equal(shell.status(), 5)


def test_a_stopped_pipeline_is_one_job(t):
    with shell_for(t) as shell:
        shell.start(run("sh -c 'echo st''arted >&2; read line; echo $line'") + ' | sed s/a/b/')
        shell.expect('started')
        shell.type(CTRL_Z)
        shell.expect('Stopped')
        shell.prompt()
        shell.start('fg')
        shell.type('aaa\n')
        shell.expect('baa')
        shell.prompt()


def test_a_background_job_that_reads_is_stopped_and_can_be_fetched(t):
    with shell_for(t) as shell:
        shell.do(run("sh -c 'read line; echo got-$line; exit 4'") + ' &')
        # Until the shell's own wait has seen it, `jobs` may say Running.
        wait_for(t, 'the job is stopped', lambda: 'Stopped' in shell.do('jobs'))
        shell.start('fg')
        shell.type('word\n')
        shell.expect('got-word')
        shell.prompt()
        t.equal(shell.status(), 4)


def test_bg_lets_a_stopped_job_run(t):
    with shell_for(t) as shell:
        shell.start(run(WAITS))
        shell.expect(r'pid-\d+')
        shell.type(CTRL_Z)
        shell.expect('Stopped')
        shell.prompt()
        shell.do('bg')
        (t.tmp / 'go').touch()
        shell.do('wait %1')
        t.equal(shell.status(), 6)


def test_a_command_continued_by_somebody_else_takes_tether_along(t):
    with shell_for(t) as shell:
        shell.start(run(WAITS))
        victim = int(shell.expect(r'pid-(\d+)')[1])
        shell.type(CTRL_Z)
        shell.expect('Stopped')
        shell.prompt()
        (t.tmp / 'go').touch()
        tether = int(shell.do('jobs -p'))
        os.kill(victim, signal.SIGCONT)
        wait_for(t, 'tether has ended', lambda: state(tether) in ('', 'Z'))
        shell.do(f'wait {tether}')
        t.equal(shell.status(), 6)


def test_a_stopped_command_that_is_killed_ends_tether(t):
    with shell_for(t) as shell:
        shell.start(run("sh -c 'echo pid-$$; read line'"))
        victim = int(shell.expect(r'pid-(\d+)')[1])
        shell.type(CTRL_Z)
        shell.expect('Stopped')
        shell.prompt()
        tether = int(shell.do('jobs -p'))
        os.kill(victim, signal.SIGKILL)
        wait_for(t, 'tether has ended', lambda: state(tether) in ('', 'Z'))
        shell.do(f'wait {tether}')
        t.equal(shell.status(), 128 + signal.SIGKILL)


def test_tether_continued_alone_continues_the_command(t):
    with shell_for(t) as shell:
        shell.start(run(WAITS))
        shell.expect(r'pid-(\d+)')
        shell.type(CTRL_Z)
        shell.expect('Stopped')
        shell.prompt()
        (t.tmp / 'go').touch()
        tether = int(shell.do('jobs -p'))
        os.kill(tether, signal.SIGCONT)
        wait_for(t, 'tether has ended', lambda: state(tether) in ('', 'Z'))
        shell.do(f'wait {tether}')
        t.equal(shell.status(), 6)


def test_the_command_is_in_the_foreground_group_of_the_terminal(t):
    show = "python3 -c 'import os; print(\"groups\", os.getpgrp() == os.tcgetpgrp(0), os.isatty(0), os.isatty(2))'"
    with shell_for(t) as shell:
        t.equal(shell.do(run(show)), 'groups True True True\n')


@timeout(90)
def test_vim_edits_stops_and_writes(t):
    vim = t.need('vim', 'vim.basic', 'vim.tiny')
    with shell_for(t) as shell:
        shell.start(run(f'{vim} -u NONE -N -n file.txt'))
        shell.expect('file.txt')
        shell.type('ihello\x1b')
        shell.expect('hello')
        shell.type(CTRL_Z)
        shell.expect('Stopped')
        shell.prompt()
        t.equal(shell.do('echo still a shell'), 'still a shell\n')
        shell.start('fg')
        shell.expect('hello')
        shell.type('A world\x1b:wq\r')
        shell.prompt()
        t.equal(shell.status(), 0)
        t.equal((t.tmp / 'file.txt').read_text(), 'hello world\n')
        # The terminal is as it was: line editing and echo work.
        t.equal(shell.do('stty -a | grep -c "icanon.*\\|isig icanon"'), '1\n')


def test_vim_dies_of_a_killed_terminal_and_keeps_its_swap_file(t):
    vim = t.need('vim', 'vim.basic')
    with shell_for(t) as shell:
        shell.start(run(f'{vim} -u NONE -N file.txt'))
        shell.expect('file.txt')
        shell.type('iprecious\x1b:preserve\r')
        shell.expect('preserved')
        shell.type('aunsaved\x1b')
        shell.expect('unsaved')
    # The terminal is closed: SIGHUP reaches vim, which writes what it has.
    swap = t.tmp / '.file.txt.swp'
    wait_for(t, 'swap file holds the text', lambda: swap.exists() and b'unsaved' in swap.read_bytes())


@timeout(90)
def test_less_takes_ctrl_c_and_ctrl_z(t):
    less = t.need('less')
    (t.tmp / 'text').write_text('\n'.join(f'line-{i}' for i in range(1000)))
    with shell_for(t) as shell:
        shell.start(run(f'{less} text'))
        shell.expect('line-5')
        shell.type(CTRL_C)
        shell.expect('\x07')
        # What is typed while less still handles the signal is dropped by it.
        shell.type_until('G', 'line-999')
        # less may be told between its look at what signals came and its next read.
        shell.type_until(CTRL_Z, 'Stopped')
        shell.prompt()
        shell.start('fg')
        shell.type('gg')
        shell.expect('line-1')
        shell.type('q')
        shell.prompt()
        t.equal(shell.status(), 0)


def test_an_interactive_shell_inside_has_job_control(t):
    with shell_for(t) as shell:
        shell.start(run('bash --norc --noprofile -i'))
        shell.type("PS1='inn''er> '\n")
        shell.expect('inner> ')
        shell.type("sh -c 'echo st''arted; exec sleep 100'\n")
        shell.expect('started')
        shell.type(CTRL_Z)
        shell.expect('Stopped')
        shell.expect('inner> ')
        shell.type('fg\n')
        shell.expect('sleep 100')
        shell.type_until(CTRL_C, 'inner> ')
        shell.type('exit 9\n')
        shell.prompt()
        t.equal(shell.status(), 9)


def test_text_is_coloured_at_a_terminal_and_not_wider(t):
    words = ' '.join(['argument'] * 100)
    with shell_for(t, columns=80) as shell:
        shell.do('unset NO_COLOR COLUMNS; shopt -u checkwinsize')
        coloured = shell.do(run(f'true {words}', '-e exec,exit'))
        t.check('\x1b[' in coloured, coloured)
        plain = re.sub('\x1b\\[[0-9;]*m', '', coloured)
        t.check(all(len(line) <= 80 for line in plain.splitlines()), plain)
        t.check('\x1b[' not in shell.do('NO_COLOR=1 ' + run('true', '-e exec,exit')), 'NO_COLOR is ignored')
        t.check('\x1b[' not in shell.do(run('true', '-e exec,exit --color=never')), '--color=never')


def test_attach_is_let_go_by_ctrl_c(t):
    with shell_for(t) as shell:
        shell.do('sleep 100 & victim=$!')
        shell.start('$TETHER attach --color=never -e grab,release -p $victim')
        shell.expect('grab ')
        shell.type(CTRL_C)
        shell.expect('release')
        shell.prompt()
        t.equal(shell.status(), 0)
        t.check('TracerPid:\t0' in shell.do('cat /proc/$victim/status'), 'it is still traced')
        shell.do('kill $victim; wait $victim')
        t.equal(shell.status(), 128 + signal.SIGTERM)
