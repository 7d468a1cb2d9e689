import { createHash } from 'node:crypto';
import { rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { Complaint } from '../complaint.ts';
import { readIfThere, writeWhole } from './settings-file.ts';

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);

/** What was done to one settings file. */
const ConnectionRecord = z.object({
  env: z.record(z.string(), z.string()),
  command: z.string(),
  replacedCommand: z.string().optional(),
  /** Of the bytes that were there before, which lie in a file beside this one; null when there was no file. */
  before: sha256.nullable(),
  /** Of the bytes that were written. */
  after: sha256,
  /** Somebody edited the settings between two connects: to put the old bytes back would undo that. */
  isEdited: z.boolean(),
  /** The settings' folder was made for them. */
  madeFolder: z.boolean(),
});
export type ConnectionRecord = z.infer<typeof ConnectionRecord>;

/** By the settings' real path. */
const Records = z.record(z.string(), ConnectionRecord);

export function hashOf(bytes: Buffer | string): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** The record of what was connected, with the first backup of each file, in `$XDG_STATE_HOME/loom`, for its owner alone. */
export class ConnectionRecords {
  readonly #folder: string;
  readonly #path: string;

  constructor(environment: NodeJS.ProcessEnv) {
    this.#folder = join(environment['XDG_STATE_HOME'] || join(homedir(), '.local/state'), 'loom');
    this.#path = join(this.#folder, 'connect.json');
  }

  /** @throws Complaint when the record cannot be read */
  find(settings: string): ConnectionRecord | undefined {
    return this.#read()[settings];
  }

  /** The bytes before the first connect; undefined when there was no file. */
  readBackup(settings: string): Buffer | undefined {
    const record = this.find(settings);
    if (!record || record.before === null) return undefined;
    const backup = readIfThere(this.backupOf(settings));
    if (!backup || hashOf(backup) !== record.before)
      throw new Complaint(`expected the settings as they were in ${this.backupOf(settings)}; nothing was changed`);
    return backup;
  }

  /** Where the backup of a settings file lies. */
  backupOf(settings: string): string {
    return join(this.#folder, `settings-${hashOf(settings).slice(0, 8)}.backup`);
  }

  /** Keeps a record; the backup first, so that a record never lacks it. */
  add(settings: string, record: ConnectionRecord, backup?: Buffer): void {
    if (backup) writeWhole(this.backupOf(settings), backup);
    this.#write({ ...this.#read(), [settings]: record });
  }

  remove(settings: string): void {
    const { [settings]: _, ...others } = this.#read();
    this.#write(others);
    rmSync(this.backupOf(settings), { force: true });
  }

  #read(): z.infer<typeof Records> {
    const bytes = readIfThere(this.#path);
    if (!bytes) return {};
    try {
      return Records.parse(JSON.parse(bytes.toString()));
    } catch (error) {
      throw new Complaint(`expected the record of loom connect in ${this.#path}; nothing was changed`, {
        cause: error,
      });
    }
  }

  #write(records: z.infer<typeof Records>): void {
    if (Object.keys(records).length === 0) rmSync(this.#path, { force: true });
    else writeWhole(this.#path, `${JSON.stringify(records, null, 2)}\n`);
  }
}
