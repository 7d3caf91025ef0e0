# SPDX-License-Identifier: BSD-2-Clause
"""What /proc tells of a process: is it whole, is it free."""
import contextlib
import os
import pathlib
import re
import subprocess
import time


def status(pid, tid=None):
    """Fields of /proc/PID/status, {} when it is gone."""
    try:
        text = pathlib.Path(f'/proc/{pid}/task/{tid or pid}/status').read_text()
    except OSError:
        return {}
    return dict(line.split(':\t', 1) for line in text.splitlines() if ':\t' in line)


def threads(pid):
    try:
        return [int(tid) for tid in os.listdir(f'/proc/{pid}/task')]
    except OSError:
        return []


def children(pid):
    found = []
    for tid in threads(pid):
        try:
            found += [int(child) for child in pathlib.Path(f'/proc/{pid}/task/{tid}/children').read_text().split()]
        except OSError:
            pass
    return found


def eventually(question, seconds=10, pause=0.01):
    """Ask until the answer is true; the last answer. A machine that has stood still for all of the time is asked on."""
    deadline, asked = time.monotonic() + seconds, 0
    while True:
        answer, asked = question(), asked + 1
        if answer or (time.monotonic() > deadline and asked > seconds / pause / 5):
            return answer
        time.sleep(pause)


def held_threads(pid):
    """Threads that are traced or stopped."""
    held = []
    for tid in threads(pid):
        fields = status(pid, tid)
        if fields.get('TracerPid', '0').strip() != '0' or fields.get('State', 'R')[0] in 'tT':
            held.append(tid)
    return held


def check_free(t, pid):
    """Nobody traces it, no thread is stopped; it may take a moment."""
    if not eventually(lambda: not held_threads(pid), 5):
        held = [(tid, fields.get('State'), fields.get('TracerPid')) for tid in held_threads(pid) for fields in [status(pid, tid)]]
        tracers = {tracer: (status(int(tracer)).get('Name'), status(int(tracer)).get('State')) for _, _, tracer in held if tracer}
        t.equal(held, [], f'threads of {pid} that are traced or stopped; tracers: {tracers}')


def check_text(t, pid):
    """Every executable file mapping equals its file."""
    compared = 0
    with open(f'/proc/{pid}/mem', 'rb') as memory:
        for line in pathlib.Path(f'/proc/{pid}/maps').read_text().splitlines():
            match = re.match(r'([0-9a-f]+)-([0-9a-f]+) ..x. ([0-9a-f]+) \S+ \S+ +(/.*)', line)
            if not match or not os.path.exists(match[4]):
                continue
            start, end, offset = (int(match[n], 16) for n in (1, 2, 3))
            memory.seek(start)
            with open(match[4], 'rb') as file:
                file.seek(offset)
                text = file.read(end - start)
            here = memory.read(end - start)[:len(text)]
            if here != text:
                at = next(i for i in range(len(text)) if here[i] != text[i])
                t.fail(f'text of {match[4]} differs at {start + at:#x}: {here[at]:02x} in memory, {text[at]:02x} in the file')
            compared += 1
    t.check(compared > 0, f'no text of {pid} to compare')


@contextlib.contextmanager
def running(t, command, **options):
    """A program that is ended, and waited for, when the block is left."""
    options.setdefault('stdin', subprocess.DEVNULL)
    options.setdefault('stdout', subprocess.DEVNULL)
    process = subprocess.Popen([os.fspath(word) for word in command], cwd=t.tmp, **options)
    try:
        yield process
    finally:
        for pipe in (process.stdin, process.stdout):
            if pipe:
                pipe.close()
        process.kill()
        process.wait()
