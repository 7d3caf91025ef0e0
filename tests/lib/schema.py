# SPDX-License-Identifier: BSD-2-Clause
"""The records of --format=jsonl: keys, types, and the order that is promised per process."""
import re

ADDRESS = re.compile(r'0x[0-9a-f]+$')
BUILD_ID = re.compile(r'([0-9a-f]{2})*$')


def address(value):
    return isinstance(value, str) and bool(ADDRESS.match(value))


def build_id(value):
    return isinstance(value, str) and bool(BUILD_ID.match(value))


def integer(value):
    return isinstance(value, int) and not isinstance(value, bool)


def text(value):
    return isinstance(value, str)


def boolean(value):
    return isinstance(value, bool)


def words(value):
    return isinstance(value, list) and all(isinstance(word, str) for word in value)


def one_of(*choices):
    return lambda value: value in choices


def signal_name(value):
    return isinstance(value, str) and bool(re.match(r'SIG[A-Z0-9+]+$', value))


def addresses(value):
    return isinstance(value, list) and all(address(one) for one in value)


def histogram(value):
    return isinstance(value, list) and all(isinstance(row, list) and len(row) == 2 and integer(row[0]) and integer(row[1]) and row[1] > 0
                                           and (row[0] == 0 or row[0] & (row[0] - 1) == 0) for row in value)


def environment(value):
    return isinstance(value, dict) and isinstance(value.get('set'), dict) and words(value.get('unset'))


BASE = {'t_ns': integer, 'pid': integer, 'tid': integer}
OBJECT = {'object': text, 'base': address, 'lmid': integer}
# kind: (keys that must be there, keys that may)
KINDS = {
    'header': ({'schema': integer, 'tool': one_of('tether'), 'version': text, 'start_realtime_ns': integer,
                'argv': words}, {}),
    'create': ({**BASE, 'ppid': integer, 'path': text, 'argv': words}, {}),
    'grab': ({**BASE, 'path': text, 'threads': integer}, {}),
    'exec': ({**BASE, 'path': text, 'argv': words, 'cwd': text, 'suppressed': boolean},
             {'interpreter': text, 'env': environment, 'cmdline': text}),
    'fork': ({**BASE, 'child': integer, 'kind': one_of('fork', 'vfork', 'clone'), 'followed': boolean}, {}),
    'thread': ({**BASE, 'state': one_of('start', 'exit')}, {}),
    'load': ({**BASE, **OBJECT, 'initial': boolean}, {'build_id': build_id, 'caller': text}),
    'unload': ({**BASE, **OBJECT}, {'build_id': build_id}),
    'preinit': (BASE, {}),
    'postinit': (BASE, {}),
    'main': (BASE, {}),
    'signal': ({**BASE, 'signal': signal_name, 'code': integer}, {'sender': integer}),
    'stop': ({**BASE, 'signal': signal_name}, {}),
    'continue': (BASE, {}),
    'exit': ({**BASE, 'user_ns': integer, 'sys_ns': integer, 'maxrss_kb': integer},
             {'code': integer, 'signal': signal_name, 'core': boolean}),
    'signal-state-changed': ({**BASE, 'signal': signal_name, 'detail': text}, {}),
    'late-answer': ({**BASE, 'waited_ns': integer}, {}),
    'lost': ({**BASE, 'reason': text}, {}),
    'release': ({**BASE, 'mode': one_of('run', 'kill', 'hang')}, {}),
    'dropped': ({'t_ns': integer}, {'count': integer, 'what': one_of('calls')}),
    'call': ({**BASE, 'object': text, 'symbol': text, 'depth': integer, 'args': addresses}, {}),
    'return': ({**BASE, 'object': text, 'symbol': text, 'depth': integer, 'value': address, 'elapsed_ns': integer}, {}),
    'count': ({'pid': integer, 'object': text, 'symbol': text, 'count': integer},
              {'offset': integer, 'returns': integer, 'missed': integer, 'total_ns': integer, 'hist': histogram}),
    'parked': (BASE, {}),
    'blocked': (BASE, {}),
    'crash': ({**BASE, 'signal': signal_name, 'code': integer}, {'sender': integer, 'address': address}),
    'error': ({'code': text, 'message': text, 'cure': text}, {}),
    'summary': ({'t_ns': integer, 'events': integer, 'dropped': integer, 'processes': integer,
                 'pause_ns_max': integer, 'pause_ns_total': integer}, {}),
}
# The order of a new image's first records; each kind may be missing (no C main, static, no linker).
START = ['exec', 'load', 'preinit', 'postinit', 'main']
FIRST = ('create', 'grab', 'exec')
LAST = ('exit', 'lost', 'release')


def check_record(t, number, record):
    kind = record.get('event')
    t.check(kind in KINDS, f'record {number}: unknown event {kind!r}')
    must, may = KINDS[kind]
    for key, right in must.items():
        t.check(key in record, f'record {number}: {kind} without {key}: {record}')
        t.check(right(record[key]), f'record {number}: {kind}: {key} is {record[key]!r}')
    for key, right in may.items():
        t.check(key not in record or right(record[key]), f'record {number}: {kind}: {key} is {record.get(key)!r}')
    if kind == 'exit':
        t.check(('code' in record) != ('signal' in record), f'record {number}: exit wants code or signal: {record}')
    if 'raw' in record:
        t.check(record['raw'] is True, f'record {number}: raw is {record["raw"]!r}')


class Order:
    """The records of one process, in the order they came."""

    def __init__(self, t, pid):
        self.t, self.pid = t, pid
        self.ended = False
        self.place = None   # in START of the present image; None: grabbed, or forked from a running one
        self.t_ns = 0
        self.seen = False

    def take(self, number, record):
        kind = record['event']

        def wrong(why):
            self.t.fail(f'record {number}: pid {self.pid}: {why}: {record}')
        if self.ended:
            wrong('a record after the end')
        if record['t_ns'] < self.t_ns:
            wrong(f't_ns goes back from {self.t_ns}')
        self.t_ns = record['t_ns']
        if kind in ('create', 'grab') and self.seen:
            wrong('not the first record')
        if kind == 'exec':
            self.place = 0
        elif kind in ('preinit', 'postinit', 'main'):
            place = START.index(kind)
            if self.place is None or place <= self.place:
                wrong('out of order')
            self.place = place
        elif kind == 'load' and self.place is not None:
            if record['initial'] and self.place >= START.index('preinit'):
                wrong('an initial load after preinit')
            if not record['initial'] and self.place < START.index('preinit'):
                wrong('a later load before preinit')
        elif kind in LAST:
            self.ended = True
        self.seen = True


def check_records(t, records):
    """Well-formed, each in its place: header first, summary last, processes in order, children after their fork."""
    t.check(records and records[0]['event'] == 'header', 'the first record is no header')
    t.check(records[-1]['event'] == 'summary', f'the last record is no summary: {records[-1]}')
    t.equal(records[0]['schema'], 1, 'schema')
    orders, known = {}, set()
    for number, record in enumerate(records, 1):
        check_record(t, number, record)
        kind, pid = record['event'], record.get('pid')
        if pid is None:
            t.check(number in (1, len(records)) or kind in ('error', 'dropped'), f'record {number}: {kind} within')
            continue
        if kind in ('create', 'grab'):
            known.add(pid)
        t.check(pid in known, f'record {number}: pid {pid} was neither created, grabbed nor forked: {record}')
        orders.setdefault(pid, Order(t, pid)).take(number, record)
        if kind == 'fork':
            child = record['child']
            if child in orders and orders[child].ended:
                del orders[child]  # a pid that came back
            t.check(child not in orders, f'record {number}: child {child} had a record before its fork')
            if record['followed']:
                known.add(child)
    summary = records[-1]
    t.equal(summary['dropped'], 0, 'dropped')
    t.equal(summary['processes'], len(known), 'processes in the summary')
