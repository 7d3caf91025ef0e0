# SPDX-License-Identifier: BSD-2-Clause
"""What a breakpoint costs at each hit, and a call with its return: beside a bare loop of the same stops, and peers."""
import shutil
import statistics
import subprocess

CALLS = 20000
FEW = 500


def microseconds(nanoseconds):
    return f'{nanoseconds / 1000:.2f} us'


def per_call(bench, command, calls, threads):
    return bench.run(*command, bench.called, calls // threads, threads)[1]['call_ns']


def peer(bench, work, name, command, threads, floor):
    if not shutil.which(command[0]):
        bench.row(work, name, 'not installed')
        return
    try:
        values = [per_call(bench, command, FEW * threads, threads) for _ in range(3)]
    except (RuntimeError, KeyError, subprocess.TimeoutExpired) as error:
        bench.row(work, name, 'failed', note=str(error).replace('|', ' ')[:60])
        return
    value = statistics.median(values)
    bench.row(work, name, microseconds(value), f'{value / floor:.2f}')


def compare(bench, work, threads, floor_options, calls_options, bound, low_bound):
    """The floor with tracer and victim on one processor, which is where it is fastest with one thread."""
    trap = [bench.trap, *floor_options]
    calls = [bench.tether, 'calls', '-q', '-c', *calls_options, '-f', 'a.out:bench_leaf', '--']
    measures = {
        'pinned': lambda: per_call(bench, [*trap, '--pin'], CALLS, threads),
        'free': lambda: per_call(bench, trap, CALLS, threads),
        'tether': lambda: per_call(bench, calls, CALLS, threads),
    }
    if low_bound:
        measures['low'] = lambda: per_call(bench, calls[:2] + ['--low-latency'] + calls[2:], CALLS, threads)
    values = bench.in_turn(measures)
    floor = statistics.median(values['pinned'])

    def row(name, what, its_bound):
        ratio = statistics.median(a / b for a, b in zip(values[name], values['pinned']))
        verdict = ('met' if ratio <= its_bound else 'MISSED') if its_bound else ''
        bench.row(work, what, microseconds(statistics.median(values[name])), f'{ratio:.2f}', str(its_bound or ''), verdict)

    row('pinned', 'floor: on one processor', None)
    row('free', 'floor: wherever it runs', None)
    row('tether', 'tether calls -c', bound)
    if low_bound:
        row('low', 'tether calls -c --low-latency', low_bound)
    return floor


def hits(bench):
    for threads, bound, low_bound in ((1, 4, 1.4), (2, 4, None), (16, 1.25, None)):
        work = f'a call counted, {threads} thread' + ('s' if threads > 1 else '')
        floor = compare(bench, work, threads, [], [], bound, low_bound)
        if threads == 2:
            continue
        for name, command in [
                ('gdb, ignore count', ['gdb', '-nx', '-q', '-batch', '-ex', 'break bench_leaf', '-ex', 'ignore 1 1000000000',
                                       '-ex', 'run', '--args']),
                ('lldb, auto-continue', ['lldb', '--no-lldbinit', '-b', '-o', 'breakpoint set -n bench_leaf -G true', '-o', 'run',
                                         '--']),
                ('ltrace -c (returns too)', ['ltrace', '-c', '-f', '-o', '/dev/null', '-L', '-x', 'bench_leaf@MAIN']),
                ('bpftrace, uprobe', ['bpftrace', '-q', '-e', f'uprobe:{bench.called}:bench_leaf {{ @ = count(); }}', '-c'])]:
            if name.startswith('bpftrace'):
                by_kernel(bench, work, name, command, threads, floor)
            else:
                peer(bench, work, name, command, threads, floor)


def by_kernel(bench, work, name, command, threads, floor):
    """Its -c takes one word, and its calls are so cheap that few of them tell nothing."""
    if not shutil.which(command[0]):
        bench.row(work, name, 'not installed')
        return
    try:
        said = bench.run(*command, f'{bench.called} {CALLS * 10 // threads} {threads}')[1]
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        bench.row(work, name, 'failed', note=str(error).replace('|', ' ')[:60])
        return
    bench.row(work, name, microseconds(said['call_ns']), f'{said["call_ns"] / floor:.2f}')


def returns(bench):
    for threads, bound, low_bound in ((1, 4, 1.4), (2, 4, None), (16, 1.3, None)):
        work = f'a call and its return, {threads} thread' + ('s' if threads > 1 else '')
        floor = compare(bench, work, threads, ['--returns'], ['--hist'], bound, low_bound)
        if threads > 1:
            continue
        peer(bench, work, 'ltrace -x', ['ltrace', '-f', '-o', '/dev/null', '-L', '-x', 'bench_leaf@MAIN'], threads, floor)
        by_kernel(bench, work, 'bpftrace, uprobe and uretprobe', [
            'bpftrace', '-q', '-e', f'uprobe:{bench.called}:bench_leaf {{ @s[tid] = nsecs; }} '
            f'uretprobe:{bench.called}:bench_leaf {{ @ = hist(nsecs - @s[tid]); }}', '-c'], threads, floor)
