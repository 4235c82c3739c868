"""Train and score the networks of variants; finished networks and scores in the output folder are kept."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

import kits_tf
from experiments import common
from experiments.ablations.summary import TRUNK
from experiments.ablations.variants import Network, Variant
from kits_tf import checkpoint, config, files, simulation
from kits_tf.data import kits19
from kits_tf.evaluation.metrics import dice
from kits_tf.inference import engines
from kits_tf.inference.engines.base import Engine
from kits_tf.inference.segmenter import Segmenter, load_segmenter
from kits_tf.io import volume

SEED = 24
SIMULATED: dict[str, Any] = {"size": 128, "slice_spacing_mm": (3.0, 5.0), "phases": ("nephrographic",)}
TRAINING, TEST = range(60), range(100, 120)

Scores = dict[str, dict[str, Any]]
"""Numbers of each case."""


@dataclasses.dataclass(frozen=True)
class Case:
    """A CT to score."""

    hu: np.ndarray
    labels: np.ndarray
    spacing_mm: Sequence[float]


class CachedEngine(Engine):
    """An engine that computes each batch once, so that variants made of the same networks share predictions."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known: dict[tuple[str, bytes], np.ndarray] = {}
        self.batch_pixels = engine.batch_pixels
        self.stage_two = engine.stage_two  # type: ignore[method-assign]

    def probability(self, network: str, batch: np.ndarray) -> np.ndarray:
        """See `Engine`."""
        key = network, hashlib.sha256(repr(batch.shape).encode() + batch.tobytes()).digest()
        if key not in self._known:
            self._known[key] = self._engine.probability(network, batch)
        return self._known[key]

    def clear(self) -> None:
        """Drop the results of a finished case."""
        self._known.clear()


class Study:
    """The cases, trained networks and scores in an output folder.

    Args:
        folder: The output folder.
        num_steps: Steps of every training; None for those of the base.
        training: Numbers of the simulated cases to train on.
        test: Numbers of those to score.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        num_steps: int | None = None,
        training: Iterable[int] = TRAINING,
        test: Iterable[int] = TEST,
    ) -> None:
        self.folder, self.num_steps = folder, num_steps
        self.training, self.test = list(training), list(test)
        self._cases: dict[str, Case] = {}

    def prepare(self) -> None:
        """Simulate the cases, of one organ map and contrast phase, and prepare those to train on, once."""
        if (self.folder / "prepared" / "dataset.json").is_file():
            return
        anatomies = [anatomy for anatomy in simulation.bundled_anatomies() if anatomy.complete]
        for number in [*self.training, *self.test]:
            case = self.folder / "ct" / kits19.case_name(number)
            if not (case / kits19.LABEL_NAME).is_file():
                hu, labels, spacing_mm = simulation.simulate(SEED, number, anatomies, **SIMULATED)
                ct = volume.Volume(hu, spacing_mm)
                volume.write_volume(ct, case / kits19.IMAGE_NAME)
                volume.write_labels(labels, ct, case / kits19.LABEL_NAME)
        flags = [f"--cases={','.join(map(str, self.training))}", "--num_validation=0", "--num_test=0", "--workers=1"]
        common.command("prepare", f"--input={self.folder / 'ct'}", f"--output_dir={self.folder / 'prepared'}", *flags)

    def cases(self) -> dict[str, Case]:
        """Return the cases to score, by name: simulated ones and the real one."""
        if not self._cases:
            names = [kits19.case_name(number) for number in self.test]
            self._cases = {name: read(self.folder / "ct" / name) for name in names}
            self._cases[TRUNK] = read(pathlib.Path(kits_tf.__file__).with_name("samples") / TRUNK)
        return self._cases

    def scores_path(self, variant: Variant, seed: int) -> pathlib.Path:
        """Return the file of a variant's scores."""
        return self.folder / "scores" / variant.key / f"{seed}.json"

    def network_folder(self, network: Network, seed: int) -> pathlib.Path:
        """Return the checkpoint folder of a network."""
        return self.folder / "networks" / network.name / str(seed)

    def measure(self, variants: Iterable[Variant], seed: int) -> None:
        """Train the missing networks of variants and score them; those that share networks are scored together."""
        groups: dict[str, list[Variant]] = {}
        for variant in variants:
            if not self.scores_path(variant, seed).is_file():
                groups.setdefault(variant.stage, []).append(variant)
        is_planes = [len(variant.networks) > 1 for variant in groups.get("kidney", [])]
        together = [groups["kidney"]] if any(is_planes) else [[one] for one in groups.get("kidney", [])]
        for group in [*together, *([one] for one in groups.get("tumor", []))]:
            for network in dict.fromkeys(network for variant in group for network in variant.networks):
                self.train(network, seed)
            self.score(group, seed)

    def train(self, network: Network, seed: int) -> None:
        """Train a network unless it has been, and note the seconds of this process that it took."""
        folder = self.network_folder(network, seed)
        if (folder / "cost.json").is_file():
            return
        import keras

        from kits_tf.training import run, state

        start = time.process_time()
        masks = None if network.stage == "kidney" else "labels"
        machine = run.Machine(strategy="one", jit="off", tensorboard=False)
        settings = state.Settings(seed=seed, kidney_masks=masks)
        own = network.config(self.num_steps)
        weights = folder / checkpoint.network_name(own)
        if isinstance(own, config.TumorConfig) and not weights.exists():  # kidneys are cut once for all seeds
            shared = self.folder / "samples" / own.regression
            for made in (shared, weights):
                made.mkdir(parents=True, exist_ok=True)
            (weights / "samples").symlink_to(shared.absolute())
        if not run.run(own, self.folder / "prepared", folder, settings, machine):
            sys.exit("stopped; the same command resumes")
        shutil.rmtree(weights / "state", ignore_errors=True)
        cost = {"cpu_seconds": round(time.process_time() - start, 1), "parameters": parameters(own)}
        files.write_text(folder / "cost.json", json.dumps(cost) + "\n")
        keras.backend.clear_session()

    def score(self, variants: list[Variant], seed: int) -> None:
        """Score variants that share networks, and write their files."""
        with self.loaded(variants, seed) as (engine, configs):
            segmenters = [segmenter(variant, engine, configs) for variant in variants]
            found: list[Scores] = [{} for _ in variants]
            for name, case in self.cases().items():
                for scores, one in zip(found, segmenters, strict=True):
                    scores[name] = score(one, case)
                engine.clear()
        for variant, scores in zip(variants, found, strict=True):
            files.write_text(self.scores_path(variant, seed), json.dumps(scores, indent=1) + "\n")
            means = {name: round(np.mean(values), 3) for name, values in columns(scores).items()}
            print(f"{variant.key}, seed {seed}: {means}", flush=True)

    @contextlib.contextmanager
    def loaded(self, variants: list[Variant], seed: int) -> Iterator[tuple[CachedEngine, dict[str, Any]]]:
        """Load the networks of variants as one checkpoint made of links, and remove it at the end."""
        joined = self.folder / "joined"
        shutil.rmtree(joined, ignore_errors=True)
        joined.mkdir()
        for network in dict.fromkeys(network for variant in variants for network in variant.networks):
            name = checkpoint.network_name(network.config())
            (joined / name).symlink_to((self.network_folder(network, seed) / name).resolve())
        configs = checkpoint.load_configs(joined, sorted(path.name for path in joined.iterdir()))
        yield CachedEngine(engines.load("tensorflow", joined, configs)), configs
        shutil.rmtree(joined)


def parameters(network_config: config.NetworkConfig) -> int:
    """Return the number of parameters of a network."""
    from kits_tf import models

    return int(models.build(network_config).count_params())


def read(folder: pathlib.Path) -> Case:
    """Return the CT and labels of a folder in KiTS19's layout."""
    ct = kits_tf.read_volume(folder / kits19.IMAGE_NAME)
    labels, _ = kits_tf.read_labels(folder / kits19.LABEL_NAME)
    return Case(ct.hu, labels, ct.spacing_mm)


def segmenter(variant: Variant, engine: Engine, configs: Mapping[str, Any]) -> Segmenter:
    """Return a variant's system."""
    own = {checkpoint.network_name(network.config()): network for network in variant.networks}
    changed = {name: dataclasses.replace(configs[name], **dict(variant.together)) for name in own}
    return Segmenter(engine, changed)


def score(system: Segmenter, case: Case) -> dict[str, Any]:
    """Return the Dice of the kidneys, or of tumors within the true kidneys, None if there is none.

    For tumors, also return the true and the false positive volume in ml.
    """
    if "tumor" not in system.configs:
        found = system.run(case.hu, case.spacing_mm).labels
        return {"kidney_dice": round(dice(found > 0, case.labels > 0), 4)}
    found, tumor = system.run(case.hu, case.spacing_mm, mask=case.labels > 0).labels == 2, case.labels == 2
    voxel_ml = float(np.prod(case.spacing_mm)) / 1000
    return {
        "tumor_dice": round(dice(found, tumor), 4) if tumor.any() else None,
        "tumor_ml": round(np.count_nonzero(tumor) * voxel_ml, 2),
        "false_tumor_ml": round(np.count_nonzero(found & ~tumor) * voxel_ml, 2),
    }


def columns(scores: Scores) -> dict[str, list[float]]:
    """Return the values of each number, over the simulated cases that have it."""
    found: dict[str, list[float]] = {}
    for case, numbers in scores.items():
        for name, value in numbers.items():
            if value is not None and case != TRUNK:
                found.setdefault(name, []).append(value)
    return found


def score_released(variants: Iterable[Variant], real_ct: pathlib.Path | None, cases: list[str]) -> dict[str, Scores]:
    """Score the ways to fuse the planes with the released weights on real CTs.

    Args:
        variants: Of the question "planes".
        real_ct: Folder of NAME/imaging.nii.gz and NAME/kidney.nii.gz; None for the bundled CT alone.
        cases: NAMEs.
    """
    configs = checkpoint.load_configs(checkpoint.find(checkpoint.DEFAULT), checkpoint.network_names("kidney"))
    engine = CachedEngine(load_segmenter(checkpoint.DEFAULT, stage="kidney").engine)
    real = {TRUNK: read(pathlib.Path(kits_tf.__file__).with_name("samples") / TRUNK)}
    for name in cases if real_ct else []:
        assert real_ct is not None
        ct = kits_tf.read_volume(real_ct / name / kits19.IMAGE_NAME)
        labels, _ = kits_tf.read_labels(real_ct / name / "kidney.nii.gz")
        real[name] = Case(ct.hu, labels, ct.spacing_mm)
    found: dict[str, Scores] = {}
    for name, case in real.items():
        for variant in variants:
            plain = dataclasses.replace(variant, together=(("min_agreement", 0.0), *variant.together))
            found.setdefault(variant.name, {})[name] = score(segmenter(plain, engine, configs), case)
        engine.clear()
    return found


def single_threaded() -> None:
    """Restrict TensorFlow to one thread, so that CPU times are comparable; call this before it is imported."""
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ.setdefault(name, "1")
