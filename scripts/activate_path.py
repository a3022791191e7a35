"""Let the environment put itself on PATH.

dvc.yaml runs `python -m stages.<stage>`. With this, that is the environment's Python however DVC was started: from an
activated shell, as `.venv/bin/dvc`, or by DVC's queue in a temporary folder. Run by `make setup`.
"""

import site
import sys
from pathlib import Path

HOOK = (
    "import os, sys; _bin = os.path.dirname(sys.executable); "
    "os.environ['PATH'] = os.environ.get('PATH', '') if os.environ.get('PATH', '').split(os.pathsep)[0] == _bin "
    "else _bin + os.pathsep + os.environ.get('PATH', '')\n"
)

if __name__ == "__main__":
    if sys.prefix == sys.base_prefix:
        raise SystemExit("this is no virtual environment: run it with .venv/bin/python")
    (Path(site.getsitepackages()[0]) / "stages_path.pth").write_text(HOOK)
