"""The README.md of an uploaded model."""

from __future__ import annotations

from typing import Any

_TITLES = {"ssl": "A speech encoder pretrained with BiRQ", "asr": "A speech recogniser on a BiRQ-pretrained encoder"}
_TAGS = {"ssl": "feature-extraction", "asr": "automatic-speech-recognition"}

_SSL_USE = """Put these lines into the configuration of an ASR training of ESPnet (202611, nothing else needed), after
downloading and unpacking this repository:

```yaml
init_param:
  - {model}:encoder:encoder
```

with the same `frontend`, `preencoder` and `encoder` as in `{config}`."""

_ASR_USE = """```python
{plugin}from espnet2.bin.asr_inference import Speech2Text

speech2text = Speech2Text.from_pretrained("{repo}", ctc_weight=1.0, beam_size=1)
text, *_ = speech2text(waveform)[0]  # mono float waveform at {rate} Hz
```"""


def model_card(kind: str, repo: str, meta: dict[str, Any], config: dict[str, Any], results: str) -> str:
    """Text of a model card.

    Args:
        kind: ssl or asr.
        repo: name of the repository.
        meta: the pack's ``meta.yaml``.
        config: the packed configuration.
        results: text of RESULTS.md, or empty.
    """
    import yaml

    if kind == "ssl":
        use = _SSL_USE.format(model=meta["files"]["ssl_model_file"], config=meta["yaml_files"]["ssl_train_config"])
    else:
        plugin = "import espnet2_birq.tasks.asr  # makes the stacking pre-encoder known\n"
        use = _ASR_USE.format(
            plugin=plugin if config.get("preencoder") == "stacking" else "",
            repo=repo,
            rate=(config.get("frontend_conf") or {}).get("fs", 16000),
        )
    front = yaml.safe_dump(
        {"tags": ["espnet", "audio", _TAGS[kind], "birq"], "library_name": "espnet"}, sort_keys=False
    )
    chosen = {key: config[key] for key in ("frontend", "frontend_conf", "normalize", "preencoder", "preencoder_conf")}
    chosen |= {key: config[key] for key in ("encoder", "encoder_conf")}
    parts = [
        f"---\n{front}---",
        f"# {_TITLES[kind]}\n\n`{repo}`, made by the recipes of espnet2_birq. BiRQ: arXiv 2509.15430.",
        f"## Use\n\n{use}",
        f"## Versions\n\nESPnet {meta['espnet']}, PyTorch {meta['torch']}, Python {meta['python']}.",
        f"## Model\n\n```yaml\n{yaml.safe_dump(chosen, sort_keys=False)}```",
    ]
    if results:
        parts.append(results.replace("# RESULTS", "## Results", 1).replace("## Environments", "### Environments", 1))
    return "\n\n".join(parts).rstrip("\n") + "\n"
