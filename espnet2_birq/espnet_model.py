"""BiRQ as an ESPnet SSL model: features, labels, mask, encoder, loss (Algorithm 1)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from espnet2.asr.encoder.abs_encoder import AbsEncoder
from espnet2.asr.frontend.abs_frontend import AbsFrontend
from espnet2.asr.preencoder.abs_preencoder import AbsPreEncoder
from espnet2.asr.specaug.abs_specaug import AbsSpecAug
from espnet2.layers.abs_normalize import AbsNormalize
from espnet2.ssl.espnet_model import ESPnetSSLModel
from espnet2.torch_utils.device_funcs import force_gatherable

from espnet2_birq.errors import BadInputError
from espnet2_birq.features import AnchorFeatures, Subsampling, evaluation_mode, lower_layers
from espnet2_birq.labels.enhanced import normalize_utterances
from espnet2_birq.labels.frozen import settle_frozen
from espnet2_birq.labels.selection import at_least_float32, exact_dtype
from espnet2_birq.loss import BiRQLoss, CodebookDistillation, Penalty
from espnet2_birq.masking import SpanMasker
from espnet2_birq.train.guard import TrainingGuard

# Masks and noise of every validation batch start from here, so that validation losses are comparable over epochs.
VALIDATION_SEED = 20250918


class ESPnetBiRQModel(ESPnetSSLModel):
    """Pretrains an ESPnet encoder with anchoring and enhanced labels.

    Args:
        frontend: waveform to log-mel; None when features come from the data loader.
        specaug: must be None: masking is the masker's.
        normalize: feature normalisation, for labels and encoder alike.
        preencoder: frame stacking, or None.
        encoder: an encoder with ``encoders`` (see `espnet2_birq.features.lower_layers`).
        subsampling: frames per step of preencoder and encoder together.
        anchor: what the anchoring label is made from.
        masker: draws the masks.
        loss: head, labels and objective.
        penalty: weights by step.
        label_layer: k, the layer whose output makes the enhanced label.
        distillation: trains a second codebook for the anchoring label, or None.
        distilled_layers: the layers that it learns from, counted from 1.
        accumulation: batches per optimizer step (ESPnet's ``accum_grad``), so that schedules count optimizer steps.
        guard: watches the training statistics, or None.
        extract_feats_in_collect_stats: whether ESPnet's statistics stage computes features.
    """

    def __init__(
        self,
        frontend: AbsFrontend | None,
        specaug: AbsSpecAug | None,
        normalize: AbsNormalize | None,
        preencoder: AbsPreEncoder | None,
        encoder: AbsEncoder,
        subsampling: Subsampling,
        anchor: AnchorFeatures,
        masker: SpanMasker,
        loss: BiRQLoss,
        penalty: Penalty,
        label_layer: int,
        distillation: CodebookDistillation | None = None,
        distilled_layers: Sequence[int] = (),
        accumulation: int = 1,
        guard: TrainingGuard | None = None,
        extract_feats_in_collect_stats: bool = True,
    ) -> None:
        super().__init__(
            frontend=frontend,
            specaug=specaug,
            normalize=normalize,
            preencoder=preencoder,
            encoder=encoder,
            losses=[],
            util_attributes=set(),
            required_inputs=set(),
            util_modules=torch.nn.ModuleDict(),
            token_list=[],
        )
        self.subsampling = subsampling
        self.anchor = anchor
        self.masker = masker
        self.loss = loss
        self.penalty = penalty
        self.label_layer = label_layer
        self.distillation = distillation
        self.distilled_layers = tuple(distilled_layers)
        self.accumulation = accumulation
        self.guard = guard
        self.extract_feats_in_collect_stats = extract_feats_in_collect_stats
        self.register_load_state_dict_pre_hook(_settle_labels)

    def forward(
        self, speech: torch.Tensor, speech_lengths: torch.Tensor, **kwargs: object
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor], torch.Tensor]:
        """One batch of waveforms (B, L) to (loss, statistics, number of masked steps).

        ESPnet's trainer weights the loss by the third value over all ranks, so the loss is a mean over the masked
        steps of all of them.

        Raises:
            BadInputError: if an utterance is too short to give one encoder step, or the guard stops the run.
        """
        generator = None
        if not self.training:
            generator = torch.Generator(device=speech.device).manual_seed(VALIDATION_SEED)
        features_BFD, lengths_B = self.features(speech, speech_lengths)
        steps_B = self._steps(lengths_B, kwargs.get("utt_id"))
        masked_BT = self.masker.draw(steps_B, int(steps_B.max()), generator)
        masked_BF = self.subsampling.mask_frames(masked_BT, features_BFD.size(1))
        encoded_BTD, layers_BTH = self._encode_masked(self.masker.fill(features_BFD, masked_BF, generator), lengths_B)
        anchor_BTI = self.anchor_vectors(features_BFD, lengths_B, masked_BT.size(1))

        step = int(self.global_step) // self.accumulation
        weights = self.penalty.weights(step)
        hidden_SH = None
        if self.loss.enhanced is not None:
            gradient = bool(weights.enhanced) and self.loss.enhanced.gradient_at(step)
            hidden_SH = self.hidden(features_BFD, lengths_B, gradient)[masked_BT]
        if self.training:
            self.loss.quantizer.advance(step)
        loss, stats = self.loss(
            encoded_BTD[masked_BT],
            anchor_BTI[masked_BT],
            hidden_SH,
            weights if self.distillation is None else self.distillation.divided(weights),
            generator=generator,
            step=step,
        )
        if self.distillation is not None:
            valid_BT = torch.arange(masked_BT.size(1), device=steps_B.device) < steps_B[:, None]
            second, second_stats = self.distillation(
                encoded_BTD, anchor_BTI, layers_BTH, masked_BT, valid_BT, self.loss.quantizer, weights, step
            )
            loss = loss + second
            stats |= second_stats
        if self.penalty.moves:
            stats |= {"w1": weights.enhanced, "w2": weights.anchoring}
            stats |= {} if weights.tau is None else {"tau": weights.tau}
        masked_steps = masked_BT.sum()
        stats["loss"] = loss.detach()
        stats["masked_share"] = masked_steps / steps_B.sum()
        if self.training:
            if self.guard is not None:
                self.guard.update(stats)
            self.global_step += 1
        return force_gatherable((loss, stats, masked_steps), loss.device)

    def features(self, speech: torch.Tensor, speech_lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Unmasked, normalised features (B, F, D) in float32 whatever autocast says, and their lengths (B,).

        The normalisation runs in `exact_dtype`: the rounding of an utterance's mean in float32 depends on how much
        padding its batch mates add to the sum.
        """
        with torch.autocast(speech.device.type, enabled=False), torch.no_grad():
            features, lengths = self._extract_feats(at_least_float32(speech), speech_lengths)
            if self.normalize is not None:
                dtype = features.dtype
                features, lengths = self.normalize(features.to(exact_dtype(features.device)), lengths)
                features = features.to(dtype)
        return features, lengths

    def anchor_vectors(self, features_BFD: torch.Tensor, lengths_B: torch.Tensor, num_steps: int) -> torch.Tensor:
        """What the quantizer labels, (B, num_steps, I), in float32 whatever autocast says."""
        with torch.autocast(features_BFD.device.type, enabled=False), torch.no_grad():
            return self.anchor(features_BFD, lengths_B, num_steps)

    def hidden(self, features_BFD: torch.Tensor, lengths_B: torch.Tensor, gradient: bool | None = None) -> torch.Tensor:
        """Output of layers 1..k on unmasked features in evaluation mode: (B, F, D) -> (B, T, H).

        Gradients flow if asked for; by default, if the labels ever want them. Where the labels are normalised over
        the utterance, the output is.
        """
        view, enhanced = lower_layers(self.encoder, self.label_layer), self.loss.enhanced
        gradient = bool(enhanced.gradient) if gradient is None else gradient
        with evaluation_mode(view), torch.set_grad_enabled(torch.is_grad_enabled() and gradient):
            hidden_BTH = self.encoder_output(features_BFD, lengths_B, view)
            if enhanced.normalization == "utterance":
                with torch.autocast(hidden_BTH.device.type, enabled=False):
                    hidden_BTH = normalize_utterances(hidden_BTH, self.subsampling.steps(lengths_B))
            return hidden_BTH

    def collect_feats(
        self, speech: torch.Tensor, speech_lengths: torch.Tensor, **kwargs: object
    ) -> dict[str, torch.Tensor]:
        """Features before normalisation, for ESPnet's statistics stage."""
        if not self.extract_feats_in_collect_stats:
            return {"feats": speech, "feats_lengths": speech_lengths}
        feats, feats_lengths = self._extract_feats(speech, speech_lengths)
        return {"feats": feats, "feats_lengths": feats_lengths}

    def encoder_output(
        self, features_BFD: torch.Tensor, lengths_B: torch.Tensor, encoder: AbsEncoder | None = None
    ) -> torch.Tensor:
        """Output (B, T, H) of the encoder, or of a view of it, on features (B, F, D)."""
        encoder = self.encoder if encoder is None else encoder
        if self.preencoder is not None:
            features_BFD, lengths_B = self.preencoder(features_BFD, lengths_B)
        return encoder(features_BFD, lengths_B)[0]

    def _encode_masked(
        self, features_BFD: torch.Tensor, lengths_B: torch.Tensor
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Output of the encoder, and of the layers that a second codebook is distilled from."""
        if self.distillation is None:
            return self.encoder_output(features_BFD, lengths_B), []
        if self.preencoder is not None:
            features_BFD, lengths_B = self.preencoder(features_BFD, lengths_B)
        (encoded_BTD, layers_BTH), *_ = self.encoder(features_BFD, lengths_B, return_all_hs=True)
        return encoded_BTD, [layers_BTH[layer - 1] for layer in self.distilled_layers]

    def _steps(self, lengths_B: torch.Tensor, utterance_ids: object) -> torch.Tensor:
        steps_B = self.subsampling.steps(lengths_B)
        if int(steps_B.min()) < 1:
            index = int(steps_B.argmin())
            name = utterance_ids[index] if isinstance(utterance_ids, (list, tuple)) else f"number {index} of the batch"
            raise BadInputError(
                f"utterance {name} has {int(lengths_B[index])} feature frames, too few for one encoder step "
                f"({self.subsampling.receptive_field} needed); raise --min_wav_duration of stage 4"
            )
        return steps_B


def _settle_labels(model: ESPnetBiRQModel, state: dict[str, torch.Tensor], prefix: str, *_: object) -> None:
    """Before a checkpoint is loaded: its frozen label numbers must be those that the configuration draws."""
    settle_frozen(model.loss.quantizer.frozen(), state, f"{prefix}loss.quantizer.")
    if model.loss.enhanced is not None:
        settle_frozen(dict(model.loss.enhanced.named_buffers()), state, f"{prefix}loss.enhanced.")
