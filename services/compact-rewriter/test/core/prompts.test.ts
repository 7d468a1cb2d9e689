import { describe, expect, test } from '@jest/globals';
import { PromptError, renderPrompts } from '../../src/core/prompts.ts';

const files = {
  'identity.md': '\nI am {{persona}}.\n',
  'compact.md': 'Notes for {{ human }}.',
  'continuation.md': 'Back, in {{city}}.',
  'profile.yaml': 'city: Bern',
};

describe('renderPrompts', () => {
  test('puts the variables in and trims the ends', () => {
    expect(renderPrompts('alpha', files, 'Sam')).toEqual({
      profile: 'alpha',
      identity: 'I am Alpha.',
      compact: 'Notes for Sam.',
      argumentLead: 'For this summary Sam asked for this in particular:',
      continuation: 'Back, in Bern.',
    });
  });

  test('lets a profile name its persona, its human and the lead of an argument', () => {
    const profile = 'city: 3\npersona: Iota\nhuman: Kim\nargumentLead: "{{human}} said:"';

    expect(renderPrompts('alpha', { ...files, 'profile.yaml': profile }, 'Sam')).toEqual({
      profile: 'alpha',
      identity: 'I am Iota.',
      compact: 'Notes for Kim.',
      argumentLead: 'Kim said:',
      continuation: 'Back, in 3.',
    });
  });

  test('needs no profile.yaml', () => {
    const plain = { ...files, 'continuation.md': 'Back.', 'profile.yaml': undefined };

    expect(renderPrompts('alpha', plain, 'Sam').continuation).toBe('Back.');
  });

  test('takes a value as it is, though it looks like a variable or a pattern', () => {
    expect(renderPrompts('alpha', files, '{{city}} $& $1').compact).toBe('Notes for {{city}} $& $1.');
  });

  test.each([
    ['a missing file', { 'identity.md': undefined }, 'alpha/identity.md is missing: expected a prompt'],
    ['an empty file', { 'compact.md': ' \n' }, 'alpha/compact.md is empty: expected a prompt'],
    [
      'a variable that nobody sets',
      { 'continuation.md': 'Back, {{hunam}}.' },
      'alpha/continuation.md: nobody sets {{hunam}}; known are city, human, persona',
    ],
    [
      'a variable of that name only in JavaScript',
      { 'identity.md': '{{constructor}}' },
      'alpha/identity.md: nobody sets {{constructor}}; known are city, human, persona',
    ],
    ['variables that are a list', { 'profile.yaml': '[Bern]' }, 'alpha/profile.yaml: expected "name: value" lines'],
    [
      'a variable that is no text',
      { 'profile.yaml': 'city: [Bern]' },
      'alpha/profile.yaml: expected a text for city, got ["Bern"]',
    ],
    ['an empty variable', { 'profile.yaml': 'city: ""' }, 'alpha/profile.yaml: expected a text for city, got ""'],
  ])('refuses %s, and says which and where', (_, change, message) => {
    expect(() => renderPrompts('alpha', { ...files, ...change }, 'Sam')).toThrow(new PromptError(message));
  });

  test('refuses variables that are no YAML', () => {
    expect(() => renderPrompts('alpha', { ...files, 'profile.yaml': 'city: [' }, 'Sam')).toThrow(
      /^alpha\/profile\.yaml is no YAML: /,
    );
  });
});
