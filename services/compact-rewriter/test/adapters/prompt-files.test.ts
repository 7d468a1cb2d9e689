import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { until } from '@loom/shared/testing/until.ts';
import { type PromptFolder, watchPrompts } from '../../src/adapters/prompt-files.ts';
import { readLog } from '../shown.ts';

let folder: string;
let prompts: PromptFolder | undefined;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'loom-prompts-'));
  await writeProfile('alpha');
});

afterEach(async () => {
  prompts?.close();
  prompts = undefined;
  await rm(folder, { recursive: true, force: true });
});

const write = (file: string, text: string) => writeFile(join(folder, file), text);
const identity = (profile = 'alpha') => prompts?.find(profile)?.identity;

async function writeProfile(profile: string): Promise<void> {
  await mkdir(join(folder, profile));
  for (const name of ['identity', 'compact', 'continuation'])
    await write(`${profile}/${name}.md`, `${name} of {{persona}} and {{human}}`);
}

describe('watchPrompts', () => {
  test('reads the prompts of each profile, with the version of their files', async () => {
    await writeProfile('iota');
    await mkdir(join(folder, '.git'));
    await write('README.md', 'no profile');

    prompts = watchPrompts(folder, 'Sam', readLog().log);

    expect(prompts.profiles()).toEqual(['alpha', 'iota']);
    expect(prompts.find('alpha')).toEqual({
      profile: 'alpha',
      version: expect.stringMatching(/^[0-9a-f]{64}$/),
      identity: 'identity of Alpha and Sam',
      compact: 'compact of Alpha and Sam',
      argumentLead: 'For this summary Sam asked for this in particular:',
      continuation: 'continuation of Alpha and Sam',
    });
    expect(prompts.find('stranger')).toBeUndefined();
  });

  test('reads the example profile', () => {
    const examples = fileURLToPath(new URL('../../../../deploy/prompts', import.meta.url));

    prompts = watchPrompts(examples, 'Sam', readLog().log);

    expect(prompts.profiles()).toContain('alpha');
    expect(identity()).toMatch(/^I am Alpha\. I work with Sam,/);
  });

  test.each([
    ['a file is missing', () => rm(join(folder, 'alpha/compact.md')), /^alpha\/compact\.md is missing/],
    ['a file is empty', () => write('alpha/compact.md', ''), /^alpha\/compact\.md is empty/],
    [
      'there is no profile',
      () => rm(join(folder, 'alpha'), { recursive: true }),
      /^expected a readable folder for each/,
    ],
    ['there is no folder', () => rm(folder, { recursive: true }), /^expected a readable folder for each/],
    ['a profile has the name of those without one', () => writeProfile('passthrough'), /^passthrough is the profile/],
    [
      'a prompt is no file',
      async () => {
        await rm(join(folder, 'alpha/compact.md'));
        await mkdir(join(folder, 'alpha/compact.md'));
      },
      /^expected a text file, got Error: EISDIR/,
    ],
  ])('does not start when %s', async (_, spoil, message) => {
    await spoil();

    expect(() => watchPrompts(folder, 'Sam', readLog().log)).toThrow(message);
  });

  test('follows an edit, and tells of no profile but that one', async () => {
    await writeProfile('iota');
    const { log, lines } = readLog();
    prompts = watchPrompts(folder, 'Sam', log);
    const { version } = prompts.find('alpha') ?? {};

    await write('alpha/identity.md', 'I am new.');

    await until(() => identity() === 'I am new.');
    expect(prompts.find('alpha')?.version).not.toBe(version);
    expect(lines).toEqual(['info: prompts changed: they take effect at the next compaction']);
  });

  test('keeps the last good version through a faulty edit, tells it once, and follows the next good one', async () => {
    const { log, lines } = readLog();
    prompts = watchPrompts(folder, 'Sam', log);
    const fault = 'error: prompts cannot be used: the last good ones stay';

    await write('alpha/identity.md', 'I am {{nobody}}.');
    await until(() => lines.length > 0);
    await writeProfile('iota');
    await until(() => identity('iota'));

    expect(identity()).toBe('identity of Alpha and Sam');
    expect(lines.filter((line) => line === fault)).toEqual([fault]);

    await write('alpha/identity.md', 'I am well.');
    await until(() => identity() === 'I am well.');
  });

  test('takes a new folder as a new profile', async () => {
    prompts = watchPrompts(folder, 'Sam', readLog().log);

    await writeProfile('iota');

    await until(() => prompts?.profiles().includes('iota'));
    expect(prompts.profiles()).toEqual(['alpha', 'iota']);
  });

  test('keeps the last good version of a folder that goes away', async () => {
    const { log, lines } = readLog();
    prompts = watchPrompts(folder, 'Sam', log);

    await rm(folder, { recursive: true });

    await until(() => lines.length > 0);
    expect(lines).toEqual(['error: prompts cannot be used: the last good ones stay']);
    expect(identity()).toBe('identity of Alpha and Sam');
  });
});
