"""dfdetect compare A B: is detector B better than detector A on the videos that both have scored?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dfdetect.arguments import parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare two predictions.parquet and print the differences."""
    options = parser("dfdetect compare", __doc__)
    options.add_argument("first", type=Path, help="predictions.parquet of detector A")
    options.add_argument("second", type=Path, help="predictions.parquet of detector B, of the same videos")
    args = options.parse_args(arguments)
    from dfdetect.config.params import load
    from dfdetect.evaluation.compare import compare_files, in_words

    print(in_words(compare_files(args.first, args.second, load().evaluate)))
