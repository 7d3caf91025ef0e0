#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""make_corpus.py FOLDER: small ELF files of every kind that fuzz_symbols starts from. Needs gcc, binutils and xz."""
import os
import pathlib
import subprocess
import sys
import tempfile

SOURCE = """
extern int puts(const char *); extern void *stdout_like; int data[4] = {1}; static int hidden(int x) { return x + 1; }
__attribute__((noinline)) int one(int x) { return hidden(x); } extern int two(int) __attribute__((alias("one")));
static int implementation(void) { return 1; } static void *resolve(void) { return implementation; }
int chosen(void) __attribute__((ifunc("resolve")));
__asm__(".text\\nlabel_without_size: nop\\n.globl __underscored\\n__underscored: nop\\n");
#ifdef PROGRAM
void _start(void) { puts("x"); chosen(); for (;;); }
#else
int library(void) { return puts("x") + chosen(); }
#endif
"""
KINDS = {
    'so': ['-shared', '-fPIC'], 'so-ibt': ['-shared', '-fPIC', '-fcf-protection=full', '-Wl,-z,ibtplt'],
    'so-lazy': ['-shared', '-fPIC', '-Wl,-z,lazy', '-Wl,--hash-style=sysv'], 'so-g': ['-shared', '-fPIC', '-g', '-gz=zlib'],
    'static': ['-DPROGRAM', '-static', '-nostdlib', '-Wl,--unresolved-symbols=ignore-all'],
    'so32': ['-m32', '-shared', '-fPIC'], 'pie': ['-DPROGRAM', '-pie', '-nostdlib', '-nostartfiles', '-lc'],
}


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as made:
        made = pathlib.Path(made)
        (made / 'a.c').write_text(SOURCE)
        for name, options in KINDS.items():
            path = made / name
            done = subprocess.run(['gcc', '-O1', '-nostartfiles', '-Wl,--build-id=sha1', '-Wl,-z,noseparate-code',
                                   '-o', path, made / 'a.c', *options], stderr=subprocess.PIPE)
            if done.returncode:
                sys.exit(f'{name}: {done.stderr.decode()}')
            stripped = made / (name + '-stripped')
            subprocess.run(['strip', '-o', stripped, path], check=True)
            # As Fedora does it: what is stripped off, compressed, goes into a section.
            small = made / 'symbols'
            subprocess.run(['objcopy', '-S', '--keep-symbol=hidden', '--keep-symbol=one', path, small], check=True)
            subprocess.run(['xz', '-f', small], check=True)
            subprocess.run(['objcopy', '--add-section', f'.gnu_debugdata={small}.xz', stripped, made / (name + '-mini')],
                           check=True)
        for path in made.iterdir():
            if path.read_bytes()[:4] == b'\x7fELF' and path.name != 'symbols':
                (folder / path.name).write_bytes(path.read_bytes())
    (folder / 'map').write_bytes(b'\x02' + b'1000 40 one\n1010 8 inner\n1000 4 0x again\nzz\n2000 1000 a name with spaces\nFF0 30 over')
    (folder / 'cxx').write_bytes(b'\x03_ZNSt6vectorIiSaIiEE9push_backERKi')
    (folder / 'rust').write_bytes(b'\x03_RNvNtCs1234_7mycrate3foo3bar')
    (folder / 'rust-old').write_bytes(b'\x03_ZN4core3fmt9Formatter9write_str17h0123456789abcdefE')
    (folder / 'bomb').write_bytes(b'\x03_Z1fI' + b'1AIS_S_E' * 20 + b'E')


if __name__ == '__main__':
    main()
