import { z } from 'zod';
import { splitLines } from '../core/line-splitter.ts';
import { openTranscript, TranscriptRefusedError } from './transcript-file.ts';

const MAX_BYTES = 64 * 1024;
const Line = z.looseObject({ timestamp: z.iso.datetime() });

/**
 * When the conversation of a transcript began, Unix ms: what the first of its lines says that says it. Not what the file
 * system says: Syncthing makes a new file of each change, and a copied conversation keeps its times.
 *
 * @returns undefined for a file that is not there, is refused, or says nothing in its first 64 KiB
 */
export async function findBeginning(root: string, file: string): Promise<number | undefined> {
  try {
    const handle = await openTranscript(root, file);
    if (!handle) return undefined;
    try {
      const { buffer, bytesRead } = await handle.read(Buffer.allocUnsafe(MAX_BYTES), 0, MAX_BYTES, 0);
      for (const { content } of splitLines(buffer.subarray(0, bytesRead), 0).lines) {
        const at = timeOf(Buffer.from(content).toString('utf8'));
        if (at !== undefined) return at;
      }
      return undefined;
    } finally {
      await handle.close();
    }
  } catch (error) {
    // The tail meets the refusal, too, and tells of it.
    if (error instanceof TranscriptRefusedError) return undefined;
    throw error;
  }
}

function timeOf(text: string): number | undefined {
  try {
    return Date.parse(Line.parse(JSON.parse(text)).timestamp);
  } catch {
    // A line without a time, or none of the client's: the next one may say it.
    return undefined;
  }
}
