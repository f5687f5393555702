import type { RawImage } from '../host.ts';

/**
 * Pictures that are neither addresses nor files. An adapter adds those of its platform by augmenting this interface; its
 * host's `readPixels` reads them.
 */
export interface PlatformImages {
  /** Pixels that the caller holds already. */
  readonly raw: RawImage;
}
