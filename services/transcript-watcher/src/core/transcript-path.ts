const SESSION = /^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$/;
const AGENT_FILE = /^agent-([A-Za-z0-9_-]{1,128})\.jsonl$/;
const ABSOLUTE = /^(?:\/|[A-Za-z]:[\\/])/;
const MAX_NAME_LENGTH = 255;

/** Whether it may stand in a key and in a path: the gateway's rule, checked again at this border. */
export function isSessionId(text: string): boolean {
  return SESSION.test(text);
}

/** The name of a session's own transcript. */
export function transcriptName(session: string): string {
  return `${session}.jsonl`;
}

/**
 * The subagent whose transcript has this name; undefined for a name of another kind.
 *
 * @example
 * agentOf('agent-a1b2c3.jsonl'); // 'a1b2c3'
 */
export function agentOf(name: string): string | undefined {
  return AGENT_FILE.exec(name)?.[1];
}

/**
 * The project folder that a hint names: the client's own path of its transcript, on a machine that may be another one.
 * Undefined unless it is an absolute `…/projects/<folder>/<session>.jsonl` of this very session.
 *
 * @example
 * projectOf('/home/alpha/.claude/projects/-home-alpha/3f2a.jsonl', '3f2a'); // '-home-alpha'
 */
export function projectOf(hint: string, session: string): string | undefined {
  if (!ABSOLUTE.test(hint)) return undefined;
  const parts = hint.split(/[\\/]/);
  const [projects, project = '', name] = parts.slice(-3);
  if (projects !== 'projects' || name !== transcriptName(session)) return undefined;
  // One dot part anywhere, and the path says less than it seems to.
  if (parts.some((part) => part === '.' || part === '..')) return undefined;
  return isPlainName(project) ? project : undefined;
}

function isPlainName(name: string): boolean {
  const isPrintable = [...name].every((character) => character >= ' ' && character !== '\u007f');
  return name.length > 0 && name.length <= MAX_NAME_LENGTH && isPrintable;
}
