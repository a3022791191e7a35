"""Sequence layers, the causal density and the audio-visual detector's own parts."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from dfdetect.detectors import registry
from dfdetect.detectors.av_transformer import AVTransformer, nearest_chunks, turned_together, wrong_soundtracks
from dfdetect.detectors.layers.density import CausalDensity
from dfdetect.detectors.layers.mamba import MambaLayer, selective_scan
from dfdetect.detectors.layers.temporal import TemporalStack
from dfdetect.detectors.layers.transformer import TransformerLayer, positional_encoding
from dfdetect.detectors.settings import AVTransformerSettings as Settings

TEMPORAL = ["transformer", "mamba"]


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_positional_encoding_equals_its_formula():
    table = positional_encoding(20, 12).numpy()
    for t in range(20):
        for i in range(6):
            angle = t / 10000 ** (2 * i / 12)
            assert table[t, 2 * i] == pytest.approx(math.sin(angle), abs=1e-5)
            assert table[t, 2 * i + 1] == pytest.approx(math.cos(angle), abs=1e-5)


@pytest.mark.parametrize("causal", [False, True])
def test_transformer_layer_equals_explicit_attention(causal):
    torch.manual_seed(0)
    layer = TransformerLayer(16, 4, 32, 0.1, causal=causal).eval()
    x = torch.randn(2, 7, 16)
    with torch.no_grad():
        y = layer.norm1(x)
        heads = [f(y).view(2, 7, 4, 4).permute(0, 2, 1, 3) for f in (layer.query, layer.key, layer.value)]
        logits = heads[0] @ heads[1].transpose(2, 3) / 2.0
        if causal:
            logits = logits.masked_fill(torch.ones(7, 7).triu(1).bool(), -torch.inf)
        attended = (logits.softmax(-1) @ heads[2]).permute(0, 2, 1, 3).reshape(2, 7, 16)
        h = x + layer.out(attended)
        torch.testing.assert_close(layer(x), h + layer.feedforward(layer.norm2(h)), rtol=1e-4, atol=1e-5)


def test_selective_scan_equals_the_recurrence():
    rng = np.random.default_rng(0)
    u, dt = rng.standard_normal((2, 6, 3)), rng.uniform(0.01, 1, (2, 6, 3))
    A, B, C = -rng.uniform(0.1, 3, (3, 4)), rng.standard_normal((2, 6, 4)), rng.standard_normal((2, 6, 4))
    expected = np.zeros((2, 6, 3))
    for n in range(2):
        for d in range(3):
            h = np.zeros(4)
            for t in range(6):
                h = np.exp(dt[n, t, d] * A[d]) * h + dt[n, t, d] * B[n, t] * u[n, t, d]
                expected[n, t, d] = C[n, t] @ h
    y = selective_scan(*(torch.from_numpy(v) for v in (u, dt, A, B, C)))
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-9)


def test_mamba_steps_start_between_a_thousandth_and_a_tenth():
    layer = MambaLayer(32)
    dt = nn.functional.softplus(layer.dt_project.bias)
    assert dt.min() > 0.0009
    assert dt.max() < 0.11


@pytest.mark.parametrize("kind", TEMPORAL)
def test_causal_stack_never_looks_ahead(kind):
    torch.manual_seed(0)
    stack = TemporalStack(kind, 32, 2, heads=4, feedforward=64, dropout=0.0, causal=True).eval()
    x = torch.randn(2, 10, 32)
    changed = x.clone()
    changed[:, 6:] = torch.randn(2, 4, 32) * 5
    with torch.no_grad():
        before, after = stack(x), stack(changed)
    torch.testing.assert_close(after[:, :6], before[:, :6], rtol=1e-5, atol=1e-6)
    assert not torch.allclose(after[:, 6:], before[:, 6:], atol=1e-2)


@pytest.mark.parametrize("kind", TEMPORAL)
def test_later_input_never_changes_an_earlier_log_probability(kind):
    torch.manual_seed(0)
    density = CausalDensity(6, width=32, layers=2, heads=4, feedforward=64, components=2, temporal=kind).eval()
    s = torch.randn(2, 9, 6)
    with torch.no_grad():
        before = density(s)
        for t in range(9):
            changed = s.clone()
            changed[:, t] += 3.0
            after = density(changed)
            torch.testing.assert_close(after[:, :t], before[:, :t], rtol=1e-5, atol=1e-5)
            assert (after[:, t] - before[:, t]).abs().min() > 1e-3
            if t < 8:  # and the past does matter
                assert (after[:, t + 1 :] - before[:, t + 1 :]).abs().max() > 1e-5


@pytest.mark.parametrize("components", [1, 3])
def test_density_integrates_to_one(components):
    torch.manual_seed(1)
    density = CausalDensity(1, width=32, layers=1, heads=4, feedforward=64, components=components).eval()
    grid = torch.linspace(-30, 30, 6001)
    past = torch.tensor([0.7, -1.3]).expand(len(grid), 2)
    sequences = torch.cat([past, grid[:, None]], dim=1)[:, :, None]
    with torch.no_grad():
        log_p = density(sequences)[:, 2].double()
    assert (log_p.exp().sum() * (grid[1] - grid[0])).item() == pytest.approx(1.0, abs=1e-4)


def test_density_of_one_gaussian_equals_torch_distributions():
    torch.manual_seed(0)
    density = CausalDensity(4, width=32, layers=1, heads=4, feedforward=64).eval()
    with torch.no_grad():
        for head in (density.mean, density.raw_scale):
            head.weight.zero_()
        density.mean.bias.copy_(torch.tensor([0.0, 1.0, 2.0, -1.0]))
        s = torch.randn(3, 5, 4)
        scale = nn.functional.softplus(density.raw_scale.bias) + density.min_scale
        expected = torch.distributions.Normal(density.mean.bias, scale).log_prob(s).sum(-1)
        torch.testing.assert_close(density(s), expected)


def test_density_learns_a_rule_and_notices_its_breach():
    torch.manual_seed(0)
    density = CausalDensity(2, width=32, layers=1, heads=4, feedforward=64, dropout=0.0)
    optimizer = torch.optim.Adam(density.parameters(), lr=3e-3)

    def walks(count: int) -> torch.Tensor:  # each step turns the last one by 90 degrees
        first = nn.functional.normalize(torch.randn(count, 2), dim=1)
        turn = torch.tensor([[0.0, 1.0], [-1.0, 0.0]])
        return torch.stack([first @ torch.linalg.matrix_power(turn, t) for t in range(6)], 1)

    for _ in range(150):
        optimizer.zero_grad()
        s = walks(32)
        (-density(s + 0.05 * torch.randn_like(s)).mean()).backward()
        optimizer.step()
    density.eval()
    with torch.no_grad():
        kept = walks(50)
        broken = kept[:, torch.tensor([0, 1, 2, 5, 4, 3])]
        assert (density(kept).mean(1) > density(broken).mean(1)).float().mean() > 0.95


def test_each_frame_gets_the_chunk_nearest_in_time():
    frame_time = ((torch.arange(16) + 0.5) * 3 / 16)[None]
    chunk_time = ((torch.arange(8) + 0.5) * 3 / 8)[None]
    batch = {"mouths": torch.zeros(1, 16, 1), "frame_time_s": frame_time, "chunk_time_s": chunk_time}
    expected = torch.arange(16)[None] // 2  # chunk k belongs to frames 2k and 2k + 1
    assert torch.equal(nearest_chunks(batch, 16, 8), expected)
    assert torch.equal(nearest_chunks({"mouths": batch["mouths"]}, 16, 8), expected)
    late = {**batch, "chunk_time_s": chunk_time + 0.75}  # the sound starts two chunks later
    assert torch.equal(nearest_chunks(late, 16, 8), (expected - 2).clamp(min=0))


@pytest.mark.parametrize("random", [True, False])
@pytest.mark.parametrize("clips", [1, 2, 5])
@pytest.mark.parametrize("foreign", [True, False])
def test_wrong_soundtracks_are_wrong(clips, random, foreign):
    torch.manual_seed(0)
    chunks = torch.arange(clips * 8 * 3, dtype=torch.float32).view(clips, 8, 3)
    wrong = wrong_soundtracks(chunks, 5, foreign=foreign, random=random)
    assert len(wrong) == 5
    for track in wrong:
        assert track.shape == chunks.shape
        assert (track != chunks).all()  # every chunk differs from the one that belongs there
        assert torch.equal(track.flatten().sort().values, chunks.flatten())  # and every one exists
    owners = [(track.view(clips, -1).min(1).values / 24).long() for track in wrong]
    others = [not torch.equal(owner, torch.arange(clips)) for owner in owners]
    assert others == [foreign and clips > 1 and i % 2 == 1 for i in range(5)]


def test_lips_and_sound_turn_together():
    """Each frame keeps its chunk, each clip begins at a chunk of its own, and nothing is lost."""
    torch.manual_seed(0)
    frames = torch.arange(64 * 16, dtype=torch.float32).view(64, 16, 1).expand(64, 16, 3)
    chunks = torch.arange(64 * 8, dtype=torch.float32).view(64, 8, 1).expand(64, 8, 3)
    nearest = (torch.arange(16) // 2).expand(64, 16)
    lips, sound, index = turned_together(frames, chunks, nearest)
    belongs = sound.gather(1, index.unsqueeze(-1).expand(-1, -1, 3))
    assert torch.equal(belongs, lips.div(2, rounding_mode="floor"))  # frame t of the whole batch has chunk t // 2
    assert torch.equal(lips.sort(dim=1).values, frames)
    assert torch.equal(sound.sort(dim=1).values, chunks)
    steps = lips[:, 1:, 0] - lips[:, :-1, 0]
    assert ((steps == 1) | (steps == -15)).all()
    assert set((sound[:, 0, 0] % 8).tolist()) == set(range(8))


@pytest.mark.parametrize("kind", TEMPORAL)
@pytest.mark.parametrize("options", [{"frames": 32, "chunks": 16}, {"n_mels": 128, "components": 3}, {"d_model": 256}])
def test_every_option_of_the_source(kind, options):
    torch.manual_seed(0)
    detector = registry.build("av_transformer", {**Settings.small, "temporal": kind, **options})
    batch = detector.example_batch(1)
    parts = detector.loss(detector(batch), batch)
    assert torch.isfinite(parts["loss"])


def test_wrong_shapes_and_settings_are_named():
    detector = registry.build("av_transformer", Settings.small)
    batch = detector.example_batch(1)
    with pytest.raises(ValueError, match="frames, chunks, n_mels"):
        detector({**batch, "mels": batch["mels"][:, :3]})
    with pytest.raises(Exception, match="multiple of 2 x heads"):
        registry.build("av_transformer", {"d_model": 200, "heads": 16})


class TinyStreams(AVTransformer):
    """The detector with pooled pixels through a small network in place of both image backbones: quick to train."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        del self.visual_backbone, self.audio_backbone
        width = self.visual_project.in_features
        self.visual_net = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, width))
        self.audio_net = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, width))
        self.visual_backbone, self.audio_backbone = self.visual_net, self.audio_net

    def _embed(self, backbone, pictures):
        grey = pictures.mean(2).flatten(0, 1)[:, None]
        pooled = nn.functional.adaptive_avg_pool2d(grey, 4).flatten(1)
        return backbone(pooled).unflatten(0, pictures.shape[:2])


def clips(count: int, generator: torch.Generator, frames: int = 8, chunks: int = 4) -> dict[str, torch.Tensor]:
    """Real clips: the lips' opening (brightness) follows the loudness of the chunk that belongs to the frame."""
    loudness = torch.rand(count, chunks, generator=generator)
    opening = loudness.repeat_interleave(frames // chunks, dim=1)
    look = torch.rand(count, 1, 3, 1, 1, generator=generator) * 0.5  # every clip has another face
    mouths = (
        opening[:, :, None, None, None] * 2 + look + 0.05 * torch.randn(count, frames, 3, 8, 8, generator=generator)
    )
    mels = loudness[:, :, None, None] * 4 - 6 + 0.1 * torch.randn(count, chunks, 64, 4, generator=generator)
    return {"mouths": mouths, "mels": mels, "label": torch.zeros(count, dtype=torch.long)}


def train(steps: int, **options) -> AVTransformer:
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    detector = TinyStreams(Settings(**{**Settings.small, "dropout": 0.0, **options}))
    optimizer = torch.optim.AdamW(detector.parameters(), lr=1e-3)
    for _ in range(steps):
        batch = clips(16, generator)
        optimizer.zero_grad()
        detector.loss(detector(batch), batch)["loss"].backward()
        optimizer.step()
    return detector.eval()


def spread(detector: AVTransformer) -> float:
    """How much the sync features differ between clips: mean over frames and channels of the variance over clips."""
    with torch.no_grad():
        return detector(clips(32, torch.Generator().manual_seed(9)))["sync"].var(dim=0).mean().item()


@pytest.fixture(scope="module")
def trained() -> AVTransformer:
    return train(80)


def test_features_do_not_collapse_and_would_without_the_safeguards(trained):
    lost = train(60, stop_gradient=False, sync_weight=0.0)  # features and density together, as in the source
    assert spread(trained) > 0.03
    assert spread(lost) < spread(trained) / 100


def test_lips_and_sound_that_do_not_fit_score_as_anomalies(trained):
    batch = clips(64, torch.Generator().manual_seed(9))
    wrong = {**batch, "mels": batch["mels"][:, torch.tensor([2, 3, 0, 1])]}
    with torch.no_grad():
        real, fake = (trained.score(trained(b)) for b in (batch, wrong))
    auc = (fake[:, None] > real[None, :]).float().mean().item()
    assert auc > 0.8


def test_the_sound_alone_does_not_tell_right_from_shifted():
    """Clips that begin in silence, with lips that say nothing: only where the sound starts could be learned."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    detector = TinyStreams(Settings(**{**Settings.small, "dropout": 0.0, "num_negatives": 3}))
    optimizer = torch.optim.AdamW(detector.parameters(), lr=1e-3)
    found = []
    for _ in range(30):
        batch = clips(16, generator)
        batch["mouths"] = torch.randn(batch["mouths"].shape, generator=generator)
        batch["mels"][:, 0] = -9.0
        parts = detector.loss(detector(batch), batch)
        found.append(parts["sync_accuracy"].item())
        optimizer.zero_grad()
        parts["loss"].backward()
        optimizer.step()
    assert sum(found[-20:]) / 20 < 0.5  # chance is one in three, as drawn shifts repeat; without turning it is 1
