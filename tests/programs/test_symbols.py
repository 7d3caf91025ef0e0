# SPDX-License-Identifier: BSD-2-Clause
"""Symbol tables of files that nobody here wrote, beside readelf and nm: each rule of src/symbol/symbol.h said anew."""
import bisect
import collections
import os
import pathlib
import random
import re
import shutil
import subprocess

from tether_test import timeout

Symbol = collections.namedtuple('Symbol', 'address size type binding name hidden order')
ADDRESSES = 10000
CLASSES = {'FUNC': 0, 'IFUNC': 0, 'NOTYPE': 1, 'OBJECT': 2, 'COMMON': 2}
BINDINGS = {'GLOBAL': 0, 'UNIQUE': 0, 'WEAK': 1}


def readelf(t, *arguments):
    return t.run([t.need('readelf'), *arguments], timeout=120).stdout.decode('utf-8', 'surrogateescape')


def sections(t, path):
    """(name, start, end, executable) of what is loaded, by start."""
    found = []
    for line in readelf(t, '-SW', path).splitlines():
        match = re.match(r'\s*\[ *\d+\] (\S+)\s+\S+\s+([0-9a-f]{8,16}) ([0-9a-f]+) ([0-9a-f]+) [0-9a-f]+\s+([A-Zxop]*) ', line)
        if match and 'A' in match[5]:
            start, size = int(match[2], 16), int(match[4], 16)
            found.append((start, start + size, 'X' in match[5], match[1]))
    return sorted(found)


def symbols(t, path, table):
    """The defined symbols of one table, as readelf prints them."""
    found, inside = [], False
    for line in readelf(t, '-sW', path).splitlines():
        if line.startswith('Symbol table'):
            inside = f"'{table}'" in line
            continue
        words = line.split(None, 7) if inside else []
        if len(words) < 8 or not words[0].endswith(':') or words[0] == 'Num:':
            continue
        _, value, size, kind, binding, _, section, name = words
        if kind not in CLASSES or not (section.isdigit() or section == 'COM'):
            continue
        name = re.sub(r' \(\d+\)$', '', name.split(' [')[0])
        bare = re.sub(r'@.*', '', name)
        size = int(size, 16) if size.startswith('0x') else int(size)
        found.append(Symbol(int(value, 16), size, kind, binding, bare, '@' in name and '@@' not in name, len(found)))
    return found


def preference(symbol):
    """Rule 3, the smallest is the best."""
    underscores = len(symbol.name) - len(symbol.name.lstrip('_'))
    return (symbol.size == 0, CLASSES[symbol.type], BINDINGS.get(symbol.binding, 2), underscores,
            symbol.name.endswith('@plt'), symbol.order)


class Witness:
    """Address to symbol by the rules, over all of readelf's symbols: no interval is prepared, each answer is searched."""

    def __init__(self, table, areas):
        self.areas = areas
        at = collections.defaultdict(list)
        for symbol in table:
            at[symbol.address].append(symbol)
        self.starts = sorted(at)
        self.best = {start: min(same, key=preference) for start, same in at.items()}
        self.reach, furthest = [], 0
        for start in self.starts:
            furthest = max(furthest, start + self.best[start].size)
            self.reach.append(furthest)

    def area_end(self, address):
        for start, end, executable, _ in self.areas:
            if start <= address < end:
                return end if executable else address + 1
        return address + 1

    def at(self, address):
        last = bisect.bisect_right(self.starts, address) - 1
        at = last
        while at >= 0 and self.reach[at] > address:
            symbol = self.best[self.starts[at]]
            if symbol.address + symbol.size > address:
                return symbol
            at -= 1
        symbol = self.best[self.starts[last]] if last >= 0 else None
        # Without a size, and not inside another.
        if symbol and not symbol.size and address < self.area_end(symbol.address) and \
                (last == 0 or self.reach[last - 1] <= symbol.address):
            return symbol
        return None


def dump(t, path, what, lines=(), *options):
    result = subprocess.run([str(t.build / 'tests' / 'unit' / 'symbol-dump'), path, what, *options],
                            input=''.join(line + '\n' for line in lines).encode('utf-8', 'surrogateescape'), timeout=120,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    t.equal(result.returncode, 0, f'status of symbol-dump {path}: {result.stderr.decode()}')
    head, *rest = result.stdout.decode('utf-8', 'surrogateescape').splitlines()
    return head.split(' ', 2), [None if line == '-' else parse(line) for line in rest], result.stderr.decode()


def parse(line):
    address, size, kind, binding, flags, name = line.split(' ', 5)
    return int(address, 16), int(size, 16), int(kind), int(binding), int(flags, 16), name


def debug_file(t, path):
    build_id = re.search(r'Build ID: (\w+)', readelf(t, '-n', path))
    return build_id and f'/usr/lib/debug/.build-id/{build_id[1][:2]}/{build_id[1][2:]}.debug'


def tables(t, path, origin):
    found = []
    for source in origin.split(', '):
        if source == 'debug file':
            found += symbols(t, debug_file(t, path), '.symtab')
        else:
            found += symbols(t, path, source)
    return [symbol._replace(order=order) for order, symbol in enumerate(found)]


def compare(t, path):
    (count, size, origin), ours, complaint = dump(t, path, 'each')
    t.equal(complaint, '')
    areas = sections(t, path)
    theirs = tables(t, path, origin)
    plt = [one for one in ours if one[4] & 1]
    numbers = {'FUNC': 2, 'IFUNC': 10, 'NOTYPE': 0, 'OBJECT': 1, 'COMMON': 1}
    got = sorted({(a, s, k, n) for a, s, k, b, f, n in ours if not f & 1})
    expected = sorted({(s.address, s.size, numbers[s.type], s.name) for s in theirs})
    t.equal(got, expected, f'symbols of {path} ({origin})')
    all_of_them = theirs + [Symbol(a, s, 'FUNC', 'GLOBAL', n, False, len(theirs)) for a, s, _, _, _, n in plt]
    check_addresses(t, path, all_of_them, areas)
    check_names(t, path, theirs)
    check_plt(t, path, plt)
    return origin


def check_addresses(t, path, table, areas):
    """Random text addresses, and each symbol's own."""
    witness = Witness(table, areas)
    dice = random.Random(6)
    text = [area for area in areas if area[2] and area[3] == '.text'] or [area for area in areas if area[2]]
    start, end = text[0][0], text[0][1]
    asked = [dice.randrange(start, end) for _ in range(ADDRESSES)] + sorted({s.address for s in table})
    _, answers, _ = dump(t, path, 'at', [f'{address:x}' for address in asked])
    differences, gaps = [], 0
    for address, answer in zip(asked, answers):
        expected = witness.at(address)
        gaps += answer is None
        if (answer and (answer[0], answer[5])) != (expected and (expected.address, expected.name)):
            differences.append((hex(address), answer, expected))
    t.equal(differences[:10], [], f'names of addresses of {path}')
    t.check(len(table) < 500 or gaps < len(asked) * 3 // 4, f'{path}: {gaps} of {len(asked)} addresses have no name')


def check_names(t, path, table):
    """Rule for names: each gives the first by class, binding, version, address."""
    best = {}
    for symbol in table:
        key = (CLASSES[symbol.type], BINDINGS.get(symbol.binding, 2), symbol.hidden, symbol.address)
        if symbol.name not in best or key < best[symbol.name][0]:
            best[symbol.name] = (key, symbol.address)
    names = sorted(best)
    _, answers, _ = dump(t, path, 'find', names + ['no such name', ''])
    t.equal(answers[-2:], [None, None])
    wrong = [(name, answer, hex(best[name][1])) for name, answer in zip(names, answers)
             if not answer or answer[0] != best[name][1] or answer[5] != name]
    t.equal(wrong[:10], [], f'addresses of names of {path}')


def check_plt(t, path, plt):
    """What binutils makes up for PLT entries, we have too; not for IFUNCs, which it calls *ABS*."""
    listed = t.run([t.need('nm'), '-D', '--synthetic', path], timeout=60).stdout.decode()
    expected = {(int(match[1], 16), match[2]) for match in re.finditer(r'^([0-9a-f]+) . ([^@*\s]+)(?:@+\S+)?@plt$', listed,
                                                                       re.M)}
    got = {(address, name[:-len('@plt')]) for address, _, _, _, _, name in plt}
    t.equal(sorted(expected - got), [], f'PLT entries of {path} that nm knows')


def library(t, name):
    listed = t.run(['/sbin/ldconfig', '-p']).stdout.decode()
    match = re.search(rf'^\s*{re.escape(name)} .*x86-64.*=> (\S+)$', listed, re.M)
    if not match:
        t.skip(f'no {name}')
    return os.path.realpath(match[1])


@timeout(120)
def test_libc_by_readelf(t):
    compare(t, library(t, 'libc.so.6'))


@timeout(120)
def test_libcrypto_by_readelf(t):
    compare(t, library(t, 'libcrypto.so.3'))


@timeout(120)
def test_python_by_readelf(t):
    compare(t, os.path.realpath('/usr/bin/python3'))


@timeout(240)
def test_node_by_readelf(t):
    compare(t, os.path.realpath(t.need('node', 'nodejs')))


@timeout(240)
def test_llvm_by_readelf(t):
    found = sorted(pathlib.Path('/usr/lib').glob('*-linux-gnu/libLLVM-*.so.1')) + \
        sorted(pathlib.Path('/usr/lib').glob('llvm-*/lib/libLLVM*.so*'))
    if not found:
        t.skip('no libLLVM')
    compare(t, os.path.realpath(found[0]))


@timeout(120)
def test_postgres_by_readelf(t):
    found = sorted(pathlib.Path('/usr/lib/postgresql').glob('*/bin/postgres'))
    compare(t, os.path.realpath(found[-1]) if found else t.need('postgres'))


PROGRAM = r"""
#include <stdio.h>
#include <stdlib.h>
static int inner(int x) { return x * 3; }
__attribute__((noinline)) int outer(int x) { return inner(x) + 1; }
int table[1000]; static int hidden_table[77];
extern int alias(int) __attribute__((alias("outer")));
int main(int argc, char **argv) { (void)argv; hidden_table[argc] = 1; puts("x"); return abs(outer(argc)) + table[argc] + hidden_table[3]; }
"""


@timeout(120)
def test_own_programs_of_every_kind_by_readelf(t):
    """PIE and not, static, static-PIE, stripped, with sections compressed, 32 bit, by clang and lld."""
    (t.tmp / 'a.c').write_text(PROGRAM)
    kinds = {'pie': ['gcc'], 'no-pie': ['gcc', '-no-pie', '-fno-pie'], 'static': ['gcc', '-static'],
             'static-pie': ['gcc', '-static-pie'], 'lazy': ['gcc', '-Wl,-z,lazy', '-fcf-protection=full'],
             'ibt': ['gcc', '-Wl,-z,lazy,-z,ibtplt', '-fcf-protection=full'], 'm32': ['gcc', '-m32'],
             'm32-no-pie': ['gcc', '-m32', '-no-pie'], 'now': ['gcc', '-Wl,-z,now'],
             'sections': ['gcc', '-ffunction-sections', '-g', '-gz=zlib'], 'musl': ['musl-gcc', '-static'],
             'versions': ['gcc', '-rdynamic']}
    for kind, command in kinds.items():
        if not shutil.which(command[0]):
            continue
        path = str(t.tmp / kind)
        t.run([*command, '-O1', '-o', path, str(t.tmp / 'a.c')], timeout=60)
        if not os.path.exists(path):
            t.check(kind.startswith('m32') or kind == 'static-pie', f'{kind} was not linked')
            continue
        t.equal(compare(t, path), '.symtab')
        stripped = path + '-stripped'
        t.run(['strip', '-o', stripped, path])
        if kind in ('static', 'musl', 'static-pie'):
            _, ours, _ = dump(t, stripped, 'each')
            t.equal([one for one in ours if not one[4] & 1], [], f'symbols of a stripped {kind} one')
        else:
            t.equal(compare(t, stripped), '.dynsym')
