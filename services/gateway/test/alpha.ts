/** A request of a session whose profile is `alpha`, as a client of 2.1 with hints sends it. */
export function alphaRequest(session: string, text: string, changes: RequestChanges = {}) {
  const { profile = 'alpha', class: requestClass = 'main', ...body } = changes;
  const headers = {
    'content-type': 'application/json',
    'x-claude-code-session-id': session,
    'x-claude-code-request-class': requestClass,
    'x-loom-profile': profile,
  };
  const messages = [{ role: 'user', content: [{ type: 'text', text }] }];
  return { headers, body: JSON.stringify({ model: 'claude-test', messages, ...body }) };
}

export interface RequestChanges {
  /** `x-loom-profile`. */
  profile?: string;
  /** `x-claude-code-request-class`. */
  class?: string;
  system?: unknown;
  messages?: unknown[];
  stream?: boolean;
}

/** The same body with a text block added to the first message, byte for byte as an edit writes it. */
export function withBlock(body: string, ...texts: string[]): string {
  const blocks = texts.map((text) => `,${JSON.stringify({ type: 'text', text })}`).join('');
  const end = body.indexOf('}]}') + 1;
  return `${body.slice(0, end)}${blocks}${body.slice(end)}`;
}
