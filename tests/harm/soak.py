#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Run the handle stress and a hundred snapshots a second for at most 30 s each, then the harm loops for as long as told: `make soak SECONDS=N`.

For a quarter of that time the client parks and continues its victims all the time, for another it has the stacks of all events
and victims that crash, for a third its breakpoints come and go, and tell of calls.
"""
import argparse
import os
import pathlib
import subprocess
import sys

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument('--build', type=pathlib.Path, required=True)
parser.add_argument('--seconds', type=int, default=600)
parser.add_argument('words', nargs='*', help='more arguments for harm, after --')
options = parser.parse_args()

harm = options.build.resolve() / 'tests' / 'harm' / 'harm'
if not harm.exists():
    sys.exit(f'soak.py: {harm} is not built; run `make` first')
environment = dict(os.environ)
for place in ('src/controller', 'src'):
    controller = options.build.resolve() / place / 'tether-controller'
    if controller.exists():
        environment.setdefault('TETHER_CONTROLLER', str(controller))
SAMPLING = 'a_hundred_a_second_lose_nothing_and_leave_nobody_stopped'
STRESS = 'ten_handles_from_ten_threads_in_any_order_leave_the_victim_whole'
stress = options.build.resolve() / 'tests' / 'live' / 'test_stress'
if not options.words:
    environment['TETHER_STRESS_SECONDS'] = str(min(options.seconds, 30))
    if subprocess.run([stress, STRESS], env=environment, check=False).returncode:
        sys.exit(f'soak.py: {STRESS} failed')
    environment['TETHER_SAMPLING_SECONDS'] = str(min(options.seconds, 30))
    sampling = options.build.resolve() / 'tests' / 'live' / 'test_sampling'
    if subprocess.run([sampling, SAMPLING], env=environment, check=False).returncode:
        sys.exit(f'soak.py: {SAMPLING} failed')
    parks = max(1, options.seconds // 4)
    if subprocess.run([harm, '--parks', '--seconds', str(parks)], env=environment, check=False).returncode:
        sys.exit('soak.py: harm --parks failed')
    for word in ('--events', '--crashes', '--probes', '--calls'):
        if subprocess.run([harm, word, '--seconds', str(max(1, parks // 2))], env=environment, check=False).returncode:
            sys.exit(f'soak.py: harm {word} failed')
    options.seconds = max(1, options.seconds - 3 * parks)
os.execve(harm, [harm, '--seconds', str(options.seconds), *options.words], environment)
