import { z } from 'zod';

const bytes = z.int().nonnegative();

/** One line of a session's transcript, published once. */
export const TranscriptLine = z.looseObject({
  /** Relative to `CLAUDE_DATA_DIR/projects`. */
  file: z.string(),
  /** Of the line's first byte in the file. */
  offset: bytes,
  /** Of the line with its line break. */
  bytes,
  /** Counts how often the file was cut short or replaced by another: offsets compare within one epoch. */
  epoch: z.int().nonnegative(),
  /** The subagent whose transcript it is; absent in the session's own. */
  agentId: z.string().optional(),
  /** json: an object; raw: anything else, kept as it came; oversized: longer than the watcher reads, content left out. */
  form: z.enum(['json', 'raw', 'oversized']),
  /** The line's own `type`: user, assistant, system, attachment, … */
  lineType: z.string().nullable(),
  role: z.string().nullable(),
  /** The types of the message's content blocks, each once, in order of appearance. */
  contentTypes: z.array(z.string()),
  uuid: z.string().optional(),
  /** The upstream's `request-id` on assistant lines: `upstreamRequestId` of `response.completed`. */
  upstreamRequestId: z.string().optional(),
  /** The message's texts, joined by a blank line; at most 4 KiB. */
  text: z.string(),
  textTruncated: z.boolean(),
  /** The whole line without its line break, if it is at most 64 KiB. */
  line: z.string().optional(),
});

/** A file that was named as a transcript, or lies where one would, and was not read. Nothing of it is in here. */
export const TranscriptRefused = z.looseObject({
  /**
   * hint: the path in the metadata is no transcript of this session; outside: its real path is not under the root;
   * irregular: a directory, pipe, device or socket; linked: a symbolic link, or a file with a second name; unreadable:
   * the system refused (`code`).
   */
  reason: z.enum(['hint', 'outside', 'irregular', 'linked', 'unreadable']),
  code: z.string().optional(),
});
