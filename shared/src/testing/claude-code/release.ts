/** The clients that were measured. */
export type ClientVersion = '1.0.128' | '2.0.76' | '2.1.118' | '2.1.330';

/** `sdk-cli` is print mode (`-p`), `cli` the interactive terminal. */
export type Mode = 'sdk-cli' | 'cli';

/** What one release of the client does in its own way. */
export interface Release {
  model: string;
  smallModel: string;
  maxTokens: number;
  compactionMaxTokens: number;
  sdk: string;
  runtime: 'node' | 'bun';
  runtimeVersion: string;
  betas: Record<Mode, string[]>;
  /** Opens the client's own block of the system prompt. */
  systemOpening: string;
  /** The newest user and the newest assistant message are marked for the cache, not just the newest message. */
  marksBothRoles: boolean;
  /** A lone text of a message that is not marked is sent as a string. */
  plainHistory: boolean;
}

const OLD_BETAS = ['claude-code-20250219', 'interleaved-thinking-2025-05-14'];
const BETAS_2_1_118 = [
  ...OLD_BETAS,
  'context-management-2025-06-27',
  'prompt-caching-scope-2026-01-05',
  'effort-2025-11-24',
];
const BETAS_2_1_330 = [
  ...OLD_BETAS,
  'context-management-2025-06-27',
  'per-turn-control-2026-07-01',
  'mid-conversation-tool-changes-2026-07-01',
  'thinking-token-count-2026-05-13',
  'advanced-tool-use-2025-11-20',
  'effort-2025-11-24',
];
const both = (betas: string[]) => ({ 'sdk-cli': betas, cli: betas });

export const RELEASES: Record<ClientVersion, Release> = {
  '1.0.128': {
    model: 'claude-sonnet-4-20250514',
    smallModel: 'claude-3-5-haiku-20241022',
    maxTokens: 32_000,
    compactionMaxTokens: 20_000,
    sdk: '0.60.0',
    runtime: 'node',
    runtimeVersion: 'v20.19.5',
    betas: both([...OLD_BETAS, 'fine-grained-tool-streaming-2025-05-14']),
    systemOpening: 'You are an interactive CLI tool',
    marksBothRoles: true,
    plainHistory: false,
  },
  '2.0.76': {
    model: 'claude-sonnet-4-5-20250929',
    smallModel: 'claude-haiku-4-5-20251001',
    maxTokens: 32_000,
    compactionMaxTokens: 20_000,
    sdk: '0.70.0',
    runtime: 'node',
    runtimeVersion: 'v20.19.5',
    betas: both(OLD_BETAS),
    systemOpening: 'You are an interactive CLI tool',
    marksBothRoles: true,
    plainHistory: true,
  },
  '2.1.118': {
    model: 'claude-sonnet-4-6',
    smallModel: 'claude-haiku-4-5-20251001',
    maxTokens: 32_000,
    compactionMaxTokens: 20_000,
    sdk: '0.81.0',
    runtime: 'bun',
    runtimeVersion: 'v24.3.0',
    betas: { 'sdk-cli': BETAS_2_1_118, cli: [...BETAS_2_1_118, 'redact-thinking-2026-02-12'] },
    systemOpening: 'You are an interactive agent',
    marksBothRoles: false,
    plainHistory: false,
  },
  '2.1.330': {
    model: 'claude-opus-5-5',
    smallModel: 'claude-haiku-5-5',
    maxTokens: 128_000,
    compactionMaxTokens: 128_000,
    sdk: '0.128.0',
    runtime: 'bun',
    runtimeVersion: 'v26.12.1',
    betas: {
      'sdk-cli': BETAS_2_1_330,
      cli: [
        ...BETAS_2_1_330,
        'dangerous-tool-use-2026-09-03',
        'thinking-display-updates-2026-08-18',
        'afk-mode-2026-01-31',
      ],
    },
    systemOpening: 'You are an agent working with the user',
    marksBothRoles: false,
    plainHistory: true,
  },
};

/** 2.1.118 and later: billing block, effort, thinking, the session's id in a header. */
export function isRecent(version: ClientVersion): boolean {
  return version === '2.1.118' || version === '2.1.330';
}

/** Hook context has a `role: system` message of its own: 2.1.330 with any model that it does not know as an older one. */
export function hasSystemMessages(version: ClientVersion, model: string): boolean {
  return version === '2.1.330' && !/^claude-(opus|sonnet|haiku)-4-/.test(model);
}
