# SPDX-License-Identifier: BSD-2-Clause
"""Bad input to the command, set-id programs, and clients inside a user namespace."""
import json
import os
import pathlib
import shutil
import subprocess

from processes import check_free, eventually, running, status

NOBODY = 65534


def as_nobody(t):
    """Words that make a command an ordinary user's; nothing for who is one."""
    if os.getuid():
        return []
    t.tmp.chmod(0o777)
    return [t.need('setpriv'), f'--reuid={NOBODY}', f'--regid={NOBODY}', '--clear-groups', '--']


def ask(t, before, *words, **options):
    """Run the command as another, with records to a file: (result, records)."""
    path = t.tmp / f'records-{sum(1 for _ in t.tmp.glob("records-*"))}'
    path.touch()
    path.chmod(0o666)
    result = t.run([*before, *t.tether, words[0], '--format=jsonl', '-o', path, *map(str, words[1:])], **options)
    return result, t.records(path)


def of_kind(records, *kinds):
    return [record for record in records if record['event'] in kinds]


# ---- refusals --------------------------------------------------------------------------------------------


def check_refusal(t, command, pid, code, cause, cure):
    """In records and in the one line for people: the stable name, the cause and the cure."""
    result, records = ask(t, [], command, '-p', pid)
    t.equal(result.returncode, 125, f'{command} {pid}')
    errors = of_kind(records, 'error')
    t.equal([error['code'] for error in errors], [code], f'{command} {pid}')
    t.check(str(pid) in errors[0]['message'] and cause in errors[0]['message'], errors)
    t.check(cure in errors[0]['cure'], errors)
    result = t.run([*t.tether, command, '-p', str(pid)])
    text = result.stderr.decode()
    t.equal(result.returncode, 125, f'{command} {pid}')
    t.check(text.startswith('tether: ') and text.count('\n') == 1, text)
    t.check(all(word in text for word in (str(pid), cause, cure)), text)


def test_each_refusal_names_cause_and_cure(t):
    dead = subprocess.Popen(['true'])
    t.check(eventually(lambda: status(dead.pid).get('State', '?')[0] == 'Z'), 'it does not end')
    for command in ('hold', 'resume', 'attach', 'libs'):
        check_refusal(t, command, dead.pid, 'EZOMBIE', 'it has ended', '')
    dead.wait()
    for command in ('hold', 'resume', 'attach', 'libs', 'wait'):
        check_refusal(t, command, 4194303, 'EGONE', 'there is no process', 'check the pid')
    with running(t, [t.victim('threads'), 'steady', '2'], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        t.equal(process.stdout.readline(), b'ready\n')
        tid = max(int(tid) for tid in os.listdir(f'/proc/{process.pid}/task'))
        for command in ('hold', 'resume', 'attach', 'libs', 'wait'):
            check_refusal(t, command, tid, 'ETHREAD', f'a thread of process {process.pid}', f'give the pid {process.pid}')
        strace = shutil.which('strace')
        if strace:
            with running(t, [strace, '-f', '-qq', '-o', '/dev/null', '-p', str(process.pid)]) as tracer:
                t.check(eventually(lambda: status(process.pid)['TracerPid'].strip() == str(tracer.pid)), 'strace does not attach')
                for command in ('hold', 'attach'):
                    check_refusal(t, command, process.pid, 'ETRACED', f'by strace, pid {tracer.pid}', 'detach from it first')
        check_free(t, process.pid)
    comm = pathlib.Path('/proc/2/comm')
    if comm.exists() and comm.read_text() == 'kthreadd\n':
        for command in ('hold', 'attach', 'libs'):
            check_refusal(t, command, 2, 'EKTHREAD', 'a thread of the kernel', '')


def test_tether_itself_is_refused(t):
    for command in ('hold', 'attach', 'libs'):
        result = t.run(['sh', '-c', 'exec "$@" -p $$', 'sh', *t.tether, command])
        text = result.stderr.decode()
        t.equal(result.returncode, 125, command)
        t.check('the process that asks' in text and 'from another process' in text and text.count('\n') == 1, text)


def test_of_the_tree_that_tether_stands_in_all_but_itself_is_followed(t):
    path = t.tmp / 'records'
    script = 'sleep 1000 & child=$!; "$@" -p $$ & wait $!; echo $? $$ $child; kill $child'
    result = t.run(['sh', '-c', script, 'sh', *t.tether, 'attach', '--tree', '--format=jsonl', '-o', path, '-e', 'grab',
                    '--timeout=0.3'])
    ended, shell, child = (int(word) for word in result.stdout.split())
    t.equal((ended, result.stderr), (124, b''))
    t.equal(sorted(record['pid'] for record in of_kind(t.records(path), 'grab')), sorted([shell, child]))


def longest(argument):
    """The most bytes of arguments with which execve(2) still works, in words of 100 kB."""
    def words(length):
        return ['x' * 100000] * (length // 100000) + ['x' * (length % 100000)]
    low, high = 0, 8 << 20
    while high - low > 1:
        middle = (low + high) // 2
        try:
            subprocess.run([*argument, *words(middle)], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            low = middle
        except OSError:
            high = middle
    return words(low)


def test_an_argument_list_that_the_script_makes_too_long(t):
    """What tether itself still got is too long with the interpreter's own words before it."""
    folder = t.tmp / ('i' * 150)
    folder.mkdir()
    (folder / 'sh').symlink_to(t.need('sh'))
    script = t.tmp / 'script'
    script.write_text(f'#!{folder}/sh {"-" + "e" * 60}\nexit 0\n')
    script.chmod(0o755)
    command = [*t.tether, 'run', '-q', '--', './script']
    words = longest([*t.tether, 'nonesuch', '--', './script'])
    result = t.run([*command, *words[:-1], words[-1][:-8]])
    text = result.stderr.decode()
    t.equal(result.returncode, 126, text[:500])
    t.check(all(word in text for word in ('./script', 'too long', 'pass less')) and text.count('\n') == 1, text[:500])


def test_attach_says_where_its_records_cannot_go_and_lets_go(t):
    with running(t, ['sleep', '1000']) as process:
        for path, cause, cure in (('/no/such/folder/file', 'No such file', ''), (str(t.tmp), 'Is a directory', ''),
                                  ('/dev/full', 'No space left', '')):
            result = t.run([*t.tether, 'attach', '--timeout=20', '-o', path, '-p', str(process.pid)], timeout=15)
            text = result.stderr.decode()
            t.equal(result.returncode, 125, path)
            t.check(f"'{path}': {cause}" in text and cure in text and text.count('\n') == 1, text)
            check_free(t, process.pid)
            t.equal(process.poll(), None)


# ---- set-id programs -------------------------------------------------------------------------------------


SHOW_IDS = r"""
#include <stdio.h>
#include <unistd.h>
int main(void)
{
	printf("%d %d %d %d\n", getuid(), geteuid(), getgid(), getegid());
	fflush(stdout);
	while (getchar() != EOF)
		;
	return 7;
}
"""


def set_id_program(t, mode):
    if os.getuid():
        t.skip('needs root to make a set-id program')
    source, program = t.tmp / 'ids.c', t.tmp / 'ids'
    source.write_text(SHOW_IDS)
    t.equal(t.run([t.need('cc', 'gcc'), '-o', program, source]).returncode, 0, 'cc')
    t.tmp.chmod(0o777)
    program.chmod(mode)
    if t.run([*as_nobody(t), program]).stdout.split()[1:2] != [b'0'] and mode & 0o4000:
        t.skip('the file system is mounted nosuid')
    return program


def check_suppressed(t, command, path, ids, code):
    """Whoever asks a program to run under a tracer gets it without the rights of its file, and is told."""
    result, records = ask(t, as_nobody(t), 'run', '--', *command)
    t.equal((result.returncode, result.stdout, result.stderr), (code, ids, b''), command)
    execs = [r for r in of_kind(records, 'exec') if r['path'] == path]
    t.equal([r['suppressed'] for r in execs], [True], command)
    t.equal([r['suppressed'] for r in of_kind(records, 'exec') if r['path'] != path],
            [False] * (len(of_kind(records, 'exec')) - 1))
    t.equal(of_kind(records, 'lost', 'error'), [])


def test_a_set_id_program_of_an_ordinary_user_runs_with_the_users_ids_and_is_told(t):
    for mode, untraced in ((0o4755, f'{NOBODY} 0 {NOBODY} {NOBODY}'), (0o2755, f'{NOBODY} {NOBODY} {NOBODY} 0'),
                           (0o6755, f'{NOBODY} 0 {NOBODY} 0')):
        program = set_id_program(t, mode)
        result = t.run([*as_nobody(t), program])
        t.equal((result.returncode, result.stdout.decode()), (7, untraced + '\n'), f'untraced, mode {mode:o}')
        ids = f'{NOBODY} {NOBODY} {NOBODY} {NOBODY}\n'.encode()
        check_suppressed(t, [program], str(program), ids, 7)
        check_suppressed(t, ['sh', '-c', f'{program}; exit $?'], str(program), ids, 7)
        program.unlink()


def test_a_set_id_program_of_root_runs_as_ever(t):
    program = set_id_program(t, 0o6755)
    os.chown(program, 1, 2)
    program.chmod(0o6755)
    t.equal(t.run([program]).stdout, b'0 1 0 2\n', 'untraced')
    for command in ([program], ['sh', '-c', f'{program}; exit $?']):
        result, records = ask(t, [], 'run', '--', *command)
        t.equal((result.returncode, result.stdout, result.stderr), (7, b'0 1 0 2\n', b''), command)
        t.check(not any(r['suppressed'] for r in of_kind(records, 'exec')), records)
        t.equal(of_kind(records, 'lost', 'error'), [])
        t.check(any(r['path'].endswith('ids') for r in of_kind(records, 'exec')), records)
        t.equal(len(of_kind(records, 'main')), len(of_kind(records, 'exec')), 'programs whose main was seen')


def test_a_set_id_program_that_may_not_be_read_runs_all_the_same(t):
    program = set_id_program(t, 0o4711)
    result, records = ask(t, as_nobody(t), 'run', '--', 'sh', '-c', f'{program}; exit $?')
    t.equal((result.returncode, result.stdout, result.stderr),
            (7, f'{NOBODY} {NOBODY} {NOBODY} {NOBODY}\n'.encode(), b''))
    lost = of_kind(records, 'lost')
    t.check(len(lost) == 1 and 'exec' in json.dumps(lost), records)
    result, records = ask(t, [], 'run', '--', program)
    t.equal((result.returncode, result.stdout), (7, b'0 0 0 0\n'), 'for root')
    t.equal(of_kind(records, 'lost'), [])


def test_a_running_set_id_program_is_refused_to_the_user_and_held_by_root(t):
    program = set_id_program(t, 0o4755)
    with running(t, [*as_nobody(t), program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        t.equal(process.stdout.readline().decode(), f'{NOBODY} 0 {NOBODY} {NOBODY}\n')
        for command in ('attach', 'hold', 'libs'):
            result, records = ask(t, as_nobody(t), command, '-p', process.pid)
            errors = of_kind(records, 'error')
            t.equal((result.returncode, [error['code'] for error in errors]), (125, ['EPRIV']), command)
            t.check('set-id' in errors[0]['message'] and 'CAP_SYS_PTRACE' in errors[0]['cure'], errors)
        result, records = ask(t, [], 'hold', '-p', process.pid)
        t.equal((result.returncode, len(of_kind(records, 'stop'))), (0, 1))
        t.equal(ask(t, [], 'resume', '-p', process.pid)[0].returncode, 0)
        check_free(t, process.pid)
        process.stdin.close()
        t.equal(process.wait(20), 7)


# ---- inside a user namespace -----------------------------------------------------------------------------


def check_client_inside(t, user):
    inside = [*user, t.need('unshare'), '-Ur', '--']
    if t.run([*inside, 'true']).returncode:
        t.skip('user namespaces are not allowed here')
    result, records = ask(t, inside, 'run', '--', 'sh', '-c', 'id -u; ls /nonesuch 2>/dev/null; exit 5')
    t.equal((result.returncode, result.stdout, result.stderr), (5, b'0\n', b''))
    t.equal([r['suppressed'] for r in of_kind(records, 'exec')], [False] * 3)
    t.equal(len(of_kind(records, 'exit')), 3)
    t.equal(of_kind(records, 'lost', 'error'), [])
    # Its own child, by each command, and the child's word that it goes on.
    tether = ' '.join(t.tether)
    script = f'''
sh -c 'echo ready; read line; echo $line; exit 3' <&3 & child=$!
exec 3<&-
{tether} hold -q -p $child; echo hold $?
grep State /proc/$child/status
{tether} resume -q -p $child; echo resume $?
{tether} libs -p $child 2>&1 | grep -c libc; echo libs
{tether} doctor -q -p $child; echo doctor $?
{tether} attach -q --timeout=0.2 -p $child; echo attach $?
grep TracerPid /proc/$child/status
echo line >&4; exec 4>&-
wait $child; echo exit $?
'''
    (t.tmp / 'fifo').unlink(missing_ok=True)
    os.mkfifo(t.tmp / 'fifo')
    (t.tmp / 'fifo').chmod(0o666)
    result = t.run([*inside, 'bash', '-c', f'exec 3<>fifo 4<>fifo\n{script}'])
    words = result.stdout.decode().split('\n')
    words.remove('ready')
    t.equal((words, result.stderr.decode()),
            (['hold 0', 'State:\tT (stopped)', 'resume 0', '1', 'libs', 'doctor 0', 'attach 124', 'TracerPid:\t0', 'line', 'exit 3', ''], ''))


def test_an_ordinary_client_inside_a_user_namespace_holds_its_own_children(t):
    check_client_inside(t, as_nobody(t))


def test_a_client_of_roots_inside_a_user_namespace_holds_its_own_children(t):
    if os.getuid():
        t.skip('needs root')
    check_client_inside(t, [])
    # A set-id program of a user whom the namespace does not know is executed without that user's rights.
    inside = [t.need('unshare'), '-Ur', '--']
    program = set_id_program(t, 0o4755)
    os.chown(program, 1, 0)
    program.chmod(0o4755)
    untraced = t.run([*inside, program])
    result, _ = ask(t, inside, 'run', '--', program)
    t.equal((result.returncode, result.stdout), (untraced.returncode, untraced.stdout), 'ids in a user namespace')
