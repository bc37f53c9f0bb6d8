"""Reading encoders with transformers: configuration and weights."""

from __future__ import annotations

import json
from typing import Any

import torch

from xmft.backbones import files
from xmft.backbones.checks import check_complete, check_finite, check_headers
from xmft.backbones.family import FAMILIES, BackboneSize, Family, family_of
from xmft.backbones.opening import opened, unreadable
from xmft.backbones.remembered import fingerprint_or_none, identity, recall, remember
from xmft.backbones.weights import NAMED, locate_weights, named
from xmft.errors import RequestError
from xmft.seeding import seed_everything


def backbone_size(name: str) -> BackboneSize:
    """Read the size of a backbone without its weights.

    Raises:
        RequestError: the backbone cannot be found or is no encoder that can be used.
    """
    fingerprint = fingerprint_or_none(name)
    key = fingerprint and identity(fingerprint, FAMILIES)
    known = recall("sizes", key) if key else None
    if known is not None:
        return BackboneSize(**{**known, "name": name, "family": FAMILIES[known["family"]]})
    config, family = configuration(name)
    size = BackboneSize(
        name=name,
        family=family,
        layers=family.layers(config),
        positions=family.positions(config),
    )
    if key:
        facts = {"family": family.name, "layers": size.layers, "positions": size.positions}
        remember("sizes", key, facts)
    return size


def check_readable(name: str, *, as_source: bool = False) -> None:
    """Refuse what could not be read or taken apart, without reading the weights.

    Args:
        name: The backbone, as the user named it.
        as_source: Whether samples of a source have to be made for it, too.

    Raises:
        RequestError: the weights are not there, want more than tensors, or are of a model that
            its family cannot take apart; or what makes samples of a source is missing.
    """
    fingerprint = fingerprint_or_none(name)
    key = fingerprint and f"{identity(fingerprint, FAMILIES)} {as_source}"
    if key and recall("readable", key):
        return
    _check_readable(name)
    if as_source:
        backbone_size(name).family.check_source(name)
    if key:
        remember("readable", key, True)


def _check_readable(name: str) -> None:
    (config, family), folder = configuration(name), locate_weights(name)
    if folder is None:
        return
    check_headers(name, folder)
    if name in NAMED:  # by its family; the import below would cost a second
        return
    from transformers import AutoModel

    with opened(name, folder, []), torch.device("meta"):
        family.check_body(AutoModel.from_config(config, trust_remote_code=False), name)


def read_encoder(name: str) -> tuple[Any, Family]:
    """Read a backbone: the transformers model in evaluation mode, with its own embedding.

    Its family takes it apart.

    Attention is `scaled_dot_product_attention` where the architecture has it (BERT, RoBERTa and
    Swin do), which is what transformers takes by itself.

    Raises:
        RequestError: its files cannot be loaded, or do not hold all weights of the encoder.
    """
    (config, family), folder = configuration(name), locate_weights(name)
    from transformers import AutoModel

    if folder is None:
        seed_everything(name)
        return AutoModel.from_config(config, trust_remote_code=False).eval(), family
    check_headers(name, folder)
    weights = files.weight_files(folder)
    with opened(name, folder, [folder / "config.json", *weights]) as view:
        body, report = AutoModel.from_pretrained(
            view,
            config=config,
            local_files_only=True,
            trust_remote_code=False,
            weights_only=True,
            dtype=torch.float32,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    check_complete(report, name, folder)
    check_finite(body, weights)
    return body, family


def configuration(name: str) -> tuple[Any, Family]:
    """Read the configuration of an encoder, dropout switched off, and find its family.

    Raises:
        RequestError: there is none, or it is of an architecture that cannot be used.
    """
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    build = named(name).build
    config = _stored(name) if build is None else build()
    family = family_of(name, config)
    for key, value in vars(config).items():
        # The published setting trains without dropout (drop_out: 0.0 in every config), and with
        # the random depth of the checkpoint.
        if "dropout" in key and isinstance(value, float):
            setattr(config, key, 0.0)
    return config, family


def _stored(name: str) -> Any:
    """Read the configuration that lies in a folder.

    Raises:
        RequestError: it is none, or not of a model that transformers has itself and that trains.
    """
    from transformers import CONFIG_MAPPING, AutoConfig

    folder = locate_weights(name)
    assert folder is not None  # what is built is not stored
    try:
        content = json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError) as error:
        raise unreadable(name, folder, error) from error
    if not isinstance(content, dict):
        raise RequestError(
            f"{folder}/config.json holds a {type(content).__name__} instead of the configuration "
            f"of a model. Fetch it again, or choose another backbone than '{name}'."
        )
    kind = content.get("model_type")
    known = isinstance(kind, str) and kind in CONFIG_MAPPING
    if not known and "auto_map" in content:
        raise RequestError(
            f"Backbone '{name}' is a model of its own code (auto_map in {folder}/config.json: "
            f"{_first(content['auto_map'])}), and code that lies in a folder is not run. Choose an "
            "architecture that transformers has itself, or register a family in a plug-in."
        )
    if not isinstance(kind, str):
        raise RequestError(
            f"{folder}/config.json does not say what the model is. Put the model_type of its "
            f"architecture there, such as bert, or choose another backbone than '{name}'."
        )
    if "quantization_config" in content:
        raise RequestError(
            f"The weights in {folder} are quantised (quantization_config in config.json), and "
            "quantised weights are not trained. Give the weights that they were made from."
        )
    with opened(name, folder, files.matching(folder, files.CONFIGURATION)) as view:
        config = AutoConfig.from_pretrained(view, local_files_only=True, trust_remote_code=False)
    # Either could lead elsewhere than to the folder: to kernels of the hub, to another file.
    config._attn_implementation, config.transformers_weights = None, None
    return config


def remarks(name: str) -> list[str]:
    """Return what one should know of a backbone's folder though it can be used."""
    folder = locate_weights(name)
    if folder is None:
        return []
    found = []
    if (adapter := files.adapter_of(folder)) is not None:
        found.append(
            f"Backbone '{name}': the adapter beside the weights ({adapter}) is not applied; to "
            "have it, merge it into its base (merge_and_unload of peft) and save that."
        )
    for file in ("config.json", "tokenizer_config.json"):
        try:
            own = json.loads((folder / file).read_bytes()).get("auto_map")
        except (OSError, ValueError, AttributeError):
            continue
        if own:
            found.append(
                f"Backbone '{name}': the code that {file} names ({_first(own)}) is not run; it is "
                "read by what transformers has itself."
            )
    return found


def _first(auto_map: Any) -> str:
    """Return the first class that an auto_map names: a mapping, or a list for tokenizers."""
    entry = next(iter(auto_map.values()), None) if isinstance(auto_map, dict) else auto_map
    while isinstance(entry, list | tuple):
        entry = next((each for each in entry if each), None)
    return str(entry)
