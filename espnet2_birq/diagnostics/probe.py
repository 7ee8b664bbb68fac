"""A linear CTC probe: how much of the text a single linear layer finds in the frozen encoder's output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from espnet2_birq.decode.scoring import align, split_characters
from espnet2_birq.diagnostics.collect import valid_steps
from espnet2_birq.diagnostics.utterances import Utterance, batches, padded
from espnet2_birq.espnet_model import ESPnetBiRQModel

BLANK = 0
TEST_SHARE = 5  # every fifth utterance


@dataclass(frozen=True)
class ProbeResult:
    """Character error rate of the probe.

    Attributes:
        cer: errors by reference characters, on utterances that it was not trained on.
        training_loss: CTC loss by character at the end.
        train_utterances: how many it was trained on.
        test_utterances: how many were scored.
        updates: optimizer steps.
    """

    cer: float
    training_loss: float
    train_utterances: int
    test_utterances: int
    updates: int


@torch.no_grad()
def output_vectors(model: ESPnetBiRQModel, utterances: list[Utterance], most_samples: int) -> dict[str, torch.Tensor]:
    """The encoder's output on unmasked input, (T, H) by utterance."""
    model.eval()
    vectors: dict[str, torch.Tensor] = {}
    for batch in batches(utterances, most_samples):
        features_BFD, lengths_B = model.features(*padded(batch))
        steps_B, valid_BT = valid_steps(model, lengths_B)
        parts = model.encoder_output(features_BFD, lengths_B)[valid_BT].float().split(steps_B.tolist())
        vectors |= {utterance.name: part for utterance, part in zip(batch, parts, strict=True)}
    return vectors


def ctc_probe(
    vectors: Mapping[str, torch.Tensor],
    texts: Mapping[str, str],
    updates: int = 300,
    batch_size: int = 32,
    learning_rate: float = 0.01,
    seed: int = 0,
) -> ProbeResult | None:
    """Train one linear layer by CTC on four fifths of the utterances and score the others by best path.

    Args:
        vectors: encoder output (T, H) by utterance; scaled to zero mean and unit variance by dimension.
        texts: transcript by utterance. Those with more characters than steps have no CTC path and are not trained on.
        updates: optimizer steps (Adam).
        batch_size: utterances in a step.
        learning_rate: falls to zero along a half cosine.
        seed: of the initial weights and the order.

    Returns:
        None if fewer than two utterances have text.
    """
    names = sorted(name for name in vectors if texts.get(name))
    test, train = names[::TEST_SHARE], [name for index, name in enumerate(names) if index % TEST_SHARE]
    tokens = {name: split_characters(texts[name]) for name in names}
    train = [name for name in train if _fits(tokens[name], vectors[name])]
    if not train or not test:
        return None
    inventory = sorted({token for name in train for token in tokens[name]})
    ids = {token: number for number, token in enumerate(inventory, 1)}
    steps = torch.cat([vectors[name] for name in train])
    mean, scale = steps.mean(0), steps.std(0).clamp_min(1e-5)

    generator = torch.Generator().manual_seed(seed)
    weight = (0.01 * torch.randn(len(inventory) + 1, len(mean), generator=generator)).requires_grad_()
    bias = torch.zeros(len(inventory) + 1, requires_grad=True)
    optimizer = torch.optim.Adam([weight, bias], lr=learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, updates)
    loss = torch.zeros(())
    for _ in range(updates):
        order = torch.randperm(len(train), generator=generator)[:batch_size]
        batch = [train[int(index)] for index in order]
        padded_BTH = torch.nn.utils.rnn.pad_sequence([(vectors[name] - mean) / scale for name in batch], True)
        log_probabilities = torch.log_softmax(padded_BTH @ weight.T + bias, dim=-1)
        targets = [[ids[token] for token in tokens[name]] for name in batch]
        loss = torch.nn.functional.ctc_loss(
            log_probabilities.transpose(0, 1),
            torch.tensor([token for target in targets for token in target]),
            torch.tensor([len(vectors[name]) for name in batch]),
            torch.tensor([len(target) for target in targets]),
            blank=BLANK,
            zero_infinity=True,
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    errors = characters = 0
    with torch.no_grad():
        for name in test:
            path = ((vectors[name] - mean) / scale @ weight.T + bias).argmax(-1).unique_consecutive()
            counts = align(tokens[name], [inventory[token - 1] for token in path.tolist() if token != BLANK]).counts()
            errors += counts.errors
            characters += len(tokens[name])
    return ProbeResult(errors / max(1, characters), float(loss.detach()), len(train), len(test), updates)


def _fits(tokens: Sequence[str], vectors_TH: torch.Tensor) -> bool:
    """Whether CTC has a path: a step for every token, and one between equal neighbours."""
    repeats = sum(first == second for first, second in zip(tokens, tokens[1:], strict=False))
    return len(tokens) + repeats <= len(vectors_TH)
