/**
 * Published checkpoints to on-device folders, in Node.
 *
 * @module @llava-sp/convert
 */
export { convert, type ConvertOptions } from './convert.ts';
export type { Calibration, CalibrationQuestion } from './calibrate.ts';
export type { ConvertProgress } from './folder.ts';
export { defaultQuantisation, type PartFormat, type Quantisation } from './write/layout.ts';
export type { ConversionReport, PartReport, ShardReport } from './write/report.ts';
export { parts, type Part } from './contract.ts';
export {
  inspect,
  type DeviceNeeds,
  type InspectedPart,
  type InspectedTensor,
  type Inspection,
  type InspectOptions,
  type Sizes,
  type Storing,
} from './inspect.ts';
