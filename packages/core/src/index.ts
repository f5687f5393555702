/**
 * The public surface of `@llava-sp/core`: for adapters, and for people who write one.
 *
 * @module @llava-sp/core
 */
export { loadModel } from './api/load.ts';
export { doctorRemote, loadRemote, type PageSide } from './api/remote/client.ts';
export { serveModel } from './api/remote/server.ts';
export { doctor } from './api/doctor.ts';
export type { DoctorOptions, DoctorReport, DoctorRow } from './doctor/report.ts';
export { Model } from './api/model.ts';
export type {
  AnswerState,
  AskedPicture,
  Looked,
  LookTimings,
  ModelInfo,
  Timings,
  Usage,
} from './api/engine.ts';
export { Scene } from './api/scene.ts';
export { Answer } from './api/answer.ts';
export { Grounding, type Grounded, type GroundedBox, type GroundOptions } from './api/tasks/grounding.ts';
export type { CaptionOptions, PixelBox } from './api/tasks/check.ts';
export type { Chat, ChatOptions, ChatTurn } from './api/chat.ts';
export type { Explanation, SpatialToken, TileExplanation } from './api/explain.ts';
export type { ImageInput } from './api/image.ts';
export * from './api/platform.ts';
export type { AskOptions, Device, LoadOptions, LoadProgress, Precision } from './api/options.ts';
export type { AnswerToken, FinishReason, GenerateOptions, Piece } from './pipeline/generate.ts';
export type { Prompt } from './pipeline/prompt.ts';
export type { Format } from './text/constraint/format.ts';
export type { ChatMessage, ContentPart } from './text/chat.ts';
export type { BackendMemory, BackendReport, Choice, Warning, WarningCode } from './backend/index.ts';
export type { ModelConfig } from './models/config.ts';
export type {
  ByteSource,
  DecodedImage,
  GrowingFile,
  Host,
  HostChoice,
  ModelFiles,
  ModelStore,
  RawImage,
  Settings,
  WorkerPort,
} from './host.ts';
export { openRemote } from './download/index.ts';
export { filesOfUrls, fromBase64, inlineBytes } from './download/urls.ts';
export {
  isRemote,
  type FileSource,
  type HubSource,
  type ModelSource,
  type UrlSource,
} from './download/source.ts';
export type { DownloadOptions } from './download/options.ts';
export { createCache, type CachedModel, type ModelCache } from './download/cache.ts';
export { sourceOf as blobSource } from './download/blobs.ts';
export {
  cacheError,
  folderStore,
  type Disk,
  type DiskEntry,
  type DiskFile,
  type DiskProblem,
} from './download/folder_store.ts';
export { growing, type WritableFile } from './download/growing.ts';
export { createImageDecoder, type ImageDecoder, type LoadWasm } from './image/decode.ts';
export { checkImageBytes, collectImage, fetchImage, imageFileError } from './image/read.ts';
export {
  formatBox,
  formatThousandths,
  inputToSource,
  paddedToSource,
  parseBoxes,
  parseThousandths,
  pictureToSource,
  sourceToInput,
  sourceToPadded,
  sourceToPicture,
  type Box,
  type Geometry,
} from './image/boxes.ts';
export {
  AbortedError,
  ArgumentError,
  DeviceError,
  LlavaSpError,
  LoadError,
  UnsupportedError,
  type ErrorCode,
} from './errors/index.ts';
