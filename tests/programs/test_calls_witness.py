# SPDX-License-Identifier: BSD-2-Clause
"""tether calls -c beside a witness in the same processes: malloc and free of whole families of large programs.

The witness is a library that is loaded before the others: its malloc and free count in a file that all processes of the
family share, and go on to the real ones. tether counts the calls of these two functions.
"""
import struct
import subprocess

from processes import eventually
from test_calls import compile_c, records
from tether_test import timeout

WITNESS = r'''
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
static unsigned long own[2], *shared;
static int looking;
static char early[1 << 20];
static size_t used;
static void *(*next_malloc)(size_t);
static void (*next_free)(void *);
__attribute__((noinline, visibility("default"))) void *malloc(size_t size);
__attribute__((noinline, visibility("default"))) void free(void *at);

/* In a library before the C library's constructors there is no environment: until then it counts by itself. */
static void count(int which)
{
	unsigned long *file = __atomic_load_n(&shared, __ATOMIC_ACQUIRE);
	const char *path = file ? 0 : getenv("WITNESS");

	if (!file && path) {
		int fd = open(path, O_RDWR | O_CLOEXEC);
		void *at = fd < 0 ? MAP_FAILED : mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

		if (at != MAP_FAILED && !__atomic_exchange_n(&shared, at, __ATOMIC_ACQ_REL))
			for (int i = 0; i < 2; i++)
				__atomic_fetch_add((unsigned long *)at + i, __atomic_exchange_n(&own[i], 0, __ATOMIC_ACQ_REL), __ATOMIC_RELAXED);
		file = shared;
	}
	__atomic_fetch_add(file ? file + which : &own[which], 1, __ATOMIC_RELAXED);
}

void *malloc(size_t size)
{
	count(0);
	if (!next_malloc && looking) {
		void *at = early + used;
		used += (size + 15) & ~15ul;
		return at;
	}
	if (!next_malloc) {
		looking = 1;
		next_free = (void (*)(void *))dlsym(RTLD_NEXT, "free");
		next_malloc = (void *(*)(size_t))dlsym(RTLD_NEXT, "malloc");
	}
	return next_malloc(size);
}

void free(void *at)
{
	count(1);
	if ((char *)at < early || (char *)at >= early + sizeof(early))
		if (next_free)
			next_free(at);
}
'''


class Witness:
    def __init__(self, t):
        self.t = t
        self.library = compile_c(t, 'witness.so', WITNESS, '-shared', '-fPIC')
        self.file = t.tmp / 'said'
        self.out = t.tmp / 'records'
        self.file.write_bytes(bytes(4096))

    def command(self, *command):
        """By env(1), so that tether itself has no witness."""
        return [self.t.need('env'), f'LD_PRELOAD={self.library}', f'WITNESS={self.file}', *map(str, command)]

    def counting(self):
        return [*self.t.tether, 'calls', '-c', '-f', 'witness.so:malloc,free', '--format=jsonl', '-o', str(self.out), '--']

    def compare(self, what, least, slack=0):
        """What has ended in the middle of a call, by another thread's exit, may be counted by one of the two only."""
        counts = {}
        for record in records(self.out):
            if record['event'] == 'count':
                counts[record['symbol']] = counts.get(record['symbol'], 0) + record['count']
        said = dict(zip(('malloc', 'free'), struct.unpack('QQ', self.file.read_bytes()[:16])))
        for name, number in said.items():
            self.t.check(number >= least, f'{what}: the witness saw {number} calls of {name}')
            self.t.check(abs(counts[name] - number) <= slack, f'{what}: {name} {counts[name]}, the witness {number}')


def family(t, what, command, least, slack=0, **options):
    """The same output with and without, and the witness's counts."""
    plain = t.run(command, **options)
    witness = Witness(t)
    result = t.run([*witness.counting(), *witness.command(*command)], **options)
    t.equal(result.returncode, plain.returncode, f'{what}: {result.stderr!r}')
    t.equal(result.stdout, plain.stdout, f'{what}: output')
    witness.compare(what, least, slack)


@timeout(180)
def test_malloc_and_free_of_python(t):
    work = 'import json, re, sqlite3; print(len(json.dumps(list(range(3000)))), re.sub("a", "b", "banana"))'
    family(t, 'python3', [t.need('/usr/bin/python3', 'python3'), '-c', work], 1000, timeout=100)


@timeout(180)
def test_malloc_and_free_of_git_and_what_it_runs(t):
    git, folder = t.need('git'), t.tmp / 'tree'
    folder.mkdir()
    (folder / 'file').write_text('text\n' * 1000)
    names = ['-c', 'user.name=a', '-c', 'user.email=a@b']
    for arguments in (['init', '-q'], ['add', '.'], [*names, 'commit', '-q', '-m', 'first']):
        t.equal(t.run([git, '-C', folder, *arguments]).returncode, 0, arguments)
    family(t, 'git', [git, '-C', folder, '-c', 'alias.both=!git log --format=%s; git diff --stat; git gc -q', 'both'], 1000, timeout=100)


@timeout(180)
def test_malloc_and_free_of_a_compiler_and_its_assembler(t):
    source = t.tmp / 'source.cc'
    source.write_text('#include <cstdio>\nint main() { return std::printf("%d", 3); }\n')
    family(t, 'g++', [t.need('g++'), '-c', source, '-o', t.tmp / 'source.o'], 5000, timeout=150)


@timeout(180)
def test_malloc_and_free_of_node(t):
    family(t, 'node', [t.need('node'), '--v8-options'], 1000, slack=16, timeout=150)


@timeout(180)
def test_malloc_and_free_of_a_server_under_a_benchmark(t):
    server, benchmark, socket = t.need('redis-server'), t.need('redis-benchmark'), t.tmp / 'redis.sock'
    witness = Witness(t)
    running = subprocess.Popen([*witness.counting(), *witness.command(
        server, '--port', '0', '--unixsocket', socket, '--save', '', '--dir', t.tmp)], stdout=subprocess.DEVNULL)
    try:
        t.check(eventually(socket.exists, 30), 'redis-server does not start')
        load = t.run([benchmark, '-s', socket, '-q', '-n', '500', '-c', '4', '-t', 'set,get,lpush'], timeout=120)
        t.equal(load.returncode, 0, load.stderr)
        t.equal(t.run([t.need('redis-cli'), '-s', socket, 'shutdown', 'nosave'], timeout=30).returncode, 0, 'shutdown')
        t.equal(running.wait(30), 0, 'status')
    finally:
        if running.poll() is None:
            running.terminate()
            running.wait()
    witness.compare('redis-server', 1000, slack=16)


MUCH = r'''
import datetime, json, locale, math, os, pickle, queue, random, re, signal, socket, sqlite3, struct, subprocess, tempfile, threading, zlib
locale.setlocale(locale.LC_ALL, "C")
said = []
words = queue.Queue()
def work(n):
    words.put((n, zlib.crc32(pickle.dumps(list(range(n * 20))))))
threads = [threading.Thread(target=work, args=(n,)) for n in range(1, 9)]
[t.start() for t in threads]
[t.join() for t in threads]
said.append(sorted(words.get() for _ in threads))
said.append(subprocess.run(["/bin/echo", "child"], capture_output=True).stdout)
pid = os.fork()
if pid == 0:
    os._exit(int(math.sqrt(49)))
said.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
seen = []
signal.signal(signal.SIGALRM, lambda *_: seen.append("alarm"))
signal.setitimer(signal.ITIMER_REAL, 0.01)
while not seen:
    signal.pause() if random.Random(1).random() > 2 else None
said.append(seen)
a, b = socket.socketpair()
a.sendall(b"x" * 1000)
said.append(len(b.recv(2000)))
with tempfile.TemporaryFile() as f:
    f.write(struct.pack("d", 2.5)); f.seek(0); said.append(f.read())
base = sqlite3.connect(":memory:")
base.execute("create table t(a)"); base.executemany("insert into t values(?)", [(i,) for i in range(50)])
said.append(base.execute("select sum(a), group_concat(a) from t").fetchone())
said.append(re.findall(r"\d+", "a1b22c333"))
said.append(datetime.datetime(2020, 2, 29, 12, 30).strftime("%A %d %B %Y %H:%M"))
said.append([math.sin(1.0), math.exp(0.5), "%.3e" % 12345.678, float("1e-3")])
try:
    open("/nowhere/at/all")
except OSError as error:
    said.append(str(error))
print(json.dumps(said, default=repr))
'''


@timeout(240)
def test_every_function_of_libc_at_once_under_much_of_python(t):
    command = [t.need('/usr/bin/python3', 'python3'), '-c', MUCH]
    plain = t.run(command)
    t.equal(plain.returncode, 0, plain.stderr)
    out = t.tmp / 'records'
    result = t.run([*t.tether, 'calls', '-c', '-f', 'libc.so.6:*', '--format=jsonl', '-o', out, '--', *command], timeout=220)
    t.equal((result.returncode, result.stdout, result.stderr), (plain.returncode, plain.stdout, plain.stderr), 'the program')
    counted = [record for record in records(out) if record['event'] == 'count']
    t.check(len(counted) > 300 and all(record['count'] for record in counted), f'{len(counted)} functions')
