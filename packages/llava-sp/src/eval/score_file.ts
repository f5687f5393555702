import { paddedToSource, parseBoxes, parseThousandths, pictureToSource, type Box } from '@llava-sp/node';
import { matchAnswers, readAnswers, type AnswerLine } from './answers.ts';
import { invalid } from './read.ts';
import type { TaskRun } from './run.ts';
import type { Item, Task } from './types.ts';

/** What 0..1 of a box in an answer is of: the padded square (LLaVA), or the picture itself (InternVL). */
export type Frame = 'padded' | 'picture';

/**
 * A task with answers that somebody else gave.
 *
 * @param frame of the boxes; `null`: thousandths in double brackets are of the picture, others of the padded square.
 * @throws {LoadError} `BENCHMARK_INVALID` where answers are missing, or a picture's size; `FILE_UNREADABLE`.
 */
export async function runOfFile(task: Task, path: string, frame: Frame | null): Promise<TaskRun> {
  const lines = matchAnswers(task.items, await readAnswers(path));
  const missing = lines.filter((line) => line === null).length;
  if (missing > 0) {
    const first = task.items[lines.indexOf(null)];
    throw invalid(
      path,
      `${missing} of ${lines.length} questions of ${task.name} have no answer; the first is ${first.id}`,
    );
  }
  const found = lines.map((line, i) =>
    line && task.metric === 'refcoco' ? withBoxes(line, task.items[i], frame, path) : line,
  );
  return { task, lines: found, file: null };
}

function withBoxes(line: AnswerLine, item: Item, frame: Frame | null, path: string): AnswerLine {
  // Ours are in pixels already.
  if (line.metadata.boxes) return line;
  if (!item.size)
    throw invalid(path, `the questions do not say the size of ${item.image}, which boxes are mapped by`);
  const { width, height } = item.size;
  const thousandths = parseThousandths(line.text);
  const isPicture = frame === 'picture' || (frame === null && thousandths.length > 0);
  const read = thousandths.length > 0 ? thousandths : parseBoxes(line.text);
  const boxes = read.map((box): Box => (isPicture ? pictureToSource : paddedToSource)(box, width, height));
  return { ...line, metadata: { ...line.metadata, boxes } };
}
