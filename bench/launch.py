# SPDX-License-Identifier: LGPL-2.1-or-later
"""How the scripts beside this one run chains, and how they get Python packages."""
import json
import math
import os
import subprocess
import sys
import tempfile
import venv


def run(chain, *options):
    """The report of a chain."""
    try:
        out = subprocess.run(['afpipe-launch', '--json', *options, chain], capture_output=True, text=True)
    except FileNotFoundError:
        sys.exit('afpipe-launch: not in $PATH; run this script by build/afpipe-uninstalled')
    if out.returncode:
        sys.exit(f'{chain}: {out.stderr.strip()}')
    return json.loads(out.stdout)


def coded_bits(tensors):
    """Bits per weight of what the chain changed: @tensors of a report behind `eval`. A shared plane counts once."""
    coded = [t for t in tensors if t['nmse']]
    return 8 * sum(t['bytes'] for t in coded) / max(1, sum(math.prod(t['shape']) for t in coded))


def with_codecs(chain, options):
    """@chain with @options behind each of its codecs."""
    return ' ! '.join(f'{codec} {options}'.strip() for codec in chain.split(' ! '))


def in_environment(packages, folder):
    """Starts this script again with @packages at hand and does not return, or returns where that is done. They are in a virtual environment in
    @folder, made if it is not there, or in one that goes when the script ends."""
    if os.environ.get('AFP_BENCH_VENV'):
        return
    with tempfile.TemporaryDirectory() as temporary:
        place = folder or temporary
        python = os.path.join(place, 'bin', 'python')
        try:
            if not os.path.exists(python):
                venv.create(place, with_pip=True)
            subprocess.run([python, '-m', 'pip', 'install', '-q', *packages], check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            sys.exit(f'{place}: cannot install {" ".join(packages)}: {error}; a folder that has them may be given with --venv')
        sys.exit(subprocess.run([python, *sys.argv], env={**os.environ, 'AFP_BENCH_VENV': place}).returncode)
