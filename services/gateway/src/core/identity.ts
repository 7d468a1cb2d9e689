import type { Metadata } from '@loom/shared/metadata.ts';
import { z } from 'zod';
import type { BodyTree } from './body-tree.ts';

const utf8 = new TextDecoder('utf-8');
const SESSION = /^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$/;
const Model = z.string().max(200);
const PROFILE = /^[a-z0-9][a-z0-9-]{0,63}$/;
const UserIdObject = z.looseObject({ session_id: z.string() });
const MetadataMember = z.looseObject({ user_id: z.string() });

/** A session without a profile: metadata is stripped and turns are traced, nothing is rewritten or injected. */
export const PASSTHROUGH = 'passthrough';

export type Headers = Record<string, string | string[] | undefined>;

/**
 * The session of a request: the client's header, `metadata.user_id` in any of its forms, `x-session-id`, the block.
 * An id that could not stand in a key (`:`, line breaks, more than 128 characters) is none.
 */
export function findSession(
  tree: BodyTree | undefined,
  headers: Headers,
  metadata: Metadata | undefined,
): string | undefined {
  // One by one: most requests need no look into the body for it.
  const candidates: (() => unknown)[] = [
    () => headers['x-claude-code-session-id'],
    () => tree && sessionOfUserId(readMember(tree, 'metadata', MetadataMember)?.user_id),
    () => headers['x-session-id'],
    () => metadata?.session_id,
  ];
  for (const find of candidates) {
    const candidate = find();
    if (typeof candidate === 'string' && SESSION.test(candidate)) return candidate;
  }
  return undefined;
}

/** `user_<hash>_account_<uuid>_session_<uuid>` (clients 1.0 and 2.0) or a JSON string with `session_id` (2.1). */
function sessionOfUserId(userId: string | undefined): string | undefined {
  if (userId?.startsWith('{')) {
    try {
      return UserIdObject.parse(JSON.parse(userId)).session_id;
    } catch {
      // Somebody else's idea of a user id: no session in it.
      return undefined;
    }
  }
  return userId?.split('_session_')[1];
}

/** The profile that the request itself names: the block's `source`, or the header `x-loom-profile`. */
export function findProfile(headers: Headers, metadata: Metadata | undefined): string | undefined {
  const candidates = [metadata?.source, headers['x-loom-profile']];
  return candidates.find((candidate): candidate is string => typeof candidate === 'string' && PROFILE.test(candidate));
}

/** The model that the request asks for; null where it names none, or one that no model has for a name. */
export function findModel(tree: BodyTree | undefined): string | null {
  return (tree && readMember(tree, 'model', Model)) ?? null;
}

/** Reads one of the small top-level members; undefined where it is absent or of another shape. */
export function readMember<Schema extends z.ZodType>(
  tree: BodyTree,
  key: string,
  schema: Schema,
): z.infer<Schema> | undefined {
  const span = tree.members.get(key);
  if (!span) return undefined;
  try {
    const result = schema.safeParse(JSON.parse(utf8.decode(tree.bytes.subarray(span.start, span.end))));
    return result.success ? result.data : undefined;
  } catch {
    // The scanner does not look into strings: a bad escape shows only here, and the API will refuse it.
    return undefined;
  }
}
