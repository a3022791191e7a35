"""Audio-visual anomaly detection: how likely are a clip's lips and sound, for somebody who has only seen real clips?"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dfdetect.detectors.base import Batch, Detector
from dfdetect.detectors.layers.density import CausalDensity
from dfdetect.detectors.layers.encoders import EFFICIENTNET_STAGES, run_stages
from dfdetect.detectors.layers.temporal import TemporalStack
from dfdetect.detectors.pretrained import Backbone, make_backbone
from dfdetect.detectors.registry import register
from dfdetect.detectors.settings import IMAGENET_MEAN, IMAGENET_STD, AVTransformerSettings


@register("av_transformer", AVTransformerSettings)
class AVTransformer(Detector):
    """Two streams, sync features, and a causal density of them; trained on real clips only.

        mouths (B, 16, 3, 112, 112) -> EfficientNet-B0, pooled (1280) -> linear -> 4 layers -> v (B, 16, 256)
        mels   (B, 8, 80, T) -> 3 channels -> MobileNetV2, pooled (1280) -> linear -> 4 layers -> a (B, 8, 256)
        a aligned to the frames by time -> fuse [v; a] -> normalise -> s (B, 16, 256) -> log p(s_t | s_<t)

    Output: log_prob (B,): mean over the frames of log p(s_t | s_<t) in nats; step_log_prob (B, 16); sync (B, 16, 256);
    with labels in the batch also sync_logits (B, 1 + negatives) for the loss. score = -log_prob.

    Collapse. Trained together as in the source, features and density have a trivial optimum: features that are the same
    for every clip, whose density grows without bound. Here the features have unit scale (layer norm without gain), the
    density gets them detached (stop_gradient), and what trains them is a contrastive sync loss: of the clip's own
    soundtrack and the same shifted in time, the first must fit the lips. The wrong soundtracks pass through the audio
    stream themselves, shifted before its positional encoding, so that position gives nothing away; in training the
    right one is shifted too, together with the lips (turned_together), so that the jump does not either. Other clips'
    soundtracks can be set against it as well (cross_clip_negatives): whose voice goes with which face is then learned
    too, and on drawn heads nothing was learned in the steps that sufficed without. AVAD, too, fits its density to
    features that are trained beforehand and frozen.

    Parameters: 37.1 M; the source claims about 52 M. Backbones 4.0 + 2.2 M without their ImageNet classifiers, streams
    with their projections 2 x 5.6 M, fusion 0.4 M, density 19.3 M: what the source lists adds up to this. Of the other
    15 M, classifiers left on the backbones would explain 2.6 M, and cross-attention in its decoder layers (it names no
    second sequence for them) 6.3 M. `temporal: mamba`: 21.4 M, claimed about 45 M; a Mamba layer of width C has about
    6 C^2 parameters against a transformer layer's 4 C^2 + 4096 C. The differences are not padded away.

    Source: the repository Dual-Stream Audio-Visual Transformer Deepfake Detection; Feng et al., AVAD (CVPR 2023).
    """

    inputs = frozenset({"mouths", "mels"})
    target = "label"
    trains_on = "real"
    mean = IMAGENET_MEAN
    std = IMAGENET_STD
    backbone_prefixes = ("visual_backbone.", "audio_backbone.")

    def __init__(self, settings: AVTransformerSettings) -> None:
        super().__init__(settings, image_size=settings.image_size)
        self.options = settings
        d_model = settings.d_model
        given = settings.pretrained
        visual, audio = (given, given) if isinstance(given, bool) else (given.visual or False, given.audio or False)
        self.visual_backbone = make_backbone("efficientnet_b0", visual)
        self.audio_backbone = make_backbone("mobilenetv2_100", audio)
        self.mel_norm = nn.BatchNorm2d(1, affine=False)  # log-mels to mean 0, scale 1, whatever their unit
        self.visual_project = nn.Linear(self.visual_backbone.num_features, d_model)
        self.audio_project = nn.Linear(self.audio_backbone.num_features, d_model)
        self.visual_stack = self._stack(settings.visual_layers)
        self.audio_stack = self._stack(settings.audio_layers)
        self.fuse = nn.Sequential(nn.Linear(2 * d_model, 2 * d_model), nn.GELU(), nn.Linear(2 * d_model, d_model))
        self.normalise = nn.LayerNorm(d_model, elementwise_affine=False)
        self.sync_head = nn.Linear(d_model, 1, bias=False)  # a bias would cancel in the sync loss
        self.density = CausalDensity(
            d_model,
            width=settings.density_width,
            layers=settings.density_layers,
            heads=settings.heads,
            feedforward=settings.feedforward,
            dropout=settings.dropout,
            components=settings.components,
            min_scale=settings.min_scale,
            temporal=settings.temporal,
        )

    @property
    def calibrates_on_fakes(self) -> bool:
        """See Detector."""
        return self.options.calibrate_on_fakes

    def _stack(self, layers: int) -> TemporalStack:
        s = self.options
        return TemporalStack(s.temporal, s.d_model, layers, heads=s.heads, feedforward=s.feedforward, dropout=s.dropout)

    def _embed(self, backbone: Backbone, images: Tensor) -> Tensor:
        """Pooled backbone features of every image: (B, T, 3, H, W) -> (B, T, 1280)."""
        maps = run_stages(backbone, EFFICIENTNET_STAGES, images.flatten(0, 1), checkpointed=self.gradient_checkpointing)
        return maps.mean(dim=(2, 3)).unflatten(0, images.shape[:2])

    def embeddings(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """What the two streams read: of the frames (B, frames, C), and of the chunks (B, chunks, C)."""
        mouths, mels = batch["mouths"], batch["mels"]
        self._check(mouths, mels)
        lips = self.visual_project(self._embed(self.visual_backbone, mouths))
        normal = self.mel_norm(mels.flatten(0, 1).unsqueeze(1)).unflatten(
            0, mels.shape[:2]
        )  # (B, chunks, 1, n_mels, T)
        a = self._embed(self.audio_backbone, normal.expand(-1, -1, 3, -1, -1))
        return lips, self.audio_project(a)

    def _check(self, mouths: Tensor, mels: Tensor) -> None:
        wanted = (self.options.frames, self.options.chunks, self.options.n_mels)
        given = (mouths.shape[1], mels.shape[1], mels.shape[2])
        if given != wanted:
            raise ValueError(f"av_transformer was built for frames, chunks, n_mels {wanted}, got {given}.")

    def sync_features(self, v: Tensor, chunks: Tensor, nearest: Tensor) -> Tensor:
        """Fuse v (B, T, C) with chunk embeddings (B, chunks, C), of each frame the nearest (B, T) -> (B, T, C)."""
        a = self.audio_stack(chunks, checkpointed=self.gradient_checkpointing)
        aligned = a.gather(1, nearest.unsqueeze(-1).expand(-1, -1, a.shape[2]))  # (B, T, C)
        return self.normalise(self.fuse(torch.cat([v, aligned], dim=-1)))

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """mouths (B, frames, 3, H, W), mels (B, chunks, n_mels, T), times -> log_prob (B,) and more (see the class)."""
        lips, chunks = self.embeddings(batch)
        nearest = nearest_chunks(batch, lips.shape[1], chunks.shape[1])
        if self.training:
            lips, chunks, nearest = turned_together(lips, chunks, nearest)
        v = self.visual_stack(lips, checkpointed=self.gradient_checkpointing)
        sync = self.sync_features(v, chunks, nearest)
        target = sync.detach() if self.options.stop_gradient else sync
        steps = self.density(target, checkpointed=self.gradient_checkpointing)  # (B, T)
        output = {"log_prob": steps.mean(dim=1), "step_log_prob": steps, "sync": sync}
        if "label" in batch:
            output["sync_logits"] = self._sync_logits(v, chunks, nearest, sync)
        return output

    def _sync_logits(self, v: Tensor, chunks: Tensor, nearest: Tensor, sync: Tensor) -> Tensor:
        """How well the clip's own soundtrack fits (first column), and the wrong ones: (B, 1 + negatives)."""
        logits = [self.sync_head(sync).mean(dim=(1, 2))]
        count, foreign = self.options.num_negatives, self.options.cross_clip_negatives
        for wrong in wrong_soundtracks(chunks, count, foreign=foreign, random=self.training):
            logits.append(self.sync_head(self.sync_features(v, wrong, nearest)).mean(dim=(1, 2)))
        return torch.stack(logits, dim=1) / self.options.temperature

    def loss(self, output: dict[str, Tensor], batch: Batch, *, progress: float = 0.0) -> dict[str, Tensor]:  # noqa: ARG002
        """Negative log-likelihood per channel, and the contrastive sync loss, both over the real clips only.

        sync_accuracy, which is only logged: the share of the real clips whose own soundtrack fits best (chance: one in
        1 + negatives; more in training, where drawn shifts repeat). On held-out people it tells learning from
        memorising.

        A batch without a real clip gives 0 with a zero gradient.
        """
        real = (batch["label"] == 0).to(torch.float32)
        count = real.sum().clamp(min=1.0)
        nll = -(output["log_prob"] * real).sum() / count / self.options.d_model
        logits = output["sync_logits"].float()
        each = F.cross_entropy(
            logits, torch.zeros(len(logits), dtype=torch.long, device=logits.device), reduction="none"
        )
        sync = (each * real).sum() / count
        found = ((logits.argmax(dim=1) == 0) * real).sum() / count
        return {"loss": nll + self.options.sync_weight * sync, "nll": nll, "sync": sync, "sync_accuracy": found}

    def example_batch(self, batch_size: int = 2, *, seed: int = 0) -> Batch:
        """A random batch of the right shapes: for tests, profiles and export."""
        s, generator = self.options, torch.Generator().manual_seed(seed)
        size = (3, self.image_size, self.image_size)
        frame_time, chunk_time = (
            ((torch.arange(n) + 0.5) * 3.0 / n).repeat(batch_size, 1) for n in (s.frames, s.chunks)
        )
        return {
            "label": torch.arange(batch_size) % 2,
            "mouths": torch.randn(batch_size, s.frames, *size, generator=generator),
            "mels": torch.randn(batch_size, s.chunks, s.n_mels, 38, generator=generator) * 3.0 - 6.0,
            "frame_time_s": frame_time,
            "chunk_time_s": chunk_time,
        }


def nearest_chunks(batch: Batch, frames: int, chunks: int) -> Tensor:
    """For each frame the chunk whose centre is nearest in time: indices (B, frames).

    Args:
        batch: with frame_time_s (B, frames) and chunk_time_s (B, chunks); without them both are taken to cover the clip
            evenly, so that of 8 chunks and 16 frames chunk k belongs to frames 2k and 2k + 1.
        frames, chunks: how many there are.
    """
    if "frame_time_s" in batch and "chunk_time_s" in batch:
        gap = (batch["frame_time_s"].unsqueeze(2) - batch["chunk_time_s"].unsqueeze(1)).abs()  # (B, frames, chunks)
        return gap.argmin(dim=2)
    index = torch.arange(frames, device=batch["mouths"].device) * chunks // frames
    return index.expand(len(batch["mouths"]), -1)


def turned_together(lips: Tensor, chunks: Tensor, nearest: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Begin each clip at a chunk of its own choice: lips and sound move together, and what leaves the end comes first.

    A soundtrack that is shifted in time begins and ends in mid-speech and jumps where its end meets its start: the
    sound by itself would give it away, and the sync loss would never look at the lips. Now the right soundtracks do so
    as well.

    Args:
        lips: embeddings of the frames (B, F, C).
        chunks: of the chunks (B, n, C).
        nearest: of each frame its chunk (B, F).
    Returns:
        The same three, each clip turned by a number of chunks drawn from 0 to n - 1.
    """
    B, n = chunks.shape[:2]
    frames, device = lips.shape[1], chunks.device
    shift = torch.randint(0, n, (B, 1), device=device)
    of_chunks = (torch.arange(n, device=device) + shift) % n  # (B, n)
    of_frames = (torch.arange(frames, device=device) + shift * frames // n) % frames  # (B, F)
    return (
        lips.gather(1, of_frames.unsqueeze(-1).expand_as(lips)),
        chunks.gather(1, of_chunks.unsqueeze(-1).expand_as(chunks)),
        (nearest.gather(1, of_frames) - shift) % n,
    )


def wrong_soundtracks(chunks: Tensor, count: int, *, foreign: bool, random: bool) -> list[Tensor]:
    """Soundtracks that do not belong to the lips: own ones shifted in time and, if asked for, those of other clips.

    Args:
        chunks: chunk embeddings (B, n, C), n >= 2.
        count: how many to make.
        foreign: every second one is of another clip; a batch of one has shifted ones only.
        random: draw shifts (one per clip) and clips; otherwise they are spread evenly (validation).
    Returns:
        count tensors (B, n, C).
    """
    B, n, C = chunks.shape
    device = chunks.device
    wrong = []
    for i in range(count):
        if foreign and i % 2 and B > 1:
            step = torch.randint(1, B, (1,), device=device) if random else 1 + (i // 2) % (B - 1)
            wrong.append(chunks[(torch.arange(B, device=device) + step) % B])
        else:
            even = torch.full((B, 1), 1 + (n // 2 - 1 + i * n // (count + 1)) % (n - 1), device=device)
            shift = torch.randint(1, n, (B, 1), device=device) if random else even
            index = (torch.arange(n, device=device) + shift) % n  # (B, n)
            wrong.append(chunks.gather(1, index.unsqueeze(-1).expand(-1, -1, C)))
    return wrong
