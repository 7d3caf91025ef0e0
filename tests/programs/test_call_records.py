# SPDX-License-Identifier: BSD-2-Clause
"""tether calls: calls and returns as lines, records, traces, folded stacks and histograms, beside witnesses."""
import collections
import json
import os
import re
import select
import signal
import subprocess

from processes import check_free, eventually
from schema import check_record
from tether_test import timeout

NEST = r'''
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
static jmp_buf back;
__attribute__((noinline)) int leaf(int n) { __asm__ volatile("" : "+r"(n)); return n + 1; }
__attribute__((noinline)) int down(int n)
{
	int r = n ? down(n - 1) : leaf(100);
	__asm__ volatile("" : "+r"(r));
	return r + 1;
}
__attribute__((noinline)) void jumps(int n)
{
	if (!n)
		longjmp(back, 1);
	jumps(n - 1);
	__asm__ volatile("");
}
int main(void)
{
	int r = down(3);
	if (!setjmp(back))
		jumps(2);
	r += leaf(7);
	printf("%d\n", r);
	return 0;
}
'''

THROWS = r'''
#include <cstdio>
namespace deep {
__attribute__((noinline)) int leaf(int n) { __asm__ volatile("" : "+r"(n)); return n; }
__attribute__((noinline)) int thrower(int n)
{
	if (!n)
		throw 5;
	int r = thrower(n - 1);
	__asm__ volatile("" : "+r"(r));
	return r + 1;
}
__attribute__((noinline)) int catcher(int n)
{
	try {
		return thrower(n);
	} catch (int caught) {
		return leaf(caught);
	}
}
}
int main()
{
	int sum = 0;
	for (int i = 0; i < 3; i++)
		sum += deep::catcher(i) + deep::leaf(i);
	std::printf("%d\n", sum);
	return 0;
}
'''


def compile_text(t, name, text, *flags, compiler='gcc'):
    source = t.tmp / f'{name}.{"cc" if compiler == "g++" else "c"}'
    source.write_text(text)
    made = t.run([t.need(compiler), '-O1', '-fno-optimize-sibling-calls', *flags, '-o', t.tmp / name, source])
    t.equal(made.returncode, 0, made.stderr.decode())
    return str(t.tmp / name)


def calls(t, arguments, command, limit=100):
    """(result, its output file)"""
    out = t.tmp / 'calls.out'
    result = t.run([*t.tether, 'calls', *arguments, '-o', out, '--', *command], timeout=limit)
    return result, out


def records(t, path):
    told = t.records(path)
    for number, record in enumerate(told, 1):
        if record['event'] != 'stack':
            check_record(t, number, record)
    t.equal((told[0]['event'], told[-1]['event']), ('header', 'summary'), 'first and last')
    return told


def check_nesting(t, told):
    """Calls and returns of each thread are those of a stack; what is left without return is left for good. {tid: longest}"""
    stacks, last, deepest = {}, {}, collections.Counter()
    for r in told:
        if r['event'] not in ('call', 'return'):
            continue
        stack, depth = stacks.setdefault(r['tid'], []), r['depth']
        t.check(r['t_ns'] >= last.get(r['tid'], 0), f'time goes back: {r}')
        last[r['tid']] = r['t_ns']
        if r['event'] == 'call':
            t.check(depth <= len(stack), f'too deep, inside of {len(stack)}: {r}')
            del stack[depth:]
            stack.append(r)
            deepest[r['tid']] = max(deepest[r['tid']], depth + 1)
        else:
            t.check(depth < len(stack), f'a return without its call: {r}')
            begun = stack[depth]
            del stack[depth:]
            t.equal(r['symbol'], begun['symbol'], f'function of {r}')
            t.check(r['elapsed_ns'] > 0, (begun, r))
    return deepest


def numbers(told):
    return collections.Counter((r['event'], r['symbol']) for r in told if r['event'] in ('call', 'return'))


# ---- text ---------------------------------------------------------------------------------------------------------

def functions_of(path):
    """Lines without times and ids, and the ids."""
    lines, ids = [], set()
    for line in path.read_text().splitlines():
        match = re.match(r' +\d+\.\d{6} +(\d+) +(\d+)  (.*)$', line)
        if match:
            ids.add((match[1], match[2]))
            lines.append(match[3])
    return lines, ids


def test_lines_are_indented_by_depth(t):
    result, out = calls(t, ['-f', 'a.out:main,down,leaf', '--args', '1'], [compile_text(t, 'nest', NEST)])
    t.equal((result.returncode, result.stdout, result.stderr), (0, b'113\n', b''), 'the program')
    lines, ids = functions_of(out)
    t.equal(lines, ['main(0x1)', '  down(0x3)', '    down(0x2)', '      down(0x1)', '        down(0x0)', '          leaf(0x64)',
                    '  leaf(0x7)'], 'lines')
    t.check(len(ids) == 1 and len(set(ids.pop())) == 1, 'pid and tid')


def test_returns_close_what_they_return_from(t):
    result, out = calls(t, ['-f', 'a.out:main,down,leaf,jumps', '--ret'], [compile_text(t, 'nest', NEST)])
    t.equal((result.returncode, result.stdout), (0, b'113\n'), 'the program')
    lines = [re.sub(r'^ *[\d.]+ (ms|us|µs|s) ', lambda m: ' ' * len(m[0]), line) for line in functions_of(out)[0]]
    t.check(all(line.startswith(' ' * 10) for line in lines), lines)
    t.equal([line[10:] for line in lines],
            ['main() {', '  down() {', '    down() {', '      down() {', '        down() {', '          leaf() = 0x65',
             '        } down = 0x66', '      } down = 0x67', '    } down = 0x68', '  } down = 0x69',
             '  jumps() {', '    jumps() {', '      jumps()  <unwound>', '    } jumps  <unwound>', '  } jumps  <unwound>',
             '  leaf() = 0x8', '} main = 0x0'], 'lines')


def test_exceptions_unwind_and_names_are_demangled(t):
    program = compile_text(t, 'throws', THROWS, compiler='g++')
    result, out = calls(t, ['-f', 'a.out:*4deep*', '--ret', '--format=jsonl'], [program])
    t.equal((result.returncode, result.stdout), (0, b'18\n'), 'the program')
    told = records(t, out)
    check_nesting(t, told)
    t.equal(numbers(told), {('call', 'deep::catcher(int)'): 3, ('return', 'deep::catcher(int)'): 3, ('call', 'deep::thrower(int)'): 6,
                            ('call', 'deep::leaf(int)'): 6, ('return', 'deep::leaf(int)'): 6}, 'calls and returns')
    t.equal([r['depth'] for r in told if r['event'] == 'call' and 'thrower' in r['symbol']], [1, 1, 2, 1, 2, 3], 'depths')
    t.equal([r['depth'] for r in told if r['event'] == 'call' and 'leaf' in r['symbol']], [1, 0, 1, 0, 1, 0], 'depths')
    result, out = calls(t, ['-f', 'a.out:*4deep*', '--raw-names', '--format=jsonl'], [program])
    t.equal(set(r['symbol'] for r in records(t, out) if r['event'] == 'call'),
            {'_ZN4deep4leafEi', '_ZN4deep7throwerEi', '_ZN4deep7catcherEi'}, 'raw names')


def test_each_call_has_its_stack_below_it(t):
    result, out = calls(t, ['-f', 'a.out:leaf', '-k'], [compile_text(t, 'nest', NEST)])
    t.equal((result.returncode, result.stdout), (0, b'113\n'), 'the program')
    frames = [re.match(r'    0x[0-9a-f]{16}  nest`(\w+)', line) for line in out.read_text().splitlines()]
    t.equal([frame[1] for frame in frames if frame], ['leaf', 'down', 'down', 'down', 'down', 'main', '_start', 'leaf', 'main', '_start'],
            out.read_text())
    result, out = calls(t, ['-f', 'a.out:leaf', '-k', '--format=jsonl'], [compile_text(t, 'nest', NEST)])
    told = [r for r in records(t, out) if r['event'] in ('call', 'stack')]
    t.equal([r['event'] for r in told], ['call', 'stack', 'call', 'stack'], 'records')
    t.equal(told[1]['frames'][0]['symbol'], 'leaf', 'innermost')


# ---- against counters ------------------------------------------------------------------------------------------------

class Counts:
    """The victim that counts its own calls."""

    def __init__(self, t, threads, program='counts'):
        self.t = t
        self.process = subprocess.Popen([t.victim(program), str(threads)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        t.equal(self.process.stdout.readline(), b'ready\n')

    def tell(self, word):
        self.process.stdin.write(word.encode() + b'\n')
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        self.t.check(line.startswith(b'done '), line)
        return int(line.split()[1])

    def end(self):
        self.process.stdin.close()
        self.t.equal(self.process.wait(), 0, 'exit of the victim')
        self.process.stdout.close()


def counted_by_victim(t, threads, words, arguments, program='counts', say=()):
    """Run it under tether: (its own count, records)"""
    out = t.tmp / 'records'
    text = '\n'.join(words) + '\n'
    result = t.run([*t.tether, 'calls', '-f', 'a.out:counts_call', *arguments, '--format=jsonl', '-o', out, '--', t.victim(program),
                    str(threads)], input=text.encode(), timeout=150)
    t.equal(result.returncode, 0, result.stderr.decode())
    lines = result.stdout.decode().splitlines()
    t.equal([line for line in lines if line.startswith('wrong')], [], 'the victim')
    return int(lines[-1].split()[1]), records(t, out)


@timeout(240)
def test_calls_and_returns_are_as_many_as_the_victim_counts(t):
    for threads in (1, 16):
        own, told = counted_by_victim(t, threads, ['call 500'], ['--ret', '--args', '2'])
        dropped = sum(r['count'] for r in told if r['event'] == 'dropped')
        found = numbers(told)
        t.equal(own, threads * 500, 'own count')
        t.equal((found[('call', 'counts_call')], found[('return', 'counts_call')], dropped), (own, own, 0), f'{threads} threads')
        check_nesting(t, told)
        # counts_call(i, 7) is i + 7, of each thread in order
        arguments = collections.defaultdict(list)
        for r in told:
            if r['event'] == 'call':
                t.equal(r['args'][1], '0x7')
                arguments[r['tid']].append(int(r['args'][0], 16))
            elif r['event'] == 'return':
                t.equal(int(r['value'], 16), arguments[r['tid']][-1] + 7, 'value')
        t.equal(list(arguments.values()), [list(range(500))] * threads, 'arguments')


@timeout(180)
def test_children_by_fork_and_vfork_and_the_next_program(t):
    own, told = counted_by_victim(t, 2, ['call 10', 'fork 20', 'vfork 5', 'exec', 'call 10'], ['--ret'])
    t.equal(own, 20 + 20 + 5 + 20, 'own count')
    found = numbers(told)
    t.equal((found[('call', 'counts_call')], found[('return', 'counts_call')]), (own, own), 'calls')
    t.equal(len({r['pid'] for r in told if r['event'] == 'call'}), 1 + 1 + 5, 'processes')
    check_nesting(t, told)
    own, told = counted_by_victim(t, 1, ['call 10', 'fork 20', 'vfork 5'], ['--ret', '--no-follow'])
    t.equal((own, numbers(told)[('call', 'counts_call')]), (35, 10), 'not followed')


@timeout(120)
def test_a_static_program(t):
    own, told = counted_by_victim(t, 4, ['call 50', 'fork 9'], ['--ret'], program='counts-static')
    found = numbers(told)
    t.equal((own, found[('call', 'counts_call')], found[('return', 'counts_call')]), (209, 209, 209), 'calls')


def test_a_library_that_is_loaded_later(t):
    out = t.tmp / 'records'
    result = t.run([*t.tether, 'calls', '-f', 'counts-plugin.so:counts_work', '--ret', '--args', '1', '--format=jsonl', '-o', out, '--',
                    t.victim('counts'), '1'], input=b'plugin\nplugin\n')
    t.equal(result.returncode, 0, result.stderr.decode())
    told = records(t, out)
    once = [(0, 1)] + [(i, i + 1) for i in range(9)]
    t.equal([int(r['args'][0], 16) for r in told if r['event'] == 'call'], [i for i, _ in once] * 2, 'calls, the constructor\'s first')
    t.equal([int(r['value'], 16) for r in told if r['event'] == 'return'], [n for _, n in once] * 2, 'returns')


@timeout(180)
def test_eight_threads_in_a_malloc_loop_without_plt(t):
    text = r'''
#include <pthread.h>
#include <stdlib.h>
static void *loop(void *data)
{
	for (int i = 0; i < 400; i++)
		free(malloc(i + 1));
	return data;
}
int main(void)
{
	pthread_t thread[8];
	for (int i = 0; i < 8; i++)
		pthread_create(&thread[i], NULL, loop, NULL);
	for (int i = 0; i < 8; i++)
		pthread_join(thread[i], NULL);
	return 5;
}
'''
    for flags in (['-pthread'], ['-pthread', '-fno-plt']):
        result, out = calls(t, ['-f', 'libc.so.6:malloc,free', '--ret', '--args', '1', '--format=jsonl'],
                            [compile_text(t, 'loop', text, '-fno-builtin', *flags)])
        t.equal(result.returncode, 5, result.stderr.decode())
        told = records(t, out)
        check_nesting(t, told)
        found = numbers(told)
        t.check(3200 <= found[('call', 'malloc')] < 3300 and found[('call', 'malloc')] == found[('return', 'malloc')], found)
        sizes = collections.defaultdict(list)
        for r in told:
            if r['event'] == 'call' and r['symbol'] == 'malloc':
                sizes[r['tid']].append(int(r['args'][0], 16))
        loops = [of_one for of_one in sizes.values() if of_one[-400:] == list(range(1, 401))]
        t.equal(len(loops), 8, 'threads whose sizes are right')


@timeout(240)
def test_malloc_and_free_of_real_programs_pair(t):
    """No block is given out that was not freed, none freed that was not given."""
    for command in ([t.need('/usr/bin/python3', 'python3'), '-c', 'import json; print(len(json.dumps(list(range(99)))))'],
                    [t.need('git'), 'hash-object', '/etc/passwd'], [t.need('bash'), '--norc', '-c', 'echo $((6*7))']):
        plain = t.run(command)
        functions = 'malloc,calloc,realloc,free,reallocarray,memalign,aligned_alloc,posix_memalign'
        result, out = calls(t, ['-f', f'libc.so.6:{functions}', '--ret', '--args', '3', '--no-follow', '--format=jsonl'], command, 200)
        t.equal((result.returncode, result.stdout, result.stderr), (plain.returncode, plain.stdout, plain.stderr), command[0])
        told = records(t, out)
        check_nesting(t, told)
        t.equal([r for r in told if r['event'] == 'dropped'], [], 'dropped')
        found = numbers(told)
        t.check(found[('call', 'malloc')] > 50 and found[('call', 'malloc')] == found[('return', 'malloc')], found)
        given = set()
        for r in told:
            if r['event'] not in ('call', 'return'):
                continue
            name = r['symbol']
            if r['depth']:  # one of them may do its work by another
                continue
            if r['event'] == 'call':
                if name in ('free', 'realloc'):
                    given.discard(r['args'][0])
            elif name in ('malloc', 'calloc', 'realloc', 'memalign', 'aligned_alloc') and r['value'] != '0x0':
                t.check(r['value'] not in given, f'{command[0]}: {r["value"]} given twice: {r}')
                given.add(r['value'])


# ---- formats -----------------------------------------------------------------------------------------------------------

def check_trace(t, events):
    """Each E ends the innermost B of its thread. Number of B by name."""
    open_calls, begun = collections.defaultdict(list), collections.Counter()
    for event in events:
        t.check(event['ph'] in 'BEMi', event)
        if event['ph'] == 'B':
            open_calls[(event['pid'], event['tid'])].append(event)
            begun[event['name']] += 1
        elif event['ph'] == 'E':
            stack = open_calls[(event['pid'], event['tid'])]
            t.check(stack and stack[-1]['name'] == event['name'], f'an end without its beginning: {event}')
            t.check(stack.pop()['ts'] <= event['ts'], f'time goes back: {event}')
    t.equal([stack for stack in open_calls.values() if stack], [], 'beginnings without end')
    return begun


def test_traces_are_json_and_nest(t):
    result, out = calls(t, ['-f', 'a.out:main,down,leaf,jumps', '--format=chrome', '--args', '1'], [compile_text(t, 'nest', NEST)])
    t.equal((result.returncode, result.stdout), (0, b'113\n'), 'the program')
    events = json.loads(out.read_text())
    t.equal(check_trace(t, events), {'main': 1, 'down': 4, 'leaf': 2, 'jumps': 3}, 'calls')
    names = {(event['name'], event['args']['name']) for event in events if event['ph'] == 'M'}
    t.equal(names, {('process_name', 'nest'), ('thread_name', 'nest')}, 'names')
    t.equal([e['args'] for e in events if e['ph'] == 'E' and e['name'] == 'leaf'], [{'value': '0x65'}, {'value': '0x8'}], 'values')
    t.equal([e['args'] for e in events if e['ph'] == 'E' and e['name'] == 'jumps'], [{'end': 'unwound'}] * 3, 'left by longjmp')


@timeout(120)
def test_a_trace_is_whole_at_any_time_and_when_interrupted_or_killed(t):
    for number, whole in ((signal.SIGINT, True), (signal.SIGKILL, False)):
        victim = Counts(t, 2)
        out = t.tmp / f'trace{number}'
        tracer = subprocess.Popen([*t.tether, 'calls', '-f', 'a.out:counts_call', '--format=chrome', '-o', out, '-p',
                                   str(victim.process.pid)])
        victim.process.stdin.write(b'storm\n')
        victim.process.stdin.flush()
        t.equal(victim.process.stdout.readline(), b'storming\n')
        t.check(eventually(lambda: out.exists() and out.stat().st_size > 200000), 'no trace')
        os.kill(tracer.pid, number)
        t.equal(tracer.wait(), 0 if whole else -number, 'status')
        text = out.read_text()
        if whole:
            t.check(check_trace(t, json.loads(text))['counts_call'] > 100, 'calls')
        else:
            # One write may have come after the last end of the array: that is all that may be missing.
            json.loads(text if text.rstrip().endswith(']') else text[:text.rindex('}\n') + 1] + ']')
        check_free(t, victim.process.pid)
        victim.tell('calm')
        victim.end()


def folded(path):
    return {line.rsplit(' ', 1)[0]: int(line.rsplit(' ', 1)[1]) for line in path.read_text().splitlines()}


def test_folded_stacks_sum_up_to_the_counts(t):
    program = compile_text(t, 'nest', NEST)
    result, out = calls(t, ['-f', 'a.out:main,down,leaf,jumps', '--format=folded'], [program])
    t.equal((result.returncode, result.stdout), (0, b'113\n'), 'the program')
    t.equal(folded(out), {'nest;main': 1, 'nest;main;down': 1, 'nest;main;down;down': 1, 'nest;main;down;down;down': 1,
                          'nest;main;down;down;down;down': 1, 'nest;main;down;down;down;down;leaf': 1, 'nest;main;jumps': 1,
                          'nest;main;jumps;jumps': 1, 'nest;main;jumps;jumps;jumps': 1, 'nest;main;leaf': 1}, 'from the nesting')
    result, out = calls(t, ['-f', 'a.out:down,leaf', '--format=folded', '-k'], [program])
    t.equal((result.returncode, result.stdout), (0, b'113\n'), 'the program')
    stacks = folded(out)
    t.equal(sum(stacks.values()), 6, stacks)
    t.check(all(re.match(r'nest;_start;.*main(;down)*(;leaf)?$', stack) for stack in stacks), stacks)
    own, _ = counted_by_victim(t, 4, ['call 100'], [])
    result = t.run([*t.tether, 'calls', '-f', 'a.out:counts_call', '--format=folded', '-k', '-o', out, '--', t.victim('counts'), '4'],
                   input=b'call 100\n')
    t.equal((sum(folded(out).values()), own), (400, 400), 'stacks of four threads')


@timeout(120)
def test_histograms_sum_up_to_the_returns(t):
    out = t.tmp / 'records'
    for threads in (1, 16):
        result = t.run([*t.tether, 'calls', '--hist', '-f', 'a.out:counts_call,counts_other', '--format=jsonl', '-o', out, '--',
                        t.victim('counts'), str(threads)], input=b'call 500\n')
        t.equal(result.returncode, 0, result.stderr.decode())
        told = [r for r in records(t, out) if r['event'] == 'count']
        t.equal(sorted(r['symbol'] for r in told), ['counts_call', 'counts_other'], 'functions')
        for r in told:
            t.equal((r['count'], r['returns'], sum(n for _, n in r['hist'])), (500 * threads,) * 3, r)
            low = sum(low * n for low, n in r['hist'])
            t.check(low <= r['total_ns'] < 2 * low + 2 * r['returns'], f'the total is not of the histogram: {r}')
    result, out = calls(t, ['--hist', '-f', 'a.out:leaf,jumps'], [compile_text(t, 'nest', NEST)])
    text = out.read_text()
    t.check(re.search(r' 2  \S*nest`leaf\n +ns\n( +\[\d+[KMG]?, \d+[KMG]?\) +\d+ \|@* *\|\n)+ +2 returns, .* in all, .* each\n', text), text)
    t.check(re.search(r' 3  \S*nest`jumps\n +0 returns', text), text)


def test_histogram_of_a_function_that_sleeps(t):
    program = compile_text(t, 'sleeps', r'''
#include <unistd.h>
__attribute__((noinline)) int naps(void) { return usleep(20000); }
int main(void) { for (int i = 0; i < 5; i++) naps(); return 0; }
''')
    result, out = calls(t, ['--hist', '-f', 'a.out:naps', '--format=jsonl'], [program])
    told = [r for r in records(t, out) if r['event'] == 'count']
    t.equal(len(told), 1)
    t.check(all(low >= 16 << 20 or low == 1 << 24 for low, _ in told[0]['hist']) and told[0]['total_ns'] >= 100000000, told)


def test_kinds_choose_what_is_shown(t):
    program = compile_text(t, 'nest', NEST)
    for kinds, expected in (('call', {'call'}), ('return', {'return'}), ('count', {'count'}), ('call,count', {'call', 'count'}),
                            ('all', {'call', 'return', 'count'})):
        result, out = calls(t, ['-f', 'a.out:leaf', '-e', kinds, '--format=jsonl'], [program])
        t.equal(result.returncode, 0, result.stderr.decode())
        told = [r for r in records(t, out) if r['event'] not in ('header', 'summary')]
        t.equal({r['event'] for r in told}, expected, kinds)
        t.equal([r['count'] for r in told if r['event'] == 'count'], [2] if 'count' in expected else [], kinds)


@timeout(120)
def test_calls_of_a_running_process_are_shown_for_a_while_and_it_is_let_go(t):
    victim = Counts(t, 3)
    out = t.tmp / 'records'
    tracer = subprocess.Popen([*t.tether, 'calls', '-f', 'a.out:counts_call', '--ret', '--duration', '1', '--format=jsonl', '-o', out,
                               '-p', str(victim.process.pid)])
    victim.process.stdin.write(b'storm\n')
    victim.process.stdin.flush()
    t.equal(victim.process.stdout.readline(), b'storming\n')
    t.equal(tracer.wait(), 0, 'status')
    check_free(t, victim.process.pid)
    told = records(t, out)
    t.check(numbers(told)[('return', 'counts_call')] > 1000, numbers(told))
    victim.tell('calm')
    victim.end()


def test_a_reader_that_goes_away_does_not_harm_the_command(t):
    read_end, write_end = os.pipe()
    os.close(read_end)
    result = subprocess.run([*t.tether, 'calls', '-f', 'a.out:counts_call', '-o', f'/dev/fd/{write_end}', '--', t.victim('counts'), '2'],
                            input=b'call 2000\n', pass_fds=[write_end], capture_output=True, timeout=50)
    os.close(write_end)
    t.equal(result.stdout, b'ready\ndone 4000\n', 'the victim')


@timeout(180)
def test_what_is_dropped_is_told(t):
    """Nobody reads of the calls while they are made: the victim waits for nobody, and what is missing is counted."""
    fifo = t.tmp / 'fifo'
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    victim = Counts(t, 4)
    tracer = subprocess.Popen([*t.tether, 'calls', '-f', 'a.out:counts_call', '--ret', '--format=jsonl', '-o', fifo, '-p',
                               str(victim.process.pid)])
    t.check(eventually(lambda: select.select([reader], [], [], 0)[0]), 'no header')
    first = os.read(reader, 1)
    t.check(eventually(lambda: b'TracerPid:\t0\n' not in open(f'/proc/{victim.process.pid}/status', 'rb').read()), 'no tracer')
    # One that is told of stands for all: from here on none may be missed.
    told = victim.tell('call 1')
    t.check(eventually(lambda: select.select([reader], [], [], 0)[0]), 'no record')
    own = victim.tell('call 25000') - told
    victim.end()
    os.set_blocking(reader, True)
    with open(reader, 'rb') as stream:
        text = first + stream.read()
    t.equal(tracer.wait(), 0, 'status')
    lines = [json.loads(line) for line in text.splitlines()]
    found, dropped = numbers(lines), [r for r in lines if r['event'] == 'dropped']
    t.check(dropped, 'nothing was dropped')
    seen = sum(found.values())
    t.check(2 * own <= seen + sum(r['count'] for r in dropped) <= 2 * (own + told), (found, dropped, own))
    check_nesting_with_gaps(t, lines)


def check_nesting_with_gaps(t, told):
    last = {}
    for r in told:
        if r['event'] in ('call', 'return'):
            t.check(r['t_ns'] >= last.get(r['tid'], 0), f'time goes back: {r}')
            last[r['tid']] = r['t_ns']


# ---- uftrace -----------------------------------------------------------------------------------------------------------

def test_calls_are_those_of_uftrace(t):
    uftrace = t.need('uftrace')
    program = compile_text(t, 'nest', NEST.replace('jumps(2);', ';'), '-pg')
    recorded = t.run([uftrace, 'record', '--no-libcall', '-d', t.tmp / 'data', program])
    if recorded.returncode:
        t.skip(f'uftrace cannot record: {recorded.stderr.decode()[-200:]}')
    said = t.run([uftrace, 'replay', '-F', 'main', '-f', 'none', '-d', t.tmp / 'data']).stdout.decode()
    theirs = [(len(line) - len(line.lstrip()), line.strip()) for line in said.splitlines() if '(' in line and not line.startswith('#')]
    theirs = [(indent // 2, re.match(r'(\w+)\(', text)[1]) for indent, text in theirs if re.match(r'\w+\(', text)]
    result, out = calls(t, ['-f', 'a.out:main,down,leaf,jumps', '--format=jsonl'], [program])
    ours = [(r['depth'], r['symbol']) for r in records(t, out) if r['event'] == 'call']
    low = min(depth for depth, _ in theirs)
    t.equal(ours, [(depth - low, name) for depth, name in theirs], said)
