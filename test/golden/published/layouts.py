"""Writes checkpoints as they are published, with the libraries that write them: torch.save, peft, save_pretrained, MLX.

``parts`` of every writer: the on-device weights before any merge or fold (float32, on-device names), LoRA factors and
LayerScale apart.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import peft
import torch
import transformers
from checkpoint import Weights
from family import intern_vit_config, intern_vit_name, torch_names
from pictures import preprocessor
from safetensors.torch import load_file, save_file
from text import INTERN_SPECIAL, chat_template, llama_tokenizer, llama_tokenizer_config, qwen_tokenizer, save_qwen, write_json
from tiny import kernels

State = dict[str, torch.Tensor]


@dataclass
class Parts:
    config: dict
    weights: Weights
    sentencepiece: bytes
    lora: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    scales: Weights = field(default_factory=dict)

    def state(self, dtype: torch.dtype) -> State:
        state = {name: torch.from_numpy(np.ascontiguousarray(w)).to(dtype) for name, w in self.weights.items()}
        assert all((state[name].float().numpy() == w).all() for name, w in self.weights.items())
        return state


def under(state: State, *prefixes: str) -> State:
    """What lies under the prefixes, without them."""
    return {name.removeprefix(p): t for p in prefixes for name, t in state.items() if name.startswith(p)}


# --- language models, towers, LLaVA's own names -------------------------------------------------------------------


def hf_text(config: dict) -> transformers.PreTrainedConfig:
    text = {k: v for k, v in config["text_config"].items() if k not in ("model_type", "rope_theta")}
    rope = {"rope_type": "default", "rope_theta": config["text_config"]["rope_theta"]}
    if config["text_config"]["model_type"] == "llama":
        return transformers.LlamaConfig(**text, rope_parameters=rope)
    del text["attention_bias"]
    return transformers.Qwen2Config(**text, rope_parameters=rope)


def hf_vision(config: dict) -> dict[str, object]:
    return {k: v for k, v in config["vision_config"].items() if k != "model_type"}


def text_json(config: dict) -> dict[str, object]:
    """The decoder's fields as older versions of transformers wrote them (rope_theta, torch_dtype)."""
    text = dict(config["text_config"])
    del text["attention_bias"]
    if isinstance(text["eos_token_id"], list):  # the others stand in generation_config.json
        text["eos_token_id"] = text["eos_token_id"][0]
    return text | {"initializer_range": 0.02, "pad_token_id": 0, "pretraining_tp": 1, "rope_scaling": None, "use_cache": True}


def spatial_names(state: State, config: dict) -> State:
    """SFE and DFI under the names of section 8, without ``model.``."""
    pooling = config["spatial_config"]["type"] == "pooling"
    largest = max(kernels(config))
    named: State = {}
    for name, t in under(state, "spatial_features.").items():
        if name.startswith("conv_"):
            # pooling: nn.Sequential(pool, conv), but for the map that is the grid itself
            inner = ".1" if pooling and name != f"conv_{largest}.weight" else ""
            named[name.replace(".weight", f"{inner}.weight")] = t
        elif name.startswith("projector."):
            named[f"conv_linear.1.{name.removeprefix('projector.')}"] = t
        elif name == "detail.conv.weight":
            named["conv_CM.weight"] = t
        elif name.startswith("detail."):
            part, kind = name.removeprefix("detail.").split("_", 1)
            named[f"{part}_projector.{0 if kind.startswith('norm') else 1}.{kind.split('.')[1]}"] = t
    if config["spatial_config"].get("extractor") == "transformer":
        for k in kernels(config):
            own = under(state, f"spatial_features.transformer_{k}.")
            named[f"query_{k}"] = own["query.weight"][None]
            layers = config["spatial_config"]["transformer"]["layers"]
            named |= {f"transformer_{k}.{n}": t for n, t in torch_names(own, layers).items()}
    return named


def llava_names(state: State, config: dict) -> State:
    """Projector and spatial parts as LlavaLlamaForCausalLM names them."""
    ours = {f"mm_projector.{2 * i}.{kind}": state[f"multi_modal_projector.linear_{i + 1}.{kind}"] for i in (0, 1) for kind in ("weight", "bias")}
    if config["spatial_config"] is not None:
        ours |= spatial_names(state, config)
    if "image_newline.weight" in state:
        ours["image_newline"] = state["image_newline.weight"][0]
    return {f"model.{name}": t for name, t in ours.items()}


def llava_config(config: dict, tower: str) -> dict[str, object]:
    qwen = config["text_config"]["model_type"] == "qwen2"
    tiles = {}
    if config["image_aspect_ratio"] == "anyres":  # LLaVA's own code has [width, height]
        pinpoints = [list(reversed(pair)) for pair in config["image_grid_pinpoints"]]
        tiles = {"image_grid_pinpoints": pinpoints, "mm_patch_merge_type": config["mm_patch_merge_type"]}
    return text_json(config) | tiles | {
        "architectures": ["LlavaQwenForCausalLM" if qwen else "LlavaLlamaForCausalLM"],
        "model_type": "llava_qwen" if qwen else "llava_llama",
        "freeze_mm_mlp_adapter": False,
        "image_aspect_ratio": {"original": None}.get(config["image_aspect_ratio"], config["image_aspect_ratio"]),
        "mm_hidden_size": config["vision_config"]["hidden_size"],
        "mm_projector_type": "mlp2x_gelu",
        "mm_use_im_patch_token": False,
        "mm_use_im_start_end": False,
        "mm_vision_select_feature": "patch",
        "mm_vision_select_layer": config["vision_feature_layer"],
        "mm_vision_tower": tower,
        "torch_dtype": "bfloat16" if qwen else "float16",
        "use_mm_proj": True,
    }


def whole_clip(parts: Parts, dtype: torch.dtype, seed: int = 7) -> transformers.CLIPModel:
    """CLIP with its text side and the vision layers that are not needed, random."""
    torch.manual_seed(seed)
    text = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    text |= {"vocab_size": 20, "max_position_embeddings": 8, "bos_token_id": 0, "eos_token_id": 1}
    vision = hf_vision(parts.config)
    siglip = parts.config["vision_config"]["model_type"] == "siglip_vision_model"
    if siglip:
        model = transformers.SiglipModel(transformers.SiglipConfig(text_config=text, vision_config=vision))
    else:
        model = transformers.CLIPModel(transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=16))
    fill(model, {f"vision_model.{n}": t for n, t in under(parts.state(torch.float32), "vision_tower.vision_model.").items()})
    return model.to(dtype)


def fill(model: torch.nn.Module, state: State) -> None:
    _, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected, unexpected


def write_tower(parts: Parts, folder: Path, binary: bool, weights: bool = True) -> None:
    """A vision tower of its own: openai/clip-vit-large-patch14-336's form (.bin) or google/siglip's (safetensors)."""
    folder.mkdir(parents=True)
    model = whole_clip(parts, torch.float16)
    model.save_pretrained(folder)
    if binary or not weights:
        (folder / "model.safetensors").unlink()
    if binary and weights:
        positions = parts.weights["vision_tower.vision_model.embeddings.position_embedding.weight"].shape[0]
        # buffers of older versions, which the published file has
        extra = {"vision_model.embeddings.position_ids": torch.arange(positions)[None]}
        torch.save({**model.state_dict(), **extra}, folder / "pytorch_model.bin")
    # a tower knows nothing of tiles
    write_json(folder / "preprocessor_config.json", preprocessor(parts.config | {"image_aspect_ratio": "pad"}))


def write_llama_tokenizer(parts: Parts, folder: Path) -> None:
    (folder / "tokenizer.model").write_bytes(parts.sentencepiece)
    write_json(folder / "tokenizer_config.json", llama_tokenizer_config())
    write_json(folder / "special_tokens_map.json", {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"})
    write_json(folder / "generation_config.json", {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0})


def write_shards(state: State, folder: Path, limit: int) -> None:
    """Safetensors shards with an index, in the state's order."""
    shards: list[State] = [{}]
    for name, t in state.items():
        if shards[-1] and sum(v.nbytes for v in shards[-1].values()) + t.nbytes > limit:
            shards.append({})
        shards[-1][name] = t.contiguous()
    files = [f"model-{i + 1:05d}-of-{len(shards):05d}.safetensors" for i in range(len(shards))]
    for file, shard in zip(files, shards):
        save_file(shard, folder / file, metadata={"format": "pt"})
    index = {
        "metadata": {"total_size": sum(t.nbytes for t in state.values())},
        "weight_map": {name: file for file, shard in zip(files, shards) for name in shard},
    }
    write_json(folder / "model.safetensors.index.json", index)


# --- the layouts --------------------------------------------------------------------------------------------------


def write_base(parts: Parts, folder: Path) -> None:
    """vicuna-7b-v1.5: torch.save shards with an index; transposed and shared storages among them."""
    folder.mkdir(parents=True)
    state = under(parts.state(torch.float16), "language_model.")
    # a transposed matrix, and two vectors in one storage with an offset
    first, second = "model.layers.0.input_layernorm.weight", "model.layers.1.input_layernorm.weight"
    together = torch.cat([torch.zeros(5, dtype=torch.float16), state[first], state[second]])
    state[first], state[second] = together[5 : 5 + len(state[first])], together[5 + len(state[first]) :]
    state["model.layers.0.self_attn.k_proj.weight"] = state["model.layers.0.self_attn.k_proj.weight"].T.contiguous().T
    names = list(state)
    cut = [n for n in names if n.startswith("model.layers.1.mlp") or n in ("lm_head.weight", "model.norm.weight")]
    shards = [{n: state[n] for n in names if n not in cut}, {n: state[n] for n in cut}]
    head = parts.config["text_config"]["hidden_size"] // parts.config["text_config"]["num_attention_heads"]
    for i in range(parts.config["text_config"]["num_hidden_layers"]):  # buffers that old files have
        inverse = 10000.0 ** -(torch.arange(0, head, 2).float() / head)
        shards[0][f"model.layers.{i}.self_attn.rotary_emb.inv_freq"] = inverse
    files = [f"pytorch_model-{i + 1:05d}-of-00002.bin" for i in range(2)]
    for file, shard in zip(files, shards):
        torch.save(shard, folder / file)
    index = {
        "metadata": {"total_size": sum(t.nbytes for shard in shards for t in shard.values())},
        "weight_map": {name: file for file, shard in zip(files, shards) for name in shard},
    }
    write_json(folder / "pytorch_model.bin.index.json", index)
    write_json(
        folder / "config.json",
        text_json(parts.config) | {"architectures": ["LlamaForCausalLM"], "torch_dtype": "float16"},
    )
    write_llama_tokenizer(parts, folder)


def write_adapter(parts: Parts, folder: Path, prefix: str, second: Path | None) -> None:
    """The published LoRA folder: peft's adapter, config.json, non_lora_trainables.bin whose names start with ``prefix``."""
    folder.mkdir(parents=True)
    base = transformers.LlamaForCausalLM(hf_text(parts.config))
    fill(base, under(parts.state(torch.float32), "language_model."))
    names = sorted({name.rsplit(".", 1)[1] for name in parts.lora})
    settings = peft.LoraConfig(r=4, lora_alpha=8, target_modules=names, lora_dropout=0.05, bias="none", task_type="CAUSAL_LM")
    settings.base_model_name_or_path = "lmsys/vicuna-7b-v1.5"
    model = peft.get_peft_model(base, settings)
    own = model.state_dict()
    for name, factors in parts.lora.items():
        for letter, factor in zip("AB", factors):
            own[f"base_model.model.{name.removeprefix('language_model.')}.lora_{letter}.default.weight"].copy_(torch.from_numpy(factor))
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    described = json.loads((folder / "adapter_config.json").read_text())
    write_json(folder / "adapter_config.json", described | {"target_modules": sorted(described["target_modules"])})
    if second is not None:  # the older form of the same adapter
        second.mkdir(parents=True)
        torch.save({k: v.half() for k, v in peft.get_peft_model_state_dict(model).items()}, second / "adapter_model.bin")
    trained = llava_names(parts.state(torch.float16), parts.config)
    trained = {f"{prefix}{name}": t for name, t in trained.items()}
    torch.save(trained, folder / "non_lora_trainables.bin")
    write_json(folder / "config.json", llava_config(parts.config, "openai/clip-vit-large-patch14-336"))


def write_lora(parts: Parts, folder: Path, prefix: str, both: bool) -> None:
    write_base(parts, folder / "base")
    write_tower(parts, folder / "vision-tower", binary=True)
    write_adapter(parts, folder / "adapter", prefix, folder / "adapter-bin" if both else None)


def write_merged(parts: Parts, folder: Path, tower_inside: bool) -> None:
    """A full checkpoint of LLaVA-SP's own names; the tower's weights inside, or in a folder of their own."""
    qwen = parts.config["text_config"]["model_type"] == "qwen2"
    dtype = torch.bfloat16 if qwen else torch.float16
    state = parts.state(dtype)
    whole = under(state, "language_model.") | llava_names(state, parts.config)
    write_tower(parts, folder / "vision-tower", binary=False, weights=not tower_inside)
    if tower_inside:
        tower = {n: t for n, t in whole_clip(parts, dtype).state_dict().items() if n.startswith("vision_model.")}
        whole |= {f"model.vision_tower.vision_tower.{n}": t for n, t in tower.items()}
    model = folder / "model"
    model.mkdir()
    write_shards(dict(sorted(whole.items())), model, 200_000)
    kind = "google/siglip-large-patch16-384" if qwen else "openai/clip-vit-large-patch14-336"
    write_json(model / "config.json", llava_config(parts.config, kind))
    if qwen:
        save_qwen(qwen_tokenizer([]), model, fast=True)
        write_json(model / "generation_config.json", {"bos_token_id": 320, "eos_token_id": [322, 320]})
    else:
        write_llama_tokenizer(parts, model)


def hf_llava(parts: Parts, anyres: bool) -> transformers.PreTrainedModel:
    """Hugging Face's own model with the weights in it, float32."""
    config, common = parts.config, {"image_token_index": 400, "vision_feature_layer": parts.config["vision_feature_layer"]}
    vision = transformers.CLIPVisionConfig(**hf_vision(config))
    torch.manual_seed(8)
    if anyres:
        pinpoints = {"image_grid_pinpoints": config["image_grid_pinpoints"]}
        model = transformers.LlavaNextForConditionalGeneration(
            transformers.LlavaNextConfig(vision_config=vision, text_config=hf_text(config), **common, **pinpoints)
        )
    else:
        model = transformers.LlavaForConditionalGeneration(
            transformers.LlavaConfig(vision_config=vision, text_config=hf_text(config), **common)
        )
    state: State = {}
    for name, t in parts.state(torch.float32).items():
        name = name.replace("vision_tower.vision_model.", "vision_tower.").replace("language_model.model.", "language_model.")
        state["lm_head.weight" if name == "language_model.lm_head.weight" else f"model.{name}"] = t
    if anyres:
        state["model.image_newline"] = state.pop("model.image_newline.weight")[0]
    fill(model, state)
    return model.eval()


def write_hf(parts: Parts, folder: Path, spelling: str) -> None:
    """llava-hf: ``published`` (language_model., vision_tower.vision_model.), ``model`` (model.language_model., ...,
    lm_head.), or as this version's save_pretrained ``writes`` it."""
    anyres = parts.config["image_aspect_ratio"] == "anyres"
    hf_llava(parts, anyres).half().save_pretrained(folder)
    if spelling != "writes":
        rename_file(folder / "model.safetensors", PUBLISHED if spelling == "published" else PREFIXED)
    described = json.loads((folder / "config.json").read_text())
    if spelling == "published":  # llava-hf's files state only what differs from the configurations' defaults
        without = lambda part, plain: {k: v for k, v in part.items() if k == "model_type" or getattr(plain, k, None) != v}
        described |= {
            "text_config": without(text_json(parts.config), transformers.LlamaConfig()) | {"torch_dtype": "float16"},
            "vision_config": without(described["vision_config"], transformers.CLIPVisionConfig()) | {"vocab_size": 32000},
            "pad_token_id": 401,
            "ignore_index": -100,
        }
    write_json(folder / "config.json", described)
    write_json(folder / "preprocessor_config.json", preprocessor(parts.config))
    write_llama_tokenizer(parts, folder)
    (folder / "tokenizer.model").unlink()
    llama_tokenizer(parts.sentencepiece, ["<image>", "<pad>"]).save(str(folder / "tokenizer.json"), pretty=False)


PUBLISHED = (("vision_tower.", "vision_tower.vision_model."),)
PREFIXED = (
    ("language_model.lm_head.", "lm_head."),
    ("language_model.model.", "model.language_model."),
    ("vision_tower.", "model.vision_tower.vision_model."),
    ("multi_modal_projector.", "model.multi_modal_projector."),
)


def rename_file(path: Path, rules: tuple[tuple[str, str], ...]) -> None:
    state = load_file(path)
    for old, new in rules:
        state = {new + n.removeprefix(old) if n.startswith(old) else n: t for n, t in state.items()}
    save_file(state, path, metadata={"format": "pt"})


def hf_internvl(parts: Parts) -> transformers.InternVLForConditionalGeneration:
    """Hugging Face's own InternVL with LayerScale in its own place, float32: the check of the transcription."""
    config = parts.config
    model = transformers.InternVLForConditionalGeneration(
        transformers.InternVLConfig(
            vision_config=intern_vit_config(config["vision_config"]),
            text_config=hf_text(config),
            image_token_id=config["image_token_index"],
            downsample_ratio=config["downsample_ratio"],
            tie_word_embeddings=config["text_config"]["tie_word_embeddings"],
        )
    )
    state: State = {}
    for name, t in parts.state(torch.float32).items():
        if name.startswith("vision_tower.vision_model."):
            name = f"model.vision_tower.{intern_vit_name(name.removeprefix('vision_tower.vision_model.'))}"
            if name.endswith(("cls_token", "position_embeddings")):
                t = t.reshape(1, -1, t.shape[-1])
        elif name.startswith("multi_modal_projector."):
            name = f"model.{name.replace('.norm.', '.layer_norm.')}"
        elif name.startswith("language_model.model."):
            name = f"model.{name.replace('language_model.model.', 'language_model.')}"
        elif name.startswith("language_model."):
            name = name.removeprefix("language_model.")
        else:
            continue
        state[name] = t
    for name, scale in parts.scales.items():
        i, which = name.split(".")
        state[f"model.vision_tower.encoder.layer.{i}.lambda_{which[-1]}"] = torch.from_numpy(scale)
    if config["text_config"]["tie_word_embeddings"]:
        state["lm_head.weight"] = state["model.language_model.embed_tokens.weight"]
    fill(model, state)
    return model.eval()


def internvl_names(parts: Parts) -> State:
    """OpenGVLab's own names (their modelling code is not part of transformers): fused qkv, ls1, ls2, mlp1."""
    state, named = parts.state(torch.bfloat16), {}
    root = "vision_tower.vision_model."
    vision = under(state, root)
    for name, t in vision.items():
        layer, _, rest = name.partition(".self_attn.")
        if rest.startswith(("k_proj", "v_proj")):
            continue
        if rest.startswith("q_proj"):
            kind = rest.removeprefix("q_proj.")
            t = torch.cat([vision[f"{layer}.self_attn.{p}_proj.{kind}"] for p in "qkv"])
            name = f"{layer}.attn.qkv.{kind}"
        elif rest:
            name = f"{layer}.attn.{rest.replace('out_proj', 'proj')}"
        name = name.replace(".layer_norm", ".norm")
        if name in ("embeddings.class_embedding", "embeddings.position_embedding.weight"):
            name, t = name.removesuffix(".weight"), t.reshape(1, -1, t.shape[-1])
        named[f"vision_model.{name}"] = t
    for name, scale in parts.scales.items():
        named[f"vision_model.encoder.layers.{name}"] = torch.from_numpy(scale).bfloat16()
    for place, ours in (("0", "norm"), ("1", "linear_1"), ("3", "linear_2")):
        for kind in ("weight", "bias"):
            named[f"mlp1.{place}.{kind}"] = state[f"multi_modal_projector.{ours}.{kind}"]
    named |= {n: t for n, t in state.items() if n.startswith("language_model.")}
    if parts.config["spatial_config"] is not None:
        named |= spatial_names(state, parts.config)
    return named


def write_internvl(parts: Parts, folder: Path, fast: bool) -> None:
    folder.mkdir(parents=True)
    save_file(dict(sorted(internvl_names(parts).items())), folder / "model.safetensors", metadata={"format": "pt"})
    config, vision = parts.config, parts.config["vision_config"]
    described = {
        "architectures": ["InternVLChatModel"],
        "downsample_ratio": config["downsample_ratio"],
        "dynamic_image_size": True,
        "force_image_size": vision["image_size"],
        "llm_config": text_json(config) | {"architectures": ["Qwen2ForCausalLM"], "torch_dtype": "bfloat16", "use_sliding_window": False},
        "max_dynamic_patch": config["max_dynamic_patch"],
        "min_dynamic_patch": config["min_dynamic_patch"],
        "model_type": "internvl_chat",
        "pad2square": False,
        "ps_version": "v2",
        "select_layer": config["vision_feature_layer"],
        "template": "Hermes-2",
        "torch_dtype": "bfloat16",
        "use_backbone_lora": 0,
        "use_llm_lora": 0,
        "use_thumbnail": config["use_thumbnail"],
        "vision_config": hf_vision(config) | {
            "architectures": ["InternVisionModel"], "attention_dropout": 0.0, "drop_path_rate": 0.0, "dropout": 0.0,
            "initializer_factor": 1.0, "initializer_range": 0.02, "model_type": "intern_vit_6b", "norm_type": "layer_norm",
            "torch_dtype": "bfloat16", "use_flash_attn": True,
        },
    }  # fmt: skip
    write_json(folder / "config.json", described)
    write_json(folder / "preprocessor_config.json", preprocessor(config))
    write_json(folder / "generation_config.json", {"eos_token_id": [322, 320]})
    save_qwen(qwen_tokenizer(INTERN_SPECIAL), folder, fast)


MLX = {"group_size": 32, "bits": 4}


def quantized_by_mlx(parts: Parts, tower: bool) -> tuple[dict[str, object], Weights]:
    """Decoder and projector in q4 by mx.quantize, the patch convolution as [out, k, k, in]: the arrays under llava-hf's
    names, and the weights that they stand for. ``tower``: the vision tower's matrices and positions too, as nn.quantize
    takes every Linear and Embedding unless it is told to skip the tower."""
    import mlx.core as mx

    stored, meant = {}, dict(parts.weights)
    for name, w in parts.weights.items():
        layer = name.removesuffix(".weight")
        x = mx.array(w, dtype=mx.float16)
        if w.ndim != 2 or (name.startswith("vision_tower.") and not tower):
            stored[name] = mx.transpose(x, (0, 2, 3, 1)) if w.ndim == 4 else x
            continue
        codes, scales, biases = mx.quantize(x, **MLX)
        stored |= {name: codes, f"{layer}.scales": scales, f"{layer}.biases": biases}
        spread = np.array(codes)[..., None] >> (np.arange(8, dtype=np.uint32) * 4) & 15
        wide = lambda a: np.repeat(np.array(a).astype(np.float64), MLX["group_size"], axis=-1)
        meant[name] = spread.reshape(w.shape) * wide(scales) + wide(biases)
    return stored, meant


def write_mlx(parts: Parts, folder: Path, tower: bool) -> None:
    """A llava-hf folder as MLX converts it: its own names and config beside a file that MLX wrote."""
    import mlx.core as mx

    write_hf(parts, folder, "published")
    mx.save_safetensors(str(folder / "model.safetensors"), quantized_by_mlx(parts, tower)[0], metadata={"format": "mlx"})
    described = json.loads((folder / "config.json").read_text())
    write_json(folder / "config.json", described | {"quantization": MLX})
    tokenizer = json.loads((folder / "tokenizer_config.json").read_text())
    write_json(folder / "tokenizer_config.json", tokenizer | {"chat_template": chat_template("vicuna")})


WRITERS = {
    "lora-cropping": lambda p, f: write_lora(p, f, "base_model.model.", both=True),
    "lora-pooling": lambda p, f: write_lora(p, f, "", both=False),
    "merged-cropping": lambda p, f: write_merged(p, f, tower_inside=True),
    "llava-hf-old": lambda p, f: write_hf(p, f / "model", "published"),
    "llava-hf-new": lambda p, f: write_hf(p, f / "model", "model"),
    "llava-next": lambda p, f: write_hf(p, f / "model", "writes"),
    "next-sp": lambda p, f: write_merged(p, f, tower_inside=True),
    "internvl2": lambda p, f: write_internvl(p, f / "model", fast=False),
    "internvl2-sp": lambda p, f: write_internvl(p, f / "model", fast=True),
    "siglip-qwen2": lambda p, f: write_merged(p, f, tower_inside=False),
    "transformer-sfe": lambda p, f: write_merged(p, f, tower_inside=True),
    "mlx-q4": lambda p, f: write_mlx(p, f / "model", tower=False),
    "mlx-q4-all": lambda p, f: write_mlx(p, f / "model", tower=True),
}
