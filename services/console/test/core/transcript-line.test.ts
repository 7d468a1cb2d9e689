import { describe, expect, test } from '@jest/globals';
import { formatTranscriptLine } from '../../src/core/transcript-line.ts';
import { event, plainScreen, screen, transcriptLine } from '../events.ts';

type Changes = Parameters<typeof transcriptLine>[0];

const format = (changes?: Changes) => formatTranscriptLine(event('transcript.line', transcriptLine(changes)), screen);

describe('formatTranscriptLine', () => {
  test('shows the user with a green arrow to the right', () => {
    expect(format()).toBe('<green:→> 3f2a91c0 <green:user/user (text)> The basil looks pale.');
  });

  test('shows the model with a blue arrow to the left', () => {
    const changes = {
      lineType: 'assistant',
      role: 'assistant',
      contentTypes: ['text', 'tool_use'],
      text: 'Let me look.',
    };

    expect(format(changes)).toBe('<blue:←> 3f2a91c0 <blue:assistant/assistant (text, tool_use)> Let me look.');
  });

  test('shows anything else with a dim dot', () => {
    expect(format({ lineType: 'system', role: null, contentTypes: [], text: '' })).toBe(
      '<dim:·> 3f2a91c0 <dim:system>',
    );
  });

  test('goes by the line’s type where a message says no role', () => {
    expect(format({ role: null })).toBe('<green:→> 3f2a91c0 <green:user (text)> The basil looks pale.');
  });

  test('marks a subagent with the start of its id', () => {
    expect(format({ agentId: 'a81f00d1e5' })).toBe(
      '<green:→> 3f2a91c0 <cyan:@a81f00d1> <green:user/user (text)> The basil looks pale.',
    );
  });

  test('says of a line that is no JSON, or was too long, how long it is', () => {
    const without = { lineType: null, role: null, contentTypes: [] };

    expect(format({ ...without, form: 'raw', text: '{"torn":' })).toBe(
      '<dim:·> 3f2a91c0 <dim:no JSON, 120 bytes> {"torn":',
    );
    expect(format({ ...without, form: 'oversized', text: '', bytes: 9_000_000 })).toBe(
      '<dim:·> 3f2a91c0 <dim:too long to be read, 9000000 bytes>',
    );
  });

  test('cuts the line to the screen', () => {
    const line = formatTranscriptLine(event('transcript.line', transcriptLine()), plainScreen(40));

    expect(line).toBe('→ 3f2a91c0 user/user (text) The basil l…');
  });

  test('shows whatever a transcript holds, and obeys none of it', () => {
    expect(format({ text: '\u001b[2J\u202eall', lineType: 'us\u0007er', agentId: '\u009b1ma' })).toBe(
      '<green:→> 3f2a91c0 <cyan:@a> <green:user/user (text)> all',
    );
  });
});
