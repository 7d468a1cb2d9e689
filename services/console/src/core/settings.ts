import type { Node } from 'jsonc-parser';
import { findMember, parseJsonText, putItem, putMembers, removeNode, replaceNode } from './json-text.ts';

/** What connects a client to Loom: variables of its environment, and the command of its UserPromptSubmit hook. */
export interface Connection {
  env: Record<string, string>;
  command: string;
}

/** What was put into settings. */
export interface Put extends Connection {
  /** The command of another copy of the hook, in whose place ours stands. */
  replacedCommand?: string | undefined;
}

const HOOKS = ['hooks', 'UserPromptSubmit'];
const BOM = '\ufeff';

/** Seconds that the client waits for the hook, which itself gives up after 0.3. */
const HOOK_TIMEOUT_S = 5;

/** How a client is to reach Loom. */
export interface Choice {
  url: string;
  profile?: string;
  secretFile?: string;
  /** A model, or the client's short name of one: `opus`. */
  longContext?: string;
}

/**
 * What Claude Code needs in order to come by way of Loom: newer clients say with each request what it is for, and a base
 * URL of one's own would switch tool search off. It also makes them count on 200,000 tokens for a model that takes a
 * million, unless its name says so.
 */
export function connectionEnv(choice: Choice): Record<string, string> {
  return {
    ANTHROPIC_BASE_URL: choice.url,
    CLAUDE_CODE_GATEWAY_HINT_HEADERS: '1',
    ENABLE_TOOL_SEARCH: 'true',
    ...(choice.profile !== undefined && { LOOM_PROFILE: choice.profile }),
    ...(choice.longContext !== undefined && { ANTHROPIC_MODEL: `${choice.longContext.replace(/\[1m\]$/i, '')}[1m]` }),
    ...(choice.secretFile !== undefined && { LOOM_HOOK_SECRET_FILE: choice.secretFile }),
  };
}

/**
 * Puts a connection into the text of a client's settings; all bytes outside it stay. What is there already stays, too,
 * so that to connect twice is to connect once.
 *
 * @param text JSON with comments and trailing commas, perhaps empty
 * @throws JsonTextError
 */
export function connectSettings(text: string, connection: Connection): { text: string; replacedCommand?: string } {
  return outsideBom(text, (json) => {
    const { env, command } = connection;
    // Refused, if it is, by the place where it stands now, not by that behind the hook.
    putMembers(json, ['env'], env);
    const [other] = findHooks(json);
    const value = other && findMember(other, 'command');
    const withEnv = (hooked: string) => putMembers(hooked, ['env'], env);
    if (!value) return { text: withEnv(putItem(json, HOOKS, { hooks: [hookOf(command)] })) };
    if (value.value === command) return { text: withEnv(json) };
    // A second copy of the hook would put a second block into each prompt.
    return { text: withEnv(replaceNode(json, value, JSON.stringify(command))), replacedCommand: value.value };
  });
}

/**
 * Takes a connection out of settings that were edited since, and puts back what it had replaced. What somebody changed
 * stays as it is now.
 *
 * @param before the settings as they were before; empty when there were none
 * @returns the text, and the names of the variables that are no longer Loom's to take out
 */
export function disconnectSettings(text: string, put: Put, before: string): { text: string; kept: string[] } {
  const kept: string[] = [];
  return outsideBom(text, (json) => {
    const root = parseJsonText(withoutBom(before));
    const oldEnv = root && findMember(root, 'env');
    let left = json;
    for (const [name, value] of Object.entries(put.env)) {
      const node = findPath(left, ['env', name]);
      if (!node) continue;
      const old = oldEnv && findMember(oldEnv, name);
      if (node.value !== value) kept.push(name);
      else if (old) left = replaceNode(left, node, withoutBom(before).slice(old.offset, old.offset + old.length));
      else left = removeNode(left, node);
    }
    left = takeHookOut(left, put);
    for (const path of [HOOKS, ['hooks'], ['env']]) if (!hasPath(root, path)) left = removeEmpty(left, path);
    return { text: left, kept };
  });
}

/** Whether the settings hold nothing at all. */
export function isEmpty(text: string): boolean {
  const root = parseJsonText(withoutBom(text));
  return !root || (root.type === 'object' && root.children?.length === 0);
}

/** The variables that settings hold, as far as they are texts, and the commands of Loom's hook. */
export function readConnection(text: string): { env: Record<string, string>; commands: string[] } {
  const json = withoutBom(text);
  const members = findPath(json, ['env'])?.children ?? [];
  const pairs = members.flatMap(({ children }) =>
    children?.[1]?.type === 'string' ? [[String(children[0]?.value), String(children[1].value)] as const] : [],
  );
  const commands = findHooks(json).map((hook) => String(findMember(hook, 'command')?.value));
  return { env: Object.fromEntries(pairs), commands };
}

/** The settings that a client takes for one session, on top of its own. */
export function sessionSettings({ env, command }: Connection, withHook: boolean): string {
  return JSON.stringify({ env, ...(withHook && { hooks: { UserPromptSubmit: [{ hooks: [hookOf(command)] }] } }) });
}

function hookOf(command: string) {
  return { type: 'command', command, timeout: HOOK_TIMEOUT_S };
}

function takeHookOut(json: string, { command, replacedCommand }: Put): string {
  const hook = findHooks(json).find((candidate) => findMember(candidate, 'command')?.value === command);
  if (!hook) return json;
  const value = findMember(hook, 'command') as Node;
  if (replacedCommand !== undefined) return replaceNode(json, value, JSON.stringify(replacedCommand));
  const group = hook.parent?.parent?.parent;
  const isAlone = hook.parent?.children?.length === 1;
  return removeNode(json, isAlone && group ? group : hook);
}

/** The UserPromptSubmit hooks that run a copy of Loom's. */
function findHooks(json: string): Node[] {
  const groups = findPath(json, HOOKS)?.children ?? [];
  const hooks = groups.flatMap((group) => (group.type === 'object' && findMember(group, 'hooks')?.children) || []);
  return hooks.filter((hook) => {
    const command = hook.type === 'object' ? findMember(hook, 'command')?.value : undefined;
    return typeof command === 'string' && /\bprompt-hook\.mjs\b/.test(command);
  });
}

function removeEmpty(json: string, path: readonly string[]): string {
  const node = findPath(json, path);
  return node?.children?.length === 0 ? removeNode(json, node) : json;
}

function findPath(json: string, path: readonly string[]): Node | undefined {
  return walk(parseJsonText(json), path);
}

function hasPath(root: Node | undefined, path: readonly string[]): boolean {
  return walk(root, path) !== undefined;
}

function walk(root: Node | undefined, path: readonly string[]): Node | undefined {
  let node = root;
  for (const name of path) node = node?.type === 'object' ? findMember(node, name) : undefined;
  return node;
}

function outsideBom<Result extends { text: string }>(text: string, edit: (json: string) => Result): Result {
  const edited = edit(withoutBom(text));
  return text.startsWith(BOM) ? { ...edited, text: BOM + edited.text } : edited;
}

function withoutBom(text: string): string {
  return text.startsWith(BOM) ? text.slice(1) : text;
}
