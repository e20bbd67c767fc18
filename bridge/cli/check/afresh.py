"""A phase in a process of its own, for applications that start only once. Knows no side and no check."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from bridge.cli.check.output import take_stdout
from bridge.cli.check.phases import Phase, Plan, run
from bridge.cli.load import load_application
from bridge.errors import LoadError

_IMPORT: Final = 60.0  # seconds that the import may take beside the requests; a guess
_FILE: Final = "phase"


def run_afresh(target: str, plan: Plan) -> Phase:
    """Load the application in a new process and run the phase there. Blocks.

    Returns:
        What came of it; where the process fails or takes too long, that is what the startup has failed with.
    """
    with tempfile.TemporaryDirectory(prefix="bridge-check-") as directory:
        file = Path(directory, _FILE)
        file.write_bytes(pickle.dumps((target, plan)))
        # A path gets its time, and what a request takes that was begun at its end; so do startup and shutdown.
        limit = _IMPORT + plan.timeout * 3 * (len(plan.paths) + 2)
        try:
            ended = subprocess.run(
                [sys.executable, "-m", "bridge.cli.check.afresh", directory],
                # What this process finds, the other one has to find too: the current directory was put there.
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)},
                stdin=subprocess.DEVNULL,
                timeout=limit,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Phase(startup=f"a new process for it took more than {limit:g} s")
        if ended.returncode:
            return Phase(startup=f"a new process for it ended with status {ended.returncode}")
        phase: Phase = pickle.loads(file.read_bytes())
        return phase


def _main(directory: str) -> None:
    take_stdout()
    file = Path(directory, _FILE)
    target, plan = pickle.loads(file.read_bytes())
    try:
        phase = run(load_application(target), plan)
    except LoadError as error:
        phase = Phase(startup=str(error))
    file.write_bytes(pickle.dumps(phase))
    sys.stderr.flush()
    # Not the interpreter's own end, which would wait for threads that hang; there is nothing left to do.
    os._exit(0)


if __name__ == "__main__":
    _main(sys.argv[1])
