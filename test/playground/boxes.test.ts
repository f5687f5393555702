/** Boxes of an answer's text on the picture, for every way in which a model is given it. */
import type { Geometry } from '@llava-sp/core';
import { expect, it } from 'vitest';
import { marksOf } from '../../examples/playground/src/boxes.ts';

/** A picture of 400 x 200, resized to 112 x 56, of which the model sees the square in the middle. */
const CROPPED: Geometry = {
  sourceWidth: 400,
  sourceHeight: 200,
  canvasWidth: 400,
  canvasHeight: 200,
  offsetX: 0,
  offsetY: 0,
  resizedWidth: 112,
  resizedHeight: 56,
  cropX: 28,
  cropY: 0,
  width: 56,
  height: 56,
};

const PADDED: Geometry = {
  ...CROPPED,
  canvasHeight: 400,
  offsetY: 100,
  resizedWidth: 56,
  cropX: 0,
};

const boxes = (text: string, geometry: Geometry) => marksOf(text, 'it', geometry).map(({ box }) => box);

it('places boxes in what was cropped and in what was padded', () => {
  expect(boxes('[0.00, 0.00, 1.00, 1.00]', CROPPED)).toEqual([[100, 0, 300, 200]]);
  expect(boxes('[0.25, 0.50, 0.50, 1.00]', CROPPED)).toEqual([[150, 100, 200, 200]]);
  expect(boxes('[0.25, 0.50, 0.50, 1.00]', PADDED)).toEqual([[100, 100, 200, 200]]);
  expect(boxes('[[250, 500, 500, 750]]', PADDED)).toEqual([[100, 100, 200, 200]]);
});

it('sorts corners, and leaves out what lies beside the picture', () => {
  expect(boxes('[0.50, 1.00, 0.25, 0.50]', CROPPED)).toEqual([[150, 100, 200, 200]]);
  // In the padding, above the picture.
  expect(boxes('[0.10, 0.05, 0.30, 0.20] and [0.00, 0.25, 1.00, 0.75]', PADDED)).toEqual([[0, 0, 400, 200]]);
});
