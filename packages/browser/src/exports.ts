/** What this package gives of core. */
export {
  AbortedError,
  ArgumentError,
  DeviceError,
  formatBox,
  formatThousandths,
  inputToSource,
  LlavaSpError,
  LoadError,
  Model,
  paddedToSource,
  parseBoxes,
  parseThousandths,
  pictureToSource,
  Scene,
  sourceToInput,
  sourceToPadded,
  sourceToPicture,
  UnsupportedError,
  Answer,
} from '@llava-sp/core';
export type * from '@llava-sp/core';
export type { BrowserImages } from './images.ts';
export type { BrowserDoctorOptions, BrowserLoadOptions, Thread, ThreadOptions } from './start.ts';
