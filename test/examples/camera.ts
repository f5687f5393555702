import { writeFile } from 'node:fs/promises';
import type { DecodedImage } from '@llava-sp/node';

/**
 * Writes a picture as a video of one frame (YUV4MPEG2, 4:2:0, BT.601), which Chromium shows as a camera.
 *
 * @param image RGB, of even sides.
 */
export async function writeVideo(path: string, { data, width, height }: DecodedImage): Promise<void> {
  const [luma, chroma] = [width * height, (width * height) / 4];
  const frame = Buffer.alloc(luma + 2 * chroma);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [r, g, b] = data.subarray(3 * (y * width + x));
      frame[y * width + x] = 16 + (65.5 * r + 128.6 * g + 25 * b) / 255;
      const at = luma + (y >> 1) * (width >> 1) + (x >> 1);
      frame[at] = 128 + (-37.8 * r - 74.2 * g + 112 * b) / 255;
      frame[at + chroma] = 128 + (112 * r - 93.8 * g - 18.2 * b) / 255;
    }
  }
  const head = `YUV4MPEG2 W${width} H${height} F10:1 Ip A1:1 C420jpeg\nFRAME\n`;
  await writeFile(path, Buffer.concat([Buffer.from(head), frame]));
}
