"""Writes the golden folders: tiny random checkpoints in the on-device layout, and what each stage must give.

Run: ``python make.py [name ...]`` in this folder (requirements.txt; CPU only, about a minute). Seeded: a second
run with the same package versions writes the same files.

``golden.safetensors`` holds every stage, computed in float64 from the stored weights (the quantised ones for what
they stand for, activations not rounded) and the float32 pixels, and rounded to float32 at the end. ``golden.json``
holds the prompt, the ids, the 32 greedy tokens and their text, and how far the same computation in float32
(Hugging Face's modules untouched) lies from the float64 one.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
import transformers
from PIL import Image
from safetensors.numpy import save_file

import reference
from checkpoint import CONFIGS, Weights, language_weights, vision_weights
from preprocess import preprocess, preprocessor_config
from quantize import quantize
from tokenizer import chat_examples, make_tokenizer, save_tokenizer, token_examples

HERE = Path(__file__).parent
STEPS = 32
# Between the first and the second choice at every step, in parts of the largest |logit|. More for int4, whose
# runtime rounds activations too.
MIN_GAP, MIN_GAP_QUANTIZED = 1e-2, 2e-2
MIN_DISTINCT = 12  # different tokens among the 32
SEED = 20260
SEARCH = 4000
SHARD_BYTES = 900_000

QUANTIZED = {"cropping-q4": "cropping"}
QUESTIONS = {
    "cropping": "Where is the red star?",
    "cropping-q4": "Is there a yellow diamond?",
    "pooling": "How many objects are there?",
    "plain": "What colour is the largest shape?",
}
IMAGE_SIZES = {"cropping": (131, 77), "cropping-q4": (64, 83), "pooling": (59, 101), "plain": (90, 70)}


def picture(width: int, height: int, seed: int) -> Image.Image:
    """Gradients with some noise and two filled boxes."""
    rng = np.random.Generator(np.random.PCG64(seed))
    y, x = np.mgrid[0:height, 0:width]
    base = np.stack([x * 255 / width, y * 255 / height, (x + y) * 255 / (width + height)], axis=-1)
    base[height // 5 : height // 2, width // 6 : width // 3] = (230, 40, 20)
    base[height // 2 : height * 4 // 5, width // 2 : width * 3 // 4] = (20, 60, 220)
    noisy = base + rng.normal(0, 12, base.shape)
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def encode_prompt(tokenizer: transformers.PreTrainedTokenizerFast, messages: list, image: int) -> dict[str, object]:
    """Section 5: the text before and after the marker is tokenised separately, BOS only at the very start."""
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    before, after = text.split("<image>")
    before_ids = [tokenizer.bos_token_id, *tokenizer.encode(before, add_special_tokens=False)]
    after_ids = tokenizer.encode(after, add_special_tokens=False)
    return {"prompt": text, "prompt_ids": [*before_ids, image, *after_ids]}


def gaps(logits: torch.Tensor) -> torch.Tensor:
    """Per row: (first - second) / largest |logit|."""
    top = logits.topk(2, dim=-1).values
    return (top[:, 0] - top[:, 1]) / logits.abs().amax(dim=-1)


def stages_of(config: dict, weights: Weights, pixels: np.ndarray, dtype: torch.dtype) -> reference.Stages:
    """Everything up to the visual tokens; ``spatial.output`` is left in for the caller to drop."""
    w = reference.tensors(weights, dtype)
    stages = reference.vision(config, w, torch.from_numpy(pixels).to(dtype))
    if config["spatial_config"] is not None:
        stages |= reference.spatial(config, w, stages["vision.features"])
    stages["visual_tokens"] = reference.visual_tokens(w, stages["vision.features"], stages.get("spatial.output"))
    stages.pop("spatial.output", None)
    return stages


def answer(config: dict, weights: Weights, ids: list[int], visual: torch.Tensor, forced: list[int] | None = None):
    model = reference.llama(config, reference.tensors(weights, visual.dtype), visual.dtype)
    embeddings = reference.prompt_embeddings(model, ids, config["image_token_index"], visual)
    return reference.decode(model, embeddings, STEPS, forced)


def search(config: dict, ids: list[int], visual: torch.Tensor, name: str) -> tuple[int, Weights]:
    """The first seed whose 32 tokens are clear choices, hold no special token, and are not one loop."""
    quantized = name in QUANTIZED
    for seed in range(SEED, SEED + SEARCH):
        weights = language_weights(config, seed)
        tokens, logits, _ = answer(config, quantize(weights)[1] if quantized else weights, ids, visual)
        gap = float(gaps(logits).min())
        clear = gap >= (MIN_GAP_QUANTIZED if quantized else MIN_GAP)
        if clear and min(tokens) > 2 and len(set(tokens)) >= MIN_DISTINCT:
            print(f"{name}: seed {seed}, smallest gap {gap:.4f}, {len(set(tokens))} different tokens")
            return seed, weights
    raise RuntimeError(f"{name}: no seed in {SEARCH} gives clear greedy tokens")


def write_weights(folder: Path, weights: Weights) -> None:
    """One file, or shards with an index where one would be over SHARD_BYTES."""
    shards: list[Weights] = [{}]
    used = 0
    for name, w in sorted(weights.items()):
        if used and used + w.nbytes > SHARD_BYTES:
            shards.append({})
            used = 0
        shards[-1][name] = np.ascontiguousarray(w)
        used += w.nbytes
    for old in folder.glob("model*.safetensors*"):
        old.unlink()
    if len(shards) == 1:
        save_file(shards[0], folder / "model.safetensors", metadata={"format": "pt"})
        return
    files = [f"model-{i + 1:05d}-of-{len(shards):05d}.safetensors" for i in range(len(shards))]
    for file, shard in zip(files, shards):
        save_file(shard, folder / file, metadata={"format": "pt"})
    index = {
        "metadata": {"total_size": sum(w.nbytes for w in weights.values())},
        "weight_map": {name: file for file, shard in zip(files, shards) for name in shard},
    }
    write_json(folder / "model.safetensors.index.json", index)


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def deviation(truth: reference.Stages, single: reference.Stages) -> dict[str, dict[str, float]]:
    """Per stage: the largest |float32 - float64|, and the largest |float64|."""
    result = {}
    for name, t in truth.items():
        difference = (single[name].double() - t).abs().max()
        result[name] = {"max_difference": float(difference), "max_value": float(t.abs().max())}
    return result


@torch.no_grad()
def make(name: str) -> None:
    config = dict(CONFIGS[QUANTIZED.get(name, name)])
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    side, vocab = config["vision_config"]["image_size"], config["text_config"]["vocab_size"]
    context = config["text_config"]["max_position_embeddings"]
    raw_tokenizer = make_tokenizer(vocab)
    tokenizer = save_tokenizer(raw_tokenizer, folder, context)
    assert tokenizer.convert_tokens_to_ids("<image>") == config["image_token_index"]
    preprocessor = preprocessor_config(side)
    write_json(folder / "preprocessor_config.json", preprocessor)
    write_json(
        folder / "generation_config.json",
        {"bos_token_id": 0, "eos_token_id": 1, "do_sample": False, "max_length": context},
    )
    image = picture(*IMAGE_SIZES[name], SEED)
    image.save(folder / "image.png")
    _, pixels = preprocess(image, preprocessor, config["image_aspect_ratio"])

    messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": QUESTIONS[name]}]}]
    prompt = encode_prompt(tokenizer, messages, config["image_token_index"])
    ids = prompt["prompt_ids"]

    vision_stored = vision = vision_weights(config, SEED)
    if name in QUANTIZED:
        vision_stored, vision, _ = quantize(vision)
    truth = stages_of(config, vision, pixels, torch.float64)
    seed, language = search(config, ids, truth["visual_tokens"], name)
    language_stored = language
    if name in QUANTIZED:
        language_stored, language, _ = quantize(language)
        config["quantization"] = quantize(vision_weights(config, SEED) | language_weights(config, seed))[2]
    tokens, truth["logits"], hidden = answer(config, language, ids, truth["visual_tokens"])
    del hidden["language.hidden_states.0"]  # the embeddings: the visual tokens once more
    truth |= hidden
    single = stages_of(config, vision, pixels, torch.float32)
    single_tokens, single["logits"], hidden = answer(config, language, ids, single["visual_tokens"])
    single |= hidden
    assert single_tokens == tokens
    visual = truth["visual_tokens"].shape[0]

    write_json(folder / "config.json", config)
    write_weights(folder, vision_stored | language_stored)
    stored = {"pixels": pixels} | {k: np.ascontiguousarray(v.numpy().astype(np.float32)) for k, v in truth.items()}
    save_file(stored, folder / "golden.safetensors")
    golden = {
        "made_by": f"make.py, transformers {transformers.__version__}, torch {torch.__version__.split('+')[0]}",
        "vision_seed": SEED,
        "language_seed": seed,
        "image": "image.png",
        "question": QUESTIONS[name],
        "messages": messages,
        **prompt,
        "image_token_id": config["image_token_index"],
        "visual_tokens": visual,
        "prompt_length": len(ids) - 1 + visual,
        "greedy": "argmax of the logits with nothing suppressed; none of the 32 tokens is special, so no stop is met",
        "greedy_tokens": tokens,
        "answer": raw_tokenizer.decode(tokens, skip_special_tokens=True),
        "gap": "(first - second) / largest |logit|, per step",
        "gaps": [round(g, 5) for g in gaps(truth["logits"]).tolist()],
        "stages": "float64, rounded to float32 at the end; logits row t chose token t, row 0 is the prompt's last position",
        "float32_deviation": deviation(truth, single),
        "chat": chat_examples(tokenizer),
        "tokenize": token_examples(raw_tokenizer),
    }
    write_json(folder / "golden.json", golden)


def main() -> None:
    torch.set_num_threads(1)
    for name in sys.argv[1:] or [*CONFIGS, *QUANTIZED]:
        make(name)


if __name__ == "__main__":
    main()
