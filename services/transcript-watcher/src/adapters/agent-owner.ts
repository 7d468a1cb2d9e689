import { z } from 'zod';
import { isSessionId } from '../core/transcript-path.ts';
import { openTranscript, TranscriptRefusedError } from './transcript-file.ts';

const FirstLine = z.looseObject({ sessionId: z.string() });
const CHUNK_BYTES = 64 * 1024;
/** A first line is a subagent's prompt: rarely more than a few kilobytes. */
const MAX_BYTES = 1024 * 1024;
const LINE_BREAK = 0x0a;

/**
 * Asks a subagent's transcript whose session it belongs to: its first line says so.
 *
 * @returns undefined while the file has no whole line, or is refused; no session in the answer: it is nobody's, for good
 */
export async function findOwner(root: string, file: string): Promise<{ session?: string } | undefined> {
  try {
    const line = await readFirstLine(root, file);
    if (line === undefined) return undefined;
    const { sessionId } = FirstLine.parse(JSON.parse(line.toString('utf8')));
    return isSessionId(sessionId) ? { session: sessionId } : {};
  } catch (error) {
    // What is not to be opened now may be a file of its own later.
    if (error instanceof TranscriptRefusedError) return undefined;
    // A line that is no object of the client's says nothing about a session.
    if (error instanceof SyntaxError || error instanceof z.ZodError) return {};
    throw error;
  }
}

/** Undefined while there is none; one that is too long comes cut short. */
async function readFirstLine(root: string, file: string): Promise<Buffer | undefined> {
  const handle = await openTranscript(root, file);
  if (!handle) return undefined;
  try {
    const chunks: Buffer[] = [];
    for (let at = 0; at < MAX_BYTES; at += CHUNK_BYTES) {
      const { buffer, bytesRead } = await handle.read(Buffer.allocUnsafe(CHUNK_BYTES), 0, CHUNK_BYTES, at);
      const bytes = buffer.subarray(0, bytesRead);
      const end = bytes.indexOf(LINE_BREAK);
      chunks.push(end < 0 ? bytes : bytes.subarray(0, end));
      if (end >= 0) return Buffer.concat(chunks);
      if (bytesRead < CHUNK_BYTES) return undefined;
    }
    return Buffer.concat(chunks);
  } finally {
    await handle.close();
  }
}
