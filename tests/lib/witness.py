# SPDX-License-Identifier: BSD-2-Clause
"""Compare what tether says of a program with what independent witnesses say.

Four runs of the same command in the same, freshly made folder: alone; under `tether run`; under strace (which
programs were executed); with LD_DEBUG=files (which objects the linker mapped). Then:

  - stdout, stderr, exit status and created files of the traced run are those of the run alone
  - successful execs are those of strace, as multisets of (path, argv)
  - loads are those of LD_DEBUG, process image by process image
  - every process has its exit (or release) record, and the records of each are in the order promised
"""
import collections
import hashlib
import os
import re
import shutil
import stat

from schema import check_records

# mkstemp-like names that compilers give: different in every run, alike in shape.
TEMPORARY = re.compile(r'\bcc[A-Za-z0-9]{6}(?=\.|\b)')


class Program:
    """A command and how to compare it.

    setup(folder)     makes the folder's content before each run
    output(bytes)     what of stdout and stderr can be compared (default: all)
    skip_files        patterns of created files whose content is different in every run
    word(str)         what of a word of argv can be compared
    """

    def __init__(self, command, setup=None, output=None, skip_files=(), word=None, environment=None, seconds=60):
        self.command = command
        self.setup = setup or (lambda folder: None)
        self.output = output or (lambda data: data)
        self.skip_files = [re.compile(pattern) for pattern in skip_files]
        self.word = word or (lambda text: text)
        self.environment = environment or {}
        self.seconds = seconds


def files_below(folder, skip):
    """{relative path: (type and mode, size, hash or link target)} of everything below a folder."""
    found = {}
    for path in sorted(folder.rglob('*')):
        name = str(path.relative_to(folder))
        status = path.lstat()
        if any(pattern.search(name) for pattern in skip):
            found[name] = 'present'
        elif stat.S_ISREG(status.st_mode):
            found[name] = (oct(status.st_mode), status.st_size, hashlib.sha256(path.read_bytes()).hexdigest()[:16])
        elif stat.S_ISLNK(status.st_mode):
            found[name] = ('link', os.readlink(path))
        else:
            found[name] = (oct(status.st_mode),)
    return found


def run_in_fresh_folder(t, program, prefix, environment=None):
    folder = t.tmp / 'folder'
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir()
    program.setup(folder)
    result = t.run([*prefix, *program.command], cwd=folder, timeout=program.seconds,
                   env={'TMPDIR': str(t.tmp), **program.environment, **(environment or {})})
    return result, files_below(folder, program.skip_files)


# ---- execs: strace ----------------------------------------------------------------------------------------

HEX_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')


def unhex(text):
    return bytes.fromhex(text.replace('\\x', '')).decode('utf-8', 'surrogateescape')


def strace_execs(t, text):
    """[(path, argv)] of each successful execve and execveat. A call that a thread change interrupts is printed
    in two pieces, the second without the arguments."""
    unfinished, execs = {}, []
    for line in text.splitlines():
        match = re.match(r'(\d+) +(.*)', line)
        if not match:
            continue
        pid, rest = match.groups()
        if rest.startswith(('execve(', 'execveat(')):
            if '<unfinished ...>' in rest:
                unfinished[pid] = rest
                continue
            call = rest
        elif re.match(r'<\.\.\. execve(at)? resumed>', rest):
            call = unfinished.pop(pid, '') + rest
        else:
            continue
        if not re.search(r'\) += 0$', call):
            continue
        strings = HEX_STRING.findall(call)
        if any(cut for _, cut in strings):
            t.fail(f'strace cut a string: {call[:300]}')
        path, argv = unhex(strings[0][0]), call[call.index('['):call.index(']')]
        execs.append((path, [unhex(s) for s, _ in HEX_STRING.findall(argv)]))
    return execs


def comparable_exec(program, path, argv):
    return tuple(TEMPORARY.sub('ccXXXXXX', program.word(word)) for word in (path, *argv))


def compare_execs(t, program, records, text):
    """A script's process has the interpreter's argv; what was asked for is behind the script's path in it."""
    strace, tether = collections.Counter(), collections.Counter()
    for path, argv in strace_execs(t, text):
        strace[comparable_exec(program, path, argv[1:])] += 1
    for record in records:
        if record['event'] != 'exec':
            continue
        path, argv = record['path'], record['argv']
        if 'interpreter' in record and path in argv:
            rest = argv[argv.index(path) + 1:]
        else:
            rest = argv[1:]
        tether[comparable_exec(program, path, rest)] += 1
    t.check(sum(strace.values()) > 0, 'strace saw no exec')
    t.equal(sorted(tether.elements()), sorted(strace.elements()), 'execs (+ tether, - strace)')


# ---- loads: LD_DEBUG ----------------------------------------------------------------------------------------


def linker_images(folder):
    """One Counter of (name, namespace) a process image, from what the linker wrote.

    A file is of one process and its images by exec, and of forked children that inherited it: each line begins
    with the pid. A new image shows by an object needed by its program (no library) after control had been
    given to the program before.
    """
    images, current = [], {}
    for path in sorted(folder.iterdir()):
        for line in path.read_text('utf-8', 'surrogateescape').splitlines():
            match = re.match(r' *(\d+):\t(.*)', line)
            if not match:
                continue
            pid, text = match.groups()
            image = current.get(pid)
            new = image is None
            match = re.match(r'file=(.*) \[\d+\];  needed by (.*) \[\d+\]', text)
            if match and image and image['started']:
                needer = os.path.basename(match[2])
                new = not any(name == needer for name, _ in image['loads'])
            if new:
                image = current[pid] = {'loads': collections.Counter(), 'paths': set(), 'started': False}
                images.append(image)
            match = re.match(r'file=(.*) \[(\d+)\];  generating link map', text)
            if match:
                image['loads'][os.path.basename(match[1]), int(match[2])] += 1
            elif text.startswith('transferring control: '):
                image['started'] = True
            elif text.startswith('calling init: /'):
                image['paths'].add(os.path.basename(text.removeprefix('calling init: ')))
    return [image['loads'] for image in images if image['loads']]


def tether_images(records):
    images, current = [], {}
    for record in records:
        pid = record.get('pid')
        if record['event'] == 'exec' or pid not in current:
            current[pid] = collections.Counter()
            images.append(current[pid])
        if record['event'] == 'load':
            current[pid][os.path.basename(record['object']), record['lmid']] += 1
    return [image for image in images if image]


def compare_loads(t, program, records, folder):
    def lines(images):
        return sorted(' '.join(f'{name}[{lmid}]x{count}' for (name, lmid), count in sorted(image.items()))
                      for image in images)
    linker = lines(linker_images(folder))
    t.check(linker, 'LD_DEBUG showed no image')
    t.equal(lines(tether_images(records)), linker, 'loads by image (+ tether, - LD_DEBUG)')


# ---- the whole ------------------------------------------------------------------------------------------


def check_witnessed(t, program, compare_files=True, loads=True):
    """Run the program four times and compare. The records of the traced run."""
    strace = t.need('strace')
    alone, files_alone = run_in_fresh_folder(t, program, [])
    records_path = t.tmp / 'records.jsonl'
    traced, files_traced = run_in_fresh_folder(
        t, program, [*t.tether, 'run', '--format=jsonl', '-o', str(records_path), '--'])
    t.equal(program.output(traced.stderr), program.output(alone.stderr), 'stderr')
    t.equal(program.output(traced.stdout), program.output(alone.stdout), 'stdout')
    t.equal(traced.returncode, alone.returncode, 'exit status')
    if compare_files:
        t.equal(sorted(files_traced.items()), sorted(files_alone.items()), 'created files')

    records = t.records(records_path)
    check_records(t, records)
    check_ends(t, records, alone.returncode)

    strace_path = t.tmp / 'strace'
    run_in_fresh_folder(t, program, [strace, '-f', '-qq', '-v', '-xx', '-s', '1000000', '-e', 'trace=execve,execveat',
                                     '-e', 'signal=none', '-o', str(strace_path)])
    compare_execs(t, program, records, strace_path.read_text('ascii', 'replace'))
    if loads:
        linker = t.tmp / 'linker'
        linker.mkdir()
        run_in_fresh_folder(t, program, [], {'LD_DEBUG': 'files', 'LD_DEBUG_OUTPUT': str(linker / 'of')})
        compare_loads(t, program, records, linker)
    return records


def check_ends(t, records, returncode):
    """Every process that was held has its exit record, or was released when the command ended."""
    held = [record['pid'] for record in records if record['event'] == 'create']
    held += [record['child'] for record in records if record['event'] == 'fork' and record['followed']]
    ended = collections.Counter(record['pid'] for record in records if record['event'] in ('exit', 'release', 'lost'))
    t.equal([pid for pid in held if not ended[pid]], [], 'processes without an end')
    t.equal([pid for pid in ended if pid not in held], [], 'ends of processes that were not held')
    first = [r for r in records if r['event'] == 'exit' and r['pid'] == held[0]]
    t.equal(len(first), 1, 'exit records of the command')
    t.equal(first[0].get('code', -1), returncode, 'exit code in the record')
