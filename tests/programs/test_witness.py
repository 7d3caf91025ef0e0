# SPDX-License-Identifier: BSD-2-Clause
"""Programs that nobody here wrote, under tether and beside independent witnesses: see lib/witness.py."""
import os
import pathlib
import re
import shutil
import textwrap

from tether_test import timeout
from witness import Program, check_witnessed

UNPRIVILEGED = 65534


def script(name, text):
    """A set-up that writes one file."""
    def setup(folder):
        (folder / name).write_text(textwrap.dedent(text))
    return setup


def python(t):
    """Not a wrapper of a version manager, which would be one more shell program under test."""
    return '/usr/bin/python3' if os.path.exists('/usr/bin/python3') else os.path.realpath(t.need('python3'))


SHELL_SCRIPT = r"""
    set -e
    greet() { printf 'hello %s\n' "$1"; }
    greet world; (greet subshell; exit 3) || echo "status $?"
    x=$(echo one two three | tr a-z A-Z | sed 's/ /-/g')
    echo "$x" > made.txt; cat made.txt made.txt | wc -l
    for i in 1 2 3; do sort <<END | head -n 1; done
    b$i
    a$i
    END
    sh -c 'echo nested; exec /bin/echo replaced'
    printf '#!/bin/sh\necho "script $0 $*"\n' > inner; chmod +x inner; ./inner one 'two  three' ''
    ls /nonexistent 2>/dev/null || echo "ls failed"
    (sleep 0.05; echo background) & wait
    trap 'echo caught' USR1; kill -USR1 $$
    echo error text >&2
    exit 7
"""


def test_bash(t):
    check_witnessed(t, Program([t.need('bash'), 'script.sh'], script('script.sh', SHELL_SCRIPT)))


def test_dash(t):
    check_witnessed(t, Program([t.need('dash'), 'script.sh'], script('script.sh', SHELL_SCRIPT)))


def test_perl(t):
    check_witnessed(t, Program([t.need('perl'), 'script.pl'], script('script.pl', r"""
        use strict; use warnings;
        use POSIX; use List::Util qw(sum); use Data::Dumper; use Digest::MD5 qw(md5_hex); use Time::HiRes;
        $Data::Dumper::Sortkeys = 1;
        print Dumper({ sum => sum(1 .. 10), md5 => md5_hex("tether"), floor => POSIX::floor(2.5) });
        my $pid = fork(); if ($pid == 0) { print "child\n"; exit 4 } waitpid($pid, 0); print "child ", $? >> 8, "\n";
        system("/bin/echo", "direct"); system("echo through a shell | cat");
        open(my $pipe, "-|", "sort", "-r", $0) or die; my @lines = <$pipe>; close $pipe; print scalar(@lines), "\n";
        open(my $out, ">", "made") or die; print $out "made\n"; close $out;
        kill 'TERM', $$ if 0; exit 5;
    """)))


@timeout(90)
def test_python_with_ssl_and_sqlite(t):
    check_witnessed(t, Program([python(t), '-B', '-S', '-E', 'script.py'], script('script.py', """
        import ssl, sqlite3, hashlib, json, zlib, ctypes
        print(ssl.OPENSSL_VERSION, sqlite3.sqlite_version)
        base = sqlite3.connect('data.sqlite')
        base.execute('create table t (a, b)')
        base.executemany('insert into t values (?, ?)', [(n, str(n) * n) for n in range(100)])
        base.commit()
        print(base.execute('select sum(a), max(length(b)) from t').fetchone())
        print(hashlib.sha256(b'tether').hexdigest())
    """)))


@timeout(120)
def test_python_with_multiprocessing_and_subprocess(t):
    check_witnessed(t, Program([python(t), '-B', '-S', '-E', 'script.py'], script('script.py', """
        import multiprocessing, os, subprocess, sys, threading

        def square(number):
            return number ** 2

        def put(queue, number):
            import decimal  # each child loads it by itself; a pool's worker may get no work
            queue.put(int(decimal.Decimal(number) + 1))

        def main():
            context = multiprocessing.get_context('fork')
            with context.Pool(4) as pool:
                print(pool.map(square, range(40)))
            queue = context.Queue()
            children = [context.Process(target=put, args=(queue, n)) for n in range(3)]
            [child.start() for child in children]
            print(sorted(queue.get() for _ in children), [child.join() for child in children])
            threads = [threading.Thread(target=subprocess.run, args=(['/bin/sh', '-c', f'exit {n}'],)) for n in range(4)]
            [thread.start() for thread in threads]
            [thread.join() for thread in threads]
            print(subprocess.run(['/bin/echo', 'out'], capture_output=True).stdout)
            print(subprocess.run('exit 9', shell=True).returncode)
            print(subprocess.run([sys.executable, '-S', '-E', '-c', 'import os; os.kill(os.getpid(), 9)']).returncode)
            print(os.posix_spawn('/bin/true', ['true'], os.environ) > 0, os.wait()[1])

        if __name__ == '__main__':
            main()
            sys.exit(11)
    """)))


def git_environment(folder):
    return {'GIT_AUTHOR_NAME': 'a', 'GIT_AUTHOR_EMAIL': 'a@example.org', 'GIT_COMMITTER_NAME': 'a',
            'GIT_COMMITTER_EMAIL': 'a@example.org', 'GIT_AUTHOR_DATE': '2020-01-01T00:00:00Z',
            'GIT_COMMITTER_DATE': '2020-01-01T00:00:00Z', 'GIT_CONFIG_GLOBAL': '/dev/null', 'GIT_CONFIG_SYSTEM': '/dev/null'}


def make_repository(t):
    """One repository for all runs: its path is part of argv."""
    git = t.need('git')
    origin = t.tmp / 'origin'
    origin.mkdir()
    environment = git_environment(origin)
    t.run([git, 'init', '-q', '-b', 'main', origin], env=environment)
    for n in range(20):
        (origin / f'file{n}').write_text(f'{n}\n' * (n + 1) * 50)
        t.run([git, '-C', origin, 'add', '.'], env=environment)
        t.run([git, '-C', origin, 'commit', '-q', '-m', f'change {n}'], env=environment)
    return git, origin, environment


# The index holds inode numbers and times; a pack's deltas depend on how its threads shared the work.
GIT_FILES = [r'\.git/index$', r'\.git/objects/pack/']


@timeout(90)
def test_git_clone(t):
    git, origin, environment = make_repository(t)
    check_witnessed(t, Program([git, 'clone', str(origin), 'copy'], environment=environment, skip_files=GIT_FILES))


@timeout(90)
def test_git_clone_over_a_transport(t):
    git, origin, environment = make_repository(t)
    # A process id stands in the name of a lock file that index-pack passes on.
    check_witnessed(t, Program([git, 'clone', '--no-local', str(origin), 'copy'], environment=environment,
                               skip_files=GIT_FILES, output=lambda data: re.sub(rb'\d+%|\d+/\d+|\r', b'', data),
                               word=lambda word: re.sub(r'fetch-pack \d+ on ', 'fetch-pack N on ', word)),
                    compare_files=False)


@timeout(90)
def test_gcc(t):
    def setup(folder):
        shutil.copytree(t.source / 'data' / 'project', folder, dirs_exist_ok=True)
    check_witnessed(t, Program([t.need('gcc'), '-O2', '-g', '-Wall', '-Ilib', '-DFACTOR=3', '-c', '-o', 'sum.o', 'sum.c'], setup))


@timeout(180)
def test_make(t):
    def setup(folder):
        shutil.copytree(t.source / 'data' / 'project', folder, dirs_exist_ok=True)
    # Four jobs at once: the order of the lines is another in every run.
    records = check_witnessed(t, Program([t.need('make'), '-j4'], setup, output=lambda data: sorted(data.splitlines()),
                                         environment={'MAKEFLAGS': '', 'MAKELEVEL': None, 'MFLAGS': None}))
    t.check(sum(record['event'] == 'exec' for record in records) > 30, 'fewer execs than make must do')


REDIS = r"""
    set -e
    coproc SERVER { exec redis-server --port 0 --unixsocket redis.sock --save '' --appendonly no --daemonize no; }
    server=$SERVER_PID
    while read -r line <&"${SERVER[0]}"; do
        case $line in *"eady to accept connections"*) break ;; esac
    done
    redis-benchmark -s redis.sock -n 1000 -c 10 -t set,get,incr,lpush --csv
    redis-cli -s redis.sock get counter:__rand_int__
    redis-cli -s redis.sock dbsize
    redis-cli -s redis.sock shutdown nosave
    wait $server
"""


@timeout(120)
def test_redis(t):
    t.need('redis-server')
    t.need('redis-benchmark')
    # Figures of speed are another in every run.
    check_witnessed(t, Program([t.need('bash'), 'script.sh'], script('script.sh', REDIS),
                               output=lambda data: re.sub(rb'"[0-9.]+"', b'"N"', data)))


POSTGRESQL = r"""
    set -e
    initdb -D data -A trust -U tester --no-sync --no-locale -E UTF8 > initdb.log
    echo "autovacuum = off" >> data/postgresql.conf
    pg_ctl -D data -l server.log -o "-c listen_addresses='' -k $PWD -F" -w start > /dev/null
    pgbench -h "$PWD" -U tester -i -q postgres 2> /dev/null
    pgbench -h "$PWD" -U tester -c 2 -j 2 -t 20 postgres | grep 'actually processed'
    psql -h "$PWD" -U tester -At -c 'select count(*), sum(abalance) = sum(tbalance) is null from pgbench_accounts, (select 1::int as tbalance) s' postgres
    psql -h "$PWD" -U tester -At -c 'select count(*) from pgbench_history' postgres
    pg_ctl -D data -m fast -w stop > /dev/null
    ls data
"""


def postgresql_folder(t):
    for folder in sorted(pathlib.Path('/usr/lib/postgresql').glob('*/bin'), reverse=True):
        if (folder / 'pgbench').exists():
            return folder
    return pathlib.Path(t.need('initdb')).parent


@timeout(300)
def test_postgresql(t):
    programs = postgresql_folder(t)
    become = []
    if os.getuid() == 0:
        # initdb refuses root: the traced program gives up its rights first, which is a case of its own.
        become = [t.need('setpriv'), f'--reuid={UNPRIVILEGED}', f'--regid={UNPRIVILEGED}', '--clear-groups', '--']
        t.tmp.chmod(0o777)

    def setup(folder):
        script('script.sh', POSTGRESQL)(folder)
        folder.chmod(0o777)
    path = f'{programs}:{os.environ["PATH"]}'
    check_witnessed(t, Program([*become, t.need('bash'), 'script.sh'], setup, environment={'PATH': path}, seconds=120),
                    compare_files=False, loads=os.getuid() != 0)


@timeout(120)
def test_node_with_a_worker_thread(t):
    check_witnessed(t, Program([os.path.realpath(t.need('node', 'nodejs')), 'script.js'], script('script.js', """
        const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');
        const { execFileSync } = require('child_process');
        if (isMainThread) {
            const answers = [];
            for (let n = 0; n < 3; n++) {
                const worker = new Worker(__filename, { workerData: n });
                worker.on('message', (answer) => {
                    answers.push(answer);
                    if (answers.length === 3) {
                        console.log(answers.sort().join(' '));
                        console.log(execFileSync('/bin/echo', ['child']).toString());
                        require('fs').writeFileSync('made', 'made');
                        process.exitCode = 6;
                    }
                });
            }
        } else {
            let sum = 0;
            for (let i = 0; i < 1e6; i++) sum += i % (workerData + 2);
            parentPort.postMessage(sum);
        }
    """)))
