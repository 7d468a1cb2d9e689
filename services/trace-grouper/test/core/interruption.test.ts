import { describe, expect, test } from '@jest/globals';
import { interruptionOf } from '../../src/core/interruption.ts';
import { line, lineEvent, STOPPED } from '../story.ts';

const time = '2026-11-22T09:00:05.000Z';
const at = (text: string, changes = {}) => interruptionOf(lineEvent(line(text, changes), time));

describe('interruptionOf', () => {
  test('finds when the user stopped the turn', () => {
    expect(at(STOPPED)).toBe(Date.parse(time));
    expect(at('[Request interrupted by user for tool use]')).toBe(Date.parse(time));
  });

  test('goes by when the line was written, but for one from the future', () => {
    const written = (timestamp: string) => at(STOPPED, { line: `{"type":"user","timestamp":"${timestamp}"}` });

    expect(written('2026-11-22T09:00:01.500Z')).toBe(Date.parse('2026-11-22T09:00:01.500Z'));
    expect(written('2026-11-22T09:00:09.000Z')).toBe(Date.parse(time));
    expect(written('soon')).toBe(Date.parse(time));
  });

  test('ignores who speaks of it, other lines, and subagents', () => {
    expect(at(`Why does it say ${STOPPED}?`)).toBeUndefined();
    expect(at(`${STOPPED}\n\nGo on.`)).toBeUndefined();
    expect(at(STOPPED, { lineType: 'assistant' })).toBeUndefined();
    expect(at(STOPPED, { agentId: 'a1' })).toBeUndefined();
  });
});
