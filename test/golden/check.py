"""Checks the golden folders from the files alone: everything recomputed in NumPy float64, with no Hugging Face model.

Run: ``python check.py [folder ...]``. It guards against a mistake in how make.py fills the Hugging Face modules or
writes the files. The largest error of each stage, over its largest value, is printed; over 1e-6 is a failure.
"""

import json
import sys
from math import erf
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from quantize import expand

HERE = Path(__file__).parent
Arrays = dict[str, np.ndarray]
gelu = np.vectorize(lambda x: 0.5 * x * (1 + erf(x / 2**0.5)))


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def load_weights(folder: Path, config: dict) -> Arrays:
    raw: Arrays = {}
    for file in sorted(folder.glob("model*.safetensors")):
        raw |= load_file(file)
    settings = config.get("quantization", {})
    weights: Arrays = {}
    for name, w in raw.items():
        layer = name.removesuffix(".weight")
        if w.dtype == np.uint32:
            own = settings.get(layer, settings)
            scales, biases = raw[f"{layer}.scales"], raw[f"{layer}.biases"]
            weights[name] = expand(w, scales, biases, own["group_size"], own["bits"])
        elif not name.endswith((".scales", ".biases")):
            weights[name] = w.astype(np.float64)
    return weights


class Check:
    def __init__(self, folder: Path) -> None:
        self.config = json.loads((folder / "config.json").read_text())
        self.golden = json.loads((folder / "golden.json").read_text())
        self.truth = load_file(folder / "golden.safetensors")
        self.w = load_weights(folder, self.config)
        self.seen = {"pixels"}
        self.worst = (0.0, "")

    def same(self, name: str, value: np.ndarray) -> None:
        truth = self.truth[name]
        assert truth.dtype == np.float32 and truth.shape == value.shape, (name, truth.shape, value.shape)
        self.seen.add(name)
        self.worst = max(self.worst, (float(np.abs(value - truth).max() / np.abs(truth).max()), name))

    def linear(self, name: str, x: np.ndarray) -> np.ndarray:
        return x @ self.w[f"{name}.weight"].T + self.w.get(f"{name}.bias", 0.0)

    def layer_norm(self, name: str, x: np.ndarray, eps: float = 1e-5) -> np.ndarray:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + eps)
        return scaled * self.w[f"{name}.weight"] + self.w[f"{name}.bias"]

    def rms_norm(self, name: str, x: np.ndarray) -> np.ndarray:
        eps = self.config["text_config"]["rms_norm_eps"]
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + eps) * self.w[f"{name}.weight"]

    def vision(self) -> np.ndarray:
        c, w, root = self.config["vision_config"], self.w, "vision_tower.vision_model"
        width, p, heads = c["hidden_size"], c["patch_size"], c["num_attention_heads"]
        side = c["image_size"] // p
        patches = self.truth["pixels"].astype(np.float64).reshape(3, side, p, side, p).transpose(1, 3, 0, 2, 4)
        kernel = w[f"{root}.embeddings.patch_embedding.weight"].reshape(width, -1)
        x = np.vstack([w[f"{root}.embeddings.class_embedding"], patches.reshape(side * side, -1) @ kernel.T])
        x = self.layer_norm(f"{root}.pre_layrnorm", x + w[f"{root}.embeddings.position_embedding.weight"])
        self.same("vision.hidden_states.0", x)
        layers = c["num_hidden_layers"] + self.config["vision_feature_layer"] + 1
        for i in range(layers):
            layer = f"{root}.encoder.layers.{i}"
            y = self.layer_norm(f"{layer}.layer_norm1", x)
            q, k, v = (
                self.linear(f"{layer}.self_attn.{n}_proj", y).reshape(len(x), heads, -1).swapaxes(0, 1) for n in "qkv"
            )
            mixed = softmax(q @ k.swapaxes(1, 2) / (width / heads) ** 0.5) @ v
            x = x + self.linear(f"{layer}.self_attn.out_proj", mixed.swapaxes(0, 1).reshape(len(x), -1))
            h = self.linear(f"{layer}.mlp.fc1", self.layer_norm(f"{layer}.layer_norm2", x))
            x = x + self.linear(f"{layer}.mlp.fc2", h * sigmoid(1.702 * h))
            self.same(f"vision.hidden_states.{i + 1}", x)
        self.same("vision.features", x[1:])
        return x[1:].reshape(side, side, width)

    def covering(self, name: str, window: np.ndarray) -> np.ndarray:
        """The convolution as a matrix-vector product over a [k, k, C] window."""
        w = self.w[f"{name}.weight"]
        rows = w.transpose(0, 2, 3, 1).reshape(len(w), -1) if w.ndim == 4 else w
        return rows @ window.reshape(-1)

    def spatial(self, grid: np.ndarray) -> np.ndarray:
        c = self.config["spatial_config"]
        side, count, vectors = len(grid), c["num_tokens"], []
        for i in range(count):
            k = side * (i + 1) // count
            start = (side - k) // 2
            if c["type"] == "cropping":
                window = grid[start : start + k, start : start + k]
            else:
                spans = [slice(j * side // k, (j * side + side + k - 1) // k) for j in range(k)]
                window = np.array([[grid[a, b].mean(axis=(0, 1)) for b in spans] for a in spans])
            vectors.append(self.covering(f"spatial_features.conv_{k}", window))
            self.same(f"spatial.{i}", vectors[-1])
        f = np.array(vectors)
        if c["detail"] is not None:
            k, stride = c["detail"]["kernel_size"], c["detail"]["stride"]
            starts = range(0, side - k + 1, stride)
            ms = np.array([
                self.covering("spatial_features.detail.conv", grid[y : y + k, x : x + k]) for y in starts for x in starts
            ])  # fmt: skip
            self.same("detail.features", ms)
            root = "spatial_features.detail"
            q, key, value = (
                self.linear(f"{root}.{n}_proj", self.layer_norm(f"{root}.{n}_norm", x))
                for n, x in (("query", f), ("key", ms), ("value", ms))
            )
            attention = softmax(q @ key.T / f.shape[1] ** 0.5)
            self.same("detail.attention", attention)
            self.same("detail.output", attention @ value)
            f = np.hstack([f, attention @ value])
        return self.linear("spatial_features.projector", gelu(f))

    def language(self, x: np.ndarray) -> np.ndarray:
        """[T, H] -> logits [T, V], causal."""
        c, count = self.config["text_config"], len(x)
        heads, kv = c["num_attention_heads"], c["num_key_value_heads"]
        d = c.get("head_dim", c["hidden_size"] // heads)
        angle = np.arange(count)[:, None] * c["rope_theta"] ** (-np.arange(0, d, 2) / d)
        cos, sin = np.cos(angle), np.sin(angle)

        def rotate(t: np.ndarray) -> np.ndarray:
            a, b = t[..., : d // 2], t[..., d // 2 :]
            return np.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)

        future = np.triu(np.full((count, count), -np.inf), 1)
        for i in range(c["num_hidden_layers"]):
            layer = f"language_model.model.layers.{i}"
            if i > 0:
                self.hidden = x
            y = self.rms_norm(f"{layer}.input_layernorm", x)
            q, k, v = (
                self.linear(f"{layer}.self_attn.{n}_proj", y).reshape(count, -1, d).swapaxes(0, 1) for n in "qkv"
            )
            q, k, v = rotate(q), rotate(k).repeat(heads // kv, axis=0), v.repeat(heads // kv, axis=0)
            mixed = softmax(q @ k.swapaxes(1, 2) / d**0.5 + future) @ v
            x = x + self.linear(f"{layer}.self_attn.o_proj", mixed.swapaxes(0, 1).reshape(count, -1))
            y = self.rms_norm(f"{layer}.post_attention_layernorm", x)
            gate = self.linear(f"{layer}.mlp.gate_proj", y)
            x = x + self.linear(f"{layer}.mlp.down_proj", gate * sigmoid(gate) * self.linear(f"{layer}.mlp.up_proj", y))
        self.norm = self.rms_norm("language_model.model.norm", x)
        head = self.w.get("language_model.lm_head.weight", self.w["language_model.model.embed_tokens.weight"])
        return self.norm @ head.T

    def run(self) -> None:
        grid = self.vision()
        features = grid.reshape(-1, grid.shape[-1])
        visual = self.linear(
            "multi_modal_projector.linear_2", gelu(self.linear("multi_modal_projector.linear_1", features))
        )
        if self.config["spatial_config"] is not None:
            visual = np.vstack([self.spatial(grid), visual])
        self.same("visual_tokens", visual)
        ids, tokens = self.golden["prompt_ids"], self.golden["greedy_tokens"]
        at = ids.index(self.config["image_token_index"])
        table = self.w["language_model.model.embed_tokens.weight"]
        prompt = len(ids) - 1 + len(visual)
        # one causal pass over the prompt and the answer gives every step's logits
        logits = self.language(np.vstack([table[ids[:at]], visual, table[ids[at + 1 :] + tokens[:-1]]]))[prompt - 1 :]
        self.same("language.hidden_states.1", self.hidden[:prompt])
        self.same("language.norm", self.norm[:prompt])
        self.same("logits", logits)
        assert logits.argmax(-1).tolist() == tokens
        assert prompt == self.golden["prompt_length"]
        assert self.seen == set(self.truth), self.seen ^ set(self.truth)


def main() -> None:
    names = sys.argv[1:] or [p.parent.name for p in sorted(HERE.glob("*/golden.json"))]
    for name in names:
        check = Check(HERE / name)
        check.run()
        print(f"{name}: {len(check.seen)} stages, 32 tokens; worst {check.worst[0]:.1e} ({check.worst[1]})")
        assert check.worst[0] < 1e-6


if __name__ == "__main__":
    main()
