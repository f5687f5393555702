/** `preprocessor_config.json`: the fields of Hugging Face's CLIP and SigLIP image processors. */
import { LoadError } from '../errors/index.ts';

/** Pixels; `shortestEdge` keeps the ratio, width and height do not. */
export type ResizeTarget = { shortestEdge: number } | { width: number; height: number };

export interface PreprocessorConfig {
  /** Undefined where the picture is not resized. Bicubic always. */
  resize: ResizeTarget | undefined;
  /** Undefined where nothing is cropped. */
  crop: { width: number; height: number } | undefined;
  /** Factor from 0..255, usually 1/255; 1 where the values are not rescaled. */
  rescale: number;
  /** Undefined where the values are not normalised. */
  normalize: { mean: Triple; std: Triple } | undefined;
  /** `image_mean`, also where nothing is normalised: the padding's colour. Black where it is absent. */
  mean: Triple;
}

export type Triple = readonly [number, number, number];

type Fields = Record<string, unknown>;

const PIL_BICUBIC = 3;
/** Far past any vision tower's input; keeps a damaged file from asking for gigabytes. */
const MAX_TARGET = 8192;

/**
 * Reads the parsed JSON. Fields that older files leave out have the processors' defaults: resizing, rescaling by
 * 1/255 and normalising are done, cropping is done where a `crop_size` is given.
 * @throws LoadError `CONFIG_INVALID`
 */
export function parsePreprocessor(json: unknown): PreprocessorConfig {
  if (!isFields(json)) throw invalid('it is not a JSON object');
  const doResize = flag(json, 'do_resize', true);
  const doCrop = flag(json, 'do_center_crop', json.crop_size !== undefined && json.crop_size !== null);
  const doRescale = flag(json, 'do_rescale', true);
  const doNormalize = flag(json, 'do_normalize', true);
  if (doResize && json.resample !== undefined && json.resample !== PIL_BICUBIC) {
    throw invalid(
      `"resample" is ${JSON.stringify(json.resample)}, and only ${PIL_BICUBIC} (bicubic) is supported`,
    );
  }
  const mean =
    json.image_mean === undefined && !doNormalize ? ([0, 0, 0] as const) : triple(json, 'image_mean');
  const rescale = doRescale ? (json.rescale_factor ?? 1 / 255) : 1;
  if (typeof rescale !== 'number' || !Number.isFinite(rescale) || rescale <= 0) {
    throw invalid('"rescale_factor" is not a positive number');
  }
  let normalize: PreprocessorConfig['normalize'];
  if (doNormalize) {
    const std = triple(json, 'image_std');
    if (std.some((v) => v <= 0)) throw invalid('"image_std" has a value that is not positive');
    normalize = { mean, std };
  }
  return {
    resize: doResize ? resizeTarget(json.size) : undefined,
    crop: doCrop ? cropSize(json.crop_size) : undefined,
    rescale,
    normalize,
    mean,
  };
}

function resizeTarget(size: unknown): ResizeTarget {
  if (typeof size === 'number') return { shortestEdge: edge(size, 'size') };
  if (isFields(size) && size.shortest_edge !== undefined) {
    if (size.longest_edge !== undefined) throw invalid('"size" has a longest_edge, which is not supported');
    return { shortestEdge: edge(size.shortest_edge, 'size.shortest_edge') };
  }
  return widthAndHeight(size, 'size');
}

function cropSize(size: unknown): { width: number; height: number } {
  if (typeof size !== 'number') return widthAndHeight(size, 'crop_size');
  return { width: edge(size, 'crop_size'), height: edge(size, 'crop_size') };
}

function widthAndHeight(size: unknown, name: string): { width: number; height: number } {
  if (!isFields(size)) throw invalid(`"${name}" has neither a shortest_edge nor height and width`);
  return { width: edge(size.width, `${name}.width`), height: edge(size.height, `${name}.height`) };
}

function edge(value: unknown, name: string): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= MAX_TARGET) return value;
  throw invalid(`"${name}" is not a whole number of pixels from 1 to ${MAX_TARGET}`);
}

function flag(fields: Fields, name: string, absent: boolean): boolean {
  const value = fields[name] ?? absent;
  if (typeof value !== 'boolean') throw invalid(`"${name}" is neither true nor false`);
  return value;
}

function triple(fields: Fields, name: string): Triple {
  const value = fields[name];
  if (Array.isArray(value) && value.length === 3) {
    const [r, g, b] = value as unknown[];
    if (isFinite(r) && isFinite(g) && isFinite(b)) return [r, g, b];
  }
  throw invalid(`"${name}" is not three numbers`);
}

function isFinite(value: unknown): value is number {
  return Number.isFinite(value);
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function invalid(what: string): LoadError {
  return new LoadError({
    code: 'CONFIG_INVALID',
    message: `preprocessor_config.json can't be used: ${what}.`,
    fix: 'Take the file from the model that the vision tower came from.',
  });
}
