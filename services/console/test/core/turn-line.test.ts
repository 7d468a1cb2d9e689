import { describe, expect, test } from '@jest/globals';
import { formatTurnEnded, formatTurnStarted } from '../../src/core/turn-line.ts';
import { event, plainScreen, screen, turnEnded } from '../events.ts';

type Changes = Parameters<typeof turnEnded>[0];

const format = (columns: number, changes?: Changes) =>
  formatTurnEnded(event('turn.ended', turnEnded(changes)), plainScreen(columns));

describe('formatTurnEnded', () => {
  test('tells all of a turn where there is room', () => {
    expect(format(200)).toBe(
      '00:00:22 3f2a91c0 · alpha · claude-opus-4-6 · 2 calls · Bash, Read ×2 · 20.0k in, 600 out · cache 95 % · $0.12 · 12.5 s · The basil looks pale. → It was repotted in May. It wants light.',
    );
  });

  test.each([
    [
      120,
      '00:00:22 3f2a91c0 · claude-opus-4-6 · 20.0k in, 600 out · cache 95 % · $0.12 · 12.5 s · The basil loo… → It was repotte…',
    ],
    [80, '00:00:22 3f2a91c0 · 20.0k in, 600 out · 12.5 s · The basil lo… → It was repotte…'],
    [40, '00:00:22 3f2a91c0 · The bas… → It was r…'],
  ])('leaves out what matters least on %p columns, and keeps room for the words', (columns, expected) => {
    expect(format(columns)).toBe(expected);
  });

  test('tells calls by what they were for, and tools that failed', () => {
    const calls = { main: 2, subagent: 3, compaction: 1, retried: 1, failed: 2 };
    const tools = [{ name: 'Bash', calls: 3, errors: 1 }];

    expect(format(250, { calls, tools, costUsd: 0.0042, prompt: null, answer: null })).toBe(
      '00:00:22 3f2a91c0 · alpha · claude-opus-4-6 · 6 calls (3 by subagents, 1 compaction, 1 retried, 2 failed) · Bash ×3 (1 failed) · 20.0k in, 600 out · cache 95 % · $0.0042 · 12.5 s',
    );
  });

  test('says how a turn ended that has no answer', () => {
    const none = { prompt: 0, completion: 0, cacheRead: 0, cacheWrite: 0, total: 0 };
    const changes = {
      endReason: 'error',
      errorType: 'overloaded_error',
      answer: null,
      tools: [],
      models: [],
      tokens: none,
    };

    expect(format(200, { ...changes, costUsd: null })).toBe(
      '00:00:22 3f2a91c0 · alpha · unknown model · 2 calls · 0 in, 0 out · cost unknown · 12.5 s · overloaded_error · The basil looks pale.',
    );
  });

  test('keeps an unusual end on the shortest line', () => {
    expect(format(44, { endReason: 'interrupted', answer: null })).toBe('00:00:22 3f2a91c0 · interrupted · The basil…');
  });

  test('colours prompt, answer and end', () => {
    const line = formatTurnEnded(
      event('turn.ended', turnEnded({ endReason: 'max_tokens', tools: [], prompt: 'a', answer: 'b' })),
      screen,
    );

    expect(line).toBe(
      '<dim:00:00:22> <cyan:3f2a91c0> · alpha · claude-opus-4-6 · 2 calls · 20.0k in, 600 out · cache 95 % · $0.12 · 12.5 s · <yellow:max_tokens> · <green:a> → <blue:b>',
    );
  });
});

describe('formatTurnStarted', () => {
  test('is a dim line with the prompt', () => {
    const { turn, traceId, rootSpanId, origin, profile, prompt, startedAt } = turnEnded();
    const started = { turn, traceId, rootSpanId, origin, profile, prompt, startedAt };

    expect(formatTurnStarted(event('turn.started', started), screen)).toBe(
      '<dim:00:00:10 3f2a91c0 · alpha · started · The basil looks pale.>',
    );
    expect(formatTurnStarted(event('turn.started', { ...started, prompt: null }, ''), screen)).toBe(
      '<dim:00:00:10 no session · alpha · started>',
    );
  });
});
