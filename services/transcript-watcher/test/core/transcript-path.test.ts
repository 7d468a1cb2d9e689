import { describe, expect, test } from '@jest/globals';
import { agentOf, isSessionId, projectOf } from '../../src/core/transcript-path.ts';

const SESSION = '5f0c3c1e-6a51-4a0e-9a0b-0c1d2e3f4a5b';

describe('isSessionId', () => {
  test.each([SESSION, 'a', '0_-', 'x'.repeat(128)])('takes %s', (id) => {
    expect(isSessionId(id)).toBe(true);
  });

  test.each(['', '-a', '..', 'a/b', 'a:b', 'a\n', 'a\0', 'é', 'x'.repeat(129), '*'])('takes no %j', (id) => {
    expect(isSessionId(id)).toBe(false);
  });
});

describe('agentOf', () => {
  test.each([
    ['agent-a1b2c3.jsonl', 'a1b2c3'],
    ['agent-.jsonl', undefined],
    ['agent-a.json', undefined],
    ['agent-a/b.jsonl', undefined],
    [`${SESSION}.jsonl`, undefined],
  ])('finds in %s the subagent %s', (name, agent) => {
    expect(agentOf(name)).toBe(agent);
  });
});

describe('projectOf', () => {
  test.each([
    [`/home/alpha/.claude/projects/-home-alpha-loom/${SESSION}.jsonl`, '-home-alpha-loom'],
    [`C:\\Users\\alpha\\.claude\\projects\\C--loom\\${SESSION}.jsonl`, 'C--loom'],
    [`/projects/p/${SESSION}.jsonl`, 'p'],
  ])('finds the folder in %s', (hint, project) => {
    expect(projectOf(hint, SESSION)).toBe(project);
  });

  test.each([
    ['a file of the system', '/etc/passwd'],
    ["another session's", '/home/alpha/.claude/projects/p/4e1d.jsonl'],
    ['one that goes up', `/home/alpha/../projects/p/${SESSION}.jsonl`],
    ['a folder that goes up', `/home/alpha/.claude/projects/../${SESSION}.jsonl`],
    ['a folder that goes nowhere', `/home/alpha/.claude/projects/./${SESSION}.jsonl`],
    ['no folder', `/home/alpha/.claude/projects//${SESSION}.jsonl`],
    ['a folder with a line break', `/home/alpha/.claude/projects/a\nb/${SESSION}.jsonl`],
    ['a folder with a NUL', `/home/alpha/.claude/projects/a\0/${SESSION}.jsonl`],
    ['a folder with too long a name', `/home/alpha/.claude/projects/${'a'.repeat(256)}/${SESSION}.jsonl`],
    ['a NUL behind it', `/home/alpha/.claude/projects/p/${SESSION}.jsonl\0`],
    ['a relative one', `projects/p/${SESSION}.jsonl`],
    ['one below the folder', `/home/alpha/.claude/projects/p/q/${SESSION}.jsonl`],
    ['another ending', `/home/alpha/.claude/projects/p/${SESSION}.json`],
    ['nothing', ''],
  ])('finds none in %s', (_, hint) => {
    expect(projectOf(hint, SESSION)).toBeUndefined();
  });
});
