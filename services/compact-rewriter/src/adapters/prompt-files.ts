import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Logger } from '@loom/shared/log.ts';
import Watchpack from 'watchpack';
import { type CompactionPrompts, PromptError, type PromptFiles, renderPrompts } from '../core/prompts.ts';

/** The prompts of every profile, as they stand in their files now. */
export interface PromptFolder {
  /** Undefined for a profile that has no folder. */
  find(profile: string): CompactionPrompts | undefined;
  /** At least one name, sorted. */
  profiles(): string[];
  close(): void;
}

/** Editors and syncing tools write a file in several steps; they are read once, when it has been quiet so long. */
const QUIET_MS = 100;

/**
 * Reads the prompts of all profiles, one folder each, and follows their files. Throws PromptError when there is no
 * profile, or one that cannot be used. Later a faulty edit, or a folder that goes away, is logged, and the last good
 * version stays until a restart; a new folder is a new profile.
 *
 * @param human who the personas work with, where a profile does not say
 */
export function watchPrompts(folder: string, human: string, log: Logger): PromptFolder {
  const startTime = Date.now();
  const prompts = new Map(namesIn(folder).map((profile) => [profile, readPrompts(folder, profile, human)]));
  if (prompts.size === 0) throw new PromptError(`expected a readable folder for each profile in ${folder}, found none`);
  const faults = new Map<string, string>();

  const refresh = (profile: string) => {
    try {
      const read = readPrompts(folder, profile, human);
      faults.delete(profile);
      if (read.version === prompts.get(profile)?.version) return;
      prompts.set(profile, read);
      log.info('prompts changed: they take effect at the next compaction', { profile, version: read.version });
    } catch (error) {
      // The last good version serves; a fault is told once, not at each change of another file.
      if (faults.get(profile) === String(error)) return;
      faults.set(profile, String(error));
      log.error('prompts cannot be used: the last good ones stay', { profile, error });
    }
  };

  const watcher = new Watchpack({ aggregateTimeout: QUIET_MS, followSymlinks: true });
  watcher.on('aggregated', () => {
    for (const profile of new Set([...prompts.keys(), ...namesIn(folder)])) refresh(profile);
  });
  watcher.watch({ directories: [folder], startTime });
  return {
    find: (profile) => prompts.get(profile),
    profiles: () => [...prompts.keys()].sort(),
    close: () => watcher.close(),
  };
}

function namesIn(folder: string): string[] {
  try {
    const names = readdirSync(folder).filter((name) => !name.startsWith('.'));
    return names.filter((name) => statSync(join(folder, name), { throwIfNoEntry: false })?.isDirectory());
  } catch {
    // Whoever asks says what it means: the start that there is no profile, a change that a profile's files are gone.
    return [];
  }
}

function readPrompts(folder: string, profile: string, human: string): CompactionPrompts {
  if (profile === 'passthrough')
    throw new PromptError('passthrough is the profile without a persona: name it otherwise');
  const files: PromptFiles = {
    'identity.md': findText(join(folder, profile, 'identity.md')),
    'compact.md': findText(join(folder, profile, 'compact.md')),
    'continuation.md': findText(join(folder, profile, 'continuation.md')),
    'profile.yaml': findText(join(folder, profile, 'profile.yaml')),
  };
  const version = createHash('sha256').update(JSON.stringify(files)).digest('hex');
  return { ...renderPrompts(profile, files, human), version };
}

function findText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new PromptError(`expected a text file, got ${String(error)}`, { cause: error });
  }
}
