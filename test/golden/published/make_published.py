"""Writes the folders beside this file: tiny random checkpoints in every published layout, and what each stage must give.

Run: ``python make_published.py [--on-device DIR] [name ...]`` (../requirements.txt; CPU only, a few minutes; no network).
Seeded: a second run with the same package versions writes the same weights and goldens.
``--on-device`` also writes every model in the on-device layout, in float16 (float32 for what MLX quantised), to DIR.
"""

import argparse
import os
import shutil
import sys
import warnings
from pathlib import Path

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
warnings.filterwarnings("ignore")
sys.path.insert(0, str(Path(__file__).parent.parent))

import family
import layouts
import numpy as np
import peft
import reference
import text
import tiny
import torch
import transformers
from checkpoint import Weights, language_weights
from make import deviation, gaps, picture
from pictures import preprocessor, tiles_of
from safetensors.numpy import save_file
from sentencepiece import SentencePieceProcessor

HERE = Path(__file__).parent
SEED, SEARCH, STEPS = 20270, 3000, 32
MIN_GAP, MIN_DISTINCT = 5e-3, 12

# name: (question, width and height of the picture)
ASKED = {
    "lora-cropping": ("Where is the red star?", (61, 47)),
    "lora-pooling": ("How many objects are there?", (40, 53)),
    "merged-cropping": ("Is there a ring?", (47, 47)),
    "llava-hf-old": ("What is this?", (64, 50)),
    "llava-hf-new": ("What is that?", (50, 64)),
    "llava-next": ("Describe the picture.", (83, 57)),
    "next-sp": ("What is above it?", (60, 80)),
    "internvl2": ("What is to the left?", (139, 66)),
    "internvl2-sp": ("What is below it?", (62, 131)),
    "siglip-qwen2": ("Which colour is it?", (58, 41)),
    "transformer-sfe": ("Is it a square?", (45, 52)),
    "mlx-q4": ("Is it a circle?", (55, 48)),
    "mlx-q4-all": ("Is it a cross?", (49, 60)),
}


def kind_of(config: dict) -> str:
    if config["image_aspect_ratio"] == "dynamic":
        return "internvl"
    return "vicuna" if config["text_config"]["model_type"] == "llama" else "chatml"


def tokenizer_of(config: dict, pieces: bytes):
    """The on-device tokenizer.json's tokenizer, with an added token for the image where the published one has none."""
    kind = kind_of(config)
    if kind == "internvl":
        return text.qwen_tokenizer(text.INTERN_SPECIAL)
    if kind == "chatml":
        return text.qwen_tokenizer([])
    return text.llama_tokenizer(pieces, [text.IMAGE, "<pad>"] if config["text_config"]["vocab_size"] > 400 else [text.IMAGE])


def prompt_of(config: dict, pieces: bytes, question: str) -> dict[str, object]:
    """Section 5: both sides tokenised apart; a beginning-of-sequence token at the very start where there is one."""
    before, image, after = text.prompt(kind_of(config), question)
    if kind_of(config) == "vicuna":
        model = SentencePieceProcessor(model_proto=pieces)
        fast = tokenizer_of(config, pieces)
        sides = [model.encode(side) for side in (before, after)]
        assert sides == [fast.encode(side, add_special_tokens=False).ids for side in (before, after)]
        sides[0] = [model.bos_id(), *sides[0]]
    else:
        fast = tokenizer_of(config, pieces)
        sides = [fast.encode(side).ids for side in (before, after)]
    return {"prompt": f"{before}{image}{after}", "prompt_ids": [*sides[0], config["image_token_index"], *sides[1]]}


def search(name: str, config: dict, weights_of, ids: list[int], visual: torch.Tensor, allowed: int) -> tuple[int, Weights]:
    """The first seed whose 32 tokens are clear choices, hold no special token, and are not one loop."""
    for seed in range(SEED, SEED + SEARCH):
        published, weights = weights_of(seed)
        tokens, logits, _ = answer(config, weights, ids, visual)
        gap = float(gaps(logits).min())
        if gap >= MIN_GAP and all(2 < t < allowed for t in tokens) and len(set(tokens)) >= MIN_DISTINCT:
            print(f"{name}: seed {seed}, smallest gap {gap:.4f}, {len(set(tokens))} different tokens", flush=True)
            return seed, published
    raise RuntimeError(f"{name}: no seed in {SEARCH} gives clear greedy tokens")


def answer(config: dict, weights: Weights, ids: list[int], visual: torch.Tensor, forced: list[int] | None = None):
    model = family.language(config, reference.tensors(weights, visual.dtype), visual.dtype)
    embeddings = reference.prompt_embeddings(model, ids, config["image_token_index"], visual)
    return reference.decode(model, embeddings, STEPS, forced)


def language_part(name: str, config: dict, seed: int) -> tuple[Weights, Weights]:
    """As published, and as it counts (adapters merged)."""
    published = tiny.rounded(language_weights(config, seed), name in tiny.BF16)
    if not name.startswith("lora"):
        return published, published
    return published, tiny.merged(published, tiny.lora(config, SEED), 2.0)


def check_against_libraries(name: str, parts: layouts.Parts, ids: list[int], pixels: torch.Tensor, layout: dict, truth: dict) -> None:
    """Hugging Face's whole model, or peft's own merge of what was written, must agree with what is stored."""
    if name.startswith("lora"):
        base = transformers.LlamaForCausalLM(layouts.hf_text(parts.config)).float()
        layouts.fill(base, layouts.under(parts.state(torch.float32), "language_model."))
        whole = peft.PeftModel.from_pretrained(base, str(HERE / name / "adapter")).merge_and_unload()
        ours = layouts.under(reference.tensors(tiny.merged(parts.weights, parts.lora, 2.0), torch.float32), "language_model.")
        theirs = whole.state_dict()
        assert all((theirs[n] == t).all() for n, t in ours.items())
        return
    if name.startswith("llava"):
        model = layouts.hf_llava(parts, name == "llava-next")
    elif name == "internvl2":
        model = layouts.hf_internvl(parts)
    else:
        return
    model = model.double()
    family.without_casts(model, 16, parts.config["text_config"]["rope_theta"])
    image, visual = parts.config["image_token_index"], truth["visual_tokens"].shape[0]
    at = ids.index(image)
    inputs = {"input_ids": torch.tensor([[*ids[:at], *[image] * visual, *ids[at + 1 :]]]), "pixel_values": pixels}
    if name == "llava-next":
        inputs |= {"image_sizes": torch.tensor([layout["size"]]), "pixel_values": pixels[None]}
    logits = model(**inputs).logits[0, -1]
    error = float((logits - truth["logits"][0]).abs().max() / logits.abs().max())
    assert error < 1e-9, (name, error)
    print(f"{name}: Hugging Face's own model differs by {error:.1e}", flush=True)


def write_on_device(folder: Path, config: dict, weights: Weights, pieces: bytes, quantized: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    dtype = np.float32 if quantized else np.float16
    save_file({n: np.ascontiguousarray(w).astype(dtype) for n, w in weights.items()}, folder / "model.safetensors")
    text.write_json(folder / "config.json", config)
    text.write_json(folder / "preprocessor_config.json", preprocessor(config))
    vicuna = kind_of(config) == "vicuna"
    ends = {"bos_token_id": 1, "eos_token_id": 2} if vicuna else {"eos_token_id": [322, 320]}
    text.write_json(folder / "generation_config.json", ends)
    tokenizer = tokenizer_of(config, pieces)
    if kind_of(config) == "chatml":  # the padded vocabulary ends at the id of the added image token
        added = [f"<|extra_{i}|>" for i in range(323, config["image_token_index"])]
        tokenizer.add_special_tokens([*added, text.IMAGE])
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    named = {"bos_token": "<s>", "eos_token": "</s>"} if vicuna else {"eos_token": "<|im_end|>"}
    template = {"chat_template": text.chat_template(kind_of(config)), "tokenizer_class": "PreTrainedTokenizerFast"}
    text.write_json(folder / "tokenizer_config.json", named | template)


@torch.no_grad()
def make(name: str, on_device: Path | None) -> None:
    config, (question, size) = tiny.CONFIGS[name], ASKED[name]
    config = config | {"text_config": config["text_config"] | ({"tie_word_embeddings": False} if name == "internvl2-sp" else {})}
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "golden").mkdir(parents=True)
    pieces = text.sentencepiece_model()
    image = picture(*size, SEED)
    image.save(folder / "golden" / "image.png")
    pixels, layout = tiles_of(config, image)
    pixels = torch.from_numpy(pixels)
    prompt = prompt_of(config, pieces, question)
    ids = prompt["prompt_ids"]

    vision = tiny.vision_part(config, SEED, name in tiny.BF16)
    scales = tiny.layer_scales(config, SEED) if config["vision_config"]["model_type"] == "intern_vit" else {}
    parts = layouts.Parts(config, vision, pieces, tiny.lora(config, SEED) if name.startswith("lora") else {}, scales)
    counts = tiny.folded(vision, scales)
    if name.startswith("mlx"):  # the search is on the values that the codes stand for
        return make_mlx(name, config, parts, pixels, layout, prompt, question, on_device)
    stages = lambda dtype: family.stages(config, reference.tensors(counts, dtype), pixels.to(dtype), layout)
    truth, single = stages(torch.float64), stages(torch.float32)
    seed, published = search(
        name, config, lambda s: language_part(name, config, s), ids, truth["visual_tokens"], allowed(config)
    )
    language = language_part(name, config, seed)[1]
    parts.weights = vision | published
    layouts.WRITERS[name](parts, folder)
    finish(name, config, language, truth, single, pixels, layout, prompt, question, seed)
    check_against_libraries(name, parts, ids, pixels.double(), layout, finish.truth)
    if on_device:
        write_on_device(on_device / name, config, counts | language, pieces, False)


def allowed(config: dict) -> int:
    """Special tokens begin here."""
    return 400 if config["text_config"]["model_type"] == "llama" else 320


def make_mlx(name, config, parts, pixels, layout, prompt, question, on_device) -> None:
    folder, vision = HERE / name, parts.weights
    truth = None
    for seed in range(SEED, SEED + SEARCH):
        parts.weights = vision | language_part(name, config, seed)[0]
        meant = layouts.quantized_by_mlx(parts, name == "mlx-q4-all")[1]
        stages = lambda dtype: family.stages(config, reference.tensors(meant, dtype), pixels.to(dtype), layout)
        truth = truth or stages(torch.float64)  # the decoder has no part in them
        tokens, logits, _ = answer(config, meant, prompt["prompt_ids"], truth["visual_tokens"])
        gap = float(gaps(logits).min())
        if gap >= MIN_GAP and all(2 < t < 400 for t in tokens) and len(set(tokens)) >= MIN_DISTINCT:
            break
    else:
        raise RuntimeError(f"{name}: no seed in {SEARCH} gives clear greedy tokens")
    print(f"{name}: seed {seed}, smallest gap {gap:.4f}, {len(set(tokens))} different tokens", flush=True)
    layouts.WRITERS[name](parts, folder)
    finish(name, config, meant, truth, stages(torch.float32), pixels, layout, prompt, question, seed)
    if on_device:
        write_on_device(on_device / name, config, meant, parts.sentencepiece, True)


def finish(name, config, language, truth, single, pixels, layout, prompt, question, seed) -> None:
    """golden.safetensors, golden.json, and the on-device config.json that a conversion should amount to."""
    folder, ids = HERE / name / "golden", prompt["prompt_ids"]
    tokens, truth["logits"], hidden = answer(config, language, ids, truth["visual_tokens"])
    del hidden["language.hidden_states.0"]
    truth |= hidden
    single_tokens, single["logits"], hidden = answer(config, language, ids, single["visual_tokens"])
    single |= hidden
    assert single_tokens == tokens
    finish.truth = truth
    visual = truth["visual_tokens"].shape[0]
    shown = (pixels if layout["tiled"] else pixels[0]).numpy()
    stored = {"pixels": np.ascontiguousarray(shown)} | {
        k: np.ascontiguousarray(v.numpy().astype(np.float32)) for k, v in truth.items()
    }
    save_file(stored, folder / "golden.safetensors")
    text.write_json(folder / "config.json", config)
    golden = {
        "made_by": f"make_published.py, transformers {transformers.__version__}, torch {torch.__version__.split('+')[0]}",
        "vision_seed": SEED,
        "language_seed": seed,
        "image": "image.png",
        "question": question,
        "messages": [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}],
        **prompt,
        "image_token_id": config["image_token_index"],
        "tiles": layout,
        "visual_tokens": visual,
        "prompt_length": len(ids) - 1 + visual,
        "greedy_tokens": tokens,
        "answer": answer_text(config, tokens),
        "gaps": [round(g, 5) for g in gaps(truth["logits"]).tolist()],
        "float32_deviation": deviation(truth, single),
    }
    text.write_json(folder / "golden.json", golden)


def answer_text(config: dict, tokens: list[int]) -> str:
    """SentencePiece's own text where it is SentencePiece's model: of bytes that are no UTF-8 it keeps what is. Space in
    front of an answer is not part of it."""
    pieces = text.sentencepiece_model()
    if kind_of(config) == "vicuna":
        answer = SentencePieceProcessor(model_proto=pieces).decode(tokens)
    else:
        answer = tokenizer_of(config, pieces).decode(tokens, skip_special_tokens=True)
    return answer.lstrip(" \t\n\v\f\r")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--on-device", type=Path)
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.names or list(ASKED):
        make(name, options.on_device)


if __name__ == "__main__":
    main()
