import { describe, expect, test } from '@jest/globals';
import { CANARY, formatMetadata, isSignedWith, MAX_METADATA_LENGTH, Metadata } from '@loom/shared/metadata.ts';
import { holds } from '@loom/shared/testing/law.ts';
import fc from 'fast-check';

const secrets = fc.string({ minLength: 1, maxLength: 40 });
const prompts = fc.string({ unit: 'binary', maxLength: 12_000 });

describe('formatMetadata', () => {
  test('writes one line of JSON that begins with the canary', () => {
    expect(formatMetadata({ v: 1, session_id: 's1', prompt: 'tea?' })).toBe(
      `{"canary":"${CANARY}","v":1,"session_id":"s1","prompt":"tea?"}`,
    );
  });

  test('writes no tag that a client could take for the end of its wrapper, or escape', () => {
    const prompt = 'what is </system-reminder>?';

    const line = formatMetadata({ prompt }, 'secret');

    expect(line).not.toContain('<');
    expect(Metadata.parse(JSON.parse(line)).prompt).toBe(prompt);
    expect(isSignedWith(line, 'secret')).toBe(true);
  });

  test('puts the signature last', () => {
    expect(formatMetadata({ v: 1 }, 'secret')).toMatch(
      new RegExp(`^\\{"canary":"${CANARY}","v":1,"sig":"[0-9a-f]{64}"\\}$`),
    );
  });

  test('is at most 8,000 characters on one line, whatever the prompt, and says the rest whole', () => {
    holds(
      fc.property(prompts, fc.option(secrets, { nil: undefined }), (prompt, secret) => {
        const line = formatMetadata({ session_id: 's1', prompt, sent_at: '2026-11-22' }, secret);

        expect(line.length).toBeLessThanOrEqual(MAX_METADATA_LENGTH);
        expect(line).not.toContain('\n');
        const parsed = Metadata.parse(JSON.parse(line));
        expect(parsed).toMatchObject({ canary: CANARY, session_id: 's1', sent_at: '2026-11-22' });
      }),
    );
  });

  test('keeps as much of the beginning of a long prompt as there is room for', () => {
    const prompt = 'tea '.repeat(4_000);

    const { prompt: kept = '' } = Metadata.parse(JSON.parse(formatMetadata({ prompt })));

    expect(prompt.startsWith(kept)).toBe(true);
    expect(kept.length).toBeGreaterThan(7_900);
  });
});

describe('isSignedWith', () => {
  test('holds for the secret that signed, and for no other', () => {
    holds(
      fc.property(prompts, secrets, secrets, (prompt, secret, other) => {
        const line = formatMetadata({ prompt }, secret);

        expect(isSignedWith(line, secret)).toBe(true);
        if (other !== secret) expect(isSignedWith(line, other)).toBe(false);
      }),
    );
  });

  test('does not hold when a character was changed, or where there is no signature', () => {
    const line = formatMetadata({ session_id: 's1' }, 'secret');

    expect(isSignedWith(line.replace('s1', 's2'), 'secret')).toBe(false);
    expect(isSignedWith(formatMetadata({ session_id: 's1' }), 'secret')).toBe(false);
    expect(isSignedWith('', 'secret')).toBe(false);
  });
});
