# SPDX-License-Identifier: BSD-2-Clause
"""tether sym on running programs that nobody here wrote, beside readelf, nm and eu-addr2line."""
import contextlib
import fcntl
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import time

from tether_test import timeout
from test_symbols import ADDRESSES, Symbol, Witness, dump, library, sections, tables

OWN_ADDRESSES = 20000
LINES = 1000


@contextlib.contextmanager
def running(cmd, mapped, **options):
    """The program, once it has mapped what is asked about."""
    process = subprocess.Popen(cmd, stdin=subprocess.PIPE, stdout=options.pop('stdout', subprocess.DEVNULL),
                               stderr=subprocess.DEVNULL, start_new_session=True, **options)
    try:
        until = time.monotonic() + 60
        while not base_of(process.pid, mapped):
            if process.poll() is not None or time.monotonic() > until:
                raise AssertionError(f'{cmd} ended with {process.returncode} before it had mapped {mapped}')
            time.sleep(0.01)
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdin.close()


def base_of(pid, path):
    """Where the first byte of a file is mapped, by /proc: what its addresses are moved by, unless it does not move."""
    try:
        lines = pathlib.Path(f'/proc/{pid}/maps').read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        words = line.split(None, 5)
        if len(words) == 6 and words[5] == path and int(words[2], 16) == 0:
            return int(words[0].split('-')[0], 16)
    return None


def sym(t, pid, words, *options, expected=0):
    out = t.tmp / 'sym.jsonl'
    result = t.run([*t.tether, 'sym', '-p', str(pid), '--format=jsonl', '-o', out, *options, *words], timeout=110)
    t.equal(result.returncode, expected, f'status of tether sym: {result.stderr[-500:]}')
    return [record for record in t.records(out) if record['event'] == 'symbol']


def moves(t, path):
    return b'DYN' in t.run([t.need('readelf'), '-h', path]).stdout.split(b'Type:')[1].split(b'\n')[0]


def check_object(t, pid, path):
    """10,000 random text addresses, and symbols' own, of one object in a process."""
    first = base_of(pid, path)
    areas = sections(t, path)
    (_, _, origin), ours, _ = dump(t, path, 'each')
    theirs = tables(t, path, origin)
    plt = [Symbol(a, s, 'FUNC', 'GLOBAL', n, False, len(theirs)) for a, s, _, _, f, n in ours if f & 1]
    witness = Witness(theirs + plt, areas)
    # readelf's addresses are those of the file; what they are moved by is told by the mapping of its first segment.
    lowest = int(re.search(r'LOAD +0x0+ (0x[0-9a-f]+)', t.run(['readelf', '-lW', path]).stdout.decode())[1], 16)
    bias = first - (lowest & ~4095)
    t.equal(bias == 0, not moves(t, path), f'{path} lies where it was linked to')
    dice = random.Random(pid)
    start, end = next((a, b) for a, b, _, name in areas if name == '.text')
    own = sorted({symbol.address for symbol in theirs + plt})
    asked = [dice.randrange(start, end) for _ in range(ADDRESSES)] + dice.sample(own, min(len(own), OWN_ADDRESSES))
    wrong, named = [], 0
    for at in range(0, len(asked), 5000):
        piece = asked[at:at + 5000]
        answers = sym(t, pid, [hex(address + bias) for address in piece], '--raw')
        t.equal(len(answers), len(piece))
        for address, answer in zip(piece, answers):
            expected = witness.at(address)
            named += expected is not None
            name, start_of, offset = (expected.name, expected.address, address - expected.address) if expected else \
                ('', 0, address)
            got = (answer['addr'], os.path.realpath(answer['object']), answer['symbol'], answer['offset'], answer['base'],
                   answer['image'])
            if got != (hex(address + bias), os.path.realpath(path), name, offset, hex(bias), 0):
                wrong.append((hex(address), got, name, hex(start_of)))
    t.equal(wrong[:5], [], f'{len(wrong)} names of {path} in {pid}')
    t.check(named > len(asked) // 4 or len(theirs) < 500, f'{path}: only {named} of {len(asked)} have a name')
    return origin


def python_with(t, name):
    """A python3 that has loaded a library by its path."""
    path = library(t, name)
    python = '/usr/bin/python3' if os.path.exists('/usr/bin/python3') else os.path.realpath(t.need('python3'))
    return [python, '-S', '-E', '-c', f'import ctypes, sys; ctypes.CDLL({path!r}); sys.stdin.read()'], path


@timeout(240)
def test_names_in_python_with_libc_and_libcrypto(t):
    cmd, path = python_with(t, 'libcrypto.so.3')
    with running(cmd, path) as process:
        for mapped in (os.path.realpath(cmd[0]), library(t, 'libc.so.6'), path):
            if base_of(process.pid, mapped):
                check_object(t, process.pid, mapped)


@timeout(240)
def test_names_in_llvm(t):
    names = [name for name in ('libLLVM-15.so.1', 'libLLVM-14.so.1', 'libLLVM-16.so.1', 'libLLVM-13.so.1')
             if name.encode() in t.run(['/sbin/ldconfig', '-p']).stdout]
    if not names:
        t.skip('no libLLVM')
    cmd, path = python_with(t, names[0])
    with running(cmd, path) as process:
        check_object(t, process.pid, path)


@timeout(240)
def test_names_in_node(t):
    node = os.path.realpath(t.need('node'))
    with running([node, '-e', 'process.stdin.resume()'], node) as process:
        check_object(t, process.pid, node)


@timeout(240)
def test_names_in_postgres(t):
    postgres = os.path.realpath(t.need('postgres'))
    # It stands in the middle of what it prints, as nobody reads that.
    near, far = os.pipe()
    fcntl.fcntl(far, fcntl.F_SETPIPE_SZ, 4096)
    try:
        with running([postgres, '--describe-config'], postgres, stdout=far) as process:
            check_object(t, process.pid, postgres)
    finally:
        os.close(near)
        os.close(far)


# ---- source lines ----------------------------------------------------------------------------------------------


def check_lines(t, pid, path, asked_of=None):
    """1,000 random addresses beside eu-addr2line."""
    first = base_of(pid, path)
    lowest = int(re.search(r'LOAD +0x0+ (0x[0-9a-f]+)', t.run(['readelf', '-lW', path]).stdout.decode())[1], 16)
    bias = first - (lowest & ~4095)
    start, end = next((a, b) for a, b, _, name in sections(t, path) if name == '.text')
    dice = random.Random(7)
    asked = [dice.randrange(start, end) for _ in range(LINES)]
    told = t.run([t.need('eu-addr2line'), '-a', '-A', '-i', '-e', path, *map(hex, asked)], timeout=100).stdout.decode()
    expected = [block.split('\n')[1:] for block in ('\n' + told.strip()).split('\n0x')[1:]]
    t.equal(len(expected), len(asked), 'answers of eu-addr2line')
    answers = sym(t, pid, [hex(address + bias) for address in asked], '--lines')
    known, inlined, strangers = 0, 0, []
    for address, theirs, answer in zip(asked, expected, answers):
        ours = [':'.join([source['file']] + [str(source[key]) for key in ('line', 'column') if source.get(key)])
                for source in answer['source'] if source['file']]
        # It says ??:0 where it knows nothing, and where it knows a file but no line, FILE:0.
        theirs = [re.sub(r'(:0)+$', '', line) for line in theirs if not line.startswith('??')]
        if not ours and theirs:
            strangers.append(address)
        elif ours != theirs:
            t.fail(f'{path} {address:#x}: eu-addr2line says {theirs}, tether {answer["source"]}')
        known += bool(ours)
        inlined += len(ours) > 1
    # The C runtime's own start code has no debug information: there eu-addr2line goes on with the unit before, which ends
    # sooner. binutils says, as we do, that nothing is known.
    said = t.run([t.need('addr2line'), '-e', path, *map(hex, strangers)], timeout=100).stdout.decode().split('\n')[:-1]
    t.equal([line for line in said if strangers and not line.endswith(':?')], [], 'lines that only others know')
    t.check(len(strangers) < LINES // 10, f'{len(strangers)} addresses beyond all units')
    return known, inlined


@timeout(240)
def test_lines_of_the_library_itself(t):
    """It is compiled with optimisation, so that much is inlined. Loaded by python, as by any client."""
    path = os.path.realpath(t.build / 'src' / 'libtether.so.0')
    if t.sanitizer:
        t.skip('a sanitizer wants to be loaded first')
    cmd = [sys.executable, '-S', '-E', '-c', f'import ctypes, sys; ctypes.CDLL({path!r}); sys.stdin.read()']
    with running(cmd, path) as process:
        known, inlined = check_lines(t, process.pid, path)
    t.check(known > LINES // 2 and inlined > LINES // 20, f'{known} of {LINES} have a line, {inlined} are inlined')


@timeout(240)
def test_lines_of_libc_by_its_debug_file(t):
    path = library(t, 'libc.so.6')
    build_id = re.search(r'Build ID: (\w+)', t.run([t.need('readelf'), '-n', path]).stdout.decode())[1]
    if not os.path.exists(f'/usr/lib/debug/.build-id/{build_id[:2]}/{build_id[2:]}.debug'):
        t.skip('the debug file of libc is not installed')
    with running([shutil.which('cat')], path) as process:
        known, inlined = check_lines(t, process.pid, path)
    t.check(known > LINES // 2, f'{known} of {LINES} have a line, {inlined} are inlined')


CPP = """
#include <algorithm>
#include <cstdio>
#include <map>
#include <string>
#include <vector>
namespace outer { template <class T> struct keeper { std::map<std::string, T> all;
    __attribute__((noinline)) T add(const std::string &name, T value) { all[name] = value; return all.begin()->second; } }; }
int main()
{
    outer::keeper<int> keeper;
    std::vector<std::string> words;
    for (int i = 0; i < 100; i++) words.push_back(std::to_string(i * 7919 % 101));
    std::sort(words.begin(), words.end(), [](const auto &a, const auto &b) { return a > b; });
    for (auto &word : words) keeper.add(word, int(word.size()));
    std::printf("%d\\n", keeper.all.begin()->second);
    std::fflush(stdout);
    return std::getchar() == 'x';
}
"""


@timeout(180)
def test_lines_and_names_of_templates(t):
    (t.tmp / 'a.cc').write_text(CPP)
    compiler = t.need('g++', 'clang++')
    for number, options in enumerate((['-O2', '-g'], ['-O1', '-g', '-gdwarf-4', '-no-pie'])):
        path = str(t.tmp / f'templates-{number}')
        t.equal(t.run([compiler, *options, '-o', path, 'a.cc'], timeout=100).returncode, 0, 'status of the compiler')
        with running([path], path) as process:
            known, _ = check_lines(t, process.pid, path)
            t.check(known > LINES // 2, f'{known} of {LINES} have a line')
            answers = sym(t, process.pid, ['a.out:*keeper*add*'])
            t.check(any(answer.get('demangled', '').startswith('outer::keeper<int>::add(') or
                        'outer::keeper<int>::add(' in answer.get('demangled', '') for answer in
                        [sym(t, process.pid, [answers[0]['addr']])[0]]), f'no demangled name: {answers}')
            raw = sym(t, process.pid, [answers[0]['addr']], '--raw')[0]
            t.check(raw['symbol'].startswith('_Z') and 'demangled' not in raw, f'{raw}')


# ---- the command -----------------------------------------------------------------------------------------------


def test_what_is_not_found_is_said_and_the_rest_is_shown(t):
    with running([t.need('cat')], os.path.realpath(t.need('cat'))) as process:
        result = t.run([*t.tether, 'sym', '-p', str(process.pid), 'malloc', 'no_such_name', '0x8', 'libc.so.6:free'])
        t.equal(result.returncode, 1)
        text = result.stderr.decode()
        t.check('`malloc' in text and '`free' in text, text)
        for word in ('no_such_name', '0x8'):
            t.check(f"process {process.pid} has no '{word}'; see 'tether libs'" in text, text)
        records = t.run([*t.tether, 'sym', '-p', str(process.pid), '--format=jsonl', 'no_such_name']).stderr.splitlines()
        t.equal(json.loads(records[-1])['code'], 'ENOTFOUND')
    t.equal(t.run([*t.tether, 'sym', '-p', str(process.pid), 'malloc']).returncode, 125)
    for words in (['sym'], ['sym', '-p', '1'], ['sym', 'malloc'], ['sym', '-p', '1', 'malloc', '--lines']):
        t.equal(t.run([*t.tether, *words]).returncode, 125, f'status of {words}')


def test_a_name_is_found_in_every_object_that_has_it(t):
    cmd, path = python_with(t, 'libcrypto.so.3')
    with running(cmd, path) as process:
        all_of_them = sym(t, process.pid, ['_init'], '--all')
        t.check(len({answer['object'] for answer in all_of_them}) > 1 or
                len(sym(t, process.pid, ['*_init*'])) > 10, f'{all_of_them}')
        names = {answer['symbol'] for answer in sym(t, process.pid, ['libcrypto.so*:EVP_*'])}
        t.check('EVP_DigestInit' in names and all(name.startswith('EVP_') for name in names), f'{sorted(names)[:20]}')


def test_stacks_have_lines_also_of_packed_debug_information(t):
    (t.tmp / 'a.c').write_text('#include <unistd.h>\n__attribute__((noinline)) int deep(int n)\n{\n\tint got = pause();\n'
                               '\treturn got + n;\n}\nint main(void)\n{\n\treturn deep(1) + deep(2);\n}\n')
    path = str(t.tmp / 'lines')
    t.equal(t.run([t.need('gcc', 'cc'), '-O1', '-g', '-o', path, 'a.c'], timeout=60).returncode, 0, 'status of the compiler')
    for packing in (None, 'zlib', 'zstd'):
        victim = f'{path}-{packing}' if packing else path
        if packing and t.run([t.need('objcopy'), f'--compress-debug-sections={packing}', path, victim]).returncode:
            continue  # older ones have no zstd
        with running([victim], victim) as process:
            while ' '.join(pathlib.Path(f'/proc/{process.pid}/syscall').read_text().split()[:1]) != '34':
                time.sleep(0.01)
            out = t.tmp / 'stack.jsonl'
            t.equal(t.run([*t.tether, 'stack', '--lines', '--format=jsonl', '-o', out, '-p', str(process.pid)]).returncode, 0)
            frames = [frame for record in t.records(out) if record['event'] == 'stack' for frame in record['frames']]
            told = [(os.path.basename(source['file']), source['line'], source['function'])
                    for frame in frames for source in frame['source'] if source['file'].endswith('a.c')]
            t.equal(told, [('a.c', 4, 'deep'), ('a.c', 9, 'main')], f'lines of the callers of pause(), packed: {packing}')
            text = t.run([*t.tether, 'stack', '--lines', '-p', str(process.pid)]).stderr.decode()
            t.check('deep at ' in text and 'a.c:4\n' in text, text)
    t.equal(t.run([*t.tether, 'stack', '--lines', '--format=folded', '-p', '1']).returncode, 125)
