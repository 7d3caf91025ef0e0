# SPDX-License-Identifier: BSD-2-Clause
"""What the documents show works, and what they point to is there."""
import os
import pty
import re
import subprocess

from processes import check_free, eventually


def document(t, name):
    path = t.source.parent / name
    if not path.exists():
        t.skip(f'{name} is not beside the tests')
    return path.read_text()


def test_the_example_of_the_readme_compiles_and_shows_loads(t):
    text = document(t, 'README.md')
    example = re.search(r'```c\n(.*?)```', text, re.DOTALL)[1]
    (t.tmp / 'example.c').write_text(example)
    flags = {'address': ['-fsanitize=address,undefined'], 'thread': ['-fsanitize=thread']}.get(t.sanitizer, [])
    made = t.run([t.need('gcc'), '-Wall', '-Wextra', '-Werror', *flags, '-I', t.source.parent / 'include', '-o', 'example',
                  'example.c', '-L', t.build / 'src', '-ltether', f'-Wl,-rpath,{t.build / "src"}'])
    t.equal(made.returncode, 0, f'gcc: {made.stderr.decode()}')
    victim = subprocess.Popen([t.victim('loads')], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    t.equal(victim.stdout.readline(), b'ready\n')
    # A terminal, so that its printf() comes line by line.
    ours, its = pty.openpty()
    os.set_blocking(ours, False)
    out = b''

    def told(what):
        nonlocal out
        try:
            out += os.read(ours, 65536)
        except BlockingIOError:
            pass
        return what in out
    client = subprocess.Popen([t.tmp / 'example', str(victim.pid)], stdout=its)
    # It is in its loop once it has printed what was loaded before the grab.
    first = eventually(lambda: told(b'libc.so.6'))
    victim.stdin.write(b'dlopen\n')
    victim.stdin.flush()
    second = eventually(lambda: told(b'plugin-b.so'))
    client.kill()
    client.wait()
    os.close(ours)
    os.close(its)
    t.check(first and second, out)
    check_free(t, victim.pid)
    victim.stdin.close()
    victim.stdout.read()
    victim.stdout.close()
    t.equal(victim.wait(), 0, 'exit of the victim')


def test_links_between_documents_lead_somewhere(t):
    root = t.source.parent
    document(t, 'README.md')
    broken = []
    for path in [*root.glob('*.md'), *root.glob('docs/*.md')]:
        for link in re.findall(r'\]\(([^)#:]+)\)', path.read_text()):
            if not (path.parent / link).exists():
                broken.append(f'{path.name}: {link}')
    t.equal(broken, [], 'links')


def test_every_row_of_the_mapping_is_there(t):
    """All 25, each with names that the headers have."""
    headers = ''.join(path.read_text() for path in sorted((t.source.parent / 'include' / 'tether').glob('*.h')))
    rows = re.findall(r'^\| (\d+) \| (.+) \| (.+) \| (.+) \|$', document(t, 'docs/mapping.md'), re.MULTILINE)
    t.equal([int(row[0]) for row in rows], list(range(1, 26)), 'rows')
    t.equal([int(row[0]) for row in rows if 'not yet' in row[3]], [], 'rows that say not yet')
    for number, _, here, state in rows:
        t.check(state.startswith('there'), (number, state))
        for name in re.findall(r'\btether_\w+|\bTETHER_\w+[A-Z]\b', here):
            t.check(re.search(rf'\b{name}\b', headers) or re.search(rf'\bX\(\d+, {name.removeprefix("TETHER_")},', headers),
                    f'row {number}: no header has {name}')
