"""Files in, predictions out: preparation in worker processes, scoring in batches across files."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from dfdetect.config.params import RuntimeParams
from dfdetect.datasets.tree import stored
from dfdetect.errors import MediaError, UserError
from dfdetect.inference.confidence import Confidence, assess_confidence
from dfdetect.inference.inputs import Input, expand
from dfdetect.inference.prediction import FrameScore, Prediction
from dfdetect.inference.prepare import Preparation, Prepared, Task, preparation, prepare
from dfdetect.inference.saved_model import FOLDER, SavedModelInfo, load, read_info
from dfdetect.inference.threshold import decide, read_validation
from dfdetect.runtime.executor import run
from dfdetect.runtime.pool import Outcome
from dfdetect.runtime.threads import one_thread

if TYPE_CHECKING:
    from dfdetect.inference.scoring import Index, Scored, Scorer

# Files whose rows wait for a batch: on a CPU one full batch is enough, a GPU is fed several at a time.
BATCHES_AT_ONCE = {"cpu": 1, "cuda": 8}


class Predictor:
    """A trained detector, ready for files.

    Args:
        model: the folder of the saved model.
        device: auto, cpu or cuda.
        workers: processes that read files and find faces; 0: this one, without their protection against crashes and
            hangs. A script that asks for workers needs `if __name__ == "__main__":`.
        batch_size: samples of a batch; None: as evaluate takes them.
        threshold: fake from this score on; None: the detector's own, chosen on validation.
        aggregation: how the frames' scores become the file's: mean, median, max, top_k; auto: as the detector was
            trained.
        top_k: of top_k.
        runtime: time and memory limits of the workers.
    Raises:
        UserError: there is no saved model in the folder, or its detector.json is damaged. The weights are read on
            first use.
    """

    def __init__(
        self,
        model: Path | str = FOLDER,
        *,
        device: str = "auto",
        workers: int = 0,
        batch_size: int | None = None,
        threshold: float | None = None,
        aggregation: str = "auto",
        top_k: int = 5,
        runtime: RuntimeParams | None = None,
    ) -> None:
        self.model = Path(model)
        self.info: SavedModelInfo = read_info(self.model)
        self.preparation: Preparation = preparation(self.info)
        self.aggregation, own, self.validation = decide(self.info, read_validation(self.model), aggregation, top_k)
        self.threshold = own if threshold is None else threshold
        self.top_k = top_k
        self._device, self._batch_size, self._workers = device, batch_size, workers
        self._runtime = (runtime or RuntimeParams.model_validate({})).model_copy(
            update={"num_workers": workers} if workers else {}
        )
        self._scorer: Scorer | None = None

    @property
    def scorer(self) -> Scorer:
        """The detector on its device; loaded once."""
        if self._scorer is None:
            from dfdetect.inference.scoring import Scorer

            info, detector = load(self.model)
            self._scorer = Scorer(detector, info, device=self._device, batch_size=self._batch_size)
        return self._scorer

    def predict(self, path: Path | str) -> Prediction:
        """Score one file; one that cannot be scored has a status and a reason instead of a score."""
        (prediction,) = self.stream([Input(Path(path))])
        return prediction

    def predict_batch(self, paths: Iterable[Path | str]) -> list[Prediction]:
        """Score many files, folders or patterns, in batches across files; one Prediction per file, in order."""
        return list(self.stream(expand(paths)))

    def inspect(self, path: Path | str) -> tuple[Prediction, Prepared | None]:
        """Score one file as predict does, and return also what was scored; None where there is nothing to score."""
        item = Input(Path(path))
        (outcome,) = self._prepare_all([Task("0", item.path, self.preparation)])
        if outcome.value is None:
            return self.failure(item.path, outcome.status, outcome.reason), None
        return self._score({"0": outcome.value}, [item])[0], outcome.value

    def confidence(self, prediction: Prediction, dataset: str | None = None) -> Confidence:
        """How sure a prediction with a score may be called; see `assess_confidence`."""
        return assess_confidence(prediction, self.validation, dataset)

    def stream(self, inputs: Sequence[Input]) -> Generator[Prediction, None, None]:
        """Predictions in the order of the inputs, as soon as a batch is full.

        Closing the iterator ends the workers.

        Raises:
            UserError: the weights are damaged, or the device is not there.
        """
        tasks = [
            Task(str(number), item.path, self.preparation) for number, item in enumerate(inputs) if item.problem is None
        ]
        done = {
            number: self.failure(item.path, "missing", item.problem)
            for number, item in enumerate(inputs)
            if item.problem
        }
        next_out, waiting = 0, dict[str, Prepared]()
        with ThreadPoolExecutor(1) as executor:
            loading = executor.submit(lambda: self.scorer) if tasks else None  # while the first files are read
            for outcome in self._prepare_all(tasks):
                number = int(outcome.task.key)
                if outcome.value is None:
                    done[number] = self.failure(inputs[number].path, outcome.status, outcome.reason)
                else:
                    waiting[outcome.task.key] = outcome.value
                if loading is not None and _fills_a_batch(waiting, loading.result()):
                    done.update(self._score(waiting, inputs))
                    waiting = {}
                while next_out in done:
                    yield done.pop(next_out)
                    next_out += 1
            done.update(self._score(waiting, inputs))
        for number in sorted(done):
            yield done[number]

    def failure(self, path: Path | str, status: str, reason: str | None) -> Prediction:
        """The prediction of a file that cannot be scored."""
        return Prediction(stored(str(path)), self.info, self.threshold, status=status, reason=reason or status)

    def index(self, prepared: Sequence[Prepared]) -> Index:
        """What the detector reads of some files, as Scorer.score takes it."""
        from dfdetect.data.av import hold_sequences
        from dfdetect.data.index import hold_crops
        from dfdetect.inference.scoring import sequence_settings

        def concatenated(tables: list[pa.Table | None]) -> pa.Table | None:
            present = [table for table in tables if table is not None]
            return pa.concat_tables(present) if present else None

        mouths, mels = concatenated([p.mouths for p in prepared]), concatenated([p.mels for p in prepared])
        if mouths is not None and mels is not None:
            return hold_sequences(mouths, mels, sequence_settings(self.info))
        return hold_crops(pa.concat_tables([p.faces for p in prepared]), concatenated([p.masks for p in prepared]))

    def _prepare_all(self, tasks: list[Task]) -> Iterator[Outcome[Task, Prepared]]:
        if self._workers:
            yield from run(prepare, tasks, self._runtime, label="reading")
            return
        import torch  # noqa: F401  # loaded while a face is looked for, it would come with a thread a processor

        for task in tasks:
            with one_thread():  # as in a worker
                outcome = _attempt(prepare, task)
            yield outcome

    def _score(self, prepared: dict[str, Prepared], inputs: Sequence[Input]) -> dict[int, Prediction]:
        """Predictions of several files, scored in batches across them."""
        if not prepared:
            return {}
        index = self.index(list(prepared.values()))
        scores = self.scorer.score(index, aggregation=self.aggregation, top_k=self.top_k)
        return {
            int(scored.video_id): self._prediction(inputs[int(scored.video_id)], scored, prepared[scored.video_id])
            for scored in scores
        }

    def _prediction(self, item: Input, scored: Scored, prepared: Prepared) -> Prediction:
        if scored.score is None:
            return self.failure(item.path, scored.status, scored.reason)
        boxes = _boxes(prepared.faces, scored.frame_index)
        frames = zip(scored.frame_index, scored.frame_time_s, scored.frame_score, boxes, strict=True)
        return Prediction(
            stored(str(item.path)),
            self.info,
            self.threshold,
            scored.score,
            [FrameScore(*frame) for frame in frames],
            prepared.faces_seen,
            prepared.status,
            prepared.reason,
        )


def load_detector(model: Path | str = FOLDER, **options: object) -> Predictor:
    """A trained detector, its weights loaded. Options as of Predictor.

    Raises:
        UserError: there is no saved model in the folder, or it is damaged.
    """
    predictor = Predictor(model, **options)  # type: ignore[arg-type]
    _ = predictor.scorer
    return predictor


def _fills_a_batch(waiting: dict[str, Prepared], scorer: Scorer) -> bool:
    needed = scorer.batch_size * BATCHES_AT_ONCE[scorer.device.type]
    return sum(prepared.size for prepared in waiting.values()) >= needed


def _attempt(work: Callable[[Task], Prepared], task: Task) -> Outcome[Task, Prepared]:
    try:
        return Outcome(task, work(task), "ok")
    except MediaError as error:
        return Outcome(task, None, error.status, error.reason)
    except UserError:
        raise
    except Exception as error:  # as the runtime does: one file's unforeseen trouble must not lose the others
        return Outcome(task, None, "failed", f"{type(error).__name__}: {error}"[:500])


def _boxes(faces: pa.Table, frame_index: list[int]) -> list[tuple[float, float, float, float] | None]:
    """The face's box in each frame; of a frame that was not searched, the box of the nearest one that was."""
    searched = np.array(faces.column("frame_index").to_pylist())
    boxes = faces.column("box").to_pylist()
    nearest = np.abs(searched[None, :] - np.array(frame_index, np.int64)[:, None]).argmin(axis=1)
    return [None if boxes[row] is None else tuple(boxes[row]) for row in nearest]
