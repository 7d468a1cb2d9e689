import { describe, expect, test } from '@jest/globals';
import { CANARY } from '@loom/shared/metadata.ts';
import { z } from 'zod';
import { findProfile, findSession, readMember } from '../../src/core/identity.ts';
import { treeOf } from './fixtures/body.ts';

const UUID = '0b54b7e8-67b8-4ac2-8c6b-1d8b4a6f1e11';
const HASH = 'a'.repeat(64);
const bodyOf = (user_id: unknown) => treeOf({ messages: [], metadata: { user_id } });

describe('findSession', () => {
  test('asks the client’s header, the user id, x-session-id and the block, in this order', () => {
    const body = bodyOf(JSON.stringify({ session_id: 'by-user-id' }));
    const metadata = { canary: CANARY, session_id: 'by-block' } as const;
    const headers = { 'x-claude-code-session-id': 'by-client', 'x-session-id': 'by-header' };

    expect([
      findSession(body, headers, metadata),
      findSession(body, { 'x-session-id': 'by-header' }, metadata),
      findSession(undefined, { 'x-session-id': 'by-header' }, metadata),
      findSession(treeOf({ messages: [] }), {}, metadata),
      findSession(undefined, {}, undefined),
    ]).toEqual(['by-client', 'by-user-id', 'by-header', 'by-block', undefined]);
  });

  test.each([
    ['1.0 and 2.0', `user_${HASH}_account__session_${UUID}`, UUID],
    ['1.0 and 2.0, with an account', `user_${HASH}_account_${UUID}_session_abc`, 'abc'],
    ['2.1', JSON.stringify({ device_id: HASH, account_uuid: '', session_id: UUID }), UUID],
    ['somebody else’s words', 'customer-7', undefined],
    ['JSON without a session', '{"device_id":"a"}', undefined],
    ['JSON with another kind of session', '{"session_id":7}', undefined],
    ['broken JSON', '{"session_id":"a"', undefined],
    ['no string', 7, undefined],
    ['nothing', null, undefined],
  ])('reads a user id of %s', (_, userId, expected) => {
    expect(findSession(bodyOf(userId), {}, undefined)).toBe(expected);
  });

  test.each([
    ['a colon', 'a:b'],
    ['line breaks', 'a\r\nSET b'],
    ['a line break at its end', 'a\n'],
    ['control characters', '\u001b[31mred'],
    ['the prototype’s name', '__proto__'],
    ['a path', '../../etc/passwd'],
    ['braces', '{a}'],
    ['letters outside ASCII', 'sitzung-é'],
    ['a megabyte', 'a'.repeat(1_000_000)],
    ['129 characters', 'a'.repeat(129)],
    ['nothing in it', ''],
  ])('takes an id with %s for none, and asks on', (_, hostile) => {
    const metadata = { canary: CANARY, session_id: hostile } as const;

    expect([
      findSession(undefined, { 'x-claude-code-session-id': hostile, 'x-session-id': 'good' }, undefined),
      findSession(bodyOf(JSON.stringify({ session_id: hostile })), {}, metadata),
      findSession(bodyOf(`user_a_session_${hostile}`), { 'x-session-id': ['a', 'b'] }, metadata),
    ]).toEqual(['good', undefined, undefined]);
  });
});

describe('findProfile', () => {
  test('asks the block, then the header, and takes nothing that could not be a folder’s name', () => {
    const metadata = (source: string) => ({ canary: CANARY, source }) as const;

    expect([
      findProfile({ 'x-loom-profile': 'beta' }, metadata('alpha')),
      findProfile({ 'x-loom-profile': 'beta' }, metadata('../alpha')),
      findProfile({ 'x-loom-profile': 'Beta' }, undefined),
      findProfile({}, undefined),
    ]).toEqual(['alpha', 'beta', undefined, undefined]);
  });
});

describe('readMember', () => {
  test('reads a small member, and nothing of another shape or with a bad escape', () => {
    const tree = treeOf('{"messages":[],"model":"m","stream":"yes","metadata":{"user_id":"\\x"}}');

    expect([
      readMember(tree, 'model', z.string()),
      readMember(tree, 'stream', z.boolean()),
      readMember(tree, 'metadata', z.unknown()),
      readMember(tree, 'max_tokens', z.number()),
    ]).toEqual(['m', undefined, undefined, undefined]);
  });
});
