"""Tiny configurations and random weights for them, in the on-device layout (names and shapes as a runtime reads them)."""

import numpy as np

Weights = dict[str, np.ndarray]


def config(
    *,
    grid: int,
    vocab: int,
    vision: dict[str, object],
    text: dict[str, object],
    spatial: dict[str, object] | None,
    aspect: str | None,
    feature_layer: int,
) -> dict[str, object]:
    patch = 8
    return {
        "model_type": "llava_sp",
        "architectures": ["LlavaSpForConditionalGeneration"],
        "image_token_index": 2,
        "vision_feature_layer": feature_layer,
        "vision_feature_select_strategy": "default",
        "projector_hidden_act": "gelu",
        "image_aspect_ratio": aspect,
        "vision_config": {
            "model_type": "clip_vision_model",
            "num_channels": 3,
            "image_size": grid * patch,
            "patch_size": patch,
            "hidden_act": "quick_gelu",
            "layer_norm_eps": 1e-5,
        }
        | vision,
        "text_config": {
            "model_type": "llama",
            "vocab_size": vocab,
            "max_position_embeddings": 512,
            "hidden_act": "silu",
            "bos_token_id": 0,
            "eos_token_id": 1,
        }
        | text,
        "spatial_config": spatial,
    }


CONFIGS: dict[str, dict] = {
    # LLaVA-SP-Cropping at its smallest: the last vision layer is not needed and is left out of the weights
    "cropping": config(
        grid=12,
        vocab=320,
        vision={"hidden_size": 32, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 2},
        text={
            "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 4,
            "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": False, "attention_bias": False,
        },
        spatial={"type": "cropping", "num_tokens": 6, "feature_size": 32, "detail": {"kernel_size": 4, "stride": 2}},
        aspect="pad",
        feature_layer=-2,
    ),
    # LLaVA-SP-Pooling: windows overlap (9 is no multiple of 6), tied embeddings, an own head_dim, the last layer's output
    "pooling": config(
        grid=9,
        vocab=320,
        vision={"hidden_size": 32, "intermediate_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4},
        text={
            "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 32,
            "rms_norm_eps": 1e-6, "rope_theta": 1000000.0, "tie_word_embeddings": True, "attention_bias": False,
        },
        spatial={"type": "pooling", "num_tokens": 3, "feature_size": 32, "detail": None},
        aspect=None,
        feature_layer=-1,
    ),
    # LLaVA-1.5's form with Qwen2's decoder traits: two KV heads for four, biases on q, k, v; an odd vocabulary
    "plain": config(
        grid=8,
        vocab=331,
        vision={"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 2},
        text={
            "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 2,
            "rms_norm_eps": 1e-6, "rope_theta": 1000000.0, "tie_word_embeddings": False, "attention_bias": True,
        },
        spatial=None,
        aspect="pad",
        feature_layer=-2,
    ),
}  # fmt: skip


def kernel_sizes(config: dict) -> list[int]:
    """Specification section 3: k_i = G*i/N for i = 1..N."""
    vision, spatial = config["vision_config"], config["spatial_config"]
    grid, count = vision["image_size"] // vision["patch_size"], spatial["num_tokens"]
    assert grid % count == 0
    return [grid * i // count for i in range(1, count + 1)]


class Random:
    """Seeded weights whose products keep activations near one."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.Generator(np.random.PCG64(seed))
        self.weights: Weights = {}

    def normal(self, name: str, *shape: int, std: float) -> None:
        self.weights[name] = (self.rng.standard_normal(shape) * std).astype(np.float32)

    def matrix(self, name: str, *shape: int, gain: float = 1.0) -> None:
        """[out, ...in]: standard deviation gain/sqrt(in)."""
        self.normal(f"{name}.weight", *shape, std=gain / float(np.sqrt(np.prod(shape[1:]))))

    def linear(self, name: str, out: int, inner: int, gain: float = 1.0) -> None:
        self.matrix(name, out, inner, gain=gain)
        self.normal(f"{name}.bias", out, std=0.1)

    def norm(self, name: str, width: int, bias: bool) -> None:
        scale = 1 + 0.2 * self.rng.standard_normal(width)
        self.weights[f"{name}.weight"] = scale.astype(np.float32)
        if bias:
            self.normal(f"{name}.bias", width, std=0.1)


def vision_weights(config: dict, seed: int) -> Weights:
    """The vision tower up to the selected layer, the projector, and the spatial parts."""
    r = Random(seed)
    vision, hidden = config["vision_config"], config["text_config"]["hidden_size"]
    width, inner, patch = vision["hidden_size"], vision["intermediate_size"], vision["patch_size"]
    grid = vision["image_size"] // patch
    root = "vision_tower.vision_model"
    r.normal(f"{root}.embeddings.class_embedding", width, std=1.0)
    r.matrix(f"{root}.embeddings.patch_embedding", width, 3, patch, patch)
    r.normal(f"{root}.embeddings.position_embedding.weight", grid * grid + 1, width, std=0.5)
    r.norm(f"{root}.pre_layrnorm", width, bias=True)
    for i in range(vision["num_hidden_layers"] + config["vision_feature_layer"] + 1):
        layer = f"{root}.encoder.layers.{i}"
        r.norm(f"{layer}.layer_norm1", width, bias=True)
        r.norm(f"{layer}.layer_norm2", width, bias=True)
        for name in ("q", "k", "v", "out"):  # sharper attention than random weights would give
            r.linear(f"{layer}.self_attn.{name}_proj", width, width, gain=1.7 if name in "qk" else 1.0)
        r.linear(f"{layer}.mlp.fc1", inner, width)
        r.linear(f"{layer}.mlp.fc2", width, inner)
    r.linear("multi_modal_projector.linear_1", hidden, width)
    r.linear("multi_modal_projector.linear_2", hidden, hidden)

    spatial = config["spatial_config"]
    if spatial is not None:
        size, detail = spatial["feature_size"], spatial["detail"]
        for k in kernel_sizes(config):
            r.matrix(f"spatial_features.conv_{k}", size, width, k, k)
        if detail is None:
            r.matrix("spatial_features.projector", hidden, size, gain=1.5)
        else:
            k = detail["kernel_size"]
            r.matrix("spatial_features.detail.conv", size, width, k, k)
            for name in ("query", "key", "value"):
                r.norm(f"spatial_features.detail.{name}_norm", size, bias=True)
                r.linear(f"spatial_features.detail.{name}_proj", size, size, gain=1.0 if name == "value" else 1.5)
            r.linear("spatial_features.projector", hidden, 2 * size, gain=1.5)
    return r.weights


def language_weights(config: dict, seed: int) -> Weights:
    r = Random(seed)
    text = config["text_config"]
    hidden, inner, heads, kv = (
        text[k] for k in ("hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads")
    )
    head = text.get("head_dim", hidden // heads)
    root = "language_model.model"
    r.normal(f"{root}.embed_tokens.weight", text["vocab_size"], hidden, std=0.5)
    for i in range(text["num_hidden_layers"]):
        layer = f"{root}.layers.{i}"
        r.norm(f"{layer}.input_layernorm", hidden, bias=False)
        r.norm(f"{layer}.post_attention_layernorm", hidden, bias=False)
        for name, rows in (("q", heads * head), ("k", kv * head), ("v", kv * head)):
            projection = r.linear if text["attention_bias"] else r.matrix
            projection(f"{layer}.self_attn.{name}_proj", rows, hidden, gain=1.0 if name == "v" else 1.7)
        r.matrix(f"{layer}.self_attn.o_proj", hidden, heads * head, gain=1.5)
        r.matrix(f"{layer}.mlp.gate_proj", inner, hidden, gain=1.5)
        r.matrix(f"{layer}.mlp.up_proj", inner, hidden, gain=1.5)
        r.matrix(f"{layer}.mlp.down_proj", hidden, inner, gain=1.5)
    r.norm(f"{root}.norm", hidden, bias=False)
    if not text["tie_word_embeddings"]:
        r.matrix("language_model.lm_head", text["vocab_size"], hidden, gain=2.0)
    return r.weights
