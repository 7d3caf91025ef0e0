#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Run the harm loops for as long as told: `make soak SECONDS=N`."""
import argparse
import os
import pathlib
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
os.execve(harm, [harm, '--seconds', str(options.seconds), *options.words], environment)
