"""The train command with the test's detector registered: what the processes of test_ddp run."""

from stages.errors import run_cli
from stages.train.__main__ import main
from tests.train import tiny  # noqa: F401  # registers the detector

if __name__ == "__main__":
    run_cli(main)
