import { describe, expect, test } from '@jest/globals';
import { holds } from '@loom/shared/testing/law.ts';
import fc from 'fast-check';
import { originForm } from '../../src/core/request-target.ts';

describe('originForm', () => {
  test.each([
    ['/v1/messages?beta=true', '/v1/messages?beta=true'],
    ['http://elsewhere/v1/messages?beta=true', '/v1/messages?beta=true'],
    ['HTTPS://user:secret@elsewhere:443/v1', '/v1'],
    ['http://[::1]:8080/v1', '/v1'],
    ['http://elsewhere', '/'],
    ['http://elsewhere?x=1', '/?x=1'],
    ['http://elsewhere//twice', '//twice'],
    ['//elsewhere/v1', '//elsewhere/v1'],
    ['/http://elsewhere/v1', '/http://elsewhere/v1'],
    ['/a?next=http://elsewhere/b', '/a?next=http://elsewhere/b'],
    ['*', '*'],
  ])('gives of %s the path and the query: %s', (target, path) => {
    expect(originForm(target)).toBe(path);
  });

  test('leaves any path as it is', () => {
    holds(fc.property(fc.string(), (text) => originForm(`/${text}`) === `/${text}`));
  });
});
