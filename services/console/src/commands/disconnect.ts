import { rmdirSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { type ConnectionRecord, ConnectionRecords, hashOf } from '../adapters/connection-record.ts';
import { decode, readIfThere, settingsPath, writeWhole } from '../adapters/settings-file.ts';
import { disconnectSettings, isEmpty } from '../core/settings.ts';
import { explained } from './connect.ts';

const print = (line: string) => void process.stdout.write(`${line}\n`);

/** `loom disconnect`: the settings as they were; where somebody edited them since, without what connect put in. */
export function disconnect(options: { settings?: string }): void {
  const settings = settingsPath(options.settings, process.env);
  const records = new ConnectionRecords(process.env);
  const record = records.find(settings);
  if (!record) {
    print(`${settings} is not connected; nothing was changed`);
    return;
  }
  const bytes = readIfThere(settings);
  const backup = records.readBackup(settings);

  if (!bytes) print(`${settings} is gone; there is nothing to undo`);
  else if (hashOf(bytes) === record.before) print(`${settings} is as it was before`);
  else if (hashOf(bytes) === record.after && !record.isEdited) {
    replace(settings, backup, record);
    print(`${settings} is byte for byte as it was before`);
  } else {
    const { text, kept } = explained(settings, () =>
      disconnectSettings(decode(bytes, settings), record, backup ? decode(backup, settings) : ''),
    );
    replace(settings, !backup && isEmpty(text) ? undefined : text, record);
    print(`${settings} was edited since; what loom connect put in was taken out, all else stays`);
    if (kept.length > 0) print(`kept, since somebody changed them: ${kept.join(', ')}`);
  }
  records.remove(settings);
}

/** Without content there was no file, and there shall be none. */
function replace(settings: string, content: Buffer | string | undefined, { madeFolder }: ConnectionRecord): void {
  if (content !== undefined) {
    writeWhole(settings, content);
    return;
  }
  rmSync(settings);
  if (madeFolder) removeIfEmpty(dirname(settings));
}

function removeIfEmpty(folder: string): void {
  try {
    rmdirSync(folder);
  } catch (error) {
    // The client has put something of its own there since.
    if ((error as NodeJS.ErrnoException).code !== 'ENOTEMPTY') throw error;
  }
}
