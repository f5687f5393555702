import {
  AbortedError,
  ArgumentError,
  DeviceError,
  LlavaSpError,
  LoadError,
  UnsupportedError,
} from '@llava-sp/node';

/** Documented in the help below and the README: scripts depend on them. */
export const EXIT = {
  ok: 0,
  failure: 1,
  usage: 2,
  input: 3,
  unsupported: 4,
  device: 5,
  interrupted: 130,
} as const;

export const help = `llava-sp: look at a picture and talk about it, on this device

  llava-sp ask IMAGE QUESTION    the answer on stdout, as it comes
  llava-sp serve                 an OpenAI-compatible server on this machine
  llava-sp eval [FILE...]        a model's figures on a benchmark (default: the demo benchmark)
  llava-sp info                  what would run here, and why
  llava-sp doctor                tests every kernel on this machine; a table
  llava-sp cache                 the models that were downloaded; cache delete NAME (or all) makes room
  llava-sp convert SOURCE        a published checkpoint to an on-device folder
  llava-sp inspect SOURCE        what a folder or file of weights holds, and what it would need here

options
  -m, --model SOURCE    a model folder, its http(s) address, or hub:owner/name@revision
                        (default: the demo model: drawings of things and shapes)
  -d, --device NAME     auto, wasm or webgpu (default: auto)
      --precision P     arithmetic on WebGPU: auto, f32 or f16 (default: auto)
  -t, --threads N       worker threads (default: one a core)
      --max-tokens N    longest answer, in tokens
      --temperature T   0 is greedy (default)
      --seed N          for temperatures above 0
      --json            one JSON object on stdout instead of text
      --stats           tokens and times on stderr
  -q, --quiet           no progress bar
  -h, --help, -v, --version

convert and inspect
  -o, --out DIR         the folder to make; an interrupted conversion goes on in it
      --base SOURCE     the language model that a LoRA folder is trained on
      --vision-tower SOURCE
                        the vision encoder, where the checkpoint lacks it
      --llm F, --sfe F, --detail F
                        how these parts are stored: q4, q8, f16 or f32 (default: q4)
      --vision F, --projector F, --embeddings F
                        the same (default: q8)
      --group N         weights that share a scale: 32, 64 or 128 (default: 64)
      --tries N         ranges tried for each group, 0 (plain min/max) to 6 (default: 2)
      --calibrate PATH  a folder of pictures, or a question.jsonl beside its pictures (or with --images):
                        codes are chosen by what the model computes on them
      --calibrate-with SOURCE
                        the same model converted before; not needed for an on-device folder of floats
      --context N       inspect: tokens that the KV cache is to hold (default: the model's own)

eval (FILE: question.jsonl, POPE, VQA, RefCOCO, MMVP, captions, or a folder with benchmark.json)
  -o, --out DIR         keeps answers and reports; an interrupted run goes on in it
      --images DIR      where the pictures are (default: beside the file)
      --limit N         at most N questions of each task, drawn by --seed (default: all, 0)
      --split NAME      only the questions of this split
      --metric NAME     pope, vqa, refcoco, mmvp, caption or none (default: what the file holds)
      --annotations FILE
                        VQA's annotations, where the questions are apart
      --suffix TEXT     added to every question, behind a newline
      --prompt TEXT     asks for boxes freely, with {phrase} in it (default: as ground does)
      --box F           of rows with bbox: xyxy or xywh (default: xyxy)
      --answers FILE    scores these answers; no model is loaded
      --frame F         of boxes in them: padded (LLaVA) or picture (InternVL)
      --compare         FILEs are report.json: a table with a row for each

serve
      --port N          (default: 11435; 0: one that is free)
      --host ADDRESS    where it listens (default: 127.0.0.1, this machine alone)
      --api-key KEY     what requests must carry; LLAVA_SP_API_KEY in the environment is the same
      --max-queue N     requests that may wait (default: 32)
      --max-body MB     of one request, its picture included (default: 20)
      --allow-http-images
                        pictures are fetched from addresses of the public internet
      --allow-private-images
                        from any address, this machine's own network too
      --cors ORIGIN     pages that may ask, as http://localhost:5173, or "*"

exit codes
  0 answered, done   1 failed (doctor: a kernel is wrong)   2 wrong usage   3 image, model or option that can't be used
  4 not supported here   5 device failed or out of memory   130 interrupted`;

/** The command line itself is wrong. */
export class UsageError extends Error {}

/** Prints an error on stderr and gives its exit code. */
export function report(error: unknown, json: boolean): number {
  const known = error instanceof LlavaSpError ? error : null;
  const message = error instanceof Error ? error.message : String(error);
  if (json) {
    const code = known?.code ?? (error instanceof UsageError ? 'USAGE' : 'UNKNOWN');
    console.log(JSON.stringify({ error: { code, message, fix: known?.fix ?? null } }));
  }
  if (error instanceof UsageError) console.error(`llava-sp: ${message}\n\n${help}`);
  else if (known) console.error(`llava-sp: ${message}\n  ${known.fix} [${known.code}]`);
  else console.error(error);
  return exitCode(error);
}

function exitCode(error: unknown): number {
  if (error instanceof UsageError) return EXIT.usage;
  if (error instanceof AbortedError) return EXIT.interrupted;
  if (error instanceof ArgumentError || error instanceof LoadError) return EXIT.input;
  if (error instanceof UnsupportedError) return EXIT.unsupported;
  if (error instanceof DeviceError) return EXIT.device;
  return EXIT.failure;
}

/** A number given as text. */
export function numberOption(name: string, value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  const number = Number(value);
  if (value.trim() === '' || Number.isNaN(number))
    throw new UsageError(`--${name} wants a number, not "${value}"`);
  return number;
}
