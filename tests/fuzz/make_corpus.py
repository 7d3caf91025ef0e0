#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""make_corpus.py FOLDER [STACKS]: what fuzz_symbols and fuzz_stack start from. Needs gcc, binutils, xz and zstd.

The first gets small ELF files of every kind, the second an image with every kind of rule, alone and with registers and a stack.
"""
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import zlib

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

# Each function is one kind of rule for its caller. 0x0f: DW_CFA_def_cfa_expression, 0x10: expression, 0x16: val_expression.
RULES = r"""
.macro function name
.globl \name
\name: .cfi_startproc
.endm
.macro end
nop; ret
.cfi_endproc
.endm
.text
function plain; push %rbp; .cfi_def_cfa_offset 16; .cfi_offset 6, -16; mov %rsp, %rbp; .cfi_def_cfa_register 6; call plain; end
function signals; .cfi_signal_frame; .cfi_offset 16, 8; .cfi_offset 7, 16; mov $15, %rax; syscall; end
function outermost; .cfi_undefined 16; call plain; end
function in_register; .cfi_register 16, 3; .cfi_same_value 12; .cfi_val_offset 7, 24; nop; end
function remembered; .cfi_remember_state; .cfi_def_cfa_offset 64; nop; .cfi_restore_state; .cfi_restore 3; nop; end
function cfa_by_words; .cfi_escape 0x0f, 6, 0x77, 0, 0x06, 0x23, 8, 0x22; nop; end
function rip_by_words; .cfi_escape 0x10, 16, 4, 0x77, 8, 0x06, 0x96; nop; end
function value_by_words; .cfi_escape 0x16, 6, 5, 0x76, 0, 0x12, 0x17, 0x22; nop; end
function like_a_plt; .cfi_escape 0x0f, 11, 0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22; nop; end
function no_end; .cfi_def_cfa 7, 0; nop; end
without_rules: push %rbp; mov %rsp, %rbp; call plain; pop %rbp; ret
restores: mov $15, %rax; syscall
.section .note.GNU-stack, "", @progbits
"""
IMAGE_AT, STACK_AT = 0x7f0000010000, 0x7ffd00001000


def make_stacks(folder, made):
    """As LLVMFuzzerTestOneInput() of fuzz_stack.c takes them."""
    folder.mkdir(exist_ok=True)
    (made / 'rules.s').write_text(RULES)
    image = made / 'rules'
    subprocess.run(['gcc', '-shared', '-nostdlib', '-Wl,-z,noseparate-code', '-Wl,--build-id=none', '-Wl,--hash-style=gnu',
                    '-o', image, made / 'rules.s'], check=True)
    symbols = subprocess.run(['nm', image], check=True, stdout=subprocess.PIPE, text=True).stdout.split('\n')
    places = {line.split()[2]: int(line.split()[0], 16) for line in symbols if ' T ' in line or ' t ' in line}
    subprocess.run(['strip', image], check=True)
    # Section headers, which memory need not have, go too.
    whole = image.read_bytes()[:struct.unpack_from('<Q', image.read_bytes(), 40)[0]]
    (folder / 'rules').write_bytes(whole)
    for name, place in places.items():
        registers = b''.join(struct.pack('<BH', 2, 8 * n) for n in range(27))
        stack = b''.join(struct.pack('<QQ', STACK_AT + 32 * n + 64, IMAGE_AT + list(places.values())[n % len(places)] + 1)
                         for n in range(16))
        (folder / name).write_bytes(struct.pack('<H', len(whole)) + whole + registers + b'\xff\xff\x01' +
                                    struct.pack('<BHBH', 1, place + 1, 2, 0) + stack)


def zstd(data):
    return subprocess.run(['zstd', '-q', '-c'], input=data, stdout=subprocess.PIPE, check=True).stdout


def packed(data, kind):
    """A 64-bit ELF file with its tables of symbols and strings as sections of kind 1 (zlib) or 2 (zstd)."""
    data = bytearray(data)
    start, = struct.unpack_from('<Q', data, 40)
    count, names = struct.unpack_from('<HH', data, 60)
    for n in range(count):
        at = start + 64 * n
        flags, = struct.unpack_from('<Q', data, at + 8)
        offset, size = struct.unpack_from('<QQ', data, at + 24)
        if struct.unpack_from('<I', data, at + 4)[0] not in (2, 3) or flags or not size or n == names:
            continue  # only .symtab and .strtab
        plain = bytes(data[offset:offset + size])
        data += b'\0' * (-len(data) % 16)
        struct.pack_into('<Q', data, at + 8, 0x800)
        struct.pack_into('<Q', data, at + 24, len(data))
        data += struct.pack('<IIQQ', kind, 0, size, 1) + (zlib.compress(plain) if kind == 1 else zstd(plain))
        struct.pack_into('<Q', data, at + 32, len(data) - struct.unpack_from('<Q', data, at + 24)[0])
    return bytes(data)


SLOTS = r'''
int puts(const char *);
static int first(void) { return 1; }
static void *pick(void) { return first; }
static int within(void) __attribute__((ifunc("pick")));
int chosen(void) __attribute__((ifunc("pick")));
int use(void) { return puts("slots") + chosen() + within(); }
'''


def mapped(data):
    """The segments of a 64-bit ELF file where they would be in memory."""
    start, = struct.unpack_from('<Q', data, 32)
    count, = struct.unpack_from('<H', data, 56)
    memory = bytearray()
    for at in range(start, start + 56 * count, 56):
        offset, address, _, size, room = struct.unpack_from('<5Q', data, at + 8)
        if struct.unpack_from('<I', data, at)[0] == 1:
            memory += bytes(max(0, address + room - len(memory)))
            memory[address:address + size] = data[offset:offset + size]
    return bytes(memory)


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as made:
        made = pathlib.Path(made)
        if sys.argv[2:]:
            make_stacks(pathlib.Path(sys.argv[2]), made)
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
            if name == 'so':
                (folder / 'so-packed').write_bytes(packed(path.read_bytes(), 1))
                (folder / 'so-packed-zstd').write_bytes(packed(path.read_bytes(), 2))
                (made / 'symbols.zst').write_bytes(zstd(small.read_bytes()))
                subprocess.run(['objcopy', '--add-section', f'.gnu_debugdata={small}.zst', stripped,
                                made / (name + '-mini-zstd')], check=True)
            subprocess.run(['xz', '-f', small], check=True)
            subprocess.run(['objcopy', '--add-section', f'.gnu_debugdata={small}.xz', stripped, made / (name + '-mini')],
                           check=True)
        (made / 'slots.c').write_text(SLOTS)
        subprocess.run(['gcc', '-O1', '-shared', '-fPIC', '-nostdlib', '-Wl,-soname,libslots.so.1', '-Wl,-z,noseparate-code',
                        '-o', made / 'slots', made / 'slots.c'], check=True)
        (made / 'slots').write_bytes(mapped((made / 'slots').read_bytes()))
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
