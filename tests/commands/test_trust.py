"""A run folder is data: nothing in it runs, nothing outside it is read, and damage is named."""

import json
import os
import pickle
import random
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from mmemo.audio.prepared import PreparedCorpus
from mmemo.commands import evaluate, launch
from mmemo.commands.explained import CorpusUtterances, UserInputs
from mmemo.comparison.groups import seed_siblings
from mmemo.errors import InputError
from mmemo.folders import config_dir
from mmemo.models.checkpoints import Checkpoint
from mmemo.runs.input_errors import input_error
from mmemo.runs.run_folder import RunFolder
from mmemo.runs.saved_config import read_saved_config, save_composed
from tests.commands.conftest import Cli
from tests.commands.hostile_runs import (
    MUTATIONS,
    Pickled,
    put,
    read,
    touching,
    without_digests,
    write,
)
from tests.commands.run_readers import (
    ReachedError,
    Reader,
    composed,
    outcome,
    stopped_readers,
    train_once,
)

Runs = Callable[[str], RunFolder]


@pytest.fixture
def reading(monkeypatch: pytest.MonkeyPatch) -> dict[str, Reader]:
    return stopped_readers(monkeypatch)


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Runs]:
    """A small run, whole again at each call: as it finished, or as if stopped while it trained."""
    root = tmp_path_factory.mktemp("trust")
    run, kept = train_once(root), root / "kept"
    shutil.copytree(run.path, kept)

    def restored(status: str) -> RunFolder:
        shutil.rmtree(run.path)
        shutil.copytree(kept, run.path)
        if status == "interrupted":
            info = read(run.path / "run.json")
            info["status"] = status
            del info["checkpoint"]
            write(run.path / "run.json", info)
        return run

    yield restored


NUM_MUTATED = 220


@pytest.mark.slow
def test_mutated_run_folders_are_read_or_refused(trained: Runs, reading: dict[str, Reader]) -> None:
    marker = trained("finished").path.parent / "marker"
    pickled = marker.with_suffix(".pkl")
    pickled.write_bytes(pickle.dumps(Pickled(marker)))
    draw = random.Random(int(os.environ.get("MUTATION_SEED", "13")))
    refused, wrong = 0, []
    for number in range(NUM_MUTATED):
        name = list(reading)[number % len(reading)]
        run = trained("interrupted" if name == "resume" else "finished")
        what = MUTATIONS[number // len(reading) % len(MUTATIONS)](run.path, draw)
        try:
            refused += bool(outcome(reading[name], run.path))
        except Exception as error:
            wrong.append(f"{name} after {what}: {type(error).__name__}: {error}")
        if marker.exists():
            wrong.append(f"{name} after {what}: code has run")
            marker.unlink()
    assert not wrong, "\n".join(wrong)
    assert NUM_MUTATED / 3 < refused < NUM_MUTATED


def reread(run: RunFolder, place: str, value: Any, trusted: tuple[str, ...] = ()) -> str:  # noqa: ANN401
    """What is said of a run whose config holds another value at a place; "" where it is taken."""
    without_digests(run.path)
    document = read(run.composed_config_file)
    node = document
    *parents, last = place.split(".")
    for key in parents:
        node = node[key]
    node[last] = value
    write(run.composed_config_file, document)
    try:
        read_saved_config(run, trusted)
    except InputError as error:
        return str(error)
    return ""


@pytest.mark.slow
def test_each_hostile_object_is_refused_at_each_kind_of_place(trained: Runs) -> None:
    marker = trained("finished").path.parent / "marker"
    places = ("data.num_workers", "labels", "trainer.logger", "callbacks.own", "own", "fusion.own")
    for place in places:
        for value in touching(marker):
            if (place, value.get("_partial_")) == ("labels", None):
                continue
            said = reread(trained("finished"), place, value)
            assert f"{place}: _" in said, (place, value)
            # mmemo never asks for trust in what no model can have any use for.
            is_standard = str(value["_target_"]).partition(".")[0] in sys.stdlib_module_names
            assert not (is_standard and "trust=" in said)
    assert not marker.exists()


def test_a_listed_object_is_built_only_where_it_is_listed(trained: Runs) -> None:
    optimizer = {"_target_": "torch.optim.AdamW", "_partial_": True, "lr": 0.1}
    assert reread(trained("finished"), "optimizer", optimizer) == ""
    whole = {**optimizer, "_partial_": False}
    assert "optimizer: _partial_: False" in reread(trained("finished"), "optimizer", whole)
    assert "data.seed: _target_: torch.optim.AdamW" in reread(
        trained("finished"), "data.seed", optimizer
    )
    # A reference puts what is listed elsewhere where a value belongs.
    said = reread(trained("finished"), "data.batch_size", "${optimizer}")
    assert "data.batch_size: _target_: torch.optim.AdamW" in said
    assert "history.path" in reread(trained("finished"), "callbacks.history.path", "/etc/passwd")
    assert "history.path" in reread(
        trained("finished"), "callbacks.history.path", "${run_dir}/../../history.csv"
    )


@pytest.mark.parametrize(
    "value",
    [
        "${oc.env:MMEMO_SECRET}",
        "x${oc.env:MMEMO_SECRET,none}y",
        "${oc.select:nothing,${oc.env:MMEMO_SECRET}}",
        "${oc.select:nothing,'${oc.env:MMEMO_SECRET}'}",
        r"${oc.decode:'\${oc.env:MMEMO_SECRET}'}",
        r"${oc.create:'a: \${oc.env:MMEMO_SECRET}'}",
        r"${oc.select:nothing,'\${oc.env:MMEMO_SECRET}'}",
        "${oc.${part}:MMEMO_SECRET}",
        "${hydra:runtime.cwd}",
        "${now:%Y}",
        "${sweep_name:[a]}",
    ],
)
def test_a_saved_config_looks_at_nothing_outside(
    trained: Runs, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMEMO_SECRET", "s3cret")
    run = trained("finished")
    document = read(run.composed_config_file)
    write(run.composed_config_file, {**document, "part": "env"})
    said = reread(run, "name", value)
    assert "name" in said
    assert "s3cret" not in said


def test_what_is_saved_has_looked_outside_already(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMEMO_SECRET", "4")
    cfg = OmegaConf.create(
        {
            "a": "${oc.env:MMEMO_SECRET}",
            "b": "x${oc.env:MMEMO_SECRET}",
            "c": "${a}",
            "d": ["${oc.env:MMEMO_SECRET}", "${oc.select:a,1}"],
            "run_dir": "${hydra:runtime.output_dir}",
            "trust": ["me"],
        }
    )
    save_composed(tmp_path / "composed.yaml", cfg)
    assert read(tmp_path / "composed.yaml") == {
        "a": "4",
        "b": "x4",
        "c": "${a}",
        "d": ["4", "${oc.select:a,1}"],
        "run_dir": None,
        "resume": None,
    }


OWN = """
from mmemo.models.fusion import BottleneckFusion


class OwnFusion(BottleneckFusion):
    pass
"""


def test_a_users_own_class_is_built_when_it_is_named(
    trained: Runs, reading: dict[str, Reader], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_fusion.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    run = trained("finished")
    fusion = read(run.composed_config_file)["fusion"]
    own = {**fusion, "_target_": "own_fusion.OwnFusion"}
    said = reread(run, "fusion", own)
    assert "fusion: _target_: own_fusion.OwnFusion" in said
    assert "add 'trust=[own_fusion.OwnFusion]' to the command" in said
    assert "own_fusion" not in sys.modules
    for name in ("own_fusion", "own_fusion.OwnFusion"):
        assert reread(run, "fusion", own, (name,)) == ""
    assert reread(run, "fusion", own, ("own_fusion.Own", "own")) != ""
    cfg = composed("evaluate", f"run={run.path}", "trust=[own_fusion]")
    with pytest.raises(ReachedError):
        evaluate.run(cfg)
    assert "own_fusion" in sys.modules
    launch._resumed(config_dir(), "train", [f"resume={run.path}", "trust=own_fusion"])


def test_a_foreign_neighbour_is_not_built(trained: Runs) -> None:
    run = trained("finished")
    marker = run.path.parent / "marker"
    other = RunFolder(run.path.with_name("other"))
    shutil.copytree(run.path, other.path)
    try:
        without_digests(other.path)
        document = read(other.composed_config_file)
        put(document, ("data", "num_workers"), touching(marker)[0])
        write(other.composed_config_file, {**document, "seed": 3})
        metrics = read(other.metrics_file)
        metrics["protocol"]["seed"] = 3
        write(other.metrics_file, metrics)
        assert seed_siblings(run) == [other.path]
        cfg = composed("explain", f"run={run.path}")
        for given in (CorpusUtterances, UserInputs):
            with pytest.raises(InputError, match="data.num_workers: _target_: builtins.exec"):
                given(cfg, other.path)
    finally:
        shutil.rmtree(other.path)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("option", "given"),
    [
        ("config_overrides", {"trust_remote_code": True}),
        ("config_overrides", {"auto_map": {"AutoConfig": "own.Config"}}),
        ("config_overrides", {"attn_implementation": "someone/kernel"}),
        ("architecture", {"model_type": "wavlm", "trust_remote_code": True}),
    ],
)
def test_no_option_of_a_model_loads_code(option: str, given: dict[str, Any]) -> None:
    checkpoint = Checkpoint("none", "audio_encoder", pretrained=False, **{option: given})
    with pytest.raises(InputError, match="which tells what to load or run"):
        checkpoint.config({})


def test_a_checkpoints_own_code_is_never_run(tmp_path: Path) -> None:
    code = f"open({str(tmp_path / 'marker')!r}, 'w').close()"
    (tmp_path / "own.py").write_text(code)
    maps = {name: f"own.{name}" for name in ("AutoConfig", "AutoModel")}
    config = {"model_type": "own", "auto_map": maps}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="could not load"):
        Checkpoint(str(tmp_path), "audio_encoder").config({})
    tokens = {"auto_map": {"AutoTokenizer": ["own.A", "own.A"]}, "tokenizer_class": "A"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(tokens))
    with pytest.raises(InputError, match="could not load"):
        Checkpoint(str(tmp_path), "text_encoder").tokenizer()
    with pytest.raises(InputError, match="expected sdpa or eager, got 'someone/kernel'"):
        Checkpoint("none", "audio_encoder").model(None, "someone/kernel")
    assert not (tmp_path / "marker").exists()


def test_a_pickled_checkpoint_is_not_unpickled(trained: Runs, reading: dict[str, Reader]) -> None:
    for status, name in (("finished", "evaluate"), ("interrupted", "resume")):
        run = trained(status)
        without_digests(run.path)
        marker = run.path.parent / "marker"
        best = run.path / read(run.path / "run.json").get("checkpoint", "checkpoints/last.ckpt")
        torch.save(Pickled(marker), best)
        assert f"{best}: expected" in outcome(reading[name], run.path)
        assert not marker.exists()


def test_one_flipped_bit_of_the_checkpoint_is_noticed(
    trained: Runs, reading: dict[str, Reader]
) -> None:
    for has_digests in (True, False):
        for status, name in (("finished", "evaluate"), ("interrupted", "resume")):
            run = trained(status)
            if not has_digests:
                without_digests(run.path)
            path = run.path / read(run.info_file).get("checkpoint", "checkpoints/last.ckpt")
            data = bytearray(path.read_bytes())
            weights = torch.load(path, weights_only=True)["state_dict"]
            largest = max(weights.values(), key=torch.numel).numpy().tobytes()
            data[data.index(largest) + len(largest) // 2] ^= 1
            path.write_bytes(data)
            said = outcome(reading[name], run.path)
            assert f"{path}: expected" in said
            assert ("SHA-256" in said) == (has_digests and name == "evaluate")


def test_changed_sound_is_noticed(trained: Runs) -> None:
    run = trained("finished")
    folder = Path(run.read_data_card().prepared.folder)
    (audio,) = folder.glob("*.i16")
    kept = audio.read_bytes()
    rows = PreparedCorpus(folder).kept
    rows = rows[rows["split"] == "test"]
    second = rows.iloc[1]
    try:
        noise = bytearray(kept)
        noise[2 * int(second["offset"]) + 100] ^= 1
        audio.write_bytes(noise)
        corpus = PreparedCorpus(folder)
        places = rows[["audio_file", "offset", "num_samples"]].itertuples(index=False, name=None)
        first_place, second_place, *_ = places
        corpus.read(*first_place)
        # Only a part of it is heard: what was changed behind that counts too.
        with pytest.raises(InputError, match=f"expected the sound of {second['key']}"):
            corpus.read(second_place[0], second_place[1], 10)
        cfg = composed("evaluate", f"run={run.path}")
        with pytest.raises(InputError, match=f"expected the sound of {second['key']}"):
            evaluate.run(cfg)
        # From a process of the loader's torch hands the error on with a traceback in its text.
        rebuilt = evaluate.rebuild_run(run.path, None)
        rebuilt.experiment._cfg.data.num_workers = 1
        data = rebuilt.experiment.build_plain_datamodule(rebuilt.prepared, rebuilt.encoders)
        with pytest.raises(InputError) as raised:
            list(data.train_dataloader())
            list(data.val_dataloader())
            list(data.test_dataloader())
        problem = input_error(raised.value)
        assert problem is not None
        assert str(problem).startswith(f"{audio}: expected the sound of {second['key']}")
    finally:
        audio.write_bytes(kept)


def test_hydra_takes_no_orders_from_a_run_folder(trained: Runs, cli: Cli) -> None:
    run = trained("interrupted")
    marker = run.path.parent / "marker"
    without_digests(run.path)
    document = read(run.composed_config_file)
    for orders in (
        {"hydra": {"callbacks": {"own": touching(marker)[0]}}},
        {"hydra": {"launcher": touching(marker)[1]}},
        {"defaults": ["_self_", "own"]},
    ):
        write(run.composed_config_file, {**document, **orders})
        # Beside the config, where Hydra once looked for what the defaults name.
        write(run.path / "own.yaml", {"hydra": {"callbacks": {"own": touching(marker)[0]}}})
        said = cli("train", f"resume={run.path}", expect=1).stderr
        assert f"composed.yaml: expected the config of a run; {next(iter(orders))}: mmemo" in said
        assert "Traceback" not in said
    assert not marker.exists()


def test_no_package_is_imported_for_its_denoiser(trained: Runs) -> None:
    run = trained("finished")
    config = read(run.composed_config_file)
    config["denoiser"] = {
        "_target_": "mmemo.audio.deepfilternet.DeepFilterNet",
        **{"name": "x", "model_file": "x.onnx", "sha256": None, "filters_masked": True},
        "package": "antigravity",
    }
    write(run.composed_config_file, config)
    without_digests(run.path)
    with pytest.raises(InputError, match="denoiser.package: antigravity, which would be imported"):
        read_saved_config(run)
    assert read_saved_config(run, ["antigravity"])
    assert "antigravity" not in sys.modules
