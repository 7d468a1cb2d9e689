import type { DataOf } from '@loom/shared/event.ts';

/** What an event says of a line besides where it stands. */
export type LineFacts = Pick<
  DataOf<'transcript.line'>,
  'form' | 'lineType' | 'role' | 'contentTypes' | 'uuid' | 'upstreamRequestId' | 'text' | 'textTruncated' | 'line'
>;

export interface LineDescription {
  facts: LineFacts;
  /** The line's own text where it is a JSON object. */
  json?: string;
}

const MAX_TEXT_BYTES = 4_096;
const MAX_LINE_BYTES = 65_536;

/** Of a type, role or id, UTF-16 units; whatever is longer is none. */
const MAX_WORD_LENGTH = 256;
const MAX_CONTENT_TYPES = 32;

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const tolerant = new TextDecoder('utf-8', { ignoreBOM: true });
const encoder = new TextEncoder();

/** Of a line that is too long to be read. */
export const OVERSIZED: LineFacts = {
  form: 'oversized',
  lineType: null,
  role: null,
  contentTypes: [],
  text: '',
  textTruncated: true,
};

/**
 * Describes a transcript's line. No line is a fault: what is no JSON object in UTF-8 is `raw`, and a member of an
 * unexpected type is as good as missing.
 *
 * @param content the line without its line break
 *
 * @example
 * describeLine(Buffer.from('{"type":"user","message":{"role":"user","content":"Tea?"}}')).facts;
 * // { form: 'json', lineType: 'user', role: 'user', contentTypes: ['text'], text: 'Tea?', textTruncated: false, line: … }
 */
export function describeLine(content: Uint8Array): LineDescription {
  const json = findJson(content);
  if (!json) {
    const text = tolerant.decode(content);
    const none = { lineType: null, role: null, contentTypes: [] };
    return { facts: { form: 'raw', ...none, ...shorten(text), ...wholeLine(text, content) } };
  }

  const { text, object } = json;
  const message = isObject(object['message']) ? object['message'] : {};
  const uuid = findWord(object['uuid']);
  const upstreamRequestId = findWord(object['requestId']);
  const facts: LineFacts = {
    form: 'json',
    lineType: findWord(object['type']) ?? null,
    role: findWord(message['role']) ?? null,
    contentTypes: contentTypesOf(message['content']),
    ...(uuid === undefined ? {} : { uuid }),
    ...(upstreamRequestId === undefined ? {} : { upstreamRequestId }),
    ...shorten(textOf(message['content'])),
    ...wholeLine(text, content),
  };
  return { facts, json: text };
}

/**
 * What neighbours get on the channel `transcript:<session>`. The line goes in as it stands in the file: its numbers,
 * escapes and repeated keys would not survive being parsed and written again.
 *
 * Source: the payload that Intro and loom-tail read, `{session_id, type, role, content_types, raw}`.
 *
 * @returns undefined for a line that is no JSON object: they take `raw` for one
 */
export function payloadOf(session: string, { facts, json }: LineDescription): string | undefined {
  if (json === undefined) return undefined;
  const { lineType: type, role, contentTypes: content_types } = facts;
  return `${JSON.stringify({ session_id: session, type, role, content_types }).slice(0, -1)},"raw":${json}}`;
}

type JsonObject = Record<string, unknown>;

function findJson(content: Uint8Array): { text: string; object: JsonObject } | undefined {
  try {
    const text = strict.decode(content);
    const object: unknown = JSON.parse(text);
    return isObject(object) ? { text, object } : undefined;
  } catch {
    // Not UTF-8, not JSON, or nested deeper than the parser goes: none of it is an object that a reader could have.
    return undefined;
  }
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function findWord(value: unknown): string | undefined {
  return typeof value === 'string' && value.length <= MAX_WORD_LENGTH ? value.toWellFormed() : undefined;
}

function contentTypesOf(content: unknown): string[] {
  if (typeof content === 'string') return ['text'];
  const types = new Set(blocksOf(content).flatMap(({ type }) => findWord(type) ?? []));
  return [...types].slice(0, MAX_CONTENT_TYPES);
}

function textOf(content: unknown): string {
  if (typeof content === 'string') return content;
  const texts = blocksOf(content).flatMap(({ type, text }) =>
    type === 'text' && typeof text === 'string' ? text : [],
  );
  return texts.join('\n\n');
}

function blocksOf(content: unknown): JsonObject[] {
  return Array.isArray(content) ? content.filter(isObject) : [];
}

function shorten(whole: string): Pick<LineFacts, 'text' | 'textTruncated'> {
  // A text of so many units may take three times as many bytes; encodeInto stops at the last character that fits.
  const candidate = whole.slice(0, MAX_TEXT_BYTES).toWellFormed();
  const { read } = encoder.encodeInto(candidate, new Uint8Array(MAX_TEXT_BYTES));
  return { text: candidate.slice(0, read), textTruncated: read < whole.length };
}

function wholeLine(text: string, content: Uint8Array): Pick<LineFacts, 'line'> {
  return content.length <= MAX_LINE_BYTES ? { line: text } : {};
}
