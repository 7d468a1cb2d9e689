import type { DataOf, RequestClass } from '@loom/shared/event.ts';
import type { Metadata } from '@loom/shared/metadata.ts';
import { z } from 'zod';
import { anchorsOf, mergedAnchorsOf, type Sha256 } from './anchor.ts';
import type { BodyTree, Message } from './body-tree.ts';
import { cutMetadata } from './cut-metadata.ts';
import type { AcceptMetadata } from './hook-pieces.ts';
import { isTyped } from './human-text.ts';
import { findModel, findProfile, findSession, type Headers, PASSTHROUGH, readMember } from './identity.ts';
import type { JsonStrings } from './json-strings.ts';
import { classify, newestMessage } from './request-class.ts';
import { scanBody } from './scan-body.ts';
import { isStranger } from './stranger.ts';
import type { TurnRecord } from './turn-record.ts';

const MAX_PROMPT_CHARACTERS = 2_000;
const ContextManagement = z.looseObject({ edits: z.array(z.looseObject({ instructions: z.unknown().optional() })) });
// Made once: to make one costs more than to use it.
const Stream = z.boolean();
const SPAN_ID = /^(?!0{16})[0-9a-f]{16}$/;
const PRINTABLE = /^[\x20-\x7e]+$/;
const MAX_HEADER_LENGTH = 200;

/** A request that was read: its tree, with the metadata already marked for cutting, and what it says of itself. */
export interface ReadRequest {
  /** Undefined for a body that cannot be followed: it goes upstream as it came. */
  tree: BodyTree | undefined;
  session: string | undefined;
  /** The newest valid block, if it is this session's. */
  metadata: Metadata | undefined;
  /** The message that the newest block belongs to. */
  metadataMessage: Message | undefined;
  metadataBlocks: number;
  /** The profile that the request names itself. */
  namedProfile: string | undefined;
}

/**
 * Reads a body's bytes and takes the metadata out: everything that needs no memory of earlier requests.
 *
 * @param strings of the body, where it was looked through while it arrived
 */
export function readRequest(
  body: Buffer,
  headers: Headers,
  accept: AcceptMetadata,
  strings?: JsonStrings,
): ReadRequest {
  const tree = scanBody(body, strings);
  const cut = tree ? cutMetadata(tree, accept) : undefined;
  const session = findSession(tree, headers, cut?.newest);
  // A block of another session (copied by a fork, or pasted) is cut like any other, but says nothing about this one.
  const isOwn = cut?.newest && (cut.newest.session_id === undefined || cut.newest.session_id === session);
  const metadata = isOwn ? cut.newest : undefined;
  return {
    tree,
    session,
    metadata,
    metadataMessage: isOwn ? cut.newestMessage : undefined,
    metadataBlocks: cut?.blocks ?? 0,
    namedProfile: findProfile(headers, metadata),
  };
}

/** What kind of request it is, given what earlier ones of the session said. */
export interface Placed {
  profile: string;
  class: RequestClass;
  anchors: Map<Message, string>;
  /** The anchors of earlier messages that the client merged into one. */
  merged: Map<Message, string[]>;
  /** The newest message, if a person typed it. */
  typed: Message | undefined;
}

/** Finds a request's place: its profile, class, and the anchors of its messages. */
export function placeRequest(
  read: ReadRequest,
  headers: Headers,
  remembered: { profile?: string; turns?: TurnRecord[] },
  sha256: Sha256,
): Placed {
  const { tree, session, metadata, metadataMessage, namedProfile } = read;
  const profile = namedProfile ?? remembered.profile ?? PASSTHROUGH;
  if (!tree) return { profile, class: 'auxiliary', anchors: new Map(), merged: new Map(), typed: undefined };
  const profileIsRemembered = namedProfile === undefined && profile !== PASSTHROUGH;
  const seen = classify(tree, { headers, metadata, metadataMessage, profileIsRemembered });
  const requestClass = seen === 'main' && isStranger(read, headers, remembered.turns ?? [], sha256) ? 'subagent' : seen;
  const named = profile === PASSTHROUGH ? undefined : session;
  const anchors = named ? anchorsOf(tree, named, sha256) : new Map<Message, string>();
  const merged = named ? mergedAnchorsOf(tree, named, anchors, sha256) : new Map<Message, string[]>();
  const newest = newestMessage(tree);
  const typed = requestClass === 'main' && newest && isTyped(tree, newest) ? newest : undefined;
  return { profile, class: requestClass, anchors, merged, typed };
}

/**
 * The part of `request.received` that the request alone decides.
 *
 * @param ownsBlock whether the metadata is about this prompt; of an earlier one's it tells only what is the session's
 */
export function describeRequest(
  { tree, metadata }: ReadRequest,
  headers: Headers,
  bytes: number,
  ownsBlock = true,
): Pick<
  DataOf<'request.received'>,
  | 'model'
  | 'stream'
  | 'agentId'
  | 'agentType'
  | 'parentAgentId'
  | 'promptId'
  | 'contextCompacted'
  | 'apiCompaction'
  | 'body'
  | 'hook'
> {
  const promptId = shortHeader(headers, 'x-claude-code-prompt-id') ?? (ownsBlock ? metadata?.prompt_id : undefined);
  const contextCompacted = shortHeader(headers, 'x-claude-code-context-compacted');
  const management = tree && readMember(tree, 'context_management', ContextManagement);
  const apiCompaction = management?.edits.some(({ instructions }) => instructions !== undefined);
  return {
    model: findModel(tree),
    stream: (tree && readMember(tree, 'stream', Stream)) ?? false,
    ...describeAgent(headers),
    ...(promptId && { promptId }),
    ...(contextCompacted && { contextCompacted }),
    ...(apiCompaction && { apiCompaction }),
    body: { bytes, messages: tree?.messages.length ?? 0, tools: tree?.tools ?? 0 },
    ...(metadata && { hook: { ...sessionFacts(metadata), ...(ownsBlock && promptFacts(metadata)) } }),
  };
}

/** Which subagent sends a request, in its own words; nothing for the main conversation. */
export function describeAgent(
  headers: Headers,
): Pick<DataOf<'request.received'>, 'agentId' | 'agentType' | 'parentAgentId'> {
  const agentId = shortHeader(headers, 'x-claude-code-agent-id');
  const agentType = shortHeader(headers, 'x-claude-code-agent-type');
  const parentAgentId = shortHeader(headers, 'x-claude-code-parent-agent-id');
  return { ...(agentId && { agentId }), ...(agentType && { agentType }), ...(parentAgentId && { parentAgentId }) };
}

type HookFacts = NonNullable<DataOf<'request.received'>['hook']>;

function sessionFacts({ source, transcript_path: transcriptPath, machine, cwd }: Metadata): HookFacts {
  return {
    ...(source !== undefined && { source }),
    ...(transcriptPath !== undefined && { transcriptPath }),
    ...(machine !== undefined && { machine }),
    ...(cwd !== undefined && { cwd }),
  };
}

function promptFacts({ prompt, sent_at: sentAt, collected_ms, exports_spans, parent_span_id }: Metadata): HookFacts {
  return {
    ...(prompt !== undefined && { prompt: prompt.slice(0, MAX_PROMPT_CHARACTERS) }),
    ...(sentAt !== undefined && { sentAt }),
    ...(collected_ms !== undefined && { collectedMs: collected_ms }),
    ...(exports_spans !== undefined && { exportsSpans: exports_spans }),
    ...(parent_span_id !== undefined && SPAN_ID.test(parent_span_id) && { parentSpanId: parent_span_id }),
  };
}

/** A header of at most so many printable characters; undefined for anything else. */
export function shortHeader(headers: Headers, name: string, maxLength = MAX_HEADER_LENGTH): string | undefined {
  const value = headers[name];
  return typeof value === 'string' && value.length <= maxLength && PRINTABLE.test(value) ? value : undefined;
}
